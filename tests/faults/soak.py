#!/usr/bin/env python3
"""All five servers at once, with good clients and bad ones.

    python3 tests/faults/soak.py             for $SOAK_SECONDS, 30

For a third of the time the good clients are alone, then bad ones join them:
they trickle, never read, vanish, send too much, or close one half. When those
have left, the servers' memory and descriptors must become what they were; and
for the last third the good ones are alone again. All the time every answer to
them must be right, and among the bad ones the 99th percentile of what they wait
may be five times what it is without.
"""

import asyncio
import collections
import contextlib
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'wire'))
import wire  # noqa: E402

SECONDS = int(os.environ.get('SOAK_SECONDS', '30'))
GOOD = 2  # clients of each server
BAD = 60
PAUSE = 0.01  # seconds between what one of the good does and does next
RATIO = 5
MEMORY = 4 << 20  # bytes that malloc() may keep for the next time
LEAVE = 40  # seconds, for the servers to be as they were
LIMIT = 10  # seconds, for any one answer

SERVERS = {'rest-server': [], 'post-form': [], 'file-upload': [],
           'websocket-app': ['-e'], 'smtp-server': []}


# ---- the good ---------------------------------------------------------------

async def http(streams, request, status, body):
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b'\r\n\r\n')
    length = int(head.lower().split(b'content-length: ')[1].split(b'\r')[0])
    got = await reader.readexactly(length)
    assert head.startswith(b'HTTP/1.1 %d ' % status) and got == body, \
        'a wrong answer to %r: %r' % (request[:100], head + got[:1000])


def posted(method, content_type, body, *headers):
    lines = [b'%s / HTTP/1.1' % method, b'Host: x',
             b'Content-Type: ' + content_type,
             b'Content-Length: %d' % len(body), *headers]
    return b'\r\n'.join(lines) + b'\r\n\r\n' + body


async def rest_server(streams, n):
    await http(streams, b'GET /users HTTP/1.1\r\nHost: x\r\n\r\n', 200,
               b'{"data": [{"id": 1, "first_name": "Bob", '
               b'"second_name": "Smith"}]}')


async def post_form(streams, n):
    await http(streams, posted(
        b'POST', b'application/x-www-form-urlencoded', b'n=%d' % n), 200,
        b'You Posted: {"n":"%d"}' % n)


async def file_upload(streams, n):
    await http(streams, posted(
        b'PUT', b'text/plain', 2000 * (b'%05d' % n), b'X-Filename: soak'), 200,
        b'soak successfully saved!\n')


