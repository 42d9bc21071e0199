"""The page of the language names everything there is: a newcomer finds each word of it in rules/README.md."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from rules import extras, fields
from rules.ladders import effects, file, reader
from rules.language import grammar, named, syntax
from rules.model import ActionKind
from rules.policy import KNOWN
from rules.policy_tests import reader as tests
from rules.pools import calendars, members, model, people
from rules.pools import reader as pools
from rules.sla import model as clocks
from rules.sla import reader as sla
from rules.sla import steps
from rules.tables import reader as tables
from rules.tables import remarks
from tests.unit.rules import messages
from tests.unit.rules.samples import EXAMPLE

PAGE = (EXAMPLE.parents[1] / "README.md").read_text()
_BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
_SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL))
CODE = "\n".join([*_BLOCKS, *_SPANS])

SIGNS = [*re.findall(r'"(\S+)"', grammar.GRAMMAR.partition("SIGN: ")[2].partition("\n")[0]), "+", "-", "*", "/", ".."]
WORDS = re.findall(r"^_?[A-Z]+(?:\.\d+)?: /\(?(\w+)", grammar.GRAMMAR, re.MULTILINE)
HOW_TO_BE_DECIDED = {"person": "Ana Diaz", "field": "account.csm"}  # kinds of action that have no word of their own

VOCABULARY: dict[str, tuple[str, ...]] = {
    "a file": KNOWN,
    "a word of conditions": tuple(word + "s" * (word == "minute") for word in WORDS),
    "a sign of conditions": tuple(SIGNS),
    "an operator": tuple(one for one in get_args(syntax.Operator) if one != "bare"),
    "a type of field": fields.TYPES,
    "a setting of a field": fields.OPTIONS,
    "a setting of a kind of record": fields.ENTITY_KEYS,
    "a kind of record": fields.ENTITIES,
    "a setting of engagement.yaml": (*file.KEYS, *file.LADDER_KEYS, *reader.HOLD_KEYS),
    "a setting of a rung": (*reader.RUNG_KEYS, *reader.OTHERWISE_KEYS),
    "a setting of a task or a notice": (*effects.TASK_KEYS, *effects.NOTIFY_KEYS),
    "a column of people.csv": people.COLUMNS,
    "a setting of a pool": pools.POOL_KEYS,
    "a setting of a member": members.MEMBER_KEYS,
    "a setting of a skill": pools.SKILL_KEYS,
    "a setting of a score": pools.POINT_KEYS,
    "what a sticky pool keeps together": pools.STICKY,
    "a setting of a calendar": calendars.CALENDAR_KEYS,
    "a column of time_off.csv": calendars.TIME_OFF_COLUMNS,
    "a setting of sla.yaml": sla.SLA_KEYS,
    "a setting of a clock": sla.CLOCK_KEYS,
    "what starts a clock": sla.STARTS,
    "what stops a clock": sla.STOPS,
    "whose hours count": sla.TIMES,
    "a setting of an answer": sla.ANSWER_KEYS,
    "a setting of a step": steps.STEP_KEYS,
    "an end of a clock": get_args(clocks.End),
    "whom a step tells": steps.WHO,
    "a setting of a condition with a name": named.CONDITION_KEYS,
    "a setting of tests.yaml": tests.FILE_KEYS,
    "what a rung does": reader.DOES,
    "an action": tuple(HOW_TO_BE_DECIDED.get(kind, kind) for kind in get_args(ActionKind)),
    "an effect": effects.EFFECTS,
    "a method of sharing": model.METHODS,
    "a correction": extras.FIXERS,
    "a setting of a correction": extras.CORRECTION_KEYS,
    "a setting of matching.yaml": (*extras.MATCHING_KEYS, *extras.BANDS),
    "a tie-breaker": tuple(extras.TIE_BREAKERS),
    "what matching found": tuple(f"match.{name}" for name in fields.MATCH.fields),
    "a hit policy": remarks.HITS,
    "a column of a table": (
        *(tables.NOTES[0], tables.REMARKS[0], tables.ASSIGN, tables.KEEP, tables.FROM, tables.TO, tables.PRIORITY),
        tables.SET.strip(),
    ),
    "a remark of a table": (remarks.HIT, remarks.ORDER),
    "something expected by a test": tests.EXPECTS,
    "something around a test": tests.SURROUNDINGS,
    "something of a test's event": tests.EVENT,
    "an outcome of a test": tests.OUTCOMES,
}
_KINDS = sorted(set(fields._KINDS))


@pytest.mark.parametrize("what", VOCABULARY)
def test_every_word_of_the_language_is_on_the_page(what: str) -> None:
    missing = [word for word in VOCABULARY[what] if not _written(word)]
    assert not missing, f"rules/README.md does not name {what}: {', '.join(missing)}"


def test_every_name_of_a_condition_file_and_kind_of_event_is_on_the_page() -> None:
    missing = [word for word in (named.CONDITIONS, *_KINDS) if not _written(word)]
    assert not missing, f"rules/README.md does not name {', '.join(missing)}"


def _written(word: str) -> bool:
    ends = (r"(?<!\w)" if word[:1].isalnum() else "", r"(?!\w)" if word[-1:].isalnum() else "")
    return re.search(f"{ends[0]}{re.escape(word)}{ends[1]}", CODE) is not None


def test_the_page_of_messages_is_current() -> None:
    assert messages.PAGE.read_text() == messages.page(), "python -m tests.unit.rules.messages > rules/ERRORS.md"
