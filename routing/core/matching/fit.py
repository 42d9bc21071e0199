"""Fits the weights to labelled pairs: those under which what people said is most likely.

The model is that of ``score``: among a lead's candidates and "none of them", each has the share of its exponentiated log-odds
(McFadden's conditional logit). The likelihood has one maximum and no step size to choose: Newton's method with the signs as bounds
(Bertsekas 1982, projected Newton) finds it in some ten rounds. Few labels move the weights little: each is drawn to ``prior``
(a Gaussian prior), and evidence that no label shows stays at it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from routing.core.matching.kinds import AGAINST, FOR, KINDS
from routing.core.matching.score import Weights

# What a label weighs against the prior: a weight may move by 1/sqrt(STIFF) before that costs as much as half a label's log-odds.
STIFF = 1.0
# Log-odds just above the band match as it is when a policy says nothing: those who leave the company out are few among labels, and
# policies rely on them.
DOMAIN_ALONE = 2.3
_ROUNDS = 60
_DIGITS = 3
# A candidate as unlikely as this pulls at nothing.
_NEGLIGIBLE = 1e-7
_BASE = 0  # the first column; the kinds follow

_Row = tuple[tuple[int, float], ...]


class Choice(Struct, frozen=True):
    """One lead: what is measured of each of its candidates, and which of them are its company (none: nobody)."""

    lead_id: str
    measured: tuple[dict[str, float], ...]
    right: frozenset[int] = frozenset()


def probabilities(measured: Sequence[dict[str, float]], weights: Weights) -> list[float]:
    """The candidates' probabilities, as ``score`` gives them."""
    sums = [weights.base + sum(weights.kinds.get(kind, 0.0) * much for kind, much in one.items()) for one in measured]
    return _shares(sums)[0]


def fit(choices: Sequence[Choice], prior: Weights, made_from: str) -> Weights:
    """The weights under which ``choices`` are most likely. Pure, and the same for the same choices in any order.

    Takes some 10 s for 10,000 leads with 8 candidates each.
    """
    rows = [
        ([_row(one) for one in choice.measured], choice.right)
        for choice in sorted(choices, key=lambda one: one.lead_id)
        if choice.measured
    ]
    start = [prior.base, *(prior.kinds.get(kind, 0.0) for kind in KINDS)]
    weights = list(start)
    value, slope, curve = _loss(rows, weights, start)
    for _ in range(_ROUNDS):
        step = _step(weights, slope, curve)
        scale, better = 1.0, False
        while scale > 1e-4 and not better:
            tried = [
                _bounded(n, weight - scale * move) for n, (weight, move) in enumerate(zip(weights, step, strict=True))
            ]
            again = _value(rows, tried, start)
            better = again < value - 1e-9 * abs(value)
            scale /= 2
        if not better:
            break
        weights = tried
        value, slope, curve = _loss(rows, weights, start)
    rounded = _floored([round(weight, _DIGITS) + 0.0 for weight in weights], start)
    return Weights(rounded[_BASE], dict(zip(KINDS, rounded[1:], strict=True)), made_from)


def _floored(weights: list[float], start: list[float]) -> list[float]:
    """Raised where needed: if by the prior a lead with nothing but an account's own domain is that account's, it stays so."""
    for kind in ("mail_domain", "site_domain"):
        column = _COLUMN[kind]
        alone, before = (one[_BASE] + one[_COLUMN["name_none"]] + one[column] for one in (weights, start))
        weights[column] = round(weights[column] + max(0.0, min(DOMAIN_ALONE, before) - alone), _DIGITS)
    return weights


_COLUMN = {kind: n for n, kind in enumerate(KINDS, 1)}


def _row(measured: dict[str, float]) -> _Row:
    return ((_BASE, 1.0), *((_COLUMN[kind], much) for kind, much in measured.items() if much))


