"""Who of a pool gets a lead: methods, caps, skills, pools within pools, kinds, what is given back, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from routing.core.availability.people import Availability
from routing.core.directory import Directory
from routing.core.distribution.ask import Ask, Pick
from routing.core.distribution.attendance import Attendance, Stand
from routing.core.distribution.caps import Given
from routing.core.distribution.pools import Pools
from routing.core.distribution.returns import Turns, take_back
from routing.core.distribution.workload import Open, open_of
from routing.core.model import Record
from rules.policy import Policy
from tests.unit.core.policy import policy

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)

PEOPLE = """name,email,time_zone,hours,languages,start_date,active
Ana Diaz,ana@example.com,Europe/Berlin,,"de, en",,yes
Bo Li,bo@example.com,Europe/Berlin,,en,,yes
Cem Kaya,cem@example.com,Europe/Berlin,,"tr, de",,yes
Dana Fox,dana@example.com,America/New_York,Mon-Fri 9:00-17:00,en,,yes
"""

ENGAGEMENT = (
    "route: lead\nentry: ['event.kind = \"created\"']\nhold: {retry: 5 minutes}\nladder:\n  - otherwise: pool P\n"
)


class Team:
    """One policy's pools, asked by hand."""

    def __init__(
        self, pools: str, people: str = PEOPLE, users: tuple[Record, ...] = (), engagement: str = ENGAGEMENT
    ) -> None:
        self.policy: Policy = policy(pools=pools, people=people, engagement=engagement)
        self.directory = Directory.build(self.policy, users or everybody(self.policy))
        self.attendance = Attendance(
            self.policy, self.directory, Availability(self.policy), ("salesforce",), hours=True
        )
        self.attendance.given = {name: Given() for name in self.policy.pools}
        self.pools = Pools(self.policy, self.directory, self.attendance)
        self.now = MONDAY

    def pick(self, name: str = "P", system: str = "salesforce", **more: Any) -> Pick:
        facts = {"lead": more.pop("lead", {}), "account": more.pop("of_account", None)}
        ask = Ask(system=system, facts=facts, now=self.now, **more)
        found = self.pools.pick(name, ask)
        if found.person or found.queue:
            self.pools.give(found, ask)
        return found

    def give(self, leads: int, name: str = "P", **more: Any) -> list[str]:
        """Who gets so many leads, by first names; "" for nobody."""
        return [self.pick(name, **more).person.partition("@")[0] for _ in range(leads)]


def everybody(of: Policy) -> tuple[Record, ...]:
    return tuple(
        Record(system="salesforce", entity="person", record_id=f"user-{n:012d}", values={"email": key})
        for n, key in enumerate(of.people)
    )


ALL = "[Ana Diaz, Bo Li, Cem Kaya]"


def test_round_robin_goes_round_in_the_order_of_the_pool() -> None:
    assert Team(f"P: {{members: {ALL}}}").give(6) == ["ana", "bo", "cem", "ana", "bo", "cem"]


def test_weights_are_kept_within_every_few_leads() -> None:
    team = Team("P: {method: weighted, members: {Ana Diaz: 2, Bo Li: 1}}")
    assert team.give(6) == ["ana", "bo", "ana", "ana", "bo", "ana"]


def test_who_has_weight_zero_or_no_user_gets_nothing_and_the_views_say_why() -> None:
    team = Team("P: {method: weighted, members: {Ana Diaz: 1, Bo Li: 0, Cem Kaya: 1}}")
    team.directory = Directory.build(
        team.policy, [one for one in everybody(team.policy) if "ana" not in str(one.values)]
    )
    team.pools = Pools(team.policy, team.directory, Attendance(team.policy, team.directory, None, ("salesforce",)))
    found = team.pick()
    assert found.person == "cem@example.com"
    assert [view.unavailable for view in found.members] == [
        "Ana Diaz has no active user in Salesforce with the e-mail address ana@example.com",
        "Bo Li has the weight 0: gets no leads",
        "",
    ]
    assert (found.members[2].ideal, found.members[2].assigned) == (1.0, 0)


def test_a_lead_given_back_fills_no_cap() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li], member_caps: 1 a day}")
    first = team.pick()
    assert team.give(2) == ["bo", ""]
    take_back(team.pools, Turns(first.named), "no", Ask(system="salesforce", facts={}, now=team.now))
    assert team.give(2) == ["ana", ""]


