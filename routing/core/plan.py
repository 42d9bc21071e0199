"""The first half of a decision, without any lock: normalise, correct, match, walk the ladder.

``plan`` reads only its arguments and changes none of them; ``settle`` makes the decision of it once the pools are locked.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from routing.core import keys
from routing.core.correct import corrections, normalised
from routing.core.directory import Directory
from routing.core.matching import match
from routing.core.model import Candidate, ChangeEvent, Correction, Entity, Record, Step, Value, Values, derived_id
from routing.core.shape import Shape, shape_of
from routing.core.view import AccountView, View
from routing.core.words import LIST_VERSIONS
from rules.model import Action, Effect, WalkStep

if TYPE_CHECKING:
    from rules.policy import Policy

# Events of these kinds may route a record, when the policy's entry criteria let them in.
ROUTING = frozenset({"created", "updated", "restored"})
# How an event is marked whose values were read back from the CRM because it came without them.
READ_BACK = "read back"


# Forms that insist on an answer get these. For a rule they are blank, so that the account's own value can speak; the
# record keeps what was written.
_OFTEN_FILLED_IN_VAIN = ("country", "state", "industry")
_NOTHING_SAID = frozenset(("n/a", "n.a.", "none", "null", "unknown", "not provided", "-", "--", "?", "."))


# Kinds of record that stand for a person, and so have an e-mail address to find the account by.
_OF_PEOPLE = ("lead", "contact")


class Plan(Struct, frozen=True, kw_only=True):
    """What is known before the pools are asked. ``action`` is None when the event does not route the record.

    ``pools`` names every pool it may touch, in the order they are asked, so that they can be locked first.
    ``seen`` holds the values the CRM was seen to have, for the guard of a write. ``owner`` is the owner's key then. Whoever reads
    the outbox fills ``under_way``: what earlier writes of ours, still on their way, will make of the values seen.
    ``skipped`` says why nothing is to be done, where that is worth saying.
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
    rung: str = ""
    rule: str = ""
    person: str = ""
    owner: str = ""
    pools: tuple[str, ...] = ()
    account_id: str = ""
    corrections: tuple[Correction, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    trace: tuple[Step, ...] = ()
    facts: dict[str, Any] = {}
    effects: tuple[Effect, ...] = ()
    seen: Values = {}
    seen_at: datetime | None = None
    under_way: Values = {}

    @property
    def decides(self) -> bool:
        """Whether ``settle`` may choose an owner: what else depends on this record's owner must wait for it."""
        return self.action is not None


def plan(event: ChangeEvent, view: View, policy: Policy, directory: Directory, now: datetime) -> Plan:
    """What this event asks for. Pure; raises nothing for whatever a CRM may hold.

    A record of a kind that has a ladder, that was created, updated or restored and that the entry criteria let in, walks it. A
    tick walks it again for one on hold, unless somebody took it. Everything else is at most corrected, in the fields that the
    event changed.
    """
    record, shape = view.record, shape_of(policy)
    tick = event.kind == "tick"
    if record.deleted or (event.kind not in ROUTING and not tick):
        return _nothing(event, record, policy)
    routed = event.entity in policy.ladders
    if tick and (not routed or not record.on_hold):
        return _nothing(event, record, policy, "the record no longer waits")
    fixers = shape.fixers.get(event.entity)
    normal = normalised(record.values, fixers) if fixers else {}
    fixed: tuple[Correction, ...] = ()
    if fixers and not tick:
        fixed = corrections(record.values, normal, fixers, _only(event))
    if not routed:
        return _corrected(event, record, policy, fixed, normal, ())
    lead, address = _lead_facts(record, normal, shape, directory)
    matched = match(lead, address, view.candidates, policy)
    if event.entity in _OF_PEOPLE:
        lead["domain"] = matched.domain or None
        lead["free_email"] = matched.free_mail
    system = event.system
    facts: dict[str, Any] = {
        event.entity: lead,
        "account": _account_facts(matched.account, shape, directory) if matched.account else None,
        "counterpart": _counterpart_facts(view.counterpart, shape, directory) if view.counterpart else None,
        "event": _event_facts(event, view, policy, shape, directory),
    }
    if event.entity == "account":
        facts["account"] = lead

    def why_not(key: str) -> str | None:
        return directory.why_not(key, system, now)

    trace = []
    if not tick:
        entered = policy.enters(facts, why_not, event.entity)
        if not entered.held:
            return _corrected(event, record, policy, fixed, normal, (_step("entry", entered),))
        trace.append(_step("entry", entered))
    elif record.taken:
        owner = record.values.get("owner")
        return _taken(event, record, policy, facts, directory.name(lead["owner"]) if lead["owner"] else str(owner))
    trace.append(matched.step)
    walk = policy.walk(facts, why_not, now, event.entity)
    trace += [_step("ladder", step) for step in walk.steps]
    facts["lists"] = LIST_VERSIONS
    return Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, policy),
        system=system,
        entity=event.entity,
        record_id=event.record_id,
        tick=tick,
        on_hold=record.on_hold,
        action=walk.action,
        rung=walk.rung,
        rule=walk.rule,
        person=walk.person,
        effects=walk.effects,
        owner=directory.key_of(system, record.values.get("owner") or ""),
        pools=_pools(walk.action, policy),
        account_id=matched.account.record.record_id if matched.account else "",
        corrections=fixed,
        candidates=matched.candidates,
        trace=tuple(trace),
        facts=facts,
        seen=record.values,
        seen_at=_seen_at(event),
    )


