"""sla.yaml: clocks, their steps and ends, and what shows that a rep accepted or rejected."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rules.policy import Policy, compile_policy
from rules.sla.model import MANAGER, OWNER, Clock, ClockEnd, ClockStep
from rules.sla.words import clock_settings
from tests.unit.rules.samples import ENGAGEMENT, FIELDS, NOW, can_receive, errors, facts, policy_files, warnings

TOUCHED = FIELDS.replace("    owner:", "    last_touch: {type: datetime, salesforce: LastActivityDate}\n    owner:", 1)
QUEUES = f"{ENGAGEMENT}queues: {{Intake: {{salesforce: 00G1}}}}\n"
OFFICE = "Office: {hours: Mon-Fri 9:00-17:00}\n"


def policy(text: str, **more: str) -> Policy:
    given = {"fields": TOUCHED, "engagement": QUEUES, "calendars": OFFICE} | more
    return compile_policy(policy_files(sla=text, **given))


def clock(text: str, **more: str) -> Clock:
    return policy(f"clocks:\n  A: {{start: assigned, stop: first touch, within: 4 hours, {text}}}\n", **more).clocks[
        "A"
    ]


def told(text: str) -> list[str]:
    return errors(sla=text, fields=TOUCHED, engagement=QUEUES, calendars=OFFICE)


def test_a_clock_needs_a_start_a_stop_and_a_time() -> None:
    found = clock("")
    assert (found.name, found.entity, found.limit, found.time) == ("A", "lead", 14_400.0, "rep")
    assert (found.of_owner, found.pauses_on_hold, found.reassignments, found.then) == (True, True, 100, ClockEnd())
    assert clock("steps: [{at: 100 %, reassign: yes}]").reassignments == clock("then: hold").reassignments == 2
    assert clock("reassignments: 0").reassignments == 0


def test_a_policy_without_clocks_has_none() -> None:
    assert (policy("").clocks, policy("").answers, policy("clocks: {}").clocks) == ({}, {}, {})


def test_the_first_touch_is_a_change_of_that_field() -> None:
    (stop,) = clock("").stop
    touched = facts({"last_touch": "2025-11-22"}, kind="updated", changed=["last_touch"])
    assert stop.holds(touched, can_receive, NOW)
    assert not stop.holds(facts({"last_touch": "2025-11-22"}), can_receive, NOW)
    assert not stop.on


def test_conditions_and_words_start_and_stop() -> None:
    text = 'clocks: {A: {start: created, stop: [accepted, rejected, lead.status changed to "Working"], within: 1 day}}'
    found = policy(text).clocks["A"]
    assert found.start.holds(facts(), can_receive, NOW)
    assert not found.start.holds(facts(kind="updated"), can_receive, NOW)
    assert [one.on for one in found.stop] == ["accepted", "rejected", ""]
    before = {"kind": "updated", "changed": ["status"], "before": {"status": "Open"}}
    assert found.stop[2].holds(facts({"status": "Working"}, **before), can_receive, NOW)
    assert not found.of_owner
    assert policy(text).event_reads == {"before"}


def test_steps_come_in_the_order_of_their_time_whatever_is_done() -> None:
    found = clock(
        "steps: [{at: 100 %, reassign: yes, notify: [Manager, Ana Diaz]}, {at: 30 minutes, remind: rep, text: Call},"
        " {at: 50 %, priority: 10}, {at: 150 %, escalate: queue intake}, {at: 200 %, reassign: pool everyone}]"
    ).steps
    assert found == (
        ClockStep("remind", 1800.0, who=OWNER, text="Call"),
        ClockStep("priority", None, 0.5, raise_by=10.0),
        ClockStep("reassign", None, 1.0),
        ClockStep("notify", None, 1.0, who=MANAGER),
        ClockStep("notify", None, 1.0, who="ana.diaz@example.com"),
        ClockStep("escalate", None, 1.5, queue="Intake"),
        ClockStep("reassign", None, 2.0, pool="Everyone"),
    )


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("stay", ClockEnd()),
        ("hold", ClockEnd("hold")),
        ("queue Intake", ClockEnd("queue", queue="Intake")),
        ("notify Ben Okafor", ClockEnd("notify", who="ben.okafor@example.com")),
        ("{notify: manager, text: It went round}", ClockEnd("notify", who=MANAGER, text="It went round")),
    ],
)
def test_a_clock_has_an_end(text: str, end: ClockEnd) -> None:
    assert clock(f"then: {text}").then == end


@pytest.mark.parametrize(
    ("text", "time"),
    [("rep", "rep"), ("Always", "always"), ("team everyone", "team Everyone"), ("calendar OFFICE", "calendar Office")],
)
def test_a_clock_says_whose_hours_count(text: str, time: str) -> None:
    assert clock(f"time: {text}").time == time


def test_the_crm_shows_what_a_rep_answers() -> None:
    answers = 'accepted: lead.status = "Working"\n  rejected: lead.status changed to "Closed"\n  reason: company'
    found = policy(f"answers:\n  {answers}\n").answers["lead"]
    assert (
        found == policy(f"answers:\n  lead:\n    {answers.replace('  ', '    ')}\n").answers["lead"] or found.reason_of
    )
    assert found.accepted is not None
    assert found.accepted.holds(facts({"status": "Working"}), can_receive, NOW)
    assert found.rejected is not None
    assert not found.rejected.holds(facts({"status": "Working"}), can_receive, NOW)
    assert found.reason is not None
    assert found.reason(facts({"company": "Too small"})) == "Too small"


START = "start: assigned, stop: accepted, within: 1 hour"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clocks: {A: {stop: accepted, within: 1 hour}}", "1:10 the clock 'A' does not say what starts it"),
        ("clocks: {A: {start: assigned, within: 1 hour}}", "1:10 the clock 'A' does not say what stops it: it would always run out"),
        ("clocks: {A: {start: assigned, stop: [], within: 1 hour}}", "1:37 the clock 'A' does not say what stops it: it would always run out"),
        ("clocks: {A: {start: assigned, stop: accepted, within: 366 days}}", "'366 days' is no time between 1 second and 365 days"),
        ("clocks: {A: {start: assigned, stop: accepted}}", "1:10 the clock 'A' does not say within what time"),
        ("clocks: {A: {start: assigned, stop: accepted, within: soon}}", "'soon' is no time between 1 second and 365 days"),
        ("clocks: {A: {start: assinged, stop: accepted, within: 1 hour}}", "'assinged' starts and stops no clock | did you mean 'assigned'?"),
        ("clocks: {A: {start: assigned, stop: acepted, within: 1 hour}}", "'acepted' starts and stops no clock | did you mean 'accepted'?"),
        ("clocks: {A: {start: assigned, stop: [first toch], within: 1 hour}}", "'first toch' starts and stops no clock | did you mean 'first touch'?"),
        ("clocks: {A: {start: assigned, stop: meeting set, within: 1 hour}}", "'meeting set' starts and stops no clock | one of: first touch, accepted, rejected; or a condition: lead.status changed"),
        ("clocks: {A: {start: lead.sttus changed, stop: accepted, within: 1 hour}}", "1:21 lead has no field 'sttus'"),
        (f"clocks: {{A: {{{START}, of: contact}}}}", "no ladder routes 'contact'"),
        (f"clocks: {{A: {{{START}, time: team Nobody}}}}", "there is no pool 'Nobody'"),
        (f"clocks: {{A: {{{START}, time: calendar Offce}}}}", "there is no calendar 'Offce' | did you mean 'Office'?"),
        (f"clocks: {{A: {{{START}, time: theirs}}}}", "'theirs' does not say whose hours count"),
        (f"clocks: {{A: {{{START}, reassignments: many}}}}", "is a whole number from 0 to 100, not 'many'"),
        (f"clocks: {{A: {{{START}, then: explode}}}}", "'explode' is no end of a clock"),
        (f"clocks: {{A: {{{START}, then: queue Nowhere}}}}", "there is no queue 'Nowhere' for what was moved often enough"),
        (f"clocks: {{A: {{{START}, within2: 1}}}}", "has no setting 'within2' | did you mean 'within'?"),
        (f"clocks: {{A: {{{START}, steps: [{{remind: owner}}]}}}}", "this step of the clock 'A' does not say when"),
        (f"clocks: {{A: {{{START}, steps: [{{at: noon, remind: owner}}]}}}}", "'noon' is no moment along a clock"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 0 %, remind: owner}}]}}}}", "'0 %' is no moment along a clock"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 50 %}}]}}}}", "this step of the clock 'A' does nothing"),
        (f"clocks: {{A: {{{START}, steps: {{at: 50 %}}}}}}", "a list is expected here, one '- at: …' a step"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 50 %, remind: Nobody}}]}}}}", "'Nobody' is not in people.csv"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 50 %, escalate: Intak}}]}}}}", "there is no queue 'Intak' to escalate to | did you mean 'Intake'?"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 50 %, reassign: Ben}}]}}}}", "'Ben' does not say to whom"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 50 %, reassign: yes, escalate: Intake}}]}}}}", "says both 'reassign' and 'escalate'"),
        (f"clocks: {{A: {{{START}, steps: [{{at: 50 %, priority: high}}]}}}}", "'priority' is the number that is added to it"),
        (f"clocks: {{A: {{{START}}}, a: {{{START}}}}}", "the clock 'a' differs from 'A' only by case"),
        ("clock: {}", "sla.yaml has no setting 'clock' | did you mean 'clocks'?"),
        ("answers: {acepted: x}", "no ladder routes 'acepted': nobody accepts or rejects one | did you mean 'accepted'?"),
        ("answers: {reason: lead.why}", "lead has no field 'why'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_clock_is_told(text: str, words: str) -> None:
    found = told(f"{text}\n")
    assert any(words in one for one in found), found


def test_the_first_touch_needs_its_field() -> None:
    found = errors(sla=f"clocks: {{A: {{{START.replace('accepted', 'first touch')}}}}}\n")
    assert len(found) == 1
    assert "the first touch shows in lead.last_touch, which is not in fields.yaml" in found[0]


def test_a_first_touch_that_one_system_does_not_show_is_told() -> None:
    sla = f"clocks: {{A: {{{START.replace('accepted', 'first touch')}}}}}\n"
    both = FIELDS.replace(
        "    owner:",
        "    last_touch: {type: datetime, salesforce: LastActivityDate, hubspot: notes_last_contacted}\n    owner:",
        1,
    )
    assert not [one for one in warnings(sla=sla, fields=both) if "first touch" in one]
    [found] = [one for one in warnings(sla=sla, fields=TOUCHED) if "first touch" in one]
    assert "no first touch shows in hubspot: lead.last_touch is no field there" in found


def test_reassignments_without_a_step_that_reassigns_are_odd() -> None:
    found = warnings(sla=f"clocks: {{A: {{{START}, reassignments: 3}}}}\n")
    assert any("no step of the clock 'A' reassigns: this counts for rejected records only" in one for one in found)


@pytest.mark.parametrize(
    ("start", "stop", "comes"),
    [
        ("lead.status changed", "[accepted, lead.status  changed]", "each time it begins anew"),
        ("created", "event.kind = 'created'", "each time it begins anew"),
        ("lead.status = 'Open'", "status = 'open'", "it never runs"),
        ("lead.status changed to 'Open'", "lead.status changed", ""),
        ("lead.status = 'Open'", "lead.status = 'Working'", ""),
    ],
)
def test_what_starts_a_clock_cannot_be_what_stops_it(start: str, stop: str, comes: str) -> None:
    found = warnings(sla=f'clocks: {{A: {{start: "{start}", stop: {stop}, within: 1 hour}}}}\n')
    assert [
        one for one in found if f"what starts the clock 'A' is also what stops it: {comes}" in one or not comes
    ] == found
    assert bool(found) == bool(comes)


@pytest.mark.parametrize(
    ("steps", "odd"),
    [
        ("{at: 100 %, reassign: yes}, {at: 60 minutes, reassign: pool Everyone}", True),
        ("{at: 100 %, reassign: yes, remind: owner}, {at: 100 %, escalate: Intake}", True),
        ("{at: 100 %, reassign: yes}, {at: 110 %, reassign: yes}", False),
        ("{at: 100 %, reassign: yes}, {at: 100 %, remind: owner, priority: 3}", False),
    ],
)
def test_two_steps_that_move_a_record_at_one_time_are_odd(steps: str, odd: bool) -> None:
    found = warnings(sla=f"clocks: {{A: {{{START}, steps: [{steps}]}}}}\n", engagement=QUEUES)
    assert (
        any(
            "the clock 'A' give the record to somebody else at the same time: only the last is done" in one
            for one in found
        )
        is odd
    )


def test_a_clock_is_told_in_words() -> None:
    found = clock("steps: [{at: 50 %, remind: owner, text: Call}, {at: 3 hours, reassign: yes}], then: queue Intake")
    said = clock_settings(found, {})
    assert said["steps"] == "at 50 %: remind the owner “Call”; at 3 hours: reassign, down the ladder once more"
    assert (said["within"], said["then"]) == ("4 hours", "it goes to the queue Intake")
    assert timedelta(seconds=found.limit) == timedelta(hours=4)
