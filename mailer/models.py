"""Tables of the work: issues, campaigns, the ledger of every letter. What came back: `event_models`.

Columns name the words of the design. Every index carries its reason. A state is text with a CHECK;
who may write it is said in its enum.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlmodel import Field, SQLModel

from subscribers.models import BigId, UTCTime, enum_check


class IssueKind(StrEnum):
    WEEKLY = "weekly"
    DIGEST = "digest"
    CORRECTION = "correction"


class CampaignStatus(StrEnum):
    PREPARING = "preparing"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    MISSED = "missed"


class ChunkState(StrEnum):
    WAITING = "waiting"
    CLAIMED = "claimed"
    SUBMITTING = "submitting"
    ACCEPTED = "accepted"
    UNCERTAIN = "uncertain"
    SPLIT = "split"
    REJECTED = "rejected"
    WITHHELD = "withheld"


class AttemptOutcome(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"  # an answer that proves nothing was queued
    NOT_SENT = "not_sent"  # proof that no byte of the request left
    UNCERTAIN = "uncertain"
    WITHDRAWN = "withdrawn"  # its fence was cancelled before it could go: as good as not sent


class Handover(StrEnum):
    """Written by delivery/ only."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHHELD = "withheld"
    HELD = "held"


class Fate(StrEnum):
    """Written by events only, ranked in this order, never backwards."""

    NONE = "none"
    PROCESSED = "processed"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    PROVIDER_DROPPED = "provider_dropped"
    COMPLAINED = "complained"


class FenceState(StrEnum):
    OPEN = "open"  # takes chunks
    CANCELLING = "cancelling"  # takes none any more; nobody knows yet that SendGrid cancelled it
    CANCELLED = "cancelled"  # SendGrid said so (201): nothing of it goes
    SPENT = "spent"  # its time has come: what was accepted has gone