def _decision_id(event: ChangeEvent, policy: Policy) -> str:
    return derived_id(event.event_id, policy.digest, "route")


def _seen_at(event: ChangeEvent) -> datetime | None:
    return event.observed_at if event.origin == READ_BACK else None


def _only(event: ChangeEvent) -> frozenset[str] | None:
    """Which fields may be corrected: all of a record that is new to us, else those that the event changed."""
    return frozenset(event.changed) if event.kind == "updated" else None


def _nothing(event: ChangeEvent, record: Record, policy: Policy, skipped: str = "") -> Plan:
    return Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, policy),
        system=event.system,
        entity=event.entity,
        record_id=event.record_id,
        tick=event.kind == "tick",
        on_hold=record.on_hold and not record.deleted,
        skipped=skipped,
    )


def _corrected(
    event: ChangeEvent,
    record: Record,
    policy: Policy,
    fixed: tuple[Correction, ...],
    normal: dict[str, str],
    trace: tuple[Step, ...],
) -> Plan:
    """For what is not routed: nothing but the corrections, and only when there are some."""
    if not fixed:
        return _nothing(event, record, policy)
    facts = {event.entity: {**record.values, **normal}, "event": {"kind": event.kind, "system": event.system}}
    return Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, policy),
        system=event.system,
        entity=event.entity,
        record_id=event.record_id,
        tick=False,
        on_hold=record.on_hold,
        corrections=fixed,
        trace=trace,
        facts=facts | {"lists": LIST_VERSIONS},
        seen=record.values,
        seen_at=_seen_at(event),
    )


def _taken(event: ChangeEvent, record: Record, policy: Policy, facts: dict[str, Any], who: str) -> Plan:
    owner = facts[event.entity]["owner"] or who
    step = Step("hold", "Owner while on hold", True, values={f"{event.entity}.owner": owner})
    return Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, policy),
        system=event.system,
        entity=event.entity,
        record_id=event.record_id,
        tick=True,
        on_hold=record.on_hold,
        taken=who,
        trace=(step,),
        facts=facts | {"lists": LIST_VERSIONS},
    )


def _step(stage: str, step: WalkStep) -> Step:
    return Step(stage, step.rung, step.held, step.condition, step.values, step.rule, step.note)


def _pools(action: Action, policy: Policy) -> tuple[str, ...]:
    """The pool named and those it overflows into. The policy's check refuses loops; one is cut here all the same."""
    if action.kind != "pool":
        return ()
    chain: list[str] = []
    name = action.value
    while name and name not in chain and name in policy.pools:
        chain.append(name)
        name = policy.pools[name].overflow
    return tuple(chain)


def _lead_facts(
    record: Record, normal: dict[str, str], shape: Shape, directory: Directory
) -> tuple[Values, str | None]:
    """The lead as the policy sees it, and its e-mail address when that is valid."""
    facts = {**record.values, **normal} if normal else dict(record.values)
    _name_people(facts, record, shape, directory)
    facts["owner"] = record.decided_owner or facts.get("owner") or None
    for name in _OFTEN_FILLED_IN_VAIN:
        value = facts.get(name)
        if type(value) is str and value.strip().casefold() in _NOTHING_SAID:
            facts[name] = None
    written = facts.get("email")
    return facts, keys.address_of(written) if written else None


def _event_facts(event: ChangeEvent, view: View, policy: Policy, shape: Shape, directory: Directory) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": event.kind, "system": event.system, "changed": list(event.changed)}
    if "record_id" in policy.event_reads:
        facts["record_id"] = event.record_id
    if view.before:
        fixers, whole = shape.fixers.get(event.entity), {**view.record.values, **view.before}
        normal = normalised(whole, fixers) if fixers else {}
        before = {name: normal.get(name, value) for name, value in view.before.items()}
        named = [name for name in shape.people.get(event.entity, ()) if before.get(name)]
        facts["before"] = before | {name: directory.key_of(event.system, str(before[name])) or None for name in named}
    return facts


def _account_facts(view: AccountView, shape: Shape, directory: Directory) -> Values:
    facts = _plain_account(view.record, shape, directory)
    facts["open_opportunities"] = view.open_opportunities
    facts["opportunity_owner"] = directory.key_of(view.record.system, view.opportunity_owner) or None
    facts["parent"] = _plain_account(view.parent, shape, directory) if view.parent else None
    return facts


def _plain_account(record: Record, shape: Shape, directory: Directory) -> Values:
    facts = {**record.values, **normalised(record.values, shape.fixers["account"], view_only=True)}
    _name_people(facts, record, shape, directory)
    facts["parent"] = None
    return facts


def _counterpart_facts(record: Record, shape: Shape, directory: Directory) -> Values:
    fixers = shape.fixers.get(record.entity)
    facts = {**record.values, **normalised(record.values, fixers, view_only=True)} if fixers else dict(record.values)
    _name_people(facts, record, shape, directory)
    facts["owner"] = record.decided_owner or facts.get("owner") or None
    return facts


def _name_people(facts: dict[str, Value], record: Record, shape: Shape, directory: Directory) -> None:
    """Ids of CRM users become keys. An id of nobody we know (a queue, a user outside the roster's CRMs) counts as blank."""
    for field in shape.people.get(record.entity, ("owner",)):
        written = facts.get(field)
        if written:
            facts[field] = directory.key_of(record.system, str(written)) or None
