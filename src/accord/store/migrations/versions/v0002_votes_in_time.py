"""Votes are read in the order of time without sorting them"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for votes in ("comparisons", "ratings"):
        op.create_index(op.f(f"ix_{votes}_at_id"), votes, ["at", "id"])


def downgrade() -> None:
    for votes in ("comparisons", "ratings"):
        op.drop_index(op.f(f"ix_{votes}_at_id"), votes)
