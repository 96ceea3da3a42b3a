#!/usr/bin/env python3
"""Makes each call of each program fail once, and looks what becomes of it.

    python3 tests/faults/faults.py                      all
    python3 tests/faults/faults.py smtp-server          of one program
    FAULT=send:3:EPIPE python3 tests/faults/faults.py rest-server

The programs in $BUILD (build/faults) have been linked with interpose.c, and
with sanitizers. Each plays a fixed conversation, first as it is: that tells
which calls there are. Then it is started anew for each fault:

    send:3:EPIPE       its third send() fails with EPIPE
    send:3:short       its third send() takes one byte
    realloc:3+:ENOMEM  its third realloc() fails, and all that follow
    1/fsync:2:EIO      the second fsync() of the first helper that it forked

Whatever fails, the program may not crash, leak (memory, descriptors, files),
hang, spin or lie. A server that starts goes on: the client that the fault hits
gets what it should, a refusal or a closed connection, and the next one gets
all that it should. A server that cannot start, or a client that has not done
its work, says why in one line and ends with status 1.
"""

import collections
import concurrent.futures
import contextlib
import errno
import glob
import itertools
import mmap
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'wire'))
import wire  # noqa: E402

AT_ONCE = 8
EVERY = int(os.environ.get('FAULTS_EVERY', '1'))  # 10: a tenth of the faults
TRIES = 5  # of a fault that was not reached
LIMIT = 60  # seconds: longer than any wait of a program under test
QUIET = 0.05  # seconds, in which nothing should go on
CALLS_PER_MS = 4  # of a server that has something to do each millisecond

# What each may fail with: what its manual says, and what one meets. Others,
# as tcgetattr() after isatty() was true, do not fail.
FILES = 'EMFILE ENFILE ENOMEM'
ERRORS = {
    'socket': FILES + ' ENOBUFS', 'socketpair': FILES, 'pipe': FILES,
    'bind': 'EADDRINUSE EACCES', 'listen': 'EADDRINUSE',
    'accept': FILES + ' ENOBUFS EINTR EAGAIN ECONNABORTED EPROTO',
    'connect': 'ECONNREFUSED ETIMEDOUT ENETUNREACH EINTR ENOBUFS',
    'getsockname': 'ENOBUFS', 'getpeername': 'ENOTCONN ENOBUFS',
    'getsockopt': 'ENOBUFS', 'setsockopt': 'ENOMEM EINVAL',
    'shutdown': 'ENOTCONN', 'getaddrinfo': 'AGAIN MEMORY',
    'getnameinfo': 'MEMORY', 'gethostname': 'EFAULT', 'poll': 'EINTR ENOMEM',
    'recv': 'ECONNRESET EINTR EAGAIN ENOMEM ETIMEDOUT short',
    'send': 'EPIPE ECONNRESET EINTR EAGAIN ENOBUFS short',
    'read': 'EINTR EIO short', 'write': 'EINTR ENOSPC EDQUOT EIO EPIPE short',
    'open': FILES + ' EIO ENOSPC EDQUOT', 'fcntl': 'ENOLCK ENOMEM',
    'ioctl': 'ENOTTY', 'close': 'EIO EINTR EDQUOT', 'lseek': 'EIO',
    'fsync': 'EIO ENOSPC EDQUOT EINTR',
    'link': 'EIO ENOSPC EDQUOT EMLINK EROFS', 'unlink': 'EIO',
    'stat': 'EIO ENOMEM', 'lstat': 'EIO ENOMEM', 'fstat': 'EIO',
    'access': 'EIO', 'mkdir': 'ENOSPC EDQUOT EIO', 'chdir': 'EIO',
    'readlink': 'EIO', 'opendir': 'EMFILE ENOMEM', 'readdir': 'EIO',
    'closedir': 'EIO', 'getrlimit': 'EINVAL', 'setrlimit': 'EPERM',
    'tcsetattr': 'EIO', 'malloc': 'ENOMEM', 'realloc': 'ENOMEM',
    'calloc': 'ENOMEM', 'fopen': 'EMFILE ENOMEM', 'fdopen': 'ENOMEM',
    'fgets': 'EIO', 'fread': 'EIO', 'fclose': 'EIO', 'fork': 'EAGAIN ENOMEM',
}
# And these stay: a full disk, a broken one, no memory, no more descriptors.
LASTING = {'write': 'ENOSPC', 'fsync': 'EIO', 'open': 'EMFILE',
           'link': 'ENOSPC', 'malloc': 'ENOMEM', 'realloc': 'ENOMEM',
           'calloc': 'ENOMEM', 'fork': 'EAGAIN', 'unlink': 'EIO'}
