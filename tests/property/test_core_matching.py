"""What holds for every lead and every set of accounts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.matching.features import account_features, lead_features
from routing.core.matching.index import (
    ACCOUNT_KEYS,
    CAP,
    LEAD_KEYS,
    MemoryIndex,
    account_keys,
    near_keys,
    slip_keys,
    sure_keys,
)
from routing.core.matching.kinds import AGAINST, FOR
from routing.core.matching.measure import measure
from routing.core.matching.model import LeadFeatures
from routing.core.matching.names import WORD_LIMIT, names
from routing.core.matching.score import score, scored, shipped

WORDS = (
    *(
        "Kaltron",
        "Medwix",
        "Northgate",
        "Blue",
        "Sky",
        "Bluesky",
        "Global",
        "Services",
        "Technology",
        "International",
        "Muller",
    ),
    *(
        "Trading",
        "Fund",
        "II",
        "III",
        "4",
        "Vandelay",
        "Import",
        "Export",
        "Acme",
        "Growth",
        "Partners",
        "Solar",
        "Weizen",
    ),
)
FORMS = ("", " GmbH", " Ltd", " Inc.", " S.p.A.", " & Co. KG", " Private Limited")
COUNTRIES = ("", "DE", "US", "GB")

company = st.builds(
    lambda words, form: " ".join(words) + form,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.sampled_from(FORMS),
)
domain = st.sampled_from(("", "kaltron.com", "kaltron.de", "acme.co.uk", "bluesky.io", "gmail.com"))
account = st.fixed_dictionaries(
    {
        "name": company,
        "website": domain,
        "country": st.sampled_from(COUNTRIES),
        "phone": st.sampled_from(("", "+4930901820")),
    }
)
lead = st.fixed_dictionaries(
    {
        "company": company,
        "website": domain,
        "country": st.sampled_from(COUNTRIES),
        "email": domain.map(lambda one: f"ana@{one}" if one else ""),
        "phone": st.sampled_from(("", "+4930901820", "+4930901855")),
    }
)


def of(accounts: list[dict[str, str]]) -> MemoryIndex:
    return MemoryIndex(account_features(f"A{n:03d}", one) for n, one in enumerate(accounts))


def asked_for(asked: LeadFeatures) -> set[int]:
    """All keys that the lead may come to ask for."""
    return {key for keys in (*sure_keys(asked), *near_keys(asked), slip_keys(asked)) for key, _ in keys}


@given(st.lists(account, max_size=12), lead, st.randoms(use_true_random=False))
def test_the_order_of_accounts_does_not_matter(
    accounts: list[dict[str, str]], values: dict[str, str], chance: random.Random
) -> None:
    features = [account_features(f"A{n:03d}", one) for n, one in enumerate(accounts)]
    shuffled = list(features)
    chance.shuffle(shuffled)
    asked = lead_features("L", values)
    one, other = MemoryIndex(features).candidates(asked), MemoryIndex(shuffled).candidates(asked)
    assert one == other
    assert scored(asked, one, shipped()) == scored(asked, list(reversed(other)), shipped())


@given(st.lists(account, max_size=10), lead, account)
def test_an_unrelated_account_changes_nothing(
    accounts: list[dict[str, str]], values: dict[str, str], another: dict[str, str]
) -> None:
    asked = lead_features("L", values)
    stranger = account_features("Z", another)
    if set(account_keys(stranger)) & asked_for(asked):
        return  # related
    index = of(accounts)
    before = index.candidates(asked)
    answer = scored(asked, before, shipped())
    index.put(stranger)
    assert index.candidates(asked) == before
    assert scored(asked, index.candidates(asked), shipped()) == answer


@st.composite
def with_a_slip(draw: st.DrawFn) -> tuple[str, str]:
    """A company's name, and the same with one letter left out, doubled, swapped with the next or replaced."""
    name = draw(company)
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    return name, draw(
        st.sampled_from(
            (
                name[:at] + name[at + 1 :],
                name[:at] + name[at] + name[at:],
                name[:at] + name[at + 1 : at + 2] + name[at] + name[at + 2 :],
                name[:at] + letter + name[at + 1 :],
            )
        )
    )


@given(with_a_slip(), lead, account)
@settings(max_examples=300)
def test_a_typing_error_never_raises_the_score_above_the_exact_names(
    written: tuple[str, str], values: dict[str, str], values_of_account: dict[str, str]
) -> None:
    name, slipped = written
    target = account_features("A", {**values_of_account, "name": name})
    exact = score(lead_features("L", {**values, "company": name}), target, shipped())
    other = score(lead_features("L", {**values, "company": slipped}), target, shipped())
    assert other.log_odds <= exact.log_odds + 1e-9


@given(
    st.dictionaries(
        st.sampled_from(("company", "email", "website", "phone", "country", "state")), st.text(max_size=400)
    )
)
@settings(max_examples=300)
def test_any_text_is_taken_and_work_is_bounded(values: dict[str, str]) -> None:
    asked = lead_features("L", values)
    assert len(asked_for(asked)) <= LEAD_KEYS
    filed = account_features("A", {**values, "name": values.get("company", "")})
    assert len(account_keys(filed)) <= ACCOUNT_KEYS
    assert all(len(name.words) <= WORD_LIMIT for name in asked.names)
    found = scored(asked, [filed], shipped())
    assert 0 <= found[0].probability <= 1


@given(lead, account)
def test_each_kind_speaks_for_or_against_and_adds_up(values: dict[str, str], another: dict[str, str]) -> None:
    asked, target = lead_features("L", values), account_features("A", another)
    assert set(measure(asked, target)) <= FOR | AGAINST
    told = score(asked, target, shipped())
    assert sum(piece.weight for piece in told.evidence) + shipped().base == pytest.approx(told.log_odds, abs=0.05)
    assert all((piece.weight > 0) is (piece.kind in FOR) for piece in told.evidence)
    assert all(piece.words for piece in told.evidence)


@given(st.lists(account, min_size=CAP * 2, max_size=CAP * 3), lead)
@settings(max_examples=20)
def test_never_more_candidates_than_the_cap(accounts: list[dict[str, str]], values: dict[str, str]) -> None:
    assert len(of(accounts).candidates(lead_features("L", values))) <= CAP


@given(st.text(max_size=60))
def test_taking_a_name_apart_does_not_depend_on_case_or_space(text: str) -> None:
    if text.isascii():
        assert names(text.upper()) == names(text.lower())
        assert names(f"  {text} ") == names(text)
