"""What becomes of letters that are due: each gets its fate, its events, and perhaps a reader who acts.

Writes fates, events and suppressions of the sandbox's own; asks nobody anything.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import orjson

from mailer.sandbox import events, letters
from mailer.sandbox.errands import Actor
from mailer.sandbox.events import Payload
from mailer.sandbox.letter_links import links_of
from mailer.sandbox.letters import Letter
from mailer.sandbox.options import SandboxOptions
from mailer.sandbox.people import Fate, Reader, reader
from mailer.sandbox.state import SandboxState

PAGE = 200  # letters drawn at one time: each carries its whole HTML
_DISCARD = """
UPDATE letter SET played_at = :now, fate = 'cancelled' WHERE played_at IS NULL AND send_at <= :now
AND request_id IN (SELECT request.id FROM request JOIN batch ON batch.id = batch_id WHERE status = 'cancel')
"""
_CLAIM = """
UPDATE letter SET played_at = :now WHERE played_at IS NULL AND coalesce(send_at, 0) <= :now
AND request_id NOT IN
  (SELECT request.id FROM request JOIN batch ON batch.id = batch_id WHERE status = 'pause')
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class _Fated:
    letter_id: int
    email: str
    fate: str
    leaves_at_provider: bool = False


@dataclass(slots=True)
class Stage:
    """Letters of a round: who may act, and what became of how many."""

    cast: list[Actor] = field(default_factory=list)
    fates: Counter[str] = field(default_factory=Counter)
    dropped: int = 0


def set_stage(state: SandboxState, options: SandboxOptions) -> Stage:
    """Decide every due letter's fate, write its events, keep who will act."""
    stage = Stage()
    now = options.now()
    for page in _pages(_claim(state, now)):
        drawn = letters.find(
            state.mailbox,
            "letter.id IN (SELECT value FROM json_each(?)) ORDER BY letter.id",
            (orjson.dumps(page).decode(),),
        )
        rows: list[tuple[int, Payload]] = []
        fates: list[_Fated] = []
        for letter in drawn:
            fated, payloads = _fate_of(letter, options, int(now), stage)
            rows += [(letter.id, payload) for payload in payloads]
            fates.append(fated)
        _store(state, rows, fates, now)
    # A token that several letters share is nobody's own: its hits count in totals only.
    tokens = Counter(actor.links.token for actor in stage.cast)
    stage.cast = [replace(actor, is_measured=tokens[actor.links.token] == 1) for actor in stage.cast]
    return stage


def _claim(state: SandboxState, now: float) -> list[int]:
    """Letters whose time has come, each for one round only; those of a cancelled batch are thrown away."""
    with state.mailbox.writing() as connection:
        connection.execute(_DISCARD, {"now": now})
        rows = connection.execute(_CLAIM, {"now": now}).fetchall()
    return sorted(row["id"] for row in rows)


def _pages(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def _fate_of(letter: Letter, options: SandboxOptions, now: int, stage: Stage) -> tuple[_Fated, list[Payload]]:
    received = int(letter.received_at)
    if letter.dropped:
        stage.dropped += 1
        return _Fated(letter.id, letter.email, "dropped"), [events.dropped(letter, received, letter.dropped)]
    person = reader(options.seed, letter.email, options.rates)
    stage.fates[person.fate.value] += 1
    stage.cast.append(Actor(letter.id, letter.email, person, links_of(letter.html or "", letter.headers)))
    fated = _Fated(letter.id, letter.email, person.fate, person.leaves_at_provider)
    if person.fate is Fate.INVALID:
        return fated, [events.dropped(letter, received, "Invalid")]
    return fated, [events.processed(letter, received), *_journey(letter, person, now)]


def _journey(letter: Letter, person: Reader, now: int) -> Iterator[Payload]:
    match person.fate:
        case Fate.BOUNCED:
            yield events.bounce(letter, now, events.NO_SUCH_MAILBOX)
            return
        case Fate.BLOCKED:
            yield events.bounce(letter, now, events.BLOCKS[int(person.draw * len(events.BLOCKS))])
            return
        case Fate.DEFERRED:
            yield events.deferred(letter, now)
    yield events.delivered(letter, now)
    if person.fate is Fate.BOUNCED_LATE:
        yield events.late_bounce(letter, now)
    if person.fate is Fate.COMPLAINED:
        yield events.spam_report(letter, now)
    if person.leaves_at_provider:
        yield events.unsubscribe(letter, now)


# Which of the provider's lists an address lands on.
_LIST_OF: dict[str, str] = {
    Fate.BOUNCED: "bounces",
    Fate.BOUNCED_LATE: "bounces",
    Fate.BLOCKED: "blocks",
    Fate.COMPLAINED: "spam_reports",
    Fate.INVALID: "invalid_emails",
}


def _store(
    state: SandboxState, rows: Sequence[tuple[int, Payload]], fates: Sequence[_Fated], now: float
) -> None:
    refusal, now = events.NO_SUCH_MAILBOX, int(now)
    lists = [(_LIST_OF[fated.fate], fated.email) for fated in fates if fated.fate in _LIST_OF]
    lists += [("global", fated.email) for fated in fates if fated.leaves_at_provider]
    with state.mailbox.writing() as connection:
        connection.executemany(
            "INSERT INTO event (letter_id, kind, at, payload) VALUES (?, ?, ?, ?)",
            [
                (letter_id, row["event"], row["timestamp"], orjson.dumps(row).decode())
                for letter_id, row in rows
            ],
        )
        connection.executemany(
            "UPDATE letter SET fate = ? WHERE id = ?", [(fated.fate, fated.letter_id) for fated in fates]
        )
        connection.executemany(
            "INSERT OR REPLACE INTO suppression (kind, email_key, email, reason, status, created) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [
                (kind, email.casefold(), email, refusal.reason, refusal.status, int(now))
                for kind, email in lists
            ],
        )