def test_a_sticky_pool_says_what_it_went_by() -> None:
    team = Team("P: {method: sticky, sticky: account, members: [Ana Diaz, Bo Li, Cem Kaya]}")
    assert team.pick().how == "is next, since no account is known to go by, in"
    first = team.pick(account="A")
    assert first.how == "gets what is new of it in"
    assert team.pick(account="A").how == "has it already in"
    away = team.pick(account="A", exclude=frozenset([first.person]))
    assert away.person != first.person
    assert away.how == f"stands in for {team.directory.name(first.person)}, whose it is, in"


def test_working_hours_are_the_reps_own() -> None:
    team = Team("P: {members: [Dana Fox]}")
    found = team.pick()
    assert found.person == ""
    assert "Dana Fox" in found.note
    ask = Ask(system="salesforce", facts={}, now=team.now)
    assert team.pools.until(["P"], ask) == datetime(2026, 11, 23, 14, tzinfo=UTC)  # 9 in New York
    team.now = datetime(2026, 11, 23, 14, tzinfo=UTC)
    assert team.give(1) == ["dana"]


def test_a_clock_that_goes_back_makes_everybody_be_looked_at_again() -> None:
    team = Team("P: {members: [Dana Fox]}")
    team.now = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert team.give(1) == ["dana"]
    team.now -= timedelta(hours=1)
    assert team.give(1) == [""]


def test_a_cap_takes_out_who_has_had_enough_until_their_own_midnight() -> None:
    team = Team(f"P: {{members: {ALL}, member_caps: 1 a day}}")
    assert team.give(4) == ["ana", "bo", "cem", ""]
    found = team.pick()
    assert "Ana Diaz had 1 lead today, the cap is 1" in found.note
    ask = Ask(system="salesforce", facts={}, now=team.now)
    assert team.pools.until(["P"], ask) == datetime(2026, 11, 23, 23, tzinfo=UTC)  # midnight in Berlin
    team.now = datetime(2026, 11, 23, 22, 59, tzinfo=UTC)
    assert team.give(1) == [""]
    team.now = datetime(2026, 11, 23, 23, tzinfo=UTC)
    assert team.give(4) == ["ana", "bo", "cem", ""]


def test_a_rolling_cap_lets_in_again_when_the_oldest_lead_is_old_enough() -> None:
    team = Team("P: {members: [Ana Diaz], member_caps: 2 in any hour}")
    for minutes in (0, 30):
        team.now = MONDAY + timedelta(minutes=minutes)
        assert team.give(1) == ["ana"]
    assert team.give(1) == [""]
    ask = Ask(system="salesforce", facts={}, now=team.now)
    assert team.pools.until(["P"], ask) == MONDAY + timedelta(hours=1)
    team.now = MONDAY + timedelta(hours=1)
    assert team.give(2) == ["ana", ""]


def test_a_cap_lowered_below_the_count_waits_for_the_next_day() -> None:
    team = Team(f"P: {{members: {ALL}, member_caps: 5 a day}}")
    assert team.give(6) == ["ana", "bo", "cem"] * 2
    lower = Team(f"P: {{members: {ALL}, member_caps: 1 a day}}")
    lower.attendance.given = team.attendance.given
    lower.pools = Pools(lower.policy, lower.directory, lower.attendance, team.pools.rotations)
    found = lower.pick()
    assert found.person == ""
    assert "Ana Diaz had 2 leads today, the cap is 1" in found.note


def test_a_cap_of_the_whole_pool_goes_by_the_calendar_of_its_time_zone() -> None:
    team = Team(f"P: {{members: {ALL}, caps: 2 a day, time_zone: America/New_York}}")
    team.now = datetime(2026, 11, 24, 3, tzinfo=UTC)  # still the 23rd in New York
    assert team.give(3) == ["ana", "bo", ""]
    assert team.pick().note == "the pool P had 2 leads today, the cap is 2"
    ask = Ask(system="salesforce", facts={}, now=team.now)
    assert team.pools.until(["P"], ask) == datetime(2026, 11, 24, 5, tzinfo=UTC)
    team.now = datetime(2026, 11, 24, 5, tzinfo=UTC)
    assert team.give(1) == ["cem"]


