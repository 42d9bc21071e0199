"""Names that are one but for some letters, whatever words these make of it; and which of many accounts are compared at all."""

from __future__ import annotations

import pytest

from routing.core.matching.decide import decide, shortlist
from routing.core.matching.features import account_features, lead_features
from routing.core.matching.index import MemoryIndex
from routing.core.matching.measure import measure
from routing.core.matching.model import AccountFeatures
from routing.core.matching.promising import COMPARED, promising
from routing.core.matching.score import shipped
from rules.model import Matching


def told(company: str, name: str, **values: str) -> dict[str, float]:
    return measure(lead_features("L", {"company": company}), account_features("A", {"name": name, **values}))


@pytest.mark.parametrize(
    ("written", "meant", "near"),
    [
        ("Childers il Company", "Childers Oil Company", 1.0),
        ("Eaton Vance Markets Loca Lincom Fund", "Eaton Vance Markets Local Income Fund", 1.0),
        ("Fukuam Wring India", "Fukuami Wiring India", 0.75),
        ("Kaltron (Head Office)", "Kaltron GmbH", 1.0),
        ("Kaltron Weizen", "Kaltron Weizen GmbH", 1.0),
        ("Kaltron Weizen Group", "Kaltron Weizen GmbH", 1.0),
        ("Kaltron Weizen", "Kaltron Medwix", 0.0),
        ("Kaltron Fund II", "Kaltron Fund III", 0.0),  # one letter, and another fund
    ],
)
def test_how_near_a_whole_name_is_does_not_hang_on_where_its_words_end(written: str, meant: str, near: float) -> None:
    assert told(written, meant).get("name_near", 0.0) == near


def test_words_that_run_together_with_slips_are_no_words_of_their_own() -> None:
    found = told("Eaton Vance Markets Loca Lincom Fund", "Eaton Vance Markets Local Income Fund")
    assert not found.keys() & {"name_only_lead", "name_only_account", "name_apart"}
    assert "name_only_lead" in told("Kaltron Weizen Loca", "Kaltron Weizen Income")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Kaltron Trustee Limited as trustde of Weizen", "Kaltron Trustee Limited as Trustee of Weizen"),  # once more
        ("Kaltron Glob,l Inc.", "Kaltron Global, Inc."),
    ],
)
def test_one_slip_is_no_word_that_is_missing_whatever_it_makes_of_the_words(written: str, meant: str) -> None:
    found = told(written, meant)
    assert found["name_slips"] > 0
    assert not found.keys() & {"name_only_lead", "name_only_account", "name_apart", "name_number_missing"}


@pytest.mark.parametrize(
    ("written", "other"),
    [("CTF Weizen Ltd", "JITF Weizen Company LLC"), ("Kaltron Weizen", "Kaltron Weizen E"), ("VR Weizen", "J Weizen")],
)
def test_what_is_more_than_a_slip_is_still_another_word(written: str, other: str) -> None:
    assert told(written, other).keys() & {"name_only_lead", "name_only_account", "name_number_missing"}


def test_a_slip_that_makes_another_word_is_told_as_a_reason_for_doubt() -> None:
    assert "name_short_slip" in told("Rae Trading Ltd", "Raw Trading Ltd")
    assert "name_short_slip" not in told("Kaltrom Trading Ltd", "Kaltron Trading Ltd")
    assert told("Delta Kaltron", "Delka Kaltron")["name_known_slip"] > 0
    assert "name_known_slip" not in told("Delkx Kaltron", "Delka Kaltron")


def test_group_in_the_place_of_a_legal_form_is_no_other_company() -> None:
    assert "name_only_lead" not in told("Kaltron Weizen Group", "Kaltron Weizen GmbH")
    assert "name_only_lead" in told("Kaltron Weizen Holding B.V.", "Kaltron Weizen B.V.")


def test_a_slip_never_tells_more_than_the_exact_name_whatever_it_makes_of_the_name() -> None:
    assert "name_one_word" in told("Kaltron td", "Kaltron Ltd")
    lead = lead_features("L", {"company": "Kltron", "email": "ana@kaltron.com"})
    assert "domain_as_account" not in measure(lead, account_features("A", {"name": "Kaltron"}))


def test_one_word_left_out_is_not_two() -> None:
    whole = "Kaltron Weizen Medwix Quonset"
    assert "name_apart" not in told("Kaltron Medwix Quonset", whole)
    assert "name_apart" in told("Kaltron Quonset", whole)
    assert "name_apart" in told("Kaltron Medwix Quonset Flutech", whole)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Kaltron Inflation Fund", "Kaltron Inflation Fund E", "name_number_missing"),
        ("Kaltron Trust Master", "Kaltron Trust Master - I", "name_number_missing"),
        (
            "Kaltron Investment Funds for Tax Exempt Retirement Plans Kaltron Securities Lending Series Global Index Non Weizen",
            "Kaltron Investment Funds for Tax Exempt Retirement Plans Kaltron Securities Lending Series Global Index Non Medwix",
            "name_only_lead",
        ),
    ],
)
def test_what_differs_at_the_end_of_a_name_is_seen(one: str, other: str, kind: str) -> None:
    assert kind in told(one, other)
    assert "name_same" not in told(one, other)