async def websocket_app(streams, n):
    reader, writer = streams
    if n == 0:
        writer.write(
            b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n'
            b'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
            b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
        await reader.readuntil(b'\r\n\r\n')
    text = b'%05d' % n
    writer.write(b'\x81\x85\0\0\0\0' + text)
    got = await reader.readexactly(7)
    assert got == b'\x81\x05' + text, 'an echo of %r: %r' % (text, got)


async def smtp_server(streams, n):
    reader, writer = streams
    if n == 0:
        await reader.readline()
    for line, code in [(b'HELO x', b'250'), (b'MAIL FROM:<m@x>', b'250'),
                       (b'RCPT TO:<you@localhost>', b'250'), (b'DATA', b'354'),
                       (b'mail %d\r\n.' % n, b'250')]:
        writer.write(line + b'\r\n')
        got = await reader.readline()
        assert got.startswith(code), '%r was answered %r' % (line, got)


async def be_good(act, port, end, waits):
    """On one connection, until the end; adds to waits, milliseconds."""
    streams = await asyncio.open_connection('127.0.0.1', port)
    n = 0
    while time.monotonic() < end:
        start = time.monotonic()
        await asyncio.wait_for(act(streams, n), LIMIT)
        waits.append(1000 * (time.monotonic() - start))
        n += 1
        await asyncio.sleep(PAUSE)
    streams[1].close()


async def measure(servers, seconds):
    """Returns the waits of each server's clients; any error of one is raised."""
    waits = {name: [] for name in servers}
    end = time.monotonic() + seconds
    await asyncio.gather(*[
        be_good(globals()[name.replace('-', '_')], server.port, end,
                waits[name])
        for name, server in servers.items() for _ in range(GOOD)])
    return waits


# ---- the bad ----------------------------------------------------------------
# Each is told what begins a conversation with this server, and what a server
# must refuse: it need not send much.

WORDS = {
    'smtp-server': (b'HELO x\r\nMAIL FROM:<bad@x>\r\nRCPT TO:<you@localhost>'
                    b'\r\nDATA\r\nhalf', b'NOOP\r\n', 70000 * b'x'),
    'websocket-app': (
        b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: '
        b'Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: '
        b'dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n', b'\x89\x85\0\0\0\0hello',
        b'\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0'),
    'file-upload': (b'PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n'
                    b'\r\nhalf', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
                    b'PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999'
                    b'\r\n\r\n' + 60000 * b'x'),
    'post-form': (b'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: '
                  b'application/json\r\nContent-Length: 9999\r\n\r\n[',
                  b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
                  b'GET / HTTP/1.1\r\nHost: x\r\nX: ' + 40000 * b'x'),
    'rest-server': (b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n'
                    b'\r\nhalf', b'GET /users HTTP/1.1\r\nHost: x\r\n\r\n',
                    b'GET / HTTP/1.1\r\nHost: x\r\nX: ' + 40000 * b'x'),
}


async def trickle(loop, s, begin, again, too_much):
    for i in range(20):
        await loop.sock_sendall(s, begin[i:i + 1])
        await asyncio.sleep(0.5)


async def never_read(loop, s, begin, again, too_much):
    if begin.startswith(b'GET'):  # WebSocket: first the handshake
        await loop.sock_sendall(s, begin)
        await loop.sock_recv(s, 4096)
    with contextlib.suppress(asyncio.TimeoutError):
        for _ in range(50):
            await asyncio.wait_for(loop.sock_sendall(s, 400 * again), 1)
    await asyncio.sleep(5)


async def vanish(loop, s, begin, again, too_much):
    await loop.sock_sendall(s, begin)
    await asyncio.sleep(0.2)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


async def overflow(loop, s, begin, again, too_much):
    if begin.startswith(b'GET'):
        await loop.sock_sendall(s, begin)
    await loop.sock_sendall(s, too_much)
    while await loop.sock_recv(s, 65536):
        pass


async def half_close(loop, s, begin, again, too_much):
    await loop.sock_sendall(s, begin)
    s.shutdown(socket.SHUT_WR)
    while await loop.sock_recv(s, 65536):
        pass


async def be_bad(words, port):
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(3 * random.random())  # they do not come as one
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.setblocking(False)
            with contextlib.suppress(OSError):
                await loop.sock_connect(s, ('127.0.0.1', port))
                kind = random.choice([trickle, never_read, vanish, overflow,
                                      half_close])
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(kind(loop, s, *words), 12)


async def all_bad(ports):
    await asyncio.gather(*[be_bad(WORDS[name], port)
                           for name, port in zip(SERVERS, ports)
                           for _ in range(BAD)])


# ---- both -------------------------------------------------------------------

def p99(waits):
    return statistics.quantiles(waits, n=100)[98]


def returned(server, fds, memory):
    return server.fds() <= fds and server.rss() <= memory + MEMORY


def leave(servers, before):
    """Waits until all is as it was. Returns what is not."""
    end = time.monotonic() + LEAVE
    wrong = []
    for name, server in servers.items():
        while not returned(server, *before[name]):
            if time.monotonic() > end:
                wrong.append('%s has %d descriptors and %d KiB; it had %d and '
                             '%d KiB' % (name, server.fds(),
                                         server.rss() >> 10, before[name][0],
                                         before[name][1] >> 10))
                break
            time.sleep(0.1)
    return wrong


def warm_up(server):
    """smtp-server's helpers come with its first sessions, and stay."""
    peers = [server.connect() for _ in range(8)]
    for peer in peers:
        peer.recv_until(b'220 ')
        peer.close()


def soak(servers):
    """Returns what was wrong."""
    warm_up(servers['smtp-server'])
    alone = asyncio.run(measure(servers, SECONDS / 3))
    before = {name: (server.fds(), server.rss())
              for name, server in servers.items()}
    bad = subprocess.Popen([sys.executable, os.path.abspath(__file__), '--bad']
                           + [str(s.port) for s in servers.values()])
    try:
        among = asyncio.run(measure(servers, SECONDS / 3))
        if bad.poll() is not None:
            return ['the bad clients have ended']
    finally:
        bad.kill()
        bad.wait()
    wrong = leave(servers, before)
    for name, waits in asyncio.run(measure(servers, SECONDS / 3)).items():
        a, b = p99(alone[name] + waits), p99(among[name])
        print('%-14s 99%% of %5d answers within %6.1f ms; with %d bad clients '
              '%5d, %6.1f ms' % (name, len(alone[name] + waits), a, BAD,
                                 len(among[name]), b))
        if b > RATIO * a:
            wrong.append('%s is %.1f times as slow' % (name, b / a))
    return wrong


def main():
    if sys.argv[1:2] == ['--bad']:
        asyncio.run(all_bad(map(int, sys.argv[2:])))
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(wire.Server(name, *args))
                   for name, args in SERVERS.items()}
        wrong = soak(servers)
    for text in wrong:
        print('FAILED', text)
    if wrong:
        print('again: SOAK_SECONDS=%d %s' % (SECONDS, wire.again(
            'python3', wire.from_top(__file__))))
    print('%d passed, %d failed' % (not wrong, len(wrong)))
    sys.exit(1 if wrong else 0)


if __name__ == '__main__':
    main()
