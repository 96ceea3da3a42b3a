// The book's post-form: forms, held whole, decoded and answered as JSON.
import http from 'node:http';
import qs from 'node:querystring';

const MAX = 2 * 1024 * 1024;

http.createServer((req, res) => {
  if (req.method !== 'POST') return reject(res, 405);
  if (req.headers['content-type'] !== 'application/x-www-form-urlencoded')
    return reject(res, 415);
  const size = parseInt(req.headers['content-length'], 10);
  if (isNaN(size)) return reject(res, 400);
  if (size > MAX) return reject(res, 413);
  const buffer = Buffer.allocUnsafe(size);
  let pos = 0;
  req.on('data', (chunk) => { pos += chunk.copy(buffer, pos); });
  req.on('end', () => {
    if (pos !== size) return reject(res, 400);
    // all fields, as ours; Node by itself drops those beyond the 1,000th
    const data = qs.parse(buffer.toString(), null, null, { maxKeys: 0 });
    console.log('User Posted: ', data);
    res.end('You Posted: ' + JSON.stringify(data));
  });
}).listen(process.env.PORT, '127.0.0.1', 4096);

function reject(res, code) {
  res.statusCode = code;
  res.end(http.STATUS_CODES[code]);
}
