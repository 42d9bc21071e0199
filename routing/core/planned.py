"""What an event asks for, as ``plan`` says it and ``settle`` decides on it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from routing.core.distribution.returns import Turns
from routing.core.model import Candidate, Correction, Entity, Step, Values
from routing.core.sla.hearing import NOTHING, Heard
from rules.model import Action, Effect


class Plan(Struct, frozen=True, kw_only=True):
    """What is known before the pools are asked. ``action`` is None when the event does not route the record.

    ``pools`` names every pool it may touch, in the order they are asked, so that they can be locked first.
    ``seen`` holds the values the CRM was seen to have, for the guard of a write. ``owner`` is the owner's key then. Whoever reads
    the outbox fills ``under_way``: what earlier writes of ours, still on their way, will make of the values seen; and ``maybe``: what those
    that were parked or given up may have put there, or may yet.
    ``claim`` is who takes it out of a queue, ``held_since`` (ISO) since when it is on hold. ``skipped`` says why nothing is to be
    done, where that is worth saying; ``says`` is the reason of a decision that leaves the owner. ``watched`` are fields that must
    not change meanwhile. ``passed`` are those who had the record and do not get it again (``never_had``: whom the CRM refused), ``refused`` how it was
    given back just now, in a sentence, ``given_back`` the turns that it took; ``taken_again`` those of somebody who had given it back, and
    keeps it after all. ``held_by`` is the clock that came to its end and holds it for a person, ``sent`` as ``Record.sent``.
    ``heard`` is what the event means to the clocks, ``source`` where the lead came from, ``priority`` what clocks have added to
    that of the record. ``effects`` are what the rung does beside choosing the owner, ``told`` whom a clock's step tells, whatever
    becomes of the record; ``has`` is who has it as far as we know, also where the CRM does not show it yet. ``joins`` is the account that
    effects join it to, the contact there who is the same person, and the older record to make one with; "" each where there is none. ``beside`` is what that
    one may hold, by field.
    """

    event_id: str
    decision_id: str
    system: str
    entity: Entity
    record_id: str
    tick: bool
    on_hold: bool
    action: Action | None = None
    taken: str = ""
    skipped: str = ""
    says: str = ""
    rung: str = ""
    rule: str = ""
    person: str = ""
    owner: str = ""
    has: str = ""
    pools: tuple[str, ...] = ()
    account_id: str = ""
    corrections: tuple[Correction, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    trace: tuple[Step, ...] = ()
    facts: dict[str, Any] = {}
    effects: tuple[Effect, ...] = ()
    told: tuple[Effect, ...] = ()
    joins: tuple[str, str, str] = ("", "", "")
    beside: Values = {}
    seen: Values = {}
    under_way: Values = {}
    maybe: Values = {}
    claim: str = ""
    held_since: str = ""
    given_back: Turns = Turns()
    taken_again: Turns = Turns()
    watched: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    never_had: tuple[str, ...] = ()
    refused: str = ""
    held_by: str = ""
    sent: tuple[str, ...] = ()
    heard: Heard = NOTHING
    source: str = ""
    priority: float = 0.0

    @property
    def decides(self) -> bool:
        """Whether ``settle`` may choose an owner: what else depends on this record's owner must wait for it."""
        return self.action is not None

    @property
    def asked(self) -> list[str]:
        """The pools that settling it may change."""
        return [*self.pools, *(pool for pool, _, _ in (*self.given_back.named, *self.taken_again.named))]

    @property
    def contact(self) -> str:
        """What the person behind the record goes by: the e-mail address, else the record's id."""
        return str((self.facts.get(self.entity) or {}).get("email") or self.record_id).lower()
