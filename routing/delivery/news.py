"""What the courier has to tell: the loop, of a record that it must see anew; and the operator, of a write that fails whenever it is sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.errors import ConnectorError
from routing.core.model import ChangeEvent, Write, derived_id
from routing.ledger.outbox import Fate


def poisonous(write: Write, error: ConnectorError, strikes: int) -> str:
    """Of a write that failed alone so often, while all others got through."""
    return (
        f"{write.system} failed on this record each of the last {strikes} times that it was sent, while other writes got through. Look at what "
        f"saving {write.about[0]} {write.about[1]} sets off there (a trigger, a flow, a workflow); when that is mended, `fingerpost parked retry` "
        f"looks what became of it first. The last answer: {error}"
    )


def news_of(write: Write, fate: Fate, now: datetime) -> ChangeEvent | None:
    """What the loop must be told of a write that ended so; None for nothing."""
    if fate.state == "superseded" and fate.refused is not None:
        return _refused(write, fate, now)
    return _read_again(write, now) if fate.state == "superseded" and write.still else None


def _refused(write: Write, fate: Fate, now: datetime) -> ChangeEvent:
    """Whom the record was given cannot have it: the loop, which thinks they do, must find somebody else. What else was to be written
    was not, either."""
    others = sorted(name for name in write.fields if name != "owner")
    told = {"by": fate.refused, "because": fate.detail, "unwritten": others}
    return _told(write, now, "refused", kind="refused", values=told, origin="courier")


def _read_again(write: Write, now: datetime) -> ChangeEvent:
    """Whoever had the record was just working it, and keeps it: the loop, which took it from them, must see that."""
    return _told(write, now, "read again", kind="updated", changed=("owner", *write.still), complete=False)


def _told(write: Write, now: datetime, name: str, **more: Any) -> ChangeEvent:
    """An event of the record that a write is about."""
    entity, record_id = write.about
    return ChangeEvent(
        event_id=derived_id(write.write_id, name),
        system=write.system,
        entity=entity,
        record_id=record_id,
        occurred_at=now,
        observed_at=now,
        **more,
    )
