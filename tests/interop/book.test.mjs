// book.test.mjs -- what the book's HTTP servers were seen to answer, as facts
// about ours. Where the book's program is wrong, unsafe or loses data, the row
// says what is right, and its name says so: "not as the book".

import assert from 'node:assert/strict';
import {Buffer} from 'node:buffer';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'node:test';
import {folder, freePort, launch, program, run, say, start, TOP}
    from './program.mjs';

const raw = text => Buffer.from(text, 'latin1'); // a byte a character

// The bytes of a request. It says how long its body is, and that it is the
// last one; a header without a value, "Host:", is left out.
function request(line, headers = [], body = '') {
    const lines = {'Host': 'x', 'Connection': 'close'};
    if (body.length > 0) lines['Content-Length'] = Buffer.byteLength(body);
    for (const header of headers) {
        const [, name, value] = header.match(/^(.*?): ?([^]*)$/);
        if (/\S/.test(value)) lines[name] = value;
        else delete lines[name];
    }
    const head = [`${line} HTTP/1.1`, ...Object.entries(lines)
        .map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
    return Buffer.concat([Buffer.from(head), Buffer.from(body)]);
}

// The answers in what came: each as {status, line, headers, body}.
function answers(came) {
    const all = [];
    for (let rest = Buffer.from(came); rest.length > 0;) {
        const end = rest.indexOf('\r\n\r\n');
        assert.ok(end > 0, `not an answer: ${rest}`);
        const [line, ...lines] = String(rest.subarray(0, end)).split('\r\n');
        const headers = Object.fromEntries(lines.map(each => {
            const [, name, value] = each.match(/^([\w-]+): (.*)$/);
            return [name.toLowerCase(), value];
        }));
        const [, status] = line.match(/^HTTP\/1\.1 (\d{3}) /);
        const length = Number(headers['content-length'] ?? 0);
        const body = rest.subarray(end + 4, end + 4 + length);
        all.push({status: Number(status), line, headers, body: String(body)});
        rest = rest.subarray(end + 4 + length);
    }
    return all;
}

const named = bytes => JSON.stringify(String(bytes)).slice(1, -1).slice(0, 60);

// ---- rest-server ------------------------------------------------------------

const index = '{"name": "my-rest-server", "version": 0}';
const users =
    '{"data": [{"id": 1, "first_name": "Bob", "second_name": "Smith"}]}';
const notFound = '{"error": "Not Found"}';
const notAllowed = '{"error": "Method Not Allowed"}';

async function checkAnswer(t, server, bytes, status, body, length) {
    const [answer, ...more] = answers(await say(t, server, bytes));
    assert.deepEqual(more, []);
    assert.equal(answer.body, body);
    assert.equal(answer.status, status);
    assert.equal(answer.headers['content-length'],
                 String(length ?? Buffer.byteLength(body)));
    return answer;
}

test('rest-server: routes and methods', async t => {
    const server = await start(t, 'rest-server');
    const rows = [
        ['GET /', 200, index, 40],
        ['GET /users', 200, users, 66],
        ...['/users/', '/users?', '/users?x=1', '/?', '//users', '/USERS',
            '/users#f', '/%75sers', '/nowhere'].map(
            target => [`GET ${target}`, 404, notFound, 22]),
        ...['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']
            .flatMap(method => ['/', '/users', '/nowhere'].map(
                target => [`${method} ${target}`, 405, notAllowed, 31])),
    ];
    for (const [line, ...expected] of rows)
        await t.test(line, async t => {
            const {headers} = await checkAnswer(t, server, request(line),
                                                ...expected);
            assert.equal(headers.allow, expected[0] === 405 ? 'GET, HEAD'
                                                            : undefined);
            assert.equal(headers['content-type'], 'application/json');
        });
    for (const [line, ...expected] of [
        ['GET http://localhost:8080/users', 200, users],
        ['GET *', 400, '{"error": "Bad Request"}'],
        ['GET http://[/users', 400, '{"error": "Bad Request"}'],
    ])
        await t.test(`${line}: not as the book`, t =>
            checkAnswer(t, server, request(line), ...expected));
    for (const [target, status, length] of [['/', 200, 40], ['/users', 200, 66],
                                            ['/nowhere', 404, 22]])
        await t.test(`HEAD ${target}: not as the book`, async t => {
            const came = await say(t, server, request(`HEAD ${target}`));
            assert.match(came, new RegExp(
                `^HTTP/1.1 ${status} [^]*\r\nContent-Length: ${length}\r\n` +
                '[^]*\r\n\r\n$'));
        });
});

test('rest-server: dynamic content', async t => {
    const server = await start(t, 'rest-server', ['-d']);
    const red =
        '{"id":1,"first_name":"Bob","second_name":"Smith","type":"red"}';
    const blue =
        '{"id":2,"first_name":"David","second_name":"Clements","type":"blue"}';
    const lists = {all: [`{"data": [${red},${blue}]}`, 143],
                   red: [`{"data": [${red}]}`, 74],
                   blue: [`{"data": [${blue}]}`, 80],
                   none: ['{"data": []}', 12]};
    const rows = {
        all: ['/users', '/users?', '/users?type=', '/users?type', '/users?x=1',
              '/users?TYPE=blue', '/users?type[]=blue', '/users?__proto__=1',
              'http://localhost:8080/users'],
        red: ['/users?type=red'],
        blue: ['/users?type=blue', '/users?type=bl%75e', '/users?%74ype=blue',
               '/users?x=1&type=blue', '/users?&&type=blue'],
        none: ['/users?type=blue&type=red', '/users?type=blue&type=blue',
               '/users?type=green', '/users?type==blue', '/users?type=blue?',
               '/users?type=blue%20', '/users?type=+blue',
               '/users?type=%2Bblue', '/users?type=%zz', '/users?type=%E4%BD',
               '/users?type=%00', '/users?type=constructor',
               '/users?type=blue;type=red'],
    };
    for (const [which, targets] of Object.entries(rows))
        for (const target of targets)
            await t.test(`${target}: ${which}`, t =>
                checkAnswer(t, server, request(`GET ${target}`), 200,
                            ...lists[which]));
    for (const target of ['/?', '/?a=1', '/users/?type=blue', '/users;x',
                          '//users?type=blue', '/%75sers'])
        await t.test(`${target}: 404`, t =>
            checkAnswer(t, server, request(`GET ${target}`), 404, notFound));
    for (const bytes of [request(raw('GET /users?type=caf\xC3\xA9')
                             .toString('latin1')),
                         request('GET /users?type=a b')])
        await t.test(`${named(bytes)}: 400`, t =>
            checkAnswer(t, server, bytes, 400, '{"error": "Bad Request"}'));
});

test('rest-server: address and port', async t => {
    for (const [env, told] of [
        [{HOST: '127.0.0.1'}, {address: '127.0.0.1', family: 'IPv4'}],
        [{HOST: '::1'}, {address: '::1', family: 'IPv6'}],
        [{HOST: ''}, {address: '0.0.0.0', family: 'IPv4'}]])
        await t.test(`HOST=${env.HOST}`, async t => {
            const {stdout, port} = await start(t, 'rest-server', [], env);
            assert.equal(stdout, JSON.stringify({...told, port}) + '\n');
        });
    const port = await freePort();
    await t.test('a port of one\'s own, once', async t => {
        const first = await start(t, 'rest-server', [], {PORT: String(port)});
        assert.equal(first.port, port);
        assert.deepEqual(
            await run(t, program('rest-server'), [], {env: {
                HOST: '127.0.0.1', PORT: String(port)}}),
            {status: 1, stdout: '', stderr: `127.0.0.1 port ${port}: ` +
                                            'Address already in use\n'});
    });
    for (const value of ['abc', '80a', '-1', '65536', '8.5', '0x1F90', '/x'])
        await t.test(`PORT=${value}: not as the book`, async t => {
            const {status, stdout, stderr} = await run(
                t, program('rest-server'), [], {env: {PORT: value}});
            assert.deepEqual([status, stdout], [2, '']);
            assert.match(stderr, /^[^\n]+\n$/);
        });
    for (const value of [`0${port}`, ` ${port}`])
        await t.test(`PORT="${value}"`, async t => {
            assert.equal((await start(t, 'rest-server', [],
                                      {PORT: value})).port, port);
        });
});

// ---- HTTP, as all servers speak it ------------------------------------------

test('HTTP: what is accepted, and what follows it', async t => {
    const server = await start(t, 'rest-server');
    const last = request('GET /users');
    const get = 'GET / HTTP/1.1\r\nHost: x\r\n';
    const rows = [ // what is sent before the last request; the statuses
        ['nothing', '', []],
        ['no Connection header', `${get}\r\n`, [200]],
        ['three pipelined', `${get}\r\n`.repeat(3), [200, 200, 200]],
        ['a body with a length', `${get}Content-Length: 5\r\n\r\nhello`, [200]],
        ['a body in chunks', get + 'Transfer-Encoding: chunked\r\n\r\n' +
         '5\r\nhello\r\n0\r\n\r\n', [200]],
        ['a body of 3,000,000 bytes that nobody wants',
         'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n' +
         'x'.repeat(3000000), [405]],
        ['empty lines', '\r\n\r\n', []],
        ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', [200]],
        ['a byte E9 in a value', raw(`${get}X: caf\xE9\r\n\r\n`), [200]],
        ['an unknown Upgrade', `${get}Connection: Upgrade\r\nUpgrade: TLS/1.0` +
         '\r\n\r\n', [200]],
        ['15,000 bytes of a header', `${get}X: ${'x'.repeat(15000)}\r\n\r\n`,
         [200]],
        ['a bare LF ends a line: not as the book',
         'GET / HTTP/1.1\nHost: x\n\n', [200]],
    ];
    for (const [what, bytes, statuses] of rows)
        await t.test(what, async t => {
            const got = answers(await say(
                t, server, Buffer.concat([Buffer.from(bytes), last])));
            assert.deepEqual(got.map(answer => answer.status),
                             [...statuses, 200]);
            assert.equal(got.pop().body, users);
            for (const answer of got)
                assert.equal(answer.headers.connection, 'keep-alive');
        });
});

test('HTTP: the last answer, and how it says so', async t => {
    const server = await start(t, 'rest-server');
    const rows = [
        ['Connection: close', request('GET /'), 200],
        ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 200],
        ['HTTP/1.0 with a Host', 'GET / HTTP/1.0\r\nHost: x\r\n\r\n', 200],
        ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
        ['two Hosts: not as the book',
         'GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n', 400],
        ['HTTP/2.0: not as the book', 'GET / HTTP/2.0\r\nHost: x\r\n\r\n', 505],
        ['half-closed after it', request('GET /'), 200, true],
        ['half-closed in the head', 'GET / HTTP/1.1\r\nHo', 400, true],
        ['another Expect', request('GET /', ['Expect: more']), 417],
        ['an unknown method in lower case: not as the book',
         request('get /'), 405],
        ['a header of 33,000 bytes',
         request('GET /', [`X: ${'x'.repeat(33000)}`]), 431],
        ['a URL of 20,000 bytes: not as the book',
         request(`GET /${'x'.repeat(20000)}`), 414],
        ['CONNECT: not as the book', request('CONNECT x:80'), 405],
    ];
    for (const [what, bytes, status, end = false] of rows)
        await t.test(what, async t => {
            const [answer, ...more] =
                answers(await say(t, server, bytes, {end}));
            assert.deepEqual([answer.status, more], [status, []]);
            assert.equal(answer.headers.connection, 'close');
        });
});

