"""5,000 rules of plain conditions: ours beside a compiled if-chain, GoRules zen and the Rust CEL, on the same rules and leads.

All must name the same first rule for every lead that they are asked about, or the measurement stops. The slow ones are asked
about fewer leads. Times are those of this process's CPU, so that a neighbour on the machine does not count.
"""

from __future__ import annotations

import gc
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cel
import zen
from msgspec import Struct

from rules.fields import Scope, read_fields
from rules.language.checking import Checker
from rules.language.grammar import parse
from rules.language.normal import normal_form
from rules.language.ruleset import RuleSet
from rules.language.syntax import Expression
from rules.pools.people import People
from rules.source import Report, Source
from rules.yamlfile import read_yaml
from tests.bench.report import Line
from tests.unit.rules.samples import FIELDS

LEADS = 20_000
ROUNDS = 4
OURS, CHAIN, CEL, ZEN = "ours", "compiled if-chain", "Rust CEL", "zen decision table"
COUNTRIES = [one + other for one in "ABCDEFGHIJKLMNOPQRST" for other in "ABCDEFGHIJ"]
Facts = dict[str, Any]
Decide = Callable[[Facts], int | None]


class Rule(Struct, frozen=True):
    """One rule: countries; where set, a range of employees, the beginning of a postal code, and a company or a score."""

    countries: tuple[str, ...]
    employees: tuple[int, int] | None
    postal: str
    either: tuple[str, int] | None

    def ours(self) -> str:
        parts = [f"lead.country in ({', '.join(_quoted(self.countries))})"]
        if len(self.countries) == 1:
            parts = [f'lead.country = "{self.countries[0]}"']
        if self.employees:
            parts.append(f"lead.employees in {self.employees[0]}..{self.employees[1]}")
        if self.postal:
            parts.append(f'lead.postal_code starts with "{self.postal}"')
        if self.either:
            parts.append(f'(lead.company = "{self.either[0]}" or lead.score > {self.either[1]})')
        return " and ".join(parts)

    def python(self) -> str:
        parts = [
            f"country in {set(self.countries)}" if len(self.countries) > 1 else f"country == {self.countries[0]!r}"
        ]
        if self.employees:
            parts.append(f"{self.employees[0]} <= employees <= {self.employees[1]}")
        if self.postal:
            parts.append(f"postal_code.startswith({self.postal!r})")
        if self.either:
            parts.append(f"(company == {self.either[0]!r} or score > {self.either[1]})")
        return " and ".join(parts)

    def cel(self) -> str:
        parts = [f"country in [{', '.join(_quoted(self.countries))}]"]
        if self.employees:
            parts.append(f"employees >= {self.employees[0]} && employees <= {self.employees[1]}")
        if self.postal:
            parts.append(f'postal_code.startsWith("{self.postal}")')
        if self.either:
            parts.append(f'(company == "{self.either[0]}" || score > {self.either[1]})')
        return " && ".join(parts)

    def zen(self, number: int) -> list[dict[str, str]]:
        """Its rows of a decision table: two where it has an 'or'."""
        row = {
            "country": ", ".join(_quoted(self.countries)),
            "employees": "",
            "postal_code": "",
            "company": "",
            "score": "",
        }
        if self.employees:
            row["employees"] = f"[{self.employees[0]}..{self.employees[1]}]"
        if self.postal:
            row["postal_code"] = f'startsWith($, "{self.postal}")'
        rows = [row]
        if self.either:
            rows = [row | {"company": f'"{self.either[0]}"'}, row | {"score": f"> {self.either[1]}"}]
        return [one | {"_id": f"{number}.{n}", "out": str(number)} for n, one in enumerate(rows)]


def _quoted(texts: Sequence[str]) -> list[str]:
    return [f'"{text}"' for text in texts]


def rules_of(count: int, rng: random.Random) -> list[Rule]:
    found = []
    for _ in range(count):
        low = rng.randrange(5_000)
        found.append(
            Rule(
                countries=tuple(rng.sample(COUNTRIES, rng.choice((1, 1, 3)))),
                employees=(low, low + rng.randrange(50, 500)) if rng.random() < 0.9 else None,
                postal=str(rng.randrange(100, 1000)) if rng.random() < 0.7 else "",
                either=(f"company {rng.randrange(300)}", rng.randrange(60, 100)) if rng.random() < 0.4 else None,
            )
        )
    return found


def leads_of(count: int, rng: random.Random) -> list[Facts]:
    return [
        {
            "lead": {
                "country": rng.choice(COUNTRIES),
                "employees": rng.randrange(6_000),
                "postal_code": str(rng.randrange(10_000, 100_000)),
                "company": f"company {rng.randrange(400)}",
                "score": rng.randrange(100),
            }
        }
        for _ in range(count)
    ]


class Compiled(Struct):
    """Our rules, compiled, and what that took: seconds from text to tree, and from tree to index."""

    rules: RuleSet
    reading: float
    indexing: float


def compiled(rules: Sequence[Rule]) -> Compiled:
    scope = Scope(read_fields(read_yaml(Source("fields.yaml", FIELDS), Report()), Report()))
    checker = Checker(scope, People())
    texts = [rule.ours() for rule in rules]
    parse('lead.country = "DE"')  # the grammar itself is made once in a process
    gc.collect()
    gc.freeze()  # as the daemon does
    start = time.process_time()
    trees: list[Expression] = []
    for text in texts:
        found = checker.read(text, lambda *_: None)
        assert found is not None, text
        trees.append(found.tree)
    read = time.process_time()
    made = RuleSet([normal_form(tree) for tree in trees], lambda path: scope.resolve(path).get)  # type: ignore[union-attr]
    return Compiled(made, read - start, time.process_time() - read)


