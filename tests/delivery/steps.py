"""What tests of sending do and look at: work until nothing may go, the ledger, providers of a kind."""

from collections.abc import Callable

from sqlalchemy import func, select

from mailer.delivery.owners import new_owner
from mailer.delivery.send import Worked, run_once
from mailer.delivery.transport import (
    Accepted,
    Answer,
    BadRecipients,
    BadSomewhere,
    Uncertain,
)
from mailer.tables import deliveries
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider

DOUBT = Uncertain("the connection was cut")


def work(site: Site, provider: Provider, campaign_id: int | None = None, limit: int = 200) -> int:
    """Run until nothing may go now; the number of runs."""
    sending = site.send_by(provider)
    owner = new_owner()
    for number in range(limit):
        if run_once(sending, owner, campaign_id).worked is Worked.IDLE:
            return number
    raise AssertionError(f"still at work after {limit} runs")


def ledger(site: Site, campaign_id: int) -> tuple[str, int, int, int, int, int]:
    state = site.status(campaign_id)
    parts = (state.waiting, state.accepted, state.rejected, state.withheld, state.held)
    assert state.frozen == sum(parts)
    counted = dict.fromkeys(("waiting", "accepted", "rejected", "withheld", "held"), 0)
    with site.database.reader() as connection:
        counted |= {
            row[0]: row[1]
            for row in connection.execute(
                select(deliveries.c.handover, func.count())
                .where(deliveries.c.campaign_id == campaign_id)
                .group_by(deliveries.c.handover)
            )
        }
    assert tuple(counted.values()) == parts, "the letters and their chunks tell two stories"
    return (state.status, *parts)


def filled(site: Site, number: int, *, chunk_size: int = 1000, topics: tuple[str, ...] | None = None) -> int:
    site.add_many(number, topics)
    sending = site.settings.sending.model_copy(update={"chunk_size": chunk_size})
    site.settings = site.settings.model_copy(update={"sending": sending})
    return site.freeze()


def bad(*emails: str, names: bool) -> Callable[[list[str], int], Answer]:
    """Refuses calls with these addresses, naming their places or saying nothing of use."""

    def answer(addresses: list[str], number: int) -> Answer:
        places = tuple(place for place, email in enumerate(addresses) if email in emails)
        if not places:
            return Accepted(f"message-{number}")
        return BadRecipients(places[:1], "personalizations: bad") if names else BadSomewhere("bad request")

    return answer


def once(first: Answer, *then: Answer) -> Callable[[list[str], int], Answer]:
    script = [first, *then]
    return lambda _addresses, number: script[number - 1] if number <= len(script) else Accepted(f"m{number}")
