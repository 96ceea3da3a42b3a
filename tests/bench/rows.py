"""The rows: what is measured, with whom, and what is aimed at.

A Section starts its programs once; each of its Cases then measures them in
turn, round after round. A measurement is a dictionary: `cpu`, microseconds of
the program's processor time a unit of work; `rate`, units a second; `memory`,
megabytes."""

import contextlib
import dataclasses
import os
import re
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from typing import Callable, Optional

import servers
from servers import (BUILT, HERE, LOAD_CPU, SERVER_CPU, TOP, Failed, bare,
                     lighttpd, measure, nginx, node, ours, postfix, run,
                     smtp_sink)

SECONDS = int(os.environ.get('BENCH_SECONDS', '1'))  # of one measurement
GIGABYTE = 1000 * 1000 * 1000
LOAD = os.path.join(HERE, 'load')


@dataclasses.dataclass
class Goal:
    """Ours is to be at most, or at least, so many times the peer's; or just
    that much, without a peer."""
    metric: str
    peer: Optional[str]
    limit: float
    least: bool = False

    def ratio(self, medians):
        ours = list(medians.values())[0][self.metric]
        return ours / medians[self.peer][self.metric] if self.peer else ours

    def met(self, medians):
        ratio = self.ratio(medians)
        return ratio >= self.limit if self.least else ratio <= self.limit


def at_most(metric, peer, limit):
    return Goal(metric, peer, limit)


def at_least(metric, peer, limit):
    return Goal(metric, peer, limit, True)


def times(peer, n):
    """N times as good: as fast, and for so much less processor time."""
    return [at_most('cpu', peer, 1 / n), at_least('rate', peer, n)]


@dataclasses.dataclass
class Case:
    title: str
    measure: Callable  # a program from start(): a measurement
    goals: list = dataclasses.field(default_factory=list)
    only: Optional[tuple] = None  # the programs that take part
    chart: str = 'cpu'


@dataclasses.dataclass
class Section:
    title: str
    unit: str
    start: Callable  # (stack, work): the programs by name, ours first
    cases: list
    note: str = ''
    columns: tuple = ('cpu', 'rate', 'memory')
    warm_up: bool = True


# ---- REST -------------------------------------------------------------------

REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
CLOSING = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'


def wrk(server, connections, *options, url='/', after=()):
    """Requests answered, and the seconds they took."""
    text = run('wrk', '-t1', '-c%d' % connections, '-d%d' % SECONDS,
               '-H', 'Host: x', *options,
               'http://127.0.0.1:%d%s' % (server.port, url), *after)
    trouble = re.search(r'Non-2xx.*|Socket errors: connect [1-9].*', text)
    found = re.search(r'(\d+) requests in ([\d.]+)(m?s)', text)
    if trouble or not found:
        raise Failed('wrk: ' + text)
    seconds = float(found[2]) / (1000 if found[3] == 'ms' else 1)
    return int(found[1]), seconds


def rest(connections, *options):
    return lambda server: measure(
        server, lambda s: wrk(s, connections, *options))


def rest_servers(request, *bare_options):
    def start(stack, work):
        return {
            'rest-server': stack.enter_context(ours(work, 'rest-server')),
            'nginx': stack.enter_context(nginx(work)),
            'lighttpd': stack.enter_context(lighttpd(work)),
            'Node http': stack.enter_context(node(work, 'rest.js')),
            'parses nothing': stack.enter_context(
                bare(work, 'bare-answer', str(len(request)), *bare_options)),
        }
    return start


REST = Section(
    'REST, connections kept alive', 'request', rest_servers(REQUEST),
    [Case('REST, %d connection%s' % (n, 's' * (n > 1)), rest(n),
          [at_most('cpu', 'nginx', 1), at_most('cpu', 'Node http', 0.4)])
     for n in (1, 64, 512)])

