"""Generated ladders: searched by the index, tried from the top, and read plainly, they decide the same."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.ladders import reader
from rules.policy import Policy, check
from tests.property.test_rules_conditions import ACCOUNTS, CONDITIONS, EVENTS, LEADS, _plain, _why_not, _write
from tests.unit.rules.samples import NOW, policy_files

# A rung is a condition and what it does; ("ladder", rungs) is rungs of its own.
DOES = st.sampled_from(("hold: held", "assign: lead.owner", "assign: pool Everyone", "keep: owner", "holdout: spared"))
RUNGS = st.recursive(
    st.lists(st.tuples(CONDITIONS, DOES), min_size=1, max_size=4),
    lambda inner: st.lists(
        st.one_of(st.tuples(CONDITIONS, DOES), st.tuples(CONDITIONS, inner)), min_size=1, max_size=3
    ),
    max_leaves=6,
)


def _lines(rungs: list[Any], indent: str) -> list[str]:
    lines: list[str] = []
    for number, (condition, does) in enumerate(rungs):
        text = _write(condition).replace("'", "''")
        lines += [f"{indent}- rung: R{number}", f"{indent}  when: '{text}'"]
        if isinstance(does, str):
            lines.append(f"{indent}  {does}")
        else:
            lines += [f"{indent}  ladder:", *_lines(does, indent + "    ")]
    return lines


def _decided(rungs: list[Any], facts: dict[str, Any], around: str = "") -> str:
    """The name of the rung that decides, "" when none does."""
    for number, (condition, does) in enumerate(rungs):
        if not _plain(condition, facts):
            continue
        name = f"{around}R{number}"
        if not isinstance(does, str):
            if found := _decided(does, facts, f"{name} › "):
                return found
        elif does not in ("assign: lead.owner", "keep: owner") or facts["lead"].get("owner") == "ana@example.com":
            return name
    return ""


def _compiled(text: str, indexed: int) -> Policy | None:
    with patch.object(reader, "INDEXED", indexed):
        policy, problems = check(policy_files(engagement=text))
    assert policy is not None or any("alternatives" in problem.message for problem in problems), problems
    return policy


@settings(max_examples=100, deadline=None)
@given(RUNGS, st.lists(st.tuples(LEADS, ACCOUNTS, EVENTS), min_size=1, max_size=5))
def test_index_and_walk_and_a_plain_reading_decide_the_same(rungs: list[Any], given: list[Any]) -> None:
    text = 'entry: [event.kind = "created"]\nladder:\n' + "\n".join(_lines(rungs, "  ")) + "\n"
    short, long = _compiled(text, 1_000_000), _compiled(text, 1)
    if short is None or long is None:
        return
    assert long.ladders["lead"].index is not None
    for lead, account, event in given:
        facts = {"lead": lead, "account": account, "event": event}
        one, other = short.walk(facts, _why_not, NOW), long.walk(facts, _why_not, NOW)
        assert (one.action, one.rung, one.person, one.effects) == (
            other.action,
            other.rung,
            other.person,
            other.effects,
        )
        assert one.rung == _decided(rungs, facts)
        assert other.steps == () or not one.rung or other.steps[-1] == one.steps[-1]