def test_a_cap_of_the_whole_pool_closes_it() -> None:
    team = Team(f"P: {{members: {ALL}, caps: 2 a day}}")
    assert team.give(3) == ["ana", "bo", ""]
    assert team.pick().note == "the pool P had 2 leads today, the cap is 2"
    team.now += timedelta(days=1)
    assert team.give(1) == ["cem"]


def test_kinds_have_rotations_and_caps_of_their_own() -> None:
    team = Team(f"P:\n  members: {ALL}\n  kinds: {{Large: lead.employees >= 1000}}\n  member_caps: 1 a day of Large\n")
    assert team.give(3, lead={"employees": 5}) == ["ana", "bo", "cem"]
    assert team.give(4, lead={"employees": 5000}) == ["ana", "bo", "cem", ""]
    assert team.give(1, lead={"employees": 5}) == ["ana"]
    assert team.pick(lead={"employees": 7}).note.startswith("2 leads now")


def test_required_skills_bar_and_give_way_with_time_and_preferred_ones_order() -> None:
    skills = "skills: [{skill: languages, of: lead.country, relax_after: 2 hours}]"
    team = Team(f"P: {{method: skill, members: {ALL}, {skills}}}")
    assert team.give(4, lead={"country": "de"}) == ["ana", "cem", "ana", "cem"]
    found = team.pick(lead={"country": "fr"})
    assert (found.person, len(found.members)) == ("", 3)
    assert "Bo Li does not have 'fr' in the column languages" in found.note
    ask = Ask(system="salesforce", facts={"lead": {"country": "fr"}}, now=team.now, waited=3600)
    assert team.pools.until(["P"], ask) == team.now + timedelta(hours=1)
    assert team.give(3, lead={"country": "fr"}, waited=7200) == ["ana", "bo", "cem"]
    preferred = "skills: [{skill: languages, of: lead.country, preferred: yes}]"
    team = Team(f"P: {{method: skill, members: {ALL}, {preferred}}}")
    assert team.give(2, lead={"country": "tr"}) == ["cem", "cem"]
    assert team.give(1, lead={"country": "fr"}) == ["ana"]


def test_free_text_in_a_field_that_asks_for_a_skill_mixes_up_nobody() -> None:
    """There are more answers than are kept."""
    skills = "[{skill: languages, of: lead.country}, {skill: languages, of: lead.state, preferred: yes}]"
    team = Team(f"P: {{method: skill, members: {ALL}, skills: {skills}}}")
    can = {"de": {"ana", "cem"}, "en": {"ana", "bo"}, "tr": {"cem"}}
    for n in range(10_100):
        team.pick(lead={"country": "de", "state": [f"whatever {n}", "en"]})
    for country in ("tr", "en", "de") * 2:
        assert team.pick(lead={"country": country}).person.partition("@")[0] in can[country]


def test_who_is_excluded_had_it_already() -> None:
    team = Team(f"P: {{members: {ALL}}}")
    assert team.give(1, exclude=frozenset({"ana@example.com"})) == ["bo"]
    everyone = frozenset({"ana@example.com", "bo@example.com", "cem@example.com"})
    assert "Ana Diaz had it already" in team.pick(exclude=everyone).note


def test_sticky_keeps_an_account_with_whoever_has_it_and_moves_few_when_somebody_leaves() -> None:
    team = Team(f"P: {{method: sticky, sticky: account, members: {ALL}}}")
    accounts = [f"001{n:03d}" for n in range(200)]
    first = {key: team.pick(account=key).person for key in accounts}
    assert {key: team.pick(account=key).person for key in accounts} == first
    assert set(first.values()) == {"ana@example.com", "bo@example.com", "cem@example.com"}
    left = Team("P: {method: sticky, sticky: account, members: [Ana Diaz, Cem Kaya]}")
    now = {key: left.pick(account=key).person for key in accounts}
    assert all(now[key] == who for key, who in first.items() if who != "bo@example.com")


def test_load_balanced_gives_to_whoever_has_fewest_open_leads() -> None:
    team = Team(f"P: {{method: load balanced, members: {ALL}}}")
    for name, leads in (("ana", 5), ("bo", 1), ("cem", 3)):
        for _ in range(leads):
            team.attendance.workload.add(Open("salesforce", f"{name}@example.com", {}))
    found = team.pick()
    assert (found.person, found.how) == ("bo@example.com", "has the fewest open leads in")
    assert found.note == "1 open lead for a weight of 1: nobody who can have it has less for theirs"
    assert [view.load for view in found.members] == [5, 1, 3]