def test_a_letter_that_joins_two_words_is_still_none() -> None:
    assert "name_same" in told("Kaltron e Weizen", "Kaltron Weizen")


@pytest.mark.parametrize(
    "written", ["Medwix Factory Spółka z ogr. odpowiedzialnością", "Medwix Factory Spółka z ogra odpowiedzialnością"]
)
def test_a_legal_form_shortened_within_is_one(written: str) -> None:
    found = told(written, "Medwix Factory Spółka z ograniczoną odpowiedzialnością")
    assert {"name_same", "legal_same"} <= found.keys()


def phones(lead: str, account: str, at: str = "DE", **values: str) -> set[str]:
    asked = lead_features("L", {"phone": lead, **values})
    return {
        kind for kind in measure(asked, account_features("A", {"phone": account, "country": at})) if "phone" in kind
    }


def test_a_number_tells_switchboard_area_and_country() -> None:
    assert phones("+49 30 901820", "+49 30 901820") == {"phone_same"}
    assert phones("+49 30 901855", "+49 30 901820") == {"phone_near"}
    assert phones("+49 30 765432", "+49 30 901820") == {"phone_area"}
    assert phones("+49 89 765432", "+49 30 901820") == {"phone_other"}
    assert phones("+33 1 42 68 53 00", "+49 30 901820") == {"phone_other", "phone_abroad"}
    assert phones("+33 1 42 68 53 00", "") == {"phone_abroad"}
    assert phones("+49 89 765432", "") == set()


def test_where_the_accounts_country_is_not_known_its_number_tells_it() -> None:
    assert "phone_abroad" in phones("+33 1 42 68 53 00", "+49 30 901820", at="")
    assert "phone_abroad" not in phones("+33 1 42 68 53 00", "", at="")


def test_a_country_that_is_told_leaves_nothing_for_the_number_to_say_of_it() -> None:
    assert phones("+33 1 42 68 53 00", "", country="FR") == set()


FAMILY = [
    f"Kaltron Weizen {one} Fund"
    for one in ("Asia", "Growth", "Income", "Bond", "Value", "Global", "Alpha", "Beta", "Gamma", "Delta")
]


def found(*names: str) -> list[AccountFeatures]:
    return [account_features(f"A{n:02d}", {"name": name}) for n, name in enumerate(names)]


def test_of_many_accounts_the_nearest_name_is_compared_however_late_it_was_found() -> None:
    accounts = found(*FAMILY, "Kaltron Weizen Delta Fnud")
    lead = lead_features("L", {"company": "Kaltron Weizen Delat Fund"})
    compared = [one.label for one in promising(lead, accounts)]
    assert "Kaltron Weizen Delta Fund" in compared
    assert len(compared) < len(accounts)
    match = decide(lead, shortlist(lead, accounts, shipped()), shipped(), Matching(), {})
    assert match.candidates[0].name == "Kaltron Weizen Delta Fund"


def test_of_many_accounts_those_of_the_leads_domain_are_compared_whatever_their_name() -> None:
    owner = account_features("Z", {"name": "Quonset Partners", "website": "kaltron.com"})
    lead = lead_features("L", {"company": "Kaltron Weizen Fund", "email": "ana@kaltron.com"})
    assert owner in promising(lead, [*found(*FAMILY), owner])
    assert owner not in promising(lead_features("L", {"company": "Kaltron Weizen Fund"}), [*found(*FAMILY), owner])


def test_of_any_number_of_accounts_so_many_are_compared_as_is_said() -> None:
    lead = lead_features("L", {"company": "Kaltron Weizen Fund"})
    assert len(promising(lead, found(*["Kaltron Weizen Fund"] * 40))) == COMPARED


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("BRIDGEADVIOSRY", "Bridge Advisory"),
        ("Easyjetunapproved Share Incentive Plan", "Easyjet Unapproved Share Incentive Plan"),
        ("Global High Yield Esg Bnd", "Global High Yield Esg Bond"),
    ],
)
def test_a_slip_in_a_name_of_common_words_is_found_by_its_other_half(written: str, meant: str) -> None:
    others = [f"{one} Share Incentive Plan" for one in ("Global", "Smart", "Concord", "Green")] + ["Bridge Partners"]
    index = MemoryIndex([*found(*others), account_features("Z", {"name": meant})])
    lead = lead_features("L", {"company": written})
    assert shortlist(lead, index.candidates(lead), shipped())[0].label == meant
