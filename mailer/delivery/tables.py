"""The tables that delivery reads and writes, as SQLAlchemy Core knows them."""

from typing import cast

from sqlalchemy import Table

from mailer import models
from subscribers import models as people


def _table(of: type) -> Table:
    return cast(Table, of.__table__)  # type: ignore[attr-defined]


campaigns = _table(models.Campaign)
campaign_stories = _table(models.CampaignStory)
editions = _table(models.Edition)
links = _table(models.Link)
chunks = _table(models.Chunk)
attempts = _table(models.Attempt)
deliveries = _table(models.Delivery)
skips = _table(models.Skip)
events = _table(models.Event)
issues = _table(models.Issue)
revisions = _table(models.Revision)
test_letters = _table(models.TestLetter)
subscribers = _table(people.Subscriber)
suppressions = _table(people.Suppression)
lists = _table(people.MailingList)
list_members = _table(people.ListMember)
topics = _table(people.Topic)
