"""Pools kept as rotations with all that ever happened to them; people's absences, clocks, and what waits for a pool."""

import msgspec
import sqlalchemy as sa
from alembic import op

from routing.core.model import Record
from routing.ledger import open_records

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _pools()
    _clocks()
    _absences()


def _pools() -> None:
    op.rename_table("pool_member", "pool_member_before")
    op.create_table(
        "pool",
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("virtual", sa.Float(53), nullable=False),
        sa.Column("total", sa.Float(53), nullable=False),
        sa.Column("surplus", sa.Float(53), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("closed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "kind"),
    )
    op.create_table(
        "pool_member",
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("person", sa.String(320), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Float(53), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("mark", sa.Float(53), nullable=False),
        sa.Column("assigned", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.Float(53), nullable=False),
        sa.Column("load", sa.Float(53), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "kind", "person"),
    )
    op.create_table(
        "pool_entry",
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.String(320), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("leads", sa.Float(53), nullable=False),
        sa.Column("weight", sa.Float(53), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("among", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "kind", "seq"),
    )
    op.create_index("pool_entry_time", "pool_entry", ["pool", "at_ms"])
    op.create_table(
        "pool_snapshot",
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "kind", "seq"),
    )
    op.create_table(
        "pool_bond",
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("person", sa.String(320), nullable=False),
        sa.PrimaryKeyConstraint("pool", "key"),
    )
    op.create_table(
        "holding",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("rank", sa.Float(53), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ref"),
    )
    op.create_index("holding_pool", "holding", ["pool"])
    op.create_table(
        "open_record",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(320), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ref"),
    )
    op.create_index("open_record_owner", "open_record", ["owner"])
    _carry_over()
    _count_open()
    op.drop_table("pool_member_before")


def _carry_over() -> None:
    """Who was behind or ahead stays so. Decisions out of a pool cannot be made again from what was kept with them before."""
    conn = op.get_bind()
    number: dict[str, int] = {}
    for pool, person, assigned, ideal in conn.execute(
        sa.text("SELECT pool, person, assigned, ideal FROM pool_member_before ORDER BY pool, person")
    ).all():
        if pool not in number:
            made = "INSERT INTO pool (pool, kind, seq, virtual, total, surplus, value, closed) VALUES (:pool, '', 0, 0, 0, 0, 0, '')"
            conn.execute(sa.text(made), {"pool": pool})
        row = {
            "pool": pool,
            "person": person,
            "number": number.get(pool, 0),
            "assigned": assigned,
            "mark": ideal - assigned,
        }
        number[pool] = row["number"] + 1
        conn.execute(
            sa.text(
                "INSERT INTO pool_member (pool, kind, person, number, weight, state, mark, assigned, credits, load, value, why)"
                " VALUES (:pool, '', :person, :number, 0, 'out', :mark, :assigned, 0, 0, 0, '')"
            ),
            row,
        )
    conn.execute(
        sa.text("DELETE FROM evidence WHERE decision_id IN (SELECT decision_id FROM decision WHERE pool <> '')")
    )


def _count_open() -> None:
    """What is in the mirror already counts too."""
    conn = op.get_bind()
    found = conn.execute(
        sa.text("SELECT body FROM mirror WHERE entity IN ('lead', 'contact')"),
        execution_options={"stream_results": True},  # of the connection itself they would stay for all that follows
    )
    read = msgspec.json.Decoder(Record).decode
    while rows := found.fetchmany(1000):
        open_records.save(conn, [read(body) for (body,) in rows])


def _clocks() -> None:
    op.add_column("timer", sa.Column("rank", sa.Float(53), nullable=False, server_default="0"))
    op.add_column("timer", sa.Column("since_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("timer_purpose", "timer", ["purpose", "due_ms"])
    op.create_table(
        "clock",
        sa.Column("clock_id", sa.String(36), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("person", sa.String(320), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("limit_ms", sa.BigInteger(), nullable=False),
        sa.Column("spent_ms", sa.BigInteger(), nullable=False),
        sa.Column("breached_ms", sa.BigInteger()),
        sa.Column("closed_ms", sa.BigInteger()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("clock_id"),
    )
    op.create_index("clock_ref", "clock", ["ref", "state"])
    op.create_index("clock_started", "clock", ["started_ms"])
    op.create_table(
        "assignment",
        sa.Column("decision_id", sa.String(36), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("person", sa.String(320), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fresh", sa.Integer(), nullable=False),
        sa.Column("occurred_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_index("assignment_ref", "assignment", ["ref"])
    op.create_index("assignment_decided", "assignment", ["decided_ms"])


def _absences() -> None:
    op.create_table(
        "absence",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person", sa.String(320), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("of", sa.BigInteger()),
        sa.Column("begins", sa.Text(), nullable=False),
        sa.Column("ends", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("absence_of", "absence", ["of"])
    op.create_index("absence_person", "absence", ["person"])
    op.create_index("absence_until", "absence", ["until_ms"])
    op.create_table(
        "presence",
        sa.Column("person", sa.String(320), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
    )
