"""Posts signed events to a server in its own process and prints events a second, the target beside.

    python -m bench.webhook [STORED_EVENTS]

Loopback only; ends by itself. Every event is new and belongs to one of 200,000 letters.
"""

import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import orjson
import urllib3
from sqlalchemy import func, select

from bench.doors import served
from bench.sent import Sent, make_sent
from mailer.links import Purpose
from mailer.tables import events
from mailer.tracking.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

STORED_EVENTS = 1_000_000
LETTERS = 200_000
EVENTS_A_SIZE = 40_000
SIZES = (100, 300, 1_000)
TARGET = 10_000
# SendGrid posts from many servers at once.
POSTERS = 4
# What SendGrid writes of a normal day.
MIX = ("processed", "delivered", "delivered", "deferred", "bounce")


def main(stored_events: int = STORED_EVENTS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"webhook: {stored_events:,} events stored before, {POSTERS} posts at once", flush=True)
        sent = make_sent(Path(folder), LETTERS, stored_events)
        number = count()
        with served(sent.folder) as url:
            for size in SIZES:
                posts = [_post(sent, size, number) for _ in range(EVENTS_A_SIZE // size)]
                seconds = _send(url, posts)
                done = len(posts) * size
                print(
                    f"  {size:>5} a POST: {done / seconds:>9,.0f} events/s    target >= {TARGET:,}",
                    flush=True,
                )
        expected = stored_events + sum(EVENTS_A_SIZE // size * size for size in SIZES)
        with sent.database.reader() as connection:
            found = connection.execute(select(func.count()).select_from(events)).scalar_one()
        print(f"  stored {found:,} of {expected:,}")
        sent.database.close()


def _post(sent: Sent, size: int, number: "count[int]") -> tuple[bytes, dict[str, str]]:
    stamp = int(time.time())
    rows = []
    for _ in range(size):
        place = next(number)
        event = MIX[place % len(MIX)]
        row = {
            "email": f"reader{place % LETTERS + 1}@example.com",
            "timestamp": stamp,
            "event": event,
            "sg_event_id": secrets.token_urlsafe(33),
            "sg_message_id": f"{secrets.token_urlsafe(16)}.recvd-7d9c5b6f8b-q3xkz-1-6A0F001E-0.0",
            "smtp-id": f"<{secrets.token_urlsafe(16)}@geopod-ismtpd-1>",
            "nl_d": sent.tokens.sign(Purpose.EVENT, place % LETTERS + 1),
            "nl_a": "0" * 32,
            "ip": "203.0.113.9",
            "tls": 1,
        }
        if event == "bounce":
            row |= {"type": "blocked", "status": "5.7.1", "reason": "550 5.7.1 blocked by content policy"}
        elif event == "delivered":
            row["response"] = "250 2.6.0 Queued mail for delivery"
        rows.append(row)
    body = orjson.dumps(rows)
    headers = {
        "Content-Type": "application/json;charset=utf-8",
        TIMESTAMP_HEADER: str(stamp),
        SIGNATURE_HEADER: sent.signature(str(stamp), body),
    }
    return body, headers


def _send(url: str, posts: Sequence[tuple[bytes, dict[str, str]]]) -> float:
    """Seconds for all posts; raises when one is not answered 2xx."""
    pool = urllib3.PoolManager(maxsize=POSTERS, retries=False)
    waiting = list(posts)
    failures: list[int] = []

    def work() -> None:
        while True:
            try:
                body, headers = waiting.pop()
            except IndexError:
                return
            answer = pool.request("POST", f"{url}/webhooks/sendgrid", body=body, headers=headers)
            if answer.status >= 300:
                failures.append(answer.status)

    threads = [threading.Thread(target=work) for _ in range(POSTERS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise RuntimeError(f"{len(failures)} posts were refused, the first with {failures[0]}")
    return seconds


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
