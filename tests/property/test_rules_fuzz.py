"""Whatever stands in the files: problems with places come out, never an exception, and never a hang."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.language.grammar import parse
from rules.language.mistakes import ConditionError
from rules.model import Problem
from rules.policy import check
from rules.source import Report, Source, render
from rules.yamlfile import Scalar, read_yaml
from tests.unit.rules.samples import FIELDS, PEOPLE, POOLS, facts, ladder, policy_files, shared_example, walk, when

FILES = ("fields", "engagement", "people", "pools", "corrections", "matching", "conditions", "table")
_YAML_BITS = st.sampled_from(
    ["ladder:", "- ", "rung: A", "when: ", "\n", "  ", "    ", "{", "}", "[", "]", "&a ", "*a", "!!python/object:os.system ",
     '"', "'", "|", ">", "#", ": ", "---\n", "...\n", "\t", "? ", "lead.country", " = ", '"DE"', "assign: pool Everyone",
     "Everyone", "members", "lead:", "fields:", "type: text", "\u2028", "\x85", "\ufeff", "é", "𝔘", "null", "~", "-", "1e999",
     "ladders:", "ladder:\n", "holdout: 5 %", "set: ", "task: ", "notify: ", "attach: ", "queues: ", "queue A", "[A]", "A: ", "a and a"]
)  # fmt: skip
_CSV_BITS = st.sampled_from(
    ["name,email,active\n", "country,assign\n", ",", ";", "\t", '"', '""', "\n", "\r\n", "\r", "=1+1", "not ", "1000..", "..",
     "94*", "*", "DE", "pool Everyone", "Ana Diaz", "a@b.co", "#", "hold", "keep owner", "lead.owner", "employees", "1e999",
     "account.parent.owner", " or ", "é", "\x0b", "9" * 30]
)  # fmt: skip
_WORDS = st.sampled_from(
    ["lead.country", "country", "employees", "=", "!=", "<", ">=", "(", ")", "and", "or", "not", "in", "is", "blank",
     "active", '"DE"', '"', "'", "200", "200..999", "..", "1000..", "2025-11-22", "within", "30", "days", "contains",
     "starts with", "first(", ",", "nan", "yes", "account.parent.owner", "event.kind", "1e999", "-", ".", "“DE”", "€",
     "changed", "from", "to", "crossed", "matches", "last", "next", "+", "*", "/", "lead.created_at", "[", "]", "[A]", "3 days", '"(a*)*"']
)  # fmt: skip


def _sound(problems: list[Problem], files: dict[str, bytes]) -> None:
    render(problems)
    for problem in problems:
        assert problem.message
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.file in files or problem.file in (
            "fields.yaml",
            "engagement.yaml",
            "people.csv",
            "pools.yaml",
            "conditions.yaml",
        )


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(FILES), st.binary(max_size=300))
def test_random_bytes(name: str, data: bytes) -> None:
    files = policy_files(**{name: data})
    _sound(check(files)[1], files)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(FILES[:2] + FILES[3:7]), st.lists(_YAML_BITS, max_size=30).map("".join))
def test_random_yaml(name: str, text: str) -> None:
    files = policy_files(**{name: text})
    _sound(check(files)[1], files)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(("people", "table")), st.lists(_CSV_BITS, max_size=30).map("".join))
def test_random_csv(name: str, text: str) -> None:
    files = policy_files(**{name: text}, engagement=ladder("rung: Table\nlookup: table.csv", "otherwise: hold x"))
    files.setdefault("table.csv", b"country,assign\nDE,pool Everyone\n")
    policy, problems = check(files)
    _sound(problems, files)
    if policy is not None:
        walk(policy, facts({"country": "DE", "employees": 5}))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(_WORDS, max_size=20).map(" ".join), st.text(max_size=40)))
def test_random_conditions(text: str) -> None:
    refused = None
    try:
        parse(text)
    except ConditionError as error:
        refused = error
    assert refused is None or (0 <= refused.span[0] <= refused.span[1] and refused.message)
    scalar = text.replace("'", "''").replace("\n", " ").replace("\r", " ")
    files = policy_files(engagement=when(f"'{scalar}'"))
    _sound(check(files)[1], files)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(shared_example())), st.data())
def test_a_real_policy_with_a_piece_cut_out_or_put_in(name: str, data: st.DataObject) -> None:
    files = shared_example()
    content = files[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    files[name] = content[:start] + data.draw(st.binary(max_size=6)) + content[end:]
    _sound(check(files)[1], files)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab ='\"\\\t\n:#é(),.9"), min_size=1, max_size=30), st.data())
def test_a_place_within_a_quoted_value_is_where_it_stands_in_the_file(text: str, data: st.DataObject) -> None:
    double = data.draw(st.booleans())
    flat = text.replace("\n", " ").replace("\t", " ")
    if double:
        escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "é": "\\u00e9"}
        written, value = '"' + "".join(escapes.get(c, c) for c in text) + '"', text
    else:
        written, value = "'" + flat.replace("'", "''") + "'", flat
    root = read_yaml(Source("x.yaml", written), Report())
    assert isinstance(root, Scalar)
    assert root.text == value
    for at, character in enumerate(value):
        place = root.at(at, at + 1)
        found = written[place.column - 1]
        assert place.line == 1
        assert found == character or (double and found == "\\")


def test_the_samples_these_tests_change_are_fine_themselves() -> None:
    assert check(policy_files())[1] == []
    assert FIELDS
    assert PEOPLE
    assert POOLS
