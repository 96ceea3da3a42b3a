// smtp.test.mjs -- mail programs that others wrote, with our two: Python's
// smtplib, swaks, msmtp and npm's nodemailer send to smtp-server; smtp-client
// sends to aiosmtpd, to Postfix's smtp-sink and to npm's smtp-server.

import assert from 'node:assert/strict';
import {once} from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'node:test';
import nodemailer from 'nodemailer';
import {SMTPServer} from 'smtp-server';
import {TOP, atEnd, folder, freePort, launch, listening, program, run, start,
        within} from './program.mjs';

const HEAD = 'Subject: =?utf-8?q?=E2=9C=93?=\r\nFrom: me@me.com\r\n' +
    'To: you@example.com\r\nDate: Wed, 25 Nov 2026 19:34:34 +0000\r\n' +
    'Message-ID: <1@me.com>\r\n\r\n';
// Dots in every place, 8-bit text, empty lines, and a line as long as may be.
const TEXT = HEAD + '.\r\n..\r\n...three\r\n. a\r\n\r\n\r\nκόσμε ✓\r\n' +
    'a'.repeat(998) + '\r\n.b\r\nFrom here on\r\n\tend\r\n';

const python = path.join(TOP, 'tests/interop/smtp_peer.py');

// ---- into smtp-server -------------------------------------------------------

// The letters of a user: {from, to, text}.
function letters(server, user) {
    const of = path.join(server.root, 'mail', user);
    if (!fs.existsSync(of)) return [];
    return fs.readdirSync(of).map(name => {
        const whole = fs.readFileSync(path.join(of, name), 'utf8');
        const [, from, to, text] =
            whole.match(/^From: (.*) \nTo: (.*) \n\n([^]*)$/);
        return {from, to, text};
    });
}

const told = async (...args) => {
    const {status, stdout, stderr} = await run(...args);
    return {status, said: stdout + stderr};
};

// Each program with how it is told {from, to: [], text}: what came out of it,
// {status, said}; 0 if all recipients were taken.
const senders = {
    smtplib: (t, server, {from, to, text}) =>
        told(t, '/usr/bin/python3',
             [python, 'send', server.port, from, ...to], {input: text}),

    // It ends the text with a line end of its own.
    swaks: (t, server, {from, to, text}) => {
        const file = path.join(folder(t), 'text');
        fs.writeFileSync(file, text.replace(/\r\n$/, ''));
        return told(t, 'swaks', ['--server', '127.0.0.1', '--port', server.port,
            '--from', from, '--to', to.join(','), '--data', '@' + file,
            '--pipeline', '--silent', '2']);
    },

    msmtp: (t, server, {from, to, text}) =>
        told(t, 'msmtp', ['--host=127.0.0.1', `--port=${server.port}`,
             `--from=${from}`, ...to], {input: text.replaceAll('\r\n', '\n')}),

    nodemailer: async (t, server, {from, to, text}) => {
        const transport = nodemailer.createTransport(
            {host: '127.0.0.1', port: server.port});
        try {
            const info = await within(transport.sendMail(
                {envelope: {from, to}, raw: text}), 'end of sendMail()');
            return {status: info.rejected.length > 0 ? 1 : 0,
                    said: (info.rejectedErrors ?? []).join('\n')};
        } catch (error) {
            return {status: 1, said: error.message};
        } finally {
            transport.close();
        }
    },
};