def test_a_pool_within_a_load_balanced_pool_has_to_do_what_its_people_have_together() -> None:
    team = Team(
        "P: {method: load balanced, members: {Ana Diaz: 1, pool Inner: 2}}\nInner: {members: [Bo Li, Cem Kaya]}\n"
    )
    found = []
    for _ in range(6):
        found.append(team.pick())
        team.attendance.workload.add(Open("salesforce", found[-1].person, {}))
    assert sorted(one.person[:3] for one in found) == ["ana", "ana", "bo@", "bo@", "cem", "cem"]
    assert {view.person: view.load for view in found[-1].members} == {"ana@example.com": 2, "pool Inner": 3}


@pytest.mark.parametrize(("asked", "within", "given"), [("tr", "Cem Kaya", "cem"), ("de", "Bo Li", "ana")])
def test_a_pool_within_a_best_fit_pool_fits_as_well_as_whoever_it_gives_the_lead_to(
    asked: str, within: str, given: str
) -> None:
    score = "[{points: 1}, {points: 10, when: person.languages contains lead.country}]"
    team = Team(
        f"P: {{method: best fit, members: [Ana Diaz, pool Inner], score: {score}}}\nInner: {{members: [{within}]}}\n"
    )
    assert team.give(3, lead={"country": asked}) == [given] * 3


def test_a_pool_within_a_best_fit_pool_that_fits_equally_well_takes_turns() -> None:
    team = Team("P: {method: best fit, members: [Ana Diaz, pool Inner], score: 5}\nInner: {members: [Bo Li]}\n")
    assert team.give(4) == ["ana", "bo", "ana", "bo"]


def test_a_cap_of_the_whole_pool_on_what_is_open_counts_everybody_of_pools_within_once() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li, pool Inner], caps: 3 open}\nInner: {members: [Bo Li, Cem Kaya]}\n")
    for name in ("ana", "bo", "cem"):
        assert team.pick().person
        team.attendance.workload.add(Open("salesforce", f"{name}@example.com", {}))
    assert team.pick().note == "the people of the pool P have 3 open leads together, the cap is 3"


def test_of_a_large_load_balanced_pool_those_are_shown_who_have_hardly_more_to_do() -> None:
    rows = [f"P{n},p{n}@example.com,UTC,,,,{'no' if n == 0 else 'yes'}" for n in range(20)]
    people = PEOPLE.splitlines()[0] + "\n" + "\n".join(rows) + "\n"
    team = Team(f"P: {{method: load balanced, members: [{', '.join(f'P{n}' for n in range(20))}]}}", people)
    for n in range(20):
        for _ in range(30 - n):
            team.attendance.workload.add(Open("salesforce", f"p{n}@example.com", {}))
    found = team.pick()
    assert [(view.person.partition("@")[0], view.load) for view in found.members] == [
        *(("p19", 11), ("p18", 12), ("p17", 13), ("p16", 14)),
        ("p0", 30),  # one who cannot
    ]


def test_a_cap_on_open_leads_may_be_of_one_kind() -> None:
    team = Team("P:\n  members: [Ana Diaz]\n  kinds: {Large: lead.employees >= 1000}\n  member_caps: 2 open of Large\n")
    for kinds in ((("P", "Large"),), (("P", "Large"),), (), (("Q", "Large"),)):
        team.attendance.moved(None, lead_of("ana@example.com", tuple((*kind, "ana@example.com") for kind in kinds)))
    assert team.give(1, lead={"employees": 5}) == ["ana"]
    assert "has 2 open leads of the kind 'Large', the cap is 2" in team.pick(lead={"employees": 5000}).note


def test_what_is_open_is_what_the_policy_says() -> None:
    by_status = Team("P: {members: [Ana Diaz]}").policy
    said = Team("open_when: lead.status = 'Closed - warm' or lead.country = 'DE'\nP: {members: [Ana Diaz]}").policy
    for of, values, is_open in (
        (by_status, {"status": "New"}, True),
        (by_status, {"status": "Closed - warm"}, False),
        (said, {"status": "New"}, False),
        (said, {"status": "Closed - warm"}, True),
        (said, {"status": "New", "country": "Germany"}, True),  # as rules see it
        (said, {"status": "Closed - warm", "converted": True}, False),
    ):
        record = lead_of("ana@example.com", **values)
        assert (open_of(record, of) is not None) == is_open, values
        assert open_of(msgspec.structs.replace(record, deleted=True), of) is None
    contact = msgspec.structs.replace(lead_of("ana@example.com", status="New"), entity="contact")
    assert open_of(contact, said) is not None  # of contacts it says nothing


