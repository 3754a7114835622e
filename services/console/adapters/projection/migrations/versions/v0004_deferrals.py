"""Table of deferrals: captures that a person put off."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "deferrals",
        sa.Column("line", sa.Text, primary_key=True),
        sa.Column("capture_id", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("deferred_us", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table: people are asked again."""
    op.drop_table("deferrals")
