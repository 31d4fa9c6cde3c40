"""Batch ids through the SDK, against a sandbox: made, cancelled, asked about, and never in time's way."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.transport import (
    Accepted,
    Batch,
    BatchCancelled,
    BatchUnknown,
    Call,
    NoBatch,
    NotSent,
)
from mailer.sandbox.options import QUIET, SandboxOptions
from mailer.sandbox.readers import play
from mailer.sandbox.server import SandboxServer


def way_out(sandbox: SandboxServer, key: str = "SG.test") -> SendGrid:
    return SendGrid(sandbox.url, key, deadline_seconds=10)


def call(batch: Batch, send_at: datetime, *, ends_at: float | None = None) -> Call:
    body = {
        "from": {"email": "editor@example.com"},
        "subject": "Weekly",
        "content": [{"type": "text/plain", "value": "Hello"}],
        "personalizations": [{"to": [{"email": "reader@example.org"}]}],
        "batch_id": batch.batch_id,
        "send_at": int(send_at.timestamp()),
    }
    return Call(body, orjson.dumps(body), 1, ends_at)


def made(transport: SendGrid) -> Batch:
    batch = transport.new_batch()
    assert isinstance(batch, Batch)
    return batch


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_is_cancelled_in_time_never_goes(tmp_path: Path, is_cancelled: bool) -> None:
    at = datetime.now(UTC) + timedelta(minutes=30)
    options = SandboxOptions(rates=QUIET)
    with SandboxServer(database_path=tmp_path / "sandbox.db", options=options) as sandbox:
        transport = way_out(sandbox)
        batch = made(transport)
        assert batch.at is not None
        assert abs(batch.at - datetime.now(UTC)) < timedelta(minutes=1)
        assert isinstance(transport.submit(call(batch, at)), Accepted)
        assert isinstance(transport.batch_status(batch.batch_id), BatchUnknown)
        if is_cancelled:
            assert isinstance(transport.cancel_batch(batch.batch_id), BatchCancelled)
            assert isinstance(transport.cancel_batch(batch.batch_id), BatchUnknown)
            assert isinstance(transport.batch_status(batch.batch_id), BatchCancelled)
        sandbox.state.change({"clock_ahead_seconds": 1900})
        play(sandbox)
        [letter] = sandbox.state.mailbox.rows("SELECT fate FROM letter")
        assert letter["fate"] == ("cancelled" if is_cancelled else "delivered")
        transport.close()


def test_a_key_that_may_make_no_batch_is_told_from_a_server_that_cannot(tmp_path: Path) -> None:
    options = SandboxOptions(keys={"SG.mail": ("mail.send",)})
    with SandboxServer(database_path=tmp_path / "sandbox.db", options=options) as sandbox:
        transport = way_out(sandbox, "SG.mail")
        refused = transport.new_batch()
        assert isinstance(refused, NoBatch)
        assert refused.is_final
        transport.close()
        url = sandbox.url
    transport = SendGrid(url, "SG.mail", deadline_seconds=2)
    gone = transport.new_batch()
    assert isinstance(gone, NoBatch)
    assert not gone.is_final
    assert isinstance(transport.cancel_batch("id"), BatchUnknown)
    assert isinstance(transport.batch_status("id"), BatchUnknown)
    transport.close()


def test_a_call_whose_time_is_over_before_it_begins_is_not_made(tmp_path: Path) -> None:
    with SandboxServer(database_path=tmp_path / "sandbox.db") as sandbox:
        transport = way_out(sandbox)
        batch = made(transport)
        late = call(batch, datetime.now(UTC) + timedelta(minutes=30), ends_at=time.monotonic() - 1)
        assert isinstance(transport.submit(late), NotSent)
        assert sandbox.state.mailbox.rows("SELECT * FROM letter") == []
        transport.close()
