// Mail with npm's smtp-server: one file a message, on the disk before the 250,
// as ours does it: temporary file, fsync, its name, fsync of the folder.
import fs from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { SMTPServer } from 'smtp-server';

const folder = `${process.env.ROOT}/mail/you`;
let letters = 0;

async function sync(path) {
  const file = await open(path);
  await file.sync();
  await file.close();
}

async function save(stream, from) {
  const name = `${from}-${Date.now()}-${letters++}`;
  const temporary = `${folder}/.${name}`;
  const file = await open(temporary, 'wx', 0o600);
  for await (const chunk of stream) await file.write(chunk);
  await file.sync();
  await file.close();
  await rename(temporary, `${folder}/${name}`);
  await sync(folder);
}

fs.mkdirSync(folder, { recursive: true });
new SMTPServer({
  authOptional: true,
  disabledCommands: ['STARTTLS'],
  disableReverseLookup: true,
  onRcptTo: (address, session, done) =>
    done(address.address === 'you@example.com' ? null : new Error('no mailbox')),
  onData: (stream, session, done) =>
    save(stream, session.envelope.mailFrom.address).then(() => done(), done),
}).listen(process.env.PORT, '127.0.0.1', 4096);
