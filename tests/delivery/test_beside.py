"""Two campaigns side by side: what one of them waits for is not the other's business."""

from mailer.delivery.send import Step, Worked, run_once
from mailer.issues import store
from tests.delivery.conftest import FRONT, SOURCE, Site
from tests.delivery.fake import Provider
from tests.delivery.steps import work
from tests.delivery.test_fences import fenced
from tests.delivery.test_seeds import with_seeds
from tests.delivery.test_timing import with_sending


def another_issue(site: Site) -> None:
    """The next campaign of the site is of an issue of its own."""
    with site.database.ledger() as connection:
        site.issue = store.import_issue(
            connection,
            (FRONT.replace("week-01", "week-02") + SOURCE).encode(),
            file="week-02.txt",
            slug=None,
            settings=site.settings,
            author="",
            now=site.clock.now,
        ).issue


def test_a_campaign_ends_whatever_another_waits_for(site: Site) -> None:
    with_seeds(site, "one@example.com")
    first = fenced(site, 2)
    provider = Provider()
    work(site, provider)
    assert site.status(first).accepted == 3
    another_issue(site)
    site.settings = site.settings.model_copy(
        update={"sending": site.settings.sending.model_copy(update={"seed_list": ""})}
    )
    second = site.freeze()
    work(site, provider, second)
    assert site.status(second).status == "finished"
    with_sending(site, seed_list="Editors")
    assert run_once(site.send_by(provider), "a", second) == Step(Worked.IDLE, second, None)
    assert run_once(site.send_by(provider), "a", first).wake_at is not None
    assert run_once(site.send_by(provider), "a").wake_at is not None
