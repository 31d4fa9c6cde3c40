"""A made-up site of a million readers: what the benches of segments and numbers look at.

Set-wise SQL for SQLite, the same rows every time: a reader's properties follow from the id by a cheap
hash. Three campaigns of one letter for each reader, with the events that such letters bring.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, text

from mailer.database import Database
from subscribers import attributes

READERS = 1_000_000
CAMPAIGNS = 3
EDITIONS = 7
STORIES = 8
NOW = datetime(2026, 4, 10, 5, 30, tzinfo=UTC)
# Topics of the shipped configuration, by bit.
TOPICS = ("car-t", "myeloma", "immunology")
COUNTRIES = ("FR", "DE", "IT", "ES", "NL", "BE", "AT", "CH", "PL", "SE", "US", "CA", "BR", "IN", "JP", "KR")
ZONES = ("Europe/Paris", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "America/Sao_Paulo")


def build(path: Path, readers: int = READERS, say: Callable[[str], None] = print) -> Database:
    """The site at `path`, built when there is none yet."""
    is_new = not path.exists()
    database = Database(f"sqlite:///{path}")
    if not is_new:
        return database
    started = time.perf_counter()
    database.upgrade()
    with database.ledger() as connection:
        _people(connection, readers)
        say(f"  {readers:,} readers after {time.perf_counter() - started:.1f} s")
        for campaign in range(1, CAMPAIGNS + 1):
            _campaign(connection, campaign, readers)
            say(f"  campaign {campaign} after {time.perf_counter() - started:.1f} s")
        connection.execute(text("ANALYZE"))
    return database


def _people(connection: Connection, readers: int) -> None:
    for bit, slug in enumerate(TOPICS):
        connection.execute(
            text("INSERT INTO topic (slug, bit) VALUES (:slug, :bit)"), {"slug": slug, "bit": bit}
        )
    connection.execute(
        text(
            f"""
            WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < :readers),
            drawn AS (SELECT id, {_draw(1)} AS a, {_draw(2)} AS b, {_draw(3)} AS c, {_draw(4)} AS d FROM n)
            INSERT INTO subscriber (id, email, email_key, key_hash, name, status, all_topics, topic_mask,
              timezone, source, attributes, track_consent, created_at, last_engaged_on,
              last_clicked_on)
            SELECT id, 'reader' || id || '@example.com', 'reader' || id || '@example.com',
              printf('%016x', id * 2654435761 % 4294967296) || printf('%016x', id), 'Reader ' || id,
              CASE WHEN a < 950 THEN 'active' WHEN a < 980 THEN 'unsubscribed' ELSE 'pending' END,
              b < 300, CASE WHEN b < 300 THEN 0 ELSE 1 + b % 7 END,
              CASE WHEN c < 800 THEN {_pick("c", ZONES)} END, 'bench',
              json_object('country', {_pick("d", COUNTRIES)}, 'specialty', 'specialty ' || (c % 9),
                          'company', 'Example Hospital ' || (id % 5000)),
              a % 10 < 6, {_time("1000 - d", "id % 86400")},
              CASE WHEN a % 10 < 6 AND c < 600 THEN {_day("c")} END,
              CASE WHEN a % 10 < 6 AND c < 150 THEN {_day("c * 4")} END
            FROM drawn
            """
        ),
        {"readers": readers},
    )
    connection.execute(
        text(
            """INSERT INTO consent
              (subscriber_id, action, purpose, wording, wording_version, basis, at, source)
            SELECT id, 'given', purpose, 'I agree.', '1', 'form', created_at, 'bench' FROM subscriber
            JOIN (SELECT 'receive' AS purpose UNION ALL SELECT 'track')
            WHERE purpose = 'receive' OR track_consent"""
        )
    )
    connection.execute(
        text(
            """INSERT INTO suppression (key_hash, key_id, reason, detail, since, source)
            SELECT key_hash, 1, 'hard_bounce', '', created_at, 'bench' FROM subscriber WHERE id % 100 = 7
            ORDER BY key_hash"""
        )
    )
    _attributes(connection)
    for number, slug, modulus in ((1, "internal", 5000), (2, "congress-2026", 3), (3, "everybody", 1)):
        values = {"number": number, "slug": slug, "modulus": modulus, "now": _stamp(NOW)}
        connection.execute(
            text("INSERT INTO list (id, slug, name, created_at) VALUES (:number, :slug, :slug, :now)"), values
        )
        connection.execute(
            text(
                """INSERT INTO list_member (list_id, subscriber_id, added_at)
                SELECT :number, id, :now FROM subscriber WHERE id % :modulus = 0"""
            ),
            values,
        )


def _attributes(connection: Connection) -> None:
    values = [("country", country) for country in COUNTRIES]
    values += [("specialty", f"specialty {number}") for number in range(9)]
    values += [("company", f"Example Hospital {number}") for number in range(5000)]
    attributes.ensure(connection, values)
    numbered = json.dumps([[name, value, attributes.id_of(name, value)] for name, value in values])
    connection.execute(
        text(
            """WITH numbered AS MATERIALIZED (SELECT value ->> 0 AS name, value ->> 1 AS value,
              value ->> 2 AS id FROM json_each(:numbered))
            INSERT INTO attribute_holder (attribute_id, subscriber_id)
            SELECT numbered.id, subscriber.id FROM subscriber, json_each(subscriber.attributes) AS held
            JOIN numbered ON numbered.name = held.key AND numbered.value = held.value ORDER BY 1, 2"""
        ),
        {"numbered": numbered},
    )


def _campaign(connection: Connection, number: int, readers: int) -> None:
    weeks = CAMPAIGNS - number + 1
    values = {
        "c": number,
        "slug": f"week-{number:02}",
        "at": _stamp(NOW - timedelta(weeks=weeks)),
        "per_edition": readers // EDITIONS + 1,
        "places": STORIES,
    }
    for statement in _CAMPAIGN.split(";"):
        connection.execute(text(statement), values)


# Letters stand in the order of their readers, like a freeze makes them; a few were refused.
_CAMPAIGN = f"""
INSERT INTO issue (id, slug, kind, created_at) VALUES (:c, :slug, 'weekly', :at);
INSERT INTO revision (id, issue_id, number, source, document, hash, author, at)
VALUES (:c, :c, 1, x'', '{{}}', '', '', :at);
INSERT INTO campaign (id, issue_id, revision_id, audience, status, proven, created_at, frozen_at, sender)
VALUES (:c, :c, :c, '{{}}', 'finished', 1, :at, :at, '{{}}');
INSERT INTO campaign_story (campaign_id, number, story_id, title, topics)
SELECT :c, n, 'story-' || n, 'Story ' || n,
  CASE n % 3 WHEN 0 THEN '["car-t"]' WHEN 1 THEN '["myeloma"]' ELSE '["immunology"]' END
FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :places) SELECT n FROM s);
INSERT INTO edition (campaign_id, key, label, topics, stories, topic_stories, subject, preheader, html, text,
  html_bytes, text_bytes, slot_nonce, audience)
SELECT :c, 'edition-' || n, 'Edition ' || n, '[]', '[1,2,3,' || (n % 5 + 4) || ']', '[1]', '', '', '', '',
  0, 0, 'abcdefgh', :per_edition
FROM (WITH RECURSIVE e(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM e WHERE n < {EDITIONS - 1})
  SELECT n FROM e);
INSERT INTO link (campaign_id, place, story_number, url)
SELECT :c, 'story:' || number, number, 'https://example.org/' || number FROM campaign_story
WHERE campaign_id = :c;
INSERT INTO link (campaign_id, place, url) VALUES (:c, 'cta:1', 'https://example.org/cta');
INSERT INTO chunk (campaign_id, edition_id, state, recipients, rejected, withheld, failures, rejects, probes)
SELECT :c, edition.id, 'accepted', 1000, 0, 0, 0, 0, 0 FROM edition JOIN
  (WITH RECURSIVE k(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < :per_edition / 1000)
   SELECT n FROM k)
WHERE campaign_id = :c ORDER BY edition.id, n;
INSERT INTO delivery (campaign_id, issue_id, subscriber_id, edition_id, chunk_id, email, measured, handover,
  fate, fate_at)
