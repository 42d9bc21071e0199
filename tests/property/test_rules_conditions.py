"""Generated conditions: what is compiled agrees with a plain reading of the semantics in rules/README.md."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.fields import Scope, read_fields
from rules.language.checking import Checker
from rules.language.closures import compile_expression
from rules.language.grammar import parse
from rules.language.mistakes import ConditionError
from rules.language.normal import normal_form
from rules.language.ruleset import RuleSet
from rules.language.syntax import paths
from rules.pools.people import People
from rules.source import Report, Source
from rules.yamlfile import read_yaml
from tests.unit.rules.samples import FIELDS, NOW

SCOPE = Scope(read_fields(read_yaml(Source("fields.yaml", FIELDS), Report()), Report()))
CHECKER = Checker(SCOPE, People())

# A condition is a nested tuple: ("and", [c, …]), ("or", [c, …]), ("not", c), or (operator, field, argument).
TEXTS = ("DE", "de", "AT", "Zürich", "zürich", "STRASSE", "a b", "9", "true")
NUMBERS = (-5, 0, 1, 2.5, 200, 999, 1000)
DAYS = ("2025-11-01", "2025-11-22", "2025-12-31")
TEXT_FIELDS = ("lead.country", "lead.company", "account.country", "first(lead.country, account.country)")
NUMBER_FIELDS = ("lead.employees", "lead.score", "account.employees", "first(lead.employees, account.employees)")
DATE_FIELDS = ("lead.created_at", "lead.birthday")
PATTERNS = ("d.", "[ad][et]?", "z.rich", "stra(ss|\u00df)e", "(a|b) *b", ".*", r"\d", "(a*)*b")
ORDERS = ("=", "!=", "<", "<=", ">", ">=")


def _leaf() -> st.SearchStrategy[tuple[Any, ...]]:
    text, number, day = st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.sampled_from(DAYS)
    ends = st.tuples(number, number).map(sorted)
    span = st.one_of(ends.map(tuple), number.map(lambda n: (n, None)), number.map(lambda n: (None, n)))
    sums = st.tuples(st.sampled_from(NUMBER_FIELDS), st.sampled_from("+-*/"), st.sampled_from(NUMBER_FIELDS)).map(
        lambda parts: f"({' '.join(parts)})"
    )
    some_field = st.sampled_from(TEXT_FIELDS + NUMBER_FIELDS + DATE_FIELDS + ("lead.tags", "lead.owner"))
    texts, numbers, dates = st.sampled_from(TEXT_FIELDS), st.sampled_from(NUMBER_FIELDS), st.sampled_from(DATE_FIELDS)
    return st.one_of(
        st.tuples(st.sampled_from(("=", "!=", "contains", "starts with", "ends with")), texts, text),
        st.tuples(st.sampled_from(("in texts", "not in texts")), texts, st.lists(text, min_size=1, max_size=3)),
        st.tuples(st.sampled_from(ORDERS), numbers, number),
        st.tuples(st.sampled_from(("in spans", "not in spans")), numbers, st.lists(span, min_size=1, max_size=3)),
        st.tuples(st.sampled_from(ORDERS), dates, day.map(date.fromisoformat)),
        st.tuples(st.just("within"), dates, st.sampled_from((1, 5, 40))),
        st.tuples(st.just("has"), st.just("lead.tags"), text),
        st.tuples(st.sampled_from(("is blank", "is not blank")), some_field, st.none()),
        st.tuples(st.sampled_from(("is active", "is not active")), st.just("lead.owner"), st.none()),
        st.tuples(st.just("bare"), st.just("lead.free_email"), st.none()),
        st.tuples(st.sampled_from(("= field", "!= field")), texts, st.sampled_from(TEXT_FIELDS)),
        st.tuples(st.just("matches"), texts, st.sampled_from(PATTERNS)),
        st.tuples(st.sampled_from(("within last", "within next")), dates, st.sampled_from((1, 5, 40))),
        st.tuples(st.just("changed"), st.sampled_from(("country", "status", "score")), st.none()),
        st.tuples(st.sampled_from(("from", "to", "from to")), st.just("country"), st.tuples(text, text)),
        st.tuples(st.just("crossed"), st.just("score"), number),
        st.tuples(st.sampled_from(ORDERS), sums, number),
        st.tuples(st.sampled_from(("is blank", "is not blank")), sums, st.none()),
        st.tuples(st.sampled_from(ORDERS), dates.map(lambda field: f"({field} + 3 days)"), day.map(date.fromisoformat)),
    )


CONDITIONS = st.recursive(
    _leaf(),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(("and", "or")), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=8,
)

MISFITS = st.sampled_from((None, "", "  ", math.nan, True, False, [], 7, "7", {"a": 1}))
LEADS = st.fixed_dictionaries(
    {},
    optional={
        "country": st.one_of(st.sampled_from(TEXTS), MISFITS),
        "company": st.one_of(st.sampled_from(TEXTS), MISFITS),
        "employees": st.one_of(st.sampled_from(NUMBERS), MISFITS),
        "score": st.one_of(st.sampled_from(NUMBERS), MISFITS),
        "created_at": st.one_of(
            st.sampled_from(("2025-11-22T00:00:00.000Z", "2025-11-20T23:30:00-02:00", "soon")), MISFITS
        ),
        "birthday": st.one_of(st.sampled_from((*DAYS, "2025-02-30")), MISFITS),
        "tags": st.one_of(st.lists(st.sampled_from(TEXTS), max_size=2), MISFITS),
        "owner": st.one_of(st.sampled_from(("ana@example.com", "gone@example.com")), MISFITS),
        "free_email": MISFITS,
    },
)
ACCOUNTS = st.none() | st.fixed_dictionaries(
    {}, optional={"country": st.sampled_from((*TEXTS, None)), "employees": st.sampled_from((*NUMBERS, None))}
)


def _write(condition: Any) -> str:
    kind = condition[0]
    if kind in ("and", "or"):
        return "(" + f" {kind} ".join(_write(part) for part in condition[1]) + ")"
    if kind == "not":
        return f"not {_write(condition[1])}"
    operator, field, value = condition
    if operator in ("bare", "changed") or value is None:
        return field if operator == "bare" else f"{field} {operator}"
    if operator.startswith("within"):
        return f"{field} {operator} {value} days"
    if operator == "crossed":
        return f"{field} crossed {value}"
    if operator in ("from", "to", "from to"):
        before = f" from {_quote(value[0])}" if "from" in operator else ""
        return f"{field} changed{before}" + (f" to {_quote(value[1])}" if "to" in operator else "")
    if operator.endswith("texts"):
        return f"{field} {operator.removesuffix(' texts')} ({', '.join(_quote(text) for text in value)})"
    if operator.endswith("spans"):
        spans = (f"{'' if low is None else low}..{'' if high is None else high}" for low, high in value)
        return f"{field} {operator.removesuffix(' spans')} ({', '.join(spans)})"
    if operator.endswith(" field"):
        return f"{field} {operator.removesuffix(' field')} {value}"
    word = "contains" if operator == "has" else operator
    return f"{field} {word} {_quote(value) if isinstance(value, str) else value}"


def _quote(text: str) -> str:
    return f'"{text}"'


def _missing(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _value(field: str, facts: dict[str, Any]) -> Any:
    if field.startswith("("):
        return _sum(field, facts)
    if field.startswith("first("):
        values = [_value(name, facts) for name in field[6:-1].split(", ")]
        return next((value for value in values if not _missing(value)), None)
    record, name = field.split(".")
    return (facts[record] or {}).get(name)


def _sum(field: str, facts: dict[str, Any]) -> Any:
    """The plain meaning of ``(a + b)``; a date is only ever given three days."""
    if field.endswith(" + 3 days)"):
        name = field[1 : -len(" + 3 days)")]
        found = _typed(name, _value(name, facts))
        return None if found is None else found + timedelta(days=3)
    left, sign, right = re.fullmatch(r"\((.+) ([-+*/]) (.+)\)", field).groups()  # type: ignore[union-attr]
    one, other = _typed(left, _value(left, facts)), _typed(right, _value(right, facts))
    if one is None or other is None or (sign == "/" and other == 0):
        return None
    return {"+": one + other, "-": one - other, "*": one * other, "/": one / (other or 1)}[sign]


def _typed(field: str, value: Any) -> Any:
    """The value as the field's type, or None: what does not fit is missing."""
    if _missing(value):
        return None
    if field.startswith("("):
        return value
    if field in TEXT_FIELDS or field == "lead.owner":
        return value.strip().casefold() if isinstance(value, str) else None
    if field in NUMBER_FIELDS:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
        return value if fits else None
    if field in DATE_FIELDS:
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            return None
        if found is None or (len(value) > 10 and found.tzinfo is None):
            return None
        return found.date() if len(value) == 10 else found.astimezone(UTC)
    return value


