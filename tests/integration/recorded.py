"""A recorded history: what a daemon decided on a stage, to be decided again by every later version.

``python -m tests.integration.recorded`` records it anew (``data/history.jsonl``), after a change that is meant to change decisions.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import LargeBinary

from routing.core.words import LIST_VERSIONS
from routing.ledger.engine import Ledger
from routing.ledger.schema import decision, journal, policy, pool_entry, pool_snapshot, roster

HISTORY = Path(__file__).parent / "data" / "history.jsonl"
TABLES = (policy, roster, journal, pool_entry, pool_snapshot, decision)


def export(ledger: Ledger, file: Path) -> int:
    """Writes what a replay needs as JSON lines, the versions of the lists first. Returns how many decisions."""
    lines: list[dict[str, Any]] = [{"lists": LIST_VERSIONS}]
    with ledger.read() as conn:
        for table in TABLES:
            of_a_decision = (
                table.c.seq.in_(decision.select().with_only_columns(decision.c.seq)) if table is journal else None
            )
            rows = table.select() if of_a_decision is None else table.select().where(of_a_decision)
            found = conn.execute(rows.order_by(*table.primary_key)).mappings()
            lines += [{"table": table.name, "row": {n: _text(v) for n, v in row.items()}} for row in found]
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return sum(line.get("table") == "decision" for line in lines)


def load(ledger: Ledger, file: Path = HISTORY) -> dict[str, str]:
    """Fills an empty ledger with a recorded history. Returns the versions of the lists it was made with."""
    first, *lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    by_name = {table.name: table for table in TABLES}
    with ledger.write() as conn:
        for line in lines:
            table = by_name[line["table"]]
            binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
            row = {n: base64.b64decode(v) if n in binary and v is not None else v for n, v in line["row"].items()}
            conn.execute(table.insert(), [row])
    versions: dict[str, str] = first["lists"]
    return versions


def _text(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def record() -> None:
    """Leads of every kind, a person who leaves, a policy that changes half-way, a lead that waits."""
    from tests.integration.stage import stage

    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), accounts=40) as world:
        world.flow(12)
        world.lead(Country="CU")
        world.contact()
        world.settle()
        world.activate("jonas.keller@example.com", False)
        world.settle()
        world.publish("engagement.yaml", "assign: pool Marketing desk", "assign: pool Inbound")
        world.contact()
        world.lead()
        world.lead()
        world.settle()
        made = export(world.daemon.ledger, HISTORY)
    print(f"{made} decisions are recorded in {HISTORY}")


if __name__ == "__main__":
    record()
