"""What `fingerpost policy check` finds out about rules that each are fine alone."""

from __future__ import annotations

import pytest

from rules.analysis.analyse import analyse
from rules.policy import compile_policy
from tests.unit.rules.samples import NOW, PEOPLE, can_receive, facts, ladder, policy_files, shared_example

OTHERWISE = "otherwise: pool Everyone"


def found(exact: bool = False, **changed: str) -> list[str]:
    files = policy_files(**changed)
    problems = analyse(compile_policy(files), files, NOW, exact=exact).problems
    return [f"{one.file}:{one.line}:{one.column} {one.message}" for one in problems]


def rung(name: str, when: str, does: str = "assign: pool Everyone") -> str:
    return f"rung: {name}\nwhen: {when}\n{does}"


@pytest.mark.parametrize("exact", [False, True])
def test_the_example_has_nothing_to_shrug_at(exact: bool) -> None:
    files = shared_example()
    assert analyse(compile_policy(files), files, NOW, exact=exact).problems == []


def test_a_rung_that_an_earlier_one_hides() -> None:
    rungs = ladder(rung("A", "lead.employees > 10"), rung("B", "lead.employees in 20..30"), OTHERWISE)
    assert any("the rung 'B' never decides: the rung 'A' is asked first" in one for one in found(engagement=rungs))


def test_a_rung_that_only_several_hide_together_is_found_by_the_exact_check_alone() -> None:
    rungs = ladder(
        rung("A", "lead.employees <= 50"),
        rung("B", "lead.employees > 50"),
        rung("C", "lead.employees in 1..100"),
        OTHERWISE,
    )
    assert not found(engagement=rungs)
    assert any(
        "the rung 'A' and the rung 'B' are asked first and catch all of it together" in one
        for one in found(True, engagement=rungs)
    )


def test_a_rung_whose_person_may_be_away_hides_nothing() -> None:
    rungs = ladder(rung("A", "lead.employees > 10", "assign: Ana Diaz"), rung("B", "lead.employees > 20"), OTHERWISE)
    assert not found(True, engagement=rungs)


def test_a_test_that_cannot_be_taken_apart_hides_only_itself() -> None:
    one, other = 'lead.company contains "x"', 'lead.company contains "xy"'
    assert not found(True, engagement=ladder(rung("A", one), rung("B", other), OTHERWISE))
    assert found(True, engagement=ladder(rung("A", one), rung("B", one), OTHERWISE))


def test_rows_that_share_a_country_and_go_to_different_people() -> None:
    table = 'name,country,assign\nOne,"DE, AT, CH",Ana Diaz\nTwo,"CH, FR",Ben Okafor\n'
    told = found(engagement=ladder("rung: T\nlookup: table.csv", OTHERWISE), table=table)
    assert len(told) == 1
    assert 'a lead with country "CH" fits line 2 (One) as well as line 3 (Two): it goes to Ana Diaz, not to' in told[0]


def test_rows_of_a_unique_table_that_meet() -> None:
    table = "# hit: unique\nname,country,lead.employees,assign\nOne,DE,,Ana Diaz\nTwo,,100..,Ben Okafor\n"
    told = found(engagement=ladder("rung: T\nlookup: table.csv", OTHERWISE), table=table)
    assert any("only one may ('hit: unique')" in one for one in told)


def test_a_gap_has_an_example() -> None:
    told = found(engagement=ladder(rung("A", 'lead.country = "DE"')))
    assert any("no rung catches a lead with" in one for one in told)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ('lead.country = "DE" and lead.country = "AT"', "with what stands before it, this can never hold"),
        ("lead.employees > 5 or not lead.employees > 5", "this always holds"),
        ('lead.country = "DE" and (lead.employees is blank or lead.employees is not blank)', "this part always holds"),
    ],
)
def test_conditions_that_ask_for_nothing(condition: str, words: str) -> None:
    assert any(words in one for one in found(engagement=ladder(rung("A", condition), OTHERWISE)))


def test_somebody_in_no_pool() -> None:
    people = "name,email,role\nAna Diaz,ana.diaz@example.com,AE\nBen Okafor,ben.okafor@example.com,AE\nCora Lang,c@example.com,AE\nDan,d@example.com,CSM\n"
    told = found(people=people)
    assert [one for one in told if "in no pool" in one] == [one for one in told if "'Cora Lang' is in no pool" in one]
    assert told


def test_a_text_in_a_yes_or_no_field_fits_neither_condition_nor_row() -> None:
    table = "free_email,assign\nyes,hold it\nno,hold it\n"
    policy = compile_policy(policy_files(engagement=ladder("rung: T\nlookup: table.csv", OTHERWISE), table=table))
    for value, rung in ((True, "T"), (False, "T"), ("true", "Otherwise"), ("yes", "Otherwise"), (None, "Otherwise")):
        assert policy.walk(facts({"free_email": value}), can_receive, NOW).rung == rung


def test_thousands_of_overlapping_ranges_of_codes_are_decided() -> None:
    rows = [f"DE,{1_000 + 6 * n:05}..{1_200 + 6 * n:05},{'Ana Diaz' if n else 'pool Everyone'}" for n in range(1_000)]
    rows += ["DE,03000..03900,pool Everyone", 'DE,"03000*..05000*, not 04000",pool Everyone']
    table = "\n".join(["country,postal_code,assign", *rows])
    files = policy_files(engagement=ladder("rung: T\nlookup: table.csv", OTHERWISE), table=table)
    found = analyse(compile_policy(files), files, NOW, exact=True)
    assert found.undecided == 0
    assert [one.line for one in found.problems if "never decides" in one.message] == [1_002]


