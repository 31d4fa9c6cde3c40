"""Tables of what came back from letters, and of what is counted of it.

Like `mailer.models`: every index carries its reason, and who may write a state is said in its enum.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, text
from sqlmodel import Field, SQLModel

from subscribers.models import BigId, UTCTime


class Verdict(StrEnum):
    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


# Events that a letter is asked for by its id: hits, and what its fate does not tell. SendGrid's own course of
# each letter stays out: most events are of it, and every page of the index would be touched by them.
BESIDE_ITS_FATE = (
    "(verdict IS NOT NULL OR "
    "kind NOT IN ('processed', 'deferred', 'delivered', 'bounce', 'dropped', 'spamreport'))"
)


class Event(SQLModel, table=True):
    """What happened later: a webhook row or a hit of our own. No address, no IP."""

    __tablename__ = "event"
    __table_args__ = (
        Index(
            "ix_event_delivery",
            "delivery_id",
            "occurred_at",
            sqlite_where=text(BESIDE_ITS_FATE),
            postgresql_where=text(BESIDE_ITS_FATE),
        ),  # bursts, first opens and clicks, and whether a letter in doubt was seen
        Index("ix_event_campaign_kind", "campaign_id", "kind", "link_id"),  # numbers of one campaign
        Index(
            "ix_event_unsettled",
            "received_at",
            sqlite_where=text("settled = 0"),
            postgresql_where=text("NOT settled"),
        ),  # hits whose verdict still waits for the burst window
    )
    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    # "sg:" + sg_event_id, without one "h:" + SHA-256 of the canonical row, own hits "w:" + uuid
    dedupe_key: str = Field(sa_column=Column(String, unique=True, nullable=False))
    campaign_id: int | None = None
    delivery_id: int | None = Field(default=None, sa_column=Column(BigId, nullable=True))
    kind: str  # SendGrid's words, our own "open", "click", "head", and "unreadable": a mark without content
    occurred_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    received_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    link_id: int | None = None
    verdict: str | None = None
    rule: str | None = None
    settled: bool = Field(default=True, sa_column=Column(Boolean, nullable=False))
    # Allow-list: type, status, classification, masked reason, agent family, attempt (design, decision 7)
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class CampaignCount(SQLModel, table=True):
    """The numbers of a campaign as they were last counted: a page reads one row, never a million."""

    __tablename__ = "campaign_count"
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    )
    counted_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    seconds: float  # how long the counting took: what is dear to count is counted more rarely
    numbers: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Counter(SQLModel, table=True):
    """Running totals that a page must not count row by row (unknown deliveries, bad rows)."""

    __tablename__ = "counter"
    name: str = Field(sa_column=Column(String, primary_key=True))
    value: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