def _plain(condition: Any, facts: dict[str, Any]) -> bool:
    kind = condition[0]
    if kind == "and":
        return all(_plain(part, facts) for part in condition[1])
    if kind == "or":
        return any(_plain(part, facts) for part in condition[1])
    if kind == "not":
        return not _plain(condition[1], facts)
    operator, field, wanted = condition
    if operator in ("changed", "crossed", "from", "to", "from to"):
        return _happened(operator, field, wanted, facts)
    raw = _value(field, facts)
    if operator in ("is blank", "is not blank"):
        return _missing(raw) == (operator == "is blank")
    if operator == "bare":
        return raw is True
    if operator == "has":
        items = raw if isinstance(raw, list) else [raw]
        if isinstance(raw, str):
            return wanted.casefold() in raw.casefold()
        return any(isinstance(item, str) and item.casefold() == wanted.casefold() for item in items)
    found = _typed(field, raw)
    if operator.endswith(" field"):
        other = _typed(wanted, _value(wanted, facts))
        return found is not None and other is not None and (found == other) == operator.startswith("=")
    return found is not None and _compare(operator, found, wanted)


def _happened(operator: str, field: str, wanted: Any, facts: dict[str, Any]) -> bool:
    if field not in facts["event"]["changed"]:
        return False
    was = _typed(f"lead.{field}", facts["event"].get("before", {}).get(field))
    now = _typed(f"lead.{field}", facts["lead"].get(field))
    if operator == "changed":
        return True
    if operator == "crossed":
        return now is not None and now >= wanted and not (was is not None and was >= wanted)
    left, came = wanted[0].casefold(), wanted[1].casefold()
    if operator == "from to":
        return was == left and now == came
    return was == left and now != left if operator == "from" else now == came and was != came


