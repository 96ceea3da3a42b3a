#!/usr/bin/env python3
"""Run all tests, or those whose names hold one of the words given:

    python3 tests/run.py
    python3 tests/run.py rest-server unit/http

Unit tests are programs, $BUILD/unit/test_* or build/unit/test_*. Sessions,
wire tests and READMEs are played by the scripts beside this one. Each of
these ends with a line `N passed, N failed`; here they are added up. $BUILD,
if set, is the folder with the programs to test. Four jobs run at a time:
most of them wait for something most of the time.
"""

import concurrent.futures
import glob
import importlib.util
import os
import re
import subprocess
import sys
import time

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(TESTS, 'wire'))
import play  # noqa: E402
import wire  # noqa: E402

AT_ONCE = 4
JOB_LIMIT = 900  # seconds
COUNTS = re.compile(r'(\d+) (?:passed|sessions matched), '
                    r'(\d+) (?:failed|did not)')


class Job:
    def __init__(self, name, command, counts=True):
        self.name = name
        self.command = command
        self.counts = counts  # it ends with its own counts

    def run(self):
        """Returns passed, failed, output and seconds."""
        start = time.monotonic()
        try:
            done = subprocess.run(self.command, cwd=wire.TOP,
                                  stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=JOB_LIMIT)
            output, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            output = (late.stdout or b'') + b'\nstill runs: killed\n'
            status = -9
        output = output.decode('utf-8', 'backslashreplace').rstrip('\n')
        rest, _, last = output.rpartition('\n')
        counts = COUNTS.fullmatch(last)
        if self.counts and counts:
            passed, failed = map(int, counts.groups())
            output = rest
            if status != 0 and failed == 0:
                failed = 1
                output += '\nexit status %d' % status
        elif status == 0 and not self.counts:
            passed, failed = 1, 0
        else:
            passed, failed = 0, 1
            output += '\nexit status %d' % status
        if failed and 'again: ' not in output:
            output += '\nagain: ' + wire.again(*self.command)
        return passed, failed, output, time.monotonic() - start


def wire_jobs(path):
    name = os.path.basename(path)
    spec = importlib.util.spec_from_file_location(
        re.sub(r'\W', '_', name[:-3]), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = {type(test).__name__ for test in wire.tests_named(module, [])}
    for name_of_class in sorted(names):
        yield Job('wire/%s %s' % (name, name_of_class),
                  ['python3', 'tests/wire/' + name, name_of_class])


def all_jobs():
    """The wire tests first: they take the longest."""
    for path in sorted(glob.glob(os.path.join(TESTS, 'wire', '*.py'))):
        if os.path.basename(path) != 'wire.py':
            yield from wire_jobs(path)
    build = os.path.join(wire.TOP, os.environ.get('BUILD', 'build'))
    for path in sorted(glob.glob(os.path.join(build, 'unit', 'test_*'))):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield Job('unit/' + os.path.basename(path),
                      [os.path.relpath(path, wire.TOP)])
    for path in sorted(glob.glob(os.path.join(TESTS, 'sessions', '*.txt'))):
        if play.Session(path).is_due():
            path = os.path.relpath(path, wire.TOP)
            yield Job(path[len('tests/'):], ['python3', 'tests/play.py', path])
    for recipe in wire.RECIPES:
        if os.path.exists(os.path.join(wire.TOP, recipe, 'README.md')):
            yield Job(recipe + '/README.md',
                      ['python3', 'tests/readme.py', recipe])
    yield Job('same.sh', ['sh', 'tests/same.sh'], counts=False)


def main():
    if sys.argv[1:] and sys.argv[1].startswith('-'):
        sys.exit('usage: tests/run.py [word in a name]...')
    build = os.environ.pop('BUILD', '')
    if build:  # all jobs run in the top folder
        os.environ['BUILD'] = os.path.relpath(build, wire.TOP)
    words = sys.argv[1:]
    jobs = [job for job in all_jobs()
            if not words or any(word in job.name for word in words)]
    total_passed = total_failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(job.run): job for job in jobs}
        for future in concurrent.futures.as_completed(running):
            passed, failed, output, seconds = future.result()
            print('%-6s %9d  %5.1f s  %s' % (
                'FAILED' if failed else 'ok', passed + failed, seconds,
                running[future].name), flush=True)
            if failed:
                print(output.strip() + '\n', flush=True)
            total_passed += passed
            total_failed += failed
    print('%d passed, %d failed' % (total_passed, total_failed))
    sys.exit(1 if total_failed or not jobs else 0)


if __name__ == '__main__':
    main()
