import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mailer.tracking.signature import verify
from tests.conftest import SHARED

VECTORS = SHARED / "sendgrid" / "events" / "signed_vectors.json"

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
BODY = '[{"email":"zoë@example.com","event":"open"},\r\n{"event":"click"}]\r\n'.encode()


def sign(timestamp: str, body: bytes) -> str:
    return base64.b64encode(KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not beside this checkout")
def test_published_vectors_are_judged_as_published() -> None:
    for vector in json.loads(VECTORS.read_text())["vectors"]:
        body = base64.b64decode(vector["body_b64"])
        found = verify(vector["public_key_b64_spki"], vector["signature_b64"], vector["timestamp"], body)
        assert found is vector["valid"], vector["name"]


def test_a_body_signed_by_the_configured_key_is_taken() -> None:
    assert verify(PUBLIC, sign("1793354405", BODY), "1793354405", BODY)


def test_a_key_with_pem_armour_is_the_same_key() -> None:
    armoured = f"-----BEGIN PUBLIC KEY-----\n{PUBLIC[:64]}\n{PUBLIC[64:]}\n-----END PUBLIC KEY-----\n"
    assert verify(armoured, sign("1", BODY), "1", BODY)


@pytest.mark.parametrize(
    "changed",
    [BODY.strip(), BODY.replace(b"\r\n", b"\n"), json.dumps(json.loads(BODY)).encode(), BODY + b" ", b""],
    ids=["trimmed", "other line ends", "printed again", "longer", "empty"],
)
def test_a_changed_body_is_refused(changed: bytes) -> None:
    assert not verify(PUBLIC, sign("1793354405", BODY), "1793354405", changed)


@pytest.mark.parametrize("signature", [None, "", "***", "MAIB", "é", "A" * 10_000])
def test_a_signature_that_is_none_is_refused_and_raises_nothing(signature: str | None) -> None:
    assert not verify(PUBLIC, signature, "1793354405", BODY)


@pytest.mark.parametrize("timestamp", [None, "", "1793354406"])
def test_another_timestamp_is_refused(timestamp: str | None) -> None:
    assert not verify(PUBLIC, sign("1793354405", BODY), timestamp, BODY)


@pytest.mark.parametrize("key", ["", "no key", "AAAA", "é"])
def test_without_a_good_key_everything_is_refused(key: str) -> None:
    assert not verify(key, sign("1793354405", BODY), "1793354405", BODY)


@given(st.binary(max_size=60), st.text(max_size=90), st.text(max_size=20))
def test_nothing_that_arrives_raises(body: bytes, signature: str, timestamp: str) -> None:
    assert not verify(PUBLIC, signature, timestamp, body)