def lead_of(owner: str, turns: tuple[tuple[str, str, str], ...] = (), **values: Any) -> Record:
    return Record(system="salesforce", entity="lead", record_id="00Q1", values=values, decided_owner=owner, turns=turns)


def test_best_fit_gives_to_the_highest_score_and_the_others_in_turn() -> None:
    header, *rows = PEOPLE.splitlines()
    people = "\n".join([header + ",quota", *(f"{row},{1 if n == 0 else 7}" for n, row in enumerate(rows))]) + "\n"
    team = Team(f"P: {{method: best fit, members: {ALL}, score: person.quota}}", people)
    assert set(team.give(4)) == {"bo", "cem"}


def test_a_queue_gives_nothing_until_somebody_claims() -> None:
    team = Team(f"P: {{method: pull, members: {ALL}, member_caps: 1 a day}}")
    assert team.pick().note == "it waits in the queue P until somebody claims it"
    assert team.give(2, claim="bo@example.com") == ["bo", ""]
    assert team.pick(claim="bo@example.com").note == "Bo Li cannot claim it now: Bo Li had 1 lead today, the cap is 1"
    assert team.pick(claim="dana@example.com").note == "Dana Fox cannot claim it now: not a member of the pool P"


def test_a_pool_within_a_pool_takes_its_share_and_shares_it_by_itself() -> None:
    team = Team(
        f"P: {{method: weighted, members: {{Dana Fox: 1, pool Inner: 2}}, hours: no}}\nInner: {{members: {ALL}}}\n"
    )
    given = team.give(9)
    assert {name: given.count(name) for name in given} == {"dana": 3, "ana": 2, "bo": 2, "cem": 2}
    assert [name for name in given if name != "dana"] == ["ana", "bo", "cem"] * 2
    inner = next(found for _ in range(3) if len((found := team.pick()).turns) == 2)
    assert inner.named[0][2] == "pool Inner"
    assert inner.note.startswith("by its member pool Inner: ")


def test_a_pool_within_a_pool_has_as_many_leads_as_its_caps_allow() -> None:
    text = "P:\n  members: {Ana Diaz: {}, pool Inner: {caps: 2 a day}}\n  member_caps: 5 a day\n"
    team = Team(f"{text}Inner: {{members: [Bo Li, Cem Kaya], time_zone: America/New_York}}\n")
    assert team.give(8) == ["ana", "bo", "ana", "cem", "ana", "ana", "ana", ""]
    assert team.pick().note == (
        "nobody in the pool P can take it (Ana Diaz had 5 leads today, the cap is 5; pool Inner had 2 leads today, the cap is 2)"
    )
    pool = team.policy.pools["P"]
    assert [team.attendance.used(pool, member, "", team.now) for member in pool.members] == [
        ["5 of 5 today"],
        ["2 of 2 today"],
    ]
    team.now = datetime(2026, 11, 23, 23, tzinfo=UTC)  # midnight where Ana is, and six hours to go in New York
    assert team.give(2) == ["ana", "ana"]
    team.now = datetime(2026, 11, 24, 5, tzinfo=UTC)
    assert "bo" in team.give(2)


def test_a_pool_within_a_pool_that_has_nobody_costs_the_others_nothing() -> None:
    team = Team("P: {members: [Ana Diaz, pool Inner]}\nInner: {members: [Dana Fox]}\n")
    assert team.give(3) == ["ana"] * 3
    assert team.pools.rotations["P", ""].deviation() < 1e-9


def test_the_share_of_a_pool_within_that_has_nobody_goes_where_it_overflows_to() -> None:
    team = Team(
        "P: {members: [Ana Diaz, pool Inner]}\nInner: {members: [Dana Fox], overflow: Night}\nNight: {members: [Bo Li]}\n"
    )
    assert team.give(4) == ["ana", "bo", "ana", "bo"]
    found = next(one for _ in range(2) if (one := team.pick()).person == "bo@example.com")
    assert found.named == (("P", "", "pool Inner"), ("Night", "", "bo@example.com"))
    assert found.note.startswith(
        "by its member pool Inner: nobody in the pool Inner can take it (Dana Fox is outside working"
    )
    team.now = datetime(2026, 11, 23, 15, tzinfo=UTC)  # Dana is there
    assert sorted(team.give(2)) == ["ana", "dana"]