EAI = {'AGAIN': 3, 'MEMORY': 10}  # less their minus signs


# ---- a fault ----------------------------------------------------------------

class Fault(collections.namedtuple('Fault', 'role name n lasting error')):
    def __str__(self):
        return '%s%s:%d%s:%s' % ('%d/' % self.role if self.role else '',
                                 self.name, self.n,
                                 '+' if self.lasting else '', self.error)

    @staticmethod
    def of(text):
        match = re.fullmatch(r'(?:(\d+)/)?(\w+):(\d+)(\+?):(\w+)', text)
        if not match:
            sys.exit('FAULT=%s: not like send:3:EPIPE' % text)
        role, name, n, lasting, error = match.groups()
        return Fault(int(role or 0), name, int(n), bool(lasting), error)

    def plan(self):
        """As interpose.c reads it."""
        number = (0 if self.error == 'short' else EAI.get(self.error) or
                  getattr(errno, self.error))
        return '%d %s %d %d %d' % (self.role, self.name, self.n, number,
                                   self.lasting)


class State:
    """What interpose.c tells: a file that the program has mapped."""
    HEAD, CALL, CALLS = struct.Struct('II'), struct.Struct('II24s'), 1 << 16

    def __init__(self, folder):
        self.path = os.path.join(folder, 'state')
        with open(self.path, 'w+b') as file:
            file.truncate(self.HEAD.size + self.CALLS * self.CALL.size)
            self.map = mmap.mmap(file.fileno(), 0)

    def calls(self):
        return self.HEAD.unpack_from(self.map)[0]

    def fired(self):
        return self.HEAD.unpack_from(self.map)[1]

    def list(self):
        """(role, name, place) of each call."""
        for i in range(min(self.calls(), self.CALLS)):
            role, place, name = self.CALL.unpack_from(
                self.map, self.HEAD.size + i * self.CALL.size)
            yield role, name.rstrip(b'\0').decode(), place


def faults_of(calls, again=range(0)):
    """All faults of a program that makes these calls; in `again` it does only
    what it has done before. A place is a call with its callers, up to main().
    Of a place that is come to many times, as in a loop, the first times and the
    last are taken; but what a connection does is different each time."""
    numbers, places = collections.Counter(), collections.defaultdict(list)
    for i, (role, name, place) in enumerate(calls):
        numbers[role, name] += 1
        if i not in again:
            places[role, name, place].append(numbers[role, name])
    for (role, name, _), times in places.items():
        if len(times) > 4 and name not in ('recv', 'send', 'poll', 'malloc',
                                           'realloc'):
            times = times[:3] + times[-1:]
        for n in times:
            for error in ERRORS.get(name, '').split():
                yield Fault(role, name, n, False, error)
            if name in LASTING:
                yield Fault(role, name, n, True, LASTING[name])


class NotReached(Exception):
    """The run was all right, but made too few calls for the fault."""


# ---- conversations ----------------------------------------------------------

class Gone(Exception):
    """The server has closed the connection, or said no."""


class Talk:
    """What clients say to a server, and what it should answer."""
    args, settings = [], {}
    helpers = 0  # that come with the first client, each with a socket

    def __init__(self):
        self.count = itertools.count()

    def play(self, server):
        """All of it. Returns what was refused; raises what must not be."""
        gone = []
        for part in self.parts(server):
            try:
                part()
            except (Gone, ConnectionError) as problem:
                gone.append('%s: %r' % (part.__name__, problem))
            except wire.Failure as problem:
                if not re.search('the server (closed|reset)', str(problem)):
                    raise
                gone.append('%s: %s' % (part.__name__, problem))
        return gone

    def check(self, server, fault=None, unheard=False):
        """At the end: what is on the disk."""


