"""Tables of the house itself: its calendar, what was approved, what needs a person, and who it is.

Like `mailer.models`; states are text with a CHECK, and who may write them is said in their enum.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from subscribers.models import UTCTime, enum_check


class MarkKind(StrEnum):
    """What a person said of a revision."""

    READY = "ready"  # the editor is done
    APPROVED = "approved"  # it may go


class ScheduleKind(StrEnum):
    ONCE = "once"
    WEEKLY = "weekly"


class OccurrenceState(StrEnum):
    """Written by delivery/schedule only."""

    PENDING = "pending"  # its time is to come, or nobody has looked since
    RUNNING = "running"  # its campaign is being prepared or sent
    DONE = "done"
    MISSED = "missed"  # later than `[schedule] latest`: a person decides
    SKIPPED = "skipped"  # nothing was approved, or the schedule was changed; the reason says which


class SeedState(StrEnum):
    """A seed's letters go once or are given up; nothing of them is ever repeated."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"


class Mark(SQLModel, table=True):
    """`ready` or `approve` said of one revision, with the hashes of what was looked at."""

    __tablename__ = "mark"
    __table_args__ = (
        enum_check("kind", MarkKind),
        Index("ix_mark_revision", "revision_id", "kind"),
    )
    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    revision_id: int = Field(foreign_key="revision.id")
    kind: str
    revision_hash: str
    templates_hash: str
    by: str  # the system user's name, until accounts exist
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class Schedule(SQLModel, table=True):
    """A civil time and zone, once or every week."""

    __tablename__ = "schedule"
    __table_args__ = (
        enum_check("kind", ScheduleKind),
        # One weekly rule at a time; a changed configuration ends the old one.
        Index(
            "uq_schedule_weekly",
            "kind",
            unique=True,
            sqlite_where=text("kind = 'weekly' AND ended_at IS NULL"),
            postgresql_where=text("kind = 'weekly' AND ended_at IS NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    rule: str  # "2026-04-10 07:30" or "fri 07:30"
    zone: str
    is_local: bool = False  # at this time in each reader's own zone; `zone` is that of readers without one
    created_by: str = ""
    created_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))


class Occurrence(SQLModel, table=True):
    """One civil date-time of a schedule, resolved to UTC: the truth about what is due."""

    __tablename__ = "occurrence"
    __table_args__ = (
        enum_check("state", OccurrenceState),
        UniqueConstraint("schedule_id", "civil"),
        # Each tick looks for what is due; what is over is never wanted.
        Index(
            "ix_occurrence_open",
            "at",
            sqlite_where=text("state IN ('pending', 'running')"),
            postgresql_where=text("state IN ('pending', 'running')"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    schedule_id: int = Field(
        sa_column=Column(Integer, ForeignKey("schedule.id", ondelete="CASCADE"), nullable=False)
    )
    civil: str  # "2026-04-10 07:30" in the schedule's zone
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))  # of a local one: the first zone's
    zone_data: str  # version of the zone data it was resolved with
    state: str = Field(default=OccurrenceState.PENDING)
    reason: str | None = None
    reminders: int = Field(default=0)  # reminders given that nothing is approved
    settled_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))


class Notice(SQLModel, table=True):
    """Something that needs a person, raised once and ended when it is over."""

    __tablename__ = "notice"
    __table_args__ = (
        Index(
            "uq_notice_open",
            "kind",
            "about",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    kind: str  # "paused", "uncertain", "missed", "skipped", "webhook silent", "disk low", …
    about: str = ""  # what tells two of a kind apart: "campaign 3", "fri 07:30 on 2026-04-10"
    campaign_id: int | None = None
    said: str
    cure: str = ""
    raised_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    # When each way out took it; set before a letter leaves, so that it never goes twice.
    emailed_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    posted_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    post_tries: int = Field(default=0)
    post_from: datetime | None = Field(default=None, sa_column=Column(UTCTime))


class SeedLetter(SQLModel, table=True):
    """One edition for the people of the seed list, ahead of everybody else; counted nowhere."""

    __tablename__ = "seed_letter"
    __table_args__ = (enum_check("state", SeedState),)
    campaign_id: int = Field(
        sa_column=Column(Integer, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    )
    edition_id: int = Field(
        sa_column=Column(Integer, ForeignKey("edition.id", ondelete="CASCADE"), primary_key=True)
    )
    state: str = Field(default=SeedState.WAITING)
    not_before: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    claimed_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    detail: str = ""


class Identity(SQLModel, table=True):
    """Which site this database belongs to: one row, compared with a file of the site's folder."""

    __tablename__ = "identity"
    id: int | None = Field(default=None, primary_key=True)  # always 1
    instance: str  # random, hex; a restored backup gets a new one
    adopted_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class Heartbeat(SQLModel, table=True):
    """When something that should happen happened last: a tick, an event from SendGrid."""

    __tablename__ = "heartbeat"
    name: str = Field(sa_column=Column(String, primary_key=True))
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
