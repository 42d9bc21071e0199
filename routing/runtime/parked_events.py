"""Parked events that an operator wants tried again: what came from a CRM by those who read it, what came from the log at once.

Nobody reads a message of the log twice: the log is behind it. So it is read here, by whatever version runs the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from routing.ledger import journal
from routing.runtime.kafka.gaps import LOST
from routing.runtime.kafka.messages import SYSTEM, BadMessage, decode


def retry(conn: Connection, event_ids: Sequence[str] | None, now: datetime) -> tuple[int, list[str]]:
    """Puts parked events (all when None) back to be dealt with. Returns how many, and of each that stays parked why."""
    changed = journal.retry_parked(conn, event_ids, but=(LOST, SYSTEM))
    stay = [
        f"{one.event_id} tells of events that are gone, so there is nothing to try again. Look at the records in the CRM, then discard it."
        for one in journal.parked_of(conn, LOST, event_ids)
    ]
    for message in journal.parked_of(conn, SYSTEM, event_ids):
        try:
            event, _ = decode(message.raw)
        except BadMessage as bad:
            stay.append(f"{message.event_id} cannot be read by this version either: {bad}.")
            continue
        changed += journal.retry_parked(conn, [message.event_id])
        journal.replace_raw(conn, message.seq, [event], now)
    return changed, stay
