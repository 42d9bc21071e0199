"""The members of a pool: who they are, their weights, caps, ramps and skills."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from rules.pools.model import POOL, Cap, Member, Method, Ramp
from rules.pools.people import MAX_AMOUNT, People, number
from rules.pools.texts import TextError, cap_of, ramp_of
from rules.source import Report, nearest
from rules.values import fold
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_text, known_keys

MEMBER_KEYS = ("weight", "caps", "ramp", "skills")
MAX_WEIGHT = 1_000_000
_COMMA = re.compile(r",(?!\d{3}\b)")


class MemberReader:
    """Reads the members of pools; ``pools`` are the names of all, by their folded form."""

    def __init__(self, people: People, pools: Mapping[str, str], report: Report) -> None:
        self._people, self._pools, self._report = people, pools, report

    def read(self, block: Block, what: str, method: Method, kinds: Sequence[str]) -> tuple[Member, ...]:
        """The members of the pool ``block``, in the order written."""
        node = block.get("members")
        found: dict[str, Member] = {}
        column = self._column(block.get("weights"), what, method)
        ramp = self._ramp(block.get("ramp"), f"the ramp of {what}")
        for name, told in self._pairs(node, method):
            member = self._who(name)
            if member is None:
                continue
            if member.key in found:
                who = self._people.by_key.get(member.who)
                self._report.error(name.place, f"{who.name if who else member.who} is in this pool twice")
                continue
            member = self._told(member, told, name, method, kinds)
            if column:
                member = self._by_column(member, column, told, name)
            person = self._people.by_key.get(member.who)
            if ramp is not None and member.ramp is None and person is not None and person.ramp is None:
                member = replace(member, ramp=ramp)
            found[member.key] = member
        return _scaled(found.values())

    def _pairs(self, node: Node | None, method: Method) -> list[tuple[Scalar, Node | None]]:
        if isinstance(node, Block):
            pairs = list(node)
            if method == "round robin" and any(isinstance(told, Scalar) for _, told in pairs):
                message = f"members have weights, but the method is {method}"
                self._report.error(node.place, message, "write 'method: weighted'")
            return [(key, told) for key, told in pairs]
        if isinstance(node, Items):
            texts = (as_text(item, self._report, "a member") for item in node.items)
            return [(text, None) for text in texts if text is not None]
        if node is not None and (not isinstance(node, Scalar) or node.text):
            self._report.error(node.place, "members are a list of names, or 'name: weight' lines")
        return []

    def _who(self, name: Scalar) -> Member | None:
        text = " ".join(name.text.split())
        if text.lower().startswith(POOL):
            wanted = text[len(POOL) :]
            pool = self._pools.get(fold(wanted))
            if pool is not None:
                return Member(pool, is_pool=True)
            self._report.error(name.place, f"there is no pool '{wanted}'", nearest(wanted, self._pools.values()))
            return None
        person = self._people.find(text)
        if person is not None:
            return Member(person.key)
        message, hint = self._people.unknown(text)
        if fold(text) in self._pools:
            message, hint = f"'{text}' is a pool", f"write '{POOL}{self._pools[fold(text)]}'"
        self._report.error(name.place, message, hint)
        return None

    def _told(self, member: Member, node: Node | None, name: Scalar, method: Method, kinds: Sequence[str]) -> Member:
        """With what stands behind the name: a weight, or several settings."""
        if node is None:
            return member
        if isinstance(node, Scalar):
            return replace(member, weight=self._weight(node, name.text))
        block = as_block(node, self._report, name.text)
        if block is None:
            return member
        known_keys(block, MEMBER_KEYS, self._report, name.text)
        weight = block.get("weight")
        if weight is not None and method == "round robin":
            self._report.error(
                weight.place, "members have weights, but the method is round robin", "write 'method: weighted'"
            )
        if member.is_pool and (own := next((block.get(one) for one in ("ramp", "skills") if block.get(one)), None)):
            self._report.error(own.place, f"'{name.text}' is a pool: only people have ramps and skills of their own")
        caps = read_caps(block.get("caps"), f"the caps of {name.text}", kinds, self._report)
        if member.is_pool and any(cap.per == "open" for cap in caps):
            hint = f"write 'caps: … open' for all its members in the pool '{member.who}'"
            self._report.error(name.place, f"'{name.text}' is a pool: only people have a cap on what is open", hint)
        return replace(
            member,
            weight=self._weight(weight, name.text) if weight is not None else 1.0,
            caps=caps,
            ramp=self._ramp(block.get("ramp"), f"the ramp of {name.text}"),
            skills=self._skills(block.get("skills"), name.text),
        )

    def _weight(self, node: Node, who: str) -> float:
        text = as_text(node, self._report, f"the weight of {who}")
        if text is None:
            return 0.0
        weight = number(text.text)
        if weight is None or not 0 <= weight <= MAX_WEIGHT:
            self._report.error(text.place, f"a weight is a number from 0 to {MAX_WEIGHT:,}, not '{text.text}'")
            return 0.0
        return weight

    def _column(self, node: Node | None, what: str, method: Method) -> str:
        """``weights: quota``: the column of people.csv that holds them."""
        text = as_text(node, self._report, f"the weights of {what}")
        if text is None:
            return ""
        if method == "round robin":
            self._report.error(
                text.place, "members have weights, but the method is round robin", "write 'method: weighted'"
            )
            return ""
        column = "_".join(fold(text.text).split())
        numbers = ("capacity", "quota", *(name for name, kind in self._people.columns.items() if kind == "number"))
        if column not in numbers:
            hint = nearest(column, numbers) or "write 'weights: capacity', or 'weights: quota'"
            self._report.error(text.place, f"people.csv has no column of numbers '{text.text}'", hint)
            return ""
        return column

    def _by_column(self, member: Member, column: str, told: Node | None, name: Scalar) -> Member:
        if isinstance(told, Scalar) or (isinstance(told, Block) and told.get("weight") is not None):
            return member  # its own weight counts
        person = self._people.by_key.get(member.who)
        if person is None and not member.is_pool:
            return member  # their row has a mistake, which is told there
        value = person.columns.get(column) if person is not None else None
        if value is None:
            message = f"{name.text} has no {column}: gets no leads here"
            self._report.warn(name.place, message, f"write '{name.text}: 1' for a weight of its own")
        if value is not None and not 0 <= value <= MAX_AMOUNT:
            self._report.error(name.place, f"the {column} of {name.text} is no weight: that is a number of 0 or more")
            value = None
        return replace(member, weight=float(value or 0.0))

    def _ramp(self, node: Node | None, what: str) -> Ramp | None:
        text = as_text(node, self._report, what)
        if text is None:
            return None
        try:
            return ramp_of(text.text)
        except TextError as error:
            self._report.error(text.place, error.message, error.hint)
            return None

    def _skills(self, node: Node | None, who: str) -> dict[str, frozenset[str]] | None:
        """``{languages: [de, fr]}``: in place of what people.csv says."""
        block = as_block(node, self._report, f"the skills of {who}")
        if block is None:
            return None
        found: dict[str, frozenset[str]] = {}
        for key, value in block:
            items = value.items if isinstance(value, Items) else [value]
            texts = (as_text(item, self._report, f"a skill of {who}") for item in items)
            parts = (part for text in texts if text is not None for part in text.text.split(","))
            found["_".join(fold(key.text).split())] = frozenset(fold(part) for part in parts if part.strip())
        return found


def _scaled(members: Iterable[Member]) -> tuple[Member, ...]:
    """Of quotas in money weights would be too large to be exact: all of them in thousands, or in millions, are the same shares."""
    found = tuple(members)
    unit = 1.0
    while max((member.weight for member in found), default=0.0) / unit > MAX_WEIGHT:
        unit *= 1_000
    return found if unit == 1 else tuple([replace(member, weight=member.weight / unit) for member in found])


def read_caps(node: Node | None, what: str, kinds: Sequence[str], report: Report) -> tuple[Cap, ...]:
    """``10 a day``, or a list of such; ``kinds`` are the kinds of lead that a cap may be of."""
    found: list[Cap] = []
    for item in node.items if isinstance(node, Items) else [node]:
        text = as_text(item, report, what)
        for part in _parts(text.text) if text is not None else ():
            assert text is not None
            try:
                cap = cap_of(part)
            except TextError as error:
                report.error(text.place, error.message, error.hint)
                continue
            kind = next((one for one in kinds if fold(one) == fold(cap.kind)), None)
            if cap.kind and kind is None:
                hint = nearest(cap.kind, kinds) or "name it under 'kinds' of the pool"
                report.error(text.place, f"the pool has no kind of lead '{cap.kind}'", hint)
                continue
            cap = replace(cap, kind=kind or "")
            if any((one.per, one.rolling, one.kind) == (cap.per, cap.rolling, cap.kind) for one in found):
                report.error(text.place, f"{what}: there are two caps for the same time")
            elif not cap.leads:
                report.warn(text.place, f"{what}: a cap of 0 lets no lead in")
            found.append(cap)
    return tuple(found)


def _parts(text: str) -> list[str]:
    """Caps with commas between, ``1,000`` being one number."""
    return [part for part in _COMMA.split(text) if part.strip()]
