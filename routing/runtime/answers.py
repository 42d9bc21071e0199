"""A rep's answer on its way in: accepted or rejected, written to the journal like any event, and what came of it."""

from __future__ import annotations

from threading import Event
from typing import Literal
from uuid import uuid4

from msgspec import Struct

from routing.core.model import ChangeEvent, Decision
from routing.ledger import decisions, journal
from routing.ledger.engine import Ledger
from routing.ledger.schema import split_ref
from routing.runtime.clock import Clock, monotonic, utcnow
from routing.runtime.naming import NobodyCalled, person_called
from rules.policy import Policy

MOST = 500  # letters of a reason
# Whoever asks over HTTP waits so long to be told what came of it, and this often it is looked up.
WAIT_SECONDS, LOOK_SECONDS = 2.0, 0.05
_ENDS = ("applied", "skipped", "parked")

Answer = Literal["accepted", "rejected"]


class Unanswerable(Exception):
    """The answer cannot be written down; the text says why, and what to do. ``unknown``: there is no such record or person."""

    def __init__(self, why: str, *, unknown: bool = False) -> None:
        super().__init__(why)
        self.unknown = unknown


class Outcome(Struct, frozen=True):
    """How the answer ended: ``state`` of the journal's entry (not an end yet: ``accepted``), the reason, and the decision made."""

    state: str
    reason: str
    decision: Decision | None


def answer(
    ledger: Ledger,
    policy: Policy,
    kind: Answer,
    record_id: str,
    by: str,
    because: str,
    system: str = "",
    clock: Clock = utcnow,
) -> str:
    """Writes the answer down; the loop takes it up in its turn. Returns the event's id.

    ``by`` names the person (``routing.runtime.naming``); an e-mail address also counts of somebody who left people.csv. Raises Unanswerable for a record that nobody was ever given, for an id that several
    records have, and for an answer without the reason it needs.
    """
    because = " ".join(because.split())[:MOST]
    if kind == "rejected" and not because:
        raise Unanswerable("A rejection needs a reason (because): whoever gets the lead next should know it.")
    with ledger.read() as conn:
        try:
            person = person_called(policy, conn, by.strip()).key
        except NobodyCalled as error:
            if "@" not in by:
                raise Unanswerable(str(error), unknown=True) from None
            person = by.strip().lower()
        refs = [ref for ref in decisions.refs_of(conn, record_id) if system in ("", split_ref(ref)[0])]
    if not refs:
        raise Unanswerable(
            f"Nothing was ever decided for {record_id!r}; `fingerpost decisions list` shows the records.", unknown=True
        )
    if len(refs) > 1:
        names = ", ".join(sorted(f"{split_ref(ref)[1]} in {split_ref(ref)[0]}" for ref in refs))
        raise Unanswerable(f"Several records have the id {record_id!r} ({names}): name the system.")
    where, entity, _ = split_ref(refs[0])
    now = clock()
    event = ChangeEvent(
        event_id=str(uuid4()),
        system=where,
        entity=entity,
        record_id=record_id,
        kind=kind,
        occurred_at=now,
        observed_at=now,
        values={"by": person, "because": because},
        origin="answer",
    )
    with ledger.write() as conn:
        journal.accept(conn, [event], now)
    return event.event_id


def outcome(ledger: Ledger, event_id: str, wait: float, look: float) -> Outcome:
    """What became of an answer; looks every ``look`` seconds until it has ended, for at most ``wait`` seconds."""
    until, pause = monotonic() + wait, Event()
    while True:
        with ledger.read() as conn:
            state, reason = journal.state_of(conn, event_id)
            made = decisions.of_event(conn, event_id)
        if state in _ENDS or monotonic() >= until:
            return Outcome(state, reason, made)
        pause.wait(look)
