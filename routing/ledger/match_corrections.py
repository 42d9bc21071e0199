"""What people said about matches: this record, and all of its company, belongs to that account, or does not."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, Row, delete, select, update

from routing.core.matching.decide import Said
from routing.ledger.schema import from_ms, match_correction, split_ref, to_ms
from routing.ledger.sql import chunks, delete_rows, one_of, upsert

_COMPANY = "company:"
_FIND = select(match_correction).where(one_of(match_correction.c.subject, "subjects"))


class Correction(Struct, frozen=True):
    """One that a person made: of the record ``ref`` ("" once it was erased), about the account of the ref ``account``."""

    ref: str
    account: str
    same: bool
    by: str
    because: str
    at: datetime


def subjects(ref: str, company: str) -> list[str]:
    """Under which names corrections of a record are kept: its own, and its company's unless that is not known."""
    return [ref, _COMPANY + company] if company else [ref]


def add(conn: Connection, made: Correction, company: str) -> None:
    """Stores a correction, in place of an earlier one about the same record or company and the same account."""
    row = {
        "account": made.account,
        "ref": made.ref,
        "same": int(made.same),
        "said_by": made.by,
        "because": made.because,
        "said_ms": to_ms(made.at),
    }
    upsert(conn, match_correction, [{"subject": one, **row} for one in subjects(made.ref, company)])


def find(conn: Connection, wanted: Collection[str]) -> dict[str, list[Said]]:
    """What was said, by subject, in a fixed order."""
    found: dict[str, list[Said]] = {}
    for some in chunks(sorted(wanted)):
        for row in conn.execute(_FIND, {"subjects": some}).all():
            found.setdefault(row.subject, []).append(_said(row))
    for said in found.values():
        said.sort(key=lambda one: (one.at, one.system, one.account_id))
    return found


def _said(row: Row[tuple[object, ...]]) -> Said:
    system, _, account_id = split_ref(row.account)
    of = "company" if row.subject.startswith(_COMPANY) else "record"
    at = from_ms(row.said_ms).isoformat(timespec="milliseconds")
    return Said(system, account_id, bool(row.same), row.said_by, row.because, at, of)


def all_made(conn: Connection) -> list[Correction]:
    """Every correction whose record was not erased, in the order in which they were made."""
    query = select(match_correction).where(
        match_correction.c.subject == match_correction.c.ref, match_correction.c.ref != ""
    )
    return [
        Correction(row.ref, row.account, bool(row.same), row.said_by, row.because, from_ms(row.said_ms))
        for row in conn.execute(
            query.order_by(match_correction.c.said_ms, match_correction.c.subject, match_correction.c.account)
        )
    ]


def follow(conn: Connection, gone: str, into: str) -> bool:
    """What was said of the account ``gone``, which was merged into another, holds for that one: of two words on one subject the later.

    Both are refs. Returns whether anything was said of it.
    """
    of_both = select(match_correction).where(match_correction.c.account.in_([gone, into]))
    rows = conn.execute(of_both.order_by(match_correction.c.subject, match_correction.c.account)).all()
    moved = [row for row in rows if row.account == gone != into]
    said = {row.subject: row.said_ms for row in rows if row.account == into}
    delete_rows(conn, match_correction, [{"subject": row.subject, "account": gone} for row in moved])
    later = [row for row in moved if row.said_ms > said.get(row.subject, -1)]
    upsert(conn, match_correction, [{**row._mapping, "account": into} for row in later])
    return bool(moved)


def follow_record(conn: Connection, gone: str, into: str) -> None:
    """What was said of the record ``gone``, which was merged into another, holds for that one: of two words on one account the later."""
    rows = conn.execute(select(match_correction).where(match_correction.c.subject.in_([gone, into]))).all()
    said = {row.account: row.said_ms for row in rows if row.subject == into}
    moved = [row for row in rows if row.subject == gone]
    delete_rows(conn, match_correction, [{"subject": gone, "account": row.account} for row in moved])
    later = [row for row in moved if row.said_ms > said.get(row.account, -1)]
    upsert(conn, match_correction, [{**row._mapping, "subject": into, "ref": into} for row in later])
    conn.execute(update(match_correction).where(match_correction.c.ref == gone).values(ref=into))


def erase(conn: Connection, ref: str) -> None:
    """Forgets what was said of a record (a legal erasure). That its company is or is not an account stays, without the words."""
    conn.execute(delete(match_correction).where(match_correction.c.subject == ref))
    where = match_correction.c.ref == ref
    conn.execute(update(match_correction).where(where).values(ref="", because="(erased)"))
