"""``fingerpost policy diff``: what a change means, told part by part, and records that go elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routing.cli.policy import app
from rules.analysis.diff import Difference, compare
from rules.policy import compile_policy
from tests.unit.rules.samples import EXAMPLE, NOW, ladder, policy_files, shared_example


def edited(name: str, *pairs: tuple[str, str]) -> Difference:
    """The example policy against itself with some words replaced."""
    files = shared_example()
    text = files[name].decode()
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return compare(
        compile_policy(files), compile_policy({**files, name: text.encode(), "tests.yaml": b"tests: []\n"}), NOW
    )


def told(found: Difference) -> list[str]:
    lines = [f"{one.how} {one.what} {one.name}" + (f" ({one.detail})" if one.detail else "") for one in found.changes]
    return [line for line in lines if not line.startswith("removed test ")]


def ways(found: Difference) -> list[str]:
    return [f"{one.record}: {one.before} → {one.after}" for one in found.moved]


def ladders(before: list[str], after: list[str], **changed: str) -> Difference:
    old = compile_policy(policy_files(engagement=ladder(*before), **changed))
    return compare(old, compile_policy(policy_files(engagement=ladder(*after), **changed)), NOW)


def test_a_policy_is_like_itself_whatever_its_remarks_and_blanks() -> None:
    found = edited("engagement.yaml", ("route: lead", "# nothing new\nroute:   lead"))
    assert (told(found), found.moved) == ([], [])


@pytest.mark.parametrize(
    ("name", "pairs", "line"),
    [
        (
            "engagement.yaml",
            [('event.kind in ("created", "restored")', 'event.kind = "created"')],
            'added entry criterion lead: event.kind = "created"',
        ),
        ("engagement.yaml", [("retry: 5 minutes", "retry: 1 hour")], "changed hold is tried again (every: 5 minutes → 1 hour)"),
        (
            "engagement.yaml",
            [("assign: pool Marketing desk", "assign: pool Marketing desk\n    task: {subject: Call, due: 2 hours}")],
            "changed rung Marketing looks after its own leads (besides: nothing → task owner: Call, due in 2 hours)",
        ),
        (
            "engagement.yaml",
            [("assign: pool Marketing desk", "assign: pool Marketing desk\n    set: {status: account.type}")],
            "changed rung Marketing looks after its own leads (besides: nothing → set lead.status: account.type)",
        ),
        (
            "engagement.yaml",
            [("route: lead", "queues: {Intake: {salesforce: 00G1}}\nroute: lead")],
            "added queue Intake (salesforce: 00G1)",
        ),
        ("matching.yaml", [("alumni.example", "other.example")], "removed free-mail domain alumni.example"),
        ("matching.yaml", [("not_free_domains: []", "not_free_domains: [gmail.com]")], "added company domain gmail.com"),
        (
            "corrections.yaml",
            [("company: text", "company: {fix: text, write: no}")],
            "changed correction lead.company (written back: yes → no)",
        ),
        ("pools.yaml", [("Nadia Petrova: 2", "Nadia Petrova: 3")], "changed pool Inbound "
         "(members: Ben Okafor 1, Nadia Petrova 2 → Ben Okafor 1, Nadia Petrova 3)"),
        ("fields.yaml", [("label: Company,", "label: Firm,")], "changed field lead.company (label: Company → Firm)"),
        ("people.csv", [("Europe/Zurich", "Europe/Berlin")],
         "changed person jonas.keller@example.com (time zone: Europe/Zurich → Europe/Berlin)"),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_told(name: str, pairs: list[tuple[str, str]], line: str) -> None:
    assert line in told(edited(name, *pairs))


def test_changed_tests_are_told() -> None:
    files = shared_example()
    changed = files["tests.yaml"].replace(b"Not when that owner has left", b"Not when that owner is gone")
    changed = changed.replace(b"{outcome: none}", b"{owner: nobody}")
    found = compare(compile_policy(files), compile_policy({**files, "tests.yaml": changed}), NOW)
    assert told(found) == [
        "renamed test Not when that owner is gone (was 'Not when that owner has left')",
        "changed test A changed country routes nobody (expects: outcome none → owner nobody)",
    ]
    assert found.moved == []


def test_a_row_that_asks_for_less_and_where_its_records_go_now() -> None:
    found = edited("territories.csv", ('"DK, EE, FI, IS, LT, LV, NO, SE",,,,', '"DK, FI, IS, LT, LV, NO, SE",,,,'))
    (line,) = told(found)
    assert line.startswith("changed row territories.csv: Nordics and Baltics (lead.country or account.country: ")
    assert ways(found) == ['country "EE": pool MM-North → pool Inbound']


def test_a_record_is_told_with_no_more_than_it_takes() -> None:
    found = edited("named_accounts.csv", ("acme-robotics.example,Ana Diaz", "acme-robotics.example,Marcus Bell"))
    assert told(found) == ["changed row named_accounts.csv: Acme Robotics Inc. (goes to: Ana Diaz → Marcus Bell)"]
    assert ways(found)[0] == 'domain "acme-robotics.example": Ana Diaz → Marcus Bell'


def test_a_pool_with_another_name_is_the_same_pool() -> None:
    files = shared_example()
    new = {name: data.replace(b"MM-South", b"MM-Mediterranean") for name, data in files.items()}
    found = compare(compile_policy(files), compile_policy(new), NOW)
    assert told(found) == ["renamed pool MM-Mediterranean (was 'MM-South')"]
    assert found.moved == []


def test_a_rung_with_another_name_is_the_same_rung() -> None:
    files = shared_example()
    new = files["engagement.yaml"].replace(b"rung: One person, one owner", b"rung: A person has one owner")
    new = new.replace(
        b"when: counterpart.owner is active", b"when: counterpart.owner is active and lead.email is not blank"
    )
    found = compare(
        compile_policy(files), compile_policy({**files, "engagement.yaml": new, "tests.yaml": b"tests: []"}), NOW
    )
    assert told(found) == [
        "changed rung A person has one owner (was 'One person, one owner'; when: "
        "counterpart.owner is active → counterpart.owner is active and lead.email is not blank)"
    ]
    assert any(" → pool Inbound" in way for way in ways(found))


def test_a_rung_around_others_with_another_name_is_told_once() -> None:
    inner = "ladder:\n  - rung: Big\n    when: employees > 5\n    assign: Ana Diaz\n  - otherwise: hold here"
    rung = f'when: country = "DE"\n{inner}'
    found = ladders(
        [f"rung: Germany\n{rung}", "otherwise: hold x"], [f"rung: Deutschland\n{rung}", "otherwise: hold x"]
    )
    assert told(found) == ["renamed rung Deutschland (was 'Germany')"]


def test_only_what_really_moved_is_told() -> None:
    rungs = [f'rung: R{n}\nwhen: country = "{n}"\nhold: {n}' for n in range(6)]
    found = ladders([*rungs, "otherwise: hold x"], [rungs[0], rungs[5], *rungs[1:5], "otherwise: hold x"])
    assert told(found) == ["moved rung R5 (now after 'R0')"]
    assert found.moved == []  # they have nothing in common


def test_a_rung_that_moved_above_another_and_what_they_share() -> None:
    one = 'rung: Germany\nwhen: country = "DE"\nassign: Ana Diaz'
    other = "rung: Large\nwhen: employees >= 500\nassign: pool Everyone"
    found = ladders([one, other, "otherwise: hold x"], [other, one, "otherwise: hold x"])
    assert len(told(found)) == 1
    assert ways(found) == ['country "DE", employees 500: Ana Diaz → pool Everyone']


def test_rows_of_one_name_are_each_compared() -> None:
    rows = "name,country,assign\nEMEA,DE,Ana Diaz\nEMEA,FR,Ana Diaz\nEMEA,GB,{}\n"
    engagement = ladder("rung: T\nlookup: table.csv", "otherwise: hold x")
    old, new = (
        compile_policy(policy_files(engagement=engagement, table=rows.format(who)))
        for who in ("Ana Diaz", "Ben Okafor")
    )
    found = compare(old, new, NOW)
    assert told(found) == ["changed row table.csv: EMEA (goes to: Ana Diaz → Ben Okafor)"]
    assert ways(found) == ['country "GB": Ana Diaz → Ben Okafor']


def test_a_named_condition_and_the_rungs_that_use_it() -> None:
    rung = "rung: R\nwhen: outer\nassign: Ana Diaz"
    texts = ("Inner: employees > 5\nOuter: inner\n", "Inner: employees > 50\nOuter: inner\n")
    old, new = (
        compile_policy(policy_files(engagement=ladder(rung, "otherwise: hold x"), conditions=text)) for text in texts
    )
    found = compare(old, new, NOW)
    assert told(found) == ["changed condition Inner (when: employees > 5 → employees > 50)"]
    assert [one.after for one in found.moved] == ["hold (x)"]
    assert all(5 < one.values["lead.employees"] <= 50 for one in found.moved)


def test_people_who_leave_and_where_their_records_go() -> None:
    found = edited("people.csv", ("America/New_York,2023-06-01,yes", "America/New_York,2023-06-01,no"))
    assert "changed person hannah.weiss@example.com (active: yes → no)" in told(found)
    assert 'domain "cedarhall.example": Hannah Weiss → pool Inbound' in ways(found)


def test_a_ladder_for_another_kind_of_record() -> None:
    files = policy_files()
    body = files["engagement.yaml"].decode().replace("\n", "\n    ")
    both = f'ladders:\n  lead:\n    {body}\n  account:\n    entry: event.kind = "created"\n    ladder: [otherwise: hold x]\n'
    found = compare(compile_policy(files), compile_policy({**files, "engagement.yaml": both.encode()}), NOW)
    assert told(found) == ["added ladder account"]


def test_the_command_tells_and_its_exit_code_says_whether_something_changed(tmp_path: Path) -> None:
    new = shutil.copytree(EXAMPLE, tmp_path / "new")
    same = CliRunner().invoke(app, ["diff", str(EXAMPLE), str(new)])
    assert (same.exit_code, same.stdout) == (0, "Both policies mean the same.\n")
    path = new / "named_accounts.csv"
    path.write_text(
        path.read_text("utf-8").replace("acme-robotics.example,Ana Diaz", "acme-robotics.example,Marcus Bell"), "utf-8"
    )
    result = CliRunner().invoke(app, ["diff", str(EXAMPLE), str(new)])
    assert result.exit_code == 1
    assert "changed  row named_accounts.csv: Acme Robotics Inc. (goes to: Ana Diaz → Marcus Bell)" in result.stdout
    assert '  domain "acme-robotics.example": Ana Diaz → Marcus Bell' in result.stdout
    shown = json.loads(CliRunner().invoke(app, ["diff", str(EXAMPLE), str(new), "--json"]).stdout)
    assert [one["how"] for one in shown["changes"]] == ["changed"]
    assert shown["moved"][0]["after"] == "Marcus Bell"
    people = new / "people.csv"
    people.write_text(people.read_text("utf-8").replace("ana.diaz@", "ana.ruiz@"), "utf-8")
    said = "Ana Diaz is ana.ruiz@example.com now, no longer ana.diaz@example.com, and goes on in pools, absences and reports."
    assert said in CliRunner().invoke(app, ["diff", str(EXAMPLE), str(new)]).stdout
    (new / "pools.yaml").write_text("", "utf-8")
    assert CliRunner().invoke(app, ["diff", str(EXAMPLE), str(new)]).exit_code == 2


def test_a_changed_effect_is_shown_by_a_record() -> None:
    found = ladders(
        ['rung: Swiss\nwhen: lead.country = "CH"\nassign: Ana Diaz\nset: {status: Open}', "otherwise: Ana Diaz"],
        [
            'rung: Swiss\nwhen: lead.country = "CH"\nassign: Ana Diaz\nset: {status: Working}\ntask: Call',
            "otherwise: Ana Diaz",
        ],
    )
    assert ways(found) == [
        'country "CH": Ana Diaz, set lead.status: Open → Ana Diaz, set lead.status: Working, task owner: Call'
    ]


def test_a_changed_entry_criterion_is_shown_by_a_record() -> None:
    before = ladder("otherwise: Ana Diaz")
    after = before.replace("entry:", 'entry:\n  - lead.status changed to "Working"', 1)
    assert before != after
    found = compare(
        compile_policy(policy_files(engagement=before)), compile_policy(policy_files(engagement=after)), NOW
    )
    assert told(found) == ['added entry criterion lead: lead.status changed to "Working"']
    assert [one.partition(": ")[2] for one in ways(found)] == ["not routed → Ana Diaz"]


def hours(name: str, *pairs: tuple[str, str]) -> list[str]:
    """The example with hours against itself with some words replaced."""
    files = {path.name: path.read_bytes() for path in (EXAMPLE.parent / "hours").iterdir()}
    text = files[name].decode()
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return told(compare(compile_policy(files), compile_policy({**files, name: text.encode()}), NOW))


@pytest.mark.parametrize(
    ("name", "pair", "line"),
    [
        ("pools.yaml", ("[6 a day, 2 in any hour,", "[9 a day, 2 in any hour,"), "changed pool Enterprise (member_caps: "),
        ("pools.yaml", (">= 5000", ">= 9000"), "kinds: Very large: lead.employees >= 5000 → Very large: lead.employees >= 9000"),
        ("pools.yaml", ("relax_after: 30 minutes", "relax_after: 1 hour"), "changed pool Languages (skills: languages for lead"),
        ("pools.yaml", ("Ben Okafor: {weight: 1, caps: [8 a day]}", "Ben Okafor: 1"), "changed pool Front desk (members: "),
        ("pools.yaml", ("priority: lead.score", "hours: no"), "changed pool Front desk (hours: nothing → no; priority: lead.score → nothing)"),
        ("people.csv", ("Mon-Fri 8:00-17:00", "Mon-Fri 8:00-16:00"), "hours: Mon-Fri 8:00-17:00 → Mon-Fri 8:00-16:00"),
        ("people.csv", ("25 % for 30 days, 50", "10 % for 30 days, 50"), "changed person lena.fuchs@example.com (ramp: 25 % for 30 days"),
        ("calendars.yaml", ("DE-BE", "DE-BY"), "changed calendar Office (holidays: DE-BE → DE-BY)"),
        ("time_off.csv", ("2026-12-04", "2026-12-05"), "added time off Miriam Vogel, 2026-12-01 to 2026-12-05 (reason: Holiday)"),
        ("sla.yaml", ("within: 2 hours", "within: 3 hours"), "changed clock First touch (within: 2 hours → 3 hours)"),
        ("sla.yaml", ("at: 6 hours", "at: 7 hours"), "changed clock MQL is worked the same day (steps: "),
        ("sla.yaml", ('to "Rejected"', 'to "Closed"'), "changed answer lead (rejected: "),
    ],
)  # fmt: skip
def test_changes_of_hours_caps_and_clocks_are_told(name: str, pair: tuple[str, str], line: str) -> None:
    found = hours(name, pair)
    assert any(line in one for one in found), found
