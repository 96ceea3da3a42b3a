#!/usr/bin/env python3
"""Play tests/sessions/*.txt: what a client sends and a server must answer.

    # program: rest-server -d        the server and its arguments
    # env: IDLE_MS=500               settings for it
    # in step: yes                   the client must wait for each answer
    C: GET /users?type=green HTTP/1.1
    C: Host: localhost
    C:
    S: HTTP/1.1 200 OK
    ...

A line stands for its bytes and CRLF; if it ends in a single backslash, for
its bytes alone. \\xHH is a byte, \\\\ a backslash, \\(N) N more bytes: the
letter x on a C line, whatever comes on an S line. An HTTP date on an S line
stands for any date. `C: <close>`: the client half-closes; `S: <close>`: the
server closes; `---`: the next connection. Other lines with # are comments.

Programs print this form with TRACE=1, so what was seen can become a test.

Each session is played in three ways: as written, one byte at a time, and,
unless it is to be in step, all of the client's lines at once.
"""

import os
import re
import shlex
import sys

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(TESTS, 'wire'))
import wire  # noqa: E402

DATE = re.compile(rb'(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} '
                  rb'\d{4} \d\d:\d\d:\d\d GMT')
CLOSE = '<close>'
FILLER = 4096  # a run of filler this long is not sent byte by byte


class BadSession(Exception):
    """The file itself is wrong."""


def parse_text(text):
    """The bytes that the text of a line stands for: what to send, and as a
    pattern of the same length what may come."""
    sent, pattern, end = b'', b'', b'\r\n'
    for part in re.findall(r'\\x[0-9A-Fa-f]{2}|\\\\|\\\(\d+\)|\\|[^\\]+',
                           text):
        count = re.fullmatch(r'\\\((\d+)\)', part)
        if count:
            sent += b'x' * int(count.group(1))
            pattern += b'.{%d}' % int(count.group(1))
            continue
        if part == '\\':
            if not text.endswith('\\'):
                raise BadSession('what is this backslash for? ' + text)
            end = b''
            continue
        if part.startswith('\\x'):
            part = bytes([int(part[2:], 16)])
        elif part == '\\\\':
            part = b'\\'
        else:
            part = part.encode()
        sent += part
        at = 0
        for date in DATE.finditer(part):
            pattern += re.escape(part[at:date.start()]) + DATE.pattern
            at = date.end()
        pattern += re.escape(part[at:])
    return sent + end, pattern + re.escape(end)


class Step:
    """Lines of one side, until the other side's turn."""

    def __init__(self, side):
        self.side = side
        self.lines = []    # as they stand in the file
        self.data = b''
        self.pattern = b''
        self.close = False

    def add(self, text):
        if self.close:
            raise BadSession('a line after ' + CLOSE)
        self.lines.append('%s: %s' % (self.side, text))
        if text == CLOSE:
            self.close = True
            return
        data, pattern = parse_text(text)
        self.data += data
        self.pattern += pattern


class Session:
    def __init__(self, path):
        self.path = path
        self.command = None
        self.settings = {}
        self.in_step = False
        self.connections = [[]]
        with open(path, encoding='utf-8', newline='\n') as file:
            for number, line in enumerate(file, 1):
                try:
                    self._add_line(line.rstrip('\n'))
                except BadSession as problem:
                    sys.exit('%s:%d: %s' % (path, number, problem))
        if not self.command:
            sys.exit(path + ': no "# program:" line')

    def _add_line(self, line):
        directive = re.fullmatch(r'# (program|env|in step): *(.*)', line)
        side = re.fullmatch(r'([CS]):(?: (.*))?', line)
        if directive:
            name, value = directive.groups()
            if name == 'program':
                self.command = shlex.split(value)
            elif name == 'env':
                self.settings.update(word.split('=', 1)
                                     for word in shlex.split(value))
            else:
                self.in_step = value == 'yes'
        elif side:
            steps = self.connections[-1]
            if not steps or steps[-1].side != side.group(1):
                steps.append(Step(side.group(1)))
            steps[-1].add(side.group(2) or '')
        elif line == '---':
            self.connections.append([])
        elif line and not line.startswith('#'):
            raise BadSession('neither C: nor S: nor a comment')

    def server(self):
        name, args = self.command[0], self.command[1:]
        if name not in wire.RECIPES:
            name, args = self.command, []
        return wire.Server(name, *args, **self.settings)

    def is_due(self):
        """Whether its program is part of the collection yet."""
        name = self.command[0]
        return name not in wire.RECIPES or wire.exists(name)


