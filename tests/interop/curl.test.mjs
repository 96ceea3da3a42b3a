// curl.test.mjs -- curl against every HTTP route of our servers.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'node:test';
import {folder, run, start, TOP} from './program.mjs';

// A server that makes curl wait for "100 Continue" in vain would go unnoticed,
// since curl sends the body after a second all the same. With this it waits
// longer than any test may last.
const patience = ['--expect100-timeout', '60'];

// One run of curl; of its words, one that begins with / is a path of the
// server. Returns what it printed, the heads that came from the server as -v
// shows them, and what -w says.
async function curl(t, server, words, options) {
    const told = '%{stderr}\\n{"code":"%{http_code}",' +
                 '"type":"%{content_type}","sent":%{size_upload}}\\n';
    const {status, stdout, stderr} = await run(t, 'curl', [
        '-sSv', ...patience, '-w', told,
        ...words.map(word => word.startsWith('/') ? server.url + word : word),
    ], options);
    const lines = stderr.split(/\r?\n/);
    const report =
        JSON.parse(lines.find(line => line.startsWith('{"code"')));
    return {
        status, stdout, stderr, ...report, code: Number(report.code),
        heads: lines.filter(line => line.startsWith('< '))
            .map(line => line.slice(2)),
    };
}

const page = (name, file) =>
    fs.readFileSync(path.join(TOP, name, 'public', file), 'utf8');

const text = 'text/plain; charset=utf-8';
const json = 'application/json';
const html = 'text/html; charset=utf-8';
const script = 'text/javascript; charset=utf-8';
const css = 'text/css; charset=utf-8';

const healthy = ['/healthz', 200, json, '{"status":"ok"}'];
const index = '{"name": "my-rest-server", "version": 0}';
const bob = '{"id":1,"first_name":"Bob","second_name":"Smith","type":"red"}';
const david =
    '{"id":2,"first_name":"David","second_name":"Clements","type":"blue"}';
const asJson = ['-H', 'Content-Type: application/json'];

