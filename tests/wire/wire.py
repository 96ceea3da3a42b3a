"""What all wire tests share: a program under test, and a peer that speaks
raw bytes to it.

A wire test starts the server on a free port and plays a client, good or bad:

    import unittest
    import wire

    class Greeting(unittest.TestCase):
        def test_index(self):
            with wire.Server('rest-server') as server:
                peer = server.connect()
                peer.send(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
                self.assertEqual(peer.read_response().status, 200)

    if __name__ == '__main__':
        wire.main()

Nothing here waits by sleeping: each wait is for a line, for bytes or for the
end of a stream, and gives up after a time limit, telling what had come.
"""

import contextlib
import http.client
import io
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
RECIPES = ['rest-server', 'post-form', 'file-upload', 'post-request',
           'websocket-app', 'websocket-client', 'smtp-server', 'smtp-client']
LIMIT = 10        # seconds that any one wait may last
START_LIMIT = 30  # a sanitized program on a busy machine starts slowly


class Failure(AssertionError):
    """The program under test did not do what the test waits for."""


# ---- programs ---------------------------------------------------------------

def program(name):
    """The path of a program: below $BUILD if that is set, else in place."""
    build = os.environ.get('BUILD')
    return os.path.join(os.path.abspath(build) if build else TOP, name, name)


def exists(name):
    """Whether this recipe is part of the collection yet."""
    return os.path.isdir(os.path.join(TOP, name))


def from_top(path):
    """A path as seen from the top folder, where commands are typed."""
    path = os.path.abspath(path)
    inside = path.startswith(TOP + os.sep)
    return os.path.relpath(path, TOP) if inside else path


def again(*words):
    """The shell line that runs this again."""
    build = os.environ.get('BUILD')
    prefix = 'BUILD=' + shlex.quote(build) + ' ' if build else ''
    return prefix + ' '.join(shlex.quote(word) for word in words)


def environment(settings):
    """Our own environment, less what would decide for the program, plus the
    settings; None takes a name out."""
    env = {name: value for name, value in os.environ.items()
           if name not in ('HOST', 'PORT', 'ROOT', 'TRACE', 'PROXY',
                           'LISTEN_PID', 'LISTEN_FDS')}
    for name, value in settings.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = str(value)
    return env


def command_of(name, args):
    """name: a recipe's, or a whole command as a list."""
    if not isinstance(name, str):
        return list(name) + list(args)
    if not os.path.exists(program(name)):
        raise Failure(program(name) + ' is not there: run make first')
    return [program(name)] + list(args)


def no_report(errors):
    """Fail if a sanitizer or valgrind has complained."""
    if re.search(r'Sanitizer|runtime error:|ERROR SUMMARY: [1-9]', errors):
        raise Failure('a report on stderr:\n' + errors)


def run(name, *args, stdin=b'', limit=START_LIMIT, **settings):
    """Run a program to its end: .returncode, .stdout and .stderr (bytes)."""
    try:
        done = subprocess.run(command_of(name, args), input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment(settings), timeout=limit)
    except subprocess.TimeoutExpired as late:
        raise Failure('%s still runs after %s s; stdout %r, stderr %r' %
                      (name, limit, late.stdout, late.stderr)) from None
    no_report(done.stderr.decode('utf-8', 'replace'))
    return done


def pause(test, pid):
    """Stop a process; it goes on at the end of the test, if not before."""
    def go_on():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    os.kill(pid, signal.SIGSTOP)
    test.addCleanup(go_on)


def files_at_most(n):
    """For Server(preexec=...): the server may have n descriptors open."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


class Output:
    """The lines of a stream as they come, read by a thread."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.seen = 0  # lines that wait_line() has gone past
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,),
                                       daemon=True)
        self.thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self.news:
                    text = line.decode('utf-8', 'backslashreplace')
                    self.lines.append(text.rstrip('\r\n'))
                    self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def wait(self, ready, limit=LIMIT):
        """Until ready(self), or until nothing more will come."""
        with self.news:
            self.news.wait_for(lambda: ready(self) or self.ended, limit)
            return ready(self)

    def wait_line(self, text, limit=LIMIT):
        """The next line that holds text, after the one found before."""
        def found(output):
            return any(text in line for line in output.lines[output.seen:])
        if not self.wait(found, limit):
            raise Failure('no line with %r came within %s s; these did:\n%s' %
                          (text, limit, '\n'.join(self.lines[self.seen:])))
        while text not in self.lines[self.seen]:
            self.seen += 1
        self.seen += 1
        return self.lines[self.seen - 1]

    def text(self):
        return '\n'.join(self.lines)


