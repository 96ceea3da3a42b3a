#!/usr/bin/env python3
"""websocket-client against servers that are a few lines of raw bytes each: in
a pipe, and on a terminal of its own, whose screen is looked at."""

import base64
import contextlib
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

import wire

GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


# ---- the server's side ------------------------------------------------------

def frame(opcode, payload=b'', fin=True, rsv=0, mask=None, length=None):
    """A frame, by default as a server sends it. length: a lie."""
    n = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack('>H', n)
    else:
        head += bytes([bit | 127]) + struct.pack('>Q', n)
    if mask:
        head += mask
        payload = unmasked(payload, mask)
    return head + payload


def unmasked(payload, mask):
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[:len(payload)],
                         'big')
    return (int.from_bytes(payload, 'big') ^ key).to_bytes(len(payload), 'big')


def close(code, reason=b''):
    return frame(CLOSE, struct.pack('>H', code) + reason)


class Listener:
    """Where the client connects to; accept() is the server's connection."""

    def __init__(self, host='127.0.0.1', send_buffer=None):
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.socket = socket.socket(family)
        if send_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   send_buffer)
        self.socket.bind((host, 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.url = 'ws://%s:%d' % (
            '[%s]' % host if ':' in host else host, self.port)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def accept(self, limit=wire.START_LIMIT):
        self.socket.settimeout(limit)
        return Side(self.socket.accept()[0])

    def open(self, more=b''):
        side = self.accept()
        side.shake_hands(more)
        return side


class Side(wire.Peer):
    """The server's end of one connection: a wire.Peer that was accepted."""

    def __init__(self, sock):
        self.socket = sock
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b''

    def read_request(self):
        self.request = self.recv_until(b'\r\n\r\n').decode()
        self.key = re.search(r'\r\nSec-WebSocket-Key: (\S+)\r\n',
                             self.request).group(1)

    def answer(self):
        digest = hashlib.sha1(self.key.encode() + GUID).digest()
        return (b'HTTP/1.1 101 Switching Protocols\r\n'
                b'Upgrade: websocket\r\nConnection: Upgrade\r\n'
                b'Sec-WebSocket-Accept: ' + base64.b64encode(digest) +
                b'\r\n\r\n')

    def shake_hands(self, more=b''):
        self.read_request()
        self.send(self.answer() + more)

    def read_frame(self):
        """One frame of the client: opcode and payload. All else about it must
        be right: it is masked, whole, and as short as can be."""
        first, second = self.recv_exactly(2)
        n = second & 0x7F
        if n == 126:
            n, = struct.unpack('>H', self.recv_exactly(2))
            right = n > 125
        elif n == 127:
            n, = struct.unpack('>Q', self.recv_exactly(8))
            right = n > 65535
        else:
            right = True
        if not right or not second & 0x80 or first & 0xF0 != 0x80:
            raise wire.Failure('a frame %02x %02x, length %d' %
                               (first, second, n))
        self.mask = self.recv_exactly(4)
        return first & 0x0F, unmasked(self.recv_exactly(n), self.mask)

    def expect(self, test, *frames):
        for opcode, payload in frames:
            test.assertEqual(self.read_frame(), (opcode, payload))

    def expect_close(self, test, code, reason=b''):
        self.expect(test, (CLOSE, struct.pack('>H', code) + reason))

    def end(self, test, code=1000):
        """The client says goodbye, and so do we."""
        self.expect_close(test, code)
        self.send(close(code))
        self.close()


# ---- the client's side ------------------------------------------------------

class Pipe:
    """The client with pipes for stdin, stdout and stderr."""

    def __init__(self, *args, stdin=subprocess.PIPE, **settings):
        settings = dict({'NO_COLOR': None}, **settings)
        self.process = subprocess.Popen(
            wire.command_of('websocket-client', args), stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=wire.environment(settings), bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout,
                     self.process.stderr):
            if file and not file.closed:
                file.close()

    def write(self, data):
        self.process.stdin.write(data)

    def read_line(self):
        line = b''
        while not line.endswith(b'\n'):
            ready, _, _ = select.select([self.process.stdout], [], [],
                                        wire.LIMIT)
            data = os.read(self.process.stdout.fileno(), 1) if ready else b''
            if not data:
                raise wire.Failure('no whole line, but %r' % line)
            line += data
        return line

    @contextlib.contextmanager
    def ending(self, stdin=None):
        """Writes stdin and reads the rest while something else goes on; yields
        what then says what end() did. Without stdin it stays open."""
        writer = threading.Thread(target=self.feed, args=(stdin,))
        out = []
        reader = threading.Thread(
            target=lambda: out.append(self.process.stdout.read()))
        writer.start()
        reader.start()
        yield lambda: (out[0],) + self.end()[1:]
        reader.join(wire.START_LIMIT)
        writer.join(wire.START_LIMIT)

    def feed(self, stdin):
        if stdin is None:
            return
        try:
            view = memoryview(stdin)
            while view:
                view = view[self.process.stdin.write(view):]
            self.close_input()
        except BrokenPipeError:
            pass

    def close_input(self):
        self.process.stdin.close()
        self.process.stdin = None

    def end(self, stdin=None, limit=wire.START_LIMIT):
        """The rest of stdout, stderr and the exit status."""
        try:
            out, err = self.process.communicate(stdin, limit)
        except subprocess.TimeoutExpired:
            raise wire.Failure('it does not end') from None
        wire.no_report(err.decode('utf-8', 'replace'))
        return out, err.decode(), self.process.returncode


class Screen:
    """As much of a terminal as the client needs; colours are kept as marks
    [gray] and [red] when asked for."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[' '] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.rest = ''

    def write(self, data):
        text = self.rest + data
        self.rest = ''
        at = 0
        while at < len(text):
            match = re.compile(r'\x1b\[(\d*)([A-Za-z])').match(text, at)
            if match:
                self.sequence(match.group(1), match.group(2))
                at = match.end()
            elif text[at] == '\x1b' and len(text) - at < 8:
                self.rest = text[at:]  # not all of it has come
                return
            else:
                self.character(text[at])
                at += 1

    def sequence(self, number, letter):
        n = int(number or 0)
        if letter == 'G':
            self.column = n - 1
        elif letter == 'H':
            self.row = self.column = 0
        elif letter == 'A':
            self.row = max(0, self.row - (n or 1))
        elif letter == 'J' and n == 2:
            self.cells = [[' '] * self.columns for _ in range(self.rows)]
        elif letter == 'J' and n == 0:
            self.clear(self.row, self.column)
            for row in range(self.row + 1, self.rows):
                self.clear(row, 0)
        elif letter == 'K' and n == 2:
            self.clear(self.row, 0)
        elif letter != 'm' or n not in (39, 90, 31):
            raise wire.Failure('an unknown sequence: ESC [ %s %s' %
                               (number, letter))

    def clear(self, row, column):
        self.cells[row][column:] = [' '] * (self.columns - column)

    def new_row(self):
        self.row += 1
        if self.row == self.rows:
            self.cells = self.cells[1:] + [[' '] * self.columns]
            self.row -= 1

    def character(self, c):
        if c == '\r':
            self.column = 0
        elif c == '\n':
            self.new_row()
        elif c < ' ' or c == '\x7f':
            raise wire.Failure('a raw control character: %r' % c)
        else:
            if self.column == self.columns:
                self.new_row()
                self.column = 0
            self.cells[self.row][self.column] = c
            self.column += 1

    def text(self):
        lines = [''.join(row).rstrip() for row in self.cells]
        while lines and not lines[-1]:
            lines.pop()
        return '\n'.join(lines)


class Terminal:
    """The client on a terminal. Time that it needs to show something is waited
    for by what is on the screen then."""

    def __init__(self, *args, rows=24, columns=60, before=b'', **settings):
        settings = dict({'NO_COLOR': None}, **settings)
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, columns)
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(self.slave)
        if before:
            os.write(self.master, before)
        self.raw = ''  # all that it has written
        self.process = subprocess.Popen(
            wire.command_of('websocket-client', args), stdin=self.slave,
            stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=self.own_terminal, env=wire.environment(settings))

    @staticmethod
    def own_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack('HHHH', rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text if isinstance(text, bytes)
                 else text.encode())

    def read(self, limit):
        if not select.select([self.master], [], [], limit)[0]:
            return False
        text = os.read(self.master, 65536).decode('utf-8', 'backslashreplace')
        self.raw += text
        self.screen.write(text)
        return True

    def wait(self, ready, what):
        end = time.monotonic() + wire.LIMIT
        while not ready():
            if not self.read(max(0, end - time.monotonic())):
                raise wire.Failure('%s did not come; the screen:\n%s\n%r' % (
                    what, self.screen.text(), self.raw[-300:]))

    def wait_screen(self, text, row=None, column=None):
        """Until that is all there is on the screen, and the cursor there."""
        def ready():
            return (self.screen.text() == text.rstrip() and
                    row in (None, self.screen.row) and
                    column in (None, self.screen.column))
        self.wait(ready, 'the screen\n' + text)

    def wait_text(self, text):
        self.wait(lambda: text in self.screen.text(), repr(text))

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def end(self):
        """Exit status; the terminal must be as it was."""
        try:
            status = self.process.wait(wire.START_LIMIT)
        except subprocess.TimeoutExpired:
            raise wire.Failure('it does not end; the screen:\n' +
                               self.screen.text()) from None
        while self.read(0):
            pass
        wire.no_report(self.raw)
        if termios.tcgetattr(self.slave) != self.modes:
            raise wire.Failure('the terminal is not as it was')
        return status


CONNECTED = '-- Connected --\n\n'


# ---- tests ------------------------------------------------------------------

class Handshake(unittest.TestCase):
    def test_request(self):
        with Listener() as listener:
            keys = set()
            for path, target in (('', '/'), ('/', '/'), ('/a/b?c=d#e',
                                 '/a/b?c=d'), ('?x', '/?x')):
                with Pipe(listener.url + path) as client:
                    side = listener.open()
                    self.assertEqual(side.request, (
                        'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n'
                        'Upgrade: websocket\r\nConnection: Upgrade\r\n'
                        'Sec-WebSocket-Key: %s\r\n'
                        'Sec-WebSocket-Version: 13\r\n\r\n') %
                        (target, listener.port, side.key))
                    self.assertEqual(len(base64.b64decode(side.key)), 16)
                    keys.add(side.key)
                    client.close_input()
                    side.end(self)
                    self.assertEqual(client.end(), (b'', '', 0))
            self.assertEqual(len(keys), 4)

    def test_byte_by_byte_with_frames_behind(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.accept()
            side.read_request()
            early = b'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'
            answer = side.answer().replace(
                b'Upgrade: websocket\r\nConnection: Upgrade',
                b'upgrade: WebSocket\r\nconnection: keep-alive, UPGRADE')
            for byte in early + answer + frame(TEXT, b'one') + close(1000):
                side.send(bytes([byte]))
            side.expect_close(self, 1000)
            side.close()
            self.assertEqual(client.end(), (b'one\n', '', 0))

    def test_all_in_one_packet(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open(frame(TEXT, b'one') + frame(PING, b'p') +
                                 frame(TEXT, b'two') + close(1000))
            side.expect(self, (PONG, b'p'))
            side.expect_close(self, 1000)
            side.close()
            self.assertEqual(client.end(), (b'one\ntwo\n', '', 0))

    def refused(self, change, words):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.accept()
            side.read_request()
            side.send(change(side.answer()))
            self.assertEqual(side.recv_all(), b'')
            self.assertEqual(
                client.end(b'x\n'),
                (b'', '%s: %s\n' % (listener.url, words), 1))
            side.close()

    def test_refused(self):
        said = 'unexpected server response: '
        for old, new, words in (
                (b'101 Switching Protocols', b'403 Forbidden',
                 said + '403 Forbidden'),
                (b'101 Switching Protocols', b'200 Fine',
                 said + '200 Fine'),
                (b'101 Switching Protocols', b'302 \x1b[2J',
                 'the answer is not HTTP'),
                (b'101 Switching Protocols', b'404 ',
                 said + '404 Not Found'),
                (b'HTTP/1.1', b'HTTP/1.0', said + '101, but it is not '
                 'HTTP/1.1'),
                (b'HTTP/1.1', b'SMTP/1.1', 'the answer is not HTTP'),
                (b'Upgrade: websocket\r\n', b'', said + '101, but no Upgrade: '
                 'websocket'),
                (b'Upgrade: websocket\r\n', b'Upgrade: h2c\r\n',
                 said + '101, but no Upgrade: websocket'),
                (b'Connection: Upgrade\r\n', b'Connection: close\r\n',
                 said + '101, but no Connection: Upgrade'),
                (b'Accept: ', b'Accept: A', said + '101, but its '
                 'Sec-WebSocket-Accept does not answer our key'),
                (b'Sec-WebSocket-Accept', b'X', said + '101, but its '
                 'Sec-WebSocket-Accept does not answer our key'),
                (b'\r\n\r\n', b'\r\nSec-WebSocket-Extensions: '
                 b'permessage-deflate\r\n\r\n',
                 said + '101, but an extension that nobody asked for'),
                (b'\r\n\r\n', b'\r\nSec-WebSocket-Protocol: chat\r\n\r\n',
                 said + '101, but a subprotocol that nobody asked for')):
            with self.subTest(new=new, old=old):
                self.refused(lambda answer: answer.replace(old, new, 1), words)

    def test_closed_early(self):
        for words in (b'', b'HTTP/1.1 101 Swi'):
            with Listener() as listener, Pipe(listener.url) as client:
                side = listener.accept()
                side.read_request()
                side.send(words)
                side.close()
                self.assertEqual(client.end(), (
                    b'', listener.url +
                    ': the server closed before it answered\n', 1))

    def test_no_answer(self):
        with Listener() as listener, \
                Pipe(listener.url, CONNECT_MS=100) as client:
            side = listener.accept()
            self.assertEqual(client.end(), (
                b'', listener.url + ': no answer to the handshake\n', 1))
            side.close()

    def test_endless_answer(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.accept()
            try:
                side.send(b'HTTP/1.1 101 x\r\n' + b'A: b\r\n' * 100000)
            except OSError:
                pass
            self.assertEqual(client.end()[1:], (
                listener.url + ': the answer is not HTTP\n', 1))
            side.close()

    def test_ipv6(self):
        with Listener('::1') as listener, Pipe(listener.url) as client:
            side = listener.open()
            self.assertIn('\r\nHost: [::1]:%d\r\n' % listener.port,
                          side.request)
            client.close_input()
            side.end(self)
            self.assertEqual(client.end(), (b'', '', 0))

    def test_each_address_is_tried(self):
        """localhost is ::1 and 127.0.0.1 on most machines; the server is only
        on the one that is tried last."""
        with Listener() as listener:
            with Pipe('ws://localhost:%d' % listener.port) as client:
                side = listener.open()
                client.close_input()
                side.end(self)
                self.assertEqual(client.end(), (b'', '', 0))

    def test_refused_connection(self):
        with Listener() as listener:
            url = listener.url
        done = wire.run('websocket-client', url, stdin=b'x\n')
        self.assertEqual((done.stdout, done.stderr, done.returncode), (
            b'', (url + ': Connection refused\n').encode(), 1))

    def test_no_such_host(self):
        done = wire.run('websocket-client', 'ws://no-such-host.invalid')
        self.assertEqual((done.stdout, done.returncode), (b'', 1))
        self.assertRegex(done.stderr, rb'^ws://no-such-host.invalid: .*\n$')


class Pipes(unittest.TestCase):
    def session(self, stdin, *args, answers=b'', frames=(), **settings):
        """All of stdin at once; these frames come, then our answers, then the
        end. Returns stdout, stderr and exit status."""
        with Listener() as listener, \
                Pipe(listener.url, *args, **settings) as client:
            with client.ending(stdin) as end:
                side = listener.open()
                side.expect(self, *frames)
                side.expect_close(self, 1000)
                side.send(answers + close(1000))
                side.close()
            return end()

    def test_lines_are_messages(self):
        self.assertEqual(self.session(
            b'Hello\n\n/ping\n//x\r\n\xe6\x97\xa5\0\nlast',
            frames=[(TEXT, b'Hello'), (TEXT, b''), (TEXT, b'/ping'),
                    (TEXT, b'//x\r'), (TEXT, b'\xe6\x97\xa5\0'),
                    (TEXT, b'last')]), (b'', '', 0))

    def test_no_lines(self):
        self.assertEqual(self.session(b''), (b'', '', 0))

    def test_what_comes_after_the_end_of_input(self):
        text = b'a\x1b[2J\n\xc2\x9bb'  # a pipe gets it byte for byte
        self.assertEqual(
            self.session(b'x\n', frames=[(TEXT, b'x')],
                         answers=frame(TEXT, text) + frame(TEXT) +
                         frame(TEXT, b'y')),
            (text + b'\n\ny\n', '', 0))

    def test_long_lines(self):
        for n in (125, 126, 4095, 4096, 65535, 65536, 3000000):
            line = b'0123456789' * (n // 10) + b'x' * (n % 10)
            self.assertEqual(self.session(line + b'\n',
                                          frames=[(TEXT, line)]),
                             (b'', '', 0))

    def test_many_lines(self):
        """More than any buffer between us holds, to a server that starts to
        read late: nothing is lost, and everything in order."""
        lines = [b'%d %s' % (i, b'x' * (i % 300)) for i in range(20000)]
        self.assertEqual(
            self.session(b'\n'.join(lines) + b'\n',
                         frames=[(TEXT, line) for line in lines]),
            (b'', '', 0))

    def test_many_empty_lines(self):
        """A frame is six times its line: room for one message is enough."""
        self.assertEqual(self.session(b'\n' * 100000, MAX_MESSAGE=10,
                                      frames=[(TEXT, b'')] * 100000),
                         (b'', '', 0))

    def test_refused_lines(self):
        out, err, status = self.session(
            b'a\n\xff\nb\n\xc3\n' + b'x' * 11 + b'\n' + b'y' * 10 + b'\n' +
            b'z' * 500000 + b'\nc\n' + b'w' * 500000,
            frames=[(TEXT, b'a'), (TEXT, b'b'), (TEXT, b'y' * 10),
                    (TEXT, b'c')], MAX_MESSAGE=10)
        self.assertEqual((out, status), (b'', 1))
        self.assertEqual(err, ''.join(
            'stdin, line %d: %s, not sent\n' % line for line in (
                (2, 'not UTF-8'), (4, 'not UTF-8'),
                (5, 'longer than MAX_MESSAGE'), (7, 'longer than MAX_MESSAGE'),
                (9, 'longer than MAX_MESSAGE'))))

    def test_binary(self):
        data = bytes(range(20))
        for args, want in (
                ((), b'=> (binary, 20 bytes) 00 01 02 03 04 05 06 07 08 09 0A '
                     b'0B 0C 0D 0E 0F ...\n=> (binary, 2 bytes) FF 0A\n'
                     b'=> (binary, 0 bytes)\n'),
                (('-b',), data + b'\xff\n')):
            self.assertEqual(
                self.session(b'', *args, answers=frame(BINARY, data) +
                             frame(BINARY, b'\xff\n') + frame(BINARY)),
                (want, '', 0))

    def test_lines_as_they_come(self):
        """Neither side waits for more than one line."""
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open()
            for i in range(50):
                client.write(b'%d\n' % i)
                side.expect(self, (TEXT, b'%d' % i))
                side.send(frame(TEXT, b'got %d' % i))
                self.assertEqual(client.read_line(), b'got %d\n' % i)
            client.close_input()
            side.end(self)
            self.assertEqual(client.end(), (b'', '', 0))

    def test_stdout_is_a_terminal(self):
        """Then what comes is shown, not written."""
        with Listener() as listener:
            master, slave = pty.openpty()
            process = subprocess.Popen(
                wire.command_of('websocket-client', ['-b', listener.url]),
                stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                env=wire.environment({}))
            side = listener.open()
            side.expect_close(self, 1000)
            side.send(frame(TEXT, b'a\x1b[2J') + frame(BINARY, b'\x1b') +
                      close(1000))
            side.close()
            self.assertEqual(process.wait(wire.START_LIMIT), 0)
            self.assertEqual(os.read(master, 1000),
                             b'a\\x1B[2J\r\n=> (binary, 1 bytes) 1B\r\n')
            os.close(master)
            os.close(slave)

    def test_reader_gone(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open()
            client.process.stdout.close()
            side.send(frame(TEXT, b'x'))
            self.assertEqual(client.process.wait(wire.START_LIMIT), 1)
            self.assertEqual(client.process.stderr.read(), b'')
            side.close()

    def test_full_disk(self):
        with Listener() as listener, open('/dev/full', 'wb') as full:
            process = subprocess.Popen(
                wire.command_of('websocket-client', [listener.url]),
                stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE,
                env=wire.environment({}))
            side = listener.open()
            side.send(frame(TEXT, b'x'))
            _, err = process.communicate(timeout=wire.START_LIMIT)
            self.assertEqual((process.returncode, err),
                             (1, b'stdout: No space left on device\n'))
            side.close()

    def test_shared_descriptors_stay_blocking(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open()
            for fd in range(3):
                with open('/proc/%d/fdinfo/%d' %
                          (client.process.pid, fd)) as info:
                    flags = re.search(r'flags:\s+(\d+)', info.read()).group(1)
                self.assertFalse(int(flags, 8) & os.O_NONBLOCK, fd)
            side.close()

    def test_closed_descriptors(self):
        """Nothing else takes their numbers: no message goes into the socket,
        and a stdin that is not there has ended."""
        with Listener() as listener:
            process = subprocess.Popen(
                ['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh'] +
                wire.command_of('websocket-client', [listener.url]),
                env=wire.environment({}))
            side = listener.open()
            side.expect_close(self, 1000)
            side.send(frame(TEXT, b'x') + close(1000))
            side.half_close()
            self.assertEqual(side.recv_all(), b'')
            self.assertEqual(process.wait(wire.LIMIT), 0)
            side.close()

    def test_signals(self):
        """At once, with a word to the server."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with Listener() as listener, Pipe(listener.url) as client:
                side = listener.open()
                side.send(frame(TEXT, b'x'))
                client.read_line()
                client.process.send_signal(number)
                side.expect_close(self, 1001)
                self.assertEqual(client.end(), (b'', '', 130))
                side.close()

    def test_signal_while_connecting(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.accept()
            side.read_request()
            client.process.send_signal(signal.SIGINT)
            self.assertEqual(client.end(), (b'', '', 130))
            side.close()

    def test_signal_while_nobody_reads(self):
        """Of stdout, and of the socket."""
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open()
            message = frame(TEXT, b'x' * 1000000)
            side.socket.settimeout(0.5)
            try:
                while True:
                    side.socket.sendall(message)
            except socket.timeout:
                pass
            client.process.send_signal(signal.SIGTERM)
            self.assertEqual(client.process.wait(wire.LIMIT), 130)
            side.close()

    def test_trace(self):
        with Listener() as listener, \
                Pipe(listener.url, TRACE=1) as client:
            side = listener.open(frame(TEXT, b'a\x1b') + close(1000))
            side.expect_close(self, 1000)
            side.close()
            out, err, status = client.end()
            self.assertEqual((out, status), (b'a\x1b\n', 0))
            self.assertIn('C: GET / HTTP/1.1\nC: Host: 127.0.0.1:', err)
            self.assertIn('S: HTTP/1.1 101 Switching Protocols\n', err)
            self.assertIn('\nS: \nS: \\x81\\x02a\\x1B\\x88\\x02\\x03\\xE8\\\n',
                          err)
            self.assertRegex(err, r'\nC: \\x88\\x82.*\\\n$')


class Echo(unittest.TestCase):
    def test_every_kind(self):
        with Listener() as listener, Pipe('-e', listener.url) as client:
            side = listener.open()
            side.send(frame(TEXT, b'one') + frame(BINARY, b'\0\xff') +
                      frame(TEXT) + frame(TEXT, b'fr', fin=False) +
                      frame(PING, b'p') + frame(0, b'ag'))
            side.expect(self, (TEXT, b'one'), (BINARY, b'\0\xff'), (TEXT, b''),
                        (PONG, b'p'), (TEXT, b'frag'))
            client.write(b'mine\n')
            side.expect(self, (TEXT, b'mine'))
            side.send(close(1000))
            side.expect_close(self, 1000)
            side.close()
            self.assertEqual(client.end(), (
                b'one\n=> (binary, 2 bytes) 00 FF\n\nfrag\n', '', 0))

    def test_end_of_input(self):
        """It goes on as long as the server has something, then it closes."""
        with Listener() as listener, \
                Pipe('-e', listener.url, stdin=subprocess.DEVNULL,
                     CLOSE_MS=1000) as client:
            side = listener.open()
            for i in range(20):
                side.send(frame(TEXT, b'%d' % i))
                side.expect(self, (TEXT, b'%d' % i))
            side.end(self)
            self.assertEqual(client.end()[1:], ('', 0))

    def test_large(self):
        data = os.urandom(1 << 20)
        with Listener() as listener, \
                Pipe('-b', '-e', listener.url) as client:
            side = listener.open()
            with client.ending() as end:
                side.send(frame(BINARY, data))
                side.expect(self, (BINARY, data))
                side.send(close(1000))
                side.expect_close(self, 1000)
                side.close()
            self.assertEqual(end(), (data, '', 0))

    def test_many_empty_messages(self):
        with Listener() as listener, \
                Pipe('-e', listener.url, MAX_MESSAGE=10) as client:
            with client.ending() as end:
                side = listener.open(frame(TEXT) * 100000)
                side.expect(self, *[(TEXT, b'')] * 100000)
                side.send(close(1000))
                side.expect_close(self, 1000)
                side.close()
            self.assertEqual(end(), (b'\n' * 100000, '', 0))

    def test_server_that_does_not_read(self):
        """Then it is not read from either, and memory stays flat; when it
        reads at last, everything comes back in order."""
        with Listener(send_buffer=32768) as listener, \
                Pipe('-e', listener.url) as client:
            drain = threading.Thread(
                target=lambda: client.process.stdout.read())
            drain.start()
            side = listener.open()
            message = frame(TEXT, b'y' * 50000)
            side.socket.settimeout(0.5)
            whole = True
            count = 0
            while whole:
                view, count = memoryview(message), count + 1
                while view:
                    try:
                        view = view[side.socket.send(view):]
                    except socket.timeout:
                        whole = False
                        break
                self.assertLess(count, 4000, 'it takes everything')
            with open('/proc/%d/statm' % client.process.pid) as statm:
                rss = int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
            if not os.environ.get('BUILD'):  # sanitizers need much more
                self.assertLess(rss, 16 << 20)
            wire.assert_idle(Idle(client.process.pid))
            rest = threading.Thread(target=side.send, args=(bytes(view),))
            rest.start()
            for _ in range(count):
                self.assertEqual(side.read_frame(), (TEXT, b'y' * 50000))
            rest.join()
            side.send(close(1000))
            side.expect_close(self, 1000)
            side.close()
            self.assertEqual(client.process.wait(wire.LIMIT), 0)
            drain.join()


class Idle:
    """For wire.assert_idle(), which wants a server."""

    name = 'websocket-client'

    def __init__(self, pid):
        self.pid = pid

    cpu = wire.Server.cpu


class Frames(unittest.TestCase):
    def exchange(self, data, split=None, args=(), **settings):
        """stdin stays open. Sends data, reads frames until the client's Close
        and ends. Returns the frames and the client's end."""
        with Listener() as listener, \
                Pipe(listener.url, *args, **settings) as client:
            side = listener.open()
            with client.ending() as end:
                for i in range(0, len(data), split or len(data)):
                    side.send(data[i:i + (split or len(data))])
                frames = [side.read_frame()]
                while frames[-1][0] != CLOSE:
                    frames.append(side.read_frame())
                if frames[-1][1] != b'\x03\xe8':  # a failure: it shuts down
                    self.assertEqual(side.recv_all(), b'')
                side.close()
            return (frames,) + end()

    def test_messages(self):
        good = (
            (frame(TEXT, b'Hello'), b'Hello\n'),
            (frame(TEXT, b'H', fin=False) + frame(0, b'', fin=False) +
             frame(0, b'i'), b'Hi\n'),
            (frame(TEXT, b'', fin=False) + frame(0), b'\n'),
            (frame(TEXT, b'\xe6', fin=False) + frame(0, b'\x97', fin=False) +
             frame(0, b'\xa5'), b'\xe6\x97\xa5\n'),
            (b''.join(frame(TEXT, b'x' * n) for n in (125, 126, 65535, 65536)),
             b''.join(b'x' * n + b'\n' for n in (125, 126, 65535, 65536))),
            (frame(PONG, b'not asked for') + frame(TEXT, b'a'), b'a\n'))
        for data, want in good:
            for split in (None, 1) if len(data) < 1000 else (None, 1000):
                frames, out, err, status = self.exchange(data + close(1000),
                                                         split)
                self.assertEqual((frames, out, err, status),
                                 ([(CLOSE, b'\x03\xe8')], want, '', 0))

    def test_pings(self):
        frames, out, _, _ = self.exchange(
            frame(TEXT, b'a', fin=False) + frame(PING) +
            frame(PING, b'x' * 125) + frame(0, b'b') + close(1000), 1)
        self.assertEqual(frames[:2], [(PONG, b''), (PONG, b'x' * 125)])
        self.assertEqual(out, b'ab\n')

    def test_ping_after_our_close(self):
        with Listener() as listener, Pipe(listener.url) as client:
            client.close_input()
            side = listener.open()
            side.expect_close(self, 1000)
            side.send(frame(PING, b'still there?') + frame(TEXT, b'late'))
            side.expect(self, (PONG, b'still there?'))
            side.send(close(1000))
            side.close()
            self.assertEqual(client.end(), (b'late\n', '', 0))

    def test_masks_are_fresh(self):
        with Listener() as listener, Pipe(listener.url) as client:
            client.write(b'x\n' * 3000)
            side = listener.open()
            masks = set()
            for _ in range(3000):
                side.expect(self, (TEXT, b'x'))
                masks.add(side.mask)
            self.assertGreater(len(masks), 2990)
            side.close()
            client.end()

    def test_violations(self):
        masked = frame(TEXT, b'x', mask=b'abcd')
        broken = "the server sends a frame that is not RFC 6455's"
        mixed = "the server mixes up its messages' fragments"
        code = "the server's Close has no code that it may have"
        utf8 = 'the server sends text that is not UTF-8'
        for data, number, words in (
                (masked, 1002, 'the server masks its frames'),
                (frame(PING, b'', mask=b'abcd'), 1002,
                 'the server masks its frames'),
                (frame(TEXT, b'x', rsv=4), 1002, broken),
                (frame(TEXT, b'x', rsv=2), 1002, broken),
                (frame(TEXT, b'x', rsv=1), 1002, broken),
                (frame(3), 1002, broken),
                (frame(7), 1002, broken),
                (frame(11), 1002, broken),
                (frame(PING, b'x' * 126), 1002, broken),
                (frame(PING, fin=False), 1002, broken),
                (frame(CLOSE, b'x' * 126), 1002, broken),
                (b'\x81\x7e\0\x05Hello', 1002, broken),
                (b'\x82\x7f' + b'\xff' * 8, 1002, broken),
                (frame(0, b'x'), 1002, mixed),
                (frame(TEXT, b'x', fin=False) + frame(TEXT, b'y'), 1002,
                 mixed),
                (frame(TEXT, b'x') + frame(0, b'y'), 1002, mixed),
                (frame(CLOSE, b'\x03'), 1002, code),
                (close(0), 1002, code),
                (close(999), 1002, code),
                (close(1004), 1002, code),
                (close(1005), 1002, code),
                (close(1006), 1002, code),
                (close(1015), 1002, code),
                (close(1016), 1002, code),
                (close(2999), 1002, code),
                (close(5000), 1002, code),
                (close(1000, b'\xff'), 1007,
                 "the reason in the server's Close is not UTF-8"),
                (close(1000, b'\xc3'), 1007,
                 "the reason in the server's Close is not UTF-8"),
                (frame(TEXT, b'\xff'), 1007, utf8),
                (frame(TEXT, b'\xc3'), 1007, utf8),
                (frame(TEXT, b'\xc0\x80'), 1007, utf8),
                (frame(TEXT, b'\xed\xa0\x80'), 1007, utf8),
                (frame(TEXT, b'a\xf4', fin=False) + frame(0, b'\x90'), 1007,
                 utf8),
                # at the first bad byte, whatever is still to come
                (frame(TEXT, b'ok\xff', length=100000), 1007, utf8),
                (frame(BINARY, length=1001), 1009,
                 'the server sends more than MAX_MESSAGE'),
                (frame(BINARY, length=1 << 62), 1009,
                 'the server sends more than MAX_MESSAGE'),
                (frame(TEXT, b'x' * 999, fin=False) + frame(0, b'xx'), 1009,
                 'the server sends more than MAX_MESSAGE')):
            limit = 1000 if number == 1009 else 1 << 24
            with self.subTest(data=data[:40], number=number):
                frames, _, err, status = self.exchange(
                    data + frame(TEXT, b'never seen'), MAX_MESSAGE=limit)
                self.assertEqual(frames, [(CLOSE, struct.pack('>H', number))])
                self.assertEqual(err.partition(': ')[2], words + '\n')
                self.assertEqual(status, 1)

    def test_whole_before_it_was_broken(self):
        """What was in order is shown; what follows is not."""
        frames, out, _, status = self.exchange(
            frame(TEXT, b'good') + frame(TEXT, b'bad', rsv=4) +
            frame(TEXT, b'later') + frame(PING))
        self.assertEqual((frames, out, status),
                         ([(CLOSE, b'\x03\xea')], b'good\n', 1))

    def test_largest_message(self):
        data = b'0123456789abcdef' * (1 << 16)
        with Listener() as listener, \
                Pipe(listener.url, MAX_MESSAGE=len(data)) as client:
            side = listener.open()
            with client.ending() as end:
                side.send(frame(TEXT, data) + close(1000))
                side.expect_close(self, 1000)
                side.close()
            self.assertEqual(end(), (data + b'\n', '', 0))

    def test_claimed_length_costs_nothing(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open()
            side.send(frame(TEXT, b'x') +
                      frame(BINARY, b'abc', length=16 << 20))
            client.read_line()
            with open('/proc/%d/statm' % client.process.pid) as statm:
                rss = int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
            if not os.environ.get('BUILD'):
                self.assertLess(rss, 8 << 20)
            side.close()
            self.assertEqual(client.end()[2], 1)

    def test_pings_from_a_server_that_does_not_read(self):
        """Memory is bounded, and the last ping is answered."""
        with Listener(send_buffer=32768) as listener, \
                Pipe(listener.url) as client:
            side = listener.open()
            some = frame(PING, b'x' * 125) * 1000
            for _ in range(200):
                side.send(some)
            side.send(frame(PING, b'last') + frame(TEXT, b'seen'))
            self.assertEqual(client.read_line(), b'seen\n')
            with open('/proc/%d/statm' % client.process.pid) as statm:
                rss = int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
            if not os.environ.get('BUILD'):
                self.assertLess(rss, 8 << 20)
            opcode, payload = side.read_frame()
            while payload != b'last':
                self.assertEqual((opcode, payload), (PONG, b'x' * 125))
                opcode, payload = side.read_frame()
            side.close()


class Closing(unittest.TestCase):
    def closed_by_server(self, data, answer):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open(data)
            side.expect(self, (CLOSE, answer))
            side.close()
            out, err, status = client.end()
            self.assertEqual(out, b'')
            return err.partition(': ')[2], status

    def test_codes(self):
        for code, reason, words in (
                (1000, b'', ''), (1000, b'done', ''), (1001, b'', ''),
                (1008, b'policy', 'disconnected (1008: policy)\n'),
                (1011, b'', 'disconnected (1011)\n'),
                (1008, b'\x1b[2J', 'disconnected (1008: \\x1B[2J)\n'),
                (4999, 'é'.encode(), 'disconnected (4999: é)\n')):
            self.assertEqual(
                self.closed_by_server(close(code, reason),
                                      struct.pack('>H', code)), (words, 0))
        self.assertEqual(self.closed_by_server(frame(CLOSE), b''), ('', 0))

    def test_another_code_in_answer_to_ours(self):
        with Listener() as listener, Pipe(listener.url) as client:
            client.close_input()
            side = listener.open()
            side.expect_close(self, 1000)
            side.send(close(4000, b'no more'))
            side.close()
            self.assertEqual(client.end(), (
                b'', listener.url + ': disconnected (4000: no more)\n', 0))

    def test_lost(self):
        with Listener() as listener, Pipe(listener.url) as client:
            listener.open(frame(TEXT, b'a') + b'\x81\x05Hel').close()
            self.assertEqual(client.end(), (
                b'a\n', listener.url + ': disconnected (1006: the server '
                'closed without a Close frame)\n', 1))

    def test_reset(self):
        with Listener() as listener, Pipe(listener.url) as client:
            listener.open().reset()
            self.assertEqual(client.end(), (
                b'', listener.url + ': Connection reset by peer\n', 1))

    def test_no_answer_to_our_close(self):
        with Listener() as listener, \
                Pipe(listener.url, CLOSE_MS=200) as client:
            client.close_input()
            side = listener.open()
            side.expect_close(self, 1000)
            self.assertEqual(client.end(), (
                b'', listener.url + ': disconnected (1006: no answer to our '
                'Close)\n', 1))
            side.close()

    def test_server_that_does_not_close(self):
        """Both have said goodbye: that is clean, however long it takes."""
        with Listener() as listener, \
                Pipe(listener.url, CLOSE_MS=200) as client:
            client.close_input()
            side = listener.open()
            side.expect_close(self, 1000)
            side.send(close(1000) + frame(TEXT, b'not any more') * 100)
            self.assertEqual(client.end(), (b'', '', 0))
            side.close()

    def test_slow_answers_after_the_end_of_input(self):
        """The limit is for silence: each message begins it anew."""
        with Listener() as listener, \
                Pipe(listener.url, CLOSE_MS=1500) as client:
            client.close_input()
            side = listener.open()
            side.expect_close(self, 1000)
            for i in range(5):
                side.send(frame(TEXT, b'%d' % i))
                self.assertEqual(client.read_line(), b'%d\n' % i)
                select.select([], [], [], 0.4)  # the answers are slow
            side.send(close(1000))
            side.close()
            self.assertEqual(client.end(), (b'', '', 0))

    def test_idle(self):
        with Listener() as listener, Pipe(listener.url) as client:
            side = listener.open()
            client.write(b'x\n')
            side.expect(self, (TEXT, b'x'))
            wire.assert_idle(Idle(client.process.pid))
            side.half_close()
            self.assertEqual(client.end()[2], 1)
            side.close()


class Terminals(unittest.TestCase):
    def test_the_books_screen(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.wait_screen('-- Connected --\n\n->', 2, 3)
            terminal.type('Hello\r')
            side.expect(self, (TEXT, b'Hello'))
            terminal.wait_screen(CONNECTED + '-> Hello\n<= Hello\n\n->', 5, 3)
            side.send(frame(TEXT, b'Websockets!'))
            terminal.wait_screen(CONNECTED + '-> Hello\n<= Hello\n'
                                 '=> Websockets!\n\n->', 6, 3)
            terminal.type('nothing\r')
            side.expect(self, (TEXT, b'nothing'))
            side.send(close(1000))
            side.expect_close(self, 1000)
            side.close()
            self.assertEqual(terminal.end(), 0)
            self.assertEqual(terminal.screen.text(), CONNECTED +
                             '-> Hello\n<= Hello\n=> Websockets!\n\n'
                             '-> nothing\n<= nothing\n\n-- Disconnected --')
            self.assertEqual(terminal.screen.row, 11)

    def test_bytes(self):
        """Colours and the prompt as the book's program writes them."""
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open(frame(TEXT, b'x'))
            terminal.wait_text('=> x')
            terminal.type('y\r')
            terminal.wait_text('<= y')
            side.expect(self, (TEXT, b'y'))
            side.send(close(1000))
            side.expect_close(self, 1000)
            side.close()
            self.assertEqual(terminal.end(), 0)
            self.assertTrue(terminal.raw.startswith(
                '\x1b[90m-- Connected --\x1b[39m\r\n\r\n'
                '\x1b[1G\x1b[0J-> \x1b[4G'))
            for text in ('\x1b[1A\x1b[2K\x1b[90m=> x\x1b[39m\r\n\r\n',
                         '\x1b[90m<= y\x1b[39m\r\n\r\n'):
                self.assertIn(text, terminal.raw)
            self.assertTrue(terminal.raw.endswith(
                '\x1b[90m-- Disconnected --\x1b[39m\r\n\r\n'))

    def test_no_color(self):
        with Listener() as listener, \
                Terminal(listener.url, NO_COLOR=1) as terminal:
            side = listener.open(frame(TEXT, b'x') + close(1011))
            side.expect_close(self, 1011)
            side.close()
            self.assertEqual(terminal.end(), 0)
            self.assertNotRegex(terminal.raw, r'\x1b\[[0-9;]*m')
            self.assertIn('-- Disconnected -- (1011)', terminal.raw)

    def test_half_typed(self):
        """A message comes while a line is being typed."""
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.wait_screen(CONNECTED + '->')
            terminal.type('abc\x1b[D')
            terminal.wait_screen(CONNECTED + '-> abc', 2, 5)
            side.send(frame(TEXT, b'news'))
            terminal.wait_screen('-- Connected --\n=> news\n\n-> abc', 3, 5)
            terminal.type('def\r')
            side.expect(self, (TEXT, b'abdefc'))
            side.close()

    def test_half_typed_and_wide(self):
        long = 'x' * 100 + 'end'
        with Listener() as listener, \
                Terminal(listener.url, columns=40) as terminal:
            side = listener.open()
            terminal.type(long)
            terminal.wait_text('end')
            shown = terminal.screen.text()
            self.assertEqual(len(shown.splitlines()), 3)
            side.send(frame(TEXT, b'news') * 3)
            terminal.wait_screen('-- Connected --\n=> news\n=> news\n'
                                 '=> news\n\n' + shown.splitlines()[2])
            terminal.type('\r')
            side.expect(self, (TEXT, long.encode()))
            side.close()

    def test_long_line(self):
        """Longer than the terminal's own limit of 4,096 bytes."""
        line = ('0123456789' * 2000).encode()
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            for at in range(0, len(line), 1000):
                terminal.type(line[at:at + 999] + b'#')
                terminal.wait_text('#')
                terminal.type(b'\x7f' + line[at + 999:at + 1000])
                terminal.wait(lambda: '#' not in terminal.screen.text(), '')
            terminal.type('\r')  # and then it is shown once more, all of it
            terminal.wait(lambda: terminal.screen.text().endswith('\n->'),
                          'the next prompt')
            side.expect(self, (TEXT, line))
            side.close()

    def test_typed_before_it_is_open(self):
        with Listener() as listener, \
                Terminal(listener.url) as terminal:
            side = listener.accept()
            side.read_request()
            self.assertTrue(terminal.is_raw())  # since before it connects
            terminal.type('early\rhalf')
            side.send(side.answer())
            side.expect(self, (TEXT, b'early'))
            terminal.wait_screen(CONNECTED + '-> early\n<= early\n\n-> half')
            terminal.type('\r')
            side.expect(self, (TEXT, b'half'))
            side.close()

    def test_pasted_lines(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.wait_text('->')
            terminal.type('one\rtwo\rthree\rfo')
            side.expect(self, (TEXT, b'one'), (TEXT, b'two'),
                        (TEXT, b'three'))
            terminal.wait_screen(CONNECTED + '-> one\n<= one\n\n'
                                 '-> two\n<= two\n\n-> three\n<= three\n\n'
                                 '-> fo', 11, 5)
            side.close()

    def test_empty_line(self):
        """A message of no bytes, as in the book; and so is its echo."""
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.type('\r')
            side.expect(self, (TEXT, b''))
            side.send(frame(TEXT))
            terminal.wait_screen(CONNECTED + '->\n<=\n=>\n\n->')
            side.close()

    def test_characters(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            text = '日本é'.encode()
            for byte in text:  # cut anywhere
                terminal.type(bytes([byte]))
            terminal.type('\x7f\r')
            side.expect(self, (TEXT, '日本'.encode()))
            terminal.type('\x1b[A!\r')  # from the history
            side.expect(self, (TEXT, '日本!'.encode()))
            side.close()

    def test_text_that_is_not_utf8(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.type(b'a\xffb\r')
            terminal.wait_screen(CONNECTED + '-> a\\xFFb\n'
                                 'Not sent: not UTF-8\n\n->')
            terminal.type('ok\r')
            side.expect(self, (TEXT, b'ok'))
            side.close()

    def test_messages_cannot_drive_the_terminal(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open(frame(TEXT, b'a\x1b[2J\n\r\x07b\xc2\x9b') +
                                 frame(BINARY, b'\x1b[2J') +
                                 frame(TEXT, '\u202e'.encode()))
            terminal.wait_screen(
                '-- Connected --\n=> a\\x1B[2J\\x0A\\x0D\\x07b\\xC2\\x9B\n'
                '=> (binary, 4 bytes) 1B 5B 32 4A\n'
                '=> \\xE2\\x80\\xAE\n\n->')
            side.send(close(1008, b'\x1b]0;x\x07'))
            side.expect_close(self, 1008)
            side.close()
            terminal.end()
            self.assertIn('-- Disconnected -- (1008: \\x1B]0;x\\x07)',
                          terminal.screen.text())

    def test_commands(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            side.send(frame(PONG, b'not asked for'))
            terminal.type('/ping\r')
            side.expect(self, (PING, b''))
            side.send(frame(PONG))
            terminal.wait_screen(CONNECTED + '-> /ping\n<= /ping\n=> (pong)\n'
                                 '\n->')
            terminal.type('\x0c/ping a b\r')
            side.expect(self, (PING, b'a b'))
            side.send(frame(PONG, b'a b'))
            terminal.wait_screen('\n-> /ping a b\n<= /ping a b\n=> (pong) a b\n'
                                 '\n->')
            terminal.type('\x0c//x\r')
            side.expect(self, (TEXT, b'/x'))
            terminal.wait_screen('\n-> //x\n<= /x\n\n->')
            terminal.type('\x0c/\r')
            side.expect(self, (TEXT, b'/'))
            for line, words in (
                    ('/pingpong', 'a command is /ping or /close; // sends a '
                                  'line with one /'),
                    ('/ping ' + 'x' * 126, 'a ping has at most 125 bytes'),
                    ('/close 999', 'that is no code for a Close: 1000, or '
                                   '3000 to 4999'),
                    ('/close x', 'that is no code for a Close'),
                    ('/close 10000', 'that is no code for a Close'),
                    ('/close 1000 ' + 'x' * 124,
                     'a reason has at most 123 bytes')):
                terminal.type('\x0c' + line + '\r')
                terminal.wait(
                    lambda: 'Not sent: ' + words in
                    terminal.screen.text().replace('\n', ' ').replace(
                        '  ', ' ') or 'Not sent: ' + words in
                    terminal.screen.text().replace('\n', ''), words)
            terminal.type('\x0c/close 4000 See you.\r')
            side.expect_close(self, 4000, b'See you.')
            side.send(close(4000))
            side.close()
            self.assertEqual(terminal.end(), 0)
            self.assertEqual(terminal.screen.text(),
                             '\n-> /close 4000 See you.\n'
                             '<= /close 4000 See you.\n\n'
                             '-- Disconnected -- (4000)')

    def test_close_command(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.type('/close\r')
            side.end(self)
            self.assertEqual(terminal.end(), 0)

    def test_echo(self):
        with Listener() as listener, \
                Terminal('-e', '-b', listener.url) as terminal:
            side = listener.open(frame(TEXT, b'a') + frame(BINARY, b'\0'))
            side.expect(self, (TEXT, b'a'), (BINARY, b'\0'))
            terminal.wait_screen(
                '-- Connected --\n=> a\n<= a\n=> (binary, 1 bytes) 00\n'
                '<= (binary, 1 bytes) 00\n\n->')
            terminal.type('\x04')
            side.end(self)
            self.assertEqual(terminal.end(), 0)

    def test_goodbye(self):
        """^D closes politely; what still comes is shown."""
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.open()
            terminal.wait_text('->')
            terminal.type('\x04')
            side.expect_close(self, 1000)
            side.send(frame(TEXT, b'late') + close(1000))
            side.close()
            self.assertEqual(terminal.end(), 0)
            self.assertEqual(terminal.screen.text(),
                             '-- Connected --\n=> late\n\n-- Disconnected --')

    def test_goodbye_unanswered(self):
        with Listener() as listener, \
                Terminal(listener.url, CLOSE_MS=200) as terminal:
            side = listener.open()
            terminal.type('\x04')
            side.expect_close(self, 1000)
            self.assertEqual(terminal.end(), 1)
            self.assertIn('-- Disconnected -- (1006: no answer to our Close)',
                          terminal.screen.text())
            side.close()

    def test_disconnected(self):
        for data, words, status in (
                (close(1000, b'bye'), '(1000: bye)', 0),
                (close(1001), '(1001)', 0),
                (close(1008, b'policy'), '(1008: policy)', 0),
                (b'', '(1006: the server closed without a Close frame)', 1)):
            with Listener() as listener, \
                    Terminal(listener.url, columns=100) as terminal:
                side = listener.open()
                terminal.type('half')
                terminal.wait_text('half')
                side.send(data)
                if data:
                    side.read_frame()
                side.close()
                self.assertEqual(terminal.end(), status)
                self.assertEqual(terminal.screen.text(), CONNECTED +
                                 '-- Disconnected -- ' + words)

    def test_errors(self):
        with Listener() as listener, \
                Terminal(listener.url, columns=100) as terminal:
            side = listener.open(frame(TEXT, b'x', rsv=4))
            side.expect_close(self, 1002)
            side.close()
            self.assertEqual(terminal.end(), 1)
            words = listener.url + ": the server sends a frame that is not " \
                "RFC 6455's"
            self.assertEqual(terminal.screen.text(), CONNECTED +
                             '-- Error --\n' + words + '\n-- Disconnected --')
            self.assertIn('\x1b[31m-- Error --\x1b[39m\r\n\x1b[31m' + words +
                          '\x1b[39m\r\n', terminal.raw)

    def test_no_server(self):
        with Listener() as listener:
            url = listener.url
        with Terminal(url) as terminal:
            self.assertEqual(terminal.end(), 1)
            self.assertEqual(terminal.screen.text(), '-- Error --\n' + url +
                             ': Connection refused\n-- Disconnected --')

    def test_interrupt(self):
        """^C, as a key and as a signal; then the terminal is as it was."""
        for leave in (lambda t: t.type('\x03'),
                      lambda t: t.process.send_signal(signal.SIGINT),
                      lambda t: t.process.send_signal(signal.SIGTERM)):
            with Listener() as listener, Terminal(listener.url) as terminal:
                side = listener.open()
                terminal.type('half')
                terminal.wait_text('half')
                self.assertTrue(terminal.is_raw())
                leave(terminal)
                side.expect_close(self, 1001)
                self.assertEqual(terminal.end(), 130)
                self.assertEqual(terminal.screen.text(),
                                 CONNECTED + '-- Disconnected --')
                side.close()

    def test_interrupt_while_connecting(self):
        with Listener() as listener, Terminal(listener.url) as terminal:
            side = listener.accept()
            side.read_request()
            terminal.type('\x03')
            self.assertEqual(terminal.end(), 130)
            side.close()

    def test_other_signals(self):
        for leave, number in (
                (lambda t: t.type('\x1c'), signal.SIGQUIT),
                (lambda t: t.process.send_signal(signal.SIGHUP),
                 signal.SIGHUP)):
            with Listener() as listener, Terminal(listener.url) as terminal:
                side = listener.open()
                terminal.wait_text('->')
                leave(terminal)
                self.assertEqual(terminal.end(), -number)
                side.close()

    def test_suspend(self):
        """Stopped, the terminal is as it was; continued, the line is back. The
        client is in a session of its own here, where ^Z stops nobody: the
        signal is sent to it when it has a parent that could continue it."""
        with Listener() as listener:
            shell = Shell(listener.url)
            with shell:
                side = listener.open()
                shell.terminal_type('half')
                shell.wait_text('half')
                shell.terminal_type('\x1a')
                shell.wait_text('stopped')
                self.assertFalse(shell.is_raw())
                side.send(frame(TEXT, b'meanwhile'))
                shell.terminal_type('go\n')
                shell.wait_text('=> meanwhile')
                shell.wait(lambda: shell.is_raw(), 'raw mode')
                shell.terminal_type('-typed\r')
                side.expect(self, (TEXT, b'half-typed'))
                shell.terminal_type('\x04')
                side.end(self)
                shell.wait_text('ended 0')
                self.assertFalse(shell.is_raw())

    def test_resize(self):
        with Listener() as listener, \
                Terminal(listener.url, columns=60) as terminal:
            side = listener.open()
            terminal.wait_text('->')
            terminal.type('0123456789' * 5)
            terminal.wait_screen(CONNECTED + '-> ' + '0123456789' * 5)
            terminal.screen = Screen(24, 20)
            terminal.resize(24, 20)
            terminal.wait(lambda: terminal.screen.column > 3 and
                          terminal.screen.text().endswith('789'), 'the end')
            row = terminal.screen.text().splitlines()[-1]
            self.assertLess(len(row), 20)
            self.assertTrue(row.startswith('-> '), row)
            terminal.screen = Screen(24, 80)
            terminal.resize(24, 80)
            terminal.type('\x01')
            terminal.wait_screen('-> ' + '0123456789' * 5, 0, 3)
            side.close()

    def test_terminal_gone(self):
        """It says goodbye as at the end of input."""
        with Listener() as listener:
            terminal = Terminal(listener.url)
            side = listener.open()
            terminal.wait_text('->')
            os.close(terminal.master)
            self.assertIn(side.recv_all()[:1], (b'', b'\x88'))
            terminal.process.wait(wire.LIMIT)
            os.close(terminal.slave)
            side.close()


class Shell(Terminal):
    """As much of a shell as it takes to suspend a job: its leader waits for
    the client, which has a process group of its own in the foreground."""

    SCRIPT = r'''
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpid())
    if not os.WIFSTOPPED(status):
        print('ended', os.waitstatus_to_exitcode(status), flush=True)
        break
    print('stopped', flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
sys.stdin.readline()
'''

    def __init__(self, url):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(24, 60)
        self.resize(24, 60)
        self.raw = ''
        self.process = subprocess.Popen(
            ['python3', '-c', self.SCRIPT, wire.program('websocket-client'),
             url], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=self.own_terminal,
            env=wire.environment({'NO_COLOR': None}))

    def terminal_type(self, text):
        self.type(text)


class Usage(unittest.TestCase):
    def test_help(self):
        for option in ('-h', '--help'):
            done = wire.run('websocket-client', option)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            for word in (b'CONNECT_MS', b'CLOSE_MS', b'MAX_MESSAGE',
                         b'NO_COLOR', b'TRACE', b'ws://localhost:8080',
                         b'-e', b'-b', b'/ping', b'/close', b'Try: '):
                self.assertIn(word, done.stdout)
        done = wire.run('websocket-client', '--version')
        self.assertEqual((done.returncode, done.stdout),
                         (0, b'websocket-client 1.0\n'))

    def test_wrong(self):
        for args in (['-x'], ['a', 'b'], ['ws://a', 'ws://b'], ['foo'], [''],
                     ['localhost:8080'], ['http://localhost'], ['ws://'],
                     ['ws://a:99999'], ['ws://a b/'], ['ws://a\r\nX: y/'],
                     ['ws://user@host/'], ['\x1b[2J']):
            done = wire.run('websocket-client', *args)
            self.assertEqual((done.returncode, done.stdout), (2, b''), args)
            self.assertEqual(done.stderr.count(b'\n'), 1)
            self.assertNotIn(b'\x1b', done.stderr)

    def test_settings(self):
        for name, value in (('CONNECT_MS', 'x'), ('CLOSE_MS', '0'),
                            ('MAX_MESSAGE', '-1'), ('TRACE', '2')):
            done = wire.run('websocket-client', 'ws://localhost:1',
                            **{name: value})
            self.assertEqual(done.returncode, 2)
            self.assertIn(name.encode(), done.stderr)

    def test_tls(self):
        for url in ('wss://example.com', 'WSS://example.com:443/x?y'):
            done = wire.run('websocket-client', url)
            self.assertEqual((done.returncode, done.stdout), (2, b''))
            self.assertEqual(done.stderr.count(b'\n'), 1)
            self.assertIn(b'stunnel', done.stderr)


class WithTheServer(unittest.TestCase):
    """Both recipes, as in the book."""

    needs = ['websocket-app']

    def test_hello(self):
        with wire.Server('websocket-app') as server:
            done = wire.run('websocket-client',
                            'ws://127.0.0.1:%d' % server.port,
                            stdin=b'Hello\nnothing\nHello\n')
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, b'Websockets!\nWebsockets!\n', b''))
            server.wait_line('Received: nothing')
            server.wait_line('From IP: 127.0.0.1')

    def test_echo(self):
        lines = b''.join(b'%d %s\n' % (i, b'x' * (i * 37 % 5000))
                         for i in range(3000))
        with wire.Server('websocket-app', '-e') as server:
            done = wire.run('websocket-client',
                            'ws://127.0.0.1:%d/' % server.port, stdin=lines)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            self.assertEqual(done.stdout, lines)

    def test_server_stops(self):
        with wire.Server('websocket-app') as server, \
                Terminal('ws://127.0.0.1:%d' % server.port) as terminal:
            terminal.type('Hello\r')
            terminal.wait_text('=> Websockets!')
            server.stop()
            self.assertEqual(terminal.end(), 0)
            self.assertIn('-- Disconnected -- (1001', terminal.screen.text())


if __name__ == '__main__':
    wire.main()
