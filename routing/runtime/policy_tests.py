"""Runs the tests of a policy. One that fails is an error of the policy: it does not go live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from routing.core.model import Decision
from routing.core.recognise import weights_of
from routing.runtime.story import headline, show, steps
from routing.runtime.trial import Court, Trial
from rules.model import PolicyError, Problem
from rules.policy import Policy, compile_policy
from rules.policy_tests.case import NOBODY, Expected, PolicyTest
from rules.source import Report
from rules.values import fold


class Failure(Struct, frozen=True):
    """Something that a test expected and that is otherwise."""

    expected: Expected
    message: str


class Outcome(Struct, frozen=True):
    """A test that was run. It passed when nothing is otherwise."""

    test: PolicyTest
    trial: Trial
    failures: tuple[Failure, ...]

    @property
    def story(self) -> list[str]:
        """What happened, step by step."""
        return [headline(self.trial), *steps(self.trial)]


def run_tests(policy: Policy, now: datetime, tests: Iterable[PolicyTest] | None = None) -> list[Outcome]:
    """Every test of the policy, or only ``tests``, at its own time or else at ``now`` (aware). Raises nothing."""
    court = Court(policy)
    outcomes = []
    for test in policy.tests if tests is None else tests:
        trial = court.decide(test.case, now)
        found = ((one, _differs(one, trial)) for one in test.expected)
        outcomes.append(Outcome(test, trial, tuple(Failure(one, message) for one, message in found if message)))
    return outcomes


def problems_of(outcomes: Iterable[Outcome]) -> list[Problem]:
    """The failures as errors of tests.yaml, each at what was expected."""
    report = Report()
    for outcome in outcomes:
        for failure in outcome.failures:
            message = f"the test '{outcome.test.name}' fails: {failure.message}"
            report.error(failure.expected.place, message, headline(outcome.trial))
    return report.problems()


def compile_tested(files: Mapping[str, bytes], now: datetime) -> Policy:
    """The policy of these files, its tests passed. Raises PolicyError, also where a test fails."""
    policy = compile_policy(files)
    weights_of(policy)
    failed = problems_of(run_tests(policy, now))
    if failed:
        raise PolicyError(failed)
    return policy


def _differs(expected: Expected, trial: Trial) -> str:
    """How it turned out otherwise, "" when it is as expected."""
    decision = trial.settled.decision
    key, wanted = expected.key, expected.value
    if key == "corrections":
        return _corrections(wanted, trial)
    if key == "sets":
        return _sets(wanted, trial)
    found = _found(key, decision, trial)
    if key == "rule":
        if fold(wanted) in (fold(found), fold(found.partition(": ")[2]), fold(found.partition(":")[0])):
            return ""
        return f"rule is {found or 'none'}, not {wanted}"
    if key == "reason":
        return "" if fold(wanted) in fold(found) else f"the reason is '{found}', which does not say '{wanted}'"
    if fold(found) == fold(wanted):
        return ""
    if key == "owner":
        name = trial.directory.name
        return (
            f"owner is {name(found) if found != NOBODY else NOBODY}, not {name(wanted) if wanted != NOBODY else NOBODY}"
        )
    return f"{key} is {found or 'none'}, not {wanted}"


def _found(key: str, decision: Decision | None, trial: Trial) -> str:
    if decision is None:
        return {"outcome": "none", "owner": NOBODY, "reason": trial.settled.skipped}.get(key, "")
    if key == "owner":
        return decision.owner or NOBODY
    if key == "queue":
        action = trial.planned.action
        return action.value if action is not None and action.kind == "queue" else ""
    return str(getattr(decision, key))


def _corrections(wanted: Mapping[str, Any], trial: Trial) -> str:
    made = {one.field: one.new for one in trial.planned.corrections}
    if not wanted:
        told = ", ".join(f"{name} to {show(new)}" for name, new in made.items())
        return f"something is corrected: {told}" if made else ""
    for name, value in wanted.items():
        if name not in made:
            return f"{name} is not corrected; it is {show(trial.case.record.get(name))}"
        if made[name] != value:
            return f"{name} is corrected to {show(made[name])}, not to {show(value)}"
    return ""


def _sets(wanted: Mapping[str, Any], trial: Trial) -> str:
    effects = getattr(trial.planned, "effects", ())
    made = {one.target.rpartition(".")[2]: one.value for one in effects if one.kind == "set"}
    if not wanted:
        return f"fields are set: {', '.join(made)}" if made else ""
    for name, value in wanted.items():
        if made.get(name) != value:
            return (
                f"{name} is set to {show(made[name])}, not to {show(value)}" if name in made else f"{name} is not set"
            )
    return ""