class Server:
    """A server under test, up from `with` to the end of its block.

    Arguments go to the program; settings in capitals into its environment
    (NAME=None: not set). PORT is 0 and HOST 127.0.0.1 unless told otherwise.
    ROOT is a fresh folder with a copy of the recipe's public/, also found as
    .root. At the end it is sent SIGTERM and must exit with status 0 and
    without a sanitizer's report."""

    def __init__(self, name, *args, preexec=None, cwd=None, one_output=False,
                 **settings):
        self.name = name if isinstance(name, str) else ' '.join(name)
        self.command = command_of(name, args)
        self.preexec = preexec
        self.cwd = cwd
        self.one_output = one_output  # stderr goes where stdout goes
        self.settings = dict({'PORT': 0, 'HOST': '127.0.0.1'}, **settings)
        self.peers = []
        self.stopped = False
        self.folder = None  # ours, to be removed

    def _make_root(self):
        self.folder = tempfile.mkdtemp(prefix=self.name + '-')
        self.settings['ROOT'] = self.folder
        public = os.path.join(TOP, self.name, 'public')
        if os.path.isdir(public):
            shutil.copytree(public, os.path.join(self.folder, 'public'))

    def __enter__(self):
        if self.name in RECIPES and 'ROOT' not in self.settings:
            self._make_root()
        self.root = self.settings.get('ROOT')

        stderr = subprocess.STDOUT if self.one_output else subprocess.PIPE
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=stderr,
            env=environment(self.settings), cwd=self.cwd,
            preexec_fn=self.preexec)
        self.pid = self.process.pid
        self.out = Output(self.process.stdout)
        self.err = self.out
        if not self.one_output:
            self.err = Output(self.process.stderr)
        try:
            line = self.out.wait_line('{"address":', START_LIMIT)
            told = json.loads(line)
            self.address, self.port = told['address'], told['port']
        except (Failure, ValueError, KeyError) as problem:
            self._abandon()
            self._remove_root()
            raise Failure('%s tells no address: %s\n%s' % (
                self.name, problem, self.err.text())) from None
        return self

    def __exit__(self, kind, problem, trace):
        for peer in self.peers:
            peer.close()
        try:
            if kind is not None:
                self._abandon()
                if self.err.lines:
                    print('stderr of %s:\n%s' % (self.name, self.err.text()))
            elif not self.stopped:
                self.stop()
        finally:
            self._remove_root()

    # What it prints.

    def wait_line(self, text, limit=LIMIT):
        return self.out.wait_line(text, limit)

    def wait_error(self, text, limit=LIMIT):
        return self.err.wait_line(text, limit)

    # Its end.

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, limit=LIMIT):
        """Wait for its end. Returns the exit status."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failure('%s still runs after %s s' %
                          (self.name, limit)) from None

    def stop(self, expect=0):
        """SIGTERM, unless it has ended; it must have ended as expected."""
        if self.process.poll() is None:
            self.signal()
        try:
            status = self.wait()
        finally:
            self._abandon()
        self.stopped = True
        no_report(self.err.text())
        if status != expect:
            raise Failure('%s ended with status %d, not %d\n%s' % (
                self.name, status, expect, self.err.text()))

    def kill(self):
        """The end that no program can see coming: SIGKILL."""
        self.signal(signal.SIGKILL)
        self.stop(expect=-signal.SIGKILL)

    def _abandon(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.thread.join(LIMIT)
        self.err.thread.join(LIMIT)

    def _remove_root(self):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # What it uses.

    def cpu(self):
        """Seconds of processor time so far."""
        with open('/proc/%d/stat' % self.pid) as stat:
            fields = stat.read().rpartition(')')[2].split()
        return ((int(fields[11]) + int(fields[12])) /
                os.sysconf('SC_CLK_TCK'))

    def rss(self):
        """Bytes of memory in use."""
        with open('/proc/%d/statm' % self.pid) as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def fds(self):
        """Number of open descriptors."""
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def connect(self, host=None, **options):
        any_of = {'0.0.0.0': '127.0.0.1', '::': '::1'}
        host = host or any_of.get(self.address, self.address)
        peer = Peer(host, self.port, **options)
        self.peers.append(peer)
        return peer


# ---- a peer -----------------------------------------------------------------

def shown(data):
    """Bytes for a message: all of them, or both ends and the length."""
    if len(data) <= 2000:
        return repr(data)
    return '%r ...\n... %r (%d bytes)' % (data[:1000], data[-500:], len(data))


class Response:
    """One HTTP response: status, reason, headers (any case), body, and raw,
    which is head and body as they came."""

    def __init__(self, head):
        line, _, rest = head.partition(b'\r\n')
        match = re.fullmatch(rb'(HTTP/1\.[01]) (\d{3}) ([^\r\n]*)', line)
        if not match or re.search(rb'(?<!\r)\n|\r(?!\n)', head):
            raise Failure('not the head of a response: ' + shown(head))
        self.version = match.group(1).decode()
        self.status = int(match.group(2))
        self.reason = match.group(3).decode('latin-1')
        self.headers = http.client.parse_headers(io.BytesIO(rest))
        self.body = b''
        self.raw = head


class Peer:
    """A TCP client that can misbehave. receive_buffer makes the kernel's
    buffer for it small, so that a peer who does not read is soon noticed."""

    def __init__(self, host, port, receive_buffer=None):
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(LIMIT)
        self.socket.connect((host, port))
        self.received = b''  # not yet asked for

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except socket.timeout:
            raise Failure('the server does not read: %d bytes do not go out '
                          'within %s s' % (len(data), LIMIT)) from None

    def half_close(self):
        """Say that no more will be sent, and go on listening."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Vanish: the server gets a reset, not an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack('ii', 1, 0))
        self.socket.close()

    def receive(self, limit=LIMIT):
        """Take in what comes next. False: nothing will come any more."""
        self.socket.settimeout(limit)
        data = self.socket.recv(65536)
        self.received += data
        return bool(data)

    def _receive_until(self, enough, what, limit):
        """Receive until enough(); `what` says in errors what that means."""
        end = time.monotonic() + limit
        problem = None
        while not problem and not enough():
            try:
                left = max(end - time.monotonic(), 0.001)
                if not self.receive(left):
                    problem = 'the server closed'
            except socket.timeout:
                problem = 'nothing more came within %s s' % limit
            except ConnectionResetError:
                problem = 'the server reset the connection'
        if problem:
            raise Failure('waiting for %s: %s after %s' %
                          (what, problem, shown(self.received)))

    def drain(self, quiet=0.2):
        """For messages: what else has come, until nothing does."""
        try:
            while self.receive(quiet):
                pass
        except OSError:
            pass
        return self._take(len(self.received))

    def _take(self, n):
        data, self.received = self.received[:n], self.received[n:]
        return data

    def recv_until(self, marker, limit=LIMIT):
        """All bytes up to the end of marker."""
        self._receive_until(lambda: marker in self.received, repr(marker),
                            limit)
        return self._take(self.received.index(marker) + len(marker))

    def recv_exactly(self, n, limit=LIMIT):
        self._receive_until(lambda: len(self.received) >= n, '%d bytes' % n,
                            limit)
        return self._take(n)

    def recv_all(self, limit=LIMIT):
        """All bytes until the server closes. A reset is a failure."""
        pieces = [self.received]
        end = time.monotonic() + limit
        try:
            while True:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                piece = self.socket.recv(65536)
                if not piece:
                    break
                pieces.append(piece)
        except (socket.timeout, ConnectionResetError) as problem:
            how = ('the server reset the connection'
                   if isinstance(problem, ConnectionResetError)
                   else 'it did not come within %s s' % limit)
            raise Failure('waiting for the end: %s after %s' %
                          (how, shown(b''.join(pieces)))) from None
        self.received = b''
        return b''.join(pieces)

    def read_response(self, head=False, limit=LIMIT):
        """One HTTP response (also an interim one). head: it answers HEAD."""
        response = Response(self.recv_until(b'\r\n\r\n', limit))
        lengths = response.headers.get_all('Content-Length', [])
        codings = response.headers.get_all('Transfer-Encoding', [])
        if head or response.status < 200 or response.status in (204, 304):
            return response
        if len(lengths) + len(codings) > 1:
            raise Failure('two lengths: ' + shown(response.raw))
        if codings == ['chunked']:
            self._read_chunks(response, limit)
        elif lengths:
            response.body = self.recv_exactly(int(lengths[0]), limit)
            response.raw += response.body
        else:
            response.body = self.recv_all(limit)
            response.raw += response.body
        return response

    def _read_chunks(self, response, limit):
        while True:
            line = self.recv_until(b'\r\n', limit)
            size = int(line.split(b';')[0], 16)
            chunk = b'' if size == 0 else self.recv_exactly(size, limit)
            response.body += chunk
            response.raw += line + chunk
            line = self.recv_until(b'\r\n', limit)
            response.raw += line
            while size == 0 and line != b'\r\n':  # trailers
                line = self.recv_until(b'\r\n', limit)
                response.raw += line
            if line != b'\r\n':
                raise Failure('a chunk longer than it says: ' +
                              shown(response.raw))
            if size == 0:
                return


