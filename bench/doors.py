"""The web server of a site in a process of its own, for the benches that knock at its doors.

python -m bench.doors SITE      prints the readers' address, serves until its input ends
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.clock import Clock
from mailer.config import load_settings
from mailer.database import Database
from mailer.service.rooms import Rooms
from mailer.tracking import verdicts
from mailer.web.server import WebServer

START_SECONDS = 30.0
SETTLE_SECONDS = 1.0


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a server over the site's folder; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.doors", str(site)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        url = process.stdout.readline().strip()
        timer.cancel()
        if not url:
            raise RuntimeError("the server did not start")
        yield url
    finally:
        process.stdin.close()
        process.wait(START_SECONDS)


def main(site: Path) -> None:
    settings = load_settings(site / "config.toml")
    rooms = Rooms.of(settings, Database(settings.database_url))
    # A tick that takes longer than its interval is no news here.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # The verdicts are settled beside the hits, as `mailer serve` does.
    clock = Clock(rooms.now)
    clock.every(SETTLE_SECONDS, lambda now: verdicts.settle(rooms.database, now), name="settle")
    with WebServer(rooms, port=0, admin_port=0) as web:
        clock.start()
        print(web.url, flush=True)
        sys.stdin.read()
        clock.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
