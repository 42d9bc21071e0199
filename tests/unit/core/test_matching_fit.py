"""Fitting the weights: what labels say is learned, what they do not say stays, and no piece of evidence changes sides."""

from __future__ import annotations

import math
import random

import pytest

from routing.core.matching.assess import Judged, calibration, cross_validated, judge, quality
from routing.core.matching.fit import Choice, fit, probabilities
from routing.core.matching.kinds import AGAINST, FOR, KINDS
from routing.core.matching.score import Weights, shipped

ZERO = Weights(0.0, dict.fromkeys(KINDS, 0.0))
TRUE = Weights(
    -4.0, {**dict.fromkeys(KINDS, 0.0), "name_share": 5.0, "mail_domain": 4.0, "country_other": -2.5, "phone_same": 3.0}
)


def labelled(count: int, seed: int = 1) -> list[Choice]:
    """Leads with two candidates each, judged by chance as ``TRUE`` has it."""
    chance = random.Random(seed)
    choices = []
    for n in range(count):
        measured = tuple(
            {
                "name_share": chance.random(),
                **{kind: 1.0 for kind in ("mail_domain", "country_other", "phone_same") if chance.random() < 0.4},
            }
            for _ in range(2)
        )
        shares = probabilities(measured, TRUE)
        right = chance.choices((frozenset({0}), frozenset({1}), frozenset()), (*shares, 1 - sum(shares)))[0]
        choices.append(Choice(f"L{n:05d}", measured, right))
    return choices


def test_the_weights_that_made_the_labels_are_found_again() -> None:
    found = fit(labelled(3000), ZERO, "a test")
    assert found.base == pytest.approx(TRUE.base, abs=0.6)
    for kind in ("name_share", "mail_domain", "country_other", "phone_same"):
        assert found.kinds[kind] == pytest.approx(TRUE.kinds[kind], abs=0.6), kind
    assert found.made_from == "a test"


def test_the_order_of_the_labels_is_no_matter() -> None:
    choices = labelled(200)
    turned = list(reversed(choices))
    assert fit(choices, shipped(), "") == fit(turned, shipped(), "")


def test_what_no_label_shows_stays_as_it_was() -> None:
    found = fit(labelled(200), shipped(), "")
    assert found.kinds["known_contact"] == shipped().kinds["known_contact"]
    assert found.kinds["mail_domain"] != shipped().kinds["mail_domain"]


def test_few_labels_move_the_weights_less_than_many() -> None:
    few, many = (fit(labelled(count), ZERO, "").kinds["mail_domain"] for count in (20, 2000))
    assert 0 < few < many


def test_evidence_never_changes_sides_whatever_the_labels_say() -> None:
    turned = [Choice(f"L{n:03d}", ({"country_same": 1.0}, {"country_other": 1.0}), frozenset({1})) for n in range(100)]
    found = fit(turned, shipped(), "")
    assert all(found.kinds[kind] >= 0 for kind in FOR)
    assert all(found.kinds[kind] <= 0 for kind in AGAINST)
    assert found.kinds["country_same"] == found.kinds["country_other"] == 0


def test_two_accounts_of_one_company_may_both_be_right() -> None:
    twins = [Choice(f"L{n:03d}", ({"mail_domain": 1.0}, {"mail_domain": 1.0}), frozenset({0, 1})) for n in range(100)]
    assert sum(probabilities(twins[0].measured, fit(twins, ZERO, ""))) > 0.9


def test_perfectly_separated_labels_still_give_finite_weights() -> None:
    found = fit([Choice(f"L{n}", ({"phone_same": 1.0},), frozenset({0})) for n in range(50)], ZERO, "")
    assert all(math.isfinite(weight) for weight in (found.base, *found.kinds.values()))


def test_cross_validation_judges_every_lead_once_and_gets_the_probabilities_right() -> None:
    choices = labelled(1000)
    judged = cross_validated(choices, ZERO)
    assert len(judged) == 1000
    assert calibration(judged)[0] < 0.06
    assert quality(judged).f1 > quality(judge(choices, ZERO)).f1


def test_precision_and_recall_by_hand() -> None:
    judged = [
        Judged(0.95, right=True, known=True),
        Judged(0.85, right=False, known=True),
        Judged(0.7, right=False, known=False),
        Judged(0.2, right=True, known=True),
        Judged(0.0, right=False, known=True),
    ]
    likely = quality(judged)
    assert (likely.precision, likely.recall) == (pytest.approx(1 / 3), pytest.approx(1 / 4))
    assert likely.f1 == pytest.approx(2 / 7)
    assert quality(judged, 0.9).precision == 1
    error, tenths = calibration(judged)
    assert [(one.count, one.right) for one in tenths] == [(1, 1.0), (1, 0.0), (1, 0.0), (1, 1.0)]
    assert error == pytest.approx((0.8 + 0.7 + 0.85 + 0.05) / 4)


def test_nothing_given_is_no_mistake() -> None:
    assert (quality([]).precision, quality([]).recall) == (1, 1)
    assert calibration([]) == (0, [])