// For each program: curl's words, then status, type and body of the answer.
const routes = {
    'rest-server': [
        ['/', 200, json, index],
        ['/users', 200, json, '{"data": [{"id": 1, "first_name": "Bob", ' +
                              '"second_name": "Smith"}]}'],
        healthy,
        ['/nowhere', 404, json, '{"error": "Not Found"}'],
        ['/users?x=1', 404, json, '{"error": "Not Found"}'],
        ['-X DELETE /users', 405, json, '{"error": "Method Not Allowed"}'],
        ['-d a=b /', 405, json, '{"error": "Method Not Allowed"}'],
        ['-T LICENSE /', 405, json, '{"error": "Method Not Allowed"}'],
        ['-I /', 200, json, ''],
        ['-I /nowhere', 404, json, ''],
        ['--compressed /', 200, json, index],
        ['-r 0-3 /', 200, json, index],
        ['--http2 /', 200, json, index],
        [['-H', 'Host:', '/'], 400, json, '{"error": "Bad Request"}'],
        [['-H', 'Expect: the-best', '/'], 417, json,
         '{"error": "Expectation Failed"}'],
        ['-X OPTIONS --request-target * /', 405, json,
         '{"error": "Method Not Allowed"}'],
        [['/' + 'x'.repeat(8192)], 414, json, '{"error": "URI Too Long"}'],
        [['-H', 'X-Much: ' + 'x'.repeat(33000), '/'], 431, json,
         '{"error": "Request Header Fields Too Large"}'],
    ],
    'rest-server -d': [
        ['/', 200, json, index],
        ['/users', 200, json, `{"data": [${bob},${david}]}`],
        ['/users?type=', 200, json, `{"data": [${bob},${david}]}`],
        ['/users?type=blue', 200, json, `{"data": [${david}]}`],
        ['/users?type=red', 200, json, `{"data": [${bob}]}`],
        ['/users?type=green', 200, json, '{"data": []}'],
        ['-G --data-urlencode type=blue /users', 200, json,
         `{"data": [${david}]}`],
    ],
    'post-form': [
        ['/', 200, html, page('post-form', 'form.html')],
        ['/json', 200, html, page('post-form', 'json.html')],
        ['/json.js', 200, script, page('post-form', 'json.js')],
        ['/style.css', 200, css, page('post-form', 'style.css')],
        healthy,
        ['-I /', 200, html, ''],
        ['-d userinput1=firstVal -d userinput2=secondVal /', 200, text,
         'You Posted: {"userinput1":"firstVal","userinput2":"secondVal"}'],
        [['--data-urlencode', 'a=1 & "ü" 100%', '/'], 200, text,
         'You Posted: {"a":"1 & \\"ü\\" 100%"}'],
        [['-H', 'Transfer-Encoding: chunked', '-d', 'a=1&a=2', '/'], 200, text,
         'You Posted: {"a":["1","2"]}'],
        ['--http1.0 -d a=b /', 200, text, 'You Posted: {"a":"b"}'],
        [['-d', 'a=b', '-H', 'Expect: 100-continue', '/'], 200, text,
         'You Posted: {"a":"b"}'],
        [[...asJson, '-d', '{"userinput1": "a"}', '/'], 200, json,
         '{"data": {"userinput1": "a"}}'],
        [['--json', '[1, 2]', '/'], 200, json, '{"data": [1, 2]}'],
        [['--json', '[1, 2', '/'], 400, text, 'Bad Request'],
        ['-F a=b /', 415, text, 'Unsupported Media Type'],
        ['-T README.md /', 405, text, 'Method Not Allowed'],
        [['-d', 'a=b', '-H', 'Content-Length:', '/'], 400, text,
         'Bad Request'],
        [['-d', 'a=b', '-H', 'Origin: http://example.com', '/'], 403, text,
         'Forbidden'],
        ['/api/users', 200, json, /^{"page":1,.*"tobias".*}\]}$/],
        ['--http1.0 /api/users', 200, json, /^{"page":1,.*"tobias".*}\]}$/],
        [['--json', '{"name": "Cian"}', '/api/users'], 201, json,
         /^{"name":"Cian","id":"631","createdAt":"[-\dT:.]{23}Z"}$/],
        ['/ncb3/some.json', 200, json, /^{"guid":"[-0-9a-f]{36}",.*}$/],
    ],
    'file-upload': [
        ['/', 200, html, page('file-upload', 'form.html')],
        ['/put', 200, html, page('file-upload', 'put.html')],
        ['/put.js', 200, script, page('file-upload', 'put.js')],
        ['/style.css', 200, css, page('file-upload', 'style.css')],
        healthy,
        ['-I /put', 200, html, ''],
        ['-F userinput1=hi -F userfile1=@LICENSE -F userfile2=@Makefile /', 200,
         text, 'processed "userinput1" input.\nLICENSE successfully saved!\n' +
               'Makefile successfully saved!\nAll files processed!'],
        ['--http1.0 -F userfile1=@LICENSE /', 200, text,
         'LICENSE successfully saved!\nAll files processed!'],
        [['-F', 'userfile1=@LICENSE;filename=../../x', '/'], 200, text,
         'x successfully saved!\nAll files processed!'],
        [['-F', 'userfile1=;filename=', '/'], 200, text,
         'All files processed!'],
        ['-T LICENSE /', 200, text, 'LICENSE successfully saved!\n'],
        ['-T LICENSE /n%C3%A4mlich.txt', 200, text,
         'nämlich.txt successfully saved!\n'],
        [['-T', 'LICENSE', '-H', 'X-Field: userfile1', '-H',
          'X-Filename: caf%C3%A9', '/'], 200, text,
         'café successfully saved!\n'],
        ['--http1.0 -T LICENSE /', 200, text, 'LICENSE successfully saved!\n'],
        [['-T', 'LICENSE', '-H', 'Expect:', '/'], 200, text,
         'LICENSE successfully saved!\n'],
        ['-X PUT -d hello /', 400, text, 'Bad Request'],
        ['-C 500 -T LICENSE /', 400, text, 'Bad Request'],
        ['-F userfile1=@LICENSE,Makefile /', 400, text, 'Bad Request'],
        [['-T', 'LICENSE', '-H', 'Origin: http://example.com', '/'], 403, text,
         'Forbidden'],
        ['-d a=b /', 415, text, 'Unsupported Media Type'],
        ['-X DELETE /a', 405, text, 'Method Not Allowed'],
    ],
    'websocket-app': [
        ['/', 200, html, page('websocket-app', 'index.html')],
        ['/app.js', 200, script, page('websocket-app', 'app.js')],
        ['/style.css', 200, css, page('websocket-app', 'style.css')],
        healthy,
        ['-I /', 200, html, ''],
        ['--http1.0 /', 200, html, page('websocket-app', 'index.html')],
        ['-d Hello /', 405, text, 'Method Not Allowed\n'],
        ['-T LICENSE /', 405, text, 'Method Not Allowed\n'],
    ],
};

