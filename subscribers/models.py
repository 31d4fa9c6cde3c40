"""Tables of the people: who they are, what they chose, what they agreed to, whom never to mail.

Table classes do not validate (SQLModel skips it for `table=True`): values are checked at the door,
in `addresses`, `roster` and `transfer`. Times are UTC-aware.
"""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlmodel import Field, SQLModel

# Names of constraints and indexes, so that migrations can name what they change.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UTCTime(TypeDecorator[datetime]):
    """An instant. SQLite keeps naive text: stored as UTC, given back UTC-aware; a naive value is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite gives rowids to INTEGER PRIMARY KEY only; PostgreSQL should count in 64 bits.
BigId = BigInteger().with_variant(Integer, "sqlite")


def enum_check(column: str, values: type[StrEnum]) -> CheckConstraint:
    """`CHECK (column = … OR …)` for an enum kept as text; the usual value should come first.

    IN (…) says the same, but SQLite tests every value of it for every row: twice the time of a freeze.
    """
    listed = " OR ".join(f"{column} = '{value}'" for value in values)
    return CheckConstraint(listed, name=column)


class SubscriberStatus(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"


class ConsentAction(StrEnum):
    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class ConsentPurpose(StrEnum):
    RECEIVE = "receive"
    TRACK = "track"


class SuppressionReason(StrEnum):
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    INVALID = "invalid"
    MANUAL = "manual"
    IMPORTED = "imported"
    ERASED = "erased"


class Leaving(StrEnum):
    """What a line of leavers.log says of an address."""

    LEFT = "left"
    SUPPRESSED = "suppressed"
    ERASED = "erased"
    BACK = "back"  # agreed anew after leaving, or a suppression was lifted


class ChosenBy(StrEnum):
    READER = "reader"
    IMPORT = "import"
    STAFF = "staff"


class Topic(SQLModel, table=True):
    """The bit that a topic's slug has in `subscriber.topic_mask`; given once, never moved."""

    __tablename__ = "topic"
    slug: str = Field(sa_column=Column(String, primary_key=True))
    bit: int = Field(sa_column=Column(Integer, unique=True, nullable=False))


class Subscriber(SQLModel, table=True):
    """A person with an address. An erased one keeps the row, without name and address."""

    __tablename__ = "subscriber"
    __table_args__ = (
        enum_check("status", SubscriberStatus),
        # Freeze and every count of an audience start from the active ones.
        Index("ix_subscriber_status_mask", "status", "all_topics", "topic_mask"),
        # Counting a segment: everything that most conditions ask of a million readers, in the order of
        # their ids, so that lists and letters are looked up in theirs. An import only appends to it.
        Index(
            "ix_subscriber_segment",
            "status",
            "id",
            "all_topics",
            "topic_mask",
            "track_consent",
            "last_engaged_on",
            "last_clicked_on",
            "created_at",
            "timezone",
        ),
        {"sqlite_autoincrement": True},  # an id is never given to a second person: tokens are derived from it
    )
    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    email: str
    # Casefolded in Python (addresses.comparison_key); of an erased person "erased:<id>".
    email_key: str = Field(sa_column=Column(String, unique=True, nullable=False))
    # HMAC of the comparison key: the join to `suppression` (never the bare address).
    key_hash: str = Field(sa_column=Column(String, nullable=False, index=True))
    name: str | None = None
    status: str = Field(default=SubscriberStatus.ACTIVE)
    all_topics: bool = Field(default=False)
    topic_mask: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    # When the reader last chose topics in person; from then on an import leaves them alone.
    chose_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    timezone: str | None = None
    language: str | None = None
    paused_until: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    source: str = Field(default="")
    attributes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    track_consent: bool = Field(default=False)
    created_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    confirmed_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    unsubscribed_at: datetime | None = Field(default=None, sa_column=Column(UTCTime))
    # The day, not the hour, of the last human open or click (consent given): list hygiene only.
    last_engaged_on: date | None = None
    last_clicked_on: date | None = None  # the same of clicks alone


