"""What the benchmarks of deciding work on: inbound leads, the people who get them, and the accounts of some of their firms.

Real firms, where the file of them is there: made-up names are made of few parts, so that each is like a dozen others.
"""

from __future__ import annotations

import csv
from datetime import timedelta
from functools import cache
from typing import Any

from connectors.sandbox.names import persons, slug, words
from connectors.sandbox.people import read_people
from connectors.sandbox.world import World
from routing.core.model import ChangeEvent, derived_id
from routing.ledger.engine import Ledger
from routing.ledger.schema import metadata
from routing.ledger.sql import take_stock
from routing.runtime.backfill import store_snapshots
from routing.runtime.clock import utcnow
from tests.bench.matching_fetch import more as more_companies
from tests.processes import POLICY

FIRMS = 5_000  # of two in five there is an account
COUNTRIES = ("US", "DE", "FR", "GB", "CA", "NL")


@cache
def firms() -> list[tuple[str, str]]:
    """FIRMS names, no two alike, each with a domain."""
    listed = more_companies()
    if not listed.exists():
        return [(f"{name} Ltd", f"{slug(name)}.example") for name in map(_made_up, range(FIRMS))]
    with listed.open(encoding="utf-8-sig", newline="") as file:
        found = {row["name"]: row["website"].split("://")[-1].removeprefix("www.") for row in csv.DictReader(file)}
    named = [(name, domain) for name, domain in found.items() if domain]
    return [named[n * len(named) // FIRMS] for n in range(FIRMS)]


def _made_up(n: int) -> str:
    parts = words()
    adjectives, nouns = len(parts.adjectives), len(parts.nouns)
    rest, first = divmod(n, adjectives)
    kind, second = divmod(rest, nouns)
    return f"{parts.adjectives[first]}{parts.nouns[second][0]} {('Group', 'Labs')[kind]}"


@cache
def names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First and last names, each once. Who works at one firm never has both in common with a colleague."""
    spoken = persons().values()
    return tuple(dict.fromkeys(n for one in spoken for n in one.first)), tuple(
        dict.fromkeys(n for one in spoken for n in one.last)
    )


def leads(count: int, start: int = 0) -> list[ChangeEvent]:
    """Leads as Salesforce tells them: nine creations in ten, and a change of one that came a while ago."""
    now = utcnow()
    given, family = names()
    found = []
    for n in range(start, start + count):
        again = n % 10 == 9
        who = max(0, n - 12_007) if again else n
        company, domain = firms()[who % FIRMS]
        values: dict[str, Any] = {
            "first_name": given[who % len(given)],
            "last_name": family[who // len(given) % len(family)],
            "email": f"contact.{who}@{domain}",
            "company": company,
            "country": COUNTRIES[who % len(COUNTRIES)],
            "employees": who % 2000,
            "phone": f"+1 415 {200 + who // 10_000:03} {who % 10_000:04}",
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
            name=name,
            website=f"https://www.{domain}",
            country="DE",
            employees=n,
            type="Prospect",
        )
        for n, (name, domain) in enumerate(firms())
        if n % 5 < 2
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