PIPELINED = Section(
    'REST, 16 requests pipelined', 'request', rest_servers(REQUEST),
    [Case('REST, 64 connections, pipelined',
          rest(64, '-s', os.path.join(LOAD, 'pipeline.lua')),
          [at_most('cpu', 'nginx', 0.25)])],
    note='''Requests that come in a piece share one `recv()`, one `send()` and one `poll()`.
nginx and lighttpd write once for each.
''')

CLOSED = Section(
    'REST, a connection for each request', 'request',
    rest_servers(CLOSING, 'close'),
    [Case('REST, a connection a request', rest(64, '-H', 'Connection: close'),
          [at_most('cpu', 'nginx', 1)])],
    note='''Ours makes seven system calls for such a connection, nginx six (`strace -c`).
Two are for safety: after an answer it shuts down its half and waits for the
client's, so that no answer is lost to a reset; nginx does that only when it knows
that more is coming. `accept4()`, which would save one, is not in POSIX 2008.
''')


@contextlib.contextmanager
def idle_clients(server, n, hello):
    """N connections that have had one answer, and say no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = []
    try:
        for _ in range(n):
            clients.append(socket.create_connection(
                ('127.0.0.1', server.port), 20))
            clients[-1].sendall(hello.encode())
        for client in clients:
            if not client.recv(4096).startswith(b'HTTP/1.1 '):
                raise Failed('no answer to an idle client')
        time.sleep(0.5)  # idle is who has been quiet for a while
        yield
    finally:
        for client in clients:
            client.close()


def beside_idle(n):
    """KEPT: CPU time a request without the idle ones, divided by that with."""
    def once(server):
        alone = measure(server, lambda s: wrk(s, 64))
        with idle_clients(server, n, REQUEST):
            result = measure(server, lambda s: wrk(s, 64))
        return dict(result, kept=alone['cpu'] / result['cpu'])
    return once


def idle_servers(stack, work):
    programs = rest_servers(REQUEST)(stack, work)
    return {name: programs[name]
            for name in ('rest-server', 'nginx', 'Node http')}


IDLE = Section(
    'REST, 64 busy connections beside idle ones', 'request', idle_servers,
    [Case('REST beside %s idle' % '{:,}'.format(n), beside_idle(n),
          [at_least('kept', None, 0.9), at_most('memory', 'nginx', 0.5)])
     for n in (1000, 9000)], columns=('cpu', 'rate', 'memory', 'kept'),
    note='''The idle connections are given to `poll()` only now and then, by the clock: on a
machine that is busy with other things this happens more often for each request,
and more is lost. nginx's `epoll` never looks at an idle connection.
''')


# ---- uploads ----------------------------------------------------------------

def gigabyte(work):
    """A file of it, without a pattern."""
    path = os.path.join(work, 'gigabyte')
    if not os.path.exists(path):
        noise = os.urandom(20 * 1000 * 1000)
        with open(path, 'wb') as file:
            for _ in range(GIGABYTE // len(noise)):
                file.write(noise)
            os.fsync(file.fileno())
    return path


def saved_bytes(folder):
    """What has arrived in there; it is removed."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(path, name)
            if os.path.getsize(file) < GIGABYTE / 2: continue
            size += os.path.getsize(file)
            os.remove(file)
    os.sync()
    return size


def curl(server, *options, path='/'):
    """A gigabyte; returns megabytes and seconds."""
    start = time.monotonic()
    run('curl', '-sSf', '-H', 'Expect:', *options,
        'http://127.0.0.1:%d%s' % (server.port, path))
    return GIGABYTE / 1e6, time.monotonic() - start


def upload(*options, path='/'):
    def once(server):
        def load(s):
            return curl(s, *(o.format(gigabyte(servers.WORK)) for o in options),
                        path=path)
        result = measure(server, load)
        if saved_bytes(server.folder) < GIGABYTE:
            raise Failed('not all was saved')
        return result
    return once


def upload_servers(stack, work):
    gigabyte(work)
    return {
        'file-upload': stack.enter_context(
            ours(work, 'file-upload', MAX_FILE='2000000000')),
        'only receives and writes': stack.enter_context(
            bare(work, 'bare-receive')),
        'Node + busboy': stack.enter_context(node(work, 'upload.js')),
        'nginx DAV': stack.enter_context(nginx(work)),
    }