for (const [name, send] of Object.entries(senders)) {
    const from = 'me@me.com';

    test(`${name}: a mail for two, byte for byte`, async t => {
        const server = await start(t, 'smtp-server');
        const to = ['you@example.com', 'another@localhost'];
        const {status, said} = await send(t, server, {from, to, text: TEXT});
        assert.equal(status, 0, said);
        assert.deepEqual(letters(server, 'you'),
                         [{from, to: to[0], text: TEXT}]);
        assert.deepEqual(letters(server, 'another'),
                         [{from, to: to[1], text: TEXT}]);
    });

    test(`${name}: an attachment of 1 MB`, async t => {
        const server = await start(t, 'smtp-server');
        const lines = Buffer.alloc(1e6, 'bytes\0\xff', 'latin1')
            .toString('base64').match(/.{1,76}/g);
        const text = HEAD.replace(/\r\n$/,
            'MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n' +
            'Content-Transfer-Encoding: base64\r\n\r\n') +
            lines.join('\r\n') + '\r\n';
        const {status, said} = await send(t, server,
            {from, to: ['you@example.com'], text});
        assert.equal(status, 0, said);
        const [letter, ...more] = letters(server, 'you');
        assert.ok(letter.text === text);
        assert.deepEqual(more, []);
    });

    test(`${name}: is told which recipient has no mailbox`, async t => {
        const server = await start(t, 'smtp-server');
        for (const to of [['nobody@example.com'], ['you@elsewhere.example']]) {
            const {status, said} = await send(t, server,
                                                {from, to, text: TEXT});
            assert.notEqual(status, 0);
            assert.match(said, /550 5\.1\.1 mailbox not available/);
        }
        // smtplib, swaks and nodemailer send to the others, msmtp does not
        const {status} = await send(t, server,
            {from, to: ['you@example.com', 'nobody@example.com'], text: TEXT});
        if (name !== 'swaks') assert.notEqual(status, 0);
        assert.equal(await server.stop(), 0); // and with it all that msmtp left
        assert.deepEqual(letters(server, 'you'), name === 'msmtp' ? [] :
            [{from, to: 'you@example.com', text: TEXT}]);
    });

    test(`${name}: is told that a mail is too large`, async t => {
        const server = await start(t, 'smtp-server', [], {MAX_SIZE: '1000'});
        const {status, said} = await send(t, server,
            {from, to: ['you@example.com'], text: TEXT});
        assert.notEqual(status, 0);
        assert.match(said, /552 5\.3\.4 message too large/);
        assert.deepEqual(letters(server, 'you'), []);
    });

    test(`${name}: a sender that is not ASCII`, async t => {
        const server = await start(t, 'smtp-server');
        const {status, said} = await send(t, server,
            {from: 'josé@me.com', to: ['you@example.com'], text: TEXT});
        if (name === 'smtplib' || name === 'nodemailer') {
            assert.equal(status, 0, said);
            assert.deepEqual(letters(server, 'you'),
                [{from: 'josé@me.com', to: 'you@example.com', text: TEXT}]);
        } else { // these do not know SMTPUTF8
            assert.notEqual(status, 0);
            assert.match(said, /553 5\.6\.7 SMTPUTF8 is needed/);
            assert.deepEqual(letters(server, 'you'), []);
        }
    });
}

test('smtplib: a user and a host that are not ASCII', async t => {
    const server = await start(t, 'smtp-server', [],
                               {USERS: 'josé', HOSTS: 'bücher.example'});
    const mail = {from: 'me@me.com', to: ['josé@bücher.example'], text: TEXT};
    const {status, said} = await senders.smtplib(t, server, mail);
    assert.equal(status, 0, said);
    assert.deepEqual(letters(server, 'josé'), [{...mail, to: mail.to[0]}]);
});

test('swaks: HELO, and a command at a time', async t => {
    const server = await start(t, 'smtp-server');
    const {status, stdout} = await run(t, 'swaks', ['--server', '127.0.0.1',
        '--port', server.port, '--protocol', 'SMTP', '--from', '<>',
        '--to', 'postmaster@localhost,you@example.com', '--body', 'hello']);
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^<- {2}250 localhost greets /m);
    const [letter, ...more] = letters(server, 'you');
    assert.equal(letter.from, '');
    assert.match(letter.text, /\r\n\r\nhello\r\n/);
    assert.equal(more.length, 1); // postmaster's are the first user's
});

test('swaks: each code that a recipient can be asked to answer', async t => {
    const server = await start(t, 'smtp-server');
    for (const code of [421, 450, 451, 452, 550, 552, 554]) {
        const {status, stdout} = await run(t, 'swaks', ['--server',
            '127.0.0.1', '--port', server.port, '--from', 'me@me.com',
            '--to', `you+${code}@example.com`, '--silent', '2']);
        assert.equal(status, 24); // "no recipient accepted"
        assert.match(stdout, new RegExp(`^<\\*\\* ${code} `));
    }
});

test('nodemailer: a mail with parts, read back by a parser', async t => {
    const server = await start(t, 'smtp-server');
    const transport = nodemailer.createTransport(
        {host: '127.0.0.1', port: server.port});
    const bytes = Buffer.from(Array.from({length: 1e6}, (_, i) => i * 7 % 256));
    await within(transport.sendMail({
        from: 'José <me@me.com>', to: 'You <you@example.com>',
        subject: 'Grüße', text: '.\n.dots\nκόσμε',
        attachments: [{filename: 'bytes.bin', content: bytes}],
    }), 'end of sendMail()');
    transport.close();
    const {stdout} = await run(t, '/usr/bin/python3', ['-c', `
import email, email.policy, hashlib, sys
whole = sys.stdin.buffer.read()
mail = email.message_from_bytes(whole, policy=email.policy.default)
text, file = mail.iter_parts()
print(mail['subject'], repr(text.get_content()), file.get_filename(),
      file.get_content() == bytes(i * 7 % 256 for i in range(10 ** 6)))`],
        {input: letters(server, 'you')[0].text});
    assert.equal(stdout, `Grüße '.\\n.dots\\nκόσμε' bytes.bin True\n`);
});

