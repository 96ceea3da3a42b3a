#!/usr/bin/env python3
"""The READMEs come alive: play the console blocks of a recipe's README.md
and compare what happens with what is written there.

    ```console
    $ ./rest-server
    {"address":"0.0.0.0","family":"IPv4","port":8080}
    ```
    ```console
    $ curl localhost:8080/users?type=blue
    {"data": []}
    ```

- A line `$ ...` is a command; if it ends in a backslash it goes on in the
  next line (after `> `, if that is there). The lines after it are its output.
- A command that starts one of the servers, and is shown to tell its address,
  runs until the next server starts or the README ends. It listens on a free
  port, which is shown as the README's own, 8080 say, and put into later
  commands wherever the README's stands; they also find it in $PORT.
- A block without a command shows what the server's terminal says next.
- Blanks at the end of a line do not count: nobody sees them.
- A line `...` stands for any number of lines, and an HTTP date, an ISO date
  or a 13-digit time in milliseconds for any such.
- ```console skip: not played. ```console tty: needs a terminal; its lines
  are kept with the session, and play_terminal() is the place to play them.

All this happens in a copy of the folders, below a temporary one. Without
curl or nc on the PATH the stand-ins in tests/bin take their place.

With --demo it is told as it goes. A session is one command and its output,
or one look at the server's terminal.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(TESTS, 'wire'))
import wire  # noqa: E402

SERVERS = ['rest-server', 'post-form', 'file-upload', 'websocket-app',
           'smtp-server']
COMMAND_LIMIT = 30  # seconds

# Each stands for all text of its form.
CHANGING = [
    r'(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} '
    r'\d\d:\d\d:\d\d GMT',
    r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z',
    r'\b1\d{12}\b',
]


class Session:
    """One command and its output; or, without a command, some output of the
    server that runs."""

    def __init__(self, place, kind, command):
        self.place = place      # file and line
        self.kind = kind        # '', 'skip' or 'tty'
        self.command = command
        self.expected = []      # lines


def read_sessions(path):
    sessions, kind, block = [], None, []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip('\n')
            place = '%s:%d' % (wire.from_top(path), number)
            fence = re.fullmatch(r'```(console)?\s*(\w*)\s*', line)
            if fence and kind is not None:
                sessions += block
                kind = None
            elif fence and fence.group(1):
                kind, block = fence.group(2), []
            elif kind is not None:
                read_line(block, place, kind, line)
    return sessions


def read_line(block, place, kind, line):
    """One more line of a block: a command, the rest of one, or output."""
    last = block[-1] if block else None
    if line.startswith('$ '):
        block.append(Session(place, kind, line[2:]))
    elif (last and last.command and last.command.endswith('\\')
          and not last.expected):
        more = line[2:] if line.startswith('> ') else line
        last.command += '\n' + more
    else:
        if not last:
            block.append(Session(place, kind, None))
        block[-1].expected.append(line)


def pattern_of(lines):
    """A regular expression for these lines, each with its line end."""
    changing = re.compile('|'.join(CHANGING))
    pattern = ''
    for line in lines:
        if line == '...':
            pattern += r'(?:.*\n)*?'
            continue
        at = 0
        for found in changing.finditer(line):
            form = next(f for f in CHANGING if re.fullmatch(f, found.group()))
            pattern += re.escape(line[at:found.start()]) + form
            at = found.end()
        pattern += re.escape(line[at:].rstrip()) + r'[ \t]*\n'
    return pattern


def in_lines(text):
    """The lines a terminal would show; a last one may lack its end."""
    lines = text.replace('\r\n', '\n').split('\n')
    return lines[:-1] if lines[-1] == '' else lines


class Player:
    """Plays one README."""

    def __init__(self, recipe, folder, demo):
        self.cwd = os.path.join(folder, recipe)
        self.recipe = recipe
        self.demo = demo
        self.server = None
        self.started_at = ''      # file and line
        self.shown_port = ''      # as the README writes it
        self.seen = 0             # lines of the server's terminal
        self.matched = self.failed = 0
        self.environment = {
            'CURL_HOME': folder, 'LC_ALL': 'C.UTF-8', 'TERM': 'dumb',
            'PATH': self.path(folder)}
        for name in os.environ:   # all servers here are our own
            if name.lower().endswith('_proxy'):
                self.environment[name] = None
        # curl shows a progress meter unless its output is a terminal.
        with open(os.path.join(folder, '.curlrc'), 'w') as curlrc:
            curlrc.write('silent\nshow-error\n')

    @staticmethod
    def path(folder):
        """$PATH, with a stand-in for what is not on it."""
        stand_ins = os.path.join(folder, 'bin')
        os.mkdir(stand_ins)
        for tool in ('curl', 'nc'):
            if not shutil.which(tool):
                os.symlink(os.path.join(TESTS, 'bin', tool),
                           os.path.join(stand_ins, tool))
        return stand_ins + os.pathsep + os.environ.get('PATH', os.defpath)

    # From the README's port to the real one, and back.

    def to_real(self, text):
        if not self.server:
            return text
        return re.sub(r'(?<!\d)%s(?!\d)' % self.shown_port,
                      str(self.server.port), text)

    def to_shown(self, text):
        if not self.server:
            return text
        return re.sub(r'(?<!\d)%d(?!\d)' % self.server.port,
                      self.shown_port, text)

    # The three kinds of session.

    def starts_server(self, session):
        """Settings, folder, name and arguments of a server that is to stay
        up, and the port that the README shows; or None."""
        words = re.fullmatch(r'((?:\w+=\S* )*)(\S*/)?([\w-]+)( .*|)',
                             session.command, re.DOTALL)
        told = re.search(r'\{"address":.*"port":(\d+)',
                         '\n'.join(session.expected))
        if words and told and words.group(3) in SERVERS + [self.recipe]:
            return words.groups(default='') + told.groups()
        return None

    def start_server(self, session, settings, place, name, args, port):
        self.stop_server()
        line = 'exec env %sPORT=0 %s%s%s' % (settings, place, name, args)
        server = wire.Server(['sh', '-c', line], cwd=self.cwd, HOST=None, ROOT=None,
                             one_output=True, **self.environment)
        server.name = name
        server.__enter__()
        self.server = server
        self.shown_port = port
        self.environment['PORT'] = server.port
        self.started_at = session.place
        self.seen = 0
        self.watch_server(session)

    def stop_server(self):
        """A bad end counts against the place where it was started."""
        if self.server:
            try:
                self.server.stop()
            except wire.Failure as failure:
                self.fail(self.started_at, failure)
            self.server = None

    def watch_server(self, session):
        """Wait for the next lines on the server's terminal, and compare."""
        if not self.server:
            raise wire.Failure('no server runs whose output this could be')
        pattern = pattern_of(session.expected)
        exact = '...' not in session.expected

        def new_text(output):
            text = ''.join(line + '\n' for line in output.lines[self.seen:])
            return self.to_shown(text)

        def decided(output):
            return (re.match(pattern, new_text(output)) or
                    exact and len(output.lines) - self.seen >=
                    len(session.expected))

        self.server.out.wait(decided)
        text = new_text(self.server.out)
        match = re.match(pattern, text)
        lines = in_lines(text[:match.end()] if match else text)
        for line in lines:
            self.tell(line)
        if not match:
            raise wire.Failure(difference(session, lines))
        self.seen += len(lines)

    def play_command(self, session):
        process = subprocess.Popen(
            ['sh', '-c', self.to_real(session.command)], cwd=self.cwd,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            env=wire.environment(self.environment))
        late = threading.Timer(COMMAND_LIMIT, os.killpg,
                               (process.pid, signal.SIGKILL))
        late.start()
        got = ''
        with process.stdout:
            for line in process.stdout:
                line = self.to_shown(line.decode('utf-8', 'backslashreplace'))
                got += line
                self.tell(line.rstrip('\r\n'))
        process.wait()
        late.cancel()

        lines = in_lines(got)
        text = ''.join(line + '\n' for line in lines)
        if not re.fullmatch(pattern_of(session.expected), text):
            raise wire.Failure(difference(session, lines))

    def play_terminal(self, session):
        """Not played yet: the command in a pty, `keys` lines typed into it."""

    # All of them.

    def play(self, session):
        if session.kind == 'skip':
            return
        if session.kind == 'tty':
            self.play_terminal(session)
            return
        if session.command:
            self.tell('$ ' + session.command, strong=True)
        else:
            self.tell('(the server\'s terminal)', strong=True)
        try:
            words = session.command and self.starts_server(session)
            if words:
                self.start_server(session, *words)
            elif session.command:
                self.play_command(session)
            else:
                self.watch_server(session)
            self.matched += 1
        except wire.Failure as failure:
            self.fail(session.place, failure)

    def play_all(self):
        readme = os.path.join(wire.TOP, self.recipe, 'README.md')
        try:
            for session in read_sessions(readme):
                self.play(session)
        finally:
            self.stop_server()

    def fail(self, place, failure):
        self.failed += 1
        print('FAILED %s\n%s\nagain: %s\n' % (
            place, failure,
            wire.again('python3', 'tests/readme.py', self.recipe)))

    def tell(self, line, strong=False):
        if not self.demo:
            return
        if strong and sys.stdout.isatty() and 'NO_COLOR' not in os.environ:
            line = '\033[1m' + line + '\033[0m'
        print(line, flush=True)


