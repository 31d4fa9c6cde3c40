"""Opens and clicks of our own, many at once: one thread writes them, a group in each transaction.

A door hands its hit over and answers after the commit, so what a reader saw answered is stored. Who
is named is decided here, at the hit: without consent now, the hit counts for its campaign alone. The
target of a click comes from the database. No IP and no User-Agent is stored.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import SQLAlchemyError

from mailer import bulk
from mailer.config import Settings
from mailer.database import Database
from mailer.event_models import Verdict
from mailer.links import Purpose, Tokens
from mailer.measuring import is_measured
from mailer.tables import deliveries, events, links, subscribers
from mailer.tracking.agents import judge_agent
from mailer.tracking.log import LogKeeper
from mailer.tracking.verdicts import CLICK, HEAD_RULE, HEAD_WINDOW, HIT_KINDS, OPEN
from mailer.trouble import passing_trouble

# Hits of one transaction: a few milliseconds of lock.
GROUP_ROWS = 1_000
# Each waiting hit is an open connection; above this many the disk is stuck.
QUEUE_HITS = 20_000
# Links of the campaigns people still click; a row takes about 300 bytes.
LINK_CACHE = 50_000
OWN_PREFIX = "w:"

# Campaign, reader and consent of the letters that a group is of.
_LETTERS = bulk.PackedQuery.among(
    select(
        deliveries.c.id,
        deliveries.c.campaign_id,
        deliveries.c.subscriber_id,
        subscribers.c.track_consent,
    ).outerjoin(subscribers, subscribers.c.id == deliveries.c.subscriber_id),
    deliveries.c.id,
)

log = structlog.get_logger()

Kind = Literal["open", "click", "head"]


class TooBusy(Exception):
    """More hits wait than a working disk could let wait."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What a door saw. A "head" of a click has its link, to be answered, and stores nothing."""

    kind: Kind
    token: str
    link_id: int | None
    agent: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a click leads; `url` is None for an unknown token or link and for the pixel."""

    url: str | None
    stored: bool


@dataclass(frozen=True, slots=True)
class _Asker:
    """Whose token it was: a campaign, and a delivery when the reader may be named."""

    campaign_id: int
    delivery_id: int | None


_Waiting = tuple[Hit, asyncio.AbstractEventLoop, "asyncio.Future[Landing]"]


class HitWriter:
    """Collects hits from any event loop; `start` and `stop` frame its life, `stop` writes what waits."""

    def __init__(self, database: Database, tokens: Tokens, settings: Settings) -> None:
        self._database = database
        self._tokens = tokens
        self._settings = settings
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._keeper = LogKeeper(database)
        self._links: dict[int, tuple[int, str]] = {}
        # When each delivery was last asked with HEAD. Kept in memory only, since a HEAD is no event: a
        # restart forgets at most ten seconds of them.
        self._heads: dict[int, datetime] = {}

    def start(self) -> None:
        if self._thread is None:
            self._keeper.start()
            self._thread = threading.Thread(target=self._run, name="hits", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
            self._keeper.stop()

    async def submit(self, hit: Hit) -> Landing:
        """Where the hit leads, once it is stored. Raises TooBusy when too many wait."""
        if self._thread is None:
            raise RuntimeError("the hit writer is not started")
        if self._queue.qsize() >= QUEUE_HITS:
            raise TooBusy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Landing] = loop.create_future()
        self._queue.put((hit, loop, future))
        return await future

    # -- the writing thread -----------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._gather()
            if not group:
                continue
            try:
                landings = self._land([hit for hit, _, _ in group])
            except Exception as error:  # a fault in one group must not leave every later reader waiting
                trouble = passing_trouble(error)
                if trouble is not None:
                    log.warning("a group of hits was lost", hits=len(group), trouble=trouble)
                else:
                    log.exception("a group of hits failed")
                landings = [Landing(None, False) for _ in group]
            self._answer(group, landings)
            self._keeper.wrote(len(group))

    def _gather(self) -> tuple[list[_Waiting], bool]:
        """The next group; False when it is the last."""
        first = self._queue.get()
        if first is None:
            return [], False
        group = [first]
        # What came while the last group was written; waiting for more would only idle the disk.
        while len(group) < GROUP_ROWS:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return group, False
            group.append(following)
        return group, True

    def _land(self, hits: Sequence[Hit]) -> list[Landing]:
        """Resolve and store a group. A database that refuses costs the hits, never the readers' way."""
        try:
            # Read where is written: another connection's pages would be stale after every commit.
            with self._database.tracking() as connection:
                askers, urls = self._resolve(connection, hits)
                self._store(connection, hits, askers, urls)
            return [Landing(url, True) for url in urls]
        except SQLAlchemyError as error:
            log.error("hits not stored", hits=len(hits), error=type(error).__name__)
        with self._database.reader() as connection:
            return [Landing(url, False) for url in self._resolve(connection, hits)[1]]

    def _resolve(
        self, connection: Connection, hits: Sequence[Hit]
    ) -> tuple[list[_Asker | None], list[str | None]]:
        """Whose each hit is, and where it leads."""
        askers = self._askers(connection, hits)
        self._learn_links(connection, hits)
        return askers, [self._target(hit, asker) for hit, asker in zip(hits, askers, strict=True)]

    def _askers(self, connection: Connection, hits: Sequence[Hit]) -> list[_Asker | None]:
        letters = [self._tokens.open(Purpose.TRACK, hit.token) for hit in hits]
        ids = {number for number in letters if number is not None}
        rows = _LETTERS.fetch_among(connection, sorted(ids)) if ids else ()
        individual = self._settings.tracking.individual
        known = {
            number: _Asker(
                campaign,
                number if reader is not None and is_measured(individual, bool(consent)) else None,
            )
            for number, campaign, reader, consent in rows
        }
        return [
            known.get(letter) if letter is not None else self._nameless(hit.token)
            for hit, letter in zip(hits, letters, strict=True)
        ]

    def _nameless(self, token: str) -> _Asker | None:
        campaign = self._tokens.open(Purpose.TRACK_CAMPAIGN, token)
        return _Asker(campaign, None) if campaign is not None else None

    def _learn_links(self, connection: Connection, hits: Sequence[Hit]) -> None:
        """Links never change, so each is read once; ids that nobody has are not remembered."""
        new = {hit.link_id for hit in hits if hit.link_id is not None} - self._links.keys()
        if not new:
            return
        if len(self._links) > LINK_CACHE:
            self._links.clear()
        rows = connection.execute(
            select(links.c.id, links.c.campaign_id, links.c.url).where(links.c.id.in_(new))
        )
        self._links.update({number: (campaign, url) for number, campaign, url in rows})

    def _target(self, hit: Hit, asker: _Asker | None) -> str | None:
        if hit.link_id is None or asker is None:
            return None
        campaign, url = self._links.get(hit.link_id, (None, None))
        return url if campaign == asker.campaign_id else None

    def _store(
        self,
        connection: Connection,
        hits: Sequence[Hit],
        askers: Sequence[_Asker | None],
        urls: Sequence[str | None],
    ) -> None:
        known = [
            (hit, asker)
            for hit, asker, url in zip(hits, askers, urls, strict=True)
            if asker is not None and (hit.link_id is None or url is not None)
        ]
        heads = {
            asker.delivery_id: hit.at
            for hit, asker in known
            if hit.kind == "head" and asker.delivery_id is not None
        }
        if heads:
            self._remember(heads)
        rows = [self._row(hit, asker) for hit, asker in known if hit.kind != "head"]
        if rows:
            bulk.insert_rows(connection, events, rows)
        for delivery, at in heads.items():
            connection.execute(
                update(events)
                .where(events.c.delivery_id == delivery, events.c.kind.in_(HIT_KINDS))
                .where(events.c.verdict.is_not(None))
                .where(events.c.occurred_at.between(at - HEAD_WINDOW, at + HEAD_WINDOW))
                # Unsettled again, so that a first human hit which was none is taken back.
                .values(verdict=Verdict.MACHINE.value, rule=HEAD_RULE, settled=False)
            )

    def _remember(self, heads: dict[int, datetime]) -> None:
        oldest = max(heads.values()) - HEAD_WINDOW
        self._heads = {delivery: at for delivery, at in self._heads.items() if at >= oldest} | heads

    def _row(self, hit: Hit, asker: _Asker) -> dict[str, Any]:
        said = judge_agent(hit.agent)
        verdict, rule = said.verdict.value, said.rule
        head = self._heads.get(asker.delivery_id) if asker.delivery_id is not None else None
        if head is not None and abs(hit.at - head) <= HEAD_WINDOW:
            verdict, rule = Verdict.MACHINE.value, HEAD_RULE
        return {
            "dedupe_key": _own_key(hit.at),
            "campaign_id": asker.campaign_id,
            "delivery_id": asker.delivery_id,
            "kind": hit.kind,
            "occurred_at": hit.at,
            "received_at": hit.at,
            "link_id": hit.link_id if hit.kind == CLICK else None,
            "verdict": verdict,
            "rule": rule,
            # A nameless hit has no neighbours to judge it by. An open that is no person's has nothing to
            # wait for; a burst of clicks still turns it when they are settled.
            "settled": asker.delivery_id is None or (hit.kind == OPEN and verdict != Verdict.HUMAN),
            "detail": {"agent": said.family} if said.family else {},
        }

    @staticmethod
    def _answer(group: Sequence[_Waiting], landings: Sequence[Landing]) -> None:
        """One wake-up for each loop, not for each hit."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Landing], Landing]]] = {}
        for (_, loop, future), landing in zip(group, landings, strict=True):
            by_loop.setdefault(loop, []).append((future, landing))
        for loop, answers in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop may have closed
                loop.call_soon_threadsafe(_set_results, answers)


def _set_results(answers: Sequence[tuple["asyncio.Future[Landing]", Landing]]) -> None:
    for future, landing in answers:
        if not future.done():  # its connection may have gone
            future.set_result(landing)


def _own_key(at: datetime) -> str:
    """A UUID that begins with its time (RFC 9562, version 7): neighbours in time share index pages."""
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    number = milliseconds << 80 | 7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{OWN_PREFIX}{number:032x}"
