"""What is looked up for a lead, and what is made of records that nothing tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from routing.core.matching.decide import Signs, decide, shortlist
from routing.core.matching.features import account_features, lead_features
from routing.core.matching.fit import DOMAIN_ALONE
from routing.core.matching.index import Key, MemoryIndex, Postings, found_by, search, slip_keys
from routing.core.matching.model import Match
from routing.core.matching.score import score, shipped
from rules.model import Matching

KALTRON = {"name": "Kaltron Weizen GmbH", "website": "kaltron.com", "country": "DE"}


def steps(lead: dict[str, str], *accounts: dict[str, str]) -> tuple[list[Sequence[Key]], list[str]]:
    """What was asked for, step by step, and the accounts that came of it."""
    index = MemoryIndex(account_features(f"A{n}", one) for n, one in enumerate(accounts))
    asked: list[Sequence[Key]] = []

    def filed(keys: Sequence[Key]) -> Postings:
        asked.append(keys)
        return index._postings(keys)

    features = lead_features("L", lead)
    found = found_by(search(features), filed)
    assert len(found) == len(index.candidates(features))
    return asked, [one.account_id for one in index.candidates(features)]


def test_domain_and_name_together_need_no_further_step() -> None:
    asked, found = steps({"company": "Kaltron Weizen", "email": "ana@kaltron.com"}, KALTRON)
    assert (len(asked), found) == (1, ["A0"])


def test_typing_errors_are_not_looked_for_where_the_name_is_there() -> None:
    asked, found = steps({"company": "Kaltron Weizen"}, KALTRON)
    assert (len(asked), found) == (2, ["A0"])


@pytest.mark.parametrize(
    "written", ["Kalrton Weizen", "Kaltron Wezien", "Kaltronn Weizenn", "Caltron Weisen", "KaltronWezen"]
)
def test_typing_errors_are_looked_for_where_it_is_not(written: str) -> None:
    _, found = steps({"company": written}, KALTRON)
    assert found == ["A0"]


@pytest.mark.parametrize("written", ["Medwxi", "Mdwix", "Meddwix", "Medwik"])
def test_a_slip_in_a_short_name(written: str) -> None:
    assert slip_keys(lead_features("L", {"company": written}))
    _, found = steps({"company": written}, KALTRON, {"name": "Medwix Ltd"})
    assert found == ["A1"]


def test_initials_find_the_name() -> None:
    _, found = steps({"company": "KWBF"}, {"name": "Kaltron Weizen Beteiligungen Fonds AG"}, KALTRON)
    assert found == ["A0"]


def matched(signs: dict[str, Signs]) -> Match:
    accounts = [account_features(key, KALTRON) for key in ("A", "B")]
    lead = lead_features("L", {"company": "Kaltron Weizen GmbH", "email": "ana@kaltron.com", "country": "DE"})
    near = shortlist(lead, accounts, shipped())
    return decide(lead, near, shipped(), Matching(), signs)


def test_of_records_that_nothing_tells_apart_a_person_is_asked_which() -> None:
    found = matched({})
    assert (found.account_id, found.band) == (None, "ask")
    assert "several records" in found.why
    assert {one.account_id for one in found.candidates} == {"A", "B"}


def test_a_tie_breaker_chooses_among_records_of_one_company() -> None:
    found = matched({"B": Signs(customer=True)})
    assert (found.account_id, found.band, found.tie) == ("B", "match", "customer")


def test_an_accounts_own_domain_alone_is_a_match() -> None:
    account = account_features("A", KALTRON)
    for lead in ({"email": "ana@kaltron.com"}, {"website": "kaltron.com"}):
        assert score(lead_features("L", lead), account, shipped()).log_odds >= DOMAIN_ALONE - 0.01


def test_a_family_that_shares_a_domain_is_no_match() -> None:
    account = account_features("A", {"name": "Kaltron Growth Fund 2", "website": "kaltron.com"})
    other = lead_features("L", {"company": "Kaltron Growth Fund 3", "email": "ana@kaltron.com"})
    found = decide(other, [account], shipped(), Matching(), {})
    assert found.band != "match"
    assert "domain_not_name" in {piece.kind for piece in found.candidates[0].evidence}
