"""The doors of a site with one sent issue, over real HTTP in this process."""

import base64
from collections.abc import Iterator
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from mailer.config import Settings
from mailer.database import Database
from mailer.service.rooms import Rooms
from mailer.web.app import create_admin_app, create_public_app
from tests.tracking.sample import Sample, send_sample

PEOPLE = {"ada": True, "ben": True, "cleo": False}
KEY = ec.generate_private_key(ec.SECP256R1())


def signed(body: bytes, timestamp: str = "1793354405") -> dict[str, str]:
    """The headers of SendGrid's event POST for a body."""
    signature = base64.b64encode(KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        "Content-Type": "application/json;charset=utf-8",
    }


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The site's settings, with the public half of this test's key."""
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    sendgrid = settings.sendgrid.model_copy(update={"webhook_public_key": base64.b64encode(public).decode()})
    return settings.model_copy(update={"sendgrid": sendgrid})


@pytest.fixture
def sample(database: Database, settings: Settings, now: datetime) -> Sample:
    return send_sample(database, settings, now, PEOPLE)


@pytest.fixture
def rooms(sample: Sample) -> Rooms:
    return Rooms.of(sample.settings, sample.database, lambda: sample.now)


@pytest.fixture
def client(rooms: Rooms) -> Iterator[TestClient]:
    with TestClient(create_public_app(rooms), follow_redirects=False) as client:
        yield client


@pytest.fixture
def desk(rooms: Rooms) -> Iterator[TestClient]:
    with TestClient(create_admin_app(rooms), base_url="http://127.0.0.1:8001") as client:
        yield client
