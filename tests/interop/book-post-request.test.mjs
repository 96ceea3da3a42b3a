// book-post-request.test.mjs -- what the book's clients of HTTP were seen to
// send and print, as facts about ours. Where the book's program is wrong, the
// row says what is right, and its name says so: "not as the book".

import assert from 'node:assert/strict';
import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {test} from 'node:test';
import {atEnd, folder, freePort, launch, program, run, within}
    from './program.mjs';

const client = (t, args, options) =>
    run(t, program('post-request'), args, options);

// A server of one client at a time: .came is what it was sent. When that ends
// as UNTIL says it writes BYTES, a packet each, and closes; if there are none,
// it just stays.
async function peer(t, bytes, until = /\r\n\r\n/) {
    const server = net.createServer({noDelay: true}, async socket => {
        server.came = '';
        socket.on('error', () => {});
        socket.setEncoding('latin1').on('data', text => {
            server.came += text;
            server.emit('more');
            if (until.test(server.came)) server.emit('asked');
        });
        atEnd(t, () => socket.destroy());
        await once(server, 'asked');
        for (const packet of bytes ?? [])
            await new Promise(done => socket.write(packet, done));
        if (bytes) socket.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    atEnd(t, () => server.close());
    server.url = `http://127.0.0.1:${server.address().port}`;
    server.host = server.url.slice(7);
    return server;
}

const object = '{\n  "name": "Cian Ó Maidín",\n  "company": "nearForm"\n}';
const latin1 = text => Buffer.from(text).toString('latin1');
const shown = (status, body) => `\n Status: ${status}\n Body: ${body}\n\n`;

test('post-request: the bytes of the request', async t => {
    const server = await peer(t, ['HTTP/1.1 201 Created\r\n',
                                  'Content-Length: 2\r\n\r\n', 'ok'], /\n}/);
    assert.deepEqual(await client(t, [server.url + '/api/users']),
                     {status: 0, stdout: shown(201, 'ok'), stderr: ''});
    assert.equal(server.came, // not as the book: the order, and "close"
                 'POST /api/users HTTP/1.1\r\n' + `Host: ${server.host}\r\n` +
                 'Content-Type: application/json\r\nContent-Length: 56\r\n' +
                 `Connection: close\r\n\r\n${latin1(object)}`);
});

test('post-request: what is printed', async t => {
    const head = 'HTTP/1.1 201 Created\r\n';
    const e = Buffer.from('é');
    const rows = [ // the answer, and the body that is shown
        ['with a length', [`${head}Content-Length: 2\r\n\r\nok`], 'ok'],
        ['to the close', [`${head}\r\nok`], 'ok'],
        ['in chunks, with extension and trailer',
         [`${head}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n` +
          '0\r\nX-Sum: 1\r\n\r\n'], 'ok'],
        ['in two packets that part a character',
         [`${head}Content-Length: 2\r\n\r\n`, e.subarray(0, 1),
          e.subarray(1)], 'é'],
        ['after 100 and 103', ['HTTP/1.1 100 Continue\r\n\r\n' +
            'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n' +
            `${head}Content-Length: 2\r\n\r\nok`], 'ok'],
        ['with more than its length',
         [`${head}Content-Length: 2\r\n\r\nok and more`], 'ok'],
        ['a mebibyte', [`${head}\r\n${'x'.repeat(1 << 20)}`],
         'x'.repeat(1 << 20)],
    ];
    for (const [what, bytes, body] of rows)
        await t.test(what, async t => {
            const server = await peer(t, bytes);
            assert.deepEqual(
                await client(t, [server.url]),
                {status: 0, stdout: shown(201, body), stderr: ''});
        });
});

test('post-request: errors: not as the book, status 1', async t => {
    const head = 'HTTP/1.1 201 Created\r\n';
    const rows = [ // the answer, what is printed of it, and the error
        ['hangs up', [], '', /closed before an answer came/],
        ['is not HTTP', ['220 smtp ready\r\n'], '', /malformed answer/],
        ['a head that breaks off', [head], '', /truncated/],
        ['a body that breaks off', [`${head}Content-Length: 100\r\n\r\n0123`],
         '\n Status: 201\n Body: 0123', /after 4 bytes .*truncated/],
        ['chunks that break off',
         [`${head}Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n`],
         '\n Status: 201\n Body: 0123', /after 4 bytes .*truncated/],
        ['a bad chunk size',
         [`${head}Transfer-Encoding: chunked\r\n\r\nhello\r\n`],
         '\n Status: 201\n Body: ', /a bad chunk/],
        ['is silent', undefined, '', /no answer/],
    ];
    for (const [what, bytes, stdout, error] of rows)
        await t.test(what, async t => {
            const server = await peer(t, bytes);
            const got = await client(t, [server.url],
                                     {env: {REPLY_MS: bytes ? '' : '200'}});
            assert.deepEqual([got.status, got.stdout], [1, stdout]);
            assert.match(got.stderr, /^Error: [^\n]*\n$/);
            assert.match(got.stderr, error);
        });
    await t.test('is not there', async t => {
        const port = await freePort();
        assert.deepEqual(await client(t, [`http://127.0.0.1:${port}`]), {
            status: 1, stdout: '',
            stderr: `Error: 127.0.0.1 port ${port}: Connection refused\n`});
    });
    await t.test('stdout is closed', async t => {
        const server = await peer(t, [`${head}\r\nok`]);
        const got = launch(t, program('post-request'), [server.url]);
        got.child.stdout.destroy();
        assert.deepEqual(await got.wait(), {status: 1, signal: null});
        assert.equal(got.stderr, 'Error: stdout: Broken pipe\n');
    });
});

test('post-request -g: buffering', async t => {
    const answer = (body, lines = `Content-Length: ${Buffer.byteLength(body)}`,
                    status = '200 OK') =>
        [`HTTP/1.1 ${status}\r\n${lines}\r\n\r\n`, body];
    const rows = [ // the answer, and the line that is printed
        ['a guid', answer('{"guid":"9c4e","x":1}'), 'GUID: 9c4e'],
        ['a number', answer('{"guid":42}'), 'GUID: 42'],
        ['a label that says gzip',
         answer('{"guid":"a"}', 'Content-Length: 12\r\nContent-Encoding: gzip'),
         'GUID: a'],
    ];
    const here = [
        ['to the close', answer('{"guid":"a"}', 'X: y'), 'GUID: a'],
        ['in chunks', answer('c\r\n{"guid":"a"}\r\n0\r\n\r\n',
                             'Transfer-Encoding: chunked'), 'GUID: a'],
    ];
    const bad = [ // the status, and the error
        ['no guid', answer('{"a":1}'), 1, /no guid/],
        ['null', answer('null'), 1, /no guid/],
        ['no JSON', answer('hello'), 1, /not JSON/],
        ['nothing', answer(''), 1, /not JSON/],
        ['a byte order mark', answer('\uFEFF{"guid":"a"}'), 1, /not JSON/],
        ['more than 4 GiB', answer('{', 'Content-Length: 4294967297'), 1,
         /truncated/],
        ['truncated', answer('{"guid":"a"}', 'Content-Length: 100'), 1,
         /truncated/],
        ['404', answer('{"guid":"a"}', 'X: y', '404 Not Found'), 4, /^$/],
        ['301', answer('', 'Location: /x', '301 Moved'), 3, /^$/],
    ];
    await t.test('the bytes of the request', async t => {
        const server = await peer(t, answer('{"guid":"a"}'));
        await client(t, ['-g', server.url + '/ncb3/some.json']);
        assert.equal(server.came, 'GET /ncb3/some.json HTTP/1.1\r\n' +
                     `Host: ${server.host}\r\nConnection: close\r\n\r\n`);
    });
    for (const [remark, list] of [['', rows], [': not as the book', here]])
        for (const [what, bytes, line] of list)
            await t.test(what + remark, async t => {
                const server = await peer(t, bytes);
                assert.deepEqual(
                    await client(t, ['-g', server.url]),
                    {status: 0, stdout: `${line}\n`, stderr: ''});
            });
    for (const [what, bytes, status, error] of bad)
        await t.test(`${what}: not as the book`, async t => {
            const server = await peer(t, bytes);
            const got = await client(t, ['-g', server.url]);
            assert.equal(got.status, status);
            assert.match(got.stderr, error);
            assert.doesNotMatch(got.stdout, /GUID/);
        });
});

test('post-request -s: streaming', async t => {
    const sink = t => peer(t, ['HTTP/1.1 201 Created\r\n' +
        'Content-Length: 2\r\n\r\nok'], /\r\n0\r\n\r\n$/);
    const head = server => 'POST / HTTP/1.1\r\n' + `Host: ${server.host}\r\n` +
        'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n' +
        'Connection: close\r\n\r\n';
    await t.test('a chunk for each packet', async t => {
        const server = await sink(t);
        const got = launch(t, program('post-request'), ['-s', '-', server.url]);
        let body = '';
        for (const n of [10, 20, 60]) {
            const piece = 'x'.repeat(n);
            body += `${n.toString(16)}\r\n${piece}\r\n`;
            got.stdin.write(piece);
            await within((async () => {
                while (!server.came?.endsWith(body))
                    await once(server, 'more');
            })(), 'chunk');
        }
        got.stdin.end();
        assert.equal((await got.wait()).status, 0);
        assert.equal(server.came, head(server) + body + '0\r\n\r\n');
        assert.equal(got.stdout, shown(201, 'ok'));
    });
    await t.test('nothing', async t => {
        const server = await sink(t);
        const source = await peer(t, ['HTTP/1.1 200 OK\r\n' +
                                      'Content-Length: 0\r\n\r\n']);
        const got = await client(t, ['-s', source.url, server.url]);
        assert.equal(got.stdout, shown(201, 'ok'));
        assert.equal(server.came, head(server) + '0\r\n\r\n');
    });
    for (const [what, bytes, error] of [
        ['500', ['HTTP/1.1 500 Oh\r\n\r\noops'], /answered 500/],
        ['is not HTTP', ['hello\r\n\r\n'], /malformed/],
        ['breaks off', ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'],
         /truncated/]])
        await t.test(`a source that ${what}: not as the book`, async t => {
            const server = await sink(t);
            const source = await peer(t, bytes);
            const got = await client(t, ['-s', source.url, server.url]);
            assert.equal(got.status, 1);
            assert.match(got.stderr, error);
            assert.doesNotMatch(server.came ?? '', /\r\n0\r\n\r\n$/);
        });
});

test('post-request -m: multipart', async t => {
    const server = await peer(t, ['HTTP/1.1 200 OK\r\n' +
        'Content-Length: 2\r\n\r\nok'], /\r\n0\r\n\r\n$/);
    const cwd = folder(t);
    fs.writeFileSync(path.join(cwd, 'a.txt'), 'hello');
    fs.writeFileSync(path.join(cwd, 'b.bin'), '\r\n');
    await t.test('the bytes of the request: not as the book', async t => {
        const got = await client(t, ['-m', 'a.txt', 'b.bin', '-u', server.url],
                                 {cwd});
        assert.deepEqual(got, {status: 0, stdout: shown(200, 'ok'),
                               stderr: ''});
        const [, boundary] = server.came.match(/boundary=(\w+)\r\n/);
        assert.match(boundary, /^[0-9a-f]{32}$/);
        const end = server.came.indexOf('\r\n\r\n') + 4;
        assert.equal(server.came.slice(0, end),
                     `POST / HTTP/1.1\r\nHost: ${server.host}\r\n` +
                     'Content-Type: multipart/form-data; ' +
                     `boundary=${boundary}\r\n` +
                     'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n');
        const part = (i, name, type, body) => `--${boundary}\r\n` +
            `Content-Disposition: form-data; name="userfile${i}"; ` +
            `filename="${name}"\r\nContent-Type: ${type}\r\n\r\n${body}\r\n`;
        const chunks = server.came.slice(end)
            .matchAll(/([0-9a-f]+)\r\n([^]*?)\r\n(?=[0-9a-f]+\r\n|$)/g);
        assert.equal(
            [...chunks].map(([, , bytes]) => bytes).join('').trimEnd(),
            part(0, 'a.txt', 'text/plain', 'hello') +
            part(1, 'b.bin', 'application/octet-stream', '\r\n') +
            `--${boundary}--`);
    });
    for (const [what, name, error] of [
        ['a file that is not there', 'none', 'No such file or directory'],
        ['a folder', '.', 'Is a directory']])
        await t.test(`${what}: not as the book, nothing is sent`, async t => {
            server.came = '';
            const got = await client(t, ['-m', 'a.txt', name, '-u', server.url],
                                     {cwd});
            assert.deepEqual([got.status, got.stdout, got.stderr],
                             [1, '', `Error: ${name}: ${error}\n`]);
            assert.equal(server.came, '');
        });
});
