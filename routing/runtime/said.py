"""What a person says about a match: stored so that the next event obeys it, and read again as labels for the weights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from routing.core.matching.decide import company_of
from routing.core.model import Record
from routing.core.recognise import lead_side
from routing.ledger import match_corrections, mirror, policies
from routing.ledger.match_corrections import Correction
from routing.runtime.matching import ACCOUNT, LEAD
from rules.fields import OF_PEOPLE
from rules.policy import compile_policy


class UnknownRecordError(Exception):
    """A record that the correction names is not there, or not only one: ``args[0]`` says so, and what to do."""


def say(conn: Connection, lead: str, account: str, same: bool, by: str, because: str, now: datetime) -> Correction:
    """Stores that a lead (or contact) belongs to an account, or does not; the same holds for all of its company.

    ``lead`` and ``account`` are CRM record ids, or whole refs (``salesforce:lead:00Q…``). Raises UnknownRecordError.
    """
    of, to = _only(conn, lead, OF_PEOPLE), _only(conn, account, ("account",))
    digest = policies.live(conn)
    files = policies.load(conn, digest) if digest is not None else None
    company = company_of(lead_side(of, compile_policy(files))) if files is not None else ""
    made = Correction(mirror.ref(of), mirror.ref(to), same, by, because, now)
    match_corrections.add(conn, made, company)
    return made


def _only(conn: Connection, name: str, entities: tuple[str, ...]) -> Record:
    what = " or ".join(entities)
    found = mirror.named(conn, name, entities)
    if not found:
        raise UnknownRecordError(
            f"The ledger knows no {what} '{name}'. Give the id as the CRM's API shows it (18 characters in Salesforce)."
        )
    if len(found) > 1:
        refs = ", ".join(sorted(found))
        raise UnknownRecordError(f"'{name}' is the id of several records. Say which is meant: {refs}.")
    ((_, record),) = found.items()
    if record.deleted:
        raise UnknownRecordError(f"The {record.entity} '{name}' was deleted or merged into another in {record.system}.")
    return record


def labels(conn: Connection) -> Iterator[dict[str, Any]]:
    """A row for `fingerpost match tune` of every correction whose records are still there."""
    for one in match_corrections.all_made(conn):
        there = mirror.load(conn, {one.ref, one.account})
        lead, account = there.get(one.ref), there.get(one.account)
        if lead is None or account is None or lead.deleted or account.deleted:
            continue
        row: dict[str, Any] = {"lead.id": one.ref, "account.id": account.record_id, "same": one.same}
        row |= {f"lead.{name}": lead.values[name] for name in LEAD if lead.values.get(name)}
        row |= {f"account.{name}": account.values[name] for name in ACCOUNT if account.values.get(name)}
        yield row
