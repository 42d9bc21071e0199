"""The data that the matcher is measured with: the same every time, fair, and with no company on both sides of the split."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from routing.core import normalise
from routing.core.matching.assess import Quality
from tests.bench import matching_noise as noise
from tests.bench.matching_ceiling import ceiling
from tests.bench.matching_data import Account, Lead, World, _make
from tests.bench.matching_fetch import Company
from tests.bench.matching_score import Answer, best, judged, matched

_FRONT = (
    "Amber",
    "Birch",
    "Cobalt",
    "Dune",
    "Ember",
    "Fjord",
    "Garnet",
    "Harbor",
    "Indigo",
    "Juniper",
    "Krill",
    "Lotus",
)
_MIDDLE = ("Systems", "Logistics", "Capital", "Foods", "Optics", "Rail", "Timber", "Textiles", "Turbines", "Water")
_END = (("GmbH", "DE"), ("Ltd", "GB"), ("Inc", "US"), ("SA", "FR"))


def companies() -> list[Company]:
    return [
        Company(f"{front}{number} {middle} {end}", country)
        for number in range(5)
        for front in _FRONT
        for middle in _MIDDLE
        for end, country in _END[:2]
    ]


@pytest.fixture(scope="module")
def made() -> World:
    return _make(companies(), 1500, 800, 6)


def test_the_same_arguments_give_the_same_world(made: World) -> None:
    assert _make(companies(), 1500, 800, 6) == made
    assert _make(companies(), 1500, 800, 7) != made


def test_every_account_is_there_once_and_no_made_up_one_bears_a_real_name(made: World) -> None:
    real = {one.name for one in companies()}
    assert len({one.id for one in made.accounts}) == 1500
    names = [one.name for one in made.accounts]
    assert 0 < sum(name not in real for name in names) < len(names)
    assert max(Counter(name for name in names if name in real).values()) == 1


def test_no_company_is_in_both_halves(made: World) -> None:
    by_id = {one.id: one for one in made.accounts}
    halves = [
        {normalise.company_key(by_id[one.truth].name) for one in half if one.truth}
        for half in (made.fit, made.held_out)
    ]
    assert halves[0]
    assert halves[1]
    assert halves[0].isdisjoint(halves[1])


def test_four_in_ten_leads_are_of_no_account(made: World) -> None:
    for half in (made.fit, made.held_out):
        assert 0.36 < sum(not one.truth for one in half) / len(half) < 0.46
    names = {one.name for one in made.accounts}
    assert not any(one.company in names for one in made.held_out if not one.truth and one.kinds == ("as registered",))


def test_leads_have_fields_in_the_share_of_real_ones(made: World) -> None:
    leads = made.fit + made.held_out
    for field, share in (("country", 0.6), ("website", 0.3), ("phone", 0.4)):
        assert sum(bool(getattr(one, field)) for one in leads) / len(leads) == pytest.approx(share, abs=0.05)
    assert not any(one.name_only().email or one.name_only().country for one in leads)


@pytest.mark.parametrize("kind", sorted(set(noise.FIRST) - {"as registered"}))
def test_every_kind_of_noise_changes_a_name_that_offers_a_hold(kind: str) -> None:
    chance = random.Random(3)
    name = "Northern-Light International Manufacturing Services GmbH"
    changed = {noise._KINDS[kind](name, "DE", chance) for _ in range(20)}
    assert changed - {name}
    assert all(one.strip() for one in changed)


def test_an_acronym_and_another_script_are_what_they_say() -> None:
    chance = random.Random(1)
    assert noise._acronym("Bayerische Motoren Werke AG", "DE", chance) == "BMW"
    assert not noise._other_script("Siemens Energy AG", "DE", chance).isascii()


def test_the_best_cut_is_found_in_hindsight(made: World) -> None:
    leads = [one for one in made.held_out if one.truth][:2] + [one for one in made.held_out if not one.truth][:1]
    answers = [
        Answer(leads[0].id, leads[0].truth, 0.9),
        Answer(leads[1].id, leads[1].truth, 0.6),
        Answer(leads[2].id, "A0000000", 0.5),
    ]
    cut, found = best(judged(answers, leads))
    assert (cut, found.f1) == (0.6, 1.0)


def test_a_lead_that_is_written_as_another_account_would_be_is_undecidable_unless_something_else_tells() -> None:
    accounts = {"A": Account("A", "Kaltron Ltd", country="GB"), "B": Account("B", "Kaltron Weizen Ltd", country="GB")}
    known = Lead("L1", "Kaltron Weizen", "B")

    def bound(other: Lead) -> float:
        answers = [Answer("L1", "B", 0.9, "match"), Answer("L2", "A", 0.9, "match")]
        return ceiling(answers, [known, other], accounts).precision

    assert bound(Lead("L2", "Kaltron", "")) == 0.5
    assert bound(Lead("L2", "Kaltron", "", country="DE")) == 1.0
    assert bound(Lead("L2", "Quonset", "")) == 1.0


def test_the_band_match_is_judged_by_what_is_given_without_asking() -> None:
    leads = [Lead("L1", "Kaltron", "A"), Lead("L2", "Weizen", ""), Lead("L3", "Quonset", "C")]
    answers = [Answer("L1", "A", 0.95, "match"), Answer("L2", "B", 0.95, "ask"), Answer("L3", "C", 0.6, "ask")]
    assert matched(answers, leads) == Quality(1.0, 0.5)
