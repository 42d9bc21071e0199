"""From a view to the account, the candidates and the person: bands, tie-breakers, what people said, and the words for it."""

from __future__ import annotations

from typing import Any

import pytest

from routing.core.matching.decide import Said, company_of
from routing.core.matching.people import compare, mailbox_of, person
from routing.core.model import Record
from routing.core.recognise import Recognised, lead_side, originals, recognise
from routing.core.view import AccountView, View
from tests.unit.core.policy import MATCHING, account, lead, policy, seen

OWNED = frozenset({"005ANA"})


def found(
    record: Record, *accounts: Any, said: tuple[Said, ...] = (), people: tuple[Record, ...] = (), **files: str
) -> Recognised:
    shown = View(record, seen(*accounts), people=people, said=said)
    return recognise(shown, policy(**files), lambda one: one.values.get("owner") in OWNED)


def contact(record_id: str, **values: Any) -> Record:
    return Record(system="salesforce", entity="contact", record_id=record_id, values=values)


def of(record_id: str, **values: Any) -> Record:
    return account(record_id, **{"name": "Zenith Bau GmbH", "website": "zenith.example", **values})


KIM = lead(email="kim@zenith.example", company="Zenith Bau", country="DE")


def test_the_domain_of_the_address_leads_to_the_account_and_the_facts_say_so() -> None:
    made = found(KIM, of("1"), account("2", name="Quartz", website="quartz.example"))
    assert made.account is not None
    assert made.account.record.record_id == "1"
    assert (made.domain, made.free_mail) == ("zenith.example", False)
    assert made.facts["band"] == "match"
    assert made.facts["candidate"] == "Zenith Bau GmbH"
    assert made.steps[0].held
    assert made.candidates[0].passed_over == ""
    assert made.candidates[0].probability == made.facts["probability"]


def test_the_order_of_the_candidates_does_not_matter() -> None:
    several = (of("1"), of("2", country="DE"), account("3", name="Zenith Optik", website="zenith.example"))
    assert found(KIM, *several) == found(KIM, *reversed(several))


@pytest.mark.parametrize(
    ("breakers", "chosen"),
    [
        ("customer", "customer"),
        ("open opportunity", "deal"),
        ("same country", "german"),
        ("parent", "above"),
        ("subsidiary", "below"),
        ("most recent activity", "busy"),
        ("oldest", "old"),
        ("active owner", "owned"),
        ("open opportunity, customer", "deal"),
    ],
)
def test_among_records_of_one_company_the_tie_breakers_decide_in_their_order(breakers: str, chosen: str) -> None:
    twins = [
        of("customer", type="Customer"),
        AccountView(of("deal"), None, 2),
        of("german", country="Deutschland"),
        of("above"),
        of("below", parent="above"),
        of("busy", last_activity="2026-11-01T00:00:00.000Z"),
        of("old", created_at="2011-01-01T00:00:00.000Z"),
        of("owned", owner="005ANA"),
        of("zzz", last_activity="2026-10-01T00:00:00.000Z", created_at="2012-01-01T00:00:00.000Z"),
    ]
    extra = "    last_activity: {type: datetime, salesforce: L}\n    created_at: {type: datetime, salesforce: C}\n"
    from tests.unit.core.policy import FIELDS

    fields = FIELDS.replace(
        "account:\n  in: {salesforce: Account}\n  fields:\n",
        "account:\n  in: {salesforce: Account}\n  fields:\n" + extra,
    )
    made = found(KIM, *twins, matching=f"tie_breakers: [{breakers}]\n", fields=fields)
    assert made.account is not None
    assert made.account.record.record_id == chosen
    assert breakers.split(",")[0] in made.steps[0].note


def test_a_domain_that_several_companies_share_is_left_to_a_person() -> None:
    shared = [account(f"{n}", name=f"{word} Fund", website="zenith.example") for n, word in enumerate(("Oak", "Elm"))]
    made = found(lead(email="kim@zenith.example"), *shared)
    assert made.account is None
    assert made.facts["band"] == "ask"
    assert [one.passed_over for one in made.candidates] == ["a person is asked"] * 2
    sure = found(lead(email="kim@zenith.example"), *shared, matching="bands: {match: 40%, ask: 40%}\n")
    assert sure.facts["band"] == "match"