def test_a_pool_within_that_overflows_to_the_pool_around_it_is_passed_over_when_it_has_nobody() -> None:
    team = Team("P: {members: [Ana Diaz, pool Inner]}\nInner: {members: [Dana Fox], overflow: P}\n")
    assert team.give(3) == ["ana"] * 3
    found = team.pick(exclude=frozenset({"ana@example.com"}))
    assert found.person == ""
    assert found.note.count("Dana Fox is outside working hours until 2026-11-23 09:00 (America/New_York)") == 1
    ask = Ask(system="salesforce", facts={}, now=team.now)
    assert team.pools.until(["P"], ask) == datetime(2026, 11, 23, 14, tzinfo=UTC)


def test_absence_earns_no_claim() -> None:
    team = Team("P: {members: [Ana Diaz, Dana Fox]}")
    assert team.give(100) == ["ana"] * 100
    team.now = datetime(2026, 11, 23, 15, tzinfo=UTC)
    assert sorted(team.give(4)) == ["ana", "ana", "dana", "dana"]


def test_a_credit_is_made_up_for_after_an_absence_too_and_what_is_not_goes_to_the_others() -> None:
    for credit, catch_up, owed in ((3.0, 1.0, 3.0), (0.0, 0.0, 0.0)):
        team = Team(f"P: {{members: {ALL}, catch_up: {catch_up}}}")
        team.give(1)
        rotation = team.pools.rotations["P", ""]
        cem = rotation.number["cem@example.com"]
        if credit:
            team.pools.enter(rotation, "cem@example.com", "credit", team.now, leads=credit, author="Kim")
        before = rotation.claim(cem)
        team.pools._stand(team.policy.pools["P"], rotation, "cem@example.com", Stand(1.0, "off", False, MONDAY), MONDAY)
        team.pools._stand(team.policy.pools["P"], rotation, "cem@example.com", Stand(1.0, "", False, MONDAY), MONDAY)
        assert rotation.claim(cem) == pytest.approx(before if credit else owed + before / 3)
        assert sum(rotation.claim(n) for n in range(3)) == pytest.approx(0)


def test_a_credit_that_was_made_up_for_is_not_made_up_for_again_after_an_absence() -> None:
    team = Team(f"P: {{members: {ALL}, catch_up: 0}}")
    team.give(1)
    rotation, pool = team.pools.rotations["P", ""], team.policy.pools["P"]
    team.pools.enter(rotation, "cem@example.com", "credit", team.now, leads=3.0, author="Kim")
    given = team.give(20)
    assert (
        given.count("cem") == 9
    )  # 7 in turn, of 21, and 2 of the 3 that were credited: the third came out of his own turns
    cem = rotation.number["cem@example.com"]
    while rotation.claim(cem) < 0.3:
        team.give(1)
    assert rotation.granted(cem) == 0
    for why in ("off", ""):
        team.pools._stand(pool, rotation, "cem@example.com", Stand(1.0, why, False, MONDAY), MONDAY)
    assert rotation.claim(cem) < 0.3, (
        "with catch_up: 0 nothing of it is made up for, but for his share of what is let go"
    )


def test_a_turn_given_back_is_made_up_for() -> None:
    team = Team(f"P: {{members: {ALL}}}")
    ask = Ask(system="salesforce", facts={}, now=team.now)
    found = team.pick()
    take_back(team.pools, Turns(found.named), "Ana Diaz gave it back", ask)
    given = team.give(5)
    assert [given.count(name) for name in ("ana", "bo", "cem")] == [
        2,
        2,
        1,
    ]  # with the first: two each, and one given back
    assert team.pools.rotations["P", ""].deviation() < 1


def test_what_is_shared_by_value_evens_out_value_too() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li], value: lead.employees}")
    worth = {"ana": 0, "bo": 0}
    for n in range(60):
        value = 100 if n % 2 == 0 else 1
        (who,) = team.give(1, lead={"employees": value})
        worth[who] += value
    assert abs(worth["ana"] - worth["bo"]) <= 100  # by turns alone one of them gets every large one
    assert team.pools.rotations["P", ""].deviation() < 2


