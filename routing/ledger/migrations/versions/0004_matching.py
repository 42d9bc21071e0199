"""Matching by more than the domain: an index of what is like a record, what people said, and whose records a decision was shown.

The index itself is filled by ``routing.ledger.match_index.ensure``, once the tables are there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "match_key",
        sa.Column("key", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("key", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "match_record",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "match_correction",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("same", sa.Integer(), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("said_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "account"),
    )
    op.create_index("match_correction_ref", "match_correction", ["ref"])
    op.create_table(
        "evidence_person",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("ref", "decision_id"),
    )
    # Accounts are no longer found by the text of their domain.
    op.execute("DELETE FROM mirror_key WHERE key LIKE 'domain:%'")
