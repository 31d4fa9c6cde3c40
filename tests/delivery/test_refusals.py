"""What a refusal makes of a campaign, through the SDK and a real socket: whom it rejects, when it pauses."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import orjson
import pytest

from mailer.delivery.campaigns import resume
from mailer.delivery.engine import run_campaign
from mailer.delivery.sendgrid import SendGrid
from mailer.delivery.standing import CampaignState
from tests.delivery.conftest import Site
from tests.delivery.fake import addresses_of
from tests.delivery.test_wire import OK, Server, serving

READERS = 5
# How SendGrid refuses without saying why.
SILENT = {"message": "Bad Request", "field": None, "help": None}
Errors = Callable[[list[str]], dict[str, str | None] | None]


@contextlib.contextmanager
def refusing(errors: Errors, status: int = 400) -> Iterator[Server]:
    """A server that answers each call with the error for its addresses, or takes it."""

    def answer(server: Server, connection: socket.socket, _number: int) -> None:
        while request := server.read(connection):
            error = errors(addresses_of(orjson.loads(request.partition(b"\r\n\r\n")[2])))
            if error is None:
                connection.sendall(OK)
                continue
            body = orjson.dumps({"errors": [error]})
            head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\n"
            connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    with serving(answer) as server:
        yield server


def send(site: Site, url: str, campaign_id: int) -> CampaignState:
    transport = SendGrid(url, "SG.test", deadline_seconds=10)
    try:
        ready = site.send_by(transport, clock=lambda: datetime.now(UTC))
        return run_campaign(ready, campaign_id, threads=2)
    finally:
        transport.close()


def test_the_reader_that_a_refusal_names_is_rejected_and_the_others_get_it(site: Site) -> None:
    site.add_many(READERS)

    def errors(addresses: list[str]) -> dict[str, str | None] | None:
        if "reader4@example.org" not in addresses:
            return None
        field = f"personalizations.{addresses.index('reader4@example.org')}.to.0.email"
        return {"message": "Does not contain a valid address.", "field": field, "help": None}

    with refusing(errors) as server:
        state = send(site, server.url, site.freeze())
    assert len(server.requests) == 2
    assert (state.status, state.accepted, state.rejected) == ("finished", READERS - 1, 1)


@pytest.mark.parametrize("field", ["content.1.value", "from.email"])
def test_a_fault_of_the_letter_pauses_after_one_request_in_sendgrids_words(site: Site, field: str) -> None:
    site.settings = site.settings.model_copy(
        update={"sending": site.settings.sending.model_copy(update={"chunk_size": 2})}
    )
    site.add_many(READERS)
    with refusing(lambda _: {"message": "The words it said.", "field": field, "help": None}) as server:
        state = send(site, server.url, site.freeze())
    assert len(server.requests) == 1
    assert (state.status, state.waiting, state.rejected) == ("paused", READERS, 0)
    assert f"{field}: The words it said." in (state.pause_reason or "")


def test_a_silent_refusal_is_looked_for_by_halving(site: Site) -> None:
    site.add_many(READERS)

    def errors(addresses: list[str]) -> dict[str, str | None] | None:
        return SILENT if "reader4@example.org" in addresses else None

    with refusing(errors) as server:
        state = send(site, server.url, site.freeze())
    assert len(server.requests) > 2
    assert (state.status, state.accepted, state.rejected) == ("finished", READERS - 1, 1)


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_a_server_that_refuses_everyone_silently_costs_no_reader(site: Site, readers: int) -> None:
    site.add_many(readers)
    campaign_id = site.freeze()
    with refusing(lambda _: SILENT) as server:
        for _ in range(2):
            state = send(site, server.url, campaign_id)
            assert (state.status, state.waiting, state.rejected) == ("paused", readers, 0)
            assert "Bad Request" in (state.pause_reason or "")
            with site.database.ledger() as connection:
                resume(connection, campaign_id, site.clock())
    with refusing(lambda _: None) as server:
        state = send(site, server.url, campaign_id)
    assert (state.status, state.accepted) == ("finished", readers)


def test_one_bad_reader_of_two_is_found_though_refused_first(site: Site) -> None:
    site.add_many(2)
    with refusing(lambda addresses: SILENT if "reader1@example.org" in addresses else None) as server:
        state = send(site, server.url, site.freeze())
    assert (state.status, state.accepted, state.rejected) == ("finished", 1, 1)


def test_named_readers_of_many_small_chunks_count_together_while_nothing_has_passed(site: Site) -> None:
    site.settings = site.settings.model_copy(
        update={"sending": site.settings.sending.model_copy(update={"chunk_size": 2})}
    )
    site.add_many(10)

    def errors(_: list[str]) -> dict[str, str | None]:
        return {
            "message": "Does not contain a valid address.",
            "field": "personalizations.0.to",
            "help": None,
        }

    with refusing(errors) as server:
        state = send(site, server.url, site.freeze())
    assert (state.status, state.rejected, state.waiting) == ("paused", 5, 5)


def test_used_up_credits_are_named_in_sendgrids_words(site: Site) -> None:
    site.add_many(READERS)
    error: dict[str, str | None] = {"message": "Maximum credits exceeded", "field": None, "help": None}
    with refusing(lambda _: error, status=401) as server:
        state = send(site, server.url, site.freeze())
    assert len(server.requests) == 1
    assert (state.status, state.waiting) == ("paused", READERS)
    assert "Maximum credits exceeded" in (state.pause_reason or "")