def if_chain(rules: Sequence[Rule]) -> Decide:
    lines = ["def decide(facts):", "    lead = facts['lead']"]
    lines += [f"    {name} = lead[{name!r}]" for name in ("country", "employees", "postal_code", "company", "score")]
    for number, rule in enumerate(rules):
        lines += [f"    if {rule.python()}:", f"        return {number}"]
    space: dict[str, Any] = {}
    exec("\n".join(lines), space)
    decide: Decide = space["decide"]
    return decide


def cel_rules(rules: Sequence[Rule]) -> Decide:
    programs = [cel.compile(rule.cel()) for rule in rules]

    def decide(facts: Facts) -> int | None:
        context = cel.Context(facts["lead"])
        return next((number for number, program in enumerate(programs) if program.execute(context)), None)

    return decide


def zen_table(rules: Sequence[Rule]) -> Decide:
    fields = ("country", "employees", "postal_code", "company", "score")
    content = {
        "hitPolicy": "first",
        "inputs": [{"id": name, "name": name, "field": f"lead.{name}"} for name in fields],
        "outputs": [{"id": "out", "name": "out", "field": "out"}],
        "rules": [row for number, rule in enumerate(rules) for row in rule.zen(number)],
    }
    graph = {
        "nodes": [
            {"id": "in", "name": "in", "type": "inputNode"},
            {"id": "table", "name": "table", "type": "decisionTableNode", "content": content},
            {"id": "end", "name": "end", "type": "outputNode"},
        ],
        "edges": [
            {"id": "1", "sourceId": "in", "targetId": "table", "type": "edge"},
            {"id": "2", "sourceId": "table", "targetId": "end", "type": "edge"},
        ],
    }
    decision = zen.ZenEngine().create_decision(json.dumps(graph))

    def decide(facts: Facts) -> int | None:
        found = decision.evaluate(facts)["result"].get("out")
        return None if found is None else int(found)

    return decide


def speed(decide: Decide, leads: Sequence[Facts]) -> tuple[float, list[int | None]]:
    """Leads a second of CPU, and the answers."""
    start = time.process_time()
    found = [decide(lead) for lead in leads]
    return len(leads) / max(1e-9, time.process_time() - start), found


def side_by_side(rules: Sequence[Rule], made: Compiled, leads: Sequence[Facts]) -> dict[str, float]:
    """The best of several rounds of each, in turn, so that a busy moment hits all of them."""
    count = len(rules)
    runs: dict[str, tuple[Decide, Sequence[Facts]]] = {
        OURS: (made.rules.winner, leads),
        CHAIN: (if_chain(rules), leads[: 2_000_000 // count]),
        CEL: (cel_rules(rules), leads[: 100_000 // count]),
        ZEN: (zen_table(rules), leads[: 50_000 // count]),
    }
    answers = [made.rules.winner(lead) for lead in leads]
    best = dict.fromkeys(runs, 0.0)
    for _ in range(ROUNDS):
        for name, (decide, some) in runs.items():
            rate, found = speed(decide, some)
            assert found == answers[: len(found)], f"{name} does not agree with ours"
            best[name] = max(best[name], rate)
    return best


def run(_: Path) -> list[Line]:
    rng = random.Random(4)
    leads = leads_of(LEADS, rng)
    lines: list[Line] = []
    ours: dict[int, float] = {}
    for count in (50, 500, 5_000):
        rules = rules_of(count, rng)
        made = compiled(rules)
        first, _ = speed(made.rules.winner, leads)
        best = side_by_side(rules, made, leads)
        ours[count] = best[OURS]
        lines.append(Line(f"{count:,} rules: {OURS}", best[OURS], "leads/s"))
        lines.append(Line(f"{count:,} rules: {OURS}, each value for the first time", first, "leads/s"))
        for name, promised in ((CHAIN, 20), (CEL, 1_000), (ZEN, 1_000)):
            lines.append(Line(f"{count:,} rules: {name}", best[name], "leads/s"))
            what = f"{count:,} rules: {OURS} against the {name}"
            lines.append(Line(what, best[OURS] / best[name], "times", promised if count == 5_000 else None))
    lines.append(Line("slower at 5,000 rules than at 50", ours[50] / ours[5_000], "times", 3, at_least=False))
    return [*lines, *_costs(rules, made, leads)]


def _costs(rules: Sequence[Rule], made: Compiled, leads: Sequence[Facts]) -> list[Line]:
    lines = [
        Line("5,000 rules: read and checked", made.reading, "s"),
        Line("5,000 rules: brought into normal form and indexed", made.indexing, "s"),
        Line("5,000 rules: compiled, from text", made.reading + made.indexing, "s", 1, at_least=False),
    ]
    some = leads[:200]
    start = time.process_time()
    for number, lead in enumerate(some):
        made.rules.why_not(lead, number * 7)
    lines.append(
        Line("why not, one rule of 5,000", (time.process_time() - start) / len(some) * 1e3, "ms", 1, at_least=False)
    )
    start = time.process_time()
    for lead in some:
        made.rules.near_misses(lead)
    lines.append(
        Line("near misses among 5,000", (time.process_time() - start) / len(some) * 1e3, "ms", 1, at_least=False)
    )
    tracemalloc.start()
    again = compiled(rules)
    for lead in leads:
        again.rules.winner(lead)
    lines.append(
        Line("memory of 5,000 rules, in use", tracemalloc.get_traced_memory()[0] / 1e6, "MB", 60, at_least=False)
    )
    tracemalloc.stop()
    return lines
