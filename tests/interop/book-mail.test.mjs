// book-mail.test.mjs -- what the book's SMTP server and client were seen to do,
// as facts about ours. Where the book's program is wrong, unsafe or loses mail,
// the row says what is right, and its name says so: "not as the book".

import assert from 'node:assert/strict';
import {Buffer} from 'node:buffer';
import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import {test} from 'node:test';
import {atEnd, freePort, program, run, say, start} from './program.mjs';
import {terminal} from './terminal.mjs';

// The replies to a session; the last line of each, without its CRLF.
async function replies(t, server, session, options) {
    const came = await say(t, server, session, options);
    assert.match(came, /^220 localhost\r\n([^\r\n]+\r\n)+$/);
    return came.split('\r\n').slice(1, -1)
        .filter(line => line[3] === ' ');
}

const visible = dir =>
    fs.readdirSync(dir).filter(name => !name.startsWith('.'));

// What is in the mailboxes, which are emptied: [user, file name without the
// time, content]. What begins with a dot is no letter yet.
function letters(server) {
    const list = [];
    for (const user of ['another', 'you']) {
        const box = path.join(server.root, 'mail', user);
        for (const name of visible(box)) {
            assert.match(name, /-\d{13}$/);
            list.push([user, name.slice(0, -14),
                       fs.readFileSync(path.join(box, name), 'latin1')]);
            fs.unlinkSync(path.join(box, name));
        }
    }
    assert.deepEqual(visible(path.join(server.root, 'mail')).sort(),
                     ['another', 'you']);
    return list.sort();
}

const letter = (from, to, text) => `From: ${from} \nTo: ${to} \n\n${text}`;
const toYou = text => [
    ['you', 'me@me.com', letter('me@me.com', 'you@example.com', text)]];
const crlf = text => text.replaceAll('\n', '\r\n');
const envelope = 'helo x\nmail from:<me@me.com>\nrcpt to:<you@example.com>\n';

test('smtp-server: the session of the book', async t => {
    const server = await start(t, 'smtp-server');
    const session = 'helo\nmail from: me@me.com\nrcpt to: you@example.com\n' +
                    'data\nhello there!\n.\nquit\n';
    const expected = ['250 OK', '250 OK', '250 OK', '354 OK', '250 OK',
                      '221 Bye!'];
    await t.test('typed: not as the book, the text has its own line ends',
        async t => {
            assert.deepEqual(await replies(t, server, session), expected);
            assert.deepEqual(letters(server), toYou('hello there!\n'));
        });
    await t.test('with CRLF', async t => {
        assert.deepEqual(await replies(t, server, crlf(session)), expected);
        assert.deepEqual(letters(server), toYou('hello there!\r\n'));
    });
    await t.test('in upper case', async t => {
        assert.deepEqual(await replies(t, server, crlf(
            session.toUpperCase().replace('YOU@', 'you@'))), expected);
        letters(server);
    });
});

