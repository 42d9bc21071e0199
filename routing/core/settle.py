"""The second half of a decision, with the pools locked: distribute, decide, and say what is owed to the CRM."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.directory import FILE, Directory
from routing.core.distribution import pick
from routing.core.model import Decision, MemberView, Outcome, PoolState, Step, Timer, Values, Write, derived_id
from routing.core.plan import Plan
from routing.core.shape import shape_of
from rules.model import Effect

if TYPE_CHECKING:
    from rules.policy import Policy

# How many people's reasons a sentence names before it counts the others.
_NAMED = 5


class Settled(Struct, frozen=True, kw_only=True):
    """All that an event causes. ``pools`` holds only the changed ones; ``skipped`` why there is no decision, if that needs saying."""

    decision: Decision | None = None
    writes: tuple[Write, ...] = ()
    timers: tuple[Timer, ...] = ()
    pools: dict[str, PoolState] = {}
    on_hold: bool = False
    skipped: str = ""


class _Choice(Struct):
    """What came of the action. ``note`` is the last step of the trace, for a pool."""

    outcome: Outcome
    reason: str
    owner: str = ""
    pool: str = ""
    members: tuple[MemberView, ...] = ()
    steps: tuple[Step, ...] = ()
    states: dict[str, PoolState] = {}
    queue_id: str | None = None


def settle(plan: Plan, pools: Mapping[str, PoolState], policy: Policy, directory: Directory, now: datetime) -> Settled:
    """Decides. ``pools`` holds the states of ``plan.pools`` (a pool never used may be missing). Pure; changes no argument."""
    if plan.taken:
        reason = f"{plan.taken} took it while it was on hold; an owner set by somebody else is kept"
        return Settled(decision=_decision(plan, _Choice("none", reason), policy, now))
    if plan.action is None:
        if not plan.corrections:
            return Settled(on_hold=plan.on_hold, skipped=plan.skipped)
        decision = _decision(
            plan, _Choice("none", "fields corrected; this change does not route the record"), policy, now
        )
        return Settled(decision=decision, writes=_writes(plan, None, policy), on_hold=plan.on_hold)
    choice = _choose(plan, pools, policy, directory, now)
    if choice.outcome == "hold":
        return _held(plan, choice, policy, directory, now)
    if plan.action.kind == "holdout":
        return Settled(decision=_decision(plan, choice, policy, now))
    crm_id = choice.queue_id
    if crm_id is None and choice.outcome == "assign":
        crm_id = directory.crm_id(plan.system, choice.owner)
    return Settled(
        decision=_decision(plan, choice, policy, now),
        writes=_writes(plan, crm_id, policy, _sets(plan, policy, directory)),
        pools=choice.states,
    )


def _held(plan: Plan, choice: _Choice, policy: Policy, directory: Directory, now: datetime) -> Settled:
    """Nobody can take it: it waits, and a timer brings it back. Waiting on is no new decision."""
    # On hold already means that a timer is running; a second would only bring it back twice.
    timers = () if plan.on_hold and not plan.tick else (_timer(plan, policy, now),)
    if plan.tick:
        return Settled(timers=timers, on_hold=True, skipped=f"still on hold: {choice.reason}")
    # Where the rung itself says hold, what it does besides is done; where a pool had nobody, that waits for somebody.
    waits = plan.action is not None and plan.action.kind != "hold"
    sets = {} if waits else _sets(plan, policy, directory)
    return Settled(
        decision=_decision(plan, choice, policy, now, () if waits else plan.effects),
        writes=_writes(plan, None, policy, sets),
        timers=timers,
        on_hold=True,
    )


def _timer(plan: Plan, policy: Policy, now: datetime) -> Timer:
    return Timer(
        timer_id=derived_id(plan.event_id, policy.digest, "hold"),
        purpose="hold",
        system=plan.system,
        entity=plan.entity,
        record_id=plan.record_id,
        due_at=now + timedelta(seconds=policy.hold_retry),
    )


def _choose(plan: Plan, pools: Mapping[str, PoolState], policy: Policy, directory: Directory, now: datetime) -> _Choice:
    action = plan.action
    assert action is not None
    if action.kind == "pool":
        return _distribute(plan, pools, policy, directory, now)
    if action.kind == "hold":
        return _Choice("hold", action.value or f"the rung '{plan.rung}' holds it")
    if action.kind == "reject":
        return _Choice("reject", action.value or f"the rung '{plan.rung}' rejects it")
    if action.kind == "holdout":
        return _Choice("none", f"{action.value} ({plan.rung}): it is left as it is")
    if action.kind == "queue":
        return _queue(plan, action.value, policy)
    who = directory.name(plan.person)
    if action.kind == "keep":
        return _Choice("keep", f"{who} keeps it: {plan.rung}", plan.person)
    if action.kind == "field":
        return _Choice("assign", f"{who}, as {action.value} says: {plan.rung}", plan.person)
    return _Choice("assign", f"{who}, named by {plan.rung}{_row(plan)}", plan.person)


def _queue(plan: Plan, name: str, policy: Policy) -> _Choice:
    queue_id = policy.queues.get(name, {}).get(plan.system)
    if queue_id is None and plan.system != FILE:
        return _Choice("hold", f"the queue {name} has no id in {plan.system.capitalize()}: add it to engagement.yaml")
    return _Choice("assign", f"it goes to the queue {name}: {plan.rung}{_row(plan)}", queue_id=queue_id)


def _row(plan: Plan) -> str:
    return f" ({plan.rule})" if plan.rule else ""


def _distribute(
    plan: Plan, pools: Mapping[str, PoolState], policy: Policy, directory: Directory, now: datetime
) -> _Choice:
    steps: list[Step] = []
    members: tuple[MemberView, ...] = ()
    why = "" if plan.pools else f"there is no pool '{plan.action.value if plan.action else ''}'"
    for name in plan.pools:
        pool = policy.pools[name]
        unavailable = {}
        for person in pool.members:
            reason = directory.why_not(person, plan.system, now)
            if reason is not None:
                unavailable[person] = reason
        chosen, state, members = pick(pool, pools.get(name) or PoolState(name), unavailable)
        if chosen is not None:
            after = _standing(chosen, state)
            steps.append(Step("distribute", name, True, values={"owner": chosen}, note=after))
            passed = f" after {' and '.join(step.name for step in steps[:-1])} had nobody" if len(steps) > 1 else ""
            reason = f"{directory.name(chosen)} is next in the pool {name}{passed}: {plan.rung}{_row(plan)}"
            return _Choice("assign", reason, chosen, name, members, tuple(steps), {name: state})
        note = _nobody(name, members)
        why = f"{why}; {note}" if why else note
        steps.append(Step("distribute", name, False, note=note))
    return _Choice("hold", why, "", plan.pools[0] if plan.pools else "", members, tuple(steps))


def _standing(person: str, state: PoolState) -> str:
    return f"{state.assigned[person]} leads now, the fair share is {state.ideal[person]:.2f}"


def _nobody(name: str, members: tuple[MemberView, ...]) -> str:
    if not members:
        return f"the pool {name} has no members"
    reasons = [member.unavailable for member in members[:_NAMED]]
    if len(members) > _NAMED:
        reasons.append(f"and {len(members) - _NAMED} more")
    return f"nobody in the pool {name} can take it ({'; '.join(reasons)})"


def _decision(
    plan: Plan, choice: _Choice, policy: Policy, now: datetime, effects: tuple[Effect, ...] | None = None
) -> Decision:
    return Decision(
        decision_id=plan.decision_id,
        event_id=plan.event_id,
        system=plan.system,
        entity=plan.entity,
        record_id=plan.record_id,
        outcome=choice.outcome,
        owner=choice.owner,
        pool=choice.pool,
        rung=plan.rung,
        rule=plan.rule,
        reason=choice.reason,
        account_id=plan.account_id,
        corrections=plan.corrections,
        candidates=plan.candidates,
        trace=plan.trace + choice.steps if choice.steps else plan.trace,
        members=choice.members,
        facts=plan.facts,
        policy=policy.digest,
        decided_at=now,
        effects=plan.effects if effects is None else effects,
    )


def _sets(plan: Plan, policy: Policy, directory: Directory) -> Values:
    """The fields that the rung sets, people by their ids in that system; without what is there already."""
    found: Values = {}
    people = shape_of(policy).people.get(plan.entity, ())
    for effect in plan.effects:
        name = effect.target.partition(".")[2]
        if effect.kind == "set" and name:
            value = effect.value
            if name in people and value is not None:
                value = directory.crm_id(plan.system, value)
                if value is None:
                    continue  # nobody there in that system
            if value != plan.seen.get(name):
                found[name] = value
    return found


def _writes(plan: Plan, owner: str | None, policy: Policy, sets: Values | None = None) -> tuple[Write, ...]:
    """At most one write: the owner if it is another one, what the rung sets, and the corrections that the CRM shall have."""
    fields: Values = {}
    if plan.system == FILE:
        return ()  # a file is read, never written
    if owner is not None and owner != plan.under_way.get("owner", plan.seen.get("owner")):
        fields["owner"] = owner
    if plan.corrections or sets:
        writable = shape_of(policy).writable.get((plan.system, plan.entity), frozenset())
        for correction in plan.corrections:
            if correction.write and correction.field in writable:
                fields[correction.field] = correction.new
        fields |= {name: value for name, value in (sets or {}).items() if name in writable}
    if not fields:
        return ()
    write = Write(
        write_id=derived_id(plan.decision_id, plan.system, plan.record_id),
        decision_id=plan.decision_id,
        system=plan.system,
        entity=plan.entity,
        record_id=plan.record_id,
        fields=fields,
        guard={name: plan.seen.get(name) for name in fields},
        seen_at=plan.seen_at,
        ours={name: value for name, value in plan.under_way.items() if name in fields},
    )
    return (write,)