class Attribute(SQLModel, table=True):
    """A name and a value that people have; derived from `subscriber.attributes`, as are its holders."""

    __tablename__ = "attribute"
    # A hash of name and value (attributes.id_of): unique without an index over long texts.
    id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=False))
    name: str
    folded: str = Field(sa_column=Column(Text, nullable=False))  # the value, casefolded in Python


class AttributeHolder(SQLModel, table=True):
    """Who has which value: what a segment counts without looking at a million people."""

    __tablename__ = "attribute_holder"
    __table_args__ = ({"sqlite_with_rowid": False},)
    attribute_id: int = Field(
        sa_column=Column(BigId, ForeignKey("attribute.id", ondelete="CASCADE"), primary_key=True)
    )
    subscriber_id: int = Field(
        sa_column=Column(BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True)
    )


class TopicChoice(SQLModel, table=True):
    """A reader ticked a topic; `chosen_by` reader or staff shields it from imports."""

    __tablename__ = "topic_choice"
    __table_args__ = (enum_check("chosen_by", ChosenBy), {"sqlite_with_rowid": False})
    subscriber_id: int = Field(
        sa_column=Column(BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True)
    )
    topic: str = Field(sa_column=Column(String, primary_key=True, index=True))
    chosen_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    chosen_by: str = Field(default=ChosenBy.READER)


class MailingList(SQLModel, table=True):
    """A named, hand-kept group of people."""

    __tablename__ = "list"
    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(sa_column=Column(String, unique=True, nullable=False))
    name: str
    created_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class ListMember(SQLModel, table=True):
    __tablename__ = "list_member"
    __table_args__ = ({"sqlite_with_rowid": False},)
    list_id: int = Field(
        sa_column=Column(Integer, ForeignKey("list.id", ondelete="CASCADE"), primary_key=True)
    )
    subscriber_id: int = Field(
        sa_column=Column(BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True, index=True)
    )
    added_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class Segment(SQLModel, table=True):
    """A saved rule that picks subscribers; the rule is a typed tree in JSON."""

    __tablename__ = "segment"
    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(sa_column=Column(String, unique=True, nullable=False))
    name: str
    rule: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(sa_column=Column(UTCTime, nullable=False))


class Consent(SQLModel, table=True):
    """Proof, append-only: who agreed to or withdrew what, when, in which words (GDPR art. 7)."""

    __tablename__ = "consent"
    __table_args__ = (
        enum_check("action", ConsentAction),
        enum_check("purpose", ConsentPurpose),
        # Who agreed to be measured after a day: of them nobody can say that they did not open before.
        Index(
            "ix_consent_track",
            "at",
            "subscriber_id",
            sqlite_where=text("purpose = 'track' AND action = 'given'"),
            postgresql_where=text("purpose = 'track' AND action = 'given'"),
        ),
    )
    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    subscriber_id: int = Field(
        sa_column=Column(BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False, index=True)
    )
    action: str
    purpose: str
    wording: str = Field(default="")
    wording_version: str = Field(default="")
    basis: str = Field(default="")
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    source: str = Field(default="")
    agent: str | None = None


class Suppression(SQLModel, table=True):
    """An address never to mail, by keyed hash; no foreign key, since it outlives the reader."""

    __tablename__ = "suppression"
    __table_args__ = (enum_check("reason", SuppressionReason), {"sqlite_with_rowid": False})
    key_hash: str = Field(sa_column=Column(String, primary_key=True))
    key_id: int = Field(default=1)  # which suppression key made the hash
    reason: str
    detail: str = Field(default="")
    since: datetime = Field(sa_column=Column(UTCTime, nullable=False))
    source: str = Field(default="")


class Leaver(SQLModel, table=True):
    """On its way into leavers.log: written in the transaction in which somebody left or came back."""

    __tablename__ = "leaver"
    __table_args__ = (enum_check("what", Leaving), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    key_hash: str
    key_id: int = Field(default=1)  # which suppression key made the hash
    what: str
    at: datetime = Field(sa_column=Column(UTCTime, nullable=False))