test('smtp-server: replies', async t => {
    const server = await start(t, 'smtp-server');
    const rows = [ // commands, and the reply to the last of them
        ['helo', '250 OK'],
        ['rset', '250 OK'],
        ['', '501 syntax error'],
        ['helo x\n', '501 syntax error'],
        ['helo x\n   ', '501 syntax error'],
        ...['expn x', 'turn'].map(
            line => [`helo x\n${line}`, '502 Not implemented.']),
        ...['auth plain', 'bdat 1', 'size', 'foo', 'get / http/1.1'].map(
            line => [`helo x\n${line}`, '500 Unrecognized command.']),
        ...['mail from:<a@b>', 'rcpt to:<you@localhost>', 'data'].map(line => [
            line, '503 Bad sequence: HELO or EHLO expected.']),
        ['helo x\nmail', '501 incomplete mail command'],
        ...['mail from:', 'mail from', 'mail to:<x>'].map(
            line => [`helo x\n${line}`, '501 parse error in mail command']),
        ['helo x\nmail from:<a@b>\nrcpt', '501 incomplete rcpt command'],
        ...['rcpt to:', 'rcpt <you@localhost>'].map(line => [
            `helo x\nmail from:<a@b>\n${line}`,
            '501 parse error in rcpt command']),
        ['helo x\ndata', '503 Bad sequence: MAIL expected'],
        ['helo x\nmail from:<a@b>\ndata', '503 Bad sequence: RCPT expected'],
        [`${envelope}rset\nrcpt to:<you@localhost>`,
         '503 Bad sequence: MAIL expected'],
        ...['you@example.com', '<another@localhost>', '<you@EXAMPLE.com> ',
            '<you@example.com> ', ' <you@localhost>'].map(to => [
            `helo x\nmail from:<a@b>\nrcpt to:${to}`, '250 OK']),
        ...['<you@example.org>', '<them@example.com>', '<YOU@localhost>',
            '<you@[127.0.0.1]>', '<you@example.com.evil>'].map(to => [
            `helo x\nmail from:<a@b>\nrcpt to:${to}`,
            '550 mailbox not available']),
    ];
    const here = [
        ['lhlo x', '500 Unrecognized command.'],
        ['helo me', /^250 localhost greets me \[/],
        ['helo x\nhelo', '250 OK'],
        ['ehlo x', '250 ENHANCEDSTATUSCODES'],
        ['helo x\nnoop', '250 OK'],
        ['helo x\nvrfy you', /^252 /],
        ['helo x\nhelp', /^214 /],
        ['helo x\nstarttls', '502 Not implemented.'],
        ['helo x\nquit now', /^501 syntax error/],
        ['helo x\nmail from:<>', '250 OK'],
        [`${envelope}mail from:<b@c>`,
         '503 Bad sequence: there is a sender already'],
        ['helo x\nrcpt to:<you@localhost>', '503 Bad sequence: MAIL expected'],
        ['helo x\nmail from:<a b@c>', '501 parse error in mail command'],
        ['helo x\nmail from:<a\0@c>', /^501 /],
        [`helo x\nmail from:<a@b> size=${10 << 20}0`, /^552 /],
        ...['<you@example.com@evil>', '<you@example.com', 'you@example.com>',
            '<you @localhost>', '<>'].map(to => [
            `helo x\nmail from:<a@b>\nrcpt to:${to}`,
            '501 parse error in rcpt command']),
        ...['<you@EXAMPLE.COM>', '<postmaster>', '<postmaster@localhost>',
            '<@a,@b:you@localhost>',
            '<"you"@localhost>'].map(to => [
            `helo x\nmail from:<a@b>\nrcpt to:${to}`, '250 OK']),
        [`helo x\nnoop ${'x'.repeat(1 << 20)}`, '500 Line too long.'],
    ];
    for (const [remark, list] of [['', rows], [': not as the book', here]])
        for (const [commands, reply] of list) {
            const what = JSON.stringify(commands).slice(1, -1).slice(0, 50);
            await t.test(what + remark, async t => {
                const got = await replies(t, server, `${commands}\nquit\n`);
                assert.match(got.pop(), /^221 /);
                if (reply instanceof RegExp) assert.match(got.pop(), reply);
                else assert.equal(got.pop(), reply);
            });
        }
    assert.deepEqual(letters(server), []);
});

test('smtp-server: what is stored', async t => {
    const server = await start(t, 'smtp-server');
    const rows = [ // the text as it is sent, with CRLF, and as it is stored
        ['..\r\n', '.\r\n'],
        ['..two\r\n', '.two\r\n'],
        ['...three\r\n', '..three\r\n'],
        ['a\rb\r\n', 'a\rb\r\n'],
        ['', ''],
        ['a\0b\r\n', 'a\0b\r\n'],
        ['x'.repeat(100000) + '\r\n', 'x'.repeat(100000) + '\r\n'],
    ];
    const here = [
        ['.hidden\r\n. \r\n.\r\r\n', 'hidden\r\n \r\n\r\r\n'],
        ['\xFF\xE4\xBD\r\n', '\xFF\xE4\xBD\r\n'],
        ['a\n.\nmail from:<evil@x>\r\n', 'a\n.\nmail from:<evil@x>\r\n'],
        ['a\n.\r\nb\r\n', 'a\n.\r\nb\r\n'],
    ];
    for (const [remark, list] of [['', rows], [': not as the book', here]])
        for (const [sent, stored] of list)
            await t.test(JSON.stringify(sent).slice(0, 50) + remark,
                async t => {
                    const got = await replies(t, server, Buffer.from(
                        crlf(envelope) + `data\r\n${sent}.\r\nquit\r\n`,
                        'latin1'));
                    assert.deepEqual(got.slice(-3),
                                     ['354 OK', '250 OK', '221 Bye!']);
                    assert.deepEqual(letters(server), toYou(stored));
                });
    await t.test('two recipients, and one that is refused', async t => {
        const got = await replies(t, server, `${envelope}rcpt to:<no@no>\n` +
            'rcpt to:<another@localhost>\ndata\nhi\n.\nquit\n');
        assert.deepEqual(got.slice(3), ['550 mailbox not available', '250 OK',
                                        '354 OK', '250 OK', '221 Bye!']);
        assert.deepEqual(letters(server), [
            ['another', 'me@me.com',
             letter('me@me.com', 'another@localhost', 'hi\n')],
            ...toYou('hi\n')]);
    });
    await t.test('one recipient twice: not as the book, one letter, whole',
        async t => {
            await say(t, server, `${envelope}rcpt to:<you@example.com>\n` +
                      'data\nhi\n.\nquit\n');
            assert.deepEqual(letters(server), toYou('hi\n'));
        });
});

test('smtp-server: nothing is lost or mixed: not as the book', async t => {
    const server = await start(t, 'smtp-server');
    const mail = (from, to, text) =>
        `mail from:<${from}>\nrcpt to:<${to}>\ndata\n${text}\n.\n`;
    await t.test('the second mail of a session is not the first one\'s',
        async t => {
            await say(t, server, 'helo x\n' + mail('a@a', 'you@localhost', '1')
                + mail('a@a', 'another@localhost', 'SECRET') + 'quit\n');
            assert.deepEqual(letters(server), [
                ['another', 'a@a',
                 letter('a@a', 'another@localhost', 'SECRET\n')],
                ['you', 'a@a', letter('a@a', 'you@localhost', '1\n')]]);
        });
    await t.test('nor if all its recipients are refused', async t => {
        const got = await replies(t, server, 'helo x\n' +
            mail('a@a', 'you@localhost', '1') +
            'mail from:<a@a>\nrcpt to:<no@no>\ndata\nquit\n');
        assert.deepEqual(got.slice(-3), ['550 mailbox not available',
            '503 Bad sequence: RCPT expected', '221 Bye!']);
        assert.deepEqual(letters(server), [
            ['you', 'a@a', letter('a@a', 'you@localhost', '1\n')]]);
    });
    for (const n of [2, 200])
        await t.test(`${n} mails of one sender, pipelined`, async t => {
            const texts = Array.from({length: n}, (_, i) => `${i + 1000}`);
            const got = await replies(t, server, 'helo x\n' + texts.map(
                text => mail('a@a', 'you@localhost', text)).join('') +
                'quit\n');
            assert.equal(got.filter(line => line === '354 OK').length, n);
            assert.deepEqual(letters(server), texts.map(text => [
                'you', 'a@a', letter('a@a', 'you@localhost', `${text}\n`)]));
        });
    await t.test('forty at once', async t => {
        const texts = Array.from({length: 40},
                                 (_, i) => `${i + 100}`.repeat(99));
        await Promise.all(texts.map(text => say(
            t, server, `helo x\n${mail('a@a', 'you@localhost', text)}quit\n`)));
        assert.deepEqual(letters(server), texts.map(text => [
            'you', 'a@a', letter('a@a', 'you@localhost', `${text}\n`)]));
    });
    await t.test('a client that goes leaves nothing', async t => {
        const got = await replies(t, server, `${envelope}data\nhalf\nof`,
                                  {end: true});
        assert.equal(got[3], '354 OK');
        assert.equal(await server.stop(), 0);
        for (const user of ['you', 'another'])
            assert.deepEqual(
                fs.readdirSync(path.join(server.root, 'mail', user)), []);
    });
});

test('smtp-server: senders and names of files: not as the book', async t => {
    const server = await start(t, 'smtp-server');
    const rows = [ // a sender, and what its letter is called
        ['../../x@y', '_._.._x@y'],
        ['../../../../t/esc@y', '_._.._.._.._t_esc@y'],
        ['a/b@y', 'a_b@y'],
        ['', '_'],
    ];
    for (const [from, name] of rows)
        await t.test(`<${from}>`, async t => {
            await say(t, server, `helo x\nmail from:<${from}>\n` +
                      'rcpt to:<you@localhost>\ndata\nhi\n.\nquit\n');
            assert.deepEqual(letters(server), [
                ['you', name, letter(from, 'you@localhost', 'hi\n')]]);
        });
    await t.test('300 characters', async t => {
        const from = `${'x'.repeat(298)}@y`;
        await say(t, server, `helo x\nmail from:<${from}>\n` +
                  'rcpt to:<you@localhost>\ndata\nhi\n.\nquit\n');
        const [[, name, content]] = letters(server);
        assert.ok(from.startsWith(name.slice(0, 200)), name);
        assert.equal(content, letter(from, 'you@localhost', 'hi\n'));
    });
    await t.test('a mailbox that is gone: 4xx, and it goes on', async t => {
        const box = path.join(server.root, 'mail/you');
        fs.renameSync(box, box + '.gone');
        const mail = 'mail from:<a@a>\nrcpt to:<you@localhost>\n';
        const got = await replies(t, server, `helo x\n${mail}data\nhi\n.\n` +
                                  'quit\n');
        assert.ok(got.some(line => /^45[12] /.test(line)), String(got));
        fs.renameSync(box + '.gone', box);
        await say(t, server, `helo x\n${mail}data\nhi\n.\nquit\n`);
        assert.equal(letters(server).length, 1);
    });
    assert.deepEqual(fs.readdirSync(server.root), ['mail']);
});

// ---- the client -------------------------------------------------------------

const asked = 'To: you@example.com; another@localhost\n';
const banner = '==== Message (^D to send) ====\n';

test('smtp-client: the screens of the book', async t => {
    const server = await start(t, 'smtp-server');
    const client = t => terminal(t, 'smtp-client',
                                 [server.address, server.port]);
    await t.test('hooray', async t => {
        const screen = await client(t);
        await screen.screen('To:');
        await screen.type('you@example.com; another@localhost');
        await screen.key('Enter');
        await screen.screen(asked + banner.trimEnd());
        await screen.type('hooray :)');
        await screen.key('Enter', 'C-d');
        await screen.screen(
            `${asked}${banner}hooray :)\n... sending ...\nexit 0`);
        assert.deepEqual(letters(server), [ // not as the book: both, no more
            ['another', 'me@me.com', letter('me@me.com', 'another@localhost',
                                            'hooray :)\r\n')],
            ...toYou('hooray :)\r\n')]);
    });
    for (const to of ['unsupported@address.com',
                      'you@example.com, unsupported@address.com',
                      'unsupported@address.com;you@localhost'])
        await t.test(to, async t => {
            const screen = await client(t);
            await screen.screen('To:');
            await screen.type(to);
            await screen.key('Enter');
            await screen.screen(`To: ${to}\nNo Mailbox for Recipient ` +
                                '"unsupported@address.com"\nexit 1');
            assert.deepEqual(letters(server), []);
        });
    await t.test('a trailing comma is ignored', async t => {
        const screen = await client(t);
        await screen.screen('To:');
        await screen.type('you@example.com,');
        await screen.key('Enter');
        await screen.screen(`To: you@example.com,\n${banner.trimEnd()}`);
        await screen.type('.dot');
        await screen.key('Enter', 'C-d');
        await screen.screen(/\n\.dot\n\.\.\. sending \.\.\.\nexit 0$/);
        assert.deepEqual(letters(server), toYou('.dot\r\n'));
    });
    await t.test('^D in a line: not as the book', async t => {
        const screen = await client(t);
        await screen.screen('To:');
        await screen.type('you@example.com');
        await screen.key('Enter');
        await screen.screen(/send\) ====$/);
        await screen.type('unfinished');
        await screen.key('C-d');
        await screen.screen(/unfinished\n?\.\.\. sending \.\.\.\nexit 0$/);
        assert.deepEqual(letters(server), toYou('unfinished\r\n'));
    });
    for (const [key, at] of [['C-c', 'To:'], ['C-d', 'To:'],
                             ['C-c', 'the message']])
        await t.test(`${key} at ${at}: not as the book`, async t => {
            const screen = await client(t);
            await screen.screen('To:');
            if (at !== 'To:') {
                await screen.type('you@example.com');
                await screen.key('Enter');
                await screen.screen(/send\) ====$/);
                await screen.type('half');
                await screen.key('Enter');
                await screen.screen(/send\) ====\nhalf$/);
            }
            await screen.key(key);
            await screen.screen(/\n?\.\.\. cancelled \.\.\.\nexit 130$/);
            assert.deepEqual(letters(server), []);
        });
    await t.test('the server goes: not as the book', async t => {
        const screen = await client(t);
        await screen.screen('To:');
        await screen.type('you@example.com');
        await screen.key('Enter');
        await screen.screen(/send\) ====$/);
        await server.stop();
        await screen.screen(`To: you@example.com\n${banner}` +
                            'Protocol Error: 421 4.3.2 The server stops.\n' +
                            'The server ends the session: try again later.\n' +
                            'exit 1');
    });
});