def _bounded(column: int, weight: float) -> float:
    if column == _BASE:
        return weight
    kind = KINDS[column - 1]
    return max(0.0, weight) if kind in FOR else min(0.0, weight) if kind in AGAINST else weight


def _shares(sums: Sequence[float]) -> tuple[list[float], float]:
    """The shares of the candidates and of "none of them"."""
    top = max(0.0, *sums) if sums else 0.0
    parts = [math.exp(one - top) for one in sums]
    nobody = math.exp(-top)
    whole = nobody + sum(parts)
    return [part / whole for part in parts], nobody / whole


_Rows = Sequence[tuple[list[_Row], frozenset[int]]]


def _likelihood(shares: Sequence[float], nobody: float, right: frozenset[int]) -> float:
    return max(1e-300, sum(shares[n] for n in right) if right else nobody)


def _value(rows: _Rows, weights: list[float], start: list[float]) -> float:
    total = STIFF / 2 * sum((one - other) ** 2 for one, other in zip(weights, start, strict=True))
    for candidates, right in rows:
        shares, nobody = _shares([sum(weights[n] * much for n, much in row) for row in candidates])
        total -= math.log(_likelihood(shares, nobody, right))
    return total


def _loss(rows: _Rows, weights: list[float], start: list[float]) -> tuple[float, list[float], list[list[float]]]:
    """The loss with its gradient and (an upper bound of) its curvature."""
    size = len(weights)
    slope = [STIFF * (one - other) for one, other in zip(weights, start, strict=True)]
    curve = [[STIFF if n == m else 0.0 for m in range(size)] for n in range(size)]
    total = STIFF / 2 * sum((one - other) ** 2 for one, other in zip(weights, start, strict=True))
    for candidates, right in rows:
        shares, nobody = _shares([sum(weights[n] * much for n, much in row) for row in candidates])
        likely = _likelihood(shares, nobody, right)
        total -= math.log(likely)
        mean: dict[int, float] = {}
        for at, (row, share) in enumerate(zip(candidates, shares, strict=True)):
            pull = share - (share / likely if at in right else 0.0)
            if abs(pull) > _NEGLIGIBLE:
                for n, much in row:
                    slope[n] += pull * much
            if share > _NEGLIGIBLE and share < 1 - _NEGLIGIBLE:
                for n, much in row:
                    mean[n] = mean.get(n, 0.0) + share * much
                    line, scaled = curve[n], share * much
                    for m, other in row:
                        line[m] += scaled * other
        for n, much in mean.items():
            line = curve[n]
            for m, other in mean.items():
                line[m] -= much * other
    return total, slope, curve


def _step(weights: list[float], slope: list[float], curve: list[list[float]]) -> list[float]:
    """Newton's step for the weights that are free; those that press against their bound stay."""
    free = [
        n for n, weight in enumerate(weights) if n == _BASE or weight != 0.0 or _bounded(n, weight - slope[n]) != 0.0
    ]
    solved = _solve([[curve[n][m] for m in free] for n in free], [slope[n] for n in free])
    step = [0.0] * len(weights)
    for n, move in zip(free, solved, strict=True):
        step[n] = move
    return step


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Cholesky: the matrix is symmetric and, by the prior, positive definite."""
    size = len(right)
    lower = [[0.0] * size for _ in range(size)]
    for n in range(size):
        for m in range(n + 1):
            rest = matrix[n][m] - sum(lower[n][k] * lower[m][k] for k in range(m))
            lower[n][m] = math.sqrt(max(rest, 1e-12)) if n == m else rest / lower[m][m]
    half = [0.0] * size
    for n in range(size):
        half[n] = (right[n] - sum(lower[n][k] * half[k] for k in range(n))) / lower[n][n]
    solved = [0.0] * size
    for n in reversed(range(size)):
        solved[n] = (half[n] - sum(lower[k][n] * solved[k] for k in range(n + 1, size))) / lower[n][n]
    return solved
