// Accepting JSON: send the form's fields as JSON, and show what comes back.
// It is shown as text: whatever the fields hold, it never becomes HTML.
'use strict';

const form = document.getElementById('form');
const result = document.getElementById('result');

async function post(fields) {
  const response = await fetch('/', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(fields)
  });
  const text = await response.text();
  if (!response.ok) throw new Error(response.status + ' ' + text);
  return JSON.parse(text).data;
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const data = await post(Object.fromEntries(new FormData(form)));
    result.textContent = 'You Posted: ' + JSON.stringify(data);
  } catch (error) {
    result.textContent = 'Error: ' + error.message;
  }
});
