#!/usr/bin/env python3
"""websocket-app: RFC 6455 from the handshake to the close, and bad peers.

Most of it is tables: what a client sends, and which frames the server may
answer with until it closes. Each row is played whole, glued to the handshake,
and byte by byte."""

import itertools
import os
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
import unittest

import wire

PROGRAM = 'websocket-app'
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='          # the RFC's own example: 1.3
ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MIB = 1024 * 1024
MAX_MESSAGE = 16 * MIB

OPENING = ('GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n'
           'Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n'
           'Sec-WebSocket-Version: 13\r\n\r\n' % KEY).encode()
OPENED = ('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
          'Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n' %
          ACCEPT).encode()


# ---- frames -----------------------------------------------------------------

masks = itertools.cycle([b'\x37\xfa\x21\x3d', b'\0\0\0\0', b'\xff\x80\x01\x7f'])


def masked(payload, mask):
    n = len(payload)
    key = (mask * (n // 4 + 1))[:n]
    mixed = int.from_bytes(payload, 'big') ^ int.from_bytes(key, 'big')
    return mixed.to_bytes(n, 'big')


def head(opcode, length, fin=True, rsv=0, mask=None, size=None):
    """The head of a frame. size: bytes of the extended length, if it is not
    to be the shortest."""
    if size is None:
        size = 8 if length > 0xFFFF else 2 if length > 125 else 0
    first = {0: length, 2: 126, 8: 127}[size]
    return (bytes([fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 |
                   first]) +
            (length.to_bytes(size, 'big') if size else b'') + (mask or b''))


def frame(opcode, payload=b'', fin=True, rsv=0, size=None):
    """What a client sends."""
    if isinstance(payload, str):
        payload = payload.encode()
    mask = next(masks)
    return (head(opcode, len(payload), fin, rsv, mask, size) +
            masked(payload, mask))


def text(payload):
    return frame(TEXT, payload)


def close(code=None, reason=b''):
    return frame(CLOSE, b'' if code is None else
                 struct.pack('>H', code) + reason)


def in_pieces(opcode, pieces):
    """A message in fragments."""
    last = len(pieces) - 1
    return b''.join(frame(opcode if i == 0 else CONTINUATION, piece, i == last)
                    for i, piece in enumerate(pieces))


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


def parse(data):
    """The frames of a server, as (opcode, payload); they must be in order."""
    frames = []
    while data:
        first, length, used = data[0], data[1], 2
        if length == 126:
            length, used = int.from_bytes(data[2:4], 'big'), 4
        elif length == 127:
            length, used = int.from_bytes(data[2:10], 'big'), 10
        if head(first & 15, length) != data[:used] or \
                len(data) < used + length:
            raise wire.Failure('not a frame: ' + wire.shown(data))
        frames.append((first & 15, data[used:used + length]))
        data = data[used + length:]
    return frames


def in_words(frames):
    return [(opcode, payload if len(payload) < 200 else
             (len(payload), hash(payload))) for opcode, payload in frames]


def closed(code):
    return (CLOSE, b'' if code is None else struct.pack('>H', code))


def open_on(server, **options):
    peer = server.connect(**options)
    peer.send(OPENING)
    got = peer.recv_exactly(len(OPENED))
    if got != OPENED:
        raise wire.Failure('not the answer to the handshake: %r' % got)
    return peer


def receive(peer, limit=wire.LIMIT):
    """The next frame."""
    start = peer.recv_exactly(2, limit)
    more = {126: 2, 127: 8}.get(start[1], 0)
    start += peer.recv_exactly(more, limit)
    length = int.from_bytes(start[2:], 'big') if more else start[1]
    return parse(start + peer.recv_exactly(length, limit))[0]


# ---- a table of conversations -----------------------------------------------

class Table(unittest.TestCase):
    """answers() and refuses() play one row each, against one server per test,
    with a witness connected all the time whom nothing of it may touch."""

    arguments = ['-e']
    settings = {}

    def setUp(self):
        server = wire.Server(PROGRAM, *self.arguments, **self.settings)
        self.server = server.__enter__()
        self.witness = open_on(server)
        self.rows = 0
        self.waited = False  # in vain

    def tearDown(self):
        try:
            self.assertGreater(self.rows, 0)
            self.witness.send(text('witness') + close(1000))
            self.assertEqual(parse(self.witness.recv_all()),
                             [(TEXT, b'witness'), closed(1000)])
        except BaseException as problem:
            self.server.__exit__(type(problem), problem, None)
            raise
        self.server.__exit__(None, None, None)

    def play(self, sent, expected, way):
        if self.waited:  # the rows after it would wait as long
            return
        self.rows += 1
        with self.server.connect() as peer:
            if way == 'glued':
                peer.send(OPENING + sent)
            else:
                peer.send(OPENING)
            self.assertEqual(peer.recv_exactly(len(OPENED)), OPENED)
            if way == 'byte by byte':
                for i in range(len(sent)):
                    peer.send(sent[i:i + 1])
            elif way == 'whole':
                peer.send(sent)
            self.waited = True
            got = parse(peer.recv_all())
            self.waited = False
        self.assertEqual(in_words(got), in_words(expected))

    def ways(self, sent):
        ways = ['whole', 'glued']
        return ways if len(sent) > 2000 else ways + ['byte by byte']

    def answers(self, name, sent, expected, code=1000):
        """The server answers with these frames and goes on, so that it answers
        our close in the end."""
        sent += close(code)
        for way in self.ways(sent):
            with self.subTest(name, way=way):
                self.play(sent, expected + [closed(code)], way)

    def refuses(self, name, sent, code, expected=()):
        """After these frames, and without waiting for more, it sends a Close
        with this code; whatever follows is not looked at."""
        expected = list(expected) + [closed(code)]
        for way in self.ways(sent):
            with self.subTest(name, way=way):
                self.play(sent, expected, way)
        with self.subTest(name, way='more'):
            self.play(sent + text('late') + frame(PING, 'late') + close(1000),
                      expected, 'whole')


class Framing(Table):
    def test_lengths(self):
        for n in (0, 1, 124, 125, 126, 127, 128, 65535, 65536, 70000):
            data = b'*' * n
            self.answers('text of %d' % n, text(data), [(TEXT, data)])
            data = b'\xfe' * n
            self.answers('binary of %d' % n, frame(BINARY, data),
                         [(BINARY, data)])

    def test_lengths_not_in_the_shortest_form(self):
        for n, size in ((0, 2), (125, 2), (0, 8), (125, 8), (126, 8),
                        (65535, 8)):
            self.refuses('%d in %d bytes' % (n, size),
                         frame(BINARY, b'x' * n, size=size), 1002)

    def test_lengths_that_overflow(self):
        mask = b'\1\2\3\4'
        for length in (2**63, 2**64 - 1):
            self.refuses('%d' % length, head(TEXT, length, mask=mask), 1002)
        for length in (MAX_MESSAGE + 1, 2**31, 2**32, 2**53, 2**63 - 1):
            self.refuses('%d' % length, head(TEXT, length, mask=mask), 1009)
            self.refuses('1 and then %d' % length,
                         frame(BINARY, 'x', fin=False) +
                         head(CONTINUATION, length, mask=mask), 1009)
        self.assertLess(self.server.rss(), 64 * MIB)

    def test_unmasked(self):
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
            self.refuses('unmasked %d' % opcode,
                         text('first') + head(opcode, 0), 1002,
                         [(TEXT, b'first')])
        self.refuses('unmasked Hello', head(TEXT, 5) + b'Hello', 1002)
        self.refuses('unmasked in a message', frame(TEXT, 'a', fin=False) +
                     head(CONTINUATION, 1) + b'b', 1002)

    def test_many_at_once(self):
        messages = [b'%d' % i for i in range(1000)]
        self.answers('1000', b''.join(map(text, messages)),
                     [(TEXT, message) for message in messages])

    def test_no_frames_at_all(self):
        self.refuses('HTTP again', OPENING, 1002)
        self.answers('only a close', b'', [])


class PingPong(Table):
    def test_pings(self):
        for n in (0, 1, 5, 124, 125):
            data = bytes(range(255 - n, 255))
            self.answers('ping of %d' % n, frame(PING, data), [(PONG, data)])
        self.answers('ten', b''.join(frame(PING, 'ping %d' % i)
                                     for i in range(10)),
                     [(PONG, b'ping %d' % i) for i in range(10)])

    def test_too_long(self):
        for opcode in (PING, PONG, CLOSE):
            for n in (126, 127, 65536):
                self.refuses('%d of %d' % (opcode, n),
                             frame(opcode, b'\x03\xe8' + b'x' * (n - 2)),
                             1002)

    def test_pongs(self):
        self.answers('unasked', frame(PONG), [])
        self.answers('unasked, with payload', frame(PONG, 'unasked'), [])
        self.answers('unasked, then a ping',
                     frame(PONG, 'unasked') + frame(PING, 'asked'),
                     [(PONG, b'asked')])


class Reserved(Table):
    def test_reserved_bits(self):
        for rsv in range(1, 8):
            for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
                self.refuses('rsv %d in %d' % (rsv, opcode),
                             text('first') + frame(PING, 'p') +
                             frame(opcode, rsv=rsv), 1002,
                             [(TEXT, b'first'), (PONG, b'p')])
        self.refuses('in a continuation', frame(TEXT, 'a', fin=False) +
                     frame(CONTINUATION, 'b', rsv=4), 1002)

    def test_reserved_opcodes(self):
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.refuses('%d' % opcode, frame(opcode), 1002)
            self.refuses('%d with payload' % opcode, frame(opcode, 'x'), 1002)
            self.refuses('%d after a message' % opcode,
                         text('first') + frame(opcode, 'x'), 1002,
                         [(TEXT, b'first')])
            self.refuses('%d within a message' % opcode,
                         frame(TEXT, 'a', fin=False) + frame(opcode), 1002)
            self.refuses('fragment of %d' % opcode, frame(opcode, fin=False),
                         1002)


class Fragments(Table):
    def test_in_order(self):
        for opcode in (TEXT, BINARY):
            for pieces in (['Hel', 'lo'], ['', ''], ['', 'x'], ['x', ''],
                           ['', 'x', ''], list('Hello'), [''] * 500,
                           ['x' * 126, 'y' * 65536, 'z']):
                data = ''.join(pieces).encode()
                self.answers('%d in %d' % (opcode, len(pieces)),
                             in_pieces(opcode, pieces), [(opcode, data)])
        self.answers('one after the other',
                     in_pieces(TEXT, 'ab') + in_pieces(BINARY, 'cd') +
                     text('e'), [(TEXT, b'ab'), (BINARY, b'cd'), (TEXT, b'e')])

    def test_control_frames_between(self):
        self.answers('a ping', frame(TEXT, 'a', fin=False) +
                     frame(PING, 'p') + frame(CONTINUATION, 'b'),
                     [(PONG, b'p'), (TEXT, b'ab')])
        self.answers('pings and pongs', frame(TEXT, 'a', fin=False) +
                     (frame(PING, 'p') + frame(PONG, 'q') +
                      frame(CONTINUATION, 'b', fin=False)) * 4 +
                     frame(PING) + frame(CONTINUATION, ''),
                     [(PONG, b'p')] * 4 + [(PONG, b''), (TEXT, b'abbbb')])
        self.answers('the close', frame(TEXT, 'a', fin=False), [])

    def test_out_of_order(self):
        first = [(TEXT, b'first')]
        for fin in (True, False):
            rest = frame(CONTINUATION, 'x', fin=fin)
            self.refuses('nothing to continue', rest, 1002)
            self.refuses('nothing to continue, empty',
                         frame(CONTINUATION, fin=fin), 1002)
            self.refuses('nothing more to continue',
                         text('first') + rest, 1002, first)
            self.refuses('after the last fragment',
                         in_pieces(TEXT, ['fi', 'rst']) + rest, 1002, first)
            for opcode in (TEXT, BINARY):
                self.refuses('a message within a message',
                             text('first') + frame(TEXT, 'a', fin=False) +
                             frame(opcode, 'b', fin=fin), 1002, first)
                self.refuses('the same, after an empty fragment',
                             frame(BINARY, '', fin=False) +
                             frame(opcode, 'b', fin=fin), 1002)

    def test_control_frames_in_fragments(self):
        for opcode in (PING, PONG, CLOSE):
            self.refuses('%d' % opcode,
                         frame(opcode, b'\x03\xe8', fin=False) +
                         frame(CONTINUATION, b'x'), 1002)


# ---- text -------------------------------------------------------------------

ENDINGS = [bytes(rest) for n in range(4) for rest in
           itertools.product([0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF], repeat=n)]


def is_text(data):
    try:
        return data.decode() is not None
    except UnicodeDecodeError:
        return False


def first_bad(data):
    """Where the first byte stands after which nothing can make it UTF-8; None
    if all may go on."""
    for i in range(len(data)):
        if not any(is_text(data[:i + 1] + ending) for ending in ENDINGS):
            return i
    return None


VALID = [
    'Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!', '\u03ba\u1f79\u03c3\u03bc\u03b5',
    '\0', '\x7f', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\ufffd',
    '\ufffe', '\uffff', '\U00010000', '\U0010ffff', '\ufeff', '\u2028',
] + [chr(plane << 16 | low) for plane in range(17)
     for low in (0xFFFE, 0xFFFF)]

INVALID = [
    # continuations alone, up to all of them
    b'\x80', b'\xbf', b'\x80\xbf' * 3, bytes(range(0x80, 0xC0)),
    # first bytes alone, before a blank
    *[bytes([c, 0x20]) for c in range(0xC0, 0xFE)],
    # cut off before eight plain characters, which are looked at together
    b'\xc3abcdefgh\xa9',
    # cut off before another character
    b'\xc2A', b'\xe0\xa0A', b'\xe2\x82A', b'\xf0\x90A', b'\xf0\x9f\x98A',
    # bytes that never stand in UTF-8
    b'\xfe', b'\xff', b'\xfe\xfe\xff\xff', b'\xc0\xaf', b'\xc1\xbf',
    # overlong forms, of '/', NUL and the last of each length
    b'\xc0\x80', b'\xe0\x80\xaf', b'\xe0\x80\x80', b'\xe0\x9f\xbf',
    b'\xf0\x80\x80\xaf', b'\xf0\x80\x80\x80', b'\xf0\x8f\xbf\xbf',
    b'\xf8\x80\x80\x80\xaf', b'\xf8\x87\xbf\xbf\xbf',
    b'\xfc\x80\x80\x80\x80\xaf', b'\xfc\x83\xbf\xbf\xbf\xbf',
    # surrogates, alone and in pairs
    b'\xed\xa0\x80', b'\xed\xad\xbf', b'\xed\xae\x80', b'\xed\xaf\xbf',
    b'\xed\xb0\x80', b'\xed\xbe\x80', b'\xed\xbf\xbf',
    b'\xed\xa0\x80\xed\xb0\x80', b'\xed\xaf\xbf\xed\xbf\xbf',
    # above U+10FFFF
    b'\xf4\x90\x80\x80', b'\xf5\x80\x80\x80', b'\xf7\xbf\xbf\xbf',
    b'\xf8\x88\x80\x80\x80', b'\xfb\xbf\xbf\xbf\xbf',
    b'\xfc\x84\x80\x80\x80\x80', b'\xfd\xbf\xbf\xbf\xbf\xbf',
]

CUT_OFF = [b'\xc2', b'\xdf', b'\xe0\xa0', b'\xe1', b'\xef\xbf', b'\xf0\x90',
           b'\xf0\x9f\x98', b'\xf4\x8f\xbf', b'\xf4']


class Text(Table):
    def ways(self, sent):  # many rows: test_byte_by_byte is enough of that
        return ['glued']

    def test_valid(self):
        for word in VALID:
            data = word.encode()
            self.answers(ascii(word), text(data), [(TEXT, data)])
            self.answers(ascii(word) + ' byte by byte', in_pieces(
                TEXT, cut(data, 1)), [(TEXT, data)])

    def test_byte_by_byte(self):
        data = ''.join(VALID).encode()
        with open_on(self.server) as peer:
            self.rows += 1
            for byte in cut(text(data) + close(1000), 1):
                peer.send(byte)
            self.assertEqual(parse(peer.recv_all()),
                             [(TEXT, data), closed(1000)])

    def test_invalid(self):
        for data in INVALID:
            self.assertIsNotNone(first_bad(data))
            self.refuses(repr(data), text(data), 1007)
            self.refuses(repr(data) + ' within', text(
                'first') + text('\u03ba'.encode() + data + b'edited'), 1007,
                [(TEXT, b'first')])

    def test_cut_off(self):
        for data in CUT_OFF:
            self.assertIsNone(first_bad(data))
            self.refuses(repr(data), text(data), 1007)
            self.refuses(repr(data) + ' in fragments',
                         in_pieces(TEXT, [b'a', data, b'']), 1007)

    def test_at_the_first_bad_byte(self):
        """Inside a frame whose rest has not come; but not before: a ping
        after the bytes that may still be the start of something good is
        answered."""
        for data in INVALID:
            good = first_bad(data)
            mask = b'\xa5\x5a\x00\xff'
            self.refuses(repr(data) + ' inside a frame',
                         head(TEXT, 1000, mask=mask) +
                         masked(data[:good + 1], mask), 1007)
            self.refuses(repr(data) + ' in fragments',
                         frame(TEXT, data[:good], fin=False) +
                         frame(PING, 'fine') +
                         frame(CONTINUATION, data[good:good + 1], fin=False),
                         1007, [(PONG, b'fine')])

    def test_binary_may_be_anything(self):
        data = b''.join(INVALID + CUT_OFF)
        self.answers('binary', frame(BINARY, data), [(BINARY, data)])
        self.answers('binary after text', in_pieces(TEXT, [b'\xc2', b'\xb5']) +
                     frame(BINARY, b'\xb5'),
                     [(TEXT, b'\xc2\xb5'), (BINARY, b'\xb5')])


# ---- closing ----------------------------------------------------------------

GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
              1014, 3000, 3999, 4000, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
             65535]


class Closing(Table):
    def refuses_close(self, name, sent, code):
        self.refuses(name, text('first') + sent, code, [(TEXT, b'first')])

    def echoes_close(self, name, sent, code):
        """The same code, once, and then the end, whatever is behind it."""
        self.refuses(name, text('first') + sent, code, [(TEXT, b'first')])

    def test_codes(self):
        for code in GOOD_CODES:
            self.echoes_close('%d' % code, close(code), code)
            self.echoes_close('%d with reason' % code,
                              close(code, 'au revoir \u2713'.encode()), code)
        for code in BAD_CODES:
            self.refuses_close('%d' % code, close(code), 1002)
            self.refuses_close('%d with reason' % code, close(code, b'x'),
                               1002)

    def test_payloads(self):
        self.echoes_close('none', close(), None)
        self.refuses_close('one byte', frame(CLOSE, b'\x03'), 1002)
        self.echoes_close('123 of reason', close(1000, b'*' * 123), 1000)
        self.refuses_close('124 of reason', close(1000, b'*' * 124), 1002)
        for data in INVALID + CUT_OFF:
            self.refuses_close(repr(data), close(1000, data), 1007)

    def test_within_a_message(self):
        self.echoes_close('a fragment', frame(TEXT, 'a', fin=False) +
                          close(1000), 1000)
        self.echoes_close('a fragment that ends within a character',
                          frame(TEXT, b'\xf0\x9f', fin=False) + close(1001),
                          1001)

    def test_we_close_first(self):
        """The server's FIN comes while ours has not gone; then it is gone."""
        before = self.server.fds()
        self.rows += 1
        with open_on(self.server) as peer:
            peer.send(close(1000))
            self.assertEqual(parse(peer.recv_all()), [closed(1000)])
            self.assertEqual(self.server.fds(), before + 1)
        wire_wait(lambda: self.server.fds() == before)

    def test_half_close(self):
        """A FIN without Close, at any place: what was whole is answered."""
        sent = text('first') + frame(PING, 'p') + text('second')
        for n in (0, 1, 5, 11, 12, 20, len(sent)):
            expected = []
            at = 0
            for part, answer in ((text('first'), (TEXT, b'first')),
                                 (frame(PING, 'p'), (PONG, b'p')),
                                 (text('second'), (TEXT, b'second'))):
                at += len(part)
                if at <= n:
                    expected.append(answer)
            self.rows += 1
            with self.subTest(n=n), open_on(self.server) as peer:
                peer.send(sent[:n])
                peer.half_close()
                self.assertEqual(parse(peer.recv_all()), expected)


def wire_wait(ready, limit=wire.LIMIT):
    """For what cannot be waited for: look again until it is so."""
    end = time.monotonic() + limit
    while not ready():
        if time.monotonic() > end:
            raise wire.Failure('it is not so after %s s' % limit)
        time.sleep(0.01)


# ---- size -------------------------------------------------------------------

class Limit(Table):
    settings = {'MAX_MESSAGE': 1000}

    def test_limit(self):
        mask = b'\0\0\0\0'
        self.answers('1000', text('x' * 1000), [(TEXT, b'x' * 1000)])
        self.answers('1000 in pieces', in_pieces(TEXT, ['x' * 500] * 2) * 3,
                     [(TEXT, b'x' * 1000)] * 3)
        self.refuses('1001', head(TEXT, 1001, mask=mask), 1009)
        self.refuses('1001 in pieces', frame(PING, 'p') + frame(
            TEXT, 'x' * 1000, fin=False) + head(CONTINUATION, 1, mask=mask),
            1009, [(PONG, b'p')])
        self.refuses('all there is', frame(BINARY, 'x', fin=False) +
                     head(CONTINUATION, 2**63 - 1, mask=mask), 1009)


class Together(unittest.TestCase):
    def test_messages_of_all_peers(self):
        """What is beyond MAX_HELD is refused; the other peers go on."""
        half, size = b'x' * 1900000, 2000000
        with wire.Server(PROGRAM, '-e', MAX_HELD=3) as server, \
                open_on(server) as one, open_on(server) as other, \
                open_on(server) as small:
            for peer in (one, other):
                peer.send(head(BINARY, size, mask=b'\0\0\0\0') + half)
            ready, _, _ = select.select([one.socket, other.socket], [], [],
                                        wire.LIMIT)
            refused, kept = ((one, other) if one.socket in ready
                             else (other, one))
            self.assertEqual(receive(refused), closed(1013))
            small.send(text('Hello'))
            self.assertEqual(receive(small), (TEXT, b'Hello'))
            kept.send(b'x' * (size - len(half)))
            self.assertEqual(receive(kept), (BINARY, b'x' * size))


class Large(unittest.TestCase):
    def echo(self, server, opcode, data, frames, chop):
        with open_on(server) as peer:
            sent = frames + close(1000)
            for piece in cut(sent, chop):
                peer.send(piece)
            got = parse(peer.recv_all(60))
            self.assertEqual(in_words(got),
                             in_words([(opcode, data), closed(1000)]))

    def test_large(self):
        data = os.urandom(MAX_MESSAGE)
        word = 'Hello-\u00b5@\u00df\U0001f600 '.encode()
        with wire.Server(PROGRAM, '-e') as server:
            for n, chop in ((64 * 1024, 64), (256 * 1024, 997), (MIB, 4096),
                            (4 * MIB, 65536), (MAX_MESSAGE, MIB)):
                with self.subTest(n=n, chop=chop):
                    self.echo(server, BINARY, data[:n],
                              frame(BINARY, data[:n]), chop)
                    words = (word * (n // len(word) + 1))[:n // len(word) *
                                                          len(word)]
                    self.echo(server, TEXT, words, text(words), chop)
            for n, size in ((256 * 1024, 64), (MIB, 256), (4 * MIB, 65536),
                            (MAX_MESSAGE, MIB)):
                with self.subTest(n=n, size=size):
                    self.echo(server, BINARY, data[:n], in_pieces(
                        BINARY, cut(data[:n], size)), MIB)
            wire.assert_idle(server)

    def test_others_go_on(self):
        """While one peer sends, waits for and takes in 16 MiB."""
        data = bytes(MAX_MESSAGE)
        sent = frame(BINARY, data)
        with wire.Server(PROGRAM, '-e') as server, \
                open_on(server, receive_buffer=4096) as big, \
                open_on(server) as small:
            for piece in cut(sent, MIB):
                big.send(piece)
                small.send(text('quick'))
                self.assertEqual(receive(small), (TEXT, b'quick'))
            # The echo has begun: it can only be waiting for us.
            self.assertEqual(big.recv_exactly(1), b'\x82')
            for _ in range(20):
                small.send(frame(PING, 'quick'))
                self.assertEqual(receive(small), (PONG, b'quick'))
            wire.assert_idle(server)
            big.send(close(1000))
            self.assertEqual(in_words(parse(b'\x82' + big.recv_all(60))),
                             in_words([(BINARY, data), closed(1000)]))


# ---- the handshake ----------------------------------------------------------

FIELDS = [('Host', 'localhost:8080'), ('Upgrade', 'websocket'),
          ('Connection', 'Upgrade'), ('Sec-WebSocket-Key', KEY),
          ('Sec-WebSocket-Version', '13')]


def request(line='GET / HTTP/1.1', without=(), add=(), **instead):
    """An opening handshake with some fields left out, added or changed."""
    fields = [(name, instead.get(name.replace('-', '_'), value))
              for name, value in FIELDS if name not in without] + list(add)
    return (line + '\r\n' + ''.join('%s: %s\r\n' % field for field in fields) +
            '\r\n').encode('latin-1')


class Handshake(unittest.TestCase):
    ACCEPTED = [
        request(),
        request('GET /any/path?query=1 HTTP/1.1'),
        request('GET http://localhost:8080/ HTTP/1.1'),
        request('GET / HTTP/1.2'),
        request(Upgrade='WebSocket'),
        request(Upgrade='h2c, , WEBSOCKET'),
        request(Connection='keep-alive, Upgrade'),
        request(Connection='keep-alive,upgrade'),
        request(without=['Connection'], add=[('Connection', 'keep-alive'),
                                             ('CONNECTION', 'UPGRADE')]),
        request(add=[('Origin', 'http://localhost:8080')]),
        request(add=[('Origin', 'https://LOCALHOST:8080')]),
        request(add=[('Sec-WebSocket-Protocol', 'chat, superchat')]),
        request(add=[('Sec-WebSocket-Extensions', 'permessage-deflate; '
                      'client_max_window_bits')]),
        request(add=[('Content-Length', '0')]),
        request().replace(b'\r\n', b'\n'),
        b'\r\n' + request(),
    ]
    REFUSED = [
        (426, request(Sec_WebSocket_Version='8')),
        (426, request(Sec_WebSocket_Version='0')),
        (426, request(Sec_WebSocket_Version='14')),
        (426, request(Sec_WebSocket_Version='13, 8')),
        (426, request(Sec_WebSocket_Version='')),
        (426, request(without=['Sec-WebSocket-Version'])),
        (426, request(add=[('Sec-WebSocket-Version', '13')])),
        (400, request(without=['Sec-WebSocket-Key'])),
        (400, request(add=[('Sec-WebSocket-Key', KEY)])),
        (400, request(Sec_WebSocket_Key='')),
        (400, request(Sec_WebSocket_Key='dGhlIHNhbXBsZSBub25jZQ')),
        (400, request(Sec_WebSocket_Key='dGhlIHNhbXBsZSBub25j')),
        (400, request(Sec_WebSocket_Key='dGhlIHNhbXBsZSBub25jZWQ=')),
        (400, request(Sec_WebSocket_Key='dGhlIHNhbXBsZSBub25jZWRk')),
        (400, request(Sec_WebSocket_Key='dGhlIHNhbXBsZSBub25j*Q==')),
        (400, request(Sec_WebSocket_Key='x' * 1000)),
        (400, request(without=['Upgrade'])),
        (400, request(Upgrade='h2c')),
        (400, request(Upgrade='websockets')),
        (400, request(without=['Connection'])),
        (400, request(Connection='keep-alive')),
        (400, request(without=['Host'])),
        (400, request(Host='')),
        (400, request(add=[('Host', 'localhost')])),
        (400, request('GET / HTTP/1.0')),
        (400, request(add=[('Content-Length', '5')]) + b'12345'),
        (400, request(add=[('Transfer-Encoding', 'chunked')]) + b'0\r\n\r\n'),
        (400, request('HEAD / HTTP/1.1')),
        (405, request('POST / HTTP/1.1')),
        (405, request('PUT / HTTP/1.1', add=[('Content-Length', '0')])),
        (403, request(add=[('Origin', 'http://evil.example')])),
        (403, request(add=[('Origin', 'http://localhost')])),
        (403, request(add=[('Origin', 'null')])),
        (403, request(add=[('Origin', 'localhost:8080')])),
        (505, request('GET / HTTP/2.0')),
        (431, request(add=[('X', 'x' * 40000)])),
    ]

    def test_accepted(self):
        with wire.Server(PROGRAM) as server:
            for sent in self.ACCEPTED:
                with self.subTest(sent=sent), server.connect() as peer:
                    peer.send(sent + text('Hello') + close(1000))
                    self.assertEqual(peer.recv_exactly(len(OPENED)), OPENED)
                    self.assertEqual(parse(peer.recv_all()), [
                        (TEXT, b'Websockets!'), closed(1000)])
            with self.subTest('byte by byte'), server.connect() as peer:
                for byte in cut(request() + text('Hello') + close(1000), 1):
                    peer.send(byte)
                self.assertEqual(peer.recv_exactly(len(OPENED)), OPENED)
                self.assertEqual(parse(peer.recv_all()), [
                    (TEXT, b'Websockets!'), closed(1000)])
            wire.assert_serves(server)

    def test_refused(self):
        with wire.Server(PROGRAM) as server:
            for status, sent in self.REFUSED:
                with self.subTest(sent=sent[:300]), server.connect() as peer:
                    # Frames glued to it must not be taken for a request.
                    peer.send(sent + text('Hello') + close(1000))
                    response = peer.read_response(head=sent[:4] == b'HEAD')
                    self.assertEqual(response.status, status)
                    self.assertIn('close', response.headers['Connection'])
                    self.assertEqual(peer.recv_all(), b'')
                    if status == 426:
                        self.assertEqual(response.headers.get_all(
                            'Sec-WebSocket-Version'), ['13'])
                        self.assertEqual(response.headers['Upgrade'],
                                         'websocket')
                        self.assertIn('Upgrade',
                                      response.headers['Connection'])
                    if status == 405:
                        self.assertEqual(response.headers['Allow'],
                                         'GET, HEAD')
            wire.assert_serves(server)
            self.assertEqual(server.out.lines[1:], [])

    def test_after_a_request(self):
        with wire.Server(PROGRAM) as server, server.connect() as peer:
            peer.send(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n' + OPENING +
                      text('Hello'))
            self.assertEqual(peer.read_response().status, 200)
            self.assertEqual(peer.recv_exactly(len(OPENED)), OPENED)
            self.assertEqual(receive(peer), (TEXT, b'Websockets!'))

    def test_any_origin(self):
        with wire.Server(PROGRAM, ORIGIN='*') as server:
            with server.connect() as peer:
                peer.send(request(add=[('Origin', 'http://evil.example')]))
                self.assertEqual(peer.recv_exactly(len(OPENED)), OPENED)

    def test_half_a_head(self):
        with wire.Server(PROGRAM) as server, server.connect() as peer:
            peer.send(OPENING[:-2])
            peer.half_close()
            self.assertEqual(peer.read_response().status, 400)
            self.assertEqual(peer.recv_all(), b'')


# ---- the page, the terminal, the program ------------------------------------

class Page(unittest.TestCase):
    FILES = {'/': ('index.html', 'text/html; charset=utf-8'),
             '/any/where?x=1': ('index.html', 'text/html; charset=utf-8'),
             '/app.js': ('app.js', 'text/javascript; charset=utf-8'),
             '/style.css': ('style.css', 'text/css; charset=utf-8')}

    def test_files(self):
        with wire.Server(PROGRAM) as server, server.connect() as peer:
            for path, (name, media_type) in self.FILES.items():
                with open(os.path.join(server.root, 'public', name),
                          'rb') as file:
                    body = file.read()
                for method in ('GET', 'HEAD'):
                    peer.send(('%s %s HTTP/1.1\r\nHost: x\r\n\r\n' %
                               (method, path)).encode())
                    got = peer.read_response(head=method == 'HEAD')
                    self.assertEqual(got.status, 200)
                    self.assertEqual(got.body, body if method == 'GET'
                                     else b'')
                    headers = got.headers
                    self.assertEqual(headers['Content-Type'], media_type)
                    self.assertEqual(int(headers['Content-Length']), len(body))
                    self.assertEqual(headers['X-Content-Type-Options'],
                                     'nosniff')
                    self.assertEqual(headers['Connection'], 'keep-alive')
                    self.assertTrue(headers['Date'].endswith(' GMT'))
                    policy = headers['Content-Security-Policy']
                    self.assertIn("default-src 'none'", policy)
                    self.assertNotIn('unsafe', policy)

    def test_other_methods(self):
        with wire.Server(PROGRAM) as server, server.connect() as peer:
            peer.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n'
                      b'\r\nabcDELETE /x HTTP/1.1\r\nHost: x\r\n\r\n'
                      b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
            for _ in range(2):
                got = peer.read_response()
                self.assertEqual(got.status, 405)
                self.assertEqual(got.headers['Allow'], 'GET, HEAD')
            self.assertEqual(peer.read_response().body, b'{"status":"ok"}')

    def test_upgrade_to_something_else_is_ignored(self):
        with wire.Server(PROGRAM) as server, server.connect() as peer:
            peer.send(b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n'
                      b'Connection: Upgrade, HTTP2-Settings\r\n\r\n')
            self.assertEqual(peer.read_response().status, 200)

    def test_no_page(self):
        done = wire.run(PROGRAM, ROOT='/', PORT=0)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr,
                         b'public/index.html: No such file or directory\n')


class Terminal(unittest.TestCase):
    def test_messages(self):
        long = 'x' * 9999 + '\u00b5'  # its last character does not fit
        with wire.Server(PROGRAM) as server, open_on(server) as peer:
            for sent, line, answer in (
                    (text('Hello'), 'Received: Hello', b'Websockets!'),
                    (text('hello'), 'Received: hello', None),
                    (text('Hello '), 'Received: Hello ', None),
                    (text(''), 'Received: ', None),
                    (in_pieces(TEXT, ['Hel', 'lo']), 'Received: Hello',
                     b'Websockets!'),
                    (frame(BINARY, 'Hello'), 'Received: (binary, 5 bytes)',
                     None),
                    (text('caf\u00e9 \u65e5 \U0001f600'),
                     'Received: caf\u00e9 \u65e5 \U0001f600', None),
                    (text('a\nFrom IP: 1.2.3.4\r\x1b[2J\0\u009b'),
                     'Received: a\\x0AFrom IP: 1.2.3.4\\x0D\\x1B[2J\\x00'
                     '\\xC2\\x9B', None),
                    (text('\u202eevil'), 'Received: \\xE2\\x80\\xAEevil',
                     None),
                    (text('\x1b' * 10000), 'Received: ' + '\\x1B' * 10000,
                     None),
                    (text(long * 100), 'Received: ' + 'x' * 9999 +
                     '... 990101 more bytes', None)):
                peer.send(sent + frame(PING))
                if answer:
                    self.assertEqual(receive(peer), (TEXT, answer))
                self.assertEqual(receive(peer), (PONG, b''))
                self.assertTrue(server.wait_line('Received: ') == line, line)
                self.assertEqual(server.wait_line(''), 'From IP: 127.0.0.1')

    def test_echo_prints_nothing(self):
        with wire.Server(PROGRAM, '-e') as server, open_on(server) as peer:
            peer.send(text('Hello'))
            self.assertEqual(receive(peer), (TEXT, b'Hello'))
            self.assertEqual(server.out.lines[1:], [])

    def test_both_families(self):
        with wire.Server(PROGRAM, HOST='::') as server:
            for host in ('127.0.0.1', '::1'):
                with open_on(server, host=host) as peer:
                    peer.send(text('x'))
                    server.wait_line('Received: x')
                    self.assertEqual(server.wait_line('From'),
                                     'From IP: ' + host)

    def test_trace(self):
        with wire.Server(PROGRAM, TRACE=1) as server, open_on(server) as peer:
            peer.send(head(TEXT, 5, mask=b'\0\0\0\0') + b'Hello')
            server.wait_error('C: GET /chat HTTP/1.1')
            server.wait_error('S: Sec-WebSocket-Accept: ' + ACCEPT)
            server.wait_error('C: \\x81\\x85\\x00\\x00\\x00\\x00Hello\\')
            server.wait_error('S: \\x81\\x0BWebsockets!\\')


class Program(unittest.TestCase):
    def test_help(self):
        for option in ('-h', '--help'):
            done = wire.run(PROGRAM, option)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            for name in (b'HOST', b'PORT', b'ROOT', b'ORIGIN', b'MAX_MESSAGE',
                         b'IDLE_MS', b'HEAD_MS', b'MAX_CONNS', b'DRAIN_MS',
                         b'GRACE_MS', b'TRACE', b'Try: '):
                self.assertIn(name, done.stdout)
        self.assertEqual(wire.run(PROGRAM, '--version').stdout,
                         b'websocket-app 1.0\n')

    def test_finds_its_pages(self):
        """Beside the program, from wherever it is started; or in ROOT."""
        with tempfile.TemporaryDirectory() as top:
            folder = os.path.join(top, PROGRAM)
            public = os.path.join(wire.TOP, PROGRAM, 'public')
            shutil.copytree(public, os.path.join(folder, 'public'))
            shutil.copy2(wire.program(PROGRAM), folder)
            file = os.path.join(folder, PROGRAM)
            link = os.path.join(top, 'link')
            os.symlink(file, link)
            path = os.pathsep.join(['/nowhere', folder, os.environ['PATH']])
            for command, cwd, settings in (
                    (file, '/', {}), ('./' + PROGRAM, folder, {}),
                    ('%s/%s' % (PROGRAM, PROGRAM), top, {}),
                    (link, '/', {}), (PROGRAM, '/', {'PATH': path}),
                    (wire.program(PROGRAM), top, {'ROOT': PROGRAM}),
                    (wire.program(PROGRAM), '/', {'ROOT': folder})):
                # env, so that it is looked for in the PATH it is given
                with self.subTest(command=command, cwd=cwd), wire.Server(
                        ['env', command], cwd=cwd, **settings) as server:
                    got = wire.exchange(server, b'GET / HTTP/1.0\r\n\r\n')
                    self.assertIn(b'<title>Communicating', got)

    def test_wrong_usage(self):
        for args, settings in (
                (['-x'], {}), (['file'], {}), ([], {'PORT': 'abc'}),
                ([], {'PORT': '65536'}), ([], {'MAX_MESSAGE': '0'}),
                ([], {'MAX_MESSAGE': '16M'}), ([], {'ORIGIN': 'http://x'})):
            settings.setdefault('PORT', 0)
            root = os.path.join(wire.TOP, PROGRAM)
            done = wire.run(PROGRAM, *args, ROOT=root, **settings)
            self.assertEqual(done.returncode, 2, (args, settings))
            self.assertEqual(done.stderr.count(b'\n'), 1, done.stderr)


# ---- time -------------------------------------------------------------------

class Silence(unittest.TestCase):
    def test_pinged_then_dropped(self):
        with wire.Server(PROGRAM, IDLE_MS=200) as server, \
                open_on(server) as peer:
            start = time.monotonic()
            self.assertEqual(receive(peer), (PING, b''))
            pinged = time.monotonic() - start
            self.assertEqual(peer.recv_all(), b'')  # no Close: 1006
            self.assertGreaterEqual(pinged, 0.15)
            self.assertGreaterEqual(time.monotonic() - start, 0.35)

    def test_who_answers_stays(self):
        with wire.Server(PROGRAM, '-e', IDLE_MS=400) as server, \
                open_on(server) as peer:
            for sent in (frame(PONG), frame(PONG, 'unasked'),
                         frame(BINARY, 'still ', fin=False), frame(PONG),
                         frame(CONTINUATION, fin=False)):
                self.assertEqual(receive(peer), (PING, b''))
                peer.send(sent)
            self.assertEqual(receive(peer), (PING, b''))
            peer.send(frame(CONTINUATION, 'here'))
            self.assertEqual(receive(peer), (BINARY, b'still here'))

    def test_half_a_frame_is_not_silence_for_ever(self):
        with wire.Server(PROGRAM, IDLE_MS=100) as server, \
                open_on(server) as peer:
            peer.send(text('Hello')[:-1])
            self.assertEqual(parse(peer.recv_all()), [(PING, b'')])
            wire.assert_serves(server)

    def test_quiet_before_the_handshake(self):
        with wire.Server(PROGRAM, IDLE_MS=100) as server, \
                server.connect() as peer:
            self.assertEqual(peer.recv_all(), b'')


class BadPeers(unittest.TestCase):
    def test_trickles(self):
        """A head that comes byte by byte has HEAD_MS in all."""
        with wire.Server(PROGRAM, HEAD_MS=300) as server, \
                server.connect() as peer:
            start = time.monotonic()
            for byte in itertools.chain(cut(OPENING[:-2], 1),
                                        itertools.repeat(b'X')):
                peer.send(byte)
                try:
                    if peer.receive(0.02):
                        break
                except socket.timeout:
                    pass
                self.assertLess(time.monotonic() - start, wire.LIMIT)
            self.assertEqual(peer.read_response().status, 408)
            wire.assert_serves(server)

    def test_vanishes(self):
        with wire.Server(PROGRAM, '-e') as server:
            before = server.fds()
            for sent in (b'', OPENING[:50], OPENING, OPENING + b'\x81',
                         OPENING + text('x' * 70000)[:66000],
                         OPENING + frame(TEXT, 'x', fin=False),
                         OPENING + frame(PING, 'x') * 5000,
                         OPENING + close(1000)):
                peer = server.connect()
                peer.send(sent)
                peer.reset()
            wire_wait(lambda: server.fds() == before)
            wire.assert_idle(server)
            wire.assert_serves(server)

    def test_pipelines(self):
        """Much more than it reads, so that the server stops reading; and
        then it takes all, slowly at first."""
        n = 100000
        sent = text('Hello') * n
        with wire.Server(PROGRAM) as server, \
                open_on(server, receive_buffer=4096) as peer:
            peer.socket.setblocking(False)
            at = 0
            got = bytearray()
            end = time.monotonic() + 6 * wire.LIMIT
            while len(got) < 13 * n:
                self.assertLess(time.monotonic(), end)
                try:
                    at += peer.socket.send(sent[at:at + 65536])
                except BlockingIOError:
                    pass
                try:
                    got += peer.socket.recv(3000)
                except BlockingIOError:
                    pass
            self.assertEqual(bytes(got), b'\x81\x0bWebsockets!' * n)
            wire.assert_serves(server)

    def test_reads_after_a_while(self):
        """Who has not taken its answers yet is not silent: IDLE_MS does not
        end it."""
        message = frame(BINARY, bytes(1000)) * 10
        with wire.Server(PROGRAM, '-e', IDLE_MS=100) as server, \
                open_on(server, receive_buffer=4096) as peer:
            peer.socket.settimeout(0.5)  # five times IDLE_MS
            sent = 0
            with self.assertRaises(socket.timeout):
                while True:
                    sent += peer.socket.send(message)
            whole = sent // 1008
            answer = head(BINARY, 1000) + bytes(1000)
            self.assertEqual(peer.recv_exactly(whole * 1004, 60),
                             answer * whole)

    def test_overflows(self):
        """More of everything than there is room for."""
        with wire.Server(PROGRAM, '-e') as server:
            before = server.rss()
            for sent in (b'X' * 100000, b'GET / HTTP/1.1\r\n' + b'A: b\r\n' *
                         1000, OPENING + head(BINARY, 2**62, mask=b'1234') +
                         b'x' * 100000):
                with server.connect() as peer:
                    peer.send(sent)
                    self.assertTrue(peer.recv_all())
            self.assertLess(server.rss() - before, 16 * MIB)
            wire.assert_serves(server)

    def test_goes_on_after_the_close(self):
        """The Close arrives, though megabytes are still on their way here."""
        for wrong, code in ((b'\xff' * 14, 1002),
                            (head(TEXT, 2**40, mask=b'1234'), 1009),
                            (text(b'\xff'), 1007), (close(3000), 3000)):
            with self.subTest(code=code), wire.Server(PROGRAM) as server, \
                    open_on(server) as peer:
                peer.send(text('Hello') + wrong + bytes(4 * MIB))
                self.assertEqual(parse(peer.recv_all()),
                                 [(TEXT, b'Websockets!'), closed(code)])

    def test_twelve_descriptors(self):
        with wire.Server(PROGRAM, preexec=wire.files_at_most(12)) as server:
            peers = [server.connect() for _ in range(20)]
            for peer in peers:
                peer.send(OPENING)
            first = peers[0]
            self.assertEqual(first.recv_exactly(len(OPENED)), OPENED)
            server.wait_error('accept: ')
            wire.assert_idle(server)
            first.send(text('Hello'))
            self.assertEqual(receive(first), (TEXT, b'Websockets!'))
            for peer in peers:  # each leaves its place to another
                peer.send(close(1000))
                peer.recv_until(closed(1000)[1])
                peer.close()
            wire.assert_serves(server)

    def test_idle_in_every_state(self):
        with wire.Server(PROGRAM) as server:
            peers = [server.connect() for _ in range(8)]
            for peer, sent in zip(peers, (
                    b'', OPENING[:20], OPENING, OPENING + b'\x81',
                    OPENING + text('Hello')[:-2],
                    OPENING + frame(TEXT, 'x', fin=False),
                    OPENING + text('Hello') + close(1000),
                    OPENING + b'\xff')):
                peer.send(sent)
            for peer in peers[2:]:
                peer.recv_exactly(len(OPENED))
            wire.assert_idle(server)
            wire.assert_serves(server)


class NeverReads(unittest.TestCase):
    """Last, since it takes as long as the server's patience: SEND_MS."""

    def test_never_reads(self):
        with wire.Server(PROGRAM, '-e') as server:
            before = server.fds()
            peer = open_on(server, receive_buffer=4096)
            message = frame(BINARY, bytes(1000)) * 60
            peer.socket.settimeout(1)
            sent = 0
            with self.assertRaises(socket.timeout):  # it is not read from
                while sent < 256 * MIB:
                    sent += peer.socket.send(message)
            self.assertLess(server.rss(), 64 * MIB)
            wire.assert_idle(server)
            wire.assert_serves(server)
            self.assertGreater(server.fds(), before)
            wire_wait(lambda: server.fds() == before, 45)
            with self.assertRaises(ConnectionError):  # it was dropped
                while True:
                    peer.socket.send(message)
            wire.assert_idle(server)


# ---- the end ----------------------------------------------------------------

class Stopping(unittest.TestCase):
    def test_says_goodbye(self):
        with wire.Server(PROGRAM) as server:
            before = server.connect()
            peers = [open_on(server) for _ in range(3)]
            peers[1].send(frame(TEXT, 'Hel', fin=False) + frame(PING))
            self.assertEqual(receive(peers[1]), (PONG, b''))
            server.signal()
            for peer in peers:
                self.assertEqual(receive(peer), closed(1001))
            self.assertEqual(before.recv_all(), b'')
            # What crosses it is too late to be answered, but for a ping.
            peers[0].send(text('Hello') + frame(PING, 'p') + close(1001))
            self.assertEqual(parse(peers[0].recv_all()), [(PONG, b'p')])
            peers[1].send(frame(CONTINUATION, 'lo') + close(1000))
            self.assertEqual(peers[1].recv_all(), b'')
            self.assertIsNone(server.process.poll())
            peers[2].half_close()
            self.assertEqual(peers[2].recv_all(), b'')
            self.assertEqual(server.wait(), 0)
            self.assertEqual(server.out.lines[1:], [])

    def test_a_violation_after_our_close(self):
        with wire.Server(PROGRAM) as server, open_on(server) as peer:
            server.signal()
            self.assertEqual(receive(peer), closed(1001))
            peer.send(b'\xff\xff\xff')
            self.assertEqual(peer.recv_all(), b'')  # no second Close
            peer.close()
            self.assertEqual(server.wait(), 0)

    def test_does_not_wait_for_ever(self):
        with wire.Server(PROGRAM, GRACE_MS=200) as server, \
                open_on(server) as peer:
            server.signal()
            self.assertEqual(receive(peer), closed(1001))
            self.assertEqual(server.wait(), 0)

    def test_in_the_middle_of_an_answer(self):
        data = bytes(MAX_MESSAGE)
        with wire.Server(PROGRAM, '-e') as server, \
                open_on(server, receive_buffer=4096) as peer:
            peer.send(frame(BINARY, data))
            start = peer.recv_exactly(1)
            server.signal()
            with self.assertRaises(ConnectionRefusedError):
                while True:
                    try:
                        server.connect().close()
                    except ConnectionResetError:
                        pass  # it stopped listening at that moment
            rest = bytearray(start)
            while len(rest) < MAX_MESSAGE + 14:
                rest += peer.recv_exactly(min(
                    MIB, MAX_MESSAGE + 14 - len(rest)))
            peer.send(close(1001))
            rest += peer.recv_all()
            self.assertEqual(in_words(parse(bytes(rest))),
                             in_words([(BINARY, data), closed(1001)]))
            peer.close()
            self.assertEqual(server.wait(), 0)

    def test_drain(self):
        with wire.Server(PROGRAM, DRAIN_MS=wire.LIMIT * 1000) as server, \
                open_on(server) as peer:
            server.signal(signal.SIGINT)
            with server.connect() as other:
                other.send(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
                got = other.read_response()
            while got.status != 503:  # the signal may take its time
                with server.connect() as other:
                    other.send(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
                    got = other.read_response()
            self.assertEqual(got.headers['Connection'], 'close')
            peer.send(text('Hello'))
            self.assertEqual(receive(peer), (TEXT, b'Websockets!'))
            server.signal(signal.SIGINT)  # the second one is final
            self.assertEqual(server.wait(), -signal.SIGINT)
            server.stopped = True


class ManyPeers(unittest.TestCase):
    def test_idle_memory(self):
        """Under 1 KiB each; what a message took is given back."""
        n = 2000
        if re.search('asan|valgrind', os.environ.get('BUILD', '')):
            self.skipTest('the sanitizer has its own memory')
        with wire.Server(PROGRAM, '-e') as server:
            open_on(server).close()
            before = server.rss()
            peers = [server.connect() for _ in range(n)]
            for peer in peers:
                peer.send(OPENING + text('Hello'))
            for peer in peers:
                peer.recv_until(b'\x81\x05Hello')
            self.assertLess((server.rss() - before) / n, 1024)
            wire.assert_idle(server)


if __name__ == '__main__':
    wire.main()
