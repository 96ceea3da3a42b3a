// Communicating with WebSockets: send what is typed, and list what comes back.
// It is shown as text: whatever a message holds, it never becomes HTML.
'use strict';

const LINES_MAX = 1000;
const form = document.getElementById('form');
const input = document.getElementById('message');
const send = document.getElementById('send');
const state = document.getElementById('state');
const reconnect = document.getElementById('reconnect');
const box = document.getElementById('log');
const list = box.querySelector('ol');

let ws;

function log(kind, text) {
  const line = document.createElement('li');
  const label = document.createElement('b');
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;

  line.className = kind.toLowerCase();
  label.textContent = kind + ': ';
  line.append(label, text);
  list.append(line);
  if (list.children.length > LINES_MAX) list.firstChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function connect() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';

  state.textContent = 'Connecting';
  reconnect.hidden = true;
  ws = new WebSocket(scheme + '//' + location.host + '/');
  ws.binaryType = 'arraybuffer';

  ws.onopen = () => {
    state.textContent = 'Connected';
    send.disabled = false;
  };
  ws.onmessage = ({ data }) => {
    const text = typeof data === 'string';
    log('Received', text ? data : '(binary, ' + data.byteLength + ' bytes)');
  };
  // What went wrong is kept from scripts: they could map a network with it.
  ws.onerror = () => log('Error', 'the connection failed');
  ws.onclose = ({ code, reason }) => {
    state.textContent = 'Disconnected';
    log('Disconnected', reason ? code + ' ' + reason : String(code));
    send.disabled = true;
    reconnect.hidden = false;
  };
}

// Both Enter and the button submit the form; it goes no further than here.
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (ws.readyState !== WebSocket.OPEN) return;
  ws.send(input.value);
  log('Sent', input.value);
  input.value = '';
  input.focus();
});

reconnect.addEventListener('click', () => {
  connect();
  input.focus();
});

connect();
