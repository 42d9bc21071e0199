"""What reports say of known leads and clocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import msgspec
import pytest
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.model import Write
from routing.core.sla.model import ClockState
from routing.ledger import clocks, outbox, reports
from routing.ledger.clocks import Given
from routing.ledger.engine import Ledger
from routing.ledger.outbox import Fate
from routing.ledger.schema import to_ms

MORNING = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
SPAN = MORNING - timedelta(days=1), MORNING + timedelta(days=1)


def given(n: int, who: str, seconds: float, *, ref: str = "", fresh: int = 1, pool: str = "DACH") -> Given:
    """A lead that changed in the morning and was given to somebody so many seconds later."""
    return Given(
        decision_id=f"d{n}",
        ref=ref or f"s:lead:{n}",
        person=who,
        pool=pool,
        source="Web" if n % 2 else "Trade fair",
        fresh=fresh,
        occurred_ms=to_ms(MORNING),
        decided_ms=to_ms(MORNING + timedelta(seconds=seconds)),
    )


def fill(ledger: Ledger) -> None:
    """1: Ana, touched after 10 minutes. 2: held, then Bo, not touched. 3: held. 4: Ana, then Bo, who touched it after an hour."""
    leads = [
        given(1, "ana", 1),
        given(2, "", 2),
        given(12, "bo", 60, ref="s:lead:2", fresh=0),
        given(3, "", 1),
        given(4, "ana", 1),
        given(14, "bo", 1800, ref="s:lead:4", fresh=0),
    ]
    write = Write(
        write_id="w", decision_id="d1", system="s", entity="lead", record_id="1", fields={"owner": "a"}, guard={}
    )
    about = {"subject": "Call", "owner": "a", "about_entity": "lead", "about": "1"}
    task = msgspec.structs.replace(write, write_id="t", entity="task", record_id="t", fields=about, kind="create")
    with ledger.write() as conn:
        clocks.give(conn, leads)
        clocks.touch(conn, {"s:lead:1": to_ms(MORNING + timedelta(minutes=10)), "s:lead:9": 5})
        clocks.touch(conn, {"s:lead:1": to_ms(MORNING + timedelta(minutes=50))})
        clocks.touch(conn, {"s:lead:4": to_ms(MORNING + timedelta(hours=1))})
        outbox.add(conn, [(one, to_ms(MORNING), 0) for one in (write, task)], MORNING)
        for seconds in (3, 90):  # the task comes after the owner, and tells nothing of the lead's speed
            (owed,) = outbox.claim(conn, "s", 2, MORNING)
            outbox.end(conn, [Fate(owed.seq, "confirmed")], MORNING + timedelta(seconds=seconds))
        clocks.save(conn, [_clock("met", 600), _clock("late", 7200, breached=True), _clock("open", 0, open_=True)])
        clocks.save(conn, [_clock("lost", 3600, breached=True, how="ended"), _clock("gone", 5, how="ended")])


def _clock(name: str, spent: float, *, breached: bool = False, open_: bool = False, how: str = "stopped") -> ClockState:
    state = ClockState(
        clock_id=name,
        name="First touch",
        system="s",
        entity="lead",
        record_id=name,
        person="ana" if name in ("met", "late") else "bo",
        pool="DACH",
        started_at=MORNING,
        since=MORNING,
        limit=3600,
        spent=spent,
        breached_at=MORNING + timedelta(hours=1) if breached else None,
    )
    if open_:
        return msgspec.structs.replace(state, due_at=MORNING + timedelta(hours=1))
    return msgspec.structs.replace(state, state=how, closed_at=MORNING + timedelta(seconds=spent))


@pytest.fixture
def ledger(sqlite_ledger: Ledger) -> Ledger:
    """What is asked of both databases takes ``any_ledger``."""
    return sqlite_ledger


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    fill(ledger)
    return ledger


def test_speed_to_lead_is_from_the_change_to_whoever_touched_it(any_ledger: Ledger) -> None:
    fill(any_ledger)
    with any_ledger.read() as conn:
        (row,) = reports.speed(conn, *SPAN, "all", UTC)
        by_person = {one.key: one for one in reports.speed(conn, *SPAN, "person", UTC)}
    assert (row.leads, row.waiting, row.untouched, row.moved) == (4, 1, 1, 1)
    assert (row.decided.n, row.decided.p50, row.decided.p99) == (3, 1.0, 60.0)
    assert (row.confirmed.n, row.confirmed.p50) == (1, 3.0)
    assert (row.touched.n, row.touched.p50, row.touched.p90) == (2, 600.0, 3600.0)
    assert {name: one.leads for name, one in by_person.items()} == {"ana": 1, "bo": 2, "(nobody)": 1}


def test_what_a_clock_ahead_of_ours_dates_after_our_answer_took_no_time(ledger: Ledger) -> None:
    with ledger.write() as conn:
        clocks.give(conn, [given(1, "ana", -2)])
        clocks.touch(conn, {"s:lead:1": to_ms(MORNING) - 5_000})
    with ledger.read() as conn:
        (row,) = reports.speed(conn, MORNING - timedelta(hours=1), SPAN[1], "all", UTC)
    assert (row.decided.p50, row.touched.p50) == (0.0, 0.0)


def test_a_lead_that_was_taken_away_stays_with_the_pool_that_gave_it(any_ledger: Ledger) -> None:
    ways = [
        *(given(1, "ana", 1), given(11, "", 60, ref="s:lead:1", fresh=0, pool="")),  # on hold, or in a queue
        *(given(2, "ana", 1), given(12, "bo", 60, ref="s:lead:2", fresh=0, pool="")),  # then to a person by name
        given(3, "", 1, pool=""),
    ]
    with any_ledger.write() as conn:
        clocks.give(conn, ways)
    with any_ledger.read() as conn:
        rows = {row.key: row.leads for row in reports.speed(conn, *SPAN, "pool", ZoneInfo("UTC"))}
    assert rows == {"DACH": 1, reports.NO_POOL: 2}


def test_the_hour_is_that_of_the_zone_asked_for(filled: Ledger) -> None:
    with filled.read() as conn:
        (row,) = reports.speed(conn, *SPAN, "hour", ZoneInfo("Asia/Kathmandu"))
        sources = [one.key for one in reports.speed(conn, *SPAN, "source", UTC)]
    assert (row.key, sources) == ("14:00", ["Trade fair", "Web"])


def test_what_began_before_the_span_is_not_in_it(filled: Ledger) -> None:
    with filled.read() as conn:
        later = reports.speed(conn, MORNING + timedelta(seconds=1.5), SPAN[1], "all", UTC)
        before = reports.speed(conn, SPAN[0], MORNING, "all", UTC)
    assert [row.leads for row in later] == [1]
    assert before == []


def test_clocks_are_met_late_lost_open_or_dropped(any_ledger: Ledger) -> None:
    fill(any_ledger)
    with any_ledger.read() as conn:
        (row,) = reports.clocks(conn, *SPAN, "all", UTC)
        by_person = {one.key: one.attained for one in reports.clocks(conn, *SPAN, "person", UTC)}
    assert (row.started, row.met, row.late, row.lost, row.open, row.overdue, row.dropped) == (5, 1, 1, 1, 1, 0, 1)
    assert row.attained == pytest.approx(1 / 3)
    assert (row.spent.n, row.spent.p50) == (2, 600.0)
    assert by_person == {"ana": 0.5, "bo": 0.0}


def test_a_report_is_a_table_json_or_a_page(filled: Ledger, tmp_path: Path) -> None:
    call = ["--ledger", filled.url, "--from", "2026-11-19", "--to", "2026-11-20"]
    table = CliRunner().invoke(app, ["report", "speed", *call, "--by", "pool"])
    assert (table.exit_code, "DACH" in table.stdout, "10 min" in table.stdout) == (0, True, True)
    told = CliRunner().invoke(app, ["report", "sla", *call, "--json"])
    assert json.loads(told.stdout)[0]["late"] == 1
    file = tmp_path / "sla.html"
    assert CliRunner().invoke(app, ["report", "sla", *call, "--html", str(file)]).exit_code == 0
    text = file.read_text()
    assert "http" not in text.replace("http-equiv", "")
    svg = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    assert len(svg.findall("rect")) > 2


def test_a_report_of_nothing_says_so(filled: Ledger) -> None:
    call = ["report", "speed", "--ledger", filled.url, "--from", "2020-01-01", "--to", "2020-01-02"]
    told = CliRunner().invoke(app, call)
    assert (told.exit_code, "No lead was routed then." in told.stderr) == (1, True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--from", "yesterday"], "'yesterday' is no date"),
        (["--zone", "Berlin"], "no time zone 'Berlin'"),
        (["--from", "2026-11-20", "--to", "2026-11-19"], "is not before"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(filled: Ledger, wrong: list[str], says: str) -> None:
    told = CliRunner().invoke(app, ["report", "speed", "--ledger", filled.url, *wrong], env={"COLUMNS": "200"})
    assert told.exit_code == 2
    assert says in " ".join(told.stderr.replace("│", " ").split())