def exchange(server, request, limit=LIMIT):
    """Send all this on a connection of its own; all that comes back."""
    with server.connect() as peer:
        peer.send(request)
        peer.half_close()
        return peer.recv_all(limit)


# ---- what every server must still do after a bad peer -----------------------

def assert_idle(server):
    """That it waits without using the processor. The one place that sleeps:
    the time is what is measured. A server may still be tidying up, so one
    quiet interval of three is enough; who spins has none."""
    for _ in range(3):
        before = server.cpu()
        time.sleep(0.3)
        used = server.cpu() - before
        if used < 0.02:
            return
    raise Failure('%s has nothing to do and used %.2f s of 0.3 s' %
                  (server.name, used))


def assert_serves(server):
    """That a new client is served."""
    with server.connect() as peer:
        if server.name == 'smtp-server':
            peer.recv_until(b'220 ')
            peer.send(b'QUIT\r\n')
            peer.recv_until(b'\r\n221 ')
            return
        peer.send(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n'
                  b'Connection: close\r\n\r\n')
        response = peer.read_response()
        if response.status != 200:
            raise Failure('GET /healthz: ' + shown(response.raw))


# ---- running a module of wire tests -----------------------------------------

def test_classes(module):
    """Its test classes; without those whose `needs`, a list of recipes, are
    not all part of the collection yet."""
    own = os.path.splitext(os.path.basename(module.__file__))[0]
    if own in RECIPES and not exists(own):
        return []
    return [c for c in vars(module).values()
            if isinstance(c, type) and issubclass(c, unittest.TestCase)
            and c.__module__ == module.__name__
            and all(exists(name) for name in getattr(c, 'needs', []))]