def _compare(operator: str, found: Any, wanted: Any) -> bool:
    if operator in ("is active", "is not active"):
        return (found == "ana@example.com") == (operator == "is active")
    if operator.startswith("within"):
        away = found - NOW if isinstance(found, datetime) else found - NOW.date()
        if (operator == "within last" and away > timedelta(0)) or (operator == "within next" and away < timedelta(0)):
            return False
        return abs(away) <= timedelta(days=wanted)
    if operator == "matches":
        return re.fullmatch(wanted, found.replace("ss", "\u00df") if "\u00df" in wanted else found) is not None
    if operator in ("in texts", "not in texts"):
        return (found in {text.casefold() for text in wanted}) == (operator == "in texts")
    if operator in ("in spans", "not in spans"):
        inside = any((lo is None or lo <= found) and (hi is None or found <= hi) for lo, hi in wanted)
        return inside == (operator == "in spans")
    if isinstance(wanted, str):
        wanted = wanted.casefold()
    if isinstance(wanted, date):
        found = found.date() if isinstance(found, datetime) else found
    return bool(
        {
            "=": lambda: found == wanted,
            "!=": lambda: found != wanted,
            "<": lambda: found < wanted,
            "<=": lambda: found <= wanted,
            ">": lambda: found > wanted,
            ">=": lambda: found >= wanted,
            "contains": lambda: wanted in found,
            "starts with": lambda: found.startswith(wanted),
            "ends with": lambda: found.endswith(wanted),
        }[operator]()
    )


def _why_not(person: str) -> str | None:
    return None if person == "ana@example.com" else "gone"


EVENTS = st.fixed_dictionaries(
    {"kind": st.just("updated"), "changed": st.lists(st.sampled_from(("country", "score", "status")), max_size=3)},
    optional={
        "before": st.fixed_dictionaries(
            {}, optional={"country": st.sampled_from((*TEXTS, None)), "score": st.sampled_from((*NUMBERS, None))}
        )
    },
)


def _checked(condition: Any) -> Any:
    said: list[Any] = []
    expression = CHECKER.check(parse(_write(condition)), lambda *told: said.append(told))
    assert expression is not None, (_write(condition), said)
    return expression


@settings(max_examples=300, deadline=None)
@given(
    st.lists(CONDITIONS, min_size=1, max_size=8), st.lists(st.tuples(LEADS, ACCOUNTS, EVENTS), min_size=1, max_size=6)
)
def test_the_index_names_the_rule_that_a_plain_reading_names(conditions: list[Any], given: list[Any]) -> None:
    trees = [_checked(condition) for condition in conditions]
    try:
        rules = RuleSet([normal_form(tree) for tree in trees], lambda path: SCOPE.resolve(path).get)  # type: ignore[union-attr]
    except ConditionError:
        return  # too many alternatives: refused, with its reason
    for lead, account, event in given:
        facts = {"lead": lead, "account": account, "event": event}
        held = [number for number, condition in enumerate(conditions) if _plain(condition, facts)]
        assert rules.winner(facts, _why_not, NOW) == (held[0] if held else None)
        assert list(rules.winners(facts, _why_not, NOW)) == held
        for number in range(len(conditions)):
            failed = rules.why_not(facts, number, _why_not, NOW)
            assert (failed == ()) == (number in held)
        near = dict(rules.near_misses(facts, _why_not, NOW))
        assert not near.keys() & set(held)


@settings(max_examples=600, deadline=None)
@given(CONDITIONS, LEADS, ACCOUNTS, EVENTS)
def test_a_compiled_condition_agrees_with_a_plain_reading(condition: Any, lead: Any, account: Any, event: Any) -> None:
    text = _write(condition)
    expression = _checked(condition)
    facts = {"lead": lead, "account": account, "event": event}
    values = {path: SCOPE.resolve(path).get(facts) for path in paths(expression)}  # type: ignore[union-attr]
    assert compile_expression(expression)(values, NOW, _why_not) == _plain(condition, facts), text
