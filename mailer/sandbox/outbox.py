"""Events on their way to the webhook: signed batches, some events twice, out of order, tried again.

An event waits in the mailbox until an answer of 2xx; what was not taken is posted again at the next
round, with the same `sg_event_id`. Redirects are not followed.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import urllib3

from mailer.sandbox.mailbox import Mailbox, Row
from mailer.sandbox.options import SandboxOptions
from mailer.sandbox.rounds import Round
from mailer.sandbox.signing import Signer

AGENT = "SendGrid Event API"
CONTENT_TYPE = "application/json;charset=utf-8"
RETRY_WINDOW_SECONDS = 24 * 3600  # SendGrid gives an event up after a day
MAX_ROUND = 20_000  # events read at once
POST_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1  # doubled after each refusal


@dataclass(frozen=True, slots=True)
class Posted:
    """What one round of posting did; `events` counts distinct ones that were taken."""

    posts: int = 0
    events: int = 0
    repeats: int = 0
    refused: int = 0  # answers other than 2xx, and none at all
    waiting: int = 0


def body_of(payloads: Sequence[bytes]) -> bytes:
    """The raw body of a POST: CRLF after each event, as the service writes it."""
    return b"[" + b",\r\n".join(payloads) + b"]\r\n"


def post_waiting(mailbox: Mailbox, signer: Signer, options: SandboxOptions, this_round: Round) -> Posted:
    """Post what waits, until all is taken or the round is over."""
    rows = _waiting(mailbox, options.now())
    chance = random.Random(options.seed)  # noqa: S311 - play, not secrets
    order = [row["id"] for row in rows]
    payloads = {row["id"]: row["payload"].encode() for row in rows}
    repeats = [number for number in order if chance.random() < options.duplicates]
    order += repeats
    if options.shuffled:
        chance.shuffle(order)
    posts = refused = 0
    taken: set[int] = set()
    for start in range(0, len(order), options.batch_size):
        batch = order[start : start + options.batch_size]
        body = body_of([payloads[number] for number in batch])
        tries, is_taken = _post(options.webhook_url, body, signer, this_round)
        posts += tries
        refused += tries - is_taken
        if is_taken:
            taken.update(batch)
            _mark(mailbox, batch)
    return Posted(posts, len(taken), len(repeats), refused, len(rows) - len(taken))


def _waiting(mailbox: Mailbox, now: float) -> list[Row]:
    return mailbox.rows(
        "SELECT id, payload FROM event WHERE posted_at IS NULL AND at > ? ORDER BY id LIMIT ?",
        (now - RETRY_WINDOW_SECONDS, MAX_ROUND),
    )


def _post(url: str, body: bytes, signer: Signer, this_round: Round) -> tuple[int, bool]:
    """How often it was tried, and whether it was taken in the end."""
    pause = FIRST_PAUSE_SECONDS
    tries = 0
    while not this_round.is_over:
        tries += 1
        if _is_taken(url, body, signer, this_round.client):
            return tries, True
        this_round.wait(pause)
        pause *= 2
    return tries, False


def _is_taken(url: str, body: bytes, signer: Signer, client: urllib3.PoolManager) -> bool:
    headers = {"User-Agent": AGENT, "Content-Type": CONTENT_TYPE, **signer.headers(body, int(time.time()))}
    try:
        answer = client.request(
            "POST", url, body=body, headers=headers, timeout=POST_SECONDS, retries=False, redirect=False
        )
    except urllib3.exceptions.HTTPError:
        return False
    return 200 <= answer.status < 300


def _mark(mailbox: Mailbox, events: Sequence[int]) -> None:
    with mailbox.writing() as connection:
        connection.execute(
            "UPDATE event SET posted_at = ? "
            "WHERE posted_at IS NULL AND id IN (SELECT value FROM json_each(?))",
            (time.time(), orjson.dumps(events).decode()),
        )
