"""Generated ladders: what the analysis says of rules is so, asked of the ladder itself."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.analysis import space
from rules.analysis.analyse import Ladder
from rules.analysis.boxes import Budget
from rules.analysis.masks import MOST_BITS
from rules.analysis.overlaps import contradicting
from rules.policy import compile_policy
from tests.unit.rules.samples import NOW, can_receive, facts, ladder, policy_files

COUNTRIES, NUMBERS = ("DE", "AT", "D"), (0, 1, 5, 10)
LEAVES = st.one_of(
    st.sampled_from(COUNTRIES).map(lambda c: f'lead.country = "{c}"'),
    st.sampled_from(COUNTRIES).map(lambda c: f'lead.country != "{c}"'),
    st.sampled_from(COUNTRIES).map(lambda c: f'lead.country starts with "{c}"'),
    st.lists(st.sampled_from(COUNTRIES), min_size=1, max_size=2).map(
        lambda some: "lead.country in (" + ", ".join(f'"{one}"' for one in some) + ")"
    ),
    st.sampled_from(NUMBERS).map(lambda n: f"lead.employees >= {n}"),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).map(
        lambda ends: f"lead.employees in {min(ends)}..{max(ends)}"
    ),
    st.just("lead.country is blank"),
    st.just("lead.employees is not blank"),
    st.just('lead.company contains "a"'),
    st.sampled_from(("lead.free_email", "lead.free_email = no", "lead.free_email is blank", "lead.free_email != yes")),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from((" and ", " or ")), inner).map(lambda one: "(" + "".join(one) + ")"),
        inner.map(lambda one: f"not {one}"),
    ),
    max_leaves=4,
)
LADDERS = st.lists(
    st.tuples(CONDITIONS, st.sampled_from(("pool Everyone", "Ana Diaz", "hold it"))), min_size=1, max_size=6
)
LEADS: list[dict[str, Any]] = [
    {"country": country, "employees": number, "company": company, "free_email": free}
    for country in (None, "DE", "de ", "AT", "D", "DX", "other")
    for number in (None, -1, 0, 1, 3, 5, 7, 10, 11, "many")
    for company in (None, "abc")
    for free in (True, False, None, "true", "maybe", 1)
]


@given(LADDERS)
@settings(deadline=None, max_examples=60)
def test_the_analysis_and_the_ladder_agree(rungs: list[tuple[str, str]]) -> None:
    texts = [f"rung: R{n}\nwhen: {when}\nassign: {does}" for n, (when, does) in enumerate(rungs)]
    policy = compile_policy(policy_files(engagement=ladder(*texts)))
    engagement = policy.ladders["lead"]
    made = Ladder(policy, engagement, NOW)
    hidden, undecided = made.hidden(exact=True)
    assert not undecided
    names = {one.rule.rung.name for one in hidden}
    assert {one.rule.rung.name for one in made.hidden(exact=False)[0]} <= names
    # No rung that decides for some lead is called hidden, whoever can receive leads.
    for lead in LEADS:
        for why_not in (can_receive, lambda _: "away"):
            assert engagement.walk(facts(lead), why_not, NOW).rung not in names
    # A gap is one; overlaps are real.
    gap = made.gap(Budget(100_000))
    assert gap is None or not engagement.walk(gap.facts, can_receive, NOW).rung
    for pair in contradicting(made.regions, made.space, Budget(100_000)):
        example = made.example(pair.both, pair.earlier.rule, pair.later.rule)
        if example is not None:
            assert made.holds(pair.earlier.rule, example)
            assert made.holds(pair.later.rule, example)


# Ladders in ladders and tables, beside an interpreter that knows nothing of the policy's code.

Lead = dict[str, Any]
Plain = tuple[str, Any]  # a condition as text, and as Python


def _country_is(country: str) -> Plain:
    return f'lead.country = "{country}"', lambda lead: lead["country"] == country


def _country_begins(start: str) -> Plain:
    return f'lead.country starts with "{start}"', lambda lead: (lead["country"] or "").startswith(start)


def _at_least(number: int) -> Plain:
    return f"lead.employees >= {number}", lambda lead: lead["employees"] is not None and lead["employees"] >= number


def _negated(one: Plain) -> Plain:
    return f"not ({one[0]})", lambda lead: not one[1](lead)


def _joined(pair: tuple[Plain, Plain, bool]) -> Plain:
    one, other, both = pair
    if both:
        return f"({one[0]}) and ({other[0]})", lambda lead: one[1](lead) and other[1](lead)
    return f"({one[0]}) or ({other[0]})", lambda lead: one[1](lead) or other[1](lead)


PLAIN = st.recursive(
    st.one_of(
        st.sampled_from(COUNTRIES).map(lambda country: _country_is(country.lower())),
        st.sampled_from(("d", "a")).map(_country_begins),
        st.sampled_from(NUMBERS).map(_at_least),
    ),
    lambda inner: st.one_of(inner.map(_negated), st.tuples(inner, inner, st.booleans()).map(_joined)),
    max_leaves=3,
)
DOES = st.sampled_from(("pool Everyone", "Ana Diaz", "hold it"))
ROWS = st.lists(
    st.tuples(st.sampled_from(("", "DE", "DE, AT", "not AT", "D*")), st.sampled_from(("", "1..5", "5..", "..1")), DOES),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row[:2],
)
RUNGS = st.lists(
    st.one_of(
        st.tuples(PLAIN, DOES),
        st.tuples(PLAIN, st.just("table")),
        st.tuples(PLAIN, st.lists(st.tuples(PLAIN, DOES), min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=4,
)
CELLS: dict[str, Any] = {
    "": lambda _: True,
    "DE": lambda value: value == "de",
    "DE, AT": lambda value: value in ("de", "at"),
    "not AT": lambda value: value is not None and value != "at",
    "D*": lambda value: value is not None and value.startswith("d"),
    "1..5": lambda value: value is not None and 1 <= value <= 5,
    "5..": lambda value: value is not None and value >= 5,
    "..1": lambda value: value is not None and value <= 1,
}
PLAIN_LEADS: list[Lead] = [
    {"country": country, "employees": number}
    for country in (None, "de", "at", "d", "dx", "other")
    for number in (None, 0, 1, 3, 5, 7, 10, 11)
]


def _winner(rungs: Any, rows: Any, lead: Lead, away: bool, around: str = "") -> str:
    """The name of the rung that decides, and the line of the row; "" when nothing does."""
    for number, (when, does) in enumerate(rungs):
        name = f"{around}R{number}"
        if not when[1](lead):
            continue
        if isinstance(does, list):
            if found := _winner(does, rows, lead, away, f"{name} › "):
                return found
        elif does != "table":
            if not (away and does == "Ana Diaz"):
                return name
        else:
            hits = (
                at for at, row in enumerate(rows) if CELLS[row[0]](lead["country"]) and CELLS[row[1]](lead["employees"])
            )
            at = next(hits, None)
            if at is not None and not (away and rows[at][2] == "Ana Diaz"):
                return f"{name} line {at + 2}"
    return ""


def _written(rungs: Any, indent: str) -> str:
    lines = []
    for number, (when, does) in enumerate(rungs):
        lines += [f"{indent}- rung: R{number}", f"{indent}  when: {when[0]}"]
        if isinstance(does, list):
            lines += [f"{indent}  ladder:", _written(does, indent + "    ").rstrip("\n")]
        else:
            lines.append(f"{indent}  lookup: table.csv" if does == "table" else f"{indent}  assign: {does}")
    return "\n".join(lines) + "\n"


@given(RUNGS, ROWS, st.sampled_from((0, MOST_BITS)))
@settings(deadline=None, max_examples=60)
def test_tables_and_ladders_in_ladders_agree_with_a_plain_interpreter(rungs: Any, rows: Any, most: int) -> None:
    table = "country,lead.employees,assign\n" + "".join(f'"{a}",{b},{does}\n' for a, b, does in rows)
    engagement = 'entry:\n  - event.kind = "created"\nladder:\n' + _written(rungs, "  ")
    used = any(does == "table" for _, does in rungs)
    files = policy_files(engagement=engagement, **({"table": table} if used else {}))
    policy = compile_policy(files)
    with patch.object(space, "MOST_BITS", most):  # 0: all sets of atoms as runs
        made = Ladder(policy, policy.ladders["lead"], NOW)
    never = set()
    for one in made.hidden(exact=True)[0]:
        never.add(one.rule.rung.name + (f" line {one.rule.row.line}" if one.rule.row is not None else ""))
    for lead in PLAIN_LEADS:
        for away in (False, True):
            walk = policy.walk(facts(lead), (lambda _: "away") if away else can_receive, NOW)
            line = f" {walk.rule.split()[1]} {walk.rule.split()[2].rstrip(':')}" if walk.rule else ""
            winner = _winner(rungs, rows, lead, away)
            assert winner == walk.rung + line
            assert winner not in never
    gap = made.gap(Budget(100_000))
    if gap is not None:
        country, number = gap.facts["lead"].get("country"), gap.facts["lead"].get("employees")
        # What does not fit its field compares as a blank does.
        lead = {
            "country": country.strip().casefold() if isinstance(country, str) and country.strip() else None,
            "employees": number if isinstance(number, (int, float)) else None,
        }
        assert not _winner(rungs, rows, lead, away=False)
