"""What must be right before a campaign starts, with the arithmetic."""

from typing import Any

import pytest
from pydantic import SecretStr

from mailer.config import Settings
from mailer.config_tables import LIST_UNSUBSCRIBE_MAX_BYTES
from mailer.delivery import preflight
from mailer.links import Doors
from subscribers.errors import NewsletterError

OWN_HOST = "https://api.sendgrid.com"


def with_values(settings: Settings, **tables: dict[str, Any]) -> Settings:
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in tables.items()}
    )


def refusals(settings: Settings) -> str:
    return "\n".join(str(problem) for problem in preflight.look(settings).refusals)


def real(settings: Settings) -> Settings:
    """A site that may send through SendGrid itself."""
    return with_values(
        settings,
        sendgrid={"host": OWN_HOST},
        web={"base_url": "https://news.heme.health"},
        newsletter={
            "from_email": "editor@heme.health",
            "reply_to": "",
            "imprint_url": "https://heme.health/imprint",
            "privacy_url": "https://heme.health/privacy",
            "postal_address": "Heme Health, 12 Rue Verte, Lyon",
        },
    )


def test_the_shipped_configuration_may_send_to_the_sandbox_and_is_warned(settings: Settings) -> None:
    preflight.require_ready(settings)
    said = [str(problem) for problem in preflight.look(settings).warnings]
    assert any("from_email 'editor@example.com' is a placeholder" in warning for warning in said)
    assert any("postal address" in warning for warning in said)


@pytest.mark.parametrize("host", [OWN_HOST, "https://api.eu.sendgrid.com", "https://API.sendgrid.com:443"])
def test_placeholders_are_refused_at_sendgrids_own_hosts(settings: Settings, host: str) -> None:
    said = refusals(with_values(settings, sendgrid={"host": host}))
    assert "from_email" in said
    assert "postal address" in said
    assert "readers cannot reach" in said


@pytest.mark.parametrize(("key", "said"), [("SG.sandbox-abc", "the sandbox's own"), ("", "no API key")])
def test_nothing_is_sent_through_sendgrid_with_the_key_of_the_sandbox(
    settings: Settings, key: str, said: str
) -> None:
    keyed = {"host": OWN_HOST, "api_key": SecretStr(key)}
    assert said in refusals(with_values(real(settings), sendgrid=keyed))
    assert said not in refusals(with_values(settings, sendgrid={"api_key": SecretStr(key)}))


def test_a_real_site_may_send(settings: Settings) -> None:
    report = preflight.look(real(settings))
    assert (report.refusals, report.warnings) == ((), ())


@pytest.mark.parametrize("extra", [0, 1])
def test_the_list_unsubscribe_header_fits_or_the_start_is_refused_with_the_arithmetic(
    settings: Settings, extra: int
) -> None:
    base = "https://" + "n" * (48 - len("https://") + extra)
    site = with_values(settings, web={"base_url": base})
    size = len(Doors(base).list_unsubscribe("t" * 24))
    assert size == LIST_UNSUBSCRIBE_MAX_BYTES + extra
    if extra:
        with pytest.raises(NewsletterError, match="would have 78 bytes") as refusal:
            preflight.require_ready(site)
        assert refusal.value.field == "[web] base_url"
        assert "short_base_url" in str(refusal.value)
        preflight.require_ready(with_values(site, web={"short_base_url": "https://n.example.com"}))
    else:
        preflight.require_ready(site)


def test_one_click_needs_https_outside_this_machine(settings: Settings) -> None:
    assert "https" in refusals(with_values(settings, web={"base_url": "http://news.example.com"}))
    preflight.require_ready(with_values(settings, web={"base_url": "http://localhost:8000"}))


@pytest.mark.parametrize(
    "address",
    [
        "http://news.example.com",
        "https://",
        "https:///path",
        "https://news.example.com?a=1",
        "https://news.example.com/?",
        "https://news.example.com#top",
        "https://me@news.example.com",
        "https://me:secret@news.example.com",
        "https://[news",
        "https://news.example.com:many",
        "ftp://news.example.com",
        "news.example.com",
    ],
)
@pytest.mark.parametrize("name", ["base_url", "short_base_url"])
def test_an_address_that_no_reader_could_follow_safely_is_refused(
    settings: Settings, name: str, address: str
) -> None:
    good = {"base_url": "https://news.example.com", "short_base_url": "https://n.example.com"}
    preflight.require_ready(with_values(settings, web=good))
    said = preflight.look(with_values(settings, web=good | {name: address})).refusals
    assert f"[web] {name}" in {problem.field for problem in said}


@pytest.mark.parametrize(
    "address", ["ünï@example.com", "editor@exämple.com", "nobody", "a b@example.com", "@x.y", ""]
)
def test_a_sender_that_sendgrid_would_refuse_is_refused_here(settings: Settings, address: str) -> None:
    said = preflight.look(with_values(settings, newsletter={"from_email": address})).refusals
    assert [problem.field for problem in said] == ["[newsletter] from_email"]


def test_a_line_break_in_the_senders_name_is_refused(settings: Settings) -> None:
    assert "line break" in refusals(with_values(settings, newsletter={"from_name": "A\r\nBcc: x@y.z"}))


def test_a_name_that_mail_clients_garble_is_warned_of(settings: Settings) -> None:
    found = preflight.look(with_values(real(settings), newsletter={"from_name": "Hématologie"}))
    assert "garble" in str(found.warnings[0])


def test_every_fault_is_named_at_once(settings: Settings) -> None:
    with pytest.raises(NewsletterError) as refusal:
        preflight.require_ready(
            with_values(
                settings,
                newsletter={"from_email": "x"},
                web={"base_url": "http://news.example.com"},
                sendgrid={"host": "http://api.sendgrid.com"},
            )
        )
    assert len(refusal.value.problems) > 2


@pytest.mark.parametrize(("language", "is_known"), [("en", True), ("pt_BR", True), ("xx-Klingon-zz", False)])
def test_a_language_that_letters_cannot_say_is_warned_of(
    settings: Settings, language: str, is_known: bool
) -> None:
    report = preflight.look(with_values(real(settings), newsletter={"language": language}))
    assert [problem.field for problem in report.warnings] == ([] if is_known else ["[newsletter] language"])
