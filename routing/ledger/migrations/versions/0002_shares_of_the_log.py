"""Several processes on one ledger: shares of the log, couriers' seats, announcements; and what decisions were made from."""

import sqlalchemy as sa
from alembic import op

from routing.ledger.schema import slot_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journal", sa.Column("slot", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("courier", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "share",
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "announcement",
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_index("announcement_seq", "announcement", ["seq"])
    op.create_table(
        "roster",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "evidence",
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("counterpart", sa.Text()),
        sa.Column("roster", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_index("evidence_ref", "evidence", ["ref"])
    op.create_index("evidence_counterpart", "evidence", ["counterpart"])
    _fill_slots()


def _fill_slots() -> None:
    """Only entries that wait need theirs; for the others nobody asks."""
    conn = op.get_bind()
    rows = conn.execute(
        sa.text("SELECT seq, ref FROM journal WHERE state IN ('accepted', 'incomplete', 'reread', 'parked')")
    )
    found = [{"seq": seq, "slot": slot_of(ref)} for seq, ref in rows]
    if found:
        conn.execute(sa.text("UPDATE journal SET slot = :slot WHERE seq = :seq"), found)
