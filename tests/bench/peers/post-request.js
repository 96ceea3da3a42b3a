// The book's post-request: an object as JSON to the URL given.
import http from 'node:http';

const payload = '{"name": "Cian", "company": "nearForm"}';
const req = http.request(process.argv[2], {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', 'Content-Length': payload.length },
}, (res) => {
  process.stdout.write(`\n Status: ${res.statusCode}\n Body: `);
  res.pipe(process.stdout);
  res.on('end', () => console.log('\n'));
});
req.on('error', (err) => { console.error('Error: ', err); process.exitCode = 1; });
req.end(payload);
