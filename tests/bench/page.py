"""The results as a page, RESULTS.md, and a chart, results.svg."""

import os
import re
import subprocess
import time

import servers
from servers import HERE

HEADINGS = {
    'cpu': 'CPU, µs a {unit}',
    'rate': '{unit}s a second',
    'memory': 'memory, MB',
    'kept': 'CPU without idle ones / with',
    'start': 'ms',
    'size': 'size, MB',
}
WORDS = {'cpu': 'CPU', 'rate': 'speed', 'memory': 'memory', 'start': 'time',
         'kept': 'kept'}


def number(value):
    """Three digits that count."""
    if value >= 100: return '{:,.0f}'.format(value)
    return '%.*f' % (1 if value >= 10 else 2 if value >= 0.1 else 4, value)


def cost(values, metric):
    """Less is better, for each metric."""
    return 1 / values[metric] if metric == 'rate' else values[metric]


def heading(metric, unit):
    return HEADINGS[metric].format(unit=unit).replace('MBs', 'MB')


def case_lines(section, case, medians):
    ours = list(medians.values())[0]
    for name, values in medians.items():
        cells = [number(values[m]) if m in values else ''
                 for m in section.columns]
        ratio = cost(values, case.chart) / cost(ours, case.chart)
        yield '| %s | %s | %s | %s |' % (
            case.title if values is ours else '', name, ' | '.join(cells),
            number(ratio))


def goal_line(case, goal, medians):
    """What was aimed at, and whether it was met."""
    return '| %s | %s %s %s%s | %s | %s |' % (
        case.title, WORDS[goal.metric],
        'at least' if goal.least else 'at most', number(goal.limit),
        ' × ' + goal.peer if goal.peer else '', number(goal.ratio(medians)),
        'yes' if goal.met(medians) else '**no**')


def section_text(section, cases):
    heads = [heading(m, section.unit) for m in section.columns]
    charted = {WORDS[case.chart] for case, _ in cases}
    lines = ['## ' + section.title, '',
             '| | | %s | %s, ours = 1 |' % (
                 ' | '.join(heads), ' or '.join(sorted(charted)))]
    lines.append('|' + ' --- |' * (len(heads) + 3))
    for case, medians in cases:
        lines += case_lines(section, case, medians)
    lines += ['', '| goal | aimed at | is | met |', '| --- | --- | --- | --- |']
    for case, medians in cases:
        lines += [goal_line(case, goal, medians) for goal in case.goals]
    if section.note: lines += ['', section.note.strip()]
    return '\n'.join(lines) + '\n'


def first_match(pattern, *command):
    done = subprocess.run(command, stdout=subprocess.PIPE, env=servers.ENV,
                          stderr=subprocess.STDOUT, text=True)
    return re.search(pattern, done.stdout)[1]


def versions():
    modules = first_match(r'(?s)(.*)', 'npm', '--prefix', servers.PEERS, 'ls',
                          '--depth=0', '--parseable=false')
    return ', '.join([
        'nginx ' + first_match(r'nginx/(\S+)', 'nginx', '-v'),
        'lighttpd ' + first_match(r'lighttpd/(\S+)', 'lighttpd', '-v'),
        'Node ' + first_match(r'v(\S+)', 'node', '--version'),
        *re.findall(r'(\w[\w-]*@\d\S*)', modules),
        'Postfix ' + first_match(r'= (\S+)', 'postconf', '-d', 'mail_version'),
        'curl ' + first_match(r'curl (\S+)', 'curl', '--version'),
        'swaks ' + first_match(r'swaks version (\S+)', 'swaks', '--version'),
        'wrk ' + first_match(r'wrk \S*?(\d[\d.]+)', 'wrk', '-v'),
        first_match(r'(.*\))', 'gcc', '--version'),
    ])


def machine():
    with open('/proc/cpuinfo') as file:
        model = re.search(r'model name\s*: (.*)', file.read())
    with open('/proc/meminfo') as file:
        memory = int(re.search(r'MemTotal:\s*(\d+)', file.read())[1])
    return '%s, %d processors, %.0f GB, Linux %s' % (
        model[1] if model else os.uname().machine, os.cpu_count(),
        memory * 1024 / 1e9, os.uname().release)


INTRO = '''# How fast

Made by `make bench` on {date}, in {minutes:.1f} minutes. Each row runs our
program and its peers in turn, in one run, {rounds}; here are the medians.

- Machine: {machine}.
- Versions: {versions}.
- The program measured runs on one processor, and what puts load on it on
  another. Nothing leaves the machine.
- CPU is the processor time of all processes of the program, user and system,
  divided by the work done. It is what tells programs apart: speed depends on
  what else the machine does, and on what the load program can.
- Memory is the largest seen, of all processes of the program (PSS).
- The last column compares with ours: 2 is twice the cost.

![Chart: the cost of each program, ours being 1](results.svg)

'''


def chart_rows(results):
    for section, cases in results:
        if 'Growth' in section.title: continue
        for case, medians in cases:
            values = list(medians.values())
            yield case.title, {
                name: cost(v, case.chart) / cost(values[0], case.chart)
                for name, v in list(medians.items())[1:]}


KINDS = (('Node', 'Node'), ('npm', 'Node'), ('nginx', 'nginx'),
         ('lighttpd', 'lighttpd'), ('Postfix', 'Postfix'),
         ('curl', 'curl, swaks'), ('swaks', 'curl, swaks'),
         ('parses nothing', 'bare loop'), ('only receives', 'bare loop'),
         ('smtp-sink', 'bare loop'))


def draw(results):
    """A line for each case, a point for each peer."""
    rows = list(chart_rows(results))
    kinds = list(dict.fromkeys(kind for _, kind in KINDS))
    script = ['set terminal svg size 900,%d font "sans-serif,13" '
              'background "white"' % (120 + 22 * len(rows)),
              'set output "%s"' % os.path.join(HERE, 'results.svg'),
              'load "%s"' % os.path.join(HERE, 'chart.gp'),
              'set yrange [%d:-1]' % len(rows)]
    script.append('set ytics (%s)' % ', '.join(
        '"%s" %d' % (title, at) for at, (title, _) in enumerate(rows)))
    for kind in kinds:
        script.append('$%s << end' % re.sub(r'\W', '', kind))
        for at, (_, peers) in enumerate(rows):
            script += ['%f %d' % (ratio, at) for name, ratio in peers.items()
                       if any(name.startswith(start) and k == kind
                              for start, k in KINDS)]
        script.append('end')
    script.append('plot ' + ', '.join(
        '$%s using 1:2 with points pt 7 ps 1 lc %d title "%s"' % (
            re.sub(r'\W', '', kind), i + 1, kind)
        for i, kind in enumerate(kinds)))
    subprocess.run(['gnuplot'], input='\n'.join(script) + '\n', text=True,
                   check=True)


def write(results, rounds, seconds):
    with open(os.path.join(HERE, 'RESULTS.md'), 'w') as file:
        file.write(INTRO.format(
            date=time.strftime('%-d %B %Y'), rounds='%d round%s' % (
                rounds, 's' * (rounds > 1)), minutes=seconds / 60,
            machine=machine(), versions=versions()))
        file.write('\n'.join(section_text(*result) for result in results))
    draw(results)
