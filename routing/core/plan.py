"""The first half of a decision, without any lock: normalise, correct, match, walk the ladder.

``plan`` reads only its arguments and changes none of them; ``settle`` makes the decision of it once the pools are locked.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from routing.core import keys
from routing.core.correct import corrections, normalised
from routing.core.directory import Directory
from routing.core.facts import account_facts, counterpart_facts, event_facts, lead_facts
from routing.core.model import OURS, Candidate, ChangeEvent, Correction, Entity, Record, Step, Values, derived_id
from routing.core.recognise import NOBODY, own, recognise, weights_digest
from routing.core.shape import shape_of
from routing.core.sla.hearing import NOTHING, Heard, hear
from routing.core.sla.planning import SLA, turn_of, waits_on
from routing.core.view import View
from routing.core.words import LIST_VERSIONS
from rules.fields import OF_PEOPLE
from rules.model import Action, Effect, Walk, WalkStep

if TYPE_CHECKING:
    from rules.policy import Policy

# Events of these kinds may route a record, when the policy's entry criteria let them in.
ROUTING = frozenset({"created", "updated", "restored"})
# How an event is marked whose values were read back from the CRM because it came without them.
READ_BACK = "read back"


class Plan(Struct, frozen=True, kw_only=True):
    """What is known before the pools are asked. ``action`` is None when the event does not route the record.

    ``pools`` names every pool it may touch, in the order they are asked, so that they can be locked first.
    ``seen`` holds the values the CRM was seen to have, for the guard of a write. ``owner`` is the owner's key then. Whoever reads
    the outbox fills ``under_way``: what earlier writes of ours, still on their way, will make of the values seen.
    ``claim`` is who takes it out of a queue, ``held_since`` (ISO) since when it is on hold. ``skipped`` says why nothing is to be
    done, where that is worth saying; ``says`` is the reason of a decision that leaves the owner. ``watched`` are fields that must
    not change meanwhile. ``passed`` are those who had the record and do not get it again, ``refused`` who gave it back just now.
    ``heard`` is what the event means to the clocks, ``source`` where the lead came from, ``priority`` what clocks have added to
    that of the record. ``effects`` are what the rung does beside choosing the owner, ``told`` whom a clock's step tells, whatever
    becomes of the record; ``has`` is who has it as far as we know, also where the CRM does not show it yet.
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
    seen: Values = {}
    seen_at: datetime | None = None
    under_way: Values = {}
    claim: str = ""
    held_since: str = ""
    given_back: tuple[tuple[str, str, str], ...] = ()
    watched: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    refused: str = ""
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
        return [*self.pools, *(pool for pool, _, _ in self.given_back)]

    @property
    def contact(self) -> str:
        """What the person behind the record goes by: the e-mail address, else the record's id."""
        return str((self.facts.get(self.entity) or {}).get("email") or self.record_id).lower()


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


def plan(event: ChangeEvent, view: View, policy: Policy, directory: Directory, now: datetime) -> Plan:
    """What this event asks for. Pure; raises nothing for whatever a CRM may hold.

    A record of a kind that has a ladder, that was created, updated or restored and that the entry criteria let in, walks it. A
    tick walks it again for one on hold, unless somebody took it. Everything else is at most corrected, in the fields that the
    event changed.
    """
    record, shape = view.record, shape_of(policy)
    ours = event.kind in OURS
    tick = event.kind == "tick" and event.origin != SLA
    if record.deleted or (event.kind not in ROUTING and not ours):
        return _nothing(event, record, policy)
    routed = event.entity in policy.ladders
    if tick and (not routed or not record.on_hold):
        return _nothing(event, record, policy, "the record no longer waits")
    fixers = shape.fixers.get(event.entity)
    normal = normalised(record.values, fixers) if fixers else {}
    fixed: tuple[Correction, ...] = ()
    if fixers and not ours:
        fixed = corrections(record.values, normal, fixers, _only(event))
    if not routed:
        return _corrected(event, record, policy, fixed, normal, ())
    system = event.system
    lead = lead_facts(record, normal, shape, directory)

    def can_not(key: str) -> str | None:
        return directory.why_not(key, system, now)

    def active(account: Record) -> bool:
        return can_not(directory.key_of(account.system, str(account.values.get("owner") or ""))) is None

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
    source = str(lead.get("lead_source") or "")
    common = {"heard": heard, "owner": owner, "source": source}
    turn = turn_of(event, record, record.decided_owner or owner, view.clocks, heard, policy, directory, now)
    if turn is not None and turn.skipped:
        if event.kind != "tick":
            common["heard"] = NOTHING  # an answer of somebody who has nothing to answer
        return replace(_nothing(event, record, policy, turn.skipped), **common)
    passed = turn.passed if turn is not None else record.passed if tick else ()
    had = {key: f"{directory.name(key)} had it already" for key in passed}

    def why_not(key: str) -> str | None:
        return had.get(key) or can_not(key)

    trace = [] if turn is None else list(turn.steps)
    if turn is not None:
        pass  # the ladder is walked for somebody else, or not at all
    elif not tick:
        entered = policy.enters(facts, why_not, event.entity)
        if not entered.held:
            return replace(_corrected(event, record, policy, fixed, normal, (_step("entry", entered),)), **common)
        trace.append(_step("entry", entered))
    elif record.taken:
        name = record.values.get("owner")
        who = directory.name(lead["owner"]) if lead["owner"] else str(name)
        return replace(_taken(event, record, policy, facts, who), **common)
    trace += matched.steps
    waits = waits_on(record, policy) if tick else None
    if waits is not None:
        walk = Walk(waits, "Hold", "", "", (), ())
    elif turn is None or turn.again:
        walk = policy.walk(facts, why_not, now, event.entity)
    else:
        walk = Walk(turn.action or Action("hold"), turn.steps[0].name, "", "", (), ())
    trace += [_step("ladder", step) for step in walk.steps]
    facts["lists"] = LIST_VERSIONS
    facts["weights"] = weights_digest(policy)
    return Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, policy),
        system=system,
        entity=event.entity,
        record_id=event.record_id,
        tick=tick,
        # Who accepts what was taken from them, and given to nobody yet, keeps it.
        on_hold=record.on_hold and event.kind != "accepted",
        action=None if turn is not None and turn.says else walk.action,
        says=turn.says if turn is not None else "",
        rung=walk.rung,
        rule=walk.rule,
        person=walk.person,
        effects=walk.effects,
        told=turn.effects if turn is not None else (),
        owner=owner,
        has=record.decided_owner or owner,
        pools=() if turn is not None and turn.says else _pools(walk.action, policy),
        account_id=matched.account.record.record_id if matched.account else "",
        corrections=fixed,
        candidates=matched.candidates,
        trace=tuple(trace),
        facts=facts,
        seen=record.values,
        seen_at=_seen_at(event),
        claim=str(event.values.get("claim") or "") if tick else "",
        held_since=record.held_since if record.on_hold else "",
        given_back=record.turns if turn is not None and turn.refused else (),
        watched=turn.watched if turn is not None else (),
        passed=passed,
        refused=turn.refused if turn is not None else "",
        heard=heard,
        source=source,
        priority=record.priority + turn.priority if turn is not None else record.priority if tick else 0.0,
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
    """The pool named (also: while somebody is away) and those it overflows into. The policy's check refuses loops; one is cut here
    all the same."""
    action = action.away or action
    if action.kind != "pool":
        return ()
    chain: list[str] = []
    name = action.value
    while name and name not in chain and name in policy.pools:
        chain.append(name)
        name = policy.pools[name].overflow
    return tuple(chain)
