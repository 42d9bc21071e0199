"""A record that is to be routed, and what is known of it before anybody is chosen."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from routing.core import keys
from routing.core.directory import Directory
from routing.core.facts import account_facts, counterpart_facts, event_facts, lead_facts
from routing.core.model import OURS, ChangeEvent, Record
from routing.core.recognise import NOBODY, Recognised, own, recognise
from routing.core.shape import shape_of
from routing.core.sla.hearing import Heard, hear
from routing.core.sla.planning import SLA, turn_of
from routing.core.sla.turn import Turn
from routing.core.view import View
from rules.fields import OF_PEOPLE

if TYPE_CHECKING:
    from rules.policy import Policy

# Events of these kinds may route a record, when the policy's entry criteria let them in.
ROUTING = frozenset({"created", "updated", "restored"})


def may_route(event: ChangeEvent, policy: Policy) -> bool:
    """Whether the event may send its record down the ladder, as far as the event alone tells. Where it surely does not, the record
    needs no surroundings: nothing is matched, and nobody is looked for."""
    if event.kind == "updated":
        if event.entity not in shape_of(policy).by_event:
            return True
        told = {
            "kind": event.kind,
            "system": event.system,
            "changed": list(event.changed),
            "record_id": event.record_id,
        }
        return policy.enters({"event": told}, entity=event.entity).held
    return event.kind in ROUTING or event.kind in OURS


def is_tick(event: ChangeEvent) -> bool:
    """Whether it is the timer of a record on hold, and not a clock's."""
    return event.kind == "tick" and event.origin != SLA


class Case(Struct, frozen=True):
    """An event of a record that has a ladder, and what is known of it before anybody is chosen.

    ``owner`` is the owner's key, ``passed`` are those who had the record and do not get it again, ``never_had``
    those of them whom the CRM refused as its owner.
    """

    event: ChangeEvent
    view: View
    policy: Policy
    directory: Directory
    now: datetime
    matched: Recognised
    facts: dict[str, Any]
    heard: Heard
    owner: str
    turn: Turn | None
    passed: tuple[str, ...]
    never_had: tuple[str, ...]

    @property
    def tick(self) -> bool:
        return is_tick(self.event)

    @property
    def has(self) -> str:
        """Who has it as far as we know."""
        return self.view.record.decided_owner or self.owner

    @property
    def source(self) -> str:
        return str(self.facts[self.event.entity].get("lead_source") or "")

    def why_not(self, key: str) -> str | None:
        """Why that person cannot have it; None when they can."""
        if key in self.passed:
            return self.directory.had_it(key, self.event.system, never=key in self.never_had)
        return self.directory.why_not(key, self.event.system, self.now)

    def told(self) -> dict[str, Any]:
        """What a plan says of the record whatever becomes of it."""
        return {"heard": self.heard, "owner": self.owner, "source": self.source}


def known(
    event: ChangeEvent, view: View, policy: Policy, directory: Directory, now: datetime, normal: dict[str, str]
) -> Case:
    """Matches the record and puts together what conditions may ask for."""
    record, shape, system = view.record, shape_of(policy), event.system

    def can_not(key: str) -> str | None:
        return directory.why_not(key, system, now)

    def active(account: Record) -> bool:
        return can_not(directory.key_of(account.system, str(account.values.get("owner") or ""))) is None

    lead = lead_facts(record, normal, shape, directory)
    matched = recognise(view, policy, active) if event.entity in OF_PEOPLE and may_route(event, policy) else NOBODY
    if matched is not NOBODY:
        lead["domain"] = matched.domain or None
        lead["free_email"] = matched.free_mail
    named = keys.own_account(record, shape.accounts)
    account = next((one for one in view.candidates if one.record.record_id == named), None) if named else None
    if account is not None:
        matched = own(account, event.entity, matched)
    facts: dict[str, Any] = {
        event.entity: lead,
        "account": account_facts(matched.account, shape, directory) if matched.account else None,
        "counterpart": counterpart_facts(view.counterpart, shape, directory) if view.counterpart else None,
        "match": matched.facts or None,
        "event": event_facts(event, view, policy, shape, directory),
    }
    if event.entity == "account":
        facts["account"] = lead
    heard = hear(event, facts, policy, can_not, now)
    owner = directory.key_of(system, record.values.get("owner") or "")
    turn = turn_of(event, record, record.decided_owner or owner, view.clocks, heard, policy, directory, now)
    passed = turn.passed if turn is not None else record.passed if is_tick(event) else ()
    never_had = record.never_had if passed else ()
    if event.kind == "refused":
        never_had += passed[len(record.passed) :]
    return Case(event, view, policy, directory, now, matched, facts, heard, owner, turn, passed, never_had)