@pytest.mark.parametrize("worth", [None, 0])
def test_leads_of_equal_value_are_given_in_turn(worth: float | None) -> None:
    team = Team(f"P: {{members: {ALL}, value: lead.employees}}")
    lead = {} if worth is None else {"employees": worth}
    assert team.give(30, lead=lead) == ["ana", "bo", "cem"] * 10
    assert team.pools.rotations["P", ""].deviation() < 1


def test_what_sums_of_fractions_miss_is_no_difference_in_value() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li], value: lead.employees}")
    found = [
        team.give(1, lead={"employees": worth})[0] for worth in (0.1, 0.3, 0.2, *[0] * 9)
    ]  # 0.1 + 0.2 is not 0.3 there
    assert found == ["ana", "bo"] * 6


def test_who_is_equally_behind_in_value_takes_turns_by_weight() -> None:
    team = Team("P: {method: weighted, members: {Ana Diaz: 2, Bo Li: 1}, value: lead.employees}")
    assert team.give(6) == ["ana", "bo", "ana", "ana", "bo", "ana"]


def test_an_amount_that_makes_no_sense_does_not_drown_all_others() -> None:
    team = Team("P: {members: [Ana Diaz, Bo Li], value: lead.employees}")
    for _ in range(8):
        team.give(1, lead={"employees": 1e308})
    rotation = team.pools.rotations["P", ""]
    assert all(abs(rotation.worth(n)) <= 1e12 for n in range(2))
    owed = [rotation.worth(n) for n in range(2)]
    for _ in range(2):
        team.give(1, lead={"employees": 100})
    assert [rotation.worth(n) for n in range(2)] == pytest.approx(owed, abs=200)
    assert sorted(team.give(4, lead={"employees": 1})) == ["ana", "ana", "bo", "bo"]


def test_a_large_pool_shows_the_chosen_and_some_who_cannot_and_counts_the_others() -> None:
    rows = [f"P{n},p{n}@example.com,UTC,,,,{'no' if n % 3 == 2 else 'yes'}" for n in range(60)]
    people = PEOPLE.splitlines()[0] + "\n" + "\n".join(rows) + "\n"
    members = ", ".join(f"P{n}" for n in range(60))
    found = Team(f"P: {{members: [{members}]}}", people).pick()
    assert [view.person for view in found.members] == [f"p{n}@example.com" for n in (0, 2, 5, 8)]
    assert found.members[1].unavailable == "P2 is inactive in people.csv"
    assert found.note == "1 lead now, the fair share is 0.03; 40 of 60 members could have had it"


@pytest.mark.parametrize("leads", [0, 3])
def test_a_cap_of_a_person_counts_the_leads_of_all_pools(leads: int) -> None:
    rows = PEOPLE.splitlines()
    people = "\n".join([rows[0] + ",caps", rows[1] + f",{leads} a day", *(row + "," for row in rows[2:])]) + "\n"
    team = Team("P: {members: [Ana Diaz]}\nQ: {members: [Ana Diaz]}\n", people)
    given = [*team.give(2), *team.give(2, "Q")]
    assert given == ["ana"] * leads + [""] * (4 - leads)


def test_the_share_of_a_pool_within_that_has_nobody_goes_to_the_queue_it_overflows_to() -> None:
    engagement = ENGAGEMENT.replace("ladder:", "queues: {Intake: {salesforce: 00G1}}\nladder:")
    pools = "P: {members: [Ana Diaz, pool Away]}\nAway: {members: [Dana Fox], overflow: queue Intake}\n"
    team = Team(pools, engagement=engagement)  # it is night where Dana is
    found = [team.pick() for _ in range(4)]
    assert [(one.person, one.queue) for one in found] == [("ana@example.com", ""), ("", "Intake")] * 2
    assert found[1].note.endswith("it goes to the queue Intake")
    assert found[1].named == (("P", "", "pool Away"),)
    # A CRM that has no such queue does not get it; Ana has no share of it to make up for.
    elsewhere = [team.pick(system="hubspot", exclude=frozenset({"ana@example.com"})) for _ in range(2)]
    assert [(one.person, one.queue) for one in elsewhere] == [("", "")] * 2