// A server that answers the lines that come as REPLIES tells (by verb; '.' is
// the end of the text) and keeps them in .lines; null: it just closes.
async function peer(t, replies) {
    const server = net.createServer(socket => {
        socket.on('error', () => {});
        const say = reply => reply === null ? socket.end()
            : socket.write(`${reply}\r\n`);
        const answers = {greeting: '220 peer', EHLO: '250 peer', MAIL: '250 OK',
                         RCPT: '250 OK', DATA: '354 OK', '.': '250 OK',
                         QUIT: '221 Bye!', ...replies};
        let text = false;
        readline.createInterface(socket).on('line', line => {
            server.lines.push(line);
            if (text && line !== '.') return;
            const verb = line.slice(0, 4);
            text = verb === 'DATA' && /^3/.test(answers.DATA);
            say(verb in answers ? answers[verb] : '500 what?');
            if (verb === 'QUIT') socket.end();
        });
        say(answers.greeting);
    }).listen(0, '127.0.0.1');
    server.lines = [];
    await once(server, 'listening');
    atEnd(t, () => server.close());
    return server;
}

test('smtp-client: what it says', async t => {
    const server = await peer(t, {});
    const got = await run(t, program('smtp-client'), [
        '127.0.0.1', server.address().port],
        {input: 'you@example.com\n.dot\n\nlast'});
    assert.deepEqual(got, {status: 0, stdout: '', stderr: ''});
    assert.match(server.lines.shift(), /^EHLO \S+$/); // the book: HELO
    assert.deepEqual(server.lines, [
        'MAIL FROM:<me@me.com>', 'RCPT TO:<you@example.com>', 'DATA',
        '..dot', '', 'last', '.', 'QUIT']); // the book: an empty line more
});

