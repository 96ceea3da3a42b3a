"""smtp_peer.py -- Python's smtplib and Debian's aiosmtpd, as the other side of
smtp-server and of smtp-client; smtp.test.mjs starts it.

    smtp_peer.py send PORT FROM RCPT... <MESSAGE    by smtplib
    smtp_peer.py serve [ANSWERS [OPTIONS]]          aiosmtpd

serve prints its port, and then a line of JSON for each mail. ANSWERS is JSON,
{"RCPT": "550 no"}: what the server says to these commands, if not 250; OPTIONS
are those of its class SMTP.
"""

import asyncio
import json
import smtplib
import sys

from aiosmtpd.smtp import SMTP


def send(port, sender, *recipients):
    message = sys.stdin.buffer.read()
    options = ['BODY=8BITMIME']
    if not ''.join([sender, *recipients]).isascii():
        options.append('SMTPUTF8')
    with smtplib.SMTP('127.0.0.1', int(port), timeout=20) as client:
        try:
            refused = client.sendmail(sender, recipients, message, options)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPResponseException as error:
            sys.exit(f'{error.smtp_code} {error.smtp_error.decode()}')
        for recipient, (code, text) in refused.items():
            print(f'{recipient}: {code} {text.decode()}', file=sys.stderr)
        sys.exit(1 if refused else 0)


class Handler:
    def __init__(self, answers):
        self.answers = answers

    async def handle_EHLO(self, server, session, envelope, hostname, lines):
        if 'EHLO' in self.answers:
            return [self.answers['EHLO']]
        session.host_name = hostname
        return lines

    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answers.get('MAIL', '250 OK')

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answers.get('RCPT ' + address, '250 OK')
        if answer[0] == '2':
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        if '.' in self.answers:
            return self.answers['.']
        print(json.dumps({'from': envelope.mail_from,
                          'options': envelope.mail_options,
                          'to': envelope.rcpt_tos,
                          'text': envelope.original_content.decode('latin1')}),
              flush=True)
        return '250 OK'


async def serve(answers='{}', options='{}'):
    handler = Handler(json.loads(answers))
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(handler, hostname='peer', **json.loads(options)),
        '127.0.0.1', 0)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if sys.argv[1] == 'send':
    send(*sys.argv[2:])
else:
    asyncio.run(serve(*sys.argv[2:]))
