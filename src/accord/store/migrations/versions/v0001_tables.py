"""Prompts, responses, annotators and their votes"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "annotators",
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.CheckConstraint("id <> ''", name=op.f("ck_annotators_id")),
        sa.CheckConstraint("kind IN ('human', 'simulated', 'dataset')", name=op.f("ck_annotators_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotators")),
    )
    op.create_table(
        "prompts",
        sa.Column("id", Id, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.CheckConstraint("id <> ''", name=op.f("ck_prompts_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
    )
    op.create_table(
        "responses",
        sa.Column("id", Id, nullable=False),
        sa.Column("prompt_id", Id, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("demonstration", sa.Boolean(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.CheckConstraint("id <> ''", name=op.f("ck_responses_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_responses_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_responses")),
        sa.UniqueConstraint("prompt_id", "id", name=op.f("uq_responses_prompt_id_id")),
    )
    op.create_table(
        "comparisons",
        sa.Column("id", Id, nullable=False),
        sa.Column("annotator_id", Id, nullable=False),
        sa.Column("prompt_id", Id, nullable=False),
        sa.Column("left_id", Id, nullable=False),
        sa.Column("right_id", Id, nullable=False),
        sa.Column("choice", sa.String(), nullable=False),
        sa.Column("sides", sa.String(), nullable=False),
        sa.Column("strength", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("guideline", sa.Text(), nullable=False),
        sa.Column("supersedes", Id, nullable=True),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.CheckConstraint("choice IN ('left', 'right', 'tie', 'both_bad')", name=op.f("ck_comparisons_choice")),
        sa.CheckConstraint("id <> ''", name=op.f("ck_comparisons_id")),
        sa.CheckConstraint("sides IN ('shuffled', 'fixed', 'unknown')", name=op.f("ck_comparisons_sides")),
        sa.CheckConstraint("strength BETWEEN 1 AND 3", name=op.f("ck_comparisons_strength")),
        sa.CheckConstraint("supersedes <> id", name=op.f("ck_comparisons_supersedes")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_comparisons_annotator_id")),
        sa.ForeignKeyConstraint(
            ["prompt_id", "left_id"],
            ["responses.prompt_id", "responses.id"],
            name=op.f("fk_comparisons_prompt_id_left_id"),
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id", "right_id"],
            ["responses.prompt_id", "responses.id"],
            name=op.f("fk_comparisons_prompt_id_right_id"),
        ),
        sa.ForeignKeyConstraint(["supersedes"], ["comparisons.id"], name=op.f("fk_comparisons_supersedes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
    )
    op.create_table(
        "ratings",
        sa.Column("id", Id, nullable=False),
        sa.Column("annotator_id", Id, nullable=False),
        sa.Column("prompt_id", Id, nullable=False),
        sa.Column("response_id", Id, nullable=False),
        sa.Column("desirable", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("guideline", sa.Text(), nullable=False),
        sa.Column("supersedes", Id, nullable=True),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.CheckConstraint("id <> ''", name=op.f("ck_ratings_id")),
        sa.CheckConstraint("supersedes <> id", name=op.f("ck_ratings_supersedes")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_ratings_annotator_id")),
        sa.ForeignKeyConstraint(
            ["prompt_id", "response_id"],
            ["responses.prompt_id", "responses.id"],
            name=op.f("fk_ratings_prompt_id_response_id"),
        ),
        sa.ForeignKeyConstraint(["supersedes"], ["ratings.id"], name=op.f("fk_ratings_supersedes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ratings")),
    )
    for votes in ("comparisons", "ratings"):
        op.create_index(
            op.f(f"ix_{votes}_supersedes"),
            votes,
            ["supersedes"],
            unique=True,
            sqlite_where=sa.text("supersedes IS NOT NULL"),
            postgresql_where=sa.text("supersedes IS NOT NULL"),
        )


def downgrade() -> None:
    for table in ("ratings", "comparisons", "responses", "prompts", "annotators"):
        op.drop_table(table)
