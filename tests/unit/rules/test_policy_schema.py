"""The JSON schemas of the YAML files: current, content with every sound file, and strict about keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from routing.bootstrap.settings import Settings
from routing.bootstrap.systems import SYSTEMS as CONNECTED
from routing.cli.policy import app
from rules.fields import ENTITIES
from rules.policy import KNOWN, check
from rules.schema.generate import SYSTEMS, schemas
from rules.source import Report, Source
from rules.yamlfile import Block, Items, Node, Scalar, read_yaml
from tests.unit.rules.samples import EXAMPLE, shared_example

FOLDER = EXAMPLE.parents[1] / "schema"
README = (EXAMPLE.parents[1] / "README.md").read_text("utf-8")
SCHEMAS = schemas()
TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "number": (int, float), "boolean": bool, "null": type(None),
}  # fmt: skip
KEYWORDS = {
    "$schema", "title", "description", "definitions", "$ref", "type", "enum", "pattern", "properties", "required", "items",
    "additionalProperties", "patternProperties", "propertyNames", "minProperties", "minItems", "maxItems", "uniqueItems", "anyOf", "oneOf", "if", "then", "else",
}  # fmt: skip


def value(node: Node | None) -> Any:
    """What an editor (YAML 1.2) takes a node for: there ``no`` is a text and a date as well."""
    if isinstance(node, Block):
        return {key.text: value(one) for key, one in node}
    if isinstance(node, Items):
        return [value(one) for one in node.items]
    if not isinstance(node, Scalar) or not node.plain:
        return node.text if node is not None else None
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", node.text):
        return float(node.text)
    return {"true": True, "false": False, "": None, "~": None, "null": None}.get(node.text, node.text)


def wrong(data: Any, schema: Any, whole: dict[str, Any], at: str = "") -> list[str]:
    """Where the data do not fit: as much of JSON Schema (draft 7) as is used here."""
    if isinstance(schema, bool):
        return [] if schema else [f"{at} is not expected"]
    assert set(schema) <= KEYWORDS, set(schema) - KEYWORDS
    if "$ref" in schema:
        return wrong(data, whole["definitions"][schema["$ref"].rpartition("/")[2]], whole, at)
    found: list[str] = []
    kinds = schema.get("type", list(TYPES))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not any(isinstance(data, TYPES[kind]) and (kind != "number" or data is not True) for kind in kinds):
        return [f"{at} is no {' or '.join(kinds)}"]
    if "enum" in schema and data not in schema["enum"]:
        found.append(f"{at} is none of {schema['enum']}")
    if "pattern" in schema and isinstance(data, str) and not re.search(schema["pattern"], data):
        found.append(f"{at} does not fit {schema['pattern']}")
    for how, least in (("anyOf", 1), ("oneOf", 1)):
        sound = sum(not wrong(data, one, whole, at) for one in schema.get(how, ()))
        if how in schema and (sound < least or (how == "oneOf" and sound > 1)):
            found.append(f"{at} fits {sound} of {how}")
    if "if" in schema:
        found += wrong(data, schema["else" if wrong(data, schema["if"], whole) else "then"], whole, at)
    if isinstance(data, dict):
        found += [f"{at}.{key} is missing" for key in schema.get("required", ()) if key not in data]
        found += [f"{at} is empty"] * (len(data) < schema.get("minProperties", 0))
        for key, one in data.items():
            fitting = [one for name, one in schema.get("patternProperties", {}).items() if re.search(name, key)]
            other = fitting[0] if fitting else schema.get("additionalProperties", True)
            inner = schema.get("properties", {}).get(key, other)
            found += wrong(one, inner, whole, f"{at}.{key}")
            found += wrong(key, schema.get("propertyNames", True), whole, f"{at}.{key}")
    if isinstance(data, list):
        found += [f"{at} has {len(data)} items"] * (
            not schema.get("minItems", 0) <= len(data) <= schema.get("maxItems", len(data))
        )
        found += [f"{at} says something twice"] * (
            schema.get("uniqueItems", False) and len({*map(str, data)}) < len(data)
        )
        for number, one in enumerate(data):
            found += wrong(one, schema.get("items", True), whole, f"{at}[{number}]")
    return found


def flaws(name: str, text: str) -> list[str]:
    report = Report()
    node = read_yaml(Source(name, text), report)
    assert not report.errors
    return wrong(value(node), SCHEMAS[name], SCHEMAS[name], name)


def readme_examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def fitting(text: str) -> list[str]:
    """The files that a piece of YAML can be of; a ladder alone is part of one."""
    if text.startswith("ladder:"):
        text = f"entry: x\n{text}"
    return [name for name in SCHEMAS if not flaws(name, text)]


def test_the_files_of_the_repository_are_current() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == {name.replace(".yaml", ".json") for name in SCHEMAS}
    for name, schema in SCHEMAS.items():
        committed = json.loads((FOLDER / name.replace(".yaml", ".json")).read_text("utf-8"))
        assert committed == schema, f"{name}: run 'fingerpost policy schema --out rules/schema'"


def test_every_yaml_file_of_a_policy_has_one() -> None:
    assert set(SCHEMAS) == {name for name in KNOWN if name.endswith(".yaml")}


def test_the_systems_are_those_that_can_be_connected() -> None:
    settings = {one.name for one in msgspec.structs.fields(Settings)}
    assert list(SYSTEMS) == list(CONNECTED)
    assert set(SYSTEMS) <= settings


@pytest.mark.parametrize(
    "path", sorted(EXAMPLE.parent.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_examples_fit_and_name_their_schema_by_a_path_that_is_there(path: Path) -> None:
    text = path.read_text("utf-8")
    assert flaws(path.name, text) == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None
    assert (path.parent / named[1]).resolve() == (FOLDER / path.name.replace(".yaml", ".json")).resolve()
    assert (path.parent / named[1]).exists()


@pytest.mark.parametrize("text", readme_examples())
def test_the_examples_of_the_readme_fit(text: str) -> None:
    assert fitting(text) != []


def test_nearly_all_files_have_an_example_in_the_readme() -> None:
    told = [fitting(text) for text in readme_examples()]
    assert {found[0] for found in told if len(found) == 1} >= set(SCHEMAS) - {"matching.yaml", "conditions.yaml"}


RUNG = "entry: x\nladder:\n  - "
TEST = "tests:\n  - test: A\n    "


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("engagement.yaml", "entry: x\nladder: []\nlader: []"),
        ("engagement.yaml", "ladder: []"),
        ("engagement.yaml", "entry: x\nladder: []\nroute: leed"),
        ("engagement.yaml", "entry: x\nladder: []\nhold: {again: 5 minutes}"),
        ("engagement.yaml", "entry: x\nladder: []\nhold: {retry: soon}"),
        ("engagement.yaml", "entry: x\nladder: []\nqueues: {Intake: {salesfroce: 00G}}"),
        ("engagement.yaml", "ladders:\n  leed: {entry: x, ladder: []}"),
        ("engagement.yaml", "ladders:\n  lead: {entry: x, ladder: [], hold: {}}"),
        ("engagement.yaml", RUNG + "{rung: A, wen: x, hold: y}"),
        ("engagement.yaml", RUNG + "{rung: A, when: x}"),
        ("engagement.yaml", RUNG + "{rung: A, hold: x, reject: y}"),
        ("engagement.yaml", RUNG + "{when: x, hold: y}"),
        ("engagement.yaml", RUNG + "{otherwise: pool A, when: x}"),
        ("engagement.yaml", RUNG + "{rung: A, ladder: [{rung: B, when: x, asign: y}]}"),
        ("engagement.yaml", RUNG + "{rung: A, when: x, hold: y, task: {subjekt: y}}"),
        ("engagement.yaml", RUNG + "{rung: A, when: x, hold: y, notify: {whom: owner}}"),
        ("fields.yaml", "lead: {inn: {}, fields: {}}"),
        ("fields.yaml", "lead: {in: {salesfroce: Lead}, fields: {}}"),
        ("fields.yaml", "lead: {in: {}}"),
        ("fields.yaml", "lead: {fields: {a: {type: txt}}}"),
        ("fields.yaml", "lead: {fields: {a: {type: text, lable: A}}}"),
        ("fields.yaml", "lead: {fields: {A b: {type: text}}}"),
        ("fields.yaml", "lead: {fields: {a: {type: text, derived: perhaps}}}"),
        ("pools.yaml", "A: {methode: weighted, members: []}"),
        ("pools.yaml", "A: {method: random, members: []}"),
        ("pools.yaml", "A: {overflow: B}"),
        ("pools.yaml", "A: {members: {Ana: {wieght: 2}}}"),
        ("pools.yaml", "A: {members: [Ana], caps: 5}"),
        ("pools.yaml", "A: {members: [Ana], skills: [{skill: a}]}"),
        ("pools.yaml", "A: {members: [Ana], score: [{when: x}]}"),
        ("pools.yaml", "A: {members: [Ana], method: sticky, sticky: lead}"),
        ("calendars.yaml", "A: {holidays: DE}"),
        ("calendars.yaml", "A: {hours: Mon 9-17, hours form 2027-01-01: Mon 9-17}"),
        ("sla.yaml", "clock: {}"),
        ("sla.yaml", "clocks: {A: {start: assigned, within: 1 hour}}"),
        ("sla.yaml", "clocks: {A: {start: assigned, stop: accepted, within: soon}}"),
        ("sla.yaml", "clocks: {A: {start: assigned, stop: accepted, within: 1 hour, steps: [{at: 50 %}]}}"),
        ("sla.yaml", "answers: {invoice: {}}"),
        ("conditions.yaml", "A: {wen: x}"),
        ("conditions.yaml", "A: [x, y]"),
        ("corrections.yaml", "leed: {email: email}"),
        ("corrections.yaml", "lead: {email: mail}"),
        ("corrections.yaml", "lead: {email: {fix: email, wirte: no}}"),
        ("matching.yaml", "free_domain: []"),
        ("matching.yaml", "free_domains: [nonsense]"),
        ("tests.yaml", "test: []\ntests: []"),
        ("tests.yaml", TEST + "expect: {ownr: x}"),
        ("tests.yaml", TEST + "expect: {outcome: given}"),
        ("tests.yaml", TEST + "expect: {}"),
        ("tests.yaml", TEST + "leed: {}\n    expect: {pool: x}"),
        ("tests.yaml", TEST + "event: {kin: x}\n    expect: {pool: x}"),
        ("tests.yaml", TEST + "roster: {Ana: away}\n    expect: {pool: x}"),
    ],
)
def test_what_the_reader_refuses_is_refused(name: str, text: str) -> None:
    assert flaws(name, text) != []
    found = check({**shared_example(), name: text.encode()})[1]
    assert any(one.file == name and one.severity == "error" for one in found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "engagement.yaml",
            RUNG + "{rung: A, when: [Is big], hold: y, notify: [owner, Ana], task: {subject: x, due: 2 Hours}}",
        ),
        ("fields.yaml", "lead: {fields: {a: {type: text, read_only: [hubspot], derived: Yes}}}\ninvoice: {fields: {}}"),
        ("pools.yaml", "A: {method: Round Robin, members: {Ana: 0.5}}"),
        ("calendars.yaml", "A: {hours: {Mon: 9-17}, hours from 2027-01-01: Mon 9-17, closed: 2026-12-24}"),
        (
            "sla.yaml",
            "clocks: {A: {start: x, stop: y, within: 4 Hours, steps: [{at: 5 %, reassign: yes}], then: {notify: a}}}",
        ),
        ("corrections.yaml", "lead: {company: {fix: text, write: no}}"),
        ("matching.yaml", "free_domains: []\nnot_free_domains: ['@a.example']"),
        (
            "tests.yaml",
            TEST
            + "contact: {tags: [a, b], phone: }\n    account: {parent: {type: x}}\n    expect: {corrections: none}",
        ),
    ],
)
def test_what_may_be_written_is_taken(name: str, text: str) -> None:
    assert flaws(name, text) == []


def test_kinds_and_systems_of_a_policy_can_be_added(tmp_path: Path) -> None:
    own = schemas(("invoice",), ("pipedrive",))
    text = {"invoice": {"in": {"pipedrive": "Deal"}, "fields": {"a": {"type": "text", "pipedrive": "b"}}}}
    assert wrong(text, own["fields.yaml"], own["fields.yaml"]) == []
    assert set(own["corrections.yaml"]["properties"]) == {*ENTITIES, "invoice"}
    result = CliRunner().invoke(app, ["schema", str(EXAMPLE), "--out", str(tmp_path)])
    assert result.exit_code == 0
    for path in FOLDER.glob("*.json"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert json.loads(CliRunner().invoke(app, ["schema"]).stdout) == SCHEMAS