def ask(peer, request, status, body=None, head=False):
    """One request and its answer; body: the whole, or a function of it."""
    peer.send(request)
    answer = peer.read_response(head=head, limit=LIMIT)
    while answer.status == 100:
        answer = peer.read_response(limit=LIMIT)
    if answer.status != status and answer.status >= 400:
        raise Gone(answer.raw)
    good = body is None or (body(answer.body) if callable(body)
                            else answer.body == body)
    if answer.status != status or not good:
        raise wire.Failure('a wrong answer to %r: %s' % (
            request[:80], wire.shown(answer.raw)))


def request(method, target, body=b'', *headers):
    lines = ['%s %s HTTP/1.1' % (method, target), 'Host: x'] + list(headers)
    if body:
        lines.append('Content-Length: %d' % len(body))
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


class RestServer(Talk):
    args = ['-d']

    def parts(self, server):
        def kept():
            with server.connect() as peer:
                ask(peer, request('GET', '/'), 200,
                    b'{"name": "my-rest-server", "version": 0}')
                ask(peer, request('GET', '/users?type=blue'), 200,
                    b'{"data": [{"id":2,"first_name":"David","second_name":'
                    b'"Clements","type":"blue"}]}')
                ask(peer, request('HEAD', '/'), 200, b'', head=True)
                ask(peer, request('POST', '/', b'hello'), 405)
                ask(peer, request('GET', '/healthz', b'', 'Connection: close'),
                    200, b'{"status":"ok"}')

        def wrong():
            with server.connect() as peer:
                ask(peer, b'nonsense\r\n\r\n', 400)
        return [kept, wrong]


class PostForm(Talk):
    def parts(self, server):
        form = 'Content-Type: application/x-www-form-urlencoded'
        json = 'Content-Type: application/json'

        def pages():
            with server.connect() as peer:
                ask(peer, request('GET', '/'), 200, lambda b: b'<form' in b)
                ask(peer, request('GET', '/ncb3/some.json'), 200,
                    lambda b: b'"guid"' in b)
                ask(peer, request('GET', '/api/users'), 200,
                    lambda b: b'tobias' in b)

        def posts():
            with server.connect() as peer:
                ask(peer, request('POST', '/', b'a=1&b=%C3%A9&a=2', form), 200,
                    'You Posted: {"a":["1","2"],"b":"é"}'.encode())
                big = b'{"x": "' + 30000 * b'y' + b'"}'
                ask(peer, request('POST', '/', big, json), 200,
                    b'{"data": ' + big + b'}')
                ask(peer, request('POST', '/', b'', json,
                                  'Transfer-Encoding: chunked') +
                    b'3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n', 200,
                    b'{"data": [1,2]}')
                ask(peer, request('POST', '/api/users', b'{"name": "x"}', json,
                                  'Expect: 100-continue'), 201,
                    lambda b: b'"createdAt"' in b)
        return [pages, posts]


