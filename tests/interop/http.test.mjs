// http.test.mjs -- clients that others wrote, against our HTTP servers.

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {run, start} from './program.mjs';

test('curl gets the users', async t => {
    const server = await start(t, 'rest-server');
    const {stdout} = await run(t, 'curl', ['-s', server.url + '/users']);
    assert.equal(stdout, '{"data": [{"id": 1, "first_name": "Bob", ' +
                         '"second_name": "Smith"}]}');
});
