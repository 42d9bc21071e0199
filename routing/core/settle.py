"""The second half of a decision, with the pools locked: distribute, decide, and say what is owed to the CRM."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.directory import FILE, Directory
from routing.core.distribution.ask import Ask, Pick
from routing.core.distribution.pools import Pools
from routing.core.distribution.returns import take_again, take_back
from routing.core.joining import attached, joins
from routing.core.model import Decision, Holding, MemberView, Outcome, Step, Timer, Values, Write, derived_id
from routing.core.planned import Plan
from routing.core.shape import shape_of
from routing.core.tasks import tasks
from rules.model import Effect
from rules.nouns import system_name

if TYPE_CHECKING:
    from rules.policy import Policy


class Settled(Struct, frozen=True, kw_only=True):
    """All that an event causes beside what it changed in the pools. ``skipped``: why there is no decision, if that needs saying."""

    decision: Decision | None = None
    writes: tuple[Write, ...] = ()
    timers: tuple[Timer, ...] = ()
    holding: Holding | None = None
    turns: tuple[tuple[str, str, str], ...] = ()
    on_hold: bool = False
    skipped: str = ""

    @property
    def routed(self) -> bool:
        """Whether somebody is to have it, or it waits for them from now on, whatever its status."""
        return self.decision is not None and self.decision.outcome in ("assign", "hold")


class _Choice(Struct):
    """What came of the action. ``note`` is the last step of the trace, for a pool."""

    outcome: Outcome
    reason: str
    owner: str = ""
    pool: str = ""
    members: tuple[MemberView, ...] = ()
    steps: tuple[Step, ...] = ()
    pick: Pick | None = None
    queue_id: str | None = None


def settle(plan: Plan, pools: Pools, policy: Policy, directory: Directory, now: datetime) -> Settled:
    """Decides. Pure, but that it hands the turn out in ``pools``, last of all, and leaves there what it read (``pools.seen``)."""
    pools.seen = {}
    if plan.taken:
        reason = f"{plan.taken} took it while it was on hold; an owner set by somebody else is kept"
        return Settled(decision=_decision(plan, _Choice("none", reason), policy, directory, now)[0])
    if plan.says:
        if plan.taken_again.named:
            take_again(pools, plan.taken_again, plan.says, _ask(plan, now))
        made, told = _decision(plan, _Choice("none", plan.says), policy, directory, now, plan.told)
        return Settled(decision=made, writes=_writes(plan, None, policy) + told, on_hold=plan.on_hold)
    if plan.action is None:
        if not plan.corrections:
            return Settled(on_hold=plan.on_hold, skipped=plan.skipped)
        reason = "fields corrected; this change does not route the record"
        decision, _ = _decision(plan, _Choice("none", reason), policy, directory, now)
        return Settled(decision=decision, writes=_writes(plan, None, policy), on_hold=plan.on_hold)
    ask = _ask(plan, now)
    once = take_back(pools, plan.given_back, plan.refused, ask)
    choice = _choose(plan, pools, policy, directory, ask)
    choice.steps = (*once, *choice.steps)
    if choice.outcome == "hold":
        return _held(plan, choice, pools, policy, directory, ask)
    if plan.action.kind == "holdout":
        return Settled(decision=_decision(plan, choice, policy, directory, now)[0])
    crm_id = choice.queue_id
    if crm_id is None and choice.outcome == "assign":
        crm_id = directory.crm_id(plan.system, choice.owner)
    decision, told = _decision(plan, choice, policy, directory, now, (*plan.told, *plan.effects))
    settled = Settled(
        decision=decision,
        writes=_writes(plan, crm_id, policy, _sets(plan, policy, directory)) + told,
        turns=() if choice.pick is None else choice.pick.named,
    )
    if choice.pick is not None:
        pools.give(choice.pick, ask)
    return settled


def _ask(plan: Plan, now: datetime) -> Ask:
    waited = (now - datetime.fromisoformat(plan.held_since)).total_seconds() if plan.held_since else 0.0
    return Ask(
        system=plan.system,
        facts=plan.facts,
        now=now,
        decision_id=plan.decision_id,
        exclude=frozenset(plan.passed),
        refused=frozenset(plan.never_had),
        claim=plan.claim,
        waited=max(waited, 0.0),  # the clock may have been moved back
        account=plan.account_id,
        contact=plan.contact,
    )


def _held(plan: Plan, choice: _Choice, pools: Pools, policy: Policy, directory: Directory, ask: Ask) -> Settled:
    """Nobody can take it: it waits, and a timer brings it back. Waiting on is no new decision."""
    now = ask.now
    # On hold already means that a timer is running; a second would only bring it back twice.
    holding = _holding(plan, choice, policy, now)
    timers = () if plan.on_hold and not plan.tick else (_timer(plan, pools, policy, ask, holding),)
    if plan.tick:
        return Settled(timers=timers, holding=holding, on_hold=True, skipped=f"still on hold: {choice.reason}")
    # Where the rung itself says hold, what it does besides is done; where a pool had nobody, that waits for somebody. Whom a clock
    # tells is told all the same.
    waits = plan.action is not None and plan.action.kind != "hold"
    sets = {} if waits else _sets(plan, policy, directory)
    effects = plan.told if waits else (*plan.told, *plan.effects)
    decision, told = _decision(plan, choice, policy, directory, now, effects)
    return Settled(
        decision=decision,
        writes=_writes(plan, None, policy, sets) + told,
        timers=timers,
        holding=holding,
        on_hold=True,
    )


def _holding(plan: Plan, choice: _Choice, policy: Policy, now: datetime) -> Holding | None:
    if not choice.pool and not plan.person:
        return None  # it waits for a change, or for somebody to take it in hand
    priority = policy.pools[choice.pool].priority if choice.pool else None
    rank = (priority.number(plan.facts) or 0.0) if priority is not None else 0.0
    since = datetime.fromisoformat(plan.held_since) if plan.held_since else now
    return Holding(
        plan.system, plan.entity, plan.record_id, choice.pool, rank + plan.priority, since, person=plan.person
    )


def _timer(plan: Plan, pools: Pools, policy: Policy, ask: Ask, holding: Holding | None) -> Timer:
    """Due when somebody may be there again, by the clock; at the latest after the policy's time."""
    due = ask.now + timedelta(seconds=policy.hold_retry)
    back = pools.back(plan.person, ask.now) if plan.person else None
    sooner = min(filter(None, [pools.until(plan.pools, ask), back]), default=None)
    return Timer(
        timer_id=derived_id(plan.event_id, policy.digest, "hold"),
        purpose="hold",
        system=plan.system,
        entity=plan.entity,
        record_id=plan.record_id,
        due_at=due if sooner is None else min(due, sooner),
        rank=holding.rank if holding is not None else 0.0,
        since=holding.since if holding is not None else ask.now,
    )


