"""Every table of the schema as SQLAlchemy Core knows it; rooms take their tables from here.

Queries are set-wise, never ORM sessions (design, section 9). The people's own tables stand in
`subscribers.tables`, under the names by which this package calls them.
"""

from typing import cast

from sqlalchemy import ColumnElement, Table, literal_column, or_

from mailer import event_models, house_models, models
from subscribers import tables as people


def _table(of: type) -> Table:
    return cast(Table, of.__table__)  # type: ignore[attr-defined]


issues = _table(models.Issue)
revisions = _table(models.Revision)
campaigns = _table(models.Campaign)
campaign_stories = _table(models.CampaignStory)
campaign_counts = _table(event_models.CampaignCount)
editions = _table(models.Edition)
links = _table(models.Link)
chunks = _table(models.Chunk)
attempts = _table(models.Attempt)
fences = _table(models.Fence)
deliveries = _table(models.Delivery)
skips = _table(models.Skip)
events = _table(event_models.Event)
counters = _table(event_models.Counter)
test_letters = _table(models.TestLetter)

marks = _table(house_models.Mark)
schedules = _table(house_models.Schedule)
occurrences = _table(house_models.Occurrence)
notices = _table(house_models.Notice)
seed_letters = _table(house_models.SeedLetter)
identities = _table(house_models.Identity)
heartbeats = _table(house_models.Heartbeat)

subscribers = people.subscriber
suppressions = people.suppression
lists = people.mailing_list
list_members = people.list_member
topics = people.topic
consents = people.consent
leavers = people.leaver


def holds_the_place() -> ColumnElement[bool]:
    """The condition on `deliveries` that a reader has the issue by this letter: nobody gets an issue twice.

    In the words of the index `uq_delivery_once`, which answers it alone.
    """
    withheld: ColumnElement[str] = literal_column(f"'{models.Handover.WITHHELD}'")
    dropped: ColumnElement[str] = literal_column(f"'{models.DROPPED}'")
    return or_(deliveries.c.handover != withheld, deliveries.c.reason == dropped)
