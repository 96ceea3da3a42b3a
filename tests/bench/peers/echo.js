// An echo with npm's ws, without compression (which it leaves out by itself).
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({
  host: '127.0.0.1', port: process.env.PORT, backlog: 4096,
});
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
