"""The editor's preview: the same render and call, and nothing counted."""

import re
from typing import Any

import pytest
from sqlalchemy import func, select

from mailer.delivery import testletters
from mailer.delivery.transport import NotSent, Stopped
from mailer.editions.links import SAMPLE_TOKENS
from mailer.editions.select import every_selection
from mailer.editions.select import select as choose
from mailer.links import Purpose, Slot, Tokens
from mailer.tables import campaigns, deliveries, subscribers, test_letters
from subscribers import suppression
from subscribers.errors import NewsletterError
from subscribers.models import SuppressionReason
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider, addresses_of


def send(site: Site, provider: Provider, *to: str, topics: frozenset[str] | None = None, **named: Any) -> Any:
    selection = choose(site.issue, topics, site.settings)
    assert selection is not None
    return testletters.send(
        site.database,
        provider,
        site.issue,
        [selection],
        to or ("me@ours.org",),
        settings=site.settings,
        now=site.clock.now,
        **named,
    )


def test_it_says_in_its_subject_what_it_is(site: Site) -> None:
    provider = Provider()
    [sent] = send(site, provider, topics=frozenset({"car-t"}))
    assert re.fullmatch(r"\[TEST\] CAR-T · r1 · .+", provider.calls[0]["subject"])
    assert sent.as_json()["subject"] == provider.calls[0]["subject"]


def test_it_goes_to_each_address_alone_once(site: Site) -> None:
    provider = Provider()
    send(site, provider, "a@ours.org", "b@ours.org", "A@ours.org")
    assert sorted(email.casefold() for email in addresses_of(provider.calls[0])) == [
        "a@ours.org",
        "b@ours.org",
    ]


def test_nothing_is_counted_and_nobody_is_made(site: Site) -> None:
    send(site, Provider())
    with site.database.reader() as connection:
        for table in (campaigns, deliveries, subscribers):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0
        [row] = connection.execute(select(test_letters)).all()
    assert (row.revision_hash, row.revision_id, row.recipients) == (
        site.issue.hash,
        site.issue.revision_id,
        1,
    )


def test_its_links_open_no_door_of_a_reader(site: Site) -> None:
    provider = Provider()
    send(site, provider)
    [person] = provider.calls[0]["personalizations"]
    assert "custom_args" not in person
    assert SAMPLE_TOKENS[Slot.LEAVE] in person["headers"]["List-Unsubscribe"]
    tokens = Tokens([secret.get_secret_value() for secret in site.settings.web.secrets])
    text = " ".join(part["value"] for part in provider.calls[0]["content"])
    for token in [*re.findall(r"/[cuvpo]/([\w-]{24})", text), SAMPLE_TOKENS[Slot.LEAVE]]:
        assert all(tokens.open(purpose, token) is None for purpose in Purpose)
    assert "/t/" in text


def test_it_greets_like_the_campaign_would(site: Site) -> None:
    provider = Provider()
    send(site, provider, name="Ann <b>")
    values = provider.calls[0]["personalizations"][0]["substitutions"].values()
    assert sorted(values) == ["Ann &lt;b&gt;", "Ann <b>"]


def test_every_edition_is_a_call_of_its_own(site: Site) -> None:
    provider = Provider()
    selections = every_selection(site.issue, site.settings)
    sent = testletters.send(
        site.database,
        provider,
        site.issue,
        selections,
        ["me@ours.org"],
        settings=site.settings,
        now=site.clock.now,
    )
    assert [letter.edition for letter in sent] == [selection.key for selection in selections]
    assert len({call["subject"] for call in provider.calls}) == len(selections) == 7


@pytest.mark.parametrize("number", [0, 11])
def test_one_to_ten_addresses(site: Site, number: int) -> None:
    provider = Provider()
    selection = choose(site.issue, None, site.settings)
    assert selection is not None
    with pytest.raises(NewsletterError, match="1 to 10 addresses"):
        testletters.send(
            site.database,
            provider,
            site.issue,
            [selection],
            [f"r{place}@ours.org" for place in range(number)],
            settings=site.settings,
            now=site.clock.now,
        )
    assert provider.calls == []


def test_a_suppressed_address_gets_no_test_either(site: Site) -> None:
    with site.database.ledger() as connection:
        suppression.suppress(
            connection,
            key_hash=suppression.key_hash("me@ours.org", site.suppression_key),
            reason=SuppressionReason.MANUAL,
            now=site.clock.now,
        )
    with pytest.raises(NewsletterError, match="suppressed"):
        send(site, Provider())


def test_only_to_holds_for_tests(site: Site) -> None:
    sending = site.settings.sending.model_copy(update={"only_to": ("@elsewhere.org",)})
    site.settings = site.settings.model_copy(update={"sending": sending})
    with pytest.raises(NewsletterError, match="only_to"):
        send(site, Provider())


@pytest.mark.parametrize(
    "answer", [Stopped("the key was refused (401)", "Mend it.", 401), NotSent("refused")]
)
def test_a_refusal_says_why_and_what_to_do(site: Site, answer: Any) -> None:
    with pytest.raises(NewsletterError, match="refused") as refusal:
        send(site, Provider(lambda *_: answer))
    assert refusal.value.cure