class FileUpload(Talk):
    def __init__(self):
        super().__init__()
        self.sent = {}  # the bytes of a file, by its name
        self.saved = []  # names of those that were acknowledged

    def file(self, size):
        name = 'file%d.bin' % next(self.count)
        self.sent[name] = (name.encode() * size)[:size]
        return name, self.sent[name]

    def parts(self, server):
        def pages():
            with server.connect() as peer:
                for path in '/', '/put', '/put.js', '/style.css':
                    with open(os.path.join(
                            server.root, 'public',
                            {'/': 'form.html', '/put': 'put.html'}.get(
                                path, path[1:])), 'rb') as file:
                        ask(peer, request('GET', path), 200, file.read())

        def form():
            (one, small), (two, big) = self.file(5), self.file(200000)
            body = b''.join(
                b'--XX\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
                b'%s\r\n' % part for part in [
                    (b'text', b'', b'some words'),
                    (b'f1', b'; filename="%s"' % one.encode(), small),
                    (b'f2', b'; filename="%s"' % two.encode(), big)])
            with server.connect() as peer:
                self.ask(peer, request(
                    'POST', '/', body + b'--XX--\r\n',
                    'Content-Type: multipart/form-data; boundary=XX'),
                    'processed "text" input.\n%s successfully saved!\n'
                    '%s successfully saved!\nAll files processed!' %
                    (one, two))

        def put():
            with server.connect() as peer:
                for size in 7, 40000:
                    name, data = self.file(size)
                    self.ask(peer, request('PUT', '/', data, 'X-Field: f',
                                           'X-Filename: ' + name),
                             name + ' successfully saved!\n')
        return [pages, form, put]

    def ask(self, peer, what, answer):
        try:
            ask(peer, what, 200, lambda body: self.told(body, answer))
        except Gone as refusal:
            self.told(refusal.args[0], answer)
            raise

    def told(self, body, answer):
        self.saved += re.findall(r'(\S+) successfully saved!', body.decode())
        return body == answer.encode()

    def check(self, server, fault=None, unheard=False):
        seen = collections.Counter()
        for path in glob.glob(os.path.join(server.root, 'uploads', '*')):
            name = path.split('-')[-1]
            with open(path, 'rb') as file:
                if file.read() != self.sent.get(name):
                    raise wire.Failure(path + ' is not what was sent')
            seen[name] += 1
        for name in self.saved:
            if seen[name] != 1:
                raise wire.Failure('%s was "saved", and is there %d times' %
                                   (name, seen[name]))
        left = glob.glob(os.path.join(server.root, 'uploads', '.upload*'))
        if left and not (fault and fault.name == 'unlink'):
            raise wire.Failure('left over: %s' % left)


