"""Starts the programs under test and their peers, each alike: on a port that
the kernel gave, on one processor, in a folder of its own; and says what CPU
time and memory they take."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PEERS = os.path.join(HERE, 'peers')
BUILT = os.path.join(TOP, 'build', 'bench')
TICK = os.sysconf('SC_CLK_TCK')
ENV = dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin', HOST='127.0.0.1')

# The servers run on one processor, everything else on another.
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = {CPUS[0]}, {CPUS[-1]}


class Failed(Exception):
    """A program did not do what it is measured for."""


def popen(cpu, command, stdin=subprocess.DEVNULL, **rest):
    """A child on this processor, which it inherits from us; in a session of
    its own."""
    os.sched_setaffinity(0, cpu)
    try:
        return subprocess.Popen(command, stdin=stdin, start_new_session=True,
                                **rest)
    finally:
        os.sched_setaffinity(0, LOAD_CPU)


def end(child):
    """If it still runs: by itself, or else with all its processes."""
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def run(*command):
    """A load program to its end; returns what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, env=ENV,
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Failed('%s: exit status %d: %s%s' % (
            ' '.join(command), done.returncode, done.stdout, done.stderr))
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def fill_in(name, folder, port):
    """One of the peers' configurations, into a folder."""
    with open(os.path.join(PEERS, name)) as file:
        text = file.read()
    path = os.path.join(folder, name)
    with open(path, 'w') as file:
        file.write(text.replace('@DIR@', folder).replace('@PORT@', str(port)))
    return path


class Server:
    """COMMAND, or COMMAND(folder, port) that prepares the folder first."""

    def __init__(self, work, command, env=(), cpu=SERVER_CPU):
        self.folder = tempfile.mkdtemp(dir=work)
        self.port = free_port()
        self.url = 'http://127.0.0.1:%d/' % self.port
        if callable(command):
            command = command(self.folder, self.port)
        self.errors = open(os.path.join(self.folder, 'stderr'), 'w+')
        self.process = popen(
            cpu, command, stdout=subprocess.DEVNULL, stderr=self.errors,
            cwd=self.folder,
            env=dict(ENV, PORT=str(self.port), ROOT=self.folder, **dict(env)))
        try:
            self.wait_for_port(command)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_for_port(self, command):
        for _ in range(5000):
            try:
                socket.create_connection(('127.0.0.1', self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.002)
            if self.process.poll() is not None:
                break
        self.errors.seek(0)
        raise Failed('%s does not listen: %s' % (command[0],
                                                 self.errors.read()))

    def stop(self):
        end(self.process)
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def members(self):
        """The stat lines of its processes: those of its session."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/stat' % pid) as file:
                    stat = file.read().rpartition(') ')[2].split()
            except OSError:
                continue
            if stat[3] == str(self.process.pid):
                yield pid, stat

    def cpu(self):
        """Seconds of processor time, of all its processes: the scheduler's
        nanoseconds of the living, clock ticks of those that have ended."""
        seconds = 0
        for pid, stat in self.members():
            seconds += (int(stat[13]) + int(stat[14])) / TICK
            for task in os.listdir('/proc/%s/task' % pid):
                with open('/proc/%s/task/%s/schedstat' % (pid, task)) as file:
                    seconds += int(file.read().split()[0]) / 1e9
        return seconds

    def memory(self):
        """Megabytes of all its processes; a page that several share counts
        once."""
        kilobytes = 0
        for pid, _ in self.members():
            try:
                with open('/proc/%s/smaps_rollup' % pid) as file:
                    lines = file.read().splitlines()
            except OSError:
                continue
            kilobytes += sum(int(line.split()[1]) for line in lines
                             if line.startswith('Pss:'))
        return kilobytes * 1024 / 1e6


class Watch:
    """The largest memory of a server, looked at four times a second."""

    def __init__(self, server):
        self.server = server
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        self.largest = 0
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def look(self):
        while not self.done.wait(0.25):
            self.largest = max(self.largest, self.server.memory())


def measure(server, load):
    """Load is a function that returns the units of work done, and seconds."""
    before = server.cpu()
    with Watch(server) as watch:
        units, seconds = load(server)
    if units == 0:
        raise Failed('no work done')
    return {'cpu': (server.cpu() - before) * 1e6 / units,
            'rate': units / seconds,
            'memory': max(watch.largest, server.memory())}


# ---- who there is -----------------------------------------------------------

def program(name):
    return os.path.join(TOP, name, name)


def copy_pages(name, folder):
    pages = os.path.join(TOP, name, 'public')
    if os.path.isdir(pages):
        shutil.copytree(pages, os.path.join(folder, 'public'))


def ours(work, name, *options, cpu=SERVER_CPU, **env):
    def prepare(folder, _):
        copy_pages(name, folder)
        return [program(name), *options]
    return Server(work, prepare, env, cpu)


def script(name):
    return os.path.join(PEERS, name)


def node(work, name):
    return Server(work, ['node', script(name)])


def bare(work, name, *options, **rest):
    return Server(work, [os.path.join(BUILT, name), *options], **rest)


def nginx(work, **rest):
    def prepare(folder, port):
        os.mkdir(os.path.join(folder, 'files'))
        conf = fill_in('nginx.conf', folder, port)
        return ['nginx', '-p', folder, '-c', conf, '-e', '/dev/null']
    return Server(work, prepare, **rest)


def lighttpd(work):
    def prepare(folder, _):
        with open(os.path.join(folder, 'index.json'), 'w') as file:
            file.write('{"name": "my-rest-server", "version": 0}')
        return ['lighttpd', '-D', '-f', os.path.join(PEERS, 'lighttpd.conf')]
    return Server(work, prepare)


def postfix(work):
    """A Postfix of our own, that knows nothing of the system's."""
    def prepare(folder, port):
        os.chmod(folder, 0o755)  # its processes are several users'
        spool = os.path.join(folder, 'spool')
        os.mkdir(spool)
        for name in ('active', 'bounce', 'corrupt', 'defer', 'deferred',
                     'flush', 'hold', 'incoming', 'private', 'saved', 'trace',
                     'maildrop', 'public', 'pid'):
            os.mkdir(os.path.join(spool, name), 0o700)
            if name != 'pid':
                shutil.chown(os.path.join(spool, name), 'postfix')
        for name, user in ('data', 'postfix'), ('mail', 'nobody'):
            os.mkdir(os.path.join(folder, name), 0o700)
            shutil.chown(os.path.join(folder, name), user)
        fill_in('main.cf', folder, port)
        fill_in('master.cf', folder, port)
        return ['/usr/lib/postfix/sbin/master', '-c', folder, '-d']
    return Server(work, prepare)


def smtp_sink(work):
    return Server(work, lambda folder, port: [
        'smtp-sink', '-u', 'nobody', '-4', '127.0.0.1:%d' % port, '4096'])
