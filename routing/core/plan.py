"""The first half of a decision, without any lock: normalise, correct, match, walk the ladder.

``plan`` reads only its arguments and changes none of them; ``settle`` makes the decision of it once the pools are locked.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routing.core import replaced
from routing.core.case import ROUTING, Case, is_tick, known
from routing.core.correct import corrections, normalised
from routing.core.directory import Directory
from routing.core.distribution.returns import Turns
from routing.core.distribution.workload import done_with
from routing.core.joining import beside, joined_to
from routing.core.model import OURS, ChangeEvent, Correction, Record, Step, derived_id
from routing.core.planned import Plan
from routing.core.recognise import weights_digest
from routing.core.shape import shape_of
from routing.core.sla.ending import waits_on, without_anybody
from routing.core.sla.hearing import NOTHING
from routing.core.sla.turn import Turn, is_sent, send
from routing.core.times import parse_instant
from routing.core.view import View
from routing.core.words import LIST_VERSIONS
from rules.model import Action, Walk, WalkStep
from rules.pools.checks import pools_asked

if TYPE_CHECKING:
    from rules.policy import Policy

# How an event is marked whose values were read back from the CRM because it came without them.
READ_BACK = "read back"


def plan(event: ChangeEvent, view: View, policy: Policy, directory: Directory, now: datetime) -> Plan:
    """What this event asks for. Pure; raises nothing for whatever a CRM may hold.

    A record of a kind that has a ladder, that was created, updated or restored and that the entry criteria let in, walks it. A
    tick walks it again for one on hold, unless somebody took it. Everything else is at most corrected, in the fields that the
    event changed.
    """
    record, ours = view.record, event.kind in OURS
    if record.deleted or (event.kind not in ROUTING and not ours):
        return _nothing(event, record, policy)
    routed = event.entity in policy.ladders
    if is_tick(event) and (not routed or not record.on_hold):
        return _nothing(event, record, policy, "the record no longer waits")
    if event.kind == "replaced":
        return _put_back(event, view, policy, directory)
    fixers = shape_of(policy).fixers.get(event.entity)
    normal = normalised(record.values, fixers) if fixers else {}
    fixed: tuple[Correction, ...] = ()
    if fixers and (not ours or event.kind == "refused"):
        fixed = corrections(record.values, normal, fixers, _only(event))
    if not routed:
        return _corrected(event, record, policy, fixed, normal, ())
    case = known(event, view, policy, directory, now, normal)
    if case.turn is not None:
        # The ladder is walked for somebody else, or not at all.
        return _nothing_to_answer(case) if case.turn.skipped else _routed(case, case.turn.steps, fixed)
    if case.tick:
        done = done_with(record, policy, parse_instant(record.held_since) if record.held_since else None)
        if done is not None:
            return replace(_nothing(event, record, policy, f"no longer on hold: {done.why}"), on_hold=False)
        return _taken(case) if record.taken else _routed(case, (), fixed)
    entered = policy.enters(case.facts, case.why_not, event.entity)
    entry = (_step("entry", entered),)
    if entered.held:
        return _routed(case, entry, fixed)
    return replace(_corrected(event, record, policy, fixed, normal, entry), **case.told())


def _walk(case: Case) -> tuple[Walk, tuple[str, ...]]:
    """Down the ladder; or what a clock's step, an answer, or what it waits for says instead. Also which clock sends it where (``Record.sent``)."""
    turn, policy, record = case.turn, case.policy, case.view.record
    if case.tick:
        waits = waits_on(record, policy)
        if waits is not None:
            return Walk(waits, "Hold", "", "", (), ()), record.sent
        turn = send(record.sent) if is_sent(record, policy) else None
    timed = case.event.kind == "tick" and not case.tick
    if turn is not None and turn.action and not timed and not _anybody_left(case, turn.action):
        turn = None  # all whom a clock sent it to had it, gave it back, or were refused: others may have it
    if turn is None or turn.again:
        return policy.walk(case.facts, case.why_not, case.now, case.event.entity), ()
    rung = turn.sent[0] if turn.sent else turn.steps[0].name
    return Walk(turn.action or Action("hold"), rung, "", "", (), ()), turn.sent