UPLOAD_GOALS = (times('only receives and writes', 0.9) +
                times('Node + busboy', 3))

UPLOAD = Section(
    'Upload of 1 GB', 'MB', upload_servers,
    [Case('Upload, PUT', upload('-T', '{}', path='/files/a'),
          UPLOAD_GOALS),
     Case('Upload, multipart', upload('-F', 'userfile1=@{}'),
          UPLOAD_GOALS, only=('file-upload', 'only receives and writes', 'Node + busboy'))],
    warm_up=False,
    note='''All but nginx call `fsync()` before they answer. Most of the time goes into
copying to and from the kernel, and into the disk; both are the same for all, so
that no program can be three times as fast as one that spends a third of its time
elsewhere. Memory is of the processes only, not the system's cache.
''')


# ---- forms ------------------------------------------------------------------

def form(size, fields, connections):
    return lambda server: measure(server, lambda s: wrk(
        s, connections, '-s', os.path.join(LOAD, 'form.lua'),
        after=('--', str(size), fields)))


def form_servers(stack, work):
    return {
        'post-form': stack.enter_context(ours(work, 'post-form')),
        'Node http': stack.enter_context(node(work, 'form.js')),
    }


FORM = Section(
    'Forms posted', 'form', form_servers,
    [Case('Form of %s' % title, form(size, fields, connections),
          [at_most('cpu', 'Node http', 1 / 2.5)])
     for title, size, fields, connections in (
         ('200 bytes', 200, 'few', 64),
         ('1 MB, two fields', 1000000, 'few', 4),
         ('1 MB, 38,000 fields', 1000000, 'many', 4))],
    note='''Of what a form of 1 MB costs here, most is for pages of memory, about a
thousand of them: the system takes them back after each form, and gives them out
again for the next. Node holds on to its memory. Node's own limit of 1,000 fields
is lifted, since ours has none.
''')


# ---- WebSocket --------------------------------------------------------------

def echo(connections, size, in_flight):
    def load(server):
        text = run(os.path.join(BUILT, 'websocket'), str(server.port),
                   str(connections), str(size), str(in_flight), str(SECONDS))
        messages, seconds = text.split()
        return int(messages), float(seconds)
    return lambda server: measure(server, load)


HANDSHAKE = ('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n'
             'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
             'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')


def idle_memory(n):
    def once(start):
        with start(servers.WORK) as server:
            with idle_clients(server, n, HANDSHAKE):
                return {'memory': server.memory()}
    return once


ECHO = {
    'websocket-app -e': lambda work: ours(work, 'websocket-app', '-e'),
    'npm ws': lambda work: node(work, 'echo.js'),
}


def echo_servers(stack, work):
    return {name: stack.enter_context(start(work))
            for name, start in ECHO.items()}


WEBSOCKET = Section(
    'WebSocket echo', 'message', echo_servers,
    [Case('WebSocket, 64 bytes, 64 connections', echo(64, 64, 1),
          [at_most('cpu', 'npm ws', 1 / 3)]),
     Case('WebSocket, the same, 16 under way each', echo(64, 64, 16),
          [at_most('cpu', 'npm ws', 1 / 3)]),
     Case('WebSocket, 1 MiB, 4 connections', echo(4, 1 << 20, 1),
          [at_most('cpu', 'npm ws', 1)])],
    note='''With one message on its way for each connection nearly all of the time is the
kernel's, in `recv()`, `send()` and `poll()`, and the same for both.
''')

QUIET = Section(
    'WebSocket, idle connections', '', lambda stack, work: ECHO,
    [Case('WebSocket, memory of 5,000 idle', idle_memory(5000),
          [at_most('memory', 'npm ws', 0.1)], chart='memory')],
    columns=('memory',), warm_up=False)


# ---- mail -------------------------------------------------------------------

