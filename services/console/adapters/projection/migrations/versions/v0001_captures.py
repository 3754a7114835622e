"""Tables of captures, corrections and positions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables and indexes."""
    op.create_table(
        "captures",
        sa.Column("line", sa.Text, primary_key=True),
        sa.Column("capture_id", sa.Text, primary_key=True),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("image_uri", sa.Text, nullable=False),
        sa.Column("captured_us", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("serial", sa.Text),
        sa.Column("verdict_weights", sa.Text),
        sa.Column("verdict_score", sa.Double),
        sa.Column("verdict_threshold", sa.Double),
        sa.Column("verdict_mask_uri", sa.Text),
        sa.Column("judged_us", sa.BigInteger),
        sa.Column("pseudo_weights", sa.Text),
        sa.Column("pseudo_score", sa.Double),
        sa.Column("pseudo_threshold", sa.Double),
        sa.Column("pseudo_mask_uri", sa.Text),
        sa.Column("pseudo_confidence", sa.Double),
        sa.Column("score", sa.Double),
        sa.Column("decision", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("person", sa.Text),
        sa.Column("corrected_us", sa.BigInteger),
        sa.Column("classes", sa.Text),
    )
    op.create_table(
        "corrections",
        sa.Column("line", sa.Text, primary_key=True),
        sa.Column("capture_id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("is_published", sa.Boolean, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_table(
        "positions",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    op.create_index("captures_newest", "captures", ["line", "received_us", "capture_id"])
    op.create_index("captures_score", "captures", ["line", "score", "capture_id"])
    for column in ("product", "decision", "state"):
        op.create_index(f"captures_{column}", "captures", ["line", column, "received_us", "capture_id"])
    for column in ("serial", "answer", "person"):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"captures_{column}",
            "captures",
            ["line", column, "received_us", "capture_id"],
            sqlite_where=where,
            postgresql_where=where,
        )


def downgrade() -> None:
    """Drop the tables: they are built again from topics and store."""
    for table in ("positions", "corrections", "captures"):
        op.drop_table(table)
