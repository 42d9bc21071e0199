"""What a decision was made from stands in the decision's own row: one table and three indexes fewer for each decision to be written to.

Every decision is rewritten once, which takes its time in a large ledger.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOVE = """
UPDATE decision SET counterpart = evidence.counterpart, roster = evidence.roster, evidence = evidence.body
FROM evidence WHERE evidence.decision_id = decision.decision_id
"""
_SEEN = """
UPDATE roster SET seen_ms = used.last_ms
FROM (SELECT roster, max(decided_ms) AS last_ms FROM decision WHERE roster IS NOT NULL GROUP BY roster) AS used
WHERE used.roster = roster.digest AND used.last_ms > roster.seen_ms
"""
_LZ4 = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"


def upgrade() -> None:
    op.add_column("decision", sa.Column("counterpart", sa.Text()))
    op.add_column("decision", sa.Column("roster", sa.String(64)))
    op.add_column("decision", sa.Column("evidence", sa.LargeBinary()))
    op.execute(_MOVE)
    there = sa.text("counterpart IS NOT NULL")
    op.create_index("decision_counterpart", "decision", ["counterpart"], sqlite_where=there, postgresql_where=there)
    # It was when these people were first known; now it is when they last were.
    op.execute(_SEEN)
    op.drop_table("evidence")
    conn = op.get_bind()
    if conn.dialect.name == "postgresql" and not conn.scalar(sa.text(_LZ4)):
        # Its only compression is so slow there that it costs more than all the rest of writing a decision down.
        op.execute("ALTER TABLE decision ALTER COLUMN body SET STORAGE EXTERNAL")
