"""How much speaks for a pair: pieces of evidence, each with a weight, summed to log-odds; among candidates, to probabilities.

``measure`` says what there is, ``Weights`` what it is worth. The probability of a candidate is its share among all candidates and
"none of them", whose log-odds are 0: a second account that fits as well halves the first's.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from operator import mul

import msgspec
from msgspec import Struct

from routing.core.matching.kinds import AGAINST, FOR
from routing.core.matching.measure import Measured, beside, compared
from routing.core.matching.model import AccountFeatures, Evidence, LeadFeatures, Scored
from routing.core.matching.words_for import sentence

_OUT_OF_THE_QUESTION = 1e-3


class Weights(Struct, frozen=True):
    """What each kind of evidence adds to the log-odds, per unit of what ``measure`` finds. ``base``: of a candidate without any."""

    base: float
    kinds: dict[str, float]
    made_from: str = ""

    @staticmethod
    def of(data: bytes) -> Weights:
        """From a weights file (JSON). Raises ValueError, in the reader's words, when it cannot be used."""
        try:
            weights = msgspec.json.decode(data, type=Weights)
        except msgspec.DecodeError as error:
            raise ValueError(f"this is no weights file as 'fingerpost match tune' writes it: {error}") from error
        for kind, worth in weights.kinds.items():
            if kind not in FOR and kind not in AGAINST:
                raise ValueError(f"there is no evidence '{kind}'; write the file anew with 'fingerpost match tune'")
            if (worth < 0 and kind in FOR) or (worth > 0 and kind in AGAINST) or not math.isfinite(worth):
                side = "for" if kind in FOR else "against"
                raise ValueError(f"'{kind}' speaks {side} a match, so its weight cannot be {worth}")
        return weights


@cache
def shipped() -> Weights:
    """The weights that come with the code."""
    return Weights.of(pkgutil.get_data(__package__ or "", "weights.json") or b"")


def log_odds(found: Mapping[str, float], weights: Weights) -> float:
    """The weighted sum."""
    worth = map(weights.kinds.get, found, repeat(0.0))
    return sum(map(mul, worth, found.values()), weights.base)


def score(lead: LeadFeatures, account: AccountFeatures, weights: Weights) -> Scored:
    """One pair by itself, its evidence in words, the weightiest first."""
    measured = compared(lead, account)
    total = log_odds(measured.found, weights)
    return _explained(lead, account, weights, measured, total, 1 / (1 + math.exp(-total)))


def scored(lead: LeadFeatures, candidates: Iterable[AccountFeatures], weights: Weights, shown: int = 5) -> list[Scored]:
    """All candidates, best first. The order of ``candidates`` is no matter.

    The ``shown`` first ones come with their evidence in words, as far as they are not out of the question.
    """
    ordered = _ordered(lead, list(candidates), weights)
    top = max(0.0, ordered[0][0]) if ordered else 0.0
    parts = [math.exp(total - top) for total, *_ in ordered]
    whole = math.exp(-top) + sum(parts)
    result = []
    for n, (total, one, found) in enumerate(ordered):
        if n < shown and (not n or parts[n] > _OUT_OF_THE_QUESTION * whole):
            result.append(_explained(lead, one, weights, found, total, parts[n] / whole))
        else:
            result.append(Scored(one.account_id, one.label, total, parts[n] / whole))
    return result


def weighed(
    lead: LeadFeatures, candidates: Sequence[AccountFeatures], weights: Weights
) -> list[tuple[float, AccountFeatures]]:
    """The candidates with their log-odds, best first, as if none had rivals: how many are looked at closely must not hang on that."""
    worth = weights.kinds.get("rivals", 0.0)
    found = [
        (log_odds(its.found, weights) - worth * its.found.get("rivals", 0.0), one)
        for one, its in zip(candidates, beside(lead, candidates), strict=True)
    ]
    if len(found) > 1:
        found.sort(key=_best_first)
    return found


def _ordered(
    lead: LeadFeatures, candidates: Sequence[AccountFeatures], weights: Weights
) -> list[tuple[float, AccountFeatures, Measured]]:
    found = [
        (log_odds(its.found, weights), one, its) for one, its in zip(candidates, beside(lead, candidates), strict=True)
    ]
    if len(found) > 1:
        found.sort(key=_best_first)
    return found


def _best_first(one: tuple[float, AccountFeatures, *tuple[Measured, ...]]) -> tuple[float, str]:
    return -one[0], one[1].account_id


def _explained(
    lead: LeadFeatures,
    account: AccountFeatures,
    weights: Weights,
    measured: Measured,
    total: float,
    probability: float,
) -> Scored:
    pieces = []
    for kind, much in measured.found.items():
        worth = round(weights.kinds.get(kind, 0.0) * much, 3)
        if worth:
            pieces.append(Evidence(kind, worth, sentence(kind, lead, account, measured.alignment)))
    pieces.sort(key=lambda piece: (-abs(piece.weight), piece.kind))
    return Scored(account.account_id, account.label, total, probability, tuple(pieces))