def clear_mail(folder):
    """Removes the letters and says how many there were."""
    letters = 0
    for path, folders, names in os.walk(os.path.join(folder, 'mail')):
        if os.path.basename(path) == 'tmp': continue
        for name in names:
            if name.startswith('.'): continue
            os.remove(os.path.join(path, name))
            letters += 1
    return letters


def queue_is_empty(folder):
    return not any(names for part in ('maildrop', 'incoming', 'active',
                                      'deferred')
                   for _, _, names in os.walk(
                       os.path.join(folder, 'spool', part)))


def mail(sessions, size, unit):
    """As many letters as it takes in SECONDS, by what is known of its speed."""
    speed = {}

    def send(server, letters):
        start = time.monotonic()
        run('smtp-source', '-d', '-s', str(min(sessions, letters)),
            '-m', str(letters), '-l', str(size), '-f', 'me@me.com',
            '-t', 'you@example.com', '127.0.0.1:%d' % server.port)
        seconds = time.monotonic() - start
        speed[server] = letters / seconds
        while not queue_is_empty(server.folder):
            time.sleep(0.02)
        return letters * unit, seconds

    def once(server):
        few = max(2 * sessions, 200) if size < 10000 else 2
        if server not in speed:
            send(server, few)
            clear_mail(server.folder)
        letters = max(few, int(SECONDS * speed[server]))
        result = measure(server, lambda s: send(s, letters))
        stored = clear_mail(server.folder)
        keeps = os.path.isdir(os.path.join(server.folder, 'mail'))
        if keeps and stored != letters:
            raise Failed('%d letters of %d' % (stored, letters))
        return result
    return once


def mail_servers(stack, work):
    return {
        'smtp-server': stack.enter_context(
            ours(work, 'smtp-server', MAX_SIZE='100000000')),
        'Postfix': stack.enter_context(postfix(work)),
        'npm smtp-server': stack.enter_context(node(work, 'mail.js')),
        'smtp-sink': stack.enter_context(smtp_sink(work)),
    }


MAIL_GOALS = times('Postfix', 4) + times('npm smtp-server', 3)

MAIL = Section(
    'Mail of 1 KB', 'letter', mail_servers,
    [Case('Mail of 1 KB, %d sessions' % n, mail(n, 1024, 1), MAIL_GOALS,
          chart='rate') for n in (10, 100)], warm_up=False,
    note='''Speed is until the 250. Postfix answers when the letter is in its queue, and
delivers it to the mailbox later; its CPU time includes that. The others answer
when the letter is in the mailbox; smtp-sink throws it away. Ours and npm's do the
same with the disk: create, write, `fsync()`, name, `fsync()` of the folder. Where
syncing is cheap, what the kernel takes for these is most of what a letter costs.
''')

LARGE = Section(
    'Mail of 20 MB', 'MB', mail_servers,
    [Case('Mail of 20 MB, 1 session', mail(1, 20000000, 20), MAIL_GOALS,
          chart='rate')], warm_up=False)


# ---- clients: streams -------------------------------------------------------

