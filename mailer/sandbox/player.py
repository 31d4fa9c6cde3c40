"""Readers who act on their own while a sandbox runs: the thread behind `play = "on"`.

Looks for letters and events that wait; a webhook that is not there yet gets its events later.
"""

import threading

from mailer.sandbox.readers import HasState, play

LOOK_SECONDS = 0.5
ROUND_SECONDS = 30.0
# After a round that could not post everything, as the service backs off from a dead webhook.
BACK_OFF_SECONDS = 5.0


class Player:
    """Plays rounds until stopped."""

    def __init__(self, sandbox: HasState) -> None:
        self._sandbox = sandbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-readers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._stop.wait(pause):
            pause = LOOK_SECONDS
            if self._sandbox.state.options.play == "on" and self._has_work():
                report = play(self._sandbox, deadline=ROUND_SECONDS, stop=self._stop)
                pause = BACK_OFF_SECONDS if report.posted.waiting else LOOK_SECONDS

    def _has_work(self) -> bool:
        state = self._sandbox.state
        waiting = "EXISTS (SELECT 1 FROM event WHERE posted_at IS NULL)" if state.options.webhook_url else "0"
        unplayed = "EXISTS (SELECT 1 FROM letter WHERE played_at IS NULL AND coalesce(send_at, 0) <= ?)"
        found = state.mailbox.row(f"SELECT {waiting} OR {unplayed} AS work", (state.options.now(),))
        return bool(found and found["work"])
