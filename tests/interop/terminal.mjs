// terminal.mjs -- one of our programs on a real terminal: tmux's, which is
// told what to type and asked what is on the screen.

import path from 'node:path';
import readline from 'node:readline';
import {folder, launch, program, quoted, within} from './program.mjs';

// Starts it on a terminal of 60 columns and 16 rows. When it is over, "exit N"
// tells its status, and what is typed then just appears.
//     .type(text), .key('Enter', 'C-d', ...)
//     .screen(text or RegExp): waits until the screen shows just this
//     .colours(text): the same, with its escape sequences
export async function terminal(t, name, args = [], env = {}) {
    const tmux = launch(t, 'tmux', [
        '-u', '-f', '/dev/null', '-S', path.join(folder(t), 'tmux'), '-C',
        'new-session', 'cat'],
        {env: {LC_ALL: 'C.UTF-8', TERM: 'xterm', TMUX: '', ...env}});
    Object.assign(tmux.typed, {command: program(name), args, env});
    let news = () => {};        // something may have changed on the screen
    const awaited = [() => {}]; // who waits for tmux's answers, in their order
    let answer;
    readline.createInterface(tmux.child.stdout).on('line', line => {
        if (/^%begin /.test(line)) {
            answer = [];
        } else if (/^%(end|error) /.test(line)) {
            awaited.shift()(answer);
            answer = undefined;
        } else if (answer) {
            answer.push(line);
        } else if (/^%output /.test(line)) {
            news();
        }
    });
    const ask = (...words) => {
        tmux.stdin.write(words.map(quoted).join(' ') + '\n');
        return within(new Promise(answer => awaited.push(answer)),
                      `answer of tmux to ${words[0]}`);
    };
    const waitFor = async (expected, ...flags) => {
        let seen = '';
        const wait = async () => {
            for (;;) {
                const changed = new Promise(resolve => { news = resolve; });
                const rows = await ask('capture-pane', '-p', ...flags);
                seen = rows.map(row => row.trimEnd()).join('\n').trimEnd();
                if (seen === expected || expected.test?.(seen)) return;
                await changed;
            }
        };
        await within(wait(), `screen\n${expected}\n`,
                     () => `but\n${seen}\n${JSON.stringify(seen)}`);
    };
    await ask('set-option', '-g', 'destroy-unattached', 'on');
    await ask('refresh-client', '-C', '60x16');
    await ask('respawn-pane', '-k', [program(name), ...args].map(quoted)
        .join(' ') + '; echo "exit $?"; exec cat');
    return {
        type: text => ask('send-keys', '-l', '--', text),
        key: (...keys) => ask('send-keys', ...keys),
        screen: expected => waitFor(expected),
        colours: expected => waitFor(expected, '-e'),
    };
}
