"""What a decision was made from, small enough to be kept with every one, and the decision made again from it.

Kept is what ``plan`` and ``settle`` read and nothing else: of records the values, not when each field changed. The policy and the
people are named by digest; the event itself is in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from routing.core.directory import Directory
from routing.core.distribution.pools import Pools, PoolSeen
from routing.core.matching.decide import Said
from routing.core.model import ChangeEvent, Decision, Entity, Kind, Record, Replaced, Values
from routing.core.plan import plan
from routing.core.settle import settle
from routing.core.sla.model import ClockState
from routing.core.view import AccountView, Contact, View

if TYPE_CHECKING:
    from rules.policy import Policy


class Seen(Struct, frozen=True, array_like=True):
    """What a decision reads of a record that is there."""

    system: str
    entity: Entity
    record_id: str
    values: Values
    decided_owner: str
    on_hold: bool
    taken: bool
    held_since: str = ""
    passed: tuple[str, ...] = ()
    turns: tuple[tuple[str, str, str], ...] = ()
    priority: float = 0.0
    sent: tuple[str, ...] = ()
    never_had: tuple[str, ...] = ()
    gave_back: bool = False


class SeenAccount(Struct, frozen=True, array_like=True):
    """What a decision reads of an account that the record may belong to."""

    record: Seen
    parent: Seen | None
    open_opportunities: int | None
    opportunity_owner: str
    contact: Contact = ""


class Evidence(Struct, frozen=True, array_like=True):
    """What one decision was made from, ``at`` that time. ``pools`` name the entries of the pool ledger
    after which it read them.

    ``told`` holds kind and changed fields of the event where they were read otherwise than the journal has them (a creation
    told a second time counts as an update), else None.
    """

    at: datetime
    told: tuple[Kind, tuple[str, ...]] | None
    record: Seen
    candidates: tuple[SeenAccount, ...]
    counterpart: Seen | None
    pools: tuple[PoolSeen, ...]
    before: Values = {}
    clocks: tuple[ClockState, ...] = ()
    people: tuple[Seen, ...] = ()
    said: tuple[Said, ...] = ()
    replaced: tuple[Replaced, ...] = ()

    def event(self, recorded: ChangeEvent) -> ChangeEvent:
        """The event as it was decided on, made of the one in the journal."""
        if self.told is None:
            return recorded
        return msgspec.structs.replace(recorded, kind=self.told[0], changed=self.told[1])

    def view(self) -> View:
        """What ``plan`` was shown."""
        candidates = tuple(
            AccountView(
                _record(one.record), _maybe(one.parent), one.open_opportunities, one.opportunity_owner, one.contact
            )
            for one in self.candidates
        )
        people = tuple(map(_record, self.people))
        return View(
            record=_record(self.record),
            candidates=candidates,
            counterpart=_maybe(self.counterpart),
            before=self.before,
            clocks=self.clocks,
            people=people,
            said=self.said,
            replaced=self.replaced,
        )


def gather(at: datetime, recorded: ChangeEvent, event: ChangeEvent, view: View, pools: Iterable[PoolSeen]) -> Evidence:
    """What a decision is about to be made from: ``event`` is what ``recorded``, the journal's, was taken for."""
    return Evidence(
        at,
        None if event is recorded else (event.kind, event.changed),
        _seen(view.record),
        tuple(
            [
                SeenAccount(
                    _seen(one.record),
                    None if one.parent is None else _seen(one.parent),
                    one.open_opportunities,
                    one.opportunity_owner,
                    one.contact,
                )
                for one in view.candidates
            ]
        ),
        None if view.counterpart is None else _seen(view.counterpart),
        tuple(pools),
        view.before,
        view.clocks,
        tuple(map(_compared, view.people)),
        view.said,
        view.replaced,
    )


def decide_again(
    recorded: ChangeEvent, evidence: Evidence, policy: Policy, directory: Directory, pools: Pools
) -> Decision | None:
    """What is decided on the same evidence at the same time; ``pools`` as they stood, or as they would."""
    planned = plan(evidence.event(recorded), evidence.view(), policy, directory, evidence.at)
    return settle(planned, pools, policy, directory, evidence.at).decision


def _seen(record: Record) -> Seen:
    return Seen(
        record.system,
        record.entity,
        record.record_id,
        record.values,
        record.decided_owner,
        record.on_hold,
        record.taken,
        record.held_since,
        record.passed,
        record.turns,
        record.priority,
        record.sent,
        record.never_had,
        record.gave_back,
    )


def _compared(record: Record) -> Seen:
    """Of somebody who may be the same person only what is compared: what was decided of them is no part of it."""
    return Seen(record.system, record.entity, record.record_id, record.values, "", False, False)


def _record(seen: Seen) -> Record:
    return Record(
        system=seen.system,
        entity=seen.entity,
        record_id=seen.record_id,
        values=seen.values,
        decided_owner=seen.decided_owner,
        on_hold=seen.on_hold,
        taken=seen.taken,
        held_since=seen.held_since,
        passed=seen.passed,
        turns=seen.turns,
        priority=seen.priority,
        sent=seen.sent,
        never_had=seen.never_had,
        gave_back=seen.gave_back,
    )


def _maybe(seen: Seen | None) -> Record | None:
    return None if seen is None else _record(seen)
