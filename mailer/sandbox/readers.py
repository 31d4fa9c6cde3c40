"""Readers act: letters arrive or bounce, people open, click and leave, one gateway scans, events go back.

Hits are real requests to the doors that the letters name, on this machine only. The report says what
was done, so that the numbers of the product can be held against it.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import urllib3

from mailer.sandbox.errands import Act, Actor, Deed, do, errand_of, scan_of
from mailer.sandbox.options import Rates, SandboxOptions
from mailer.sandbox.outbox import Posted, post_waiting
from mailer.sandbox.people import REACHED, rank
from mailer.sandbox.rounds import Round
from mailer.sandbox.stage import set_stage
from mailer.sandbox.state import SandboxState

WORKERS = 6
DEFAULT_DEADLINE_SECONDS = 60.0

Progress = Callable[[int, int], None]


class HasState(Protocol):
    """A running sandbox."""

    @property
    def state(self) -> SandboxState: ...


@dataclass(frozen=True, slots=True)
class PlayReport:
    """What readers did in one round; `deeds` holds every hit with its answer and the verdict it deserves."""

    letters: int
    fates: dict[str, int]
    dropped: int  # for a suppression of the sandbox's own
    deeds: tuple[Deed, ...]
    posted: Posted
    skipped: int  # acts that the deadline cut off
    scanned: tuple[str, ...]  # addresses behind a gateway

    def people(self, kind: str, verdict: str, *, measured: bool = True) -> set[str]:
        """Addresses of readers with such a hit; `measured`: by a tracking token of their own."""
        return {
            deed.act.email
            for deed in self.deeds
            if deed.act.kind == kind
            and deed.act.verdict == verdict
            and deed.act.is_measured == measured
            and deed.is_answered
        }

    def counts(self) -> dict[str, int]:
        """Hits by `kind/verdict`, answered ones only."""
        return dict(Counter(f"{deed.act.kind}/{deed.act.verdict}" for deed in self.deeds if deed.is_answered))


def play(
    sandbox: HasState,
    *,
    seed: int | None = None,
    webhook_url: str | None = None,
    rates: Rates | None = None,
    deadline: float = DEFAULT_DEADLINE_SECONDS,
    spread_seconds: float | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> PlayReport:
    """Play the readers of every letter that is due and was not played yet; what is not given comes
    from the options. `deadline` in seconds; without a webhook URL events wait in the mailbox.
    """
    state = sandbox.state
    options = _chosen(
        state.options, seed=seed, webhook_url=webhook_url, rates=rates, spread_seconds=spread_seconds
    )
    with state.playing, urllib3.PoolManager(maxsize=WORKERS * 2, retries=False) as client:
        stage = set_stage(state, options)
        acts, scanned = _acts(stage.cast, options)
        counter = _ProgressCounter(progress, len(acts))
        this_round = Round(client, time.monotonic() + deadline, stop or threading.Event())
        with ThreadPoolExecutor(WORKERS + 1, thread_name_prefix="reader") as pool:
            posting = pool.submit(_post, state, options, this_round)
            done = list(pool.map(lambda act: do(act, this_round, counter.step), acts))
            posted = posting.result()
        deeds = tuple(deed for deed in done if deed is not None)
        _remember(state, deeds)
    return PlayReport(
        letters=len(stage.cast) + stage.dropped,
        fates=dict(stage.fates),
        dropped=stage.dropped,
        deeds=deeds,
        posted=posted,
        skipped=len(acts) - len(deeds),
        scanned=scanned,
    )


def _chosen(options: SandboxOptions, **given: object) -> SandboxOptions:
    return options.model_copy(update={name: value for name, value in given.items() if value is not None})


class _ProgressCounter:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            self._done += 1
            if self._progress:
                self._progress(self._done, self._total)


def _acts(cast: Sequence[Actor], options: SandboxOptions) -> tuple[list[Act], tuple[str, ...]]:
    """Who does what, in the order of its time; and who sits behind a gateway."""
    reached = [actor for actor in cast if actor.person.fate in REACHED]
    behind = sorted(
        (actor for actor in reached if actor.has_several_links),
        key=lambda actor: (not actor.is_measured, rank(options.seed, actor.email)),
    )[: options.rates.scan_bursts]
    scanned = {actor.letter_id for actor in behind}
    acts = [act for actor in behind for act in scan_of(actor, options.spread_seconds)]
    for actor in reached:
        if actor.letter_id not in scanned:
            acts += errand_of(actor, options.spread_seconds)
    return sorted(acts, key=lambda act: act.at), tuple(actor.email for actor in behind)


def _post(state: SandboxState, options: SandboxOptions, this_round: Round) -> Posted:
    if not options.webhook_url:
        return Posted()
    return post_waiting(state.mailbox, state.signer, options, this_round)


def _remember(state: SandboxState, deeds: Sequence[Deed]) -> None:
    """Mark in the mailbox which letters a person opened, clicked, left by."""
    with state.mailbox.writing() as connection:
        for kind, column in (("open", "opened"), ("click", "clicked"), ("leave", "left_list")):
            connection.executemany(
                f"UPDATE letter SET {column} = {column} + 1 WHERE id = ?",  # noqa: S608 - names above
                [
                    (deed.act.letter_id,)
                    for deed in deeds
                    if deed.act.kind == kind and deed.act.verdict in ("human", "") and deed.is_answered
                ],
            )