class WebSocketApp(Talk):
    args = ['-e']

    def frame(self, first, payload):
        n = len(payload)
        size = (bytes([128 | n]) if n < 126 else
                b'\xfe' + struct.pack('>H', n) if n < 65536 else
                b'\xff' + struct.pack('>Q', n))
        return bytes([first]) + size + bytes(4) + payload

    def unmasked(self, first, payload):
        head = self.frame(first, payload)[:-4 - len(payload)]
        return bytes([first, head[1] & 127]) + head[2:] + payload

    def parts(self, server):
        def page():
            with server.connect() as peer:
                ask(peer, request('GET', '/'), 200, lambda b: b'<html' in b)

        def echo():
            with server.connect() as peer:
                ask(peer, request(
                    'GET', '/', b'', 'Upgrade: websocket',
                    'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
                    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='), 101)
                for send, first, payload in [
                        (self.frame(0x81, b'hello'), 0x81, b'hello'),
                        (self.frame(0x89, b'there?'), 0x8a, b'there?'),
                        (self.frame(0x01, b'ab') + self.frame(0x80, b'cd'),
                         0x81, b'abcd'),
                        (self.frame(0x82, bytes(70000)), 0x82, bytes(70000)),
                        (self.frame(0x88, b'\x03\xe8'), 0x88, b'\x03\xe8')]:
                    peer.send(send)
                    want = self.unmasked(first, payload)
                    got = peer.recv_exactly(2, LIMIT)
                    if got[0] == 0x88 and first != 0x88:
                        raise Gone('closed with %r' % peer.drain())
                    got += peer.recv_exactly(len(want) - 2, LIMIT)
                    if got != want:
                        raise wire.Failure('%s came, not %s' % (
                            wire.shown(got), wire.shown(want)))
        return [page, echo]


class SmtpServer(Talk):
    settings, helpers = {'SYNCERS': 1}, 1

    def __init__(self):
        super().__init__()
        self.sent = {}  # (from, to): the letter
        self.saved = []
        self.refused = []

    def say(self, peer, line, code):
        """A command and its reply, of one line or many."""
        peer.send(line)
        while True:
            reply = peer.recv_until(b'\r\n', LIMIT)
            if reply[3:4] == b' ':
                break
        if reply[:3] != code and reply[:1] in b'45':
            raise Gone(reply)
        if reply[:3] != code:
            raise wire.Failure('%r was answered %r' % (line[:80], reply))

    def mail(self, peer, users, text):
        sender = 'm%d@x' % next(self.count)
        letters = [(sender, user) for user in users]
        self.say(peer, b'MAIL FROM:<%s>\r\n' % sender.encode(), b'250')
        for user in users:
            self.say(peer, b'RCPT TO:<%s@localhost>\r\n' % user.encode(),
                     b'250')
            self.sent[sender, user] = (
                'From: %s \nTo: %s@localhost \n\n' % (sender, user)
            ).encode() + text
        self.say(peer, b'DATA\r\n', b'354')
        try:
            self.say(peer, text + b'.\r\n', b'250')
        except Gone:
            self.refused += letters
            raise
        self.saved += letters

    def parts(self, server):
        def two_mails():
            with server.connect() as peer:
                self.say(peer, b'', b'220')
                self.say(peer, b'EHLO x\r\n', b'250')
                self.mail(peer, ['you', 'another'], b'hello\r\n')
                self.mail(peer, ['you'], 2000 * b'fifty bytes that make a line'
                          b' of what is a long mail\r\n')
                self.say(peer, b'QUIT\r\n', b'221')

        def leaves():
            with server.connect() as peer:
                self.say(peer, b'', b'220')
                peer.send(b'HELO x\r\nMAIL FROM:<none@x>\r\n'
                          b'RCPT TO:<you@localhost>\r\nDATA\r\nhalf of it')
                peer.recv_until(b'354', LIMIT)
        return [two_mails, leaves]

    def check(self, server, fault=None, unheard=False):
        seen = collections.Counter()
        for path in glob.glob(os.path.join(server.root, 'mail', '*', '*-*')):
            user, name = path.split('/')[-2:]
            letter = name.rpartition('-')[0], user
            with open(path, 'rb') as file:
                if file.read() != self.sent.get(letter):
                    raise wire.Failure(path + ' is not what was sent')
            seen[letter] += 1
        for letter in self.saved:
            if seen[letter] != 1:
                raise wire.Failure('%s has its 250 and is there %d times' %
                                   (letter, seen[letter]))
        # A helper that ended unheard may have stored it (RFC 1047: better twice
        # than never); and what cannot be removed cannot be taken back.
        stuck = fault and fault.lasting and fault.name == 'unlink'
        for letter in self.refused:
            if seen[letter] and not unheard and not stuck:
                raise wire.Failure('%s was refused and is there' % (letter,))
        for sender in {sender for sender, _ in self.sent}:
            times = {seen[letter] for letter in self.sent
                     if letter[0] == sender}
            if len(times) > 1 and not stuck:
                raise wire.Failure('half of %s is there' % sender)
        left = glob.glob(os.path.join(server.root, 'mail', '*', '.smtp*'))
        if left and not (fault and fault.name == 'unlink'):
            raise wire.Failure('left over: %s' % left)


# ---- one run of a server ----------------------------------------------------

def one_line(text):
    """That this is a message: what: why."""
    lines = text.splitlines()
    if len(lines) != 1 or not re.fullmatch(r'.+: .+', lines[0]) or \
            lines[0].endswith(': Success'):
        raise wire.Failure('not a line "what: why" on stderr: %r' % text)


def settle(server, state, fds):
    """Until it has closed what it opened, and is quiet."""
    end = time.monotonic() + LIMIT
    while server.fds() > fds:
        if time.monotonic() > end:
            raise wire.Failure('%d descriptors are open, not %d: %s' % (
                server.fds(), fds,
                [os.readlink(f) for f in
                 glob.glob('/proc/%d/fd/*' % server.pid)]))
        time.sleep(0.01)
    start, before = time.monotonic(), state.calls()
    time.sleep(QUIET)
    calls = state.calls() - before
    if calls > 50 + CALLS_PER_MS * 1000 * (time.monotonic() - start):
        raise wire.Failure('it spins: %d calls while nothing happens' % calls)


def end(server):
    """SIGTERM. With a sanitizer that looks for leaks it takes a while."""
    server.signal()
    server.wait(LIMIT)
    server.stop()


class ServerRuns:
    def __init__(self, name, talk):
        self.name = self.label = name
        self.talk = talk

    def start(self, stack):
        """Each run has a server of its own."""

    def prepare(self):
        """Returns all faults there are to try."""
        with tempfile.TemporaryDirectory() as folder:
            state, talk = State(folder), self.talk()
            with self.server(state, None) as server:
                self.fds = server.fds() + talk.helpers
                at = []
                for _ in range(2):
                    gone = talk.play(server)
                    if gone:
                        raise wire.Failure('without a fault: %s' % gone)
                    settle(server, state, self.fds)
                    at.append(state.calls())
                end(server)
                talk.check(server)
            return list(faults_of(state.list(), range(*at)))

    def server(self, state, fault):
        settings = dict(self.talk.settings, MAX_CONNS=8,
                        FAULT_STATE=state.path,
                        FAULT=fault.plan() if fault else None)
        return wire.Server(self.name, *self.talk.args, **settings)

    def lost_helper(self, state):
        """Whether one has ended, and another has come for it."""
        return sum(call[:2] == (0, 'fork')
                   for call in state.list()) > self.talk.helpers

    def try_fault(self, fault):
        with tempfile.TemporaryDirectory() as folder:
            state, talk = State(folder), self.talk()
            server = self.server(state, fault)
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(server)
                except wire.Failure:
                    if server.process.returncode != 1 or not state.fired():
                        raise
                    one_line(server.err.text())
                    return
                # That a helper has ended may be noticed a round later.
                rounds = 3 if fault.role else 2
                for i in range(rounds):
                    fired = state.fired()
                    gone = talk.play(server)
                    if gone and (not state.fired() or
                                 (i == rounds - 1 and state.fired() == fired)):
                        raise wire.Failure('long after the fault: %s' % gone)
                settle(server, state, self.fds)
                end(server)
                if not server.out.ended:
                    raise wire.Failure('a helper still runs')
                talk.check(server, fault, self.lost_helper(state))
                if not state.fired():
                    raise NotReached


# ---- one run of a client ----------------------------------------------------

class Case:
    """A client's run against a server that does all it should."""
    server, server_args = None, []

    def __init__(self, server):
        self.at = server

    def args(self, tag):
        """Its arguments; tag: a word that no other run has."""

    def check(self, tag, done):
        """It says that it has done its work (status 0): it has."""

    def refused(self, done):
        """Other statuses that may be: the server has refused half of it."""
        return ()


class Post(Case):
    server = 'post-form'

    def refused(self, done):
        return (4,) if b' Status: 4' in done.stdout else ()

    def url(self, path='/api/users'):
        return 'http://127.0.0.1:%d%s' % (self.at.port, path)

    def args(self, tag):
        return ['-d', '{"name": "%s"}' % tag, self.url()], b''

    def check(self, tag, done):
        return (b' Status: 201\n' in done.stdout and
                b'"%s"' % tag.encode() in done.stdout)


class Get(Post):
    def args(self, tag):
        return ['-g', self.url('/ncb3/some.json')], b''

    def check(self, tag, done):
        return re.search(rb'GUID: \S+\n', done.stdout)


class Stream(Post):
    def args(self, tag):
        return (['-s', '-', self.url()],
                b'{"name": "%s"}' % (30000 * tag.encode()))

    def check(self, tag, done):
        return b'"%s"' % (30000 * tag.encode()) in done.stdout


class StreamOn(Post):
    def args(self, tag):
        return ['-s', self.url(), self.url('/')], b''

    def check(self, tag, done):
        return b'tobias' in done.stdout


class Files(Post):
    server = 'file-upload'

    def args(self, tag):
        path = os.path.join(self.at.root, tag)
        with open(path, 'wb') as file:
            file.write(20000 * tag.encode())
        return ['-m', path, path, '-u', self.url('/')], b''

    def check(self, tag, done):
        paths = glob.glob(os.path.join(self.at.root, 'uploads', '*' + tag))
        files = [open(path, 'rb').read() for path in paths]
        return files == 2 * [20000 * tag.encode()]


class Mail(Case):
    server = 'smtp-server'
    text = b'hello\n.\nthere\n'

    def args(self, tag):
        return (['-H', '-f', tag + '@x', '127.0.0.1', str(self.at.port)],
                b'you@localhost, another@localhost\n' + self.text)

    def check(self, tag, done):
        letters = [open(path, 'rb').read() for path in
                   glob.glob(os.path.join(self.at.root, 'mail', '*',
                                          tag + '@x-*'))]
        if letters and b'nothing sent' in done.stderr:
            raise wire.Failure('it says "nothing sent", and it arrived')
        return len(letters) == 2 and all(
            letter.endswith(b'\r\n\r\n' + self.text.replace(b'\n', b'\r\n'))
            for letter in letters)


class Lines(Case):
    server, server_args = 'websocket-app', ['-e']

    def args(self, tag):
        return (['ws://127.0.0.1:%d/' % self.at.port],
                b'hello\n\xc3\xa9\n' + 20000 * tag.encode() + b'\n')

    def check(self, tag, done):
        return done.stdout == self.args(tag)[1]


class TypedMail(Mail):
    """On a terminal: what is waited for, and what is typed then."""
    text = b'hello\n'

    def args(self, tag):
        return super().args(tag)[0], [
            (b'To: ', b'you@localhost, another@localhost\n'),
            (b'(^D to send)', self.text + b'\x04')]


class TypedLines(Lines):
    def args(self, tag):
        return super().args(tag)[0], [
            (b'-> ', b'hello\n'), (b'=> ', b'\x04')]

    def check(self, tag, done):
        sent = re.findall(rb'<= (\w+)', done.stdout)
        return sent and sent == re.findall(rb'=> (\w+)', done.stdout)


def run_typed(command, script, env):
    """Like subprocess.run(), on a terminal, which must be as it was after."""
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    with subprocess.Popen(command, stdin=its, stdout=its, env=env,
                          stderr=subprocess.PIPE) as process:
        output, end = b'', time.monotonic() + LIMIT
        try:
            while process.poll() is None and time.monotonic() < end:
                if select.select([ours], [], [], 0.01)[0]:
                    output += os.read(ours, 65536)
                if script and script[0][0] in output:
                    os.write(ours, script.pop(0)[1])
            if process.poll() is None:
                raise wire.Failure('still runs: %r' % output)
            while select.select([ours], [], [], 0)[0]:
                output += os.read(ours, 65536)
            same = termios.tcgetattr(its) == before
            done = subprocess.CompletedProcess(
                command, process.returncode, output, process.stderr.read())
            return done, same
        finally:
            process.kill()
            os.close(ours)
            os.close(its)


class ClientRuns:
    tags = itertools.count()

    def __init__(self, name, case):
        self.name, self.case_class = name, case
        self.label = name + ' ' + case.__name__

    def start(self, stack):
        """The server, for all runs."""
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.case = self.case_class(stack.enter_context(wire.Server(
            self.case_class.server, *self.case_class.server_args,
            FAULT_STATE=State(folder).path, FAULT=None)))

    def run(self, state, fault):
        """Returns the tag and what came of it."""
        tag = 'tag%dx' % next(self.tags)
        args, given = self.case.args(tag)
        settings = {'FAULT_STATE': state.path,
                    'FAULT': fault.plan() if fault else None}
        start = time.monotonic()
        if isinstance(given, bytes):
            done = wire.run(self.name, *args, stdin=given, limit=LIMIT,
                            **settings)
        else:
            done, same = run_typed(wire.command_of(self.name, args), given,
                                   wire.environment(settings))
            wire.no_report(done.stderr.decode('utf-8', 'replace'))
            if not same and not (fault and fault.name == 'tcsetattr'):
                raise wire.Failure('the terminal is not as it was')
        took = 1000 * (time.monotonic() - start)
        if state.calls() > 1000 + CALLS_PER_MS * took:
            raise wire.Failure('it spins: %d calls' % state.calls())
        return tag, done

    def prepare(self):
        with tempfile.TemporaryDirectory() as folder:
            state = State(folder)
            tag, done = self.run(state, None)
            if done.returncode != 0 or not self.case.check(tag, done):
                raise wire.Failure('without a fault: %s' % done)
            return list(faults_of(state.list()))

    def try_fault(self, fault):
        with tempfile.TemporaryDirectory() as folder:
            state = State(folder)
            tag, done = self.run(state, fault)
            right = self.case.check(tag, done)
            if not state.fired():
                if done.returncode != 0 or not right:
                    raise wire.Failure('without a fault: %s' % done)
                raise NotReached
            if done.returncode == 0 and not right:
                raise wire.Failure('it claims success: %s' % done)
            # A terminal that could not be taken keeps ^D to itself.
            if fault.name.startswith('tc') and done.returncode == 130:
                return
            if done.returncode not in (0, 1) + self.case.refused(done):
                raise wire.Failure('an odd end: %s' % done)
            unread = fault.name == 'write' and fault.error == 'EPIPE'
            if done.returncode == 1 and not unread:
                told = done.stderr + done.stdout.replace(b'\r', b'')
                if not re.search(rb'.+: .+', told) or b': Success' in told:
                    raise wire.Failure('it does not say why: %s' % done)


# ---- all of them ------------------------------------------------------------

RUNS = [ServerRuns('rest-server', RestServer),
        ServerRuns('post-form', PostForm),
        ServerRuns('file-upload', FileUpload),
        ServerRuns('websocket-app', WebSocketApp),
        ServerRuns('smtp-server', SmtpServer)] + [
            ClientRuns(name, case) for name, cases in [
                ('post-request', [Post, Get, Stream, StreamOn, Files]),
                ('smtp-client', [Mail, TypedMail]),
                ('websocket-client', [Lines, TypedLines])] for case in cases]


def again(run, fault):
    return 'FAULT=%s %s' % (fault, wire.again(
        'python3', wire.from_top(__file__), *run.label.split()))


def try_often(run, fault):
    """How often a program reads depends on how its input arrives, so a run may
    make fewer calls than the first one made. Whether the fault was reached."""
    for _ in range(TRIES):
        try:
            run.try_fault(fault)
            return True
        except NotReached:
            pass
    return False


def try_all(run, only, pool):
    """Returns how many passed, how many failed and how many were not reached.
    A fault that was asked for must be."""
    faults = run.prepare()
    faults = [only] if only else faults[::EVERY]
    failed = missed = 0
    tries = {pool.submit(try_often, run, fault): fault for fault in faults}
    for done in concurrent.futures.as_completed(tries):
        problem = done.exception()
        if not problem and not done.result():
            if only:
                problem = 'it makes no such call'
            else:
                missed += 1
        if problem:
            failed += 1
            print('FAILED %s, %s\n%s\nagain: %s\n' % (
                run.label, tries[done],
                '\n'.join(str(problem).splitlines()[:60]),
                again(run, tries[done])), flush=True)
    return len(faults) - failed - missed, failed, missed


def main():
    os.environ.setdefault('BUILD', 'build/faults')
    words = sys.argv[1:]
    runs = [run for run in RUNS if all(w in run.label.split() for w in words)]
    if not runs or words[:1] == ['-h']:
        sys.exit('usage: [FAULT=send:3:EPIPE] %s [PROGRAM [CASE]]' %
                 sys.argv[0])
    text = os.environ.pop('FAULT', '')
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool, \
            contextlib.ExitStack() as stack:
        for run in runs:
            start = time.monotonic()
            run.start(stack)
            counts = try_all(run, text and Fault.of(text), pool)
            print('%-6s %5d  %5.1f s  %s' % (
                'FAILED' if counts[1] else 'ok', sum(counts),
                time.monotonic() - start, run.label), flush=True)
            total = [a + b for a, b in zip(total, counts)]
    if total[2]:
        print('%d not reached again' % total[2])
    print('%d passed, %d failed' % tuple(total[:2]))
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == '__main__':
    main()
