"""Whether an event POST is SendGrid's: ECDSA P-256 with SHA-256 over timestamp and raw body.

Works on bytes as they came, before anything reads them: a trimmed or re-printed body never verifies.
It answers yes or no and raises nothing, whatever the headers hold. No age limit: SendGrid repeats a
POST for 24 hours, and an event that comes twice changes nothing.
"""

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

# Names of the headers (SendGrid, Event Webhook security features).
SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
# A DER signature of P-256 has at most 72 bytes, 96 in base64.
SIGNATURE_MAX_CHARACTERS = 200


def verify(public_key: str, signature: str | None, timestamp: str | None, raw: bytes) -> bool:
    """Whether `signature` (base64 of DER) signs timestamp and body; the key is base64 of its SPKI."""
    key = load_key(public_key)
    if key is None or not signature or not timestamp or len(signature) > SIGNATURE_MAX_CHARACTERS:
        return False
    try:
        der = base64.b64decode(signature, validate=True)
        key.verify(der, timestamp.encode() + raw, ECDSA(SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


@lru_cache(maxsize=8)
def load_key(public_key: str) -> EllipticCurvePublicKey | None:
    """The key of the configuration, with or without PEM armour; None when it is none."""
    lines = [line for line in public_key.strip().splitlines() if not line.startswith("-----")]
    try:
        der = base64.b64decode("".join(lines), validate=True)
        key = load_der_public_key(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) else None