def tests_named(module, names):
    """Its tests; with names (Class, test_method, Class.test_method) those."""
    loader = unittest.TestLoader()
    for test_class in test_classes(module):
        for method in loader.getTestCaseNames(test_class):
            full = test_class.__name__ + '.' + method
            if not names or {test_class.__name__, method, full} & set(names):
                yield test_class(method)


class Result(unittest.TestResult):
    """Says how each failure can be seen again."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.failed = set()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def report(self):
        for test, trace in self.failures + self.errors:
            shown_name = test.id().replace('__main__.', '')
            test = getattr(test, 'test_case', test)  # that of a subtest
            name = '.'.join(test.id().split('.')[-2:])
            self.failed.add(name)
            print('FAILED %s\n%s\nagain: %s\n' % (
                shown_name, trace.rstrip(),
                again('python3', from_top(sys.argv[0]), name)))


def main():
    """Run the tests of the calling script, or those named after it."""
    if '-h' in sys.argv or '--help' in sys.argv:
        print('usage: %s [Class | test_method | Class.test_method]...' %
              sys.argv[0])
        sys.exit(0)
    suite = unittest.TestSuite(
        tests_named(sys.modules['__main__'], sys.argv[1:]))
    if sys.argv[1:] and suite.countTestCases() == 0:
        sys.exit('no test is called ' + ' or '.join(sys.argv[1:]))
    result = Result()
    suite.run(result)
    result.report()
    print('%d passed, %d failed' % (result.passed, len(result.failed)))
    sys.exit(1 if result.failed else 0)
