// Uploads with Node: PUT straight into a file, forms by busboy. A file is
// flushed to the disk before the answer, as ours is.
import busboy from 'busboy';
import fs from 'node:fs';
import http from 'node:http';
import { pipeline } from 'node:stream/promises';

let files = 0;

async function save(stream) {
  const path = `${process.env.ROOT}/${Date.now()}-${files++}`;
  await pipeline(stream, fs.createWriteStream(path));
  const file = await fs.promises.open(path);
  await file.sync();
  await file.close();
}

http.createServer((req, res) => {
  const done = () => res.end('saved\n');
  const failed = (err) => { res.statusCode = 500; res.end(`${err.message}\n`); };
  if (req.method === 'PUT') return save(req).then(done, failed);
  if (req.method !== 'POST') { res.statusCode = 405; return res.end(); }
  const form = busboy({ headers: req.headers });
  const saves = [];
  form.on('file', (name, stream) => saves.push(save(stream)));
  form.on('close', () => Promise.all(saves).then(done, failed));
  form.on('error', failed);
  req.pipe(form);
}).listen(process.env.PORT, '127.0.0.1');
