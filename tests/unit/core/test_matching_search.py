"""What is looked up for a lead, and what is made of records that nothing tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from routing.core.matching.decide import Signs, decide, shortlist
from routing.core.matching.features import account_features, lead_features
from routing.core.matching.fit import DOMAIN_ALONE
from routing.core.matching.index import Key, MemoryIndex, Postings, found_by, search, slip_keys
from routing.core.matching.measure import measured
from routing.core.matching.model import Match
from routing.core.matching.score import score, scored, shipped
from rules.model import Bands, Matching

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


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Yovanmy Invesmtent", "Yovanny Investment, s.r.o."),
        ("Hoohly Infrastructure", "Hooghly Infrastructure Private Limited"),
        ("Shanahs Infrastrutcure", "Shanash Infrastructure"),
        ("Corna Group", "Corona Corporation"),
    ],
)
def test_slips_in_both_words_or_in_one_beside_a_common_word(written: str, meant: str) -> None:
    _, found = steps({"company": written}, KALTRON, {"name": meant})
    assert found == ["A1"]


def test_of_a_series_the_fund_of_that_number_comes_first() -> None:
    series = [{"name": f"Colonial First State Investment Fund {n}"} for n in range(60)]
    _, found = steps({"company": "Team Colonial First State Fund 37"}, *series)
    assert found[0] == "A37"


@pytest.mark.parametrize("written", ["Eqi (Head Office)", "Team Eqi", "EQI IT Department", "Eqi Headquarters"])
def test_what_only_says_where_in_the_company_does_not_hide_it(written: str) -> None:
    _, found = steps({"company": written}, KALTRON, {"name": "Eqi, Inc."})
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


def test_others_of_nearly_that_name_are_told_as_a_reason_for_doubt() -> None:
    names = ("Kaltron Weizen Asia", "Kaltron Weizen Europe", "Kaltron Weizen Africa")
    accounts = [account_features(f"A{n}", {"name": name}) for n, name in enumerate(names)]
    lead = lead_features("L", {"company": "Kaltron Weizen"})
    alone, crowded = measured(lead, accounts[:1])[0], measured(lead, accounts)[0]
    assert crowded.keys() - alone.keys() == {"rivals"}
    assert scored(lead, accounts[:1], shipped())[0].probability > scored(lead, accounts, shipped())[0].probability
    assert "rivals" not in measured(lead, [accounts[0], account_features("A9", {"name": "Quonset Holding"})])[0]


def test_a_company_that_has_two_accounts_is_no_rival_of_itself() -> None:
    lead = lead_features("L", {"company": "Kaltron Weizen"})
    german, again, british = (
        account_features(f"A{n}", {"name": "Kaltron Weizen", "country": country})
        for n, country in enumerate(("DE", "DE", "GB"))
    )
    assert "rivals" not in measured(lead, [german, again])[0]
    assert measured(lead, [german, again, british])[0]["rivals"] == 1.0


def test_who_has_less_of_the_leads_name_is_less_of_a_rival() -> None:
    lead = lead_features("L", {"company": "Kaltron Weizen"})
    exact, longer = (account_features(n, {"name": f"Kaltron Weizen{n}"}) for n in ("", " Medwix Quonset"))
    of_exact, of_longer = measured(lead, [exact, longer])
    assert 0 < of_exact["rivals"] < of_longer["rivals"] == 1.0


def test_a_domain_tells_which_of_two_names_is_whole() -> None:
    whole, short = {"company": "Kaltron Weizen"}, {"company": "Weizen"}
    account = account_features("A", {"name": "Kaltron Weizen"})
    left_out = measured(lead_features("L", short | {"email": "ana@kaltronweizen.com"}), [account])[0]
    assert left_out["domain_as_account"] == 1.0
    other = account_features("A", {"name": "Kaltron Energy Weizen"})
    told = measured(lead_features("L", whole | {"email": "ana@kaltronweizen.com"}), [other])[0]
    assert 0 < told["domain_as_lead"] < 1
    assert (
        not {"domain_as_account", "domain_as_lead"}
        & measured(lead_features("L", whole | {"email": "ana@kaltronweizen.com"}), [account])[0].keys()
    )


def test_one_word_and_an_article_more_are_told_as_a_reason_for_doubt() -> None:
    def of(company: str, name: str) -> set[str]:
        return set(measured(lead_features("L", {"company": company}), [account_features("A", {"name": name})])[0])

    assert "name_one_word" in of("Kaltron", "Kaltron GmbH")
    assert "name_one_word" not in of("Kaltron Weizen", "Kaltron Weizen GmbH")
    assert "name_filler" in of("Weizen Kaltron", "Van der Weizen Kaltron")
    assert "name_filler" not in of("Van der Weizen Kaltron B.V.", "Van der Weizen Kaltron")


def test_the_domain_of_the_parent_speaks_for_the_subsidiary_that_is_named() -> None:
    parent = account_features("P", {"name": "Quonset Holding", "website": "quonset.com"})
    below = account_features("S", {"name": "Kaltron Weizen", "website": "kaltron.com", "parent": "P"})
    stranger = account_features("S", {"name": "Kaltron Weizen", "website": "kaltron.com"})
    lead = lead_features("L", {"company": "Kaltron Weizen", "email": "ana@quonset.com"})
    found = decide(lead, shortlist(lead, [parent, below], shipped()), shipped(), Matching(), {})
    assert (found.account_id, found.band) == ("S", "match")
    told = measured(lead, [parent, below])[1]
    assert "parent_domain" in told
    assert "mail_domain_other" not in told
    other = decide(lead, shortlist(lead, [parent, stranger], shipped()), shipped(), Matching(), {})
    assert other.probability < found.probability


def test_who_writes_from_an_accounts_domain_is_asked_about_whatever_the_name() -> None:
    account = account_features("A", {"name": "Deutsche Kaltron AG", "website": "kaltron.com"})
    lead = lead_features("L", {"company": "German Coldworks", "email": "ana@kaltron.com"})
    found = decide(lead, [account], shipped(), Matching(), {})
    assert found.probability < Matching().bands.ask
    assert (found.account_id, found.band) == (None, "ask")
    assert "kaltron.com is its domain" in found.why
    elsewhere = lead_features("L", {"company": "German Coldworks", "email": "ana@kaltron.net"})
    assert decide(elsewhere, [account], shipped(), Matching(), {}).band == "none"
    unasked = Matching(bands=Bands(match=0.9, ask=0.9))
    assert decide(lead, [account], shipped(), unasked, {}).band == "none"


def test_a_family_that_shares_a_domain_is_no_match() -> None:
    account = account_features("A", {"name": "Kaltron Growth Fund 2", "website": "kaltron.com"})
    other = lead_features("L", {"company": "Kaltron Growth Fund 3", "email": "ana@kaltron.com"})
    found = decide(other, [account], shipped(), Matching(), {})
    assert found.band != "match"
    assert "name_numbers" in {piece.kind for piece in found.candidates[0].evidence}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Kaltron Prdoucts Inn.c", "Kaltron Products Inc."),
        ("Kaltron Industires", "Kaltron Industries Ltd"),
        ("Medwix Assets Pyblic Conpany", "Medwix Assets Public Company Limited"),
        ("Medwix Hospital Public Company", "Medwix Hospital Public Company Limited"),
        ("Flutech Engineering Private Limiyrd", "Flutech Engineering Private Limited"),
        ("Kaltron Hotel, LL", "Kaltron Hotel, LLC"),
        ("W. Kaltron Beheer V.V.", "W. Kaltron Beheer B.V."),
        ("Kaltron Co Products Limited", "Kaltron Products Co Limited"),
    ],
)
def test_a_misspelt_legal_form_or_common_word_is_taken_for_what_was_meant(written: str, meant: str) -> None:
    found = measured(lead_features("L", {"company": written}), [account_features("A", {"name": meant})])[0]
    assert not found.keys() & {"name_only_lead", "name_only_account", "name_numbers", "name_number_missing"}


@pytest.mark.parametrize(
    ("company", "account", "abroad"),
    [
        ("Kaltron Aktiebolag", {"name": "Kaltron Private Limited"}, True),
        ("Kaltron S.r.l.", {"name": "Kaltron", "country": "CZ"}, True),
        ("Kaltron GmbH", {"name": "Kaltron AG", "country": "CH"}, False),
        ("Kaltron GmbH", {"name": "Kaltron GmbH", "country": "US"}, False),  # the account's own form, wherever it is
        ("Kaltron Ltd", {"name": "Kaltron GmbH"}, False),  # everywhere there are companies of that form
        ("Kaltron", {"name": "Kaltron GmbH", "country": "DE"}, False),
    ],
)
def test_a_legal_form_of_another_country_speaks_against(company: str, account: dict[str, str], abroad: bool) -> None:
    found = measured(lead_features("L", {"company": company}), [account_features("A", account)])[0]
    assert ("legal_abroad" in found) is abroad


def test_a_number_is_never_taken_for_a_legal_form() -> None:
    account = account_features("A", {"name": "Kaltron Growth Fund 3 Ltd"})
    assert "name_numbers" in measured(lead_features("L", {"company": "Kaltron Growth Fund 2 Ltd"}), [account])[0]