class Issue(SQLModel, table=True):
    """One number of the weekly."""

    __tablename__ = "issue"
    __table_args__ = (enum_check("kind", IssueKind),)
    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(sa_column=Column(String, unique=True, nullable=False))
    kind: str = Field(default=IssueKind.WEEKLY)
    created_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class Revision(SQLModel, table=True):
    """One save of an issue: the pasted bytes and the document read from them."""

    __tablename__ = "revision"
    __table_args__ = (UniqueConstraint("issue_id", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    number: int  # 1, 2, … within the issue
    source: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    document: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    hash: str  # SHA-256 of the source, hex
    author: str = Field(default="")
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class Campaign(SQLModel, table=True):
    """The plan to send one issue to one audience at one time."""

    __tablename__ = "campaign"
    __table_args__ = (
        enum_check("status", CampaignStatus),
        # An issue has one unfinished campaign at most, however often it is asked for in parallel.
        Index(
            "uq_campaign_unfinished",
            "issue_id",
            unique=True,
            sqlite_where=text("status NOT IN ('finished', 'cancelled')"),
            postgresql_where=text("status NOT IN ('finished', 'cancelled')"),
        ),
        # However many clocks tick: one campaign for an occurrence, unless it was cancelled.
        Index(
            "uq_campaign_occurrence",
            "occurrence_id",
            unique=True,
            sqlite_where=text("occurrence_id IS NOT NULL AND status <> 'cancelled'"),
            postgresql_where=text("occurrence_id IS NOT NULL AND status <> 'cancelled'"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    revision_id: int = Field(foreign_key="revision.id")
    # Names of lists and segments: lists, segments, exclude_lists, exclude_segments.
    audience: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    status: str = Field(default=CampaignStatus.PREPARING)
    owner: str | None = None  # the process that prepares it: others see when it is gone
    pause_reason: str | None = None
    # The first call goes alone; the others start after its answer proved the request good.
    proven: bool = Field(default=False)
    # A limit of rate or a missing network holds back all of its chunks, not the one that met it.
    not_before: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    created_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    frozen_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    started_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    finished_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    # What the letters said of themselves at the freeze: from, reply-to (JSON), so that every call agrees.
    sender: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_by: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    occurrence_id: int | None = None  # when it goes; None: at once
    # What was approved, where approval is needed: other templates than those pause it.
    approval_id: int | None = None
    # Calls in a row that ended without an answer: the circuit breaker. Any answer sets it to 0.
    failures: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    # A person said `resume --yes` to a missed one: lateness is no reason any more.
    may_be_late: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )


class CampaignStory(SQLModel, table=True):
    """The stories of a campaign as they were sent: what numbers by story and topic refer to."""

    __tablename__ = "campaign_story"
    __table_args__ = ({"sqlite_with_rowid": False},)
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True)  # position in the issue, from 1
    story_id: str  # kept over revisions
    title: str
    topics: list[str] = Field(sa_column=Column(JSON, nullable=False))  # [] = everyone


class Edition(SQLModel, table=True):
    """A selection rendered within a campaign: one body shared by all its readers."""

    __tablename__ = "edition"
    __table_args__ = (UniqueConstraint("campaign_id", "key"),)
    id: int | None = Field(default=None, primary_key=True)
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    key: str
    label: str
    topics: list[str] = Field(sa_column=Column(JSON, nullable=False))
    stories: list[int] = Field(sa_column=Column(JSON, nullable=False))  # numbers in the issue
    topic_stories: list[int] = Field(sa_column=Column(JSON, nullable=False))  # those that match its topics
    subject: str
    preheader: str
    html: str = Field(sa_column=Column(Text, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    html_bytes: int
    text_bytes: int
    slot_nonce: str  # eight characters that occur nowhere in it: `[[nonce:t]]`
    audience: int = Field(default=0)


class Link(SQLModel, table=True):
    """Where a click of a campaign leads; the target comes from here, never from the URL."""

    __tablename__ = "link"
    __table_args__ = (UniqueConstraint("campaign_id", "place", "url"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True)
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    place: str  # "story:3", "faq:2", "cta:1", "reference:3", "keyword", "dive", "footer"
    story_number: int | None = None
    url: str = Field(sa_column=Column(Text, nullable=False))


class Chunk(SQLModel, table=True):
    """Up to `[sending] chunk_size` deliveries of one edition, handed over in one call."""

    __tablename__ = "chunk"
    __table_args__ = (
        enum_check("state", ChunkState),
        # A claim looks for the oldest chunk that may go; accepted ones are most rows and never wanted.
        Index(
            "ix_chunk_open",
            "state",
            "id",
            sqlite_where=text("state IN ('waiting', 'claimed', 'submitting', 'uncertain')"),
            postgresql_where=text("state IN ('waiting', 'claimed', 'submitting', 'uncertain')"),
        ),
        Index("ix_chunk_campaign", "campaign_id", "state"),  # the equation, progress, cancel
    )
    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    edition_id: int = Field(
        sa_column=Column(Integer, ForeignKey("edition.id", ondelete="CASCADE"), nullable=False)
    )
    state: str = Field(default=ChunkState.WAITING)
    # How many deliveries it has, and how many of them are out already: the rest share its state, so
    # that the equation is a sum over chunks.
    recipients: int
    rejected: int = Field(default=0)
    withheld: int = Field(default=0)
    owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    failures: int = Field(default=0)  # proofs of not sent in a row: the back-off
    # The chunk that this one was once a part of (the first, however often it was halved); it counts for
    # all of them: readers named or found bad by 400 answers, and refused requests spent on finding them.
    # A part of one reader counts in `probes` how often it was put back while nothing had ever passed.
    parent_id: int | None = Field(default=None, sa_column=Column(BigId))
    # Not to be claimed before: the planned time, a reader's own morning, the end of a grace.
    not_before: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    # The fence under which it was handed over last; accepted there, it can still be taken back.
    fence_id: int | None = None
    rejects: int = Field(default=0)
    probes: int = Field(default=0)


class Attempt(SQLModel, table=True):
    """One call, committed before it leaves; the id travels in every letter of it (`nl_a`)."""

    __tablename__ = "attempt"
    __table_args__ = (
        Index("ix_attempt_chunk", "chunk_id"),
        Index("ix_attempt_message", "message_id"),
        Index("ix_attempt_started", "started_at"),  # letters of the last minute, hour and day: the limits
    )
    id: str = Field(sa_column=Column(String, primary_key=True))  # uuid4 hex
    chunk_id: int = Field(sa_column=Column(BigId, ForeignKey("chunk.id", ondelete="CASCADE"), nullable=False))
    started_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    outcome: str | None = None
    http_status: int | None = None
    message_id: str | None = None
    detail: str = Field(default="")  # what the answer said, no address in it
    body_hash: str
    recipients: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    fence_id: int | None = None  # with the fence's batch id and time; None: to go at once


class Fence(SQLModel, table=True):
    """One SendGrid batch id with its `send_at`, shared by some chunks: what can still be taken back."""

    __tablename__ = "fence"
    __table_args__ = (
        enum_check("state", FenceState),
        # Two workers that need the same slot at the same moment share one batch id.
        Index(
            "uq_fence_open",
            "campaign_id",
            "slot",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    slot: int  # 0 to `[sending] fence_slots` - 1
    batch_id: str = Field(sa_column=Column(String, unique=True, nullable=False))
    send_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    state: str = Field(default=FenceState.OPEN)
    opened_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    # The calls to cancel it: not before (a lost answer's call may still run), and whose turn it is.
    cancel_from: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    tries: int = Field(default=0)
    owner: str | None = None
    lease_until: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))


# Why a letter in doubt was given up: it may have arrived, so that its place stays taken.
DROPPED = "dropped"
# Nobody gets an issue twice; a cancelled letter that never left frees the place.
HOLDS_THE_PLACE = f"handover <> '{Handover.WITHHELD}' OR reason = '{DROPPED}'"


class Delivery(SQLModel, table=True):
    """One edition for one reader: the letter and its fate."""

    __tablename__ = "delivery"
    __table_args__ = (
        enum_check("handover", Handover),
        enum_check("fate", Fate),
        Index(
            "uq_delivery_once",
            "issue_id",
            "subscriber_id",
            unique=True,
            sqlite_where=text(HOLDS_THE_PLACE),
            postgresql_where=text(HOLDS_THE_PLACE),
        ),
        Index("ix_delivery_chunk", "chunk_id"),  # building a call, changing the state of its letters
        Index("ix_delivery_subscriber", "subscriber_id"),  # every letter of one person
        {"sqlite_autoincrement": True},  # an id is never given twice: tokens are derived from it
    )
    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    campaign_id: int
    issue_id: int
    subscriber_id: int | None = Field(
        sa_column=Column(BigId, ForeignKey("subscriber.id", ondelete="SET NULL"), nullable=True)
    )
    edition_id: int
    chunk_id: int = Field(sa_column=Column(BigId, nullable=False))
    email: str  # blanked by erasure
    # The reader agreed to be measured when the letter was made: the base of every rate. Set by the freeze.
    measured: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    handover: str = Field(
        default=Handover.WAITING, sa_column=Column(String, nullable=False, server_default="waiting")
    )
    reason: str | None = None
    fate: str = Field(default=Fate.NONE, sa_column=Column(String, nullable=False, server_default="none"))
    fate_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    first_human_open_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    first_human_click_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))


class Skip(SQLModel, table=True):
    """A reader of the audience who gets nothing, and why."""

    __tablename__ = "skip"
    __table_args__ = ({"sqlite_with_rowid": False},)
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    )
    subscriber_id: int = Field(
        sa_column=Column(BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True)
    )
    reason: str


class TestLetter(SQLModel, table=True):
    """A preview that an editor sent; counted nowhere."""

    __tablename__ = "test_letter"
    __test__ = False  # not a test class
    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    revision_id: int = Field(foreign_key="revision.id")
    revision_hash: str
    edition_key: str
    subject: str
    recipients: int
    author: str = Field(default="")
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    message_id: str | None = None
