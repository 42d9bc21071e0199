"""What the benchmarks of deciding work on: inbound leads, the people who get them, and the accounts of some of their firms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connectors.sandbox.names import slug, words
from connectors.sandbox.people import read_people
from connectors.sandbox.world import World
from routing.core.model import ChangeEvent, derived_id
from routing.ledger.engine import Ledger
from routing.ledger.schema import metadata
from routing.ledger.sql import take_stock
from routing.runtime.backfill import store_snapshots
from routing.runtime.clock import utcnow
from tests.processes import POLICY

FIRMS, KNOWN = 5_000, 2_000
COUNTRIES = ("US", "DE", "FR", "GB", "CA", "NL")


def firm(n: int) -> str:
    """The n-th name; no two are alike, as with real firms."""
    parts = words()
    adjectives, nouns = len(parts.adjectives), len(parts.nouns)
    rest, first = divmod(n, adjectives)
    kind, second = divmod(rest, nouns)
    return f"{parts.adjectives[first]}{parts.nouns[second][0]} {('Group', 'Labs')[kind]}"


def leads(count: int, start: int = 0) -> list[ChangeEvent]:
    """Leads as Salesforce tells them: nine creations in ten, and a change of one that came a while ago."""
    now = utcnow()
    found = []
    for n in range(start, start + count):
        again = n % 10 == 9
        who = max(0, n - 12_007) if again else n
        values: dict[str, Any] = {
            "first_name": "Ana",
            "last_name": f"Rossi {who}",
            "email": f"ana.{who}@{slug(firm(who % FIRMS))}.example",
            "company": f"{firm(who % FIRMS)} Ltd",
            "country": COUNTRIES[who % len(COUNTRIES)],
            "employees": who % 2000,
            "phone": f"+1 415 555 {who % 10000:04}",
            "title": "VP Sales",
            "lead_source": "Web",
        }
        if again:
            values = {"title": "CEO"}
        event = ChangeEvent(
            event_id=derived_id("bench", str(n)),
            system="salesforce",
            entity="lead",
            record_id=f"00Q{who:012}AAA",
            kind="updated" if again else "created",
            changed=tuple(values),
            values=values,
            occurred_at=now + timedelta(milliseconds=n - start),
            observed_at=now,
        )
        found.append(event)
    return found


def fill(ledger: Ledger) -> None:
    """Puts the people and the accounts into the mirror, as the first fill does."""
    with ledger.write() as conn:
        store_snapshots(conn, [*_people(), *_accounts()])
        take_stock(conn, metadata.sorted_tables)


def _people() -> list[ChangeEvent]:
    world = World(1, read_people(POLICY / "people.csv"), 0)
    return [
        _snapshot("person", row["Id"], name=row["Name"], email=row["Email"], active=row["IsActive"])
        for row in world.users
    ]


def _accounts() -> list[ChangeEvent]:
    return [
        _snapshot(
            "account",
            f"001BENCH{n:010d}",
            name=f"{firm(n)} Ltd",
            website=f"https://www.{slug(firm(n))}.example",
            country="DE",
            employees=n,
            type="Prospect",
        )
        for n in range(KNOWN)
    ]


def _snapshot(entity: str, record_id: str, **values: Any) -> ChangeEvent:
    now = utcnow()
    return ChangeEvent(
        event_id="",
        system="salesforce",
        entity=entity,
        record_id=record_id,
        kind="snapshot",
        occurred_at=now,
        observed_at=now,
        changed=tuple(values),
        values=values,
    )