def written(side, data):
    """Bytes in the form of a session."""
    lines = []
    for line in re.findall(rb'.*?\r\n|.+', data, re.DOTALL):
        end = '' if line.endswith(b'\r\n') else '\\'
        line = line[:-2] if not end else line
        rest = '\\(%d)' % (len(line) - 400) if len(line) > 400 else ''
        text = ''.join(
            '\\\\' if byte == 92 else
            chr(byte) if 32 <= byte < 127 else '\\x%02X' % byte
            for byte in line[:400])
        lines.append('%s: %s%s%s' % (side, text, rest, end))
    return lines


def expect(peer, step):
    """Compare with what the server says now. An S step's length is known:
    so many bytes are awaited, and not one more if it closes then."""
    problem = None
    got = b''
    try:
        if step.data:
            got = peer.recv_exactly(len(step.data))
        if step.close:
            got += peer.recv_all()
    except wire.Failure as failure:
        problem = str(failure).partition(' after ')[0]
    if problem or not re.fullmatch(step.pattern, got, re.DOTALL):
        got += peer.drain()
        lines = ['expected:'] + step.lines + ['got:'] + written('S', got)
        raise wire.Failure('\n'.join(lines + ([problem] if problem else [])))


def send(peer, data, byte_by_byte):
    pieces = [data]
    if byte_by_byte:
        pieces = re.findall(rb'x{%d,}|.' % FILLER, data, re.DOTALL)
    try:
        for piece in pieces:
            peer.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has closed already; what it said is compared all the same


def merged(steps):
    """All of the client's lines as one step, then the server's."""
    client = Step('C')
    for step in steps:
        if step.side == 'C':
            client.data += step.data
            client.close = client.close or step.close
    return [client] + [step for step in steps if step.side == 'S']


def play_connection(server, steps, way):
    """way: 'as written', 'byte by byte' or 'all at once'."""
    if way == 'all at once':
        steps = merged(steps)
    closed = False
    with server.connect() as peer:
        for step in steps:
            if step.side == 'S':
                expect(peer, step)
                closed = closed or step.close
            else:
                send(peer, step.data, way == 'byte by byte')
                if step.close:
                    peer.half_close()
        if not closed:  # not one byte more may come
            rest = Step('S')
            rest.add(CLOSE)
            try:
                peer.half_close()
            except OSError:
                pass
            expect(peer, rest)


def play(session):
    """Play in every way. Returns how many went well, and how many did not."""
    passed = failed = 0
    ways = ['as written', 'byte by byte']
    if not session.in_step:
        ways.append('all at once')
    for way in ways:
        try:
            with session.server() as server:
                for steps in session.connections:
                    play_connection(server, steps, way)
            passed += 1
        except (wire.Failure, OSError) as failure:
            failed += 1
            path = wire.from_top(session.path)
            print('FAILED %s, played %s' % (path, way))
            print(failure)
            print('again: %s\n' %
                  wire.again('python3', 'tests/play.py', path))
    return passed, failed


def main():
    if not sys.argv[1:] or sys.argv[1].startswith('-'):
        sys.exit('usage: tests/play.py tests/sessions/NAME.txt...')
    passed = failed = 0
    for path in sys.argv[1:]:
        session = Session(path)
        if session.is_due():
            counts = play(session)
            passed += counts[0]
            failed += counts[1]
    print('%d passed, %d failed' % (passed, failed))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
