"""On time and accounted for."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import subscribers.models

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("adopted_at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
    )
    op.create_table(
        "leaver",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("what", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "what = 'left' OR what = 'suppressed' OR what = 'erased' OR what = 'back'",
            name=op.f("ck_leaver_what"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaver")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("about", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("said", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("cure", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("raised_at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.Column("ended_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.Column("emailed_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.Column("posted_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.Column("post_tries", sa.Integer(), nullable=False),
        sa.Column("post_from", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index(
            "uq_notice_open",
            ["kind", "about"],
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.create_table(
        "schedule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("rule", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("zone", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("is_local", sa.Boolean(), nullable=False),
        sa.Column("created_by", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("created_at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.Column("ended_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind = 'once' OR kind = 'weekly'", name=op.f("ck_schedule_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.create_index(
            "uq_schedule_weekly",
            ["kind"],
            unique=True,
            sqlite_where=sa.text("kind = 'weekly' AND ended_at IS NULL"),
            postgresql_where=sa.text("kind = 'weekly' AND ended_at IS NULL"),
        )

    op.create_table(
        "occurrence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("schedule_id", sa.Integer(), nullable=False),
        sa.Column("civil", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.Column("zone_data", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("reminders", sa.Integer(), nullable=False),
        sa.Column("settled_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state = 'pending' OR state = 'running' OR state = 'done' OR state = 'missed' OR state = 'skipped'",
            name=op.f("ck_occurrence_state"),
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedule.id"], name=op.f("fk_occurrence_schedule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_occurrence")),
        sa.UniqueConstraint("schedule_id", "civil", name=op.f("uq_occurrence_schedule_id_civil")),
    )
    with op.batch_alter_table("occurrence", schema=None) as batch_op:
        batch_op.create_index(
            "ix_occurrence_open",
            ["at"],
            unique=False,
            sqlite_where=sa.text("state IN ('pending', 'running')"),
            postgresql_where=sa.text("state IN ('pending', 'running')"),
        )

    op.create_table(
        "mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("revision_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("templates_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("by", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind = 'ready' OR kind = 'approved'", name=op.f("ck_mark_kind")),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name=op.f("fk_mark_issue_id")),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"], name=op.f("fk_mark_revision_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mark")),
    )
    with op.batch_alter_table("mark", schema=None) as batch_op:
        batch_op.create_index("ix_mark_revision", ["revision_id", "kind"], unique=False)

    op.create_table(
        "fence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("send_at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("opened_at", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.Column("cancel_from", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("owner", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("lease_until", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.Column("ended_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state = 'open' OR state = 'cancelling' OR state = 'cancelled' OR state = 'spent'",
            name=op.f("ck_fence_state"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_fence_campaign_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fence")),
        sa.UniqueConstraint("batch_id", name=op.f("uq_fence_batch_id")),
    )
    with op.batch_alter_table("fence", schema=None) as batch_op:
        batch_op.create_index(
            "uq_fence_open",
            ["campaign_id", "slot"],
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.create_table(
        "seed_letter",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("not_before", subscribers.models.UTCTime(timezone=True), nullable=False),
        sa.Column("claimed_at", subscribers.models.UTCTime(timezone=True), nullable=True),
        sa.Column("detail", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.CheckConstraint(
            "state = 'waiting' OR state = 'claimed' OR state = 'accepted' OR state = 'refused' OR state = 'uncertain'",
            name=op.f("ck_seed_letter_state"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_seed_letter_campaign_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_seed_letter_edition_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "edition_id", name=op.f("pk_seed_letter")),
    )
    # Added in place: a table made anew would take along what refers to its rows.
    op.add_column("attempt", sa.Column("recipients", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempt", sa.Column("fence_id", sa.Integer(), nullable=True))
    op.create_index("ix_attempt_started", "attempt", ["started_at"])
    op.add_column("campaign", sa.Column("created_by", sa.String(), server_default="", nullable=False))
    op.add_column("campaign", sa.Column("occurrence_id", sa.Integer(), nullable=True))
    op.add_column("campaign", sa.Column("approval_id", sa.Integer(), nullable=True))
    op.add_column("campaign", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    # '0' is false on both databases; an expression would make the whole table anew on SQLite.
    op.add_column("campaign", sa.Column("may_be_late", sa.Boolean(), server_default="0", nullable=False))
    op.create_index(
        "uq_campaign_occurrence",
        "campaign",
        ["occurrence_id"],
        unique=True,
        sqlite_where=sa.text("occurrence_id IS NOT NULL AND status <> 'cancelled'"),
        postgresql_where=sa.text("occurrence_id IS NOT NULL AND status <> 'cancelled'"),
    )
    op.add_column("chunk", sa.Column("not_before", subscribers.models.UTCTime(timezone=True), nullable=True))
    op.add_column("chunk", sa.Column("fence_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("chunk", schema=None) as batch_op:
        batch_op.drop_column("fence_id")
        batch_op.drop_column("not_before")

    with op.batch_alter_table("campaign", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_campaign_occurrence",
            sqlite_where=sa.text("occurrence_id IS NOT NULL AND status <> 'cancelled'"),
            postgresql_where=sa.text("occurrence_id IS NOT NULL AND status <> 'cancelled'"),
        )
        batch_op.drop_column("may_be_late")
        batch_op.drop_column("failures")
        batch_op.drop_column("approval_id")
        batch_op.drop_column("occurrence_id")
        batch_op.drop_column("created_by")

    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index("ix_attempt_started")
        batch_op.drop_column("fence_id")
        batch_op.drop_column("recipients")

    op.drop_table("seed_letter")
    with op.batch_alter_table("fence", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_fence_open",
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.drop_table("fence")
    with op.batch_alter_table("mark", schema=None) as batch_op:
        batch_op.drop_index("ix_mark_revision")

    op.drop_table("mark")
    with op.batch_alter_table("occurrence", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_occurrence_open",
            sqlite_where=sa.text("state IN ('pending', 'running')"),
            postgresql_where=sa.text("state IN ('pending', 'running')"),
        )

    op.drop_table("occurrence")
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_schedule_weekly",
            sqlite_where=sa.text("kind = 'weekly' AND ended_at IS NULL"),
            postgresql_where=sa.text("kind = 'weekly' AND ended_at IS NULL"),
        )

    op.drop_table("schedule")
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_notice_open",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.drop_table("notice")
    op.drop_table("leaver")
    op.drop_table("identity")
    op.drop_table("heartbeat")