def client(*command, stdin=subprocess.DEVNULL):
    """Runs it on the processor that elsewhere the servers have; returns what it
    and its children took: seconds of processor time, and seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    child = servers.popen(SERVER_CPU, command, stdin, env=servers.ENV,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output = child.communicate(timeout=120)[0]
        seconds = time.monotonic() - begun
    finally:
        servers.end(child)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode != 0:
        raise Failed('%s: %s' % (' '.join(command), output.decode()))
    return (after.ru_utime + after.ru_stime -
            before.ru_utime - before.ru_stime, seconds)


def stream(to, **commands):
    """COMMANDS: what each program is to run; {source}, {to}, {file} are the
    URLs and the file."""
    def once(programs):
        name, peers = programs
        words = {'source': peers['source'].url + 'files/gigabyte',
                 'to': peers[to].url, 'file': gigabyte(servers.WORK)}
        cpu, seconds = client(*(word.format(**words)
                                for word in commands[name]))
        if to == 'file-upload' and saved_bytes(peers[to].folder) < GIGABYTE:
            raise Failed('not all was saved')
        return {'cpu': cpu * 1e6 / 1000, 'rate': 1000 / seconds}
    return once


def stream_peers(stack, work):
    """All on the other processor: here the clients are measured."""
    peers = {
        'source': nginx(work, cpu=LOAD_CPU),
        'sink': bare(work, 'bare-receive', 'sink', cpu=LOAD_CPU),
        'file-upload': ours(work, 'file-upload', cpu=LOAD_CPU),
    }
    for peer in peers.values():
        stack.enter_context(peer)
    os.link(gigabyte(work), os.path.join(peers['source'].folder, 'files',
                                         'gigabyte'))
    return {'post-request': ('ours', peers), 'curl': ('curl', peers)}


POST = servers.program('post-request')
CURL = ('curl', '-sSf', '-H', 'Expect:')
BY_URL = dict(ours=(POST, '-s', '{source}', '{to}'),
              curl=('sh', '-c', 'curl -sSf {source} | '
                    'curl -sSf -H Expect: -X POST -T - {to}'))
FORMS = dict(ours=(POST, '-m', '{file}', '-u', '{to}'),
             curl=(*CURL, '-F', 'userfile0=@{file}', '{to}'))

STREAM = Section(
    'Clients: 1 GB sent', 'MB', stream_peers,
    [Case('Stream 1 GB from URL to URL', stream('sink', **BY_URL),
          times('curl', 1)),
     Case('Send 1 GB, multipart', stream('sink', **FORMS),
          times('curl', 1)),
     Case('Send 1 GB, multipart, to file-upload', stream('file-upload', **FORMS),
          times('curl', 1))],
    columns=('cpu', 'rate'), warm_up=False,
    note='''To file-upload, the time is mostly the disk's, whoever sends. When the files
were left there and not waited for, each next gigabyte took three times as long, from
either client: the system makes writers wait once too much is to be written. So each
is removed, and the disk waited for. Of 128 KiB that have come, ours needs three
writes when post-request has sent them, since it sends chunks, and one for curl.
''')


# ---- start and size ---------------------------------------------------------

STARTS = 5  # in each round; the middle one counts


def first_answer(name, command, hello):
    """Seconds until a server that is started answers."""
    port = servers.free_port()
    folder = tempfile.mkdtemp(dir=servers.WORK)
    servers.copy_pages(name, folder)
    begun = time.monotonic()
    child = servers.popen(
        SERVER_CPU, command, stdout=subprocess.DEVNULL,
        env=dict(servers.ENV, PORT=str(port), ROOT=folder))
    try:
        while True:
            try:
                s = socket.create_connection(('127.0.0.1', port), 20)
                break
            except ConnectionRefusedError:
                if child.poll() is not None or time.monotonic() - begun > 20:
                    raise Failed('%s does not listen' % command[0])
        s.sendall(hello)
        if not s.recv(4096): raise Failed('%s: no answer' % command[0])
        seconds = time.monotonic() - begun
        s.close()
    finally:
        servers.end(child)
        shutil.rmtree(folder)
    return seconds


def size(command):
    """Bytes of a program without symbols and of the libraries it loads, but for
    libc; of a script's interpreter too."""
    path = os.path.realpath(shutil.which(command[0], path=servers.ENV['PATH']))
    if path.startswith(TOP):
        stripped = os.path.join(servers.WORK, 'stripped')
        run('strip', '-o', stripped, path)
        return os.path.getsize(stripped)
    with open(path, 'rb') as file:
        interpreter = file.read(64).split()[0]
    files = [path]
    if interpreter.startswith(b'#!'): files.append(interpreter[2:].decode())
    libraries = re.findall(r'(?:=> |^\t)(/\S+)', run('ldd', files[-1]), re.M)
    files += [f for f in libraries if not re.search(r'/(libc\.so|ld-)', f)]
    return sum(os.path.getsize(os.path.realpath(f)) for f in files)


