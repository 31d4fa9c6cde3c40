"""The letters of a freeze before it commits: their links named, each edition rendered once, no lock held.

Writes link rows only: letters name them, and a link that no edition needs in the end harms nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery.body import draw_nonce
from mailer.delivery.plan import Plan
from mailer.editions.compose import compose
from mailer.editions.content import EditionContent
from mailer.editions.links import CampaignLinks, link_places
from mailer.editions.render import RenderedEdition, render
from mailer.links import Slots, doors_of
from mailer.tables import links
from subscribers.failpoints import Point, reach
from subscribers.tables import upsert


@dataclass(frozen=True, slots=True)
class Prepared:
    """An edition of a freeze, and the nonce of its slots."""

    content: EditionContent
    rendered: RenderedEdition
    nonce: str


def prepare(
    database: Database, campaign_id: int, plan: Plan, settings: Settings, prepared: dict[str, Prepared]
) -> None:
    """Render what `plan` needs and `prepared` lacks; the link rows come first, since letters name them."""
    contents = {
        edition.selection.key: compose(plan.issue, edition.selection, settings)
        for edition in plan.editions
        if edition.selection.key not in prepared
    }
    if not contents:
        return
    ids = _link_ids(database, campaign_id, contents.values())
    reach(Point.LINKS_MADE)
    for key, content in contents.items():
        prepared[key] = _render(content, plan.issue.slug, ids, settings)


def _link_ids(
    database: Database, campaign_id: int, contents: Iterable[EditionContent]
) -> dict[tuple[str, str], int]:
    wanted = {(link.place, link.url): link for content in contents for link in link_places(content)}
    with database.ledger() as connection:
        if wanted:
            connection.execute(
                upsert(links).on_conflict_do_nothing(index_elements=["campaign_id", "place", "url"]),
                [
                    {
                        "campaign_id": campaign_id,
                        "place": link.place,
                        "url": link.url,
                        "story_number": link.story_number,
                    }
                    for link in wanted.values()
                ],
            )
        rows = connection.execute(
            select(links.c.place, links.c.url, links.c.id).where(links.c.campaign_id == campaign_id)
        )
        return {(place, url): number for place, url, number in rows}


def _render(
    content: EditionContent, slug: str, ids: dict[tuple[str, str], int], settings: Settings
) -> Prepared:
    """The letter with slot keys whose nonce occurs nowhere but in them."""
    doors = doors_of(settings)
    while True:
        nonce = draw_nonce(repr(content), repr(settings.newsletter), slug, doors.base_url)
        slots = Slots(nonce)
        rendered = render(content, settings, CampaignLinks(doors, slots, ids, slug), slots)
        if nonce not in content.subject:
            return Prepared(content, rendered, nonce)
