"""websockets_peer.py -- Debian's python3-websockets, as the other side of
websocket-app and of websocket-client; websocket.test.mjs starts it.

    websockets_peer.py client NAME URL    the check called client_NAME
    websockets_peer.py server NAME        prints its port, then serve_NAME
"""

import asyncio
import sys

import websockets

MIB = 1 << 20
LIMIT = 20  # seconds that one wait may last


def connect(url, **options):
    return websockets.connect(url, max_size=None, open_timeout=LIMIT,
                              close_timeout=LIMIT, **options)


async def echoed(peer, message):
    """What is sent comes back, of the same type."""
    await peer.send(message)
    whole = message
    if isinstance(message, list):
        whole = message[0][:0].join(message)
    answer = await asyncio.wait_for(peer.recv(), LIMIT)
    assert answer == whole, (whole[:40], answer[:40])


async def closed(peer, code, reason=''):
    await asyncio.wait_for(peer.wait_closed(), LIMIT)
    assert (peer.close_code, peer.close_reason) == (code, reason), \
        (peer.close_code, peer.close_reason)


async def refused(url, status, **options):
    try:
        async with connect(url, **options):
            raise AssertionError('it was let in')
    except websockets.InvalidStatusCode as error:
        assert error.status_code == status, error


# ---- against `websocket-app -e` ----------------------------------------------

async def client_messages(url):
    async with connect(url) as peer:
        for size in [0, 1, 125, 126, 65535, 65536, MIB, 16 * MIB]:
            await echoed(peer, 'a' * size)
            await echoed(peer, b'\xff' * size)
        await echoed(peer, 'κόσμε \U0010FFFF')
    await closed(peer, 1000)


async def client_fragments(url):
    async with connect(url) as peer:
        await echoed(peer, ['κό', 'σ', '', 'με'])
        await echoed(peer, [bytes([n]) * n for n in range(256)])


async def client_pings(url):
    async with connect(url) as peer:
        for payload in [b'', b'ping', b'x' * 125]:
            await asyncio.wait_for(await peer.ping(payload), LIMIT)


async def client_closes(url):
    for code in [1000, 1001, 1003, 1011, 3000, 4999]:
        async with connect(url) as peer:
            await peer.close(code, 'reason ✓')
        await closed(peer, code)


async def client_too_large(url):
    async with connect(url) as peer:
        await peer.send(bytes(16 * MIB + 1))
        await closed(peer, 1009)


async def client_offers(url):
    async with connect(url, compression='deflate',
                       subprotocols=['chat', 'superchat']) as peer:
        assert peer.extensions == [], peer.extensions
        assert peer.subprotocol is None, peer.subprotocol
        await echoed(peer, 'plain')


async def client_origin(url):
    await refused(url, 403, origin='http://elsewhere.example')
    async with connect(url, origin=url.replace('ws:', 'http:')) as peer:
        await echoed(peer, 'same')


async def client_stopped(url):
    async with connect(url) as peer:
        print('open', flush=True)
        await closed(peer, 1001)


async def client_many(url):
    peers = await asyncio.gather(*[connect(url) for _ in range(500)])
    await asyncio.gather(*[echoed(peer, f'client {n} ' * 100)
                           for n, peer in enumerate(peers)])
    await asyncio.gather(*[peer.close() for peer in peers])
    for peer in peers:
        await closed(peer, 1000)


# ---- for websocket-client ----------------------------------------------------
# Each prints what the client said; the last line is the code it closed with.

async def serve_echo(peer):
    async for message in peer:
        await peer.send(message)


async def serve_close(peer):
    await peer.close(4001, 'enough ✓')


async def serve_questions(peer):
    """For -e: whatever is sent comes back, also what comes in pieces."""
    for message in ['', 'κόσμε', ['in ', 'pieces'], b'\x00\xff',
                    [b'\x00', b'\xff'], 'a' * 16 * MIB, bytes(16 * MIB)]:
        await echoed(peer, message)
    await asyncio.wait_for(await peer.ping(b'still there?'), LIMIT)
    print('all came back', flush=True)


async def serve_too_large(peer):
    await peer.send('a' * (16 * MIB + 1))
    await peer.wait_closed()


async def serve(name):
    over = asyncio.Event()

    async def handle(peer):
        try:
            await globals()['serve_' + name](peer)
            await peer.wait_closed() if name == 'echo' else await peer.close()
        except websockets.ConnectionClosed:
            pass
        print('closed', peer.close_code, flush=True)
        over.set()

    async with websockets.serve(handle, '127.0.0.1', 0, max_size=None) as it:
        print('port', it.sockets[0].getsockname()[1], flush=True)
        await over.wait()


if sys.argv[1] == 'server':
    asyncio.run(serve(sys.argv[2]))
else:
    asyncio.run(globals()['client_' + sys.argv[2]](sys.argv[3]))
