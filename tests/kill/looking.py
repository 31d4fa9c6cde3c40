"""Waiting for what a running process does, by looking."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from mailer.models import ChunkState
from mailer.tables import chunks
from tests.kill.processes import Program
from tests.kill.world import World

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.02


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < ends_at, "it never came to that"
        threading.Event().wait(LOOK_SECONDS)


def chunks_in(here: World, *states: ChunkState) -> int:
    with here.mailer.database.reader() as connection:
        return len(connection.execute(select(chunks.c.id).where(chunks.c.state.in_(states))).all())


def stands_still(program: Program) -> bool:
    """Whether it has stopped itself (proc(5))."""
    return Path(f"/proc/{program.number}/stat").read_text().rpartition(")")[2].split()[0] == "T"