test('nodemailer: 500 mails over pooled connections', async t => {
    const server = await start(t, 'smtp-server');
    const transport = nodemailer.createTransport({pool: true,
        maxConnections: 10, maxMessages: 25, host: '127.0.0.1',
        port: server.port});
    atEnd(t, () => transport.close());
    const bodies = Array.from({length: 500}, (_, i) =>
        `${HEAD}.number ${i}\r\n${'x'.repeat(i * 20 % 900)}\r\n`);
    await within(Promise.all(bodies.map(raw => transport.sendMail(
        {envelope: {from: 'me@me.com', to: ['you@example.com']}, raw}))),
        'end of 500 mails');
    assert.deepEqual(letters(server, 'you').map(each => each.text).sort(),
                     bodies.sort());
});

test('nodemailer: the others of a pool are sent after a refusal', async t => {
    const server = await start(t, 'smtp-server');
    const transport = nodemailer.createTransport({pool: true,
        maxConnections: 1, host: '127.0.0.1', port: server.port});
    atEnd(t, () => transport.close());
    const send = to => transport.sendMail(
        {envelope: {from: 'me@me.com', to: [to]}, raw: TEXT});
    const ends = await within(Promise.allSettled([send('you@localhost'),
        send('nobody@localhost'), send('another@localhost')]), 'three ends');
    assert.deepEqual(ends.map(end => end.reason?.responseCode),
                     [undefined, 550, undefined]);
    assert.equal(letters(server, 'you').length, 1);
    assert.equal(letters(server, 'another').length, 1);
});

// ---- out of smtp-client -----------------------------------------------------

const ours = (t, port, args, input) =>
    run(t, program('smtp-client'), [...args, '127.0.0.1', String(port)],
        {input});

async function aiosmtpd(t, answers = {}, options = {}) {
    const server = launch(t, '/usr/bin/python3', [python, 'serve',
        JSON.stringify(answers), JSON.stringify(options)]);
    server.port = (await server.line('port ')).split(' ')[1];
    server.mails = () => server.stdout.split('\n').slice(1, -1)
        .map(line => JSON.parse(line))
        .map(mail => ({...mail, text: Buffer.from(mail.text, 'latin1')
                                            .toString()}));
    return server;
}

// npm's smtp-server: .mails, and REFUSE's answer to the commands that it names.
async function npm(t, refuse = {}, options = {}) {
    const answer = command => {
        const said = refuse[command]?.match(/(\d+) (.*)/);
        return said ? Object.assign(new Error(said[2]),
                                    {responseCode: Number(said[1])}) : null;
    };
    const mails = [];
    const server = new SMTPServer({
        disabledCommands: ['AUTH', 'STARTTLS'], disableReverseLookup: true,
        onConnect: (session, done) => done(answer('CONNECT')),
        onMailFrom: (address, session, done) => done(answer('MAIL')),
        onRcptTo: ({address}, session, done) =>
            done(answer('RCPT ' + address)),
        onData: (stream, {envelope}, done) => {
            const pieces = [];
            stream.on('data', piece => pieces.push(piece)).on('end', () => {
                const error = answer('.');
                if (!error)
                    mails.push({from: envelope.mailFrom.address,
                                to: envelope.rcptTo.map(rcpt => rcpt.address),
                                text: Buffer.concat(pieces).toString()});
                done(error);
            });
        },
        ...options,
    });
    server.on('error', () => {}); // a client that leaves early
    server.listen(0, '127.0.0.1');
    await once(server.server, 'listening');
    atEnd(t, () => new Promise(done => server.close(done)));
    return {port: server.server.address().port, mails: () => mails};
}

// Postfix's smtp-sink, which writes down each mail that it takes.
async function sink(t, args = []) {
    const port = await freePort();
    const to = folder(t);
    launch(t, '/usr/sbin/smtp-sink',
           [...(process.getuid() === 0 ? ['-u', 'root'] : []), ...args,
            '-d', path.join(to, 'mail.'), `inet:127.0.0.1:${port}`, '100']);
    await listening(port);
    return {
        port,
        mails: () => fs.readdirSync(to)
            .map(name => fs.readFileSync(path.join(to, name), 'utf8')),
    };
}

const RCPTS = ['you@example.com', 'another@localhost'];
const ARGS = ['-t', RCPTS.join(', ')];

