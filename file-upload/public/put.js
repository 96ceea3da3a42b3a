'use strict';

// Each file is the body of a PUT of its own. They are sent one by one.
const input = document.getElementById('userfile1');
const drop = document.getElementById('drop');
const current = document.getElementById('current');
const progress = document.getElementById('progress');
const queue = [];
let sending = false;

function tell(text, failed) {
  const line = document.createElement('li');
  line.textContent = text; // never as HTML: a file's name may hold anything
  line.className = failed ? 'failed' : 'saved';
  document.getElementById('status').append(line);
  progress.value = failed ? 0 : 1;
}

function sendNext() {
  const file = queue.shift();
  sending = file !== undefined;
  if (!sending) {
    current.textContent = 'No file is on its way';
    return;
  }
  const request = new XMLHttpRequest();
  const waiting = queue.length > 0 ? ', ' + queue.length + ' more to go' : '';

  current.textContent = 'Sending ' + file.name + waiting;
  progress.value = 0;
  request.upload.onprogress = function (event) {
    if (event.lengthComputable) progress.value = event.loaded / event.total;
  };
  request.onload = function () {
    const answer = request.responseText.trim();
    if (request.status === 200) {
      tell(answer, false);
    } else if (request.status === 413) {
      tell(file.name + ' is larger than this server takes', true);
    } else if (request.status === 507) {
      tell(file.name + ': the disk of the server is full', true);
    } else {
      tell(file.name + ': ' + answer, true);
    }
  };
  request.onerror = function () {
    tell(file.name + ' was not sent: the server is gone, or refuses it', true);
  };
  request.onloadend = sendNext;

  // A header is ASCII: the names go percent-encoded.
  request.open('PUT', '/');
  request.setRequestHeader('X-Field', encodeURIComponent(input.name));
  request.setRequestHeader('X-Filename', encodeURIComponent(file.name));
  request.send(file);
}

function add(files) {
  queue.push(...files);
  if (!sending) sendNext();
}

input.addEventListener('change', function () {
  add(input.files);
  input.value = ''; // so that the same file can be chosen again
});

// The browser would open a dropped file, also one that misses the zone.
for (const name of ['dragover', 'drop']) {
  document.addEventListener(name, function (event) {
    event.preventDefault();
  });
}
drop.addEventListener('dragover', function () {
  drop.classList.add('over');
});
drop.addEventListener('dragleave', function () {
  drop.classList.remove('over');
});
drop.addEventListener('drop', function (event) {
  drop.classList.remove('over');
  add(event.dataTransfer.files);
});
