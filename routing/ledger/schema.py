"""The tables of the ledger, for SQLite and PostgreSQL alike. ``migrations/`` brings a database to this shape.

Instants are whole milliseconds since 1970 in UTC (columns ending in ``_ms``); bodies are JSON text of the structs in
``routing.core.model``, readable with any SQL client. A ``ref`` is ``system:entity:record_id``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zlib import crc32

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

# SQLite only numbers a column by itself when it is INTEGER PRIMARY KEY.
Sequence = BigInteger().with_variant(Integer, "sqlite")

journal = Table(
    "journal",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("ref", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    # accepted | incomplete | reread: not settled yet; applied | skipped | parked: the three ends
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("body", Text, nullable=False, default=""),
    Column("raw", LargeBinary),
    Column("occurred_ms", BigInteger, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
    Column("settled_ms", BigInteger),
    # Which share of the log the record belongs to: crc32(ref) & 0x7fff. With n partitions its partition is slot % n.
    Column("slot", Integer, nullable=False, default=0),
    Index("journal_state", "state", "seq"),
    Index("journal_ref", "ref"),
    sqlite_autoincrement=True,  # a number is never given twice, even after the newest row was erased
)

position = Table(
    "position",
    metadata,
    Column("system", String(64), primary_key=True),
    Column("stream", String(128), primary_key=True),
    Column("cursor", LargeBinary, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

mirror = Table(
    "mirror",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("entity", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Index("mirror_entity", "entity"),
)

mirror_key = Table(
    "mirror_key",
    metadata,
    Column("key", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Index("mirror_key_ref", "ref"),
)

decision = Table(
    "decision",
    metadata,
    Column("decision_id", String(36), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("ref", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("owner", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("rung", Text, nullable=False),
    Column("corrections", Integer, nullable=False),
    Column("policy", String(64), nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("decision_seq", "seq"),
    Index("decision_ref", "ref"),
)

pool_member = Table(
    "pool_member",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("person", String(320), primary_key=True),
    Column("assigned", BigInteger, nullable=False),
    Column("ideal", Float(53), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("write_id", String(36), nullable=False, unique=True),
    Column("decision_id", String(36), nullable=False),
    Column("system", String(64), nullable=False),
    Column("ref", Text, nullable=False),
    # pending | sending: owed; confirmed | superseded | parked: the three ends
    Column("state", String(16), nullable=False),
    Column("body", Text, nullable=False),
    # Fields of ours whose echo has not come back yet, as a JSON list; "[]" once all did.
    Column("unechoed", Text, nullable=False),
    # 1 when an earlier try may have happened: the record must be read before anything is sent again.
    Column("doubtful", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("detail", Text, nullable=False, default=""),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),  # of the event, so that latency is one subtraction
    Column("accepted_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    # Who is sending it: the seat of a courier, so that others can tell when its process died.
    Column("courier", String(64), nullable=False, default=""),
    Index("outbox_state", "state", "system", "seq"),
    Index("outbox_ref", "ref"),
    sqlite_autoincrement=True,
)

timer = Table(
    "timer",
    metadata,
    Column("timer_id", String(36), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("ref", Text, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Index("timer_due", "due_ms"),
    Index("timer_ref", "ref"),
)

policy = Table(
    "policy",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("files", LargeBinary, nullable=False),
    Column("live_ms", BigInteger, nullable=False),
)

# How far each partition of the log has been settled. ``epoch`` grows with every new holder: who held it before is fenced.
share = Table(
    "share",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String(200), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

# Decisions that other consumers have not been told of yet.
announcement = Table(
    "announcement",
    metadata,
    Column("decision_id", String(36), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Index("announcement_seq", "seq"),
)

# The people of the CRMs as decisions knew them; ``digest`` is the sha256 of the body before it was compressed (zlib).
roster = Table(
    "roster",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

# What each decision was made from, so that it can be made again, byte for byte. Empty once it was erased.
evidence = Table(
    "evidence",
    metadata,
    Column("decision_id", String(36), primary_key=True),
    Column("ref", Text, nullable=False),
    # The same person's record in another system, whose values are in the body too.
    Column("counterpart", Text),
    Column("roster", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("evidence_ref", "ref"),
    Index("evidence_counterpart", "counterpart"),
)


def slot_of(ref: str) -> int:
    """The share of the log a record belongs to, 0 to 32,767; the same on every machine and for any number of partitions."""
    return crc32(ref.encode("utf-8", "surrogatepass")) & 0x7FFF


def ref_of(system: str, entity: str, record_id: str) -> str:
    """The name of a CRM record within the ledger."""
    return f"{system}:{entity}:{record_id}"


def split_ref(ref: str) -> tuple[str, str, str]:
    """``(system, entity, record_id)`` of a ref."""
    system, entity, record_id = ref.split(":", 2)
    return system, entity, record_id


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware moment."""
    return round(moment.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The aware UTC moment of ``ms``."""
    return datetime.fromtimestamp(ms / 1000, UTC)
