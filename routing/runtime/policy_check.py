"""The whole check of a policy folder: what its files say, its tests, and what they mean together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from routing.core.recognise import weights_of
from routing.runtime.policy_tests import problems_of, run_tests
from rules.model import PolicyError, Problem
from rules.policy import Policy, check, digest
from rules.policy_tests.reader import TESTS


class Checked(Struct, frozen=True):
    """What was found. ``policy`` is None when it cannot go live. ``undecided`` counts rules that ``exact`` could not judge."""

    policy: Policy | None
    problems: list[Problem]
    digest: str
    tests: int = 0
    undecided: int = 0


def check_files(files: Mapping[str, bytes], now: datetime, exact: bool = False) -> Checked:
    """Checks the files of a policy folder; tests without a time of their own are run at ``now`` (aware)."""
    from rules.analysis.analyse import analyse

    policy, problems = check(files)
    if policy is None:
        # Where only the tests have mistakes, what the policy means can be told all the same.
        rest = {name: content for name, content in files.items() if name != TESTS}
        plain = check(rest)[0] if TESTS in files else None
        more = analyse(plain, rest, now, exact=exact).problems if plain is not None else []
        return Checked(None, sorted([*problems, *more]), digest(files))
    try:
        weights_of(policy)
    except PolicyError as error:
        return Checked(None, sorted([*problems, *error.problems]), policy.digest)
    failed = problems_of(run_tests(policy, now))
    found = analyse(policy, files, now, exact=exact)
    problems = sorted([*problems, *failed, *found.problems])
    return Checked(None if failed else policy, problems, policy.digest, len(policy.tests), found.undecided)
