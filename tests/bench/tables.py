"""Decision tables of ordinary size: how long they take to compile, what they hold in memory, what one lead costs."""

from __future__ import annotations

import gc
import io
import random
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from rules.policy import compile_policy
from tests.bench.report import Line
from tests.unit.rules.samples import facts, ladder, policy_files

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PEOPLE = ("pool Everyone", "Ana Diaz", "Ben Okafor")
Rows = list[list[str]]


def accounts(count: int) -> Rows:
    """Named accounts: a company and its country each."""
    rows = [["name", "company", "country", "assign"]]
    rows += [[f"Account {n}", f"Company {n} GmbH", "", PEOPLE[n % 3]] for n in range(count)]
    return rows


def codes(count: int) -> Rows:
    """A row for every postal code, as a re-carve in a spreadsheet leaves it."""
    rows = [["name", "country", "postal_code", "assign"]]
    rows += [[f"Code {n:05}", "DE" if n % 2 else "US", f"{n:05}", PEOPLE[n % 3]] for n in range(count)]
    return rows


def ranges(count: int) -> Rows:
    """Ranges of postal codes with some left out, sizes and days, all different: the hardest for an index."""
    chance = random.Random(7)
    rows = [["name", "country", "postal_code", "employees", "valid_from", "valid_to", "assign"]]
    for n in range(count):
        low = chance.randrange(99_000)
        cell = f"{low:05}..{low + chance.randrange(900):05}, not {low + 5:05}"
        size = chance.randrange(5_000)
        since = f"2026-{1 + n % 12:02}-{1 + n % 28:02}"
        rows.append([f"R{n}", "DE, AT, CH", cell, f"{size}..{size + 500}", since, "", PEOPLE[n % 3]])
    return rows


def mixed(count: int) -> Rows:
    """Territories as people write them: countries, a size, an industry."""
    chance = random.Random(11)
    countries = ["DE", "AT", "CH", "US", "FR", "GB", "IT", "ES", "JP", "BR"]
    rows = [["name", "country", "employees", "status", "postal_code", "assign"]]
    for n in range(count):
        size = chance.choice(["", "1000..", "200..999", "..199", f"{chance.randrange(3_000)}.."])
        prefix = f"{chance.randrange(1_000):03}*"
        rows.append(
            [f"R{n}", ", ".join(chance.sample(countries, 2)), size, chance.choice(["", "Open"]), prefix, PEOPLE[n % 3]]
        )
    return rows


def csv(rows: Rows) -> bytes:
    return "\n".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows).encode()


def xlsx(rows: Rows) -> bytes:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Territories")
    for row in rows:
        sheet.append([cell or None for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def measured(
    what: str, data: bytes, leads: list[dict[str, Any]], name: str = "table.csv", seconds: float | None = 1
) -> tuple[list[Line], float]:
    """Compile time (promised in ``seconds``), memory of the compiled policy, and the time of one lead in the ladder."""
    files = policy_files(engagement=ladder(f"rung: Table\nlookup: {name}", "otherwise: hold no row")) | {name: data}
    compile_policy(policy_files())
    gc.collect()
    gc.disable()  # as `policy check` and the daemon do
    took = _fastest(lambda: compile_policy(files), 3)
    gc.enable()
    gc.collect()
    tracemalloc.start()
    policy = compile_policy(files)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    given = [facts(lead) for lead in leads]
    each = _fastest(lambda: [policy.walk(one, lambda _: None, NOW) for one in given], 5) / len(given)
    return [
        Line(f"{what}: compile", took, "s", seconds, at_least=False),
        Line(f"{what}: memory of the compiled policy", held / 1e6, "MB", 60 if seconds else None, at_least=False),
        Line(f"{what}: a lead", each * 1e6, "µs"),
    ], each


def _fastest(run: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best


def run(folder: Path) -> list[Line]:
    """All tables, and how much more a lead costs in the large ones than in one of 50 rows."""
    chance = random.Random(3)
    firms = [{"company": f"company {chance.randrange(25_000)} gmbh", "country": "DE"} for _ in range(2_000)]
    places = [
        {"country": chance.choice(["DE", "US", "AT"]), "postal_code": f"{chance.randrange(45_000):05}",
         "employees": chance.randrange(5_000), "status": "Open"}
        for _ in range(2_000)
    ]  # fmt: skip
    lines: list[Line] = []
    _, small = measured("50 rows", csv(mixed(50)), places)
    lines.append(Line("50 territories: a lead", small * 1e6, "µs"))
    for what, data, leads, name, seconds in (
        ("5,000 territories", csv(mixed(5_000)), places, "table.csv", 1),
        ("20,000 named accounts", csv(accounts(20_000)), firms, "table.csv", 1),
        ("40,000 postal codes", csv(codes(40_000)), places, "table.csv", 1),
        ("40,000 ranges of codes, with days", csv(ranges(40_000)), places, "table.csv", None),
        ("40,000 postal codes in XLSX", xlsx(codes(40_000)), places, "table.xlsx", 2.5),
    ):
        found, each = measured(what, data, leads, name, seconds)
        lines += [*found, Line(f"{what}: a lead, to one in 50 rows", each / small, "times")]
    return lines
