"""A disk that is full, and a database that somebody else keeps locked: waited for, said, gone on after."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailer import dialect
from mailer import site as site_files
from mailer.models import ChunkState
from subscribers.failpoints import Point
from tests.kill.campaign import IMPORT, WORKER
from tests.kill.looking import chunks_in, stands_still, until
from tests.kill.test_stopped import start_campaign
from tests.kill.world import World, world

READERS = 60
DISK_BYTES = 8 * 1024 * 1024
pytestmark = pytest.mark.sqlite_only(reason="the disk and the lock of a file; a server keeps its own")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, READERS) as made:
        made.run(*IMPORT)
        made.run("import", "examples/week-04.md")
        yield made


def file_of(here: World) -> Path:
    return Path(here.mailer.settings.database_url.removeprefix("sqlite:///"))


@contextmanager
def locked(here: World) -> Iterator[None]:
    """Somebody else holds the write lock."""
    other = dialect.sqlite_module().connect(file_of(here), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of a few megabytes over a folder, with what is in it."""
    kept = folder.with_name(folder.name + "-kept")
    shutil.copytree(folder, kept)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk needs root and the right to mount: run the tests as root to see it")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_lock_of_four_seconds_is_waited_for_in_silence(here: World) -> None:
    start_campaign(here)
    here.fault("latency", seconds=0.1, times=100)
    program = here.start(*WORKER)
    until(lambda: chunks_in(here, ChunkState.ACCEPTED))
    with locked(here):
        threading.Event().wait(4)
    assert program.wait() == 0
    assert "locked" not in program.words
    verdict = here.require_clean()
    assert (verdict.arrived, verdict.held) == (READERS, 0)


@pytest.mark.timeout(180)
def test_a_lock_of_a_minute_is_waited_for_and_said(here: World) -> None:
    start_campaign(here)
    here.fault("latency", seconds=0.1, times=100)
    program = here.start(*WORKER)
    until(lambda: chunks_in(here, ChunkState.ACCEPTED))
    with locked(here):
        threading.Event().wait(60)
    assert program.wait(90) == 0
    assert "the database was locked by another program for a long time" in program.words
    verdict = here.require_clean()
    assert (verdict.arrived, verdict.held) == (READERS, 0)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", [Point.BEGINNING, Point.CALLED])
def test_a_full_disk_is_said_and_costs_nothing_and_room_lets_it_go_on(here: World, point: Point) -> None:
    start_campaign(here)
    site_files.set_keys(here.folder / "config.toml", {("sending", "threads"): 1})
    here.mailer.close()
    with small_disk(file_of(here).parent):
        program = here.start(*WORKER, point=point, count=3, act="stop")
        until(lambda: stands_still(program))
        filler = fill(file_of(here).parent)
        program.send(signal.SIGCONT)
        until(lambda: "there is no room left. Make room on its disk." in program.words)
        filler.unlink()
        assert program.wait(90) == 0
        verdict = here.require_clean()
        assert (verdict.arrived, verdict.held) == (READERS, 0)
        here.mailer.close()
