"""The tasks that a decision asks for: what ``task`` and ``notify`` of a rung, and ``remind`` and ``notify`` of a clock's step, put before
people where they work, in the CRM that has the record.

A task goes out after the decision's own write, and only while what it is about still holds: the record is with whom it was given to,
and nobody has just done what the clock waits for (``Write.still``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from routing.core.directory import FILE, Directory
from routing.core.model import Step, Values, Write, derived_id
from routing.core.times import iso
from rules.model import Effect
from rules.sla.model import MANAGER

if TYPE_CHECKING:
    from routing.core.planned import Plan

STAGE = "task"
TOLD = ("task", "notify")
OWNER = "owner"
_SUBJECT = 255  # letters; Salesforce takes no more


def tasks(
    plan: Plan, effects: Sequence[Effect], owner: str, reason: str, directory: Directory, now: datetime
) -> tuple[tuple[Write, ...], tuple[Step, ...]]:
    """The writes that create the tasks, and a step of the trace for each that nobody can be given.

    ``owner`` is the key of whoever has the record now, "" for nobody or a queue.
    """
    writes: list[Write] = []
    missed: list[Step] = []
    for effect in effects:
        if effect.kind not in TOLD or plan.system == FILE:
            continue
        person = owner if effect.target == OWNER else effect.target
        crm_id = directory.crm_id(plan.system, person)
        why = directory.unreachable(person, plan.system) if person else "nobody has the record"
        if person == MANAGER:
            why = "people.csv names no manager of whoever had it"
        if why or crm_id is None:
            missed.append(Step(STAGE, str(effect.value or reason), False, note=f"{why}: no task was made"))
            continue
        writes.append(_task(plan, effect, len(writes), crm_id, person == owner, reason, now))
    return tuple(writes), tuple(missed)


def _task(plan: Plan, effect: Effect, number: int, crm_id: str, is_owner: bool, reason: str, now: datetime) -> Write:
    write_id = derived_id(plan.decision_id, plan.system, plan.record_id, STAGE, str(number))
    fields: Values = {
        "subject": str(effect.value or reason)[:_SUBJECT],
        "owner": crm_id,
        "about_entity": plan.entity,
        "about": plan.record_id,
        "note": f"{reason}. Why: fingerpost decisions show {plan.decision_id}",
    }
    if effect.kind == "notify" or effect.due:
        fields["due"] = iso(now + timedelta(seconds=effect.due))
    if effect.kind == "notify":
        fields["priority"] = "high"
    still = {name: plan.seen[name] for name in plan.watched if name in plan.seen}
    return Write(
        write_id=write_id,
        decision_id=plan.decision_id,
        system=plan.system,
        entity="task",
        record_id=write_id,
        fields=fields,
        guard={},
        still=still | {"owner": crm_id} if is_owner else still,
        kind="create",
    )
