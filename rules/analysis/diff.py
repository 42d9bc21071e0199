"""Two policies compared by what they mean: which parts changed, and records that now go elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from rules.analysis.elsewhere import Elsewhere, Moved
from rules.analysis.outline import tables
from rules.analysis.pairing import Pair, Part, moved, paired
from rules.analysis.parts import entry_key, others, pool_parts, rows, rungs, short, table_part
from rules.policy import Policy

MAX_EXAMPLES = 50

How = Literal["added", "removed", "changed", "renamed", "moved"]


class Change(Struct, frozen=True):
    """One part that is other than before. ``detail`` says how: ``members: Ana Diaz 1 → Ana Diaz 2``."""

    what: str
    name: str
    how: How
    detail: str = ""


class Difference(Struct, frozen=True):
    """What is other, and up to ``MAX_EXAMPLES`` records that show it."""

    changes: list[Change]
    moved: list[Moved]


def compare(old: Policy, new: Policy, now: datetime) -> Difference:
    """What changed from one policy to another. ``now`` (aware) is the time at which examples are decided."""
    return _Comparison(old, new).difference(now)


class _Comparison:
    """Collects the changes, and the keys of the parts whose change may send a record elsewhere."""

    def __init__(self, old: Policy, new: Policy) -> None:
        self._old, self._new = old, new
        self._changes: list[Change] = []
        self._touched: set[tuple[str, ...]] = set()
        self._conditions: set[str] = set()

        self._pools: dict[str, str] = {}  # new names by the old ones

    def difference(self, now: datetime) -> Difference:
        self._renamed_pools()
        for routes in dict.fromkeys((*self._old.ladders, *self._new.ladders)):
            self._ladder(routes)
        self._tables()
        pools = pool_parts(self._old, self._pools), pool_parts(self._new, {})
        self._compared("pool", *pools, renamed=True)
        for (what, renamed, before), (_, _, after) in zip(
            others(self._old, self._pools), others(self._new, {}), strict=True
        ):
            pairs = self._compared(what, before, after, renamed=renamed)
            if what == "condition":
                self._conditions |= {part.name for pair in pairs if _said(pair) for part in pair if part is not None}
        return Difference(self._changes, self._examples(now))

    def _renamed_pools(self) -> None:
        """First of all: what goes to a pool that only has another name does not go elsewhere."""
        self._pools = {
            old.name: new.name
            for old, new in paired(pool_parts(self._old, {}), pool_parts(self._new, {}), renamed=True)
            if old is not None and new is not None and old.name != new.name
        }

    def _ladder(self, routes: str) -> None:
        one, other = self._old.ladders.get(routes), self._new.ladders.get(routes)
        if one is None or other is None:
            self._changes.append(Change("ladder", routes, "removed" if other is None else "added"))
            return
        criteria = (
            [Part(f"{routes}: {when.text}", key=entry_key(routes)) for when in ladder.entry] for ladder in (one, other)
        )
        self._compared("entry criterion", *criteria, renamed=False)
        some = list(rungs(self._old, one, self._pools)), list(rungs(self._new, other, {}))
        self._compared("rung", *some, renamed=True, ordered=True)

    def _tables(self) -> None:
        before, after = tables(self._old), tables(self._new)
        parts = ([table_part(one) for one in some.values()] for some in (before, after))
        for old, new in self._compared("table", *parts, renamed=False):
            if old is None or new is None:
                continue
            one, other = before[old.name], after[new.name]
            if _said((old, new)):
                self._touched.add(("table", new.name))
            some = rows(self._old, one, self._pools), rows(self._new, other, {})
            self._compared("row", *some, renamed=True, ordered=other.hit != "unique")

    def _compared(
        self, what: str, before: Sequence[Part], after: Sequence[Part], *, renamed: bool, ordered: bool = False
    ) -> list[Pair]:
        pairs = paired(before, after, renamed)
        for pair in pairs:
            if (change := _change(what, pair)) is not None:
                self._changes.append(change)
                self._touched |= {part.key for part in pair if part is not None and part.key}
        if ordered:
            for part in moved(before, pairs):
                self._changes.append(Change(what, part.name, "moved", _place(part, after)))
                self._touched |= {pair[0].key for pair in pairs if pair[1] is part and pair[0] is not None} | {part.key}
        return pairs

    def _examples(self, now: datetime) -> list[Moved]:
        found: dict[tuple[str, str, str], Moved] = {}
        for routes in self._new.ladders:
            if routes not in self._old.ladders or not (self._touched or self._conditions):
                continue
            for one in Elsewhere(self._old, self._new, routes, now, self._pools).records(
                self._touched, self._conditions
            ):
                found.setdefault((one.record, one.before, one.after), one)
                if len(found) >= MAX_EXAMPLES:
                    return list(found.values())
        return list(found.values())


def _change(what: str, pair: Pair) -> Change | None:
    old, new = pair
    if old is None or new is None:
        part = old or new
        assert part is not None
        said = "; ".join(_details({}, part.said))
        return Change(what, part.name, "removed" if new is None else "added", said if new is not None else "")
    details = list(_details(old.said, new.said))
    if old.name != new.name:
        if not details and _last(old.name) == _last(new.name):
            return None  # only the rung around it has another name
        return Change(what, new.name, "changed" if details else "renamed", "; ".join([f"was '{old.name}'", *details]))
    return Change(what, new.name, "changed", "; ".join(details)) if details else None


def _details(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for about in dict.fromkeys((*old, *new)):
        before, after = old.get(about, ""), new.get(about, "")
        if before != after:
            yield f"{about}: {short(after)}" if not old else f"{about}: {_clipped(before, after)}"


def _clipped(before: str, after: str) -> str:
    """Both values; of long lists only what is not in both."""
    if len(before) <= 60 and len(after) <= 60:
        return f"{before or 'nothing'} → {after or 'nothing'}"
    mark = " or " if " or " in before + after else ", "
    one, other = before.split(mark), after.split(mark)
    gone, come = [part for part in one if part not in other], [part for part in other if part not in one]
    if not gone and not come:
        return "in another order"
    return ", ".join(
        [
            *([f"without {short(mark.join(gone))}"] if gone else []),
            *([f"with {short(mark.join(come))}"] if come else []),
        ]
    )


def _said(pair: Pair) -> bool:
    """Whether a pair differs in more than its name."""
    old, new = pair
    return old is None or new is None or old.said != new.said


def _last(name: str) -> str:
    return name.rpartition(" › ")[2]


def _place(part: Part, after: Sequence[Part]) -> str:
    at = next(number for number, one in enumerate(after) if one is part)
    return f"now after '{_last(after[at - 1].name)}'" if at else "now the first"