def test_a_pool_whose_people_are_all_gone() -> None:
    people = "name,email,end_date\nAna Diaz,ana.diaz@example.com,2025-11-21\nBen Okafor,ben.okafor@example.com,\n"
    off = b"person,from,to\nBen Okafor,2025-11-01,2026-11-01\n"
    pools = "Everyone: {members: [Ana Diaz, Ben Okafor]}\nAway: {members: [Ben Okafor], overflow: Everyone}\n"
    files = policy_files(people=people, pools=pools) | {"time_off.csv": off}
    found = [one for one in analyse(compile_policy(files), files, NOW).problems if one.file == "pools.yaml"]
    assert [(one.line, one.message) for one in found] == [
        (1, "everybody in the pool 'Everyone' has left, or is off for 7 days and more: its leads will be on hold"),
        (2, "everybody in the pool 'Away' has left, or is off for 7 days and more: its leads go to 'Everyone'"),
    ]
    files["time_off.csv"] = off.replace(b"2026-11-01", b"2025-11-24")
    assert not [one for one in analyse(compile_policy(files), files, NOW).problems if one.file == "pools.yaml"]


CLOCK = "clocks: {Touch: {start: assigned, stop: accepted, within: 1 hour, %s}}\n"


@pytest.mark.parametrize(
    ("managers", "says", "named"),
    [
        ("", "steps: [{at: 50 %, notify: manager}]", "anybody"),
        ("Cora Lang", "then: notify manager", "Ben Okafor"),
        ("", "steps: [{at: 50 %, notify: Cora Lang}]", ""),
    ],
)
def test_a_manager_who_is_to_be_told_and_is_not_there(managers: str, says: str, named: str) -> None:
    people = PEOPLE.replace("active\n", "active,manager\n").replace("yes\n", "yes,\n").replace(",no\n", ",no,\n")
    people = people.replace("ana.diaz@example.com,yes,", f"ana.diaz@example.com,yes,{managers}")
    told = [one for one in found(people=people, sla=CLOCK % says) if "notifies the manager" in one]
    wanted = f"sla.yaml:1:10 'Touch' notifies the manager, and people.csv names none for {named}: then nobody is told"
    assert told == ([wanted] if named else [])


QUEUES = "queues:\n  Intake: {salesforce: 00G000000000001}\n  Both: {salesforce: 00G000000000002, hubspot: q2}\n"
LARGE, AT_HUBSPOT = "lead.employees >= 1000", rung("Theirs", 'event.system = "hubspot"')
HOLDS = "can send leads of HubSpot to the queue 'Intake', which has no id there: they will be on hold"


def of_queues(*rungs: str, **changed: str) -> list[str]:
    entry = changed.pop("entry", 'event.kind = "created"')
    return [one for one in found(engagement=QUEUES + ladder(*rungs, entry=entry), **changed) if "the queue" in one]


def test_a_queue_that_one_system_lacks_whose_leads_can_get_there() -> None:
    large = rung("Large", LARGE, "assign: queue Intake")
    assert of_queues(large, OTHERWISE) == [f"engagement.yaml:7:11 the rung 'Large' {HOLDS}"]
    assert of_queues(rung("Large", LARGE, "assign: queue Both"), OTHERWISE) == []
    # Once of each queue, at the first rule that sends there.
    assert len(of_queues(large, rung("Small", "lead.employees < 10", "assign: queue Intake"), OTHERWISE)) == 1


@pytest.mark.parametrize(
    ("rungs", "entry"),
    [
        ((AT_HUBSPOT, rung("Large", LARGE, "assign: queue Intake"), OTHERWISE), 'event.kind = "created"'),
        ((rung("Large", f'{LARGE} and event.system = "salesforce"', "assign: queue Intake"), OTHERWISE), LARGE),
        ((rung("Large", LARGE, "assign: queue Intake"), OTHERWISE), 'event.system = "salesforce"'),
        ((rung("More", "lead.employees > 9"), rung("Large", LARGE, "assign: queue Intake"), OTHERWISE), LARGE),
    ],
)
def test_a_queue_that_no_lead_of_that_system_reaches_is_no_mistake(rungs: tuple[str, ...], entry: str) -> None:
    assert of_queues(*rungs, entry=entry) == []


def test_a_queue_behind_a_table_a_pool_or_a_clock() -> None:
    row = of_queues("rung: Table\nlookup: table.csv", OTHERWISE, table="country,assign\nDE,queue Intake\n")
    assert row == [f"table.csv:2:1 line 2 {HOLDS}"]
    pools = "Everyone: {members: [Ana Diaz, Ben Okafor], overflow: Few}\nFew: {members: [Ana Diaz], overflow: queue Intake}\n"
    assert of_queues(OTHERWISE, pools=pools) == [f"engagement.yaml:7:16 'otherwise' {HOLDS}"]
    for says in (
        "then: queue Intake, reassignments: 1, steps: [{at: 100 %, reassign: yes}]",
        "steps: [{at: 100 %, escalate: queue Intake}]",
    ):
        assert of_queues(OTHERWISE, sla=CLOCK % says) == [f"sla.yaml:1:10 'Touch' {HOLDS}"]
