"""An erasure that the CRM does not tell of by itself: written to the journal like any event, so that the loop carries it out."""

from __future__ import annotations

from uuid import uuid4

from routing.core.model import ChangeEvent
from routing.ledger import decisions, journal, mirror
from routing.ledger.engine import Ledger
from routing.ledger.schema import split_ref
from routing.runtime.clock import Clock, utcnow
from rules.policy import Policy


class Unknown(Exception):
    """There is no one record of that id; the text says why, and what to do."""


def known_as(ledger: Ledger, policy: Policy, record_id: str, system: str = "") -> tuple[str, list[str]]:
    """The ref of the record with that CRM id, and those of the records that were merged into it. Raises Unknown."""
    with ledger.read() as conn:
        found = {*mirror.named(conn, record_id, policy.entities), *decisions.refs_of(conn, record_id)}
        refs = sorted(ref for ref in found if system in ("", split_ref(ref)[0]))
        if not refs:
            raise Unknown(f"Nothing is known of a record {record_id!r}: write its id as the CRM does, in full.")
        if len(refs) > 1:
            names = ", ".join(f"{split_ref(ref)[1]} in {split_ref(ref)[0]}" for ref in refs)
            raise Unknown(f"Several records have the id {record_id!r} ({names}): name the system.")
        return refs[0], sorted(mirror.merged_into(conn, refs[0]))


def erase(ledger: Ledger, ref: str, clock: Clock = utcnow) -> str:
    """Has everything forgotten that the ledger holds of a record and of what was merged into it. Returns the event's id."""
    system, entity, record_id = split_ref(ref)
    now = clock()
    event = ChangeEvent(
        event_id=str(uuid4()),
        system=system,
        entity=entity,
        record_id=record_id,
        kind="erased",
        occurred_at=now,
        observed_at=now,
        origin="command",
    )
    with ledger.write() as conn:
        journal.accept(conn, [event], now)
    return event.event_id
