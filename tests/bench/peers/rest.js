// The book's rest-server, on the port that PORT says.
import http from 'node:http';

const server = http.createServer((req, res) => {
  if (req.method !== 'GET') return error(res, 405);
  if (req.url === '/users') return users(res);
  if (req.url === '/') return index(res);
  error(res, 404);
});

function users(res) {
  res.end('{"data": [{"id": 1, "first_name": "Bob", "second_name": "Smith"}]}');
}

function index(res) {
  res.end('{"name": "my-rest-server", "version": 0}');
}

function error(res, code) {
  res.statusCode = code;
  res.end(`{"error": "${http.STATUS_CODES[code]}"}`);
}

server.keepAliveTimeout = 75000; // as here and in nginx; Node's own is 5000
server.listen(process.env.PORT, '127.0.0.1', 4096);