for (const [name, serve] of Object.entries({aiosmtpd, npm})) {
    test(`smtp-client into ${name}: byte for byte`, async t => {
        const server = await serve(t);
        const {status, stdout, stderr} =
            await ours(t, server.port, ARGS, TEXT.replaceAll('\r\n', '\n'));
        assert.deepEqual([status, stdout, stderr], [0, '', '']);
        const [mail, ...more] = server.mails();
        assert.deepEqual([mail.from, mail.to], ['me@me.com', RCPTS]);
        assert.equal(mail.text, TEXT);
        assert.deepEqual(more, []);
    });

    test(`smtp-client into ${name}: the first line names the recipients`,
         async t => {
        const server = await serve(t);
        const {status, stderr} = await ours(t, server.port, [],
            'You <you@example.com>; another@localhost\nhooray :)\n');
        assert.equal(status, 0, stderr);
        const [mail] = server.mails();
        assert.deepEqual([mail.to, mail.text], [RCPTS, 'hooray :)\r\n']);
    });

    test(`smtp-client into ${name}: 4 MB`, async t => {
        const server = await serve(t);
        const text = '.dots and text\n'.repeat(266667);
        const {status, stderr} = await ours(t, server.port, ARGS, text);
        assert.equal(status, 0, stderr);
        assert.ok(server.mails()[0].text === text.replaceAll('\n', '\r\n'));
    });

    test(`smtp-client into ${name}: 100 recipients`, async t => {
        const server = await serve(t);
        const to = Array.from({length: 100}, (_, i) => `user${i}@example.com`);
        const {status, stderr} = await ours(t, server.port,
                                            ['-t', to.join(',')], 'hello\n');
        assert.equal(status, 0, stderr);
        assert.deepEqual(server.mails()[0].to, to);
    });

    test(`smtp-client into ${name}: a refusal of each command`, async t => {
        for (const [command, answer, said] of [
            ['MAIL', '550 5.7.1 no', 'Protocol Error: 550 5.7.1 no\n'],
            ['RCPT another@localhost', '550 5.1.1 no such user',
             'No Mailbox for Recipient "another@localhost"\n'],
            ['RCPT another@localhost', '553 5.1.3 bad name',
             'No Mailbox for Recipient "another@localhost"\n'],
            ['RCPT another@localhost', '452 4.5.3 too many',
             'Protocol Error: 452 4.5.3 too many\n' +
             'This may pass: try again later.\n' +
             'It was about Recipient "another@localhost"\n'],
            ['.', '554 5.6.0 spam', 'Protocol Error: 554 5.6.0 spam\n'],
            ['.', '451 4.3.0 later', 'Protocol Error: 451 4.3.0 later\n' +
             'This may pass: try again later.\n']]) {
            const server = await serve(t, {[command]: answer});
            const {status, stdout, stderr} =
                await ours(t, server.port, ARGS, 'hello\n');
            assert.deepEqual([status, stdout, stderr], [1, '', said]);
            assert.deepEqual(server.mails(), []);
        }
    });

    test(`smtp-client into ${name}: 20 at once`, async t => {
        const server = await serve(t);
        const texts = Array.from({length: 20}, (_, i) => `number ${i}\n`);
        const ends = await Promise.all(texts.map(text =>
            ours(t, server.port, ARGS, text)));
        for (const {status, stderr} of ends) assert.equal(status, 0, stderr);
        assert.deepEqual(server.mails().map(mail => mail.text).sort(),
            texts.map(text => text.replace('\n', '\r\n')).sort());
    });
}

test('smtp-client into aiosmtpd: SMTPUTF8, or an error', async t => {
    const server = await aiosmtpd(t, {}, {enable_SMTPUTF8: true});
    const args = ['-f', 'josé@me.com', '-t', 'bücher@example.com'];
    const {status, stderr} = await ours(t, server.port, args, 'κόσμε\n');
    assert.equal(status, 0, stderr);
    const [mail] = server.mails();
    assert.deepEqual([mail.from, mail.to, mail.text],
                     ['josé@me.com', ['bücher@example.com'], 'κόσμε\r\n']);
    assert.deepEqual(mail.options.sort(), ['BODY=8BITMIME', 'SMTPUTF8']);

    const old = await aiosmtpd(t);
    const refused = await ours(t, old.port, args, 'κόσμε\n');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /the server takes only addresses in ASCII/);
    assert.deepEqual(old.mails(), []);
});

test('smtp-client into aiosmtpd: more than its SIZE', async t => {
    const server = await aiosmtpd(t, {}, {data_size_limit: 1000});
    const {status, stderr} = await ours(t, server.port, ARGS, TEXT);
    assert.equal(status, 1);
    assert.match(stderr, /the message is longer than the server takes/);
    assert.deepEqual(server.mails(), []);
});

