"""A campaign that went to many readers, made row by row in SQL: what events and hits come back to."""

import base64
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, insert, text

from mailer.config import Settings, load_settings
from mailer.database import Database
from mailer.links import Tokens
from mailer.tables import campaigns, chunks, editions, issues, links, revisions

ROOT = Path(__file__).parent.parent
LINKS = 30


@dataclass(frozen=True, slots=True)
class Sent:
    folder: Path
    settings: Settings
    database: Database
    tokens: Tokens
    key: ec.EllipticCurvePrivateKey
    links: list[int]

    def signature(self, timestamp: str, body: bytes) -> str:
        return base64.b64encode(self.key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()


def make_sent(folder: Path, letters: int, stored_events: int) -> Sent:
    """One campaign, `letters` accepted deliveries, and events with random ids that were stored before.

    Of ten events eight are of a letter's own course, two are hits.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = base64.b64encode(
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    shutil.copy(ROOT / "config.toml", folder / "config.toml")
    (folder / "secrets.toml").write_text(
        '[web]\nsecrets = ["bench"]\n[database]\nsuppression_key = "bench"\n'
        f'[sendgrid]\napi_key = "SG.bench"\nwebhook_public_key = "{public}"\n',
        encoding="utf-8",
    )
    settings = load_settings(folder / "config.toml")
    database = Database(settings.database_url)
    database.upgrade()
    now = datetime.now(UTC)
    with database.ledger() as connection:
        connection.execute(insert(issues).values(id=1, slug="bench", created_at=now))
        connection.execute(
            insert(revisions).values(id=1, issue_id=1, number=1, source=b"", document={}, hash="", at=now)
        )
        connection.execute(
            insert(campaigns).values(
                id=1, issue_id=1, revision_id=1, audience={}, sender={}, status="finished", created_at=now
            )
        )
        edition = dict.fromkeys(("key", "label", "subject", "preheader", "html", "text", "slot_nonce"), "x")
        numbers = dict.fromkeys(("html_bytes", "text_bytes"), 1)
        lists: dict[str, list[int]] = {"topics": [], "stories": [], "topic_stories": []}
        connection.execute(insert(editions).values(id=1, campaign_id=1, **edition, **numbers, **lists))
        connection.execute(
            insert(chunks).values(id=1, campaign_id=1, edition_id=1, state="accepted", recipients=letters)
        )
        for number in range(1, LINKS + 1):
            address = f"https://example.org/{number}"
            connection.execute(
                insert(links).values(id=number, campaign_id=1, place=f"story:{number}", url=address)
            )
        _fill(connection, letters, stored_events, now)
    tokens = Tokens([secret.get_secret_value() for secret in settings.web.secrets])
    return Sent(folder, settings, database, tokens, key, list(range(1, LINKS + 1)))


def _fill(connection: Connection, letters: int, stored_events: int, now: datetime) -> None:
    counted = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < :many)"
    at = now.replace(tzinfo=None).isoformat(" ", "microseconds")
    connection.execute(
        text(
            f"""{counted} INSERT INTO subscriber (id, email, email_key, key_hash, status, all_topics,
              topic_mask, source, attributes, track_consent, created_at)
            SELECT id, 'reader' || id || '@example.com', 'reader' || id || '@example.com',
              lower(hex(randomblob(16))), 'active', 1, 0, 'bench', '{{}}', 1, :at FROM n"""
        ),
        {"many": letters, "at": at},
    )
    connection.execute(
        text(
            f"""{counted} INSERT INTO delivery (id, campaign_id, issue_id, subscriber_id, edition_id,
              chunk_id, email, handover, measured)
            SELECT id, 1, 1, id, 1, 1, 'reader' || id || '@example.com', 'accepted', 1 FROM n"""
        ),
        {"many": letters},
    )
    connection.execute(
        text(
            f"""{counted} INSERT INTO event (dedupe_key, campaign_id, delivery_id, kind, occurred_at,
              received_at, link_id, verdict, rule, settled, detail)
            SELECT 'sg:' || lower(hex(randomblob(22))), 1, 1 + id * 7919 % :letters,
              CASE WHEN id % 10 < 4 THEN 'processed' WHEN id % 10 < 8 THEN 'delivered'
                   WHEN id % 10 = 8 THEN 'open' ELSE 'click' END,
              strftime('%Y-%m-%d %H:%M:%S.000000', :at, '-' || (id % 864000) || ' seconds'), :at,
              CASE WHEN id % 10 = 9 THEN 1 + id % {LINKS} END,
              CASE WHEN id % 10 >= 8 THEN 'human' END, CASE WHEN id % 10 >= 8 THEN 'reader-agent/1' END,
              1, '{{}}'
            FROM n"""
        ),
        {"many": stored_events, "letters": letters, "at": at},
    )