def starts(command, once):
    return {'start': statistics.median(once() for _ in range(STARTS)) * 1e3,
            'size': size(command) / 1e6}


def server_start(name, peer, hello, *options):
    commands = {'ours': [servers.program(name), *options],
                'Node': ['node', servers.script(peer)]}
    return lambda programs: starts(
        commands[programs[0]],
        lambda: first_answer(name, commands[programs[0]], hello))


def client_start(partner, stdin, **commands):
    """From the start to the end of a client that speaks with PARTNER; {url},
    {ws} and {port} are where that is."""
    def once(programs):
        name, partners = programs
        server = partners[partner]
        command = [word.format(url=server.url, ws=server.url.replace('http', 'ws'),
                               port=server.port) for word in commands[name]]

        def start():
            with tempfile.TemporaryFile() as file:
                file.write(stdin)
                file.seek(0)
                return client(*command, stdin=file)[1]
        return starts(command, start)
    return once


def start_partners(stack, work):
    partners = {name: stack.enter_context(ours(work, name))
                for name in ('post-form', 'websocket-app', 'smtp-server')}
    return {name: (name, partners) for name in ('ours', 'Node', 'curl', 'swaks')}


GET = REQUEST.encode()
TENTH = [at_most('start', 'Node', 0.1)]
TWO = ('ours', 'Node')

START = Section(
    'From start to answer, and size', 'start', start_partners,
    [Case('Start of ' + name, server_start(name, peer, hello, *options), TENTH,
          TWO, 'start')
     for name, peer, hello, *options in (
         ('rest-server', 'rest.js', GET),
         ('post-form', 'form.js', GET),
         ('file-upload', 'upload.js', GET),
         ('websocket-app', 'echo.js', HANDSHAKE.encode(), '-e'),
         ('smtp-server', 'mail.js', b'NOOP\r\n'))] +
    [Case('Run of post-request', client_start(
        'post-form', b'',
        ours=(POST, '{url}api/users'),
        Node=('node', servers.script('post-request.js'), '{url}api/users'),
        curl=('curl', '-sSf', '-H', 'Content-Type: application/json', '-d',
              '{{"name": "Cian", "company": "nearForm"}}', '{url}api/users')),
          TENTH, ('ours', 'Node', 'curl'), 'start'),
     Case('Run of websocket-client', client_start(
        'websocket-app', b'Hello\n',
        ours=(servers.program('websocket-client'), '{ws}'),
        Node=('node', servers.script('websocket-client.js'), '{ws}')),
          TENTH, TWO, 'start'),
     Case('Run of smtp-client', client_start(
        'smtp-server', b'hooray :)\n',
        ours=(servers.program('smtp-client'), '-t', 'you@example.com',
              '127.0.0.1', '{port}'),
        Node=('node', servers.script('smtp-client.js'), '{port}'),
        swaks=('swaks', '--to', 'you@example.com', '--from', 'me@me.com',
               '--server', '127.0.0.1:{port}', '--body', 'hooray :)')),
          TENTH, ('ours', 'Node', 'swaks'), 'start')],
    columns=('start', 'size'), warm_up=False)


# ---- growth -----------------------------------------------------------------

def talk(port, hello, data, until, times):
    """Sends DATA on one connection, TIMES times, each when the answer to the
    one before has ended with UNTIL. HELLO: what is said first, and the end of
    the answer to that."""
    with socket.create_connection(('127.0.0.1', port), 60) as s:
        for send, end in [hello] * bool(hello[0]) + [(data, until)] * times:
            s.sendall(send)
            answer = b''
            while not answer.endswith(end):
                more = s.recv(1 << 20)
                if not more: raise Failed('no %s: %s' % (end, answer))
                answer = answer[-100:] + more


def grows(name, make, times, hello=('', '')):
    """MAKE(share) returns the units of work, the bytes that ask for it, and
    the end of the answer. A tenth is asked for ten times as often."""
    def once(programs):
        share, peers = programs
        units, data, until = make(share)
        again = round(times / share)

        def load(server):
            begun = time.monotonic()
            talk(server.port, hello, data, until, again)
            return units * again, time.monotonic() - begun
        return measure(peers[name], load)
    return once


