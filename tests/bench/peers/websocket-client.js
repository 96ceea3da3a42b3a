// The book's client, told what to type: one line sent, its answer printed.
import WebSocket from 'ws';

const socket = new WebSocket(process.argv[2]);
socket.on('open', () => socket.send('Hello'));
socket.on('message', (data) => { console.log(`${data}`); socket.close(1000); });
socket.on('error', (err) => { console.error(err.message); process.exitCode = 1; });