test('smtp-client into npm: a file that is more than its SIZE', async t => {
    const server = await npm(t, {}, {size: 1000});
    const file = path.join(folder(t), 'text');
    fs.writeFileSync(file, TEXT);
    const {status, stderr} = await run(t, 'sh', ['-c',
        `exec "${program('smtp-client')}" -t you@example.com 127.0.0.1 ` +
        `${server.port} <"${file}"`]);
    assert.deepEqual([status, stderr], [1,
        'Protocol Error: 552 Error: message exceeds fixed maximum message ' +
        'size 1000\n']);
    assert.deepEqual(server.mails(), []);
});

test('smtp-client into npm: no service here', async t => {
    const server = await npm(t, {CONNECT: '554 not for you'});
    const {status, stderr} = await ours(t, server.port, ARGS, 'hello\n');
    assert.deepEqual([status, stderr],
                     [1, 'Protocol Error: 554 not for you\n']);
});

test('smtp-client into npm: without pipelining, without 8BITMIME', async t => {
    const server = await npm(t, {}, {hidePIPELINING: true, hide8BITMIME: true,
                                     hideSMTPUTF8: true, hideSize: true});
    const {status, stderr} = await ours(t, server.port, ARGS, TEXT);
    assert.equal(status, 0, stderr);
    assert.equal(server.mails()[0].text, TEXT);
});

// The dump begins with lines of its own, and its text has LF line ends.
test('smtp-client into smtp-sink: byte for byte', async t => {
    for (const args of [[], ['-8'], ['-p'], ['-e'], ['-p', '-E', '-8']]) {
        const server = await sink(t, args);
        const {status, stderr} = await ours(t, server.port, ARGS, TEXT);
        assert.equal(status, 0, stderr);
        const [mail, ...more] = server.mails();
        assert.deepEqual(more, []);
        assert.ok(mail.endsWith('\n' + TEXT.replaceAll('\r\n', '\n') + '\n'),
                  mail);
        assert.match(mail, /^X-Mail-Args: <me@me\.com>/m);
        assert.deepEqual(mail.match(/^X-Rcpt-Args: <.*?>/mg),
                         RCPTS.map(rcpt => `X-Rcpt-Args: <${rcpt}>`));
        assert.match(mail, args.includes('-e') ? /^X-Client-Proto: SMTP$/m
                                               : /^X-Client-Proto: ESMTP$/m);
    }
});

test('smtp-client into smtp-sink: a refusal of each command', async t => {
    const hard = 'Protocol Error: 500 5.3.0 Error: command failed\n';
    const soft = 'Protocol Error: 450 4.3.0 Error: command failed\n' +
                 'This may pass: try again later.\n';
    const about = 'It was about Recipient "you@example.com"\n';
    for (const [args, said] of [
        [['-f', 'connect'], hard],
        [['-f', 'ehlo,helo'], hard],
        [['-f', 'mail'], hard],
        [['-f', 'rcpt'], hard + about],
        [['-f', 'data'], hard],
        [['-f', '.'], hard],
        [['-r', 'connect'], soft],
        [['-r', 'ehlo'], soft],
        [['-r', 'mail'], soft],
        [['-r', 'rcpt'], soft + about],
        [['-r', 'data'], soft],
        [['-r', '.'], soft],
        [['-f', 'rcpt', '-B', '550 5.1.1 unknown'],
         'No Mailbox for Recipient "you@example.com"\n']]) {
        const server = await sink(t, args);
        const {status, stdout, stderr} = await ours(t, server.port,
            ['-t', 'you@example.com'], 'hello\n');
        assert.deepEqual([status, stdout, stderr], [1, '', said], args.join());
    }
    const server = await sink(t, ['-f', 'ehlo']);
    const {status, stderr} = await ours(t, server.port, ARGS, 'hello\n');
    assert.equal(status, 0, stderr); // by HELO
});

test('smtp-client into smtp-sink: a server that leaves', async t => {
    for (const command of ['connect', 'ehlo', 'mail', 'rcpt', 'data', '.'])
        for (const [how, said] of [
            ['-q', /: the server has closed the connection; /],
            ['-Q', /^Protocol Error: 421 .*\nThe server ends the session: /]]) {
            const server = await sink(t, [how, command]);
            const {status, stdout, stderr} =
                await ours(t, server.port, ARGS, 'hello\n');
            assert.deepEqual([status, stdout], [1, '']);
            assert.match(stderr, said);
        }
});
