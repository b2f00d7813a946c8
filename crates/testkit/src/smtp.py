"""A mail server that prints what it takes, a line of JSON for each letter. It ends with its standard input."""

import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Printer:
    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = {"to": envelope.rcpt_tos[0], "subject": letter["subject"], "id": letter["message-id"]}
        print(json.dumps(line), flush=True)
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"berth", b"smtp-hidden-password"))


context = None
if len(sys.argv) == 5:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[3], sys.argv[4])

controller = Controller(
    Printer(),
    hostname=sys.argv[1],
    port=int(sys.argv[2]),
    authenticator=authenticator,
    auth_required=True,
    auth_require_tls=False,
    ssl_context=context,
)
controller.start()
sys.stdin.read()
controller.stop()
