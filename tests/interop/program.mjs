// program.mjs -- what all interop tests share: one of our programs, running,
// and a command of somebody else's, run to its end.
//
//     test('GET /', async t => {
//         const server = await start(t, 'rest-server');
//         const {stdout} = await run('curl', ['-s', server.url + '/']);
//         assert.equal(stdout, '...');
//     });
//
// But for listening() nothing sleeps: each wait is for a line, an event or an end, and gives
// up after LIMIT, telling what had come. What a test starts it stops, by pid.
// A test that fails says which shell lines do the same.

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {afterEach} from 'node:test';
import {setTimeout as pause} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';

export const TOP = path.resolve(path.dirname(fileURLToPath(import.meta.url)),
                                '../..');
export const LIMIT = 20000; // milliseconds that one wait may last

// The path of one of our programs: below $BUILD if that is set, else in place.
export function program(name) {
    return path.join(path.resolve(TOP, process.env.BUILD ?? '.'), name, name);
}

export const quoted = word => /^[\w@%+=:,.\/-]+$/.test(word) ? word
    : `'${word.replaceAll("'", "'\\''")}'`;

const typed = []; // what was launched, by which test

const fromTop = file => file.startsWith(TOP + path.sep)
    ? path.relative(TOP, file) : file;

const printable = bytes => [...bytes].map(
    byte => byte === 10 ? '\\n' : byte === 13 ? '\\r'
        : byte < 32 || byte > 126 ? '\\' + byte.toString(8).padStart(3, '0')
            : String.fromCharCode(byte).replace(/[\\%]/, '$&$&')).join('');

// The shell line that launches it again; ROOT was a folder that is gone.
function shellLine({command, args, env, input}) {
    const bytes = Buffer.from(input ?? '');
    const from = bytes.length === 0 ? ''
        : bytes.length > 1000 ? `(${bytes.length} bytes) | `
            : `printf ${quoted(printable(bytes))} | `;
    const settings = Object.entries(env).filter(([name]) => name !== 'ROOT')
        .map(([name, value]) => `${name}=${quoted(value)} `).join('');
    return from + settings +
        [fromTop(command), ...args].map(quoted).join(' ');
}

afterEach(t => {
    if (t.passed !== false) return;
    const {BUILD} = process.env;
    const pattern = t.fullName.split(' > ')[0].replace(/[^\w ,:;-]/g, '.');
    t.diagnostic(`again: ${BUILD ? `BUILD=${quoted(BUILD)} ` : ''}node ` +
                 `--test --test-name-pattern=${quoted(`^${pattern}$`)} ` +
                 fromTop(process.argv[1]));
    const lines = typed
        .filter(each => `${t.fullName} > `.startsWith(`${each.test} > `))
        .map(shellLine);
    for (const line of new Set(lines)) t.diagnostic(`by hand: ${line}`);
});

// Our own environment, less what would decide for a program.
function environment(settings) {
    const env = {...process.env, ...settings};
    for (const name of ['HOST', 'PORT', 'ROOT', 'TRACE', 'PROXY', 'LISTEN_PID',
                        'LISTEN_FDS', 'NO_COLOR', 'http_proxy', 'https_proxy',
                        'no_proxy'])
        if (!(name in settings)) delete env[name];
    return env;
}

// When the test is over, what was begun last is undone first.
const undos = new WeakMap();

export function atEnd(t, undo) {
    if (!undos.has(t)) {
        undos.set(t, []);
        t.after(async () => {
            const problems = [];
            for (const each of undos.get(t).reverse())
                await Promise.resolve().then(each)
                    .catch(problem => problems.push(problem));
            if (problems.length > 0) throw problems[0];
        });
    }
    undos.get(t).push(undo);
}

// A folder that is gone when the test is over.
export function folder(t) {
    const made = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-'));
    atEnd(t, () => fs.rmSync(made, {recursive: true, force: true}));
    return made;
}

