"""How good the matcher's answers are: precision, recall, F1, and whether a probability means what it says."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from routing.core.matching.fit import Choice, fit, probabilities
from routing.core.matching.score import Weights

FOLDS = 5
# Below this no account is more likely than none.
LIKELY = 0.5


class Judged(Struct, frozen=True, gc=False):
    """The nearest account of a lead: its ``probability`` (0: there is none), whether it is ``right``, and whether there is a right one."""

    probability: float
    right: bool
    known: bool


class Quality(Struct, frozen=True):
    """Precision: of the accounts given, how many are right. Recall: of the leads that have one, how many got it. 1 where none is asked."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Their harmonic mean; 0 where nothing is right."""
        return 2 * self.precision * self.recall / ((self.precision + self.recall) or 1.0)


class Tenth(Struct, frozen=True):
    """The answers whose probability begins with the same digit: how many, what they said on average, and which share was right."""

    low: float
    count: int
    said: float
    right: float


def quality(judged: Sequence[Judged], cut: float = LIKELY) -> Quality:
    """When every account is given whose probability is ``cut`` or more."""
    given = [one for one in judged if one.probability and one.probability >= cut]
    right, known = sum(one.right for one in given), sum(one.known for one in judged)
    return Quality(right / len(given) if given else 1.0, right / known if known else 1.0)


def calibration(judged: Sequence[Judged]) -> tuple[float, list[Tenth]]:
    """The expected calibration error (by how far what is said lies from what is right, on average) and the tenths."""
    held: list[list[Judged]] = [[] for _ in range(10)]
    for one in judged:
        if one.probability:
            held[min(9, int(one.probability * 10))].append(one)
    table = [
        Tenth(
            n / 10,
            len(some),
            sum(one.probability for one in some) / len(some),
            sum(one.right for one in some) / len(some),
        )
        for n, some in enumerate(held)
        if some
    ]
    whole = sum(one.count for one in table) or 1
    return sum(abs(one.said - one.right) * one.count for one in table) / whole, table


def judge(choices: Sequence[Choice], weights: Weights) -> list[Judged]:
    """What these weights say of labelled leads."""
    found = []
    for choice in choices:
        shares = probabilities(choice.measured, weights)
        best = max(range(len(shares)), key=lambda n: (shares[n], -n), default=-1)
        found.append(Judged(shares[best] if shares else 0.0, best in choice.right, bool(choice.right)))
    return found


def cross_validated(choices: Sequence[Choice], prior: Weights) -> list[Judged]:
    """What weights say of leads that they were not fitted to: each fold by those fitted to the others."""
    ordered = sorted(choices, key=lambda one: one.lead_id)
    judged: list[Judged] = []
    for fold in range(FOLDS):
        others = [one for n, one in enumerate(ordered) if n % FOLDS != fold]
        judged += judge(ordered[fold::FOLDS], fit(others, prior, ""))
    return judged