def test_what_was_said_of_the_record_goes_before_what_was_said_of_its_company() -> None:
    no = Said("salesforce", "1", False, "Ana", "another firm", "2026-11-01T00:00:00+00:00", "company")
    yes = Said("salesforce", "1", True, "Bo", "I was there", "2026-10-01T00:00:00+00:00", "record")
    assert found(KIM, of("1"), said=(no,)).account is None
    both = found(KIM, of("1"), said=(no, yes))
    assert both.account is not None
    assert both.facts["corrected"]
    assert (
        both.candidates[0]
        .evidence[0]
        .startswith("Bo said of this record on 2026-10-01: it is this account, because I was there")
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"email": "a@gmail.com"}, "free-mail provider"),
        ({"email": "a@mailinator.com"}, "throw-away"),
        ({"email": "broken"}, "not valid"),
        ({}, "neither an e-mail address"),
        ({"email": "a@nobody.example"}, "the domain nobody.example"),
        ({"email": "a@alumni.example"}, "free-mail provider"),
    ],
)
def test_without_a_candidate_the_trace_says_what_there_was_to_find_one_by(values: dict[str, str], words: str) -> None:
    made = found(lead(**values))
    assert made.account is None
    assert words in made.steps[0].note


def test_the_policy_s_lists_of_domains_go_before_the_shipped_ones() -> None:
    some = policy(matching=MATCHING + "disposable_domains: [burner.example]\n")
    assert lead_side(lead(email="a@qq.com"), some).mail_domain == "qq.com"
    assert lead_side(lead(email="a@burner.example"), some).mail_domain == ""
    made = found(lead(email="a@qq.com"), account("1", name="Tencent", website="qq.com"))
    assert made.account is not None


def test_leads_of_one_company_have_one_name_for_it_and_free_mail_says_nothing_of_it() -> None:
    some = policy()
    same = {company_of(lead_side(lead(email=mail, company=name), some)) for mail, name in (
        ("a@zenith.example", "Zenith Bau GmbH"), ("b@mail.zenith.example", "zenith bau"))}  # fmt: skip
    assert len(same) == 1
    assert company_of(lead_side(lead(email="a@gmail.com"), some)) == ""


def test_a_weights_file_that_cannot_be_used_is_told_of_by_the_check() -> None:
    from routing.runtime.policy_check import check_files
    from tests.conftest import START
    from tests.unit.rules.samples import shared_example

    files = {
        **shared_example(),
        "matching.yaml": b"weights: mine.json\n",
        "mine.json": b'{"base": -9, "kinds": {"luck": 2}}',
    }
    checked = check_files(files, START)
    assert checked.policy is None
    assert any(one.file == "mine.json" and "luck" in one.message for one in checked.problems)


PERSON = {"first_name": "William", "last_name": "Okafor", "email": "w.okafor@zenith.example", "phone": "+49 30 901820"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (PERSON, True),
        ({**PERSON, "first_name": "Bill", "email": "bill@gmail.com"}, True),
        ({**PERSON, "first_name": "Okafor", "last_name": "William", "email": None}, True),
        ({"email": "w.okafor+fair@zenith.example"}, True),
        ({**PERSON, "first_name": "Carla", "last_name": "Blau", "email": "c.blau@zenith.example"}, False),
        ({"first_name": "William", "last_name": "Okafor", "email": "will@elsewhere.example"}, False),
        ({"email": "info@zenith.example"}, False),
    ],
)
def test_whether_two_records_are_one_person(other: dict[str, Any], same: bool) -> None:
    likeness = compare(person(PERSON), person(other))
    assert (likeness.probability >= 0.9) is same, likeness
    assert compare(person(other), person(PERSON)).probability == pytest.approx(likeness.probability)


def test_the_mailbox_behind_the_address_is_compared() -> None:
    assert mailbox_of("an.na+x@googlemail.com") == mailbox_of("anna@gmail.com")
    assert mailbox_of("an.na@zenith.example") != mailbox_of("anna@zenith.example")


def test_a_lead_is_no_duplicate_of_one_that_came_later_and_nobody_asks_where_the_policy_says_no() -> None:
    twin = lead("00Q2", **PERSON)
    assert found(lead("00Q1", **PERSON), people=(twin,)).facts["duplicate_of"] == "00Q2"
    assert found(lead("00Q1", **PERSON), people=(twin,), matching="duplicates: no\n").facts["person"] == "new"


def test_of_several_the_first_is_the_one_it_is_a_duplicate_of() -> None:
    born = {"00Q1": "2026-11-03", "00Q2": "2026-11-01", "00Q3": "2026-11-02"}
    people = tuple(lead(one, **PERSON, created_at=f"{day}T00:00:00.000Z") for one, day in born.items())
    assert found(lead("00Q9", **PERSON), people=people).facts["duplicate_of"] == "00Q2"


def test_a_contact_is_no_duplicate_of_a_later_contact_and_a_lead_may_be_one_by_now() -> None:
    early, late = ({"created_at": f"2026-11-0{day}T00:00:00.000Z"} for day in (1, 2))
    later = contact("003B", **late)
    assert originals(contact("003A", **early), [later]) == []
    assert originals(lead("00Q1", **early), [later]) == [later]
    assert originals(later, [contact("003A", **early)]) == [contact("003A", **early)]