def _choose(plan: Plan, pools: Pools, policy: Policy, directory: Directory, ask: Ask) -> _Choice:
    action = plan.action
    assert action is not None
    if action.kind == "pool":
        return _distribute(plan, pools, policy, directory, ask)
    if action.kind == "hold":
        return _Choice("hold", action.value or f"the rung '{plan.rung}' holds it")
    if action.kind == "reject":
        return _Choice("reject", action.value or f"the rung '{plan.rung}' rejects it")
    if action.kind == "holdout":
        return _Choice("none", f"{action.value} ({plan.rung}): it is left as it is")
    if action.kind == "queue":
        return _queue(plan, action.value, policy, f"it goes to the queue {action.value}")
    who = directory.name(plan.person)
    if action.kind == "keep":
        return _Choice("keep", f"{who} keeps it: {plan.rung}", plan.person)
    named = f"{who}, named by {plan.rung}{_row(plan)}"
    if action.kind == "field":
        named = f"{who}, as {action.value} says: {plan.rung}"
    why = pools.away(plan.person, ask.now)
    if why and action.away is not None:
        if action.away.kind == "hold":
            return _Choice("hold", f"{why}; it waits for them: {plan.rung}{_row(plan)}")
        found = _distribute(plan, pools, policy, directory, ask)
        found.reason = f"{why}; {found.reason}"
        return found
    told = f"; {why}, and gets it all the same" if why else ""
    return _Choice("assign", f"{named}{told}", plan.person)


