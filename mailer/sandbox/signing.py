"""The sandbox's own P-256 key and the signature of an event webhook.

SendGrid signs timestamp + raw body with ECDSA over SHA-256; the signature is base64 of ASN.1 DER,
the public key base64 of SubjectPublicKeyInfo ("Getting started with the event webhook security
features"). The private key is made once and stays in the sandbox's file: it protects play mail only.
"""

import base64
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mailer.sandbox.mailbox import Mailbox

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
_NAME = "webhook_key"


class Signer:
    """Signs with the key of one mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        kept = mailbox.kept(_NAME)
        if kept is None:
            mailbox.keep(_NAME, _new_key())
            kept = mailbox.kept(_NAME)
        assert kept is not None
        key = load_pem_private_key(kept.encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public_key = base64.b64encode(spki).decode()

    def headers(self, body: bytes, timestamp: int) -> dict[str, str]:
        """The two headers that go with a body."""
        signature = self._key.sign(str(timestamp).encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
            TIMESTAMP_HEADER: str(timestamp),
        }


def public_key_at(database_path: Path) -> str:
    """The public key of the sandbox that keeps its mail in this file; made when there is none yet."""
    mailbox = Mailbox(database_path)
    try:
        return Signer(mailbox).public_key
    finally:
        mailbox.close()


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
