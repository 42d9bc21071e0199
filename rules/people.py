"""``people.csv``, the roster, and ``pools.yaml``, who shares what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import date

from rules.model import Method, Person, Pool
from rules.source import Place, Report, nearest
from rules.tables.sheet import Row, Sheet
from rules.values import fold
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_text, known_keys

_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")
_ZONE = re.compile(r"UTC|[A-Za-z_]+(/[A-Za-z0-9_+\-]+){1,2}")
_YES = frozenset({"yes", "true", "1", "y", "x"})
_NO = frozenset({"no", "false", "0", "n"})
_ID = "_id"
POOL_KEYS = ("method", "members", "overflow")
METHODS: tuple[Method, ...] = ("round robin", "weighted")


class People:
    """The roster, found by e-mail or name without case.

    ``complete`` is False where ``people.csv`` could not be read, and ``refused`` holds the names and e-mails of rows with
    a mistake: whoever is named then is taken as known, so that one mistake is not reported in every file.
    """

    def __init__(self, people: Iterable[Person] = (), *, complete: bool = True) -> None:
        self.by_key: dict[str, Person] = {}
        self.complete = complete
        self.refused: set[str] = set()
        self._by_name: dict[str, list[Person]] = {}
        for person in people:
            self.add(person)

    def add(self, person: Person) -> None:
        self.by_key[person.key] = person
        self._by_name.setdefault(fold(person.name), []).append(person)

    def find(self, text: str) -> Person | None:
        """The person of that e-mail or name; None when there is none, or several of that name."""
        word = fold(text)
        found = self.by_key.get(word)
        if found is None:
            named = self._by_name.get(word, ())
            found = named[0] if len(named) == 1 else None
            if not named and (not self.complete or word in self.refused):
                return Person(word, text)
        return found

    def unknown(self, text: str) -> tuple[str, str]:
        """The sentence and the hint for a text that ``find`` did not find."""
        if len(named := self._by_name.get(fold(text), [])) > 1:
            return f"several people are called '{text}'", f"write the e-mail: {' or '.join(p.key for p in named)}"
        return f"'{text}' is not in people.csv", nearest(text, self.words())

    def words(self) -> Iterator[str]:
        for person in self.by_key.values():
            yield person.name
            yield person.key


def read_people(sheet: Sheet, systems: Iterable[str], report: Report) -> People:
    """The roster; rows with a mistake are reported and left out."""
    people = People()
    columns = {fold(name).replace(" ", "_"): index for index, name in enumerate(sheet.header.cells)}
    missing = [name for name in ("name", "email") if name not in columns]
    for name in missing:
        report.error(sheet.cell(sheet.header, 0), f"people.csv has no column '{name}'", nearest(name, columns))
    if missing:
        people.complete = False
        return people
    lines: dict[str, int] = {}
    people.refused.update(fold(cell) for row in sheet.refused for cell in row.cells if cell)
    for row in sheet.rows:
        person = _person(sheet, row, columns, set(systems), report)
        if person is None:
            people.refused.update(fold(row.cells[columns[name]]) for name in ("name", "email"))
            continue
        if person.key in lines:
            message = f"{person.key} is there twice; it is already on line {lines[person.key]}"
            report.error(sheet.cell(row, columns["email"]), message)
            continue
        lines[person.key] = row.line
        people.add(person)
    return people


def _person(sheet: Sheet, row: Row, columns: dict[str, int], systems: set[str], report: Report) -> Person | None:
    cells = {name: row.cells[index] for name, index in columns.items()}

    def place(name: str) -> Place:
        return sheet.cell(row, columns[name])

    sound = True
    if not cells["name"]:
        report.error(place("name"), "this person has no name")
        sound = False
    if not _EMAIL.fullmatch(cells["email"]):
        report.error(place("email"), f"'{cells['email']}' is no e-mail address" if cells["email"] else "no e-mail")
        sound = False
    active = fold(cells.get("active", "")) or "yes"
    if active not in _YES | _NO:
        report.error(place("active"), f"'active' is yes or no, not '{cells['active']}'")
        sound = False
    start = cells.get("start_date", "")
    if start and not _is_date(start):
        report.error(place("start_date"), f"'{start}' is no date: write it as 2026-11-22")
        sound = False
    zone = cells.get("time_zone", "")
    if zone and not _ZONE.fullmatch(zone):
        report.error(place("time_zone"), f"'{zone}' is no time zone: write it as Europe/Berlin")
        sound = False
    if not sound:
        return None
    ids = {system: cells[system + _ID] for system in systems if cells.get(system + _ID)}
    plain = {"name", "email", "active", "start_date", "role", "region", "time_zone"} | {s + _ID for s in systems}
    return Person(
        key=cells["email"].lower(),
        name=cells["name"],
        active=active in _YES,
        start_date=start,
        role=cells.get("role", ""),
        region=cells.get("region", ""),
        time_zone=zone,
        ids=dict(sorted(ids.items())),
        extra={name: value for name, value in cells.items() if name not in plain},
    )


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def read_pools(root: Node | None, people: People, report: Report) -> dict[str, Pool]:
    """The pools by name; mistakes are reported. Loops of overflow are errors, pools nobody can serve are warnings."""
    pools: dict[str, Pool] = {}
    places: dict[str, tuple[Scalar, Scalar | None]] = {}
    block = as_block(root, report, "pools.yaml")
    folded: dict[str, str] = {}
    for key, node in block or ():
        if (other := folded.setdefault(fold(key.text), key.text)) != key.text:
            report.error(key.place, f"the pool '{key.text}' differs from '{other}' only by case")
        body = as_block(node, report, f"the pool '{key.text}'")
        if body is None:
            continue
        overflow = as_text(body.get("overflow"), report, f"the overflow of '{key.text}'")
        pools[key.text] = _pool(key, body, overflow, people, report)
        places[key.text] = (key, overflow)
    for name, (key, overflow) in places.items():
        _warn_if_idle(pools[name], people, key, report)
        if overflow is not None and pools[name].overflow not in pools:
            message = f"there is no pool '{overflow.text}' to overflow to"
            report.error(overflow.place, message, nearest(overflow.text, pools))
        elif overflow is not None:
            _refuse_loop(name, pools, overflow, report)
    return pools


def _pool(key: Scalar, body: Block, overflow: Scalar | None, people: People, report: Report) -> Pool:
    what = f"the pool '{key.text}'"
    known_keys(body, POOL_KEYS, report, what)
    method: Method = "round robin"
    written = as_text(body.get("method"), report, f"the method of {what}")
    if written is not None:
        found = next((name for name in METHODS if name == fold(written.text)), None)
        if found is None:
            hint = nearest(written.text, METHODS) or f"one of: {', '.join(METHODS)}"
            report.error(written.place, f"'{written.text}' is no method of sharing", hint)
        method = found or method
    members = body.get("members")
    if members is None:
        report.error(key.place, f"{what} has no members", "add 'members:' with one '- Name' a line")
    return Pool(key.text, method, _members(members, method, people, report), overflow.text if overflow else "")


def _members(node: Node | None, method: Method, people: People, report: Report) -> dict[str, float]:
    members: dict[str, float] = {}
    pairs: list[tuple[Scalar, Node | None]] = []
    if isinstance(node, Block):
        pairs = list(node)
        if method != "weighted" and pairs:
            report.error(node.place, "members have weights, but the method is round robin", "write 'method: weighted'")
    elif isinstance(node, Items):
        texts = (as_text(item, report, "a member") for item in node.items)
        pairs = [(text, None) for text in texts if text is not None]
    elif node is not None and (not isinstance(node, Scalar) or node.text):
        report.error(node.place, "members are a list of names, or 'name: weight' lines")
    for name, weight in pairs:
        person = people.find(name.text)
        if person is None:
            report.error(name.place, *people.unknown(name.text))
        elif person.key in members:
            report.error(name.place, f"{person.name} is in this pool twice")
        else:
            members[person.key] = 1.0 if weight is None else _weight(weight, person, report)
    return members


def _weight(node: Node, person: Person, report: Report) -> float:
    text = as_text(node, report, f"the weight of {person.name}")
    if text is None:
        return 0.0
    try:
        weight = float(text.text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and 0 <= weight <= 1_000_000):
        report.error(text.place, f"a weight is a number from 0 to 1,000,000, not '{text.text}'")
        return 0.0
    return weight


def _warn_if_idle(pool: Pool, people: People, key: Scalar, report: Report) -> None:
    known = (people.by_key.get(member) for member, weight in pool.members.items() if weight > 0)
    if not any(person is None or person.active for person in known):
        why = "has no members" if not pool.members else "has no active member with a weight above 0"
        then = f"its leads go to '{pool.overflow}'" if pool.overflow else "its leads will be on hold"
        report.warn(key.place, f"the pool '{pool.name}' {why}: {then}")


def _refuse_loop(name: str, pools: dict[str, Pool], overflow: Scalar, report: Report) -> None:
    chain = [name]
    while (following := pools[chain[-1]].overflow) in pools:
        chain.append(following)
        if following == name:
            report.error(overflow.place, f"overflow runs in a circle: {' → '.join(chain)}")
            return
        if following in chain[:-1]:
            return  # the circle is reported at the pools that are in it
