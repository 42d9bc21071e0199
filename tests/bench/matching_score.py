"""Answers of the matcher and of its peers, judged alike."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from routing.core.matching.assess import Judged, Quality, quality
from tests.bench.matching_data import Lead


class Answer(Struct, gc=False):
    """The account that comes nearest to a lead ("" when there is none), how sure that is, and the band of it."""

    lead_id: str
    account_id: str = ""
    score: float = 0.0
    band: str = ""


def judged(answers: Sequence[Answer], leads: Sequence[Lead]) -> list[Judged]:
    """By the leads' truth, lead by lead."""
    return [
        Judged(one.score if one.account_id else 0.0, one.account_id == lead.truth != "", lead.truth != "")
        for one, lead in zip(answers, leads, strict=True)
    ]


def matched(answers: Sequence[Answer], leads: Sequence[Lead]) -> Quality:
    """Of the band ``match`` alone: what is asked about is not given."""
    given = [one.account_id == lead.truth for one, lead in zip(answers, leads, strict=True) if one.band == "match"]
    known = sum(lead.truth != "" for lead in leads)
    return Quality(sum(given) / len(given) if given else 1.0, sum(given) / known if known else 1.0)


def best(found: Sequence[Judged]) -> tuple[float, Quality]:
    """The cut that gives the best F1, and what it gives: chosen in hindsight, so flattering."""
    known, right = sum(one.known for one in found), 0
    cut, most = 1.0, 0.0
    ordered = sorted((one for one in found if one.probability), key=lambda one: -one.probability)
    for n, one in enumerate(ordered, 1):
        right += one.right
        last = n == len(ordered) or ordered[n].probability < one.probability
        if last and 2 * right / (n + known) > most:
            cut, most = one.probability, 2 * right / (n + known)
    return cut, quality(found, cut)