test('HTTP: malformed requests are 400', async t => {
    const server = await start(t, 'rest-server');
    const get = 'GET / HTTP/1.1\r\nHost: x\r\n';
    const length = value => [`Content-Length: ${value}`,
                             `${get}Content-Length: ${value}\r\n\r\nhello`];
    const rows = [
        ['garbage', 'hello\r\n\r\n'],
        ['a TLS hello', raw('\x16\x03\x01\0\xA5\x01\0\0\xA1\x03\x03\r\n')],
        ['a space in the URL', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n'],
        ['a byte above 7F in the URL',
         raw('GET /\xC3\xA9 HTTP/1.1\r\nHost: x\r\n\r\n')],
        ['a space before the colon', `${get}X : y\r\n\r\n`],
        ['a header without a colon', `${get}X\r\n\r\n`],
        ['a folded header', `${get}X: y\r\n z\r\n\r\n`],
        ['NUL in a header', `${get}X: y\0z\r\n\r\n`],
        ['HTTP/0.9', 'GET /\r\n\r\n'],
        ['a length and chunks', `${get}Content-Length: 5\r\n` +
         'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
        ['two lengths', `${get}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`],
        ...['-1', 'abc', '', '+5', '5, 6', '0x10', '5abc',
            '18446744073709551616'].map(length),
    ];
    for (const [what, bytes] of rows)
        await t.test(what, async t => {
            const [answer, ...more] = answers(await say(t, server, bytes));
            assert.deepEqual([answer.line, answer.headers.connection, more],
                             ['HTTP/1.1 400 Bad Request', 'close', []]);
        });
    await t.test('and the server goes on', t =>
        checkAnswer(t, server, request('GET /'), 200, index));
});

test('HTTP: a client that just waits', {concurrency: true}, async t => {
    const form = await start(t, 'post-form', [],
                             {HEAD_MS: '1000', IDLE_MS: '1000'});
    const upload = await start(t, 'file-upload', [], {IDLE_MS: '1000'});
    const rows = [
        ['in a head', form, 'GET / HTTP/1.1\r\nHost:'],
        ['in a form', form, request('POST /', [
            'Content-Type: application/x-www-form-urlencoded',
            'Content-Length: 10'], 'a=b')],
        ['in a file', upload, request('PUT /x', ['Content-Length: 10'], 'x')],
    ];
    await Promise.all([
        ...rows.map(([what, server, bytes]) =>
            t.test(`${what}: 408`, async t => {
                const [answer] = answers(await say(t, server, bytes));
                assert.deepEqual([answer.status, answer.headers.connection],
                                 [408, 'close']);
            })),
        t.test('after an answer, or before any: closed', async t => {
            const got = answers(await say(
                t, form, request('GET /', ['Connection:'])));
            assert.deepEqual(got.map(answer => answer.status), [200]);
            assert.equal(await say(t, form, ''), '');
        }),
    ]);
});

test('what a program reads and writes lies beside it', async t => {
    const rows = { // what it writes, a session, and how the answer begins
        'post-form': [[], request('GET /'), 'HTTP/1.1 200'],
        'websocket-app': [[], request('GET /'), 'HTTP/1.1 200'],
        'file-upload': [['uploads'], request('GET /'), 'HTTP/1.1 200'],
        'smtp-server': [['mail'], 'quit\n', '220'],
    };
    for (const [name, [written, session, answer]] of Object.entries(rows))
        await t.test(`${name}: not as the book`, async t => {
            const cwd = folder(t), home = folder(t);
            fs.copyFileSync(program(name), path.join(home, name));
            const pages = path.join(TOP, name, 'public');
            if (fs.existsSync(pages))
                fs.cpSync(pages, path.join(home, 'public'), {recursive: true});
            const before = fs.readdirSync(home);
            const server = launch(t, path.join(home, name), [],
                                  {cwd, env: {HOST: '127.0.0.1', PORT: '0'}});
            Object.assign(server, JSON.parse(await server.next()));
            const came = await say(t, server, session);
            assert.ok(came.startsWith(answer), came);
            assert.equal(await server.stop(), 0);
            assert.deepEqual(fs.readdirSync(cwd), []);
            assert.deepEqual(fs.readdirSync(home),
                             [...before, ...written].sort());
        });
});

// ---- post-form --------------------------------------------------------------

const asForm = 'Content-Type: application/x-www-form-urlencoded';
const asJson = 'Content-Type: application/json';

test('post-form: methods, types, lengths', async t => {
    const server = await start(t, 'post-form');
    const form = fs.readFileSync(path.join(server.root, 'public/form.html'),
                                 'utf8');
    const both = 'userinput1=firstVal&userinput2=secondVal';
    const posted = 'You Posted: {"userinput1":"firstVal",' +
                   '"userinput2":"secondVal"}';
    const type = [415, 'Unsupported Media Type', 22];
    const none = [400, 'Bad Request', 11];
    const large = [413, 'Too Large', 9];
    const post = (headers, body = '') => request('POST /', headers, body);
    const rows = [ // the request, the answer, and a line on the terminal
        ['GET', request('GET /'), 200, form],
        ['GET of any path', request('GET /any'), 200, form],
        ...['OPTIONS', 'PUT', 'DELETE', 'PATCH'].map(method => [
            method, request(`${method} /`), 405, 'Method Not Allowed', 18]),
        ['a form', post([asForm], both), 200, posted, 62,
         posted.replace('You Posted:', 'User Posted: ')],
        ['to any path', request('POST /a/b?c', [asForm], 'a=b'), 200,
         'You Posted: {"a":"b"}', 21, 'User Posted:  {"a":"b"}'],
        ['no type', post([], both), ...type],
        ['another type', post(['Content-Type: text/plain'], both), ...type],
        ['a type in upper case: not as the book',
         post([asForm.toUpperCase()], 'a=b'), 200,
         'You Posted: {"a":"b"}', 21, 'User Posted:  {"a":"b"}'],
        ['a charset: not as the book',
         post([asForm + '; charset=utf-8'], 'a=b'), 200,
         'You Posted: {"a":"b"}', 21, 'User Posted:  {"a":"b"}'],
        ['no length', post([asForm]), ...none],
        ['chunks: not as the book', post(
            [asForm, 'Transfer-Encoding: chunked', 'Content-Length:'],
            '3\r\na=b\r\n0\r\n\r\n'), 200,
         'You Posted: {"a":"b"}', 21, 'User Posted:  {"a":"b"}'],
        ['a byte more than 2 MiB',
         post([asForm, 'Content-Length: 2097153']), ...large],
        ['2 MiB', post([asForm], 'a='.padEnd(2097152, 'x')), 200,
         `You Posted: {"a":"${'x'.repeat(2097150)}"}`, 2097170,
         'User Posted:  ' + '{"a":"'.padEnd(10000, 'x') +
         '... 2087158 more bytes'],
        ['length 0', post([asForm, 'Content-Length: 0']), 200,
         'You Posted: {}', 14, 'User Posted:  {}'],
        ['the type is looked at first',
         post(['Content-Type: a/b', 'Content-Length: 2097153']), ...type],
        ['a body longer than its length: not as the book',
         post([asForm, 'Content-Length: 5'], both), 200,
         'You Posted: {"useri":""}', 24, 'User Posted:  {"useri":""}'],
    ];
    for (const [what, bytes, status, body, length, line] of rows)
        await t.test(what, async t => {
            await checkAnswer(t, server, bytes, status, body, length);
            if (line !== undefined) assert.equal(await server.next(), line);
        });
    await t.test('a body that breaks off: 400, and nothing is logged',
        async t => {
            const [answer] = answers(await say(
                t, server, post([asForm, 'Content-Length: 50'], both),
                {end: true}));
            assert.equal(answer.status, 400);
        });
    await t.test('two posts and a GET, pipelined', async t => {
        const got = answers(await say(t, server, Buffer.concat([
            request('POST /', [asForm, 'Connection:'], 'a=1'),
            request('POST /', [asForm, 'Connection:'], 'a=2'),
            request('GET /')])));
        assert.deepEqual(got.map(answer => answer.body),
                         ['You Posted: {"a":"1"}', 'You Posted: {"a":"2"}',
                          form]);
        assert.equal(await server.next(), 'User Posted:  {"a":"1"}');
        assert.equal(await server.next(), 'User Posted:  {"a":"2"}');
    });
    await t.test('a refused body, whole, and then a GET', async t => {
        const got = answers(await say(t, server, Buffer.concat([
            request('POST /', ['Connection:'], 'x'.repeat(100000)),
            request('GET /')])));
        assert.deepEqual(got.map(answer => answer.status), [415, 200]);
    });
    await t.test('100 Continue', async t => {
        const came = await say(
            t, server, post([asForm, 'Expect: 100-continue'], 'a=b'));
        assert.match(came, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/);
    });
    for (const [what, headers, status] of [
        ['413', [asForm, 'Content-Length: 2097153'], 413],
        ['415', ['Content-Length: 5'], 415]])
        await t.test(`${what} instead of 100: not as the book`, async t => {
            const came = await say(
                t, server, post([...headers, 'Expect: 100-continue']));
            assert.match(came, new RegExp(`^HTTP/1.1 ${status} `));
        });
});

test('post-form: how a form is read', async t => {
    const server = await start(t, 'post-form');
    const bad = '\uFFFD';
    const many = Array.from({length: 1500}, (_, i) => [`k${i}`, `${i}`]);
    const rows = [ // what is posted, and the JSON
        ['a=1&a=2&a=3', '{"a":["1","2","3"]}'],
        ['a', '{"a":""}'], ['a=', '{"a":""}'], ['=b', '{"":"b"}'],
        ['&', '{}'], ['&&a=1&&', '{"a":"1"}'], ['a=b=c', '{"a":"b=c"}'],
        ['a+b=c+d', '{"a b":"c d"}'], ['a=%2B%20+', '{"a":"+  "}'],
        ['a=%C3%A9', '{"a":"é"}'], ['a=é', '{"a":"é"}'],
        ['a=%F0%9F%98%80', '{"a":"😀"}'],
        ...['%zz', '%', '%4', '%u00e9'].map(
            value => [`a=${value}`, `{"a":"${value}"}`]),
        ['a=%E4%BD', `{"a":"${bad}"}`], ['a=%FF', `{"a":"${bad}"}`],
        [raw('a=\xFF\xFE'), `{"a":"${bad}${bad}"}`],
        ['a=%ED%A0%80', `{"a":"${bad}${bad}${bad}"}`],
        ['%61=1', '{"a":"1"}'],
        ['a[]=1&a[]=2', '{"a[]":["1","2"]}'],
        ['a[b]=1&a.b=1', '{"a[b]":"1","a.b":"1"}'],
        ['a=1;b=2', '{"a":"1;b=2"}'], [' a = b ', '{" a ":" b "}'],
        ['__proto__=x', '{"__proto__":"x"}'],
        ['a=%0A%0D%09%00%1F%7F', '{"a":"\\n\\r\\t\\u0000\\u001f\x7F"}'],
        ['a=%22%5C%2F', '{"a":"\\"\\\\/"}'],
        ['a=\u2028', '{"a":"\u2028"}'], ['a=1\r\n', '{"a":"1\\r\\n"}'],
        ['a=<script>', '{"a":"<script>"}'],
    ];
    for (const [body, json] of rows)
        await t.test(named(body), t =>
            checkAnswer(t, server, request('POST /', [asForm], body), 200,
                        `You Posted: ${json}`));
    for (const [what, body, json] of [
        ['numbers stay where they were', '1=x&0=y&b=z',
         '{"1":"x","0":"y","b":"z"}'],
        ['all of 1500 fields', String(new URLSearchParams(many)),
         JSON.stringify(Object.fromEntries(many))]])
        await t.test(`${what}: not as the book`, t =>
            checkAnswer(t, server, request('POST /', [asForm], body), 200,
                        `You Posted: ${json}`));
});

test('post-form: JSON', async t => {
    const server = await start(t, 'post-form');
    const good = [
        '{}', '[]', 'null', 'true', '1', '"s"', '-0', '1E5', '1e999',
        '{"a":1,"a":2}', ' {"a" : 1 } ', '\n[1]\n', '"\\ud800"',
        '12345678901234567890', '{"__proto__":{"a":1}}', '"\u2028"',
        '"\\u0000"', '"é😀"', '['.repeat(512) + ']'.repeat(512),
    ];
    const bad = [
        '{', '{"a":}', "{'a':1}", '[1,]', '{"a":1,}', '01', '-01', '.5', '1.',
        '1e', '1e+', '-', '+1', 'NaN', 'Infinity', 'undefined', 'tru',
        '"\n"', '"\t"', '"\0"', '"\\x41"', '"\\uD83"', '1 /* a */', '// a\n1',
        '1 2', '{} x', '1\0', '\uFEFF1', '\f1', '\u00A01',
    ];
    const badHere = [raw('"\xFF\xFE"'), raw('"\xC0\x80"'),
                     raw('"\xED\xA0\x80"'),
                     '['.repeat(513) + ']'.repeat(513)];
    for (const json of good)
        await t.test(named(json), async t => {
            await checkAnswer(t, server, request('POST /', [asJson], json), 200,
                              `{"data": ${json}}`);
            const line = await server.next();
            const shown = json.replaceAll('\n', '\\x0A')
                .replaceAll('\u2028', '\\xE2\\x80\\xA8');
            assert.equal(line, `User Posted:  ${shown}`);
        });
    for (const [remark, list] of [['', bad], [', not as the book', badHere]])
        for (const json of list)
            await t.test(`${named(json)}: 400${remark}`, t =>
                checkAnswer(t, server, request('POST /', [asJson], json), 400,
                            'Bad Request'));
    await t.test('nothing: 400', t =>
        checkAnswer(t, server, request('POST /', [asJson,
                                                  'Content-Length: 0']),
                    400, 'Bad Request'));
    await t.test('a charset and upper case: not as the book', async t => {
        await checkAnswer(t, server, request(
            'POST /', ['Content-Type: Application/JSON; charset=UTF-8'], '[2]'),
                          200, '{"data": [2]}');
        assert.equal(await server.next(), 'User Posted:  [2]');
    });
    await t.test('none drives the terminal: not as the book', async t => {
        const json = '"\x7F\u009B31m"'; // CSI, a C1 control
        await checkAnswer(t, server, request('POST /', [asJson], json), 200,
                          `{"data": ${json}}`);
        assert.equal(await server.next(),
                     'User Posted:  "\\x7F\\xC2\\x9B31m"');
    });
});

// ---- file-upload: forms -----------------------------------------------------

const B = 'AaB03x';
const asMultipart = `Content-Type: multipart/form-data; boundary=${B}`;
const head = (field, file) => 'Content-Disposition: form-data; ' +
    `name="${field}"` + (file === undefined ? '' : `; filename="${file}"`);
const part = (lines, body, boundary = B) =>
    `--${boundary}\r\n${lines}\r\n\r\n${body}\r\n`;
const file = (name, body, field = 'userfile1') => part(head(field, name), body);
const closing = `--${B}--\r\n`;
const ok = (...names) => names.map(name => `${name} successfully saved!\n`)
    .join('') + 'All files processed!';

// What an upload server has saved since it was last asked: [field, name,
// content] of each file; nothing may be left of the others.
function saved(server) {
    const uploads = path.join(server.root, 'uploads');
    const list = [];
    for (const each of fs.readdirSync(uploads)) {
        if (each === '.lock') continue;
        const [, field, name] = each.match(/^(.*?)-\d{13}-([^]*)$/);
        const at = path.join(uploads, each);
        list.push([field, name, fs.readFileSync(at, 'latin1')]);
        assert.equal(fs.statSync(at).mode & 0o777, 0o600);
        fs.unlinkSync(at);
    }
    return list.sort();
}

test('file-upload: what is answered to a form', async t => {
    const server = await start(t, 'file-upload');
    const post = (body, headers = []) =>
        request('POST /', [asMultipart, ...headers], body);
    const a = file('a.txt', 'hello');
    const aSaved = [['userfile1', 'a.txt', 'hello']];
    const chunked = text => text.match(/[^]{1,7}/g).map(
        piece => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('') +
        '0\r\n\r\n';
    const large = 'x'.repeat(3000000);
    const long = 'b'.repeat(70);
    const rows = [ // the request, the status, the answer, what is saved
        ['one file', post(a + closing), 200, ok('a.txt'), aSaved],
        ['two files', post(a + file('b', 'bye', 'userfile2') + closing),
         200, ok('a.txt', 'b'), [...aSaved, ['userfile2', 'b', 'bye']]],
        ['an empty file', post(file('a.txt', '') + closing), 200, ok('a.txt'),
         [['userfile1', 'a.txt', '']]],
        ['one chosen, one not', post(a + file('', '') + closing), 200,
         ok('a.txt'), aSaved],
        ['one not chosen, one is', post(file('', '') + a + closing), 200,
         ok('a.txt'), aSaved],
        ['nothing chosen: not as the book', post(file('', '') + closing), 200,
         ok(), []],
        ['no part at all: not as the book', post(closing), 200, ok(), []],
        ['a text field: not as the book',
         post(part(head('userinput1'), 'hi') + closing), 200,
         'processed "userinput1" input.\n' + ok(), []],
        ['a text field and a file',
         post(part(head('userinput1'), 'hi') + a + closing), 200,
         'processed "userinput1" input.\n' + ok('a.txt'), aSaved],
        ['one name twice: not as the book',
         post(a + file('a.txt', 'other') + closing), 200, ok('a.txt', 'a.txt'),
         [...aSaved, ['userfile1', 'a.txt', 'other']]],
        ['100 files', post(Array.from({length: 100}, (_, i) =>
            file(`${i + 100}`, `<${i + 100}>`)).join('') + closing), 200,
         ok(...Array.from({length: 100}, (_, i) => `${i + 100}`)),
         Array.from({length: 100}, (_, i) => [
             'userfile1', `${i + 100}`, `<${i + 100}>`])],
        ['3,000,000 bytes', post(file('a.txt', large) + closing), 200,
         ok('a.txt'), [['userfile1', 'a.txt', large]]],
        ['in chunks of seven bytes', post(chunked(a + closing), [
            'Content-Length:', 'Transfer-Encoding: chunked']), 200, ok('a.txt'),
         aSaved],
        ['with preamble and epilogue',
         post(`pre\r\n${a}${closing}epilogue`), 200, ok('a.txt'), aSaved],
        ['an empty line first', post(`\r\n${a}${closing}`), 200, ok('a.txt'),
         aSaved],
        ['no CRLF at the end', post(a + closing.trimEnd()), 200, ok('a.txt'),
         aSaved],
        ['blanks after the boundary: not as the book',
         post(a.replace(B, `${B} \t`) + closing), 200, ok('a.txt'), aSaved],
        ['the boundary quoted', post(a + closing, [
            `Content-Type: multipart/form-data; boundary="${B}"`]), 200,
         ok('a.txt'), aSaved],
        ['BOUNDARY=', post(a + closing, [
            `Content-Type: multipart/form-data; BOUNDARY=${B}`]), 200,
         ok('a.txt'), aSaved],
        ['a boundary of 70', post(
            part(head('f', 'a'), 'x', long) + `--${long}--`, [
                `Content-Type: multipart/form-data; boundary=${long}`]), 200,
         ok('a'), [['f', 'a', 'x']]],
        ['MULTIPART/FORM-DATA: not as the book', post(a + closing, [
            `Content-Type: MULTIPART/FORM-DATA; boundary=${B}`]), 200,
         ok('a.txt'), aSaved],
        ['a part\'s head of 20,000 bytes', post(part(
            `X: ${'x'.repeat(20000)}\r\n${head('f', 'a')}`, 'x') + closing),
         200, ok('a'), [['f', 'a', 'x']]],
        ['nothing is quoted', post(part(
            'Content-Disposition: form-data; name=f; filename=a', 'x') +
            closing), 200, ok('a'), [['f', 'a', 'x']]],
        ['the file\'s name first', post(part(
            'Content-Disposition: form-data; filename="a"; name="f"', 'x') +
            closing), 200, ok('a'), [['f', 'a', 'x']]],
        ['no space after the semicolon', post(part(
            'Content-Disposition: form-data; name="f";filename="a"', 'x') +
            closing), 200, ok('a'), [['f', 'a', 'x']]],
        ['all in upper case: not as the book', post(part(
            'CONTENT-DISPOSITION: FORM-DATA; NAME="f"; FILENAME="a"', 'x') +
            closing), 200, ok('a'), [['f', 'a', 'x']]],
        ['the boundary begins a longer line: not as the book',
         post(file('a', `x\r\n--${B}Z\r\ny`) + closing), 200, ok('a'),
         [['userfile1', 'a', `x\r\n--${B}Z\r\ny`]]],
        ['base64 stays as it is: not as the book', post(part(
            `${head('f', 'a')}\r\nContent-Transfer-Encoding: base64`,
            'aGVsbG8=') + closing), 200, ok('a'), [['f', 'a', 'aGVsbG8=']]],
        ...['attachment; name="f"; filename="a"', 'form-data; filename="a"',
            'form-data'].map(disposition => [
            `${disposition}: not as the book`,
            post(part(`Content-Disposition: ${disposition}`, 'x') + closing),
            400, 'Bad Request', []]),
        ['no disposition: not as the book', post(
            part('Content-Type: text/plain', 'x') + closing), 400,
         'Bad Request', []],
        ['a text of 1 MiB', post(
            part(head('f'), 'x'.repeat(1 << 20)) + closing), 200,
         'processed "f" input.\n' + ok(), []],
        ['and one byte more: not as the book', post(
            part(head('f'), 'x'.repeat((1 << 20) + 1)) + closing), 413,
         'Too Large', []],
        ['no closing boundary: not as the book', post(a), 400, 'Bad Request',
         []],
        ['an empty body: not as the book', post('', ['Content-Length: 0']),
         400, 'Bad Request', []],
        ['another boundary: not as the book',
         post(a.replace(B, 'other') + '--other--'), 400, 'Bad Request', []],
        ['no boundary: not as the book', post(a + closing, [
            'Content-Type: multipart/form-data']), 400, 'Bad Request', []],
        ['no length', post('', ['Content-Length:']), 400, 'Bad Request', []],
        ['text/plain', post(a, ['Content-Type: text/plain']), 415,
         'Unsupported Media Type', []],
        ['text/plain with a bait: not as the book', post(a, [
            'Content-Type: text/plain; x=multipart/form-data']), 415,
         'Unsupported Media Type', []],
        ['no type', post(a, ['Content-Type:']), 415, 'Unsupported Media Type',
         []],
        ['GET', request('GET /'), 200, fs.readFileSync(path.join(
            server.root, 'public/form.html'), 'utf8'), []],
        ['OPTIONS', request('OPTIONS /'), 405, 'Method Not Allowed', []],
        ['DELETE', request('DELETE /'), 405, 'Method Not Allowed', []],
    ];
    for (const [what, bytes, status, body, files] of rows)
        await t.test(what, async t => {
            await checkAnswer(t, server, bytes, status, body);
            assert.deepEqual(saved(server), files);
        });
    for (const [what, bytes] of [
        ['a body that breaks off', post(a, ['Content-Length: 5000'])],
        ['a form that breaks off', post(
            file('a.txt', large), ['Content-Length: 5000000'])]])
        await t.test(`${what}: not as the book`, async t => {
            const [answer] =
                answers(await say(t, server, bytes, {end: true}));
            assert.equal(answer.status, 400);
            assert.deepEqual(saved(server), []);
        });
});

test('file-upload: what its terminal says of a form', async t => {
    const server = await start(t, 'file-upload');
    const form = part(head('userinput1'), 'hi there') +
        part(head('userinput2'), 'one\r\ntwo\x1B[31m') +
        file('a.txt', 'hello') + closing;
    await say(t, server, request('POST /', [asMultipart], form));
    assert.equal(await server.next(), 'parsing multipart data');
    assert.equal(await server.next(), 'userinput1: hi there');
    assert.equal(await server.next(),
                 'userinput2: one\\x0D\\x0Atwo\\x1B[31m'); // not as the book
    assert.equal(await server.next(), 'finished parsing');
    assert.match(await server.next(),
                 /^uploads\/userfile1-\d{13}-a\.txt: 5 bytes, \d+ ms$/);
});

test('file-upload: the names of files', async t => {
    const server = await start(t, 'file-upload');
    const rows = [ // as the book
        ...['a b', "it's", 'a;b', '<b>', '-a', 'é 日本語', 'a%2e%2e%2fx']
            .map(name => [name, name]),
    ];
    const here = [ // not as the book
        ['../../x', 'x'], ['/../../server.js', 'server.js'],
        ['/etc/passwd', 'passwd'], ['a/b', 'b'], ['C:\\dir\\f.txt', 'f.txt'],
        ['.hidden', 'hidden'], ['..', 'upload'], ['a/', 'upload'],
        ['a\0b', 'ab'], ['a\tb', 'ab'], ['a\x01\x7Fb', 'ab'],
        ['we%22ird', 'we"ird'], ['\\"q\\"', '"q"'],
        ['x'.repeat(240), 'x'.repeat(200)],
        ['é'.repeat(120), 'é'.repeat(100)],
    ];
    for (const [remark, list] of [['', rows], [', not as the book', here]])
        for (const [sent, name] of list)
            await t.test(`${named(sent)}${remark}`, async t => {
                await checkAnswer(
                    t, server, request('POST /', [asMultipart],
                                       file(sent, 'x') + closing),
                    200, ok(name));
                assert.deepEqual(saved(server), [['userfile1', name, 'x']]);
            });
    await t.test('filename*', async t => {
        const lines = "Content-Disposition: form-data; name=f; filename=a; " +
                      "filename*=UTF-8''caf%C3%A9.txt";
        await checkAnswer(t, server, request(
            'POST /', [asMultipart], part(lines, 'x') + closing), 200,
                          ok('café.txt'));
        assert.deepEqual(saved(server), [['f', 'café.txt', 'x']]);
    });
    for (const [sent, field] of [['../x', 'x'], ['../../../t/escaped',
                                                 'escaped'], ['..', 'file']])
        await t.test(`the field ${sent}: not as the book`, async t => {
            await checkAnswer(
                t, server, request('POST /', [asMultipart],
                                   file('a', 'x', sent) + closing),
                200, ok('a'));
            assert.deepEqual(saved(server), [[field, 'a', 'x']]);
        });
    assert.deepEqual(fs.readdirSync(server.root).sort(),
                     ['public', 'uploads']);
});

test('file-upload: forty at once, none is lost: not as the book', async t => {
    const server = await start(t, 'file-upload');
    const bodies = Array.from({length: 40}, (_, i) => `${i + 100}`.repeat(99));
    for (const [what, make] of [
        ['forms', body => request('POST /', [asMultipart],
                                  file('same', body) + closing)],
        ['PUT', body => request('PUT /same', ['X-Field: userfile1'], body)]])
        await t.test(what, async t => {
            const came = await Promise.all(bodies.map(
                body => say(t, server, make(body))));
            for (const each of came)
                assert.match(each, /\r\n\r\nsame successfully saved!\n/);
            assert.deepEqual(saved(server),
                             bodies.map(body => ['userfile1', 'same', body]));
        });
});

// ---- file-upload: PUT -------------------------------------------------------

test('file-upload: PUT', async t => {
    const server = await start(t, 'file-upload');
    const names = ['X-Field: userfile1', 'X-Filename: a.txt'];
    const put = (headers, body = '') => request('PUT /', headers, body);
    const told = name => `${name} successfully saved!\n`;
    const most = 'x'.repeat(51200);
    const rows = [ // the request, the status, the answer, what is saved
        ['a file', put(names, 'hello'), 200, told('a.txt'), 26,
         ['userfile1', 'a.txt', 'hello']],
        ['an empty file', put([...names, 'Content-Length: 0']), 200,
         told('a.txt'), 26, ['userfile1', 'a.txt', '']],
        ['51,200 bytes', put(names, most), 200, told('a.txt'), 26,
         ['userfile1', 'a.txt', most]],
        ['51,201 bytes', put([...names, 'Content-Length: 51201']), 413,
         'Too Large', 9],
        ['10^9 bytes', put([...names, 'Content-Length: 1000000000']), 413,
         'Too Large', 9],
        ['no length', put(names), 400, 'Bad Request', 11],
        ['no name: not as the book', put(['X-Field: f'], 'hello'), 400,
         'Bad Request', 11],
        ['the name in the path: not as the book',
         request('PUT /a/caf%C3%A9', ['X-Field: f'], 'hello'), 200,
         told('café'), 26, ['f', 'café', 'hello']],
        ['no field: not as the book', put(['X-Filename: a'], 'hello'), 200,
         told('a'), 22, ['file', 'a', 'hello']],
        ['chunks: not as the book', put(
            [...names, 'Content-Length:', 'Transfer-Encoding: chunked'],
            '5\r\nhello\r\n0\r\n\r\n'), 200, told('a.txt'), 26,
         ['userfile1', 'a.txt', 'hello']],
        ['chunks and a length', put(
            [...names, 'Transfer-Encoding: chunked'],
            '5\r\nhello\r\n0\r\n\r\n'), 400, 'Bad Request', 11],
        ['too much in chunks: not as the book', put(
            [...names, 'Content-Length:', 'Transfer-Encoding: chunked'],
            `c801\r\n${most}x\r\n0\r\n\r\n`), 413, 'Too Large', 9],
        ['percent-encoded: not as the book',
         put(['X-Field: %C3%A9', 'X-Filename: %E4%BD%A0+%'], 'hello'), 200,
         told('你+%'), 26, ['é', '你+%', 'hello']],
        ['UTF-8: not as the book',
         put(['X-Field: f', 'X-Filename: café.txt'], 'hello'), 200,
         told('café.txt'), 30, ['f', 'café.txt', 'hello']],
        ['a folder: not as the book',
         put(['X-Field: ../../../t/esc', 'X-Filename: ../../x'], 'hello'), 200,
         told('x'), 22, ['esc', 'x', 'hello']],
    ];
    for (const [what, bytes, status, body, length, ...files] of rows)
        await t.test(what, async t => {
            await checkAnswer(t, server, bytes, status, body, length);
            assert.deepEqual(saved(server), files);
        });
    await t.test('a body that breaks off: not as the book', async t => {
        const [answer] = answers(await say(
            t, server, put([...names, 'Content-Length: 100'], 'hello'),
            {end: true}));
        assert.equal(answer.status, 400);
        assert.deepEqual(saved(server), []);
    });
    await t.test('413, its body, and then the next', async t => {
        const got = answers(await say(t, server, Buffer.concat([
            request('PUT /x', ['Connection:'], 'x'.repeat(60000)),
            request('PUT /x', [], 'hello')])));
        assert.deepEqual(got.map(answer => answer.status), [413, 200]);
        assert.deepEqual(saved(server), [['file', 'x', 'hello']]);
    });
    await t.test('no folder for it: 500, and it goes on', async t => {
        fs.renameSync(path.join(server.root, 'uploads'),
                      path.join(server.root, 'gone'));
        await checkAnswer(t, server, put(names, 'hello'), 500,
                          'Error saving a.txt!\n');
        await checkAnswer(
            t, server, request('POST /', [asMultipart],
                               file('a.txt', 'hello') + closing),
            500, 'Error saving a.txt!\nAll files processed!');
        fs.renameSync(path.join(server.root, 'gone'),
                      path.join(server.root, 'uploads'));
        await checkAnswer(t, server, put(names, 'hello'), 200, told('a.txt'));
    });
    await t.test('nothing is said of it: not as the book', async t => {
        assert.match(await server.next(),
                     /^uploads\/userfile1-\d{13}-a\.txt: 5 bytes, \d+ ms$/);
    });
});