SELECT :c, :c, id, first_edition + id % {EDITIONS},
  first_chunk + id % {EDITIONS} * (:per_edition / 1000 + 1) + id / {EDITIONS} / 1000, email, track_consent,
  CASE WHEN id % 100000 = 3 THEN 'rejected' ELSE 'accepted' END,
  CASE WHEN id % 50 = 1 THEN 'bounced' ELSE 'delivered' END, :at
FROM subscriber, (SELECT min(id) AS first_edition FROM edition WHERE campaign_id = :c),
  (SELECT min(id) AS first_chunk FROM chunk WHERE campaign_id = :c)
WHERE status = 'active' ORDER BY id;
UPDATE chunk SET rejected =
  (SELECT count(*) FROM delivery WHERE chunk_id = chunk.id AND handover = 'rejected')
WHERE campaign_id = :c;
INSERT INTO event (dedupe_key, campaign_id, delivery_id, kind, occurred_at, received_at, settled, detail)
SELECT 'sg:' || :c || '-' || id, :c, id, 'delivered', :at, :at, 1, '{{}}' FROM delivery
WHERE campaign_id = :c AND :c = 3;
INSERT INTO event (dedupe_key, campaign_id, delivery_id, kind, occurred_at, received_at, verdict, rule,
  settled, detail)
SELECT 'w:o' || :c || '-' || id || '-' || n, :c, CASE WHEN measured THEN id END, 'open', :at, :at,
  CASE (id + n) % 3 WHEN 0 THEN 'machine' WHEN 1 THEN 'human' ELSE 'unknown' END, 'bench', 1, '{{}}'
FROM delivery JOIN (SELECT 0 AS n UNION ALL SELECT 1) WHERE campaign_id = :c AND handover = 'accepted'
  AND id % 10 < 4;
INSERT INTO event (dedupe_key, campaign_id, delivery_id, kind, occurred_at, received_at, link_id, verdict,
  rule, settled, detail)
SELECT 'w:c' || :c || '-' || id, :c, CASE WHEN measured THEN id END, 'click', :at, :at,
  (SELECT min(id) FROM link WHERE campaign_id = :c) + id % {STORIES},
  CASE WHEN id % 4 = 0 THEN 'machine' ELSE 'human' END, 'bench', 1, '{{}}'
FROM delivery WHERE campaign_id = :c AND handover = 'accepted' AND id % 10 = 1
"""


def _draw(salt: int) -> str:
    """A number from 0 to 999, spread like chance; another salt is another number of the same id."""
    return f"((id + {salt * 7919}) * 2654435761 % 4294967296 / 65536 % 1000)"


def _pick(draw: str, values: tuple[str, ...]) -> str:
    cases = " ".join(f"WHEN {index} THEN '{value}'" for index, value in enumerate(values))
    return f"CASE {draw} % {len(values)} {cases} END"


def _time(days: str, seconds: str) -> str:
    start = (NOW - timedelta(days=1001)).strftime("%Y-%m-%d")
    shift = f"'+' || ({days}) || ' days', '+' || ({seconds}) || ' seconds'"
    return f"strftime('%Y-%m-%d %H:%M:%S.000000', '{start}', {shift})"


def _day(days_ago: str) -> str:
    return f"date('{NOW:%Y-%m-%d}', '-' || ({days_ago}) || ' days')"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.000000")
