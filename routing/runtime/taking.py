"""What each event means to the batch it is in: the mirror as it will be, and a plan for what is to be decided."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from routing.core.directory import Directory
from routing.core.keys import wanted
from routing.core.merge import ERASED
from routing.core.model import OURS, ChangeEvent, Record, Replaced
from routing.core.plan import READ_BACK, plan
from routing.core.sla.machine import NO_TIME, close
from routing.core.sla.planning import LOOK, SLA
from routing.core.view import View
from routing.ledger import clocks, decisions, evidence, match_corrections, mirror, outbox, people, shares
from routing.ledger.journal import Entry
from routing.ledger.schema import ref_of
from routing.runtime.batch import Batch
from rules.policy import Policy

MIRRORED = frozenset({"created", "updated", "deleted", "restored", "merged", "snapshot", "gap"})


def take(batch: Batch, entries: Sequence[Entry], policy: Policy, directory: Directory, now: datetime) -> int:
    """Takes events into the batch, in order, up to the first that must wait for the batch to be settled. Returns how many it took.

    Raises SQLAlchemyError; an event that cannot be decided for another reason is parked.
    """
    taker = _Taker(batch, policy, directory, now)
    for n, entry in enumerate(entries):
        if batch.person_changed or taker.erased or not taker.take(entry):
            return n
    return len(entries)


class _Taker:
    def __init__(self, batch: Batch, policy: Policy, directory: Directory, now: datetime) -> None:
        self._batch, self._policy, self._directory, self._now = batch, policy, directory, now
        # Somebody: what comes after must not go by what was known of records that went along.
        self.erased = False

    def take(self, entry: Entry) -> bool:
        """Takes one event; False when it must wait for those before it to be settled."""
        batch, event = self._batch, entry.event
        ref = ref_of(event.system, event.entity, event.record_id)
        # By what another event of the batch could meet this record. What is only corrected waits for itself: its next write must know
        # the one before.
        names = {ref}
        if event.entity in self._policy.ladders:
            names.update([f"email:{value}" for kind, value in batch.work.wanted(entry) if kind == "email"])
        if not names.isdisjoint(batch.undecided):
            return False
        if event.kind in OURS and ref in batch.planned_for:
            return False  # what came before it may have moved the clocks that it is about
        if self._erases(event) and (batch.planned or batch.endings):
            return False  # what the batch has come to so far must be written down to be erased
        planned = len(batch.planned)
        try:
            self._apply(entry, ref)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
            batch.park(entry, error)
            return True
        if len(batch.planned) > planned:
            batch.planned_for.add(ref)
            made, held = batch.planned[-1][1], batch.work.records.get(ref)
            # Who waits may stop waiting, whatever the event: the next one about them must see whether they did. Nor is it told yet what
            # was known of the record when a clock began.
            waits = made.on_hold or (held is not None and held.on_hold)
            if made.decides or made.corrections or made.heard.starts or waits:
                batch.undecided |= names
        return True

    def _apply(self, entry: Entry, ref: str) -> None:
        kind = entry.event.kind
        if self._erases(entry.event):
            self._erase(entry, ref)
        elif kind in MIRRORED:
            self._change(entry, ref)
        elif kind in OURS:
            self._tick(entry, ref)
        else:
            self._batch.end(entry, "skipped", f"nothing is done with {kind!r} events")

    def _change(self, entry: Entry, ref: str) -> None:
        batch, event = self._batch, entry.event
        left = batch.echoes.get(entry.seq)
        before = batch.work.records.get(ref)
        record, changed = batch.work.apply(entry)
        if ERASED in record.changed_at:
            batch.erased.append((event, entry.seq))
            batch.end(entry, "skipped", "it is older than the erasure of the person; nothing of it is kept")
            return
        if left is not None:
            replaced = batch.replaced(entry, before, left)
            batch.hear(entry, left)
            self._replaced(entry, record, replaced, "echo of our own write")
            return
        if event.entity == "person":
            batch.person_changed = True
        known = before is not None and before.announced and not before.deleted
        event = event if entry.again else _as_news(event, changed, known)
        # All the values of a creation may be known from a snapshot, or from changes told before it; that it is new is not.
        news = bool(changed) or entry.again or event.kind == "created"
        if event.kind in ("created", "updated", "restored") and not news:
            self._replaced(
                entry, record, batch.replaced_before(entry, record), "nothing in it is newer than what is known"
            )
            return
        view = batch.work.view(entry, record, before)
        batch.plan(entry, event, view, plan(event, view, self._policy, self._directory, self._now))

    def _replaced(self, entry: Entry, record: Record, replaced: tuple[Replaced, ...], otherwise: str) -> None:
        """Where a write of ours replaced what somebody had just set, that is told and put back."""
        if not replaced or record.deleted:
            self._batch.end(entry, "skipped", otherwise)
            return
        event = msgspec.structs.replace(entry.event, kind="replaced", changed=())
        view = View(record, replaced=replaced)
        self._batch.plan(entry, event, view, plan(event, view, self._policy, self._directory, self._now))

    def _tick(self, entry: Entry, ref: str) -> None:
        batch, event = self._batch, entry.event
        record = batch.work.records.get(ref)
        waits = event.kind == "tick" and event.origin != SLA
        if record is None or record.deleted or (waits and not record.on_hold):
            batch.end(entry, "skipped", "the record no longer waits" if waits else "the record is gone, or not known")
            return
        view = batch.work.view(entry, record)
        batch.plan(entry, event, view, plan(event, view, self._policy, self._directory, self._now))

    def _erases(self, event: ChangeEvent) -> bool:
        """Whether it takes the person away: by itself, or since the record went into one that was erased."""
        if event.kind == "erased":
            return True
        return (
            event.kind == "merged"
            and event.into != ""
            and self._batch.work.is_erased(ref_of(event.system, event.entity, event.into))
        )

    def _erase(self, entry: Entry, ref: str) -> None:
        batch, event, self.erased = self._batch, entry.event, True
        erasure = msgspec.structs.replace(event, kind="erased", into="", values={}, changed=())
        # A stub stays in the mirror: an older change of the record that arrives only now must not bring the person back.
        known = batch.work.records.get(ref)
        batch.work.apply(entry)
        self._forget(erasure, ref, known, entry.seq)
        if mirror.merged_into(batch.conn, ref):
            # Another worker may be at one of them just now; who stands in a circle then begins anew.
            shares.hold_all(batch.conn)
        for name, one in mirror.merged_into(batch.conn, ref).items():
            # That worker numbers its events: they say nothing of what came first.
            self._forget(msgspec.structs.replace(erasure, record_id=one.record_id), name, one, sys.maxsize)
        batch.end(entry, "applied", "the person was erased at their request")

    def _forget(self, erasure: ChangeEvent, ref: str, known: Record | None, seq: int) -> None:
        """One record of the person: the one that was erased, or one that was merged into it. ``known`` is what the mirror had of it."""
        batch, conn = self._batch, self._batch.conn
        same_person = mirror.find(conn, wanted(known)) if known is not None else {}
        batch.work.replace(ref, erasure)
        batch.erased.append((erasure, seq))
        decisions.erase(conn, ref)
        # Also those whose e-mail address was the same once.
        borrowed = evidence.erase(conn, ref, {one for found in same_person.values() for one in found})
        decisions.erase_borrowed(conn, borrowed)
        outbox.erase(conn, ref)
        match_corrections.erase(conn, ref)
        batch.off_hold.add(ref)
        still = clocks.load(conn, {ref}).get(ref, ())
        batch.clocks += [close(one, erasure.occurred_at, "ended", "the person was erased", NO_TIME) for one in still]
        if erasure.entity == "person":
            batch.person_changed = True
            evidence.erase_person(conn, erasure.system, erasure.record_id)
            if known is not None:
                people.forget(conn, str(known.values.get("email") or "").strip().lower())


def _as_news(event: ChangeEvent, changed: frozenset[str], known: bool) -> ChangeEvent:
    """The event less what it tells a second time. ``changed`` are the fields that hold something else now; ``known``: that the record
    was created has been told before."""
    if event.kind == "created" and known:
        # What is new in it is a change like any other, and no second reason to route it.
        told = tuple(field for field in event.changed if field in changed)
        return msgspec.structs.replace(event, kind="updated", changed=told)
    if event.kind == "updated" and event.origin in (READ_BACK, LOOK):
        # All that was read back was named as changed; what was known already did not change. An owner that was named was set
        # by somebody, though it be the one we know.
        told = tuple(one for one in event.changed if one in changed or one == "owner")
        return msgspec.structs.replace(event, changed=told)
    return event