def post(kind, body):
    return ('POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n'
            'Content-Length: %d\r\n\r\n' % (kind, len(body))).encode() + body


def fields(share):
    """Of heads, all sent in a piece, so that none has to be waited for."""
    n = int(190 * share)
    lines = ''.join('X-%03d: some value\r\n' % i for i in range(n))
    head = 'GET / HTTP/1.1\r\nHost: x\r\n%s\r\n'
    heads = round(99 / share) * (head % lines) + 'GET /end HTTP/1.1\r\nHost: x\r\n\r\n'
    return (n * round(99 / share), heads.encode(), b'{"error": "Not Found"}')


def names(share):
    """The slowest form there is: what it has is names, and all are equal."""
    n = int(1000000 * share)
    return n, post('application/x-www-form-urlencoded', b'a&' * n), b'""]}'


def delimiters(share):
    """Of a file, each line begins as the delimiter does, and is none."""
    n = int(1000000 * share)
    body = (b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n'
            b'\r\n' + b'\r\n--almost' * n + b'\r\n--b--\r\n')
    return (n, post('multipart/form-data; boundary=b', body),
            b'All files processed!')


def fragments(share):
    """Frames of 100 bytes, masked with zeros; together one message."""
    n = int(160000 * share)
    head = struct.Struct('!BBI')
    middle = head.pack(0, 0x80 | 100, 0) + b'x' * 100
    return n, (head.pack(2, 0x80 | 100, 0) + b'x' * 100 + middle * (n - 2) +
               head.pack(0x80, 0x80 | 100, 0) + b'x' * 96 + b'done'), b'done'


def lines(share):
    n = int(200000 * share)
    return n, (b'MAIL FROM:<me@me.com>\r\nRCPT TO:<you@example.com>\r\n'
               b'DATA\r\n' + b'..dots\r\n' * n + b'.\r\n'), b'250 2.0.0 OK\r\n'


def growth_servers(stack, work):
    peers = {name: stack.enter_context(ours(work, name, *options))
             for name, *options in (('rest-server',), ('post-form',),
                                    ('file-upload',), ('websocket-app', '-e'),
                                    ('smtp-server',))}
    return {'all': (1, peers), 'a tenth': (0.1, peers)}


LINEAR = [at_most('cpu', 'a tenth', 1.25)]

GROWTH = Section(
    'Growth: the CPU time a unit, beside that for a tenth of the work', 'unit',
    growth_servers,
    [Case('rest-server, 190 fields in a head', grows(
        'rest-server', fields, 10), LINEAR),
     Case('post-form, 1,000,000 names in a form', grows(
         'post-form', names, 2), LINEAR),
     Case('file-upload, 1,000,000 near-delimiters in a file', grows(
         'file-upload', delimiters, 3), LINEAR),
     Case('websocket-app, 160,000 frames in a message', grows(
         'websocket-app', fragments, 4, (HANDSHAKE.encode(), b'\r\n\r\n')),
          LINEAR),
     Case('smtp-server, 200,000 dotted lines in a letter', grows(
         'smtp-server', lines, 4, (b'EHLO x\r\n', b'STATUSCODES\r\n')), LINEAR)],
    columns=('cpu',), warm_up=False,
    note='''A unit is a field, a name, and so on. Forms and messages that need more than
some megabytes cost more each unit than small ones, and it is memory: malloc()
gives so much back to the system, and each page of the next one has to be had
again. Twice the work, beyond that size, is twice the cost.
''')


ROWS = {
    'rest': REST, 'pipelined': PIPELINED, 'closed': CLOSED, 'idle': IDLE,
    'upload': UPLOAD, 'form': FORM, 'websocket': WEBSOCKET,
    'quiet': QUIET, 'mail': MAIL, 'large': LARGE,
    'start': START, 'stream': STREAM, 'growth': GROWTH,
}