for (const [command, rows] of Object.entries(routes)) {
    test(`curl: the routes of ${command}`, async t => {
        const [name, ...args] = command.split(' ');
        const server = await start(t, name, args);
        for (const [words, code, type, body] of rows) {
            const list = Array.isArray(words) ? words : words.split(' ');
            await t.test(list.join(' ').slice(0, 70), async t => {
                const got = await curl(t, server, list);
                if (list.includes('-I')) { // it prints the head
                    assert.match(got.stdout, /\r\n\r\n$/);
                    got.stdout = '';
                }
                assert.deepEqual([got.status, got.code, got.type],
                                 [0, code, type]);
                if (body instanceof RegExp) assert.match(got.stdout, body);
                else assert.equal(got.stdout, body);
            });
        }
    });
}

// curl says Expect: 100-continue by itself before more than 1 MiB, and before
// a body whose length it does not know.
const megabytes = n => 'x='.padEnd(n * 1024 * 1024, 'x');
const continued = 'HTTP/1.1 100 Continue';

test('curl: large bodies, after "100 Continue"', async t => {
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload', [], {MAX_FILE: '3000000'});
    const rows = [
        ['2 MiB posted', form, ['--data-binary', '@-', '/'],
         2, 200, /^You Posted: {"x":"x{2097150}"}$/],
        ['2 MiB posted in chunks', form,
         ['--data-binary', '@-', '-H', 'Transfer-Encoding: chunked', '/'],
         2, 200, /^You Posted: {"x":"x{2097150}"}$/],
        ['2 MiB put in chunks', upload, ['-T', '-', '/x'],
         2, 200, /^x successfully saved!\n$/],
        ['8 MiB in a form', upload, ['-F', 'userfile1=@-;filename=x', '/'],
         8, 200, /^x successfully saved!\nAll files processed!$/],
    ];
    for (const [name, server, words, size, code, body] of rows) {
        await t.test(name, async t => {
            const got = await curl(t, server, words, {input: megabytes(size)});
            assert.equal(got.status, 0, got.stderr);
            assert.deepEqual(got.heads.filter(line => /^HTTP/.test(line)),
                             [continued, `HTTP/1.1 ${code} OK`]);
            assert.match(got.stdout, body);
        });
    }
    const saved = fs.readdirSync(path.join(upload.root, 'uploads'))
        .filter(name => !name.startsWith('.')).map(name => fs.readFileSync(
            path.join(upload.root, 'uploads', name), 'utf8'));
    saved.sort((a, b) => a.length - b.length);
    assert.ok(saved[0] === megabytes(2) && saved[1] === megabytes(8));
});

test('curl: a refusal instead of "100 Continue", and no body', async t => {
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const cwd = folder(t);
    fs.writeFileSync(path.join(cwd, 'long'), 'x'.repeat(51201));
    const rows = [
        ['too long for a form', form, ['--data-binary', '@-', '/'],
         3, 413, 'Too Large'],
        ['no form', form, ['--data-binary', '@-', '-H', 'Content-Type: a/b',
                           '/'], 2, 415, 'Unsupported Media Type'],
        ['another site', upload,
         ['-T', '-', '-H', 'Origin: http://example.com', '/x'],
         1, 403, 'Forbidden'],
        ['too long for a file', upload, ['-T', 'long', '/x'],
         0, 413, 'Too Large'],
        ['no method of ours', upload, ['-T', '-', '-X', 'PATCH', '/x'],
         1, 405, 'Method Not Allowed'],
    ];
    for (const [name, server, words, size, code, body] of rows) {
        await t.test(name, async t => {
            const got = await curl(t, server, words,
                                   {input: megabytes(size), cwd});
            assert.deepEqual([got.status, got.code, got.sent, got.stdout],
                             [0, code, 0, body]);
        });
    }
});

