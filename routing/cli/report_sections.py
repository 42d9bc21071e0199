"""What stands in the reports: tables and plots made of their rows."""

from __future__ import annotations

from collections.abc import Callable

from routing.cli.report_page import Bar, Grid, Plot, Section
from routing.ledger.reports import ClockRow, FairRow, SpeedRow
from rules.nouns import counted


def speed_section(rows: list[SpeedRow], by: str, name: Callable[[str], str] = str) -> Section:
    """Speed to lead; ``by`` heads the first column, ``name`` is what its keys are called."""
    head = (
        by,
        "leads",
        "waiting",
        "untouched",
        "moved",
        "refused",
        "decided p50",
        "p99",
        "written p50",
        "p99",
        "touched p50",
        "p90",
    )
    grid = Grid(
        head,
        tuple(
            (
                name(row.key),
                f"{row.leads:,}",
                f"{row.waiting:,}",
                f"{row.untouched:,}",
                f"{row.moved:,}",
                f"{row.refused:,}",
                *(_time(one) for one in (row.decided.p50, row.decided.p99, row.confirmed.p50, row.confirmed.p99)),
                *(_time(one) for one in (row.touched.p50, row.touched.p90)),
            )
            for row in rows
        ),
    )
    touched = Plot(
        "From the change in the CRM to the first touch, median",
        ("first touch",),
        tuple(Bar(name(row.key), (row.touched.p50 or 0.0,), _time(row.touched.p50) or "–") for row in rows),
    )
    leads = Plot(
        "Leads",
        ("touched", "not yet", "with nobody"),
        tuple(Bar(name(row.key), (row.touched.n, row.untouched, row.waiting), f"{row.leads:,}") for row in rows),
    )
    note = "All times count from the change in the CRM; p99: of a hundred leads, ninety-nine were quicker."
    if any(row.refused for row in rows):
        note += " Refused: the CRM would not write an owner whom we chose, which counts as not given; `parked list` has what waits."
    plots = (touched, leads) if any(row.touched.n for row in rows) else (leads,)
    return Section("", note, (grid, *plots))


def clock_section(rows: list[ClockRow], name: Callable[[str], str] = str) -> Section:
    """How the SLA clocks did; ``name`` is what the keys of their rows are called."""
    head = (
        "clock",
        "of",
        "started",
        "in time",
        "late",
        "overdue",
        "lost",
        "open",
        "dropped",
        "attained",
        "spent p50",
        "p90",
    )
    grid = Grid(
        head,
        tuple(
            (
                row.clock,
                name(row.key),
                *(f"{n:,}" for n in (row.started, row.met, row.late, row.overdue, row.lost, row.open, row.dropped)),
                "" if row.attained is None else f"{row.attained:.1%}",
                _time(row.spent.p50),
                _time(row.spent.p90),
            )
            for row in rows
        ),
        frozenset({0, 1}),
    )
    plots = [
        Plot(
            clock,
            ("in time", "open", "late or overdue", "dropped", "lost"),
            tuple(
                Bar(
                    name(row.key),
                    (row.met, row.open, row.late + row.overdue, row.dropped, row.lost),
                    "–" if row.attained is None else f"{row.attained:.1%} in time",
                )
                for row in rows
                if row.clock == clock
            ),
        )
        for clock in dict.fromkeys(row.clock for row in rows)
    ]
    note = (
        "In business time. Overdue: runs on after its limit. Lost: taken away after it. Dropped: ended within it without having "
        "been stopped. Attained: in time, of all that are in time, late, overdue or lost."
    )
    return Section("", note, (grid, *plots))


def fair_sections(rows: list[FairRow], name: Callable[[str], str] = str) -> list[Section]:
    """The pools, each with its kinds of leads, one after the other; ``name`` is what the persons of their rows are called."""
    sections = []
    for pool, kind in dict.fromkeys((row.pool, row.kind) for row in rows):
        mine = [row for row in rows if (row.pool, row.kind) == (pool, kind)]
        by_value, bound = any(row.value_ahead for row in mine), mine[0].bound
        value = ("ahead in value",) if by_value else ()
        head = ("person", "weight", "fair share", "given", "ahead by", "credits", *value, "not in turn")
        grid = Grid(
            head,
            tuple(
                (
                    name(row.person),
                    f"{row.weight:g}",
                    f"{row.ideal:,.2f}",
                    f"{row.assigned:,}",
                    f"{row.ahead:+.2f}",
                    f"{row.credits:g}",
                    *((f"{row.value_ahead:+,.0f}",) if by_value else ()),
                    row.away,
                )
                for row in mine
            ),
            frozenset({0, len(head) - 1}),
        )
        plot = Plot(
            "How far from the fair share, in leads",
            ("apart",),
            tuple(Bar(name(row.person), (row.apart,), f"{row.ahead:+.2f}") for row in mine),
            ((1.0, "1 lead"),) if bound is None else ((bound, f"{bound:g}: the alarm"),),
        )
        worst, credited = max(row.apart for row in mine), any(row.apart != abs(row.ahead) for row in mine)
        given = sum(row.assigned for row in mine)
        but = ", but for credits by hand, which turns make up for" if credited else ""
        note = f"{counted(given, 'lead')}; nobody is further from the fair share than {worst:.2f}{but}."
        if bound is not None and worst > bound:
            note = f"{note} That is beyond {bound:g}, from where on it is told: `fingerpost pools show '{pool}'` says how it came."
        sections.append(Section(f"{pool}: {kind}" if kind else pool, note, (grid, plot)))
    return sections


def _time(seconds: float | None) -> str:
    """A duration for people: 0.4 s, 12 min, 3.5 h, 2.1 d."""
    if seconds is None:
        return ""
    for unit, size, upto in (("ms", 0.001, 1), ("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < upto:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:,.1f} d"
