// The book's smtp-client with npm's nodemailer: one letter, then goodbye.
import nodemailer from 'nodemailer';

const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(process.argv[2]), ignoreTLS: true,
});
await transport.sendMail({
  from: 'me@me.com', to: 'you@example.com', subject: 'hooray', text: 'hooray :)',
});
console.log('sent');
