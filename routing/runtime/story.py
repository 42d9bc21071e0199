"""One decision told step by step, for whoever wrote the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from routing.core.model import Candidate, Step
from routing.runtime.trial import Trial

# Of a long text or list no more than this is shown.
_SHOWN = 80
_LIKELIEST = 3
_STAGES = {"entry": "Entry", "match": "Account", "ladder": "Rung", "distribute": "Pool", "hold": "Hold"}


def headline(trial: Trial) -> str:
    """Where the record goes, in one sentence."""
    decision = trial.settled.decision
    what = trial.case.routes
    if decision is None:
        return f"This {what} is not routed: {trial.settled.skipped or 'the entry criteria do not let it in'}."
    if decision.outcome in ("assign", "keep"):
        who = trial.directory.name(decision.owner) or decision.owner
        verb = "stays with" if decision.outcome == "keep" else "goes to"
        return f"This {what} {verb} {who}: {decision.reason}."
    verb = {"hold": "is on hold", "reject": "is rejected", "none": "is not routed"}.get(
        decision.outcome, f"has the outcome {decision.outcome}"
    )
    return f"This {what} {verb}: {decision.reason}."


def steps(trial: Trial) -> list[str]:
    """Corrections, the account, every rung with the values that decided it, and the pools: a line each, some with details."""
    lines: list[str] = []
    for one in trial.planned.corrections:
        kept = "" if one.write else ", for the decision only"
        lines.append(f"Corrected  {one.field}: {show(one.old)} → {show(one.new)} ({one.reason}{kept})")
    decision = trial.settled.decision
    for step in decision.trace if decision is not None else trial.planned.trace or _entry(trial):
        lines += _step(step, trial)
        if (step.stage, step.name) == ("match", "Account"):
            lines += _candidates(trial.planned.candidates)
    if decision is not None and len(decision.members) > 1:
        for member in decision.members:
            name, why = trial.directory.name(member.person), member.unavailable
            load = f", {member.load:g} open" if member.load is not None else ""
            lines.append(
                f"             {name}: {why}"
                if why
                else f"             {name} can take it, weight {member.weight:g}{load}"
            )
    return lines


def _candidates(candidates: Sequence[Candidate]) -> list[str]:
    """The likeliest accounts, with what speaks for and against each."""
    return [f"             {told(one)}" for one in candidates[:_LIKELIEST]]


def told(candidate: Candidate) -> str:
    """One candidate on a line: how likely it is, the evidence, and why it was passed over."""
    verdict = f"passed over: {candidate.passed_over}" if candidate.passed_over else "chosen"
    evidence = ", ".join(candidate.evidence) or "no evidence kept"
    return f"{candidate.name} ({candidate.account_id}), {candidate.probability:.1%}: {evidence}; {verdict}"


def _entry(trial: Trial) -> tuple[Step, ...]:
    """An event that is not let in leaves no trace in the plan: it is asked again."""
    event = {"kind": "created", "changed": [], **{k: v for k, v in trial.case.event.items() if v is not None}}
    event.setdefault("system", next(iter(trial.policy.entities[trial.case.routes].remote), "file"))
    facts = {trial.case.routes: dict(trial.case.record), "account": None, "counterpart": None, "event": event}
    found = trial.policy.enters(facts, None, trial.case.routes)
    return () if found.held else (Step("entry", found.rung, False, found.condition, found.values),)


def _step(step: Step, trial: Trial) -> list[str]:
    held = {"ladder": "holds", "entry": "lets it in", "match": "found", "distribute": "has somebody"}
    not_held = {
        "ladder": "does not hold",
        "entry": "do not let it in",
        "match": "none found",
        "distribute": "has nobody",
    }
    words = (held if step.held else not_held).get(step.stage, "yes" if step.held else "no")
    if step.stage == "match" and step.name == "Person":
        words = "known" if step.held else "perhaps known"
    elif step.stage == "match" and step.values.get("band") == "ask":
        words = "a person is asked"
    sign = "✓" if step.held else "·"
    lines = [f"{sign} {_STAGES.get(step.stage, step.stage):<9}  {step.name}: {words}"]
    if step.condition:
        lines.append(f"             when {step.condition}")
    shown = [f"{name} is {_value(value, trial)}" for name, value in step.values.items()]
    if shown and step.stage != "match":
        lines.append(f"             {', '.join(shown)}")
    elif step.stage == "match" and "account" in step.values:
        lines.append(f"             {show(step.values.get('account'))}")
    if step.rule and step.stage != "match":
        lines.append(f"             {step.rule}")
    if step.note:
        lines.append(f"             {step.note}")
    return lines


def _value(value: Any, trial: Trial) -> str:
    if type(value) is str and value in trial.policy.people:
        why = trial.directory.why_not(value, trial.planned.system, trial.at)
        return trial.policy.people[value].name + (f" ({why})" if why else "")
    return show(value)


def show(value: Any) -> str:
    """A value for people: blank, yes, 200, "DE"."""
    if value is None or value in ("", []):
        return "blank"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(show(one) for one in value[:10]) + (f" and {len(value) - 10} more" if len(value) > 10 else "")
    if isinstance(value, str):
        clean = "".join(c if c.isprintable() else " " for c in value[: _SHOWN * 2])
        return f'"{clean if len(clean) <= _SHOWN else clean[: _SHOWN - 1] + "…"}"'
    return str(value)
