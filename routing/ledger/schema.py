"""The tables of the ledger, for SQLite and PostgreSQL alike. ``migrations/`` brings a database to this shape.

Instants are whole milliseconds since 1970 in UTC (columns ending in ``_ms``); bodies are JSON text of the structs in
``routing.core.model``, readable with any SQL client. A ``ref`` is ``system:entity:record_id``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zlib import crc32

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

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

# By which keys an account, a contact or a lead is found by what is like it: 64-bit hashes (routing.core.keys). Rows, not lists of numbers
# in one row: two workers may file two accounts under one key at the same time.
match_key = Table(
    "match_key",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# What stands behind a number, and what is compared of it (msgpack), so that a candidate is weighed without reading its record.
match_record = Table(
    "match_record",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("ref", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What people said: ``subject`` (a record, or all of one company) belongs to the account, or does not.
match_correction = Table(
    "match_correction",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    # The record it was said of; the same in both rows that one correction has. "" once that was erased.
    Column("ref", Text, nullable=False),
    Column("same", Integer, nullable=False),
    Column("said_by", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("said_ms", BigInteger, nullable=False),
    Index("match_correction_ref", "ref"),
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
    # What it was made from, so that it can be made again, byte for byte: null once that was forgotten, empty once it was erased.
    Column("evidence", LargeBinary),
    Column("roster", String(64)),
    # The same person's record in another system, whose values are in the evidence too.
    Column("counterpart", Text),
    Index("decision_seq", "seq"),
    Index("decision_ref", "ref"),
    Index(
        "decision_counterpart",
        "counterpart",
        sqlite_where=text("counterpart IS NOT NULL"),
        postgresql_where=text("counterpart IS NOT NULL"),
    ),
)

# One rotation each: a pool, or the part of it that is of one kind of lead. ``seq`` is the number of its last entry.
pool = Table(
    "pool",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("kind", String(200), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("virtual", Float(53), nullable=False),
    Column("total", Float(53), nullable=False),
    Column("surplus", Float(53), nullable=False),
    Column("value", Float(53), nullable=False),
    Column("closed", Text, nullable=False, default=""),
)

# How its members stand. All of it follows from ``pool_entry``; ``routing.core.distribution.rotation`` says what the numbers mean.
pool_member = Table(
    "pool_member",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("kind", String(200), primary_key=True),
    Column("person", String(320), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("weight", Float(53), nullable=False),
    # out | in | full: full are those who filled a cap and are counted on until their share has reached it
    Column("state", String(8), nullable=False),
    Column("mark", Float(53), nullable=False),
    Column("assigned", BigInteger, nullable=False),
    Column("credits", Float(53), nullable=False),
    Column("load", Float(53), nullable=False),
    Column("value", Float(53), nullable=False),
    Column("why", Text, nullable=False),
    # What of the claim was credited by hand, and is not made up for yet.
    Column("granted", Float(53), nullable=False, server_default="0"),
)

# Everything that ever happened to a rotation, in order; rows are added and never changed.
pool_entry = Table(
    "pool_entry",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("kind", String(200), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("person", String(320), nullable=False),
    Column("what", String(16), nullable=False),
    Column("leads", Float(53), nullable=False),
    Column("weight", Float(53), nullable=False),
    Column("value", Float(53), nullable=False),
    # Who could have had this lead, where that was not everybody in turn: a hexadecimal number with one bit a member.
    Column("among", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("decision_id", String(36), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # When the lead that is given back by this entry was given; NULL where it names none.
    Column("given_ms", BigInteger),
    # The turn that is given back by this entry, or taken again; NULL where it names none.
    Column("turn", Text),
    Index("pool_entry_time", "pool", "at_ms"),
    Index("pool_entry_turn", "turn", sqlite_where=text("turn IS NOT NULL"), postgresql_where=text("turn IS NOT NULL")),
)

# A rotation as it stood after an entry, so that it can be had as it was without going back to its beginning (JSON, zlib).
pool_snapshot = Table(
    "pool_snapshot",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("kind", String(200), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# Whose an account or a contact is in a sticky pool.
pool_bond = Table(
    "pool_bond",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("person", String(320), nullable=False),
)

# Records that wait for somebody of a pool ("" for none), or for the ``person`` that a rung names ("" for nobody). They are taken up by
# ``rank`` (higher first), then by age.
holding = Table(
    "holding",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("pool", String(200), nullable=False),
    Column("rank", Float(53), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("person", String(320), nullable=False, default=""),
    Index("holding_pool", "pool"),
    Index("holding_person", "person"),
)

# Records that are open work and whose: what load balanced pools and caps on open leads count. ``owner`` is a person's key, or an
# id in the record's CRM.
open_record = Table(
    "open_record",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("owner", String(320), nullable=False),
    Column("body", Text, nullable=False),
    Index("open_record_owner", "owner"),
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
    # The ref of the record above it that the CRM locks along with it (its account, the campaign of a new member), else its own.
    Column("locks", Text, nullable=False, server_default=""),
    # 0: gives a record to somebody, makes one, joins some; 1: corrects fields, and is sent when nothing of lane 0 is due.
    Column("lane", Integer, nullable=False, server_default="0"),
    Index("outbox_state", "state", "system", "lane", "seq"),
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
    Column("rank", Float(53), nullable=False, default=0.0),
    Column("since_ms", BigInteger, nullable=False, default=0),
    Index("timer_due", "due_ms"),
    Index("timer_purpose", "purpose", "due_ms"),
    Index("timer_ref", "ref"),
)

# SLA clocks: what reports sum up in columns, the whole ``ClockState`` in the body.
clock = Table(
    "clock",
    metadata,
    Column("clock_id", String(36), primary_key=True),
    Column("ref", Text, nullable=False),
    Column("name", String(200), nullable=False),
    # running | paused: open; stopped | ended: closed
    Column("state", String(16), nullable=False),
    Column("person", String(320), nullable=False),
    Column("pool", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("limit_ms", BigInteger, nullable=False),
    Column("spent_ms", BigInteger, nullable=False),  # of business time, until it was closed
    Column("breached_ms", BigInteger),
    Column("closed_ms", BigInteger),
    Column("body", Text, nullable=False),
    Index("clock_ref", "ref", "state"),
    Index("clock_started", "started_ms"),
)

# Each time a record was given to somebody or put on hold, and when it was touched: what speed to lead is made of.
assignment = Table(
    "assignment",
    metadata,
    Column("decision_id", String(36), primary_key=True),
    Column("ref", Text, nullable=False),
    Column("person", String(320), nullable=False),
    Column("pool", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column(
        "fresh", Integer, nullable=False
    ),  # 1: this was the first for the change; 0: it waited, or was taken from somebody
    Column("occurred_ms", BigInteger, nullable=False),  # of the event that led to it
    Column("decided_ms", BigInteger, nullable=False),
    Column("touched_ms", BigInteger),
    Index("assignment_ref", "ref"),
    Index("assignment_decided", "decided_ms"),
)

# What was entered about people's days: rows are added and never changed, but for the key of somebody whose e-mail address did. ``number`` grows with every entry, and with every
# report of presence: it is the version of all that is known of people's absence.
absence = Table(
    "absence",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("person", String(320), nullable=False),
    Column("kind", String(8), nullable=False),  # off | pause | end: ends the entry numbered ``of``
    Column("of", BigInteger),
    Column("begins", Text, nullable=False),
    Column("ends", Text, nullable=False),
    Column("until_ms", BigInteger),  # over by then in every time zone; null while it has no end
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("absence_of", "of"),
    Index("absence_person", "person"),
    Index("absence_until", "until_ms"),
)

# What was last reported of each person's presence.
presence = Table(
    "presence",
    metadata,
    Column("person", String(320), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("available", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("until_ms", BigInteger),
    Column("source", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

policy = Table(
    "policy",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("files", LargeBinary, nullable=False),
    Column("live_ms", BigInteger, nullable=False),
)

# How far each partition of the log has been settled. ``epoch`` grows with every new holder: who held it before is fenced. ``log_id`` is
# Kafka's id of the topic that the offset counts in, "" where the brokers tell none.
share = Table(
    "share",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String(200), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("log_id", String(36), nullable=False, server_default=""),
)

# Decisions that other consumers have not been told of yet.
announcement = Table(
    "announcement",
    metadata,
    Column("decision_id", String(36), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Index("announcement_seq", "seq"),
)

# The people of the CRMs as decisions knew them; ``digest`` is the sha256 of the body before it was compressed (zlib). ``seen_ms`` is
# when one last did, or up to a day before.
roster = Table(
    "roster",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

# Whose records a decision's evidence holds besides its own and the counterpart's: those that may be the same person.
evidence_person = Table(
    "evidence_person",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("decision_id", String(36), primary_key=True),
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