def _queue(plan: Plan, name: str, policy: Policy, reason: str) -> _Choice:
    queue_id = policy.queues.get(name, {}).get(plan.system)
    if queue_id is None and plan.system != FILE:
        system = system_name(plan.system)
        to_do = f"give leads of {system} to a pool or a person, or, if it has queues, add the id to engagement.yaml"
        return _Choice("hold", f"the queue {name} has no id in {system}: {to_do}")
    return _Choice("assign", f"{reason}: {plan.rung}{_row(plan)}", queue_id=queue_id)


def _row(plan: Plan) -> str:
    return f" ({plan.rule})" if plan.rule else ""


def _distribute(plan: Plan, pools: Pools, policy: Policy, directory: Directory, ask: Ask) -> _Choice:
    steps: list[Step] = []
    waits, asked = "", tuple[MemberView, ...]()  # the pool that it waits in where nobody takes it, and who that is
    why = "" if plan.pools else f"there is no pool '{plan.action.value if plan.action else ''}'"
    for name in plan.pools:
        pick = pools.pick(name, ask)
        members = pick.members
        if not waits or (policy.pools[name].method == "pull" and policy.pools[waits].method != "pull"):
            waits, asked = name, members  # who may claim it finds it in their queue
        if pick.person:
            steps.append(Step("distribute", name, True, values={"owner": pick.person}, note=pick.note))
            passed = f" after {' and '.join(step.name for step in steps[:-1])} had nobody" if len(steps) > 1 else ""
            reason = f"{directory.name(pick.person)} {pick.how} the pool {name}{passed}: {plan.rung}{_row(plan)}"
            return _Choice("assign", reason, pick.person, name, members, tuple(steps), pick)
        why = f"{why}; {pick.note}" if why else pick.note
        if pick.queue:
            steps.append(Step("distribute", name, True, note=pick.note))
            found = _queue(plan, pick.queue, policy, f"it goes to the queue {pick.queue}, {pick.note}")
            found.pool, found.members, found.steps, found.pick = name, members, tuple(steps), pick
            return found
        steps.append(Step("distribute", name, False, note=pick.note))
    queue = policy.pools[plan.pools[-1]].overflow_queue if plan.pools else ""
    if queue:
        to_queue = _queue(plan, queue, policy, f"{why}; it goes to the queue {queue}")
        to_queue.pool, to_queue.members, to_queue.steps = plan.pools[-1], members, tuple(steps)
        return to_queue
    return _Choice("hold", why, "", waits, asked, tuple(steps))


def _decision(
    plan: Plan,
    choice: _Choice,
    policy: Policy,
    directory: Directory,
    now: datetime,
    effects: tuple[Effect, ...] = (),
) -> tuple[Decision, tuple[Write, ...]]:
    """The decision, and what its effects ask for beside fields: tasks, and what joins the record to another."""
    told: tuple[Write, ...] = ()
    steps = choice.steps
    if effects:
        whose = choice.owner if plan.action is not None else plan.has
        told, missed = tasks(plan, effects, whose, choice.reason, directory, now)
        joined, apart = joins(plan, effects, whose, choice.queue_id, directory, policy)
        told, steps = told + joined, steps + missed + apart
    decision = Decision(
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
        trace=plan.trace + steps if steps else plan.trace,
        members=choice.members,
        facts=plan.facts,
        policy=policy.digest,
        decided_at=now,
        effects=effects,
    )
    return decision, told


def _sets(plan: Plan, policy: Policy, directory: Directory) -> Values:
    """The fields that the rung sets (people by their ids in that system), and the one that attaches it to its account; without
    what is there already."""
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
    return found | attached(plan, policy) if plan.joins[0] else found


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
        ours={name: value for name, value in (plan.maybe | plan.under_way).items() if name in fields},
        still={name: plan.seen[name] for name in plan.watched if name in plan.seen and name not in fields},
    )
    return (write,)