def difference(session, lines):
    return '\n'.join(
        ([session.command] if session.command else []) +
        ['the README says:'] + ['    ' + line for line in session.expected] +
        ['the program says:'] + ['    ' + line for line in lines])


def copy_recipes(folder):
    """The folders as a reader has them after make, in a place of our own."""
    for name in wire.RECIPES + ['common']:
        source = os.path.join(wire.TOP, name)
        if not os.path.isdir(source):
            continue
        shutil.copytree(source, os.path.join(folder, name),
                        ignore=shutil.ignore_patterns('uploads', 'mail'))
        if os.environ.get('BUILD') and os.path.exists(wire.program(name)):
            shutil.copy2(wire.program(name), os.path.join(folder, name, name))


def play_recipe(recipe, demo=False):
    """Returns how many sessions matched, and how many did not."""
    with tempfile.TemporaryDirectory(prefix='readme-') as folder:
        copy_recipes(folder)
        player = Player(recipe, folder, demo)
        player.tell('\n==== %s ====\n' % recipe, strong=True)
        player.play_all()
    return player.matched, player.failed


def main():
    parser = argparse.ArgumentParser(description='Play READMEs.')
    parser.add_argument('--demo', action='store_true',
                        help='tell what happens')
    parser.add_argument('recipe', nargs='+')
    options = parser.parse_args()

    matched = failed = 0
    for recipe in [name.rstrip('/') for name in options.recipe]:
        if not os.path.exists(os.path.join(wire.TOP, recipe, 'README.md')):
            parser.error('there is no %s/README.md' % recipe)
        counts = play_recipe(recipe, options.demo)
        matched += counts[0]
        failed += counts[1]
    if options.demo:
        print()
    print('%d sessions matched, %d did not' % (matched, failed))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