def _routed(case: Case, began: tuple[Step, ...], fixed: tuple[Correction, ...]) -> Plan:
    """``began``: the trace before matching."""
    event, record, matched, turn = case.event, case.view.record, case.matched, case.turn
    walk, sent = _walk(case)
    if turn is not None and not turn.says and case.passed and not _anybody_left(case, walk.action):
        asked, turn = turn.action, without_anybody(turn, event, case.view.clocks, case.has, case.policy)
        if turn.action is not None and turn.action is not asked:
            walk, sent = Walk(turn.action, turn.steps[-1].name, "", "", walk.steps, ()), turn.sent
        began = turn.steps
    joins = ("", "", "")
    if walk.effects:
        joins = joined_to(walk.effects, matched.account, case.view, matched.facts.get("contact"), case.policy)
    planned = Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, case.policy),
        system=event.system,
        entity=event.entity,
        record_id=event.record_id,
        tick=case.tick,
        # Who accepts what was taken from them, and given to nobody yet, keeps it.
        on_hold=record.on_hold and not (turn is not None and turn.keeps),
        action=walk.action,
        rung=walk.rung,
        rule=walk.rule,
        person=walk.person,
        effects=walk.effects,
        joins=joins,
        beside=beside(joins[2], case.view, case.directory, case.policy) if joins[2] else {},
        owner=case.owner,
        has=case.has,
        pools=_pools(walk.action, case.policy),
        account_id=matched.account.record.record_id if matched.account else "",
        corrections=fixed,
        candidates=matched.candidates,
        trace=(*began, *matched.steps, *[_step("ladder", step) for step in walk.steps]),
        facts=case.facts | {"lists": LIST_VERSIONS, "weights": weights_digest(case.policy)},
        seen=record.values,
        claim=str(event.values.get("claim") or "") if case.tick else "",
        held_since=record.held_since if record.on_hold else "",
        passed=case.passed,
        never_had=case.never_had,
        heard=case.heard,
        source=case.source,
        priority=record.priority if case.tick else 0.0,
        sent=sent,
    )
    return planned if turn is None else _moved(planned, turn, case)


def _anybody_left(case: Case, action: Action) -> bool:
    """Whether somebody of the pools that would be asked has not had it, and may have it some day; yes where no pool is asked."""
    names, pools = _pools(action, case.policy), case.policy.pools
    if action.kind != "pool" or not names or pools[names[-1]].overflow_queue:
        return True
    members = [one for name in pools_asked(pools, names) for one in pools[name].members if one.weight > 0]
    people = {one.who for one in members if not one.is_pool} - {*case.passed}
    return any(case.directory.may_have_some_day(who, case.event.system, case.now) for who in people)


def _moved(planned: Plan, turn: Turn, case: Case) -> Plan:
    """The same, with what a clock's step or an answer adds. Turns are given back (once), and taken again, by whoever they gave it to, and
    by nobody who has it since."""
    record = case.view.record
    turns = Turns.of(record) if record.turns and record.turns[-1][2] == case.has else Turns()
    leaves = bool(turn.refused and not turn.says and not record.gave_back)
    stays = turn.keeps and record.gave_back
    return replace(
        planned,
        action=None if turn.says else planned.action,
        says=turn.says,
        pools=() if turn.says else planned.pools,
        told=turn.effects,
        given_back=turns if leaves else Turns(),
        taken_again=turns if stays else Turns(),
        watched=turn.watched,
        refused=turn.refused,
        held_by=turn.held_by,
        priority=record.priority + turn.priority,
    )


def _nothing_to_answer(case: Case) -> Plan:
    """A clock's step, or an answer, that does nothing any more."""
    assert case.turn is not None
    told = case.told()
    if case.event.kind != "tick":
        told["heard"] = NOTHING  # an answer of somebody who has nothing to answer
    return replace(_nothing(case.event, case.view.record, case.policy, case.turn.skipped), **told)


def _decision_id(event: ChangeEvent, policy: Policy) -> str:
    return derived_id(event.event_id, policy.digest, "route")


def _only(event: ChangeEvent) -> frozenset[str] | None:
    """Which fields may be corrected: all of a record that is new to us, else those that the event changed; where a write was refused, what
    was not written with it."""
    if event.kind == "refused":
        return frozenset(event.values.get("unwritten") or ())
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
    )


def _put_back(event: ChangeEvent, view: View, policy: Policy, directory: Directory) -> Plan:
    """A write of ours replaced what somebody had just set: that is told, and set again. Whoever has the record has it."""
    record, people = view.record, shape_of(policy).people.get(event.entity, ())
    keys = {one.field: directory.key_of(event.system, str(one.theirs)) for one in view.replaced if one.field in people}
    return replace(
        _nothing(event, record, policy),
        says=replaced.says(view.replaced, {name: directory.name(key) for name, key in keys.items() if key}),
        corrections=replaced.put_back(view.replaced, record.values),
        facts={event.entity: record.values, "lists": LIST_VERSIONS},
        seen=record.values,
        priority=record.priority,
    )


def _taken(case: Case) -> Plan:
    """Somebody took it while it was on hold."""
    event, record = case.event, case.view.record
    key = case.facts[event.entity]["owner"]
    who = case.directory.name(key) if key else str(record.values.get("owner"))
    step = Step("hold", "Owner while on hold", True, values={f"{event.entity}.owner": key or who})
    return Plan(
        event_id=event.event_id,
        decision_id=_decision_id(event, case.policy),
        system=event.system,
        entity=event.entity,
        record_id=event.record_id,
        tick=True,
        on_hold=record.on_hold,
        taken=who,
        trace=(step,),
        facts=case.facts | {"lists": LIST_VERSIONS},
        **case.told(),
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