// What a promise gives, or an error that says what was waited for.
export function within(promise, what, told = () => '', ms = LIMIT) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(
            `no ${what} within ${ms} ms\n${told()}`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// When we are stopped halfway, nothing is left running.
const running = new Set();
process.on('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => process.exit(1));

// A process whose output is kept in .stdout and .stderr (text; with ENCODING
// latin1 a character is a byte), with
// .line(text): waits for a line of stdout that holds it, and returns it;
// .errorLine(text): the same for stderr;
// .next(): waits for the next line of stdout that it has not returned yet;
// .ended: {status, signal} when it is over;
// .stop(signal): asks it to end, waits, and returns its status.
// It is stopped when the test is over, if it still runs.
export function launch(t, command, args = [],
                       {env = {}, cwd = TOP, encoding = 'utf8'} = {}) {
    args = args.map(String);
    const child = spawn(command, args, {
        cwd, env: environment(env), stdio: ['pipe', 'pipe', 'pipe']});
    running.add(child);
    const p = {child, pid: child.pid, stdin: child.stdin, stdout: '',
               stderr: '', status: null, signal: null,
               typed: {test: t.fullName, command, args, env: {...env}}};
    typed.push(p.typed);
    p.stdin.on('error', () => {}); // it may end before it has read all
    for (const key of ['stdout', 'stderr'])
        child[key].setEncoding(encoding).on('data', text => p[key] += text);
    p.ended = new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (status, signal) => {
            running.delete(child);
            Object.assign(p, {status, signal});
            resolve({status, signal});
        });
    });
    p.ended.catch(() => {});
    const told = () => `${command}: stdout\n${p.stdout.slice(-4000)}\n` +
                       `stderr\n${p.stderr.slice(-4000)}`;
    const waitLine = async (key, what, find) => {
        const found = () => find(p[key].split('\n').slice(0, -1));
        const wait = async () => {
            while (found() === undefined) {
                if (child[key].readableEnded)
                    throw new Error(`no ${what}\n${told()}`);
                await Promise.race([once(child[key], 'data'), p.ended]);
            }
            return found();
        };
        return within(wait(), what, told);
    };
    const lineWith = (key, text) => waitLine(key, `line with "${text}"`,
        lines => lines.find(line => line.includes(text)));
    let returned = 0;
    p.line = text => lineWith('stdout', text);
    p.errorLine = text => lineWith('stderr', text);
    p.next = async () => {
        const line = await waitLine('stdout', 'further line',
                                    lines => lines[returned]);
        returned++;
        return line;
    };
    p.wait = () => within(p.ended, `end of ${command}`, told);
    p.stop = async (signal = 'SIGTERM') => {
        child.kill(signal);
        return (await p.wait()).status;
    };
    atEnd(t, async () => {
        if (child.exitCode === null && child.signalCode === null)
            child.kill('SIGKILL');
        await p.ended.catch(() => {});
    });
    return p;
}

// Runs a command to its end: {status, stdout, stderr}. INPUT is its stdin.
export async function run(t, command, args = [], {input = '', ...rest} = {}) {
    const p = launch(t, command, args, rest);
    p.typed.input = input;
    p.stdin.end(input);
    const {status} = await p.wait();
    return {status, stdout: p.stdout, stderr: p.stderr};
}

// One of our servers on a free port, in a fresh ROOT with the recipe's pages.
// At the end of the test it must stop with status 0 and without a report of a
// sanitizer.
export async function start(t, name, args = [], env = {}) {
    const root = folder(t);
    const pages = path.join(TOP, name, 'public');
    if (fs.existsSync(pages))
        fs.cpSync(pages, path.join(root, 'public'), {recursive: true});
    const server = launch(t, program(name), args,
        {env: {HOST: '127.0.0.1', PORT: '0', ROOT: root, ...env}});
    server.stdin.end();
    Object.assign(server, JSON.parse(await server.next()), {root});
    server.typed.env.PORT = String(server.port);
    server.host = server.family === 'IPv6' ? `[${server.address}]`
                                           : server.address;
    server.url = `http://${server.host}:${server.port}`;
    atEnd(t, async () => {
        if (server.status === null && server.signal === null)
            assert.equal(await server.stop(), 0);
        assert.doesNotMatch(server.stderr, /Sanitizer|runtime error:/);
    });
    return server;
}

// A port that was free a moment ago, for programs that cannot choose one.
export async function freePort() {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const {port} = server.address();
    server.close();
    await once(server, 'close');
    return port;
}

// Says BYTES on a connection of its own, as nc does, or `nc -N` with {end:
// true}, and returns all that comes until the server closes.
export async function say(t, server, bytes,
                          {end = false, encoding = 'utf8'} = {}) {
    const {address, port} = server;
    typed.push({test: t.fullName, command: 'nc', env: {}, input: bytes,
                args: [...end ? ['-N'] : [], address, String(port)]});
    const socket = net.connect({host: address, port, allowHalfOpen: true});
    atEnd(t, () => socket.destroy());
    let came = '';
    socket.setEncoding(encoding).on('data', text => { came += text; });
    if (end) socket.end(bytes);
    else socket.write(bytes);
    await within(once(socket, 'end'), 'end of the connection',
                 () => JSON.stringify(came));
    socket.destroy(); // else the server would linger
    return came;
}

// When a program that does not say so has begun to listen there: on a port, or
// on a socket's path.
export async function listening(at) {
    const where = typeof at === 'string' ? {path: at}
                                         : {port: at, host: '127.0.0.1'};
    const connects = () => new Promise(resolve => {
        const socket = net.connect(where, () => {
            socket.destroy();
            resolve(true);
        }).on('error', () => resolve(false));
    });
    const wait = async () => {
        while (!await connects()) await pause(10);
    };
    await within(wait(), `server on ${at}`);
}
