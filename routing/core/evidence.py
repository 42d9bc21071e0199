"""What a decision was made from, small enough to be kept with every one, and the decision made again from it.

Kept is what ``plan`` and ``settle`` read and nothing else: of records the values, not when each field changed. The policy and the
people are named by digest; the event itself is in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from routing.core.directory import Directory
from routing.core.model import ChangeEvent, Decision, Entity, Kind, PoolState, Record, Values
from routing.core.plan import plan
from routing.core.settle import settle
from routing.core.view import AccountView, View

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


class SeenAccount(Struct, frozen=True, array_like=True):
    """What a decision reads of an account that the record may belong to."""

    record: Seen
    parent: Seen | None
    open_opportunities: int | None
    opportunity_owner: str


class Evidence(Struct, frozen=True, array_like=True):
    """What one decision was made from, ``at`` that time. ``pools`` are as they stood before it.

    ``told`` holds kind and changed fields of the event where they were read otherwise than the journal has them (a creation
    told a second time counts as an update), else None.
    """

    at: datetime
    told: tuple[Kind, tuple[str, ...]] | None
    record: Seen
    candidates: tuple[SeenAccount, ...]
    counterpart: Seen | None
    pools: tuple[PoolState, ...]
    before: Values = {}

    def event(self, recorded: ChangeEvent) -> ChangeEvent:
        """The event as it was decided on, made of the one in the journal."""
        if self.told is None:
            return recorded
        return msgspec.structs.replace(recorded, kind=self.told[0], changed=self.told[1])

    def view(self) -> View:
        """What ``plan`` was shown."""
        candidates = tuple(
            AccountView(_record(one.record), _maybe(one.parent), one.open_opportunities, one.opportunity_owner)
            for one in self.candidates
        )
        return View(_record(self.record), candidates, _maybe(self.counterpart), self.before)

    def states(self) -> dict[str, PoolState]:
        """The pools by name."""
        return {state.pool: state for state in self.pools}


def gather(at: datetime, recorded: ChangeEvent, event: ChangeEvent, view: View, pools: Iterable[PoolState]) -> Evidence:
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
                )
                for one in view.candidates
            ]
        ),
        None if view.counterpart is None else _seen(view.counterpart),
        tuple(pools),
        view.before,
    )


def decide_again(
    recorded: ChangeEvent,
    evidence: Evidence,
    policy: Policy,
    directory: Directory,
    pools: Mapping[str, PoolState] | None = None,
) -> tuple[Decision | None, dict[str, PoolState]]:
    """What is decided on the same evidence at the same time, and the pools it changed. ``pools`` replaces the recorded ones."""
    planned = plan(evidence.event(recorded), evidence.view(), policy, directory, evidence.at)
    settled = settle(planned, evidence.states() if pools is None else pools, policy, directory, evidence.at)
    return settled.decision, settled.pools


def _seen(record: Record) -> Seen:
    return Seen(
        record.system,
        record.entity,
        record.record_id,
        record.values,
        record.decided_owner,
        record.on_hold,
        record.taken,
    )


def _record(seen: Seen) -> Record:
    return Record(
        system=seen.system,
        entity=seen.entity,
        record_id=seen.record_id,
        values=seen.values,
        decided_owner=seen.decided_owner,
        on_hold=seen.on_hold,
        taken=seen.taken,
    )


def _maybe(seen: Seen | None) -> Record | None:
    return None if seen is None else _record(seen)
