"""Campaigns, their questions, who was shown what, who may come in; and votes that were taken back"""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.String().with_variant(sa.String(collation="C"), "postgresql")
Moment = sa.DateTime(timezone=True)
WANTED = "open AND right_answer IS NULL AND answered < overlap"


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", Id, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("open", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.CheckConstraint("form IN ('pair', 'thumb', 'ranking')", name=op.f("ck_campaigns_form")),
        sa.CheckConstraint("id <> ''", name=op.f("ck_campaigns_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_table(
        "guidelines",
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_guidelines_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "version", name=op.f("pk_guidelines")),
    )
    op.create_table(
        "questions",
        sa.Column("id", Id, nullable=False),
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("prompt_id", Id, nullable=False),
        sa.Column("response_ids", sa.JSON(), nullable=False),
        sa.Column("rank", sa.Float(precision=53), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("right_answer", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("named", sa.Text(), nullable=False),
        sa.Column("answered", sa.Integer(), server_default="0", nullable=False),
        sa.Column("open", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.CheckConstraint("id <> ''", name=op.f("ck_questions_id")),
        sa.CheckConstraint("overlap > 0", name=op.f("ck_questions_overlap")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_questions_campaign_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_questions_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
    )
    op.create_index(op.f("ix_questions_campaign_id_rank_id"), "questions", ["campaign_id", "rank", "id"], unique=False)
    op.create_index(
        "ix_questions_wanted",
        "questions",
        ["campaign_id", "rank", "id"],
        unique=False,
        sqlite_where=sa.text(WANTED),
        postgresql_where=sa.text(WANTED),
    )

    op.create_table(
        "users",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", Id, nullable=False),
        sa.Column("annotator_id", Id, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("local", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.CheckConstraint("id <> ''", name=op.f("ck_users_id")),
        sa.CheckConstraint("role IN ('annotator', 'curator', 'admin')", name=op.f("ck_users_role")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_users_annotator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("annotator_id", name=op.f("uq_users_annotator_id")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "invites",
        sa.Column("hash", Id, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.CheckConstraint("role IN ('annotator', 'curator', 'admin')", name=op.f("ck_invites_role")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_invites_user_id")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_invites")),
    )
    op.create_table(
        "assignments",
        sa.Column("question_id", Id, nullable=False),
        sa.Column("annotator_id", Id, nullable=False),
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("until", Moment, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("vote_id", Id, nullable=True),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.CheckConstraint("turn IN ('leased', 'answered', 'skipped')", name=op.f("ck_assignments_turn")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_assignments_annotator_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_assignments_campaign_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_assignments_question_id")),
        sa.PrimaryKeyConstraint("question_id", "annotator_id", name=op.f("pk_assignments")),
    )
    op.create_index(
        op.f("ix_assignments_campaign_id_annotator_id_turn_at"),
        "assignments",
        ["campaign_id", "annotator_id", "turn", "at"],
        unique=False,
    )

    op.create_table(
        "flags",
        sa.Column("id", Id, nullable=False),
        sa.Column("question_id", Id, nullable=False),
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("annotator_id", Id, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("resolved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("id <> ''", name=op.f("ck_flags_id")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_flags_annotator_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_flags_campaign_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_flags_question_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
    )
    op.create_index(op.f("ix_flags_campaign_id_at"), "flags", ["campaign_id", "at"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("hash", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("created", Moment, nullable=False),
        sa.Column("expires", Moment, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    remake: Literal["always", "never"] = (
        "always" if op.get_bind().dialect.name == "sqlite" else "never"
    )  # PostgreSQL alters the table in place
    for votes in ("comparisons", "ratings"):
        with op.batch_alter_table(votes, recreate=remake) as table:
            table.add_column(sa.Column("withdrawn", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    for votes in ("comparisons", "ratings"):
        with op.batch_alter_table(votes) as table:
            table.drop_column("withdrawn")
    for name in ("invites", "sessions", "users", "flags", "assignments", "questions", "guidelines", "campaigns"):
        op.drop_table(name)