test('smtp-client: what is answered', async t => {
    const mailbox = 'No Mailbox for Recipient "you@example.com"\n';
    const rows = [ // the server's replies, the status, and the first line said
        ['RCPT 251', {RCPT: '251 later'}, 0, ''],
        ['RCPT 550', {RCPT: '550 no'}, 1, mailbox],
        ['RCPT 451', {RCPT: '451 later'}, 1, 'Protocol Error: 451 later\n'],
        ['DATA 554', {DATA: '554 no'}, 1, 'Protocol Error: 554 no\n'],
    ];
    const here = [
        ['HELO after EHLO 500', {EHLO: '500 what?', HELO: '250 peer'}, 0, ''],
        ['HELO 500', {EHLO: '500 what?', HELO: '500 no'}, 1,
         'Protocol Error: 500 no\n'],
        ['greeting 554', {greeting: '554 no'}, 1, 'Protocol Error: 554 no\n'],
        ['greeting 421', {greeting: '421 busy'}, 1,
         'Protocol Error: 421 busy\n'],
        ['MAIL 550', {MAIL: '550 no'}, 1, 'Protocol Error: 550 no\n'],
        ['DATA 550', {DATA: '550 no'}, 1, 'Protocol Error: 550 no\n'],
        ['dot 552', {'.': '552 no'}, 1, 'Protocol Error: 552 no\n'],
        ['closes at RCPT', {RCPT: null}, 1, /closed/],
        ['closes at the dot', {'.': null}, 1, /closed/],
        ['no greeting', {greeting: null}, 1, /closed/],
    ];
    for (const [remark, list] of [['', rows], [': not as the book', here]])
        for (const [what, told, status, line] of list)
            await t.test(what + remark, async t => {
                const server = await peer(t, told);
                const got = await run(t, program('smtp-client'), [
                    '127.0.0.1', server.address().port],
                    {input: 'you@example.com\nhello\n'});
                assert.deepEqual([got.status, got.stdout], [status, '']);
                if (line instanceof RegExp) assert.match(got.stderr, line);
                else if (line === '') assert.equal(got.stderr, '');
                else assert.ok(got.stderr.startsWith(line), got.stderr);
                if (status !== 0 && what !== 'dot 552' &&
                    what !== 'closes at the dot')
                    assert.ok(!server.lines.includes('hello'));
            });
    await t.test('no server: not as the book', async t => {
        const port = await freePort();
        const got = await run(t, program('smtp-client'), ['127.0.0.1', port],
                              {input: 'you@example.com\nhello\n'});
        assert.deepEqual([got.status, got.stdout], [1, '']);
        assert.match(got.stderr, /^[^\n]*Connection refused\n$/);
    });
    for (const input of ['', '\n', ',;\n'])
        await t.test(`${JSON.stringify(input)} for recipients`, async t => {
            const server = await peer(t, {});
            const got = await run(t, program('smtp-client'), [
                '127.0.0.1', server.address().port], {input});
            assert.notEqual(got.status, 0);
            assert.ok(!server.lines.includes('DATA'));
        });
});