test('curl: a refusal arrives while the body is being sent', async t => {
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const rows = [
        ['declared', form, ['--data-binary', '@-', '-H', 'Expect:', '/']],
        ['counted', form, ['--data-binary', '@-', '-H', 'Expect:',
                           '-H', 'Transfer-Encoding: chunked', '/']],
        ['counted, of a file', upload, ['-T', '-', '-H', 'Expect:', '/x']],
        ['declared, with HTTP/1.0', form,
         ['--http1.0', '--data-binary', '@-', '/']],
    ];
    for (const [name, server, words] of rows) {
        await t.test(name, async t => {
            const got = await curl(t, server, words, {input: megabytes(16)});
            assert.equal(got.code, 413);
            assert.equal(got.stdout, 'Too Large');
        });
    }
});

test('curl: one connection for many requests', async t => {
    const server = await start(t, 'file-upload');
    const requests = ['-A me', '-F userfile1=@LICENSE', '-T LICENSE', '-d a=b',
                      '-X PATCH', '-I', '-T Makefile'];
    const words = requests.map(words => `-sS ${words} /x`).join(' --next ');
    const got = await curl(t, server, words.split(' '));
    assert.equal(got.status, 0, got.stderr);
    assert.equal(got.stderr.match(/^\* Connected to/gm).length, 1);
    assert.equal(got.heads.filter(line => /^HTTP/.test(line)).length,
                 requests.length + 2); // with 100 Continue for both PUTs
    assert.match(got.stdout, /x successfully saved!\n$/);
});

test('curl: two hundred requests, fifty at a time', async t => {
    const server = await start(t, 'rest-server', ['-d']);
    const {status, stdout} = await run(t, 'curl', [
        '-sSZ', '--parallel-max', '50', '-w', '%{http_code}\n',
        server.url + '/users?type=blue&n=[1-200]']);
    assert.equal(status, 0);
    assert.equal(stdout.split(`{"data": [${david}]}`).length - 1, 200);
    assert.equal(stdout.split('200\n').length - 1, 200);
});

test('curl: as if the server were a proxy', async t => {
    const server = await start(t, 'rest-server');
    const got = await curl(t, server, ['-x', server.url,
                                       'http://example.com/']);
    assert.match(got.stderr, /^> GET http:\/\/example.com\/ HTTP\/1.1/m);
    assert.deepEqual([got.code, got.stdout], [200, index]);
});

test('curl: IPv6 and IPv4 with HOST=::', async t => {
    for (const name of ['rest-server', 'post-form', 'file-upload',
                        'websocket-app']) {
        const server = await start(t, name, [], {HOST: '::'});
        for (const host of ['[::1]', '127.0.0.1'])
            assert.equal((await curl(t, server, [
                `http://${host}:${server.port}/healthz`])).code, 200);
    }
});

test('curl: other protocols get an error, and the next is served', async t => {
    const server = await start(t, 'rest-server');
    for (const words of [['--http2-prior-knowledge', server.url],
                         [server.url.replace('http', 'https')]])
        assert.notEqual((await curl(t, server, words)).status, 0);
    assert.equal((await curl(t, server, ['/'])).stdout, index);
});

test('curl: handshakes of a WebSocket', async t => {
    const server = await start(t, 'websocket-app');
    const upgrade = (version, key, ...more) => [
        'Upgrade: websocket', 'Connection: Upgrade',
        `Sec-WebSocket-Version: ${version}`, `Sec-WebSocket-Key: ${key}`,
        ...more].flatMap(line => ['-H', line]);
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    const rows = [
        ['an old version', upgrade(8, key), 426],
        ['a short key', upgrade(13, 'aGVsbG8='), 400],
        ['another site', upgrade(13, key, 'Origin: http://example.com'), 403],
        ['POST', [...upgrade(13, key), '-d', 'x'], 405],
        ['HTTP/1.0', [...upgrade(13, key), '--http1.0'], 400],
    ];
    for (const [name, words, code] of rows) {
        await t.test(name, async t => {
            const got = await curl(t, server, [...words, '/']);
            assert.deepEqual([got.status, got.code], [0, code]);
            if (code === 426)
                assert.ok(got.heads.includes('Sec-WebSocket-Version: 13'));
        });
    }
});
