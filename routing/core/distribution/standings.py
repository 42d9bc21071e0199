"""How the members of a rotation stand: what everybody was given and is owed, kept so that a turn changes two numbers.

Every lead adds to each member in turn the share of a lead that is theirs by weight: their *ideal*. What they are owed, ideal −
assigned, is their *claim*. Kept is not the ideal but a *virtual time* that grows by 1 / (sum of weights) a lead, and per member
the point at which the claim is 0: the claim is weight × (virtual time − that point). So a turn changes two numbers, however
many members there are, and members with other weights, or away for a while, are exact all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, inf
from typing import Self

from routing.core.distribution.entries import LEFT, Snapshot, Standing, State, mask_of
from routing.core.distribution.turns import TOLERANCE, Group, Queues

_NOBODY: Mapping[int, float] = {}


class Standings:
    """The members of one pool, for one kind of lead, as they stand; ``Rotation`` changes it.

    Lists are by member number, the order in which members came; ties go by it.
    """

    def __init__(self, pool: str, kind: str = "") -> None:
        self.pool, self.kind, self.seq, self.closed = pool, kind, 0, ""
        self.virtual = self.value = self._total = self._surplus = 0.0
        self._summed = True  # whether these two are those of the members as they are
        self.people: list[str] = []
        self.number: dict[str, int] = {}
        self.weight: list[float] = []
        self.state: list[State] = []
        self.assigned: list[int] = []
        self.credits: list[float] = []
        self.load: list[float] = []
        self.why: list[str] = []
        self._granted: dict[int, float] = {}  # what of the claim was credited by hand; of the few where anything was
        self._full: set[int] = set()
        self.in_turn = 0  # how many are
        self._touched: set[int] = set()  # members that changed since that was last asked for (``changed``) …
        self._shared: set[Group] = set()  # … and those who had a share of a lead that not all could have
        self._mark: list[float] = []
        self._value: list[float] = []  # as ``_mark``, for the value of leads
        self._span: list[float] = []  # 1 / weight: how far a turn moves the mark
        self._queues: Queues | None = None  # of all in turn; None when they are to be made anew
        self._patience = 0
        self.stood = object()  # another one each time anybody stands otherwise
        self._groups: dict[str, Group] = {}  # until then, by mask
        self._present: tuple[int, ...] | None = None  # who is in turn
        self._all: Group | None = None  # the same
        self._coming: tuple[float, float, Mapping[int, float]] | None = (
            None  # what ``_after`` found, until something happens
        )

    @classmethod
    def of(cls, kept: Snapshot) -> Self:
        """The rotation that was written down."""
        self = cls(kept.pool, kept.kind)
        self.seq, self.virtual, self._total = kept.seq, kept.virtual, kept.total
        self._surplus, self.value, self.closed = kept.surplus, kept.value, kept.closed
        for one in kept.members:
            n = self._add(one.person)
            self._mark[n], self.assigned[n] = one.mark, one.assigned
            self._put(n, one.weight, one.state)
            self.credits[n], self.load[n], self._value[n], self.why[n] = one.credits, one.load, one.value, one.why
            self._grant(n, one.granted)
        self._touched.clear()
        return self

    def snapshot(self) -> Snapshot:
        """All of it, to be written down."""
        members = tuple([self.standing(n) for n in range(len(self.people))])
        return Snapshot(
            self.pool,
            self.kind,
            self.seq,
            self.virtual,
            self.total,
            self.surplus,
            self.value,
            self.closed,
            members,
        )

    def standing(self, n: int) -> Standing:
        """One member, to be written down."""
        return Standing(
            self.people[n],
            self.weight[n],
            self.state[n],
            self._mark[n],
            self.assigned[n],
            self.credits[n],
            self.load[n],
            self._value[n],
            self.why[n],
            self._granted.get(n, 0.0),
        )

    def changed(self) -> list[int]:
        """Which members changed since this was last asked."""
        found = sorted(self._touched.union(*[group.numbers for group in self._shared]))
        self._touched.clear()
        self._shared.clear()
        return found

    def claim(self, n: int) -> float:
        """What member ``n`` is owed, in leads: ideal − assigned."""
        mark = self._mark[n]
        return mark if self.state[n] == "out" else self.weight[n] * (self.virtual - mark)

    def worth(self, n: int) -> float:
        """What member ``n`` is owed in value: that of the leads that were their share, less that of those they got."""
        mark = self._value[n]
        return mark if self.state[n] == "out" else self.weight[n] * (self.value - mark)

    def granted(self, n: int) -> float:
        """What of the claim of member ``n`` was credited by hand and is not made up for yet; below 0 what was debited, or pays for the
        credits of others."""
        granted = self._granted.get(n)
        if granted is None:
            return 0.0
        claim = self.claim(n)
        return min(granted, max(claim, 0.0)) if granted > 0 else max(granted, min(claim, 0.0))

    def unsettled(self, n: int) -> bool:
        """Whether member ``n``, who left the pool, is still owed something, or owes it, or has credits."""
        return max(abs(self.claim(n)), abs(self.worth(n)), abs(self.credits[n])) > TOLERANCE

    def deviation(self) -> float:
        """The worst |assigned − ideal| of all members, in leads, but for what was credited by hand: that is meant, and made up for turn by
        turn. Not of those who were taken out of the pool: nothing makes up for it."""
        if self._granted:
            apart = [abs(self.claim(n) - self.granted(n)) for n, why in enumerate(self.why) if why != LEFT]
            return max(apart, default=0.0)
        virtual = self.virtual  # as ``claim``, of all of them
        claims = [
            mark if state == "out" else weight * (virtual - mark)
            for mark, state, weight, why in zip(self._mark, self.state, self.weight, self.why, strict=True)
            if why != LEFT
        ]
        return max(map(abs, claims), default=0.0)

    def ideals(self, members: Sequence[int], among: Group | None, *, given: bool) -> list[float]:
        """The ideals of these members. ``given``: with the lead in them that is to be given next, among those (in order)."""
        virtual, done = self.virtual, _NOBODY
        if given and among is None:
            virtual, _, done = self._after()
        marks, weight, state, assigned, ideals = self._mark, self.weight, self.state, self.assigned, []
        for n in members:
            claim = done[n] if n in done else marks[n] if state[n] == "out" else weight[n] * (virtual - marks[n])
            ideals.append(assigned[n] + claim)
        if given and among is not None:
            more = 1.0 / among.total
            for at, n in enumerate(members):
                if n in among.numbers:
                    ideals[at] += weight[n] * more
        return ideals

    @property
    def nobody(self) -> bool:
        """Whether nobody is in turn."""
        return self.in_turn == 0

    def bearers(self, n: int) -> str:
        """Out of whose turns a claim of member ``n`` comes, as ``PoolEntry.among`` says it: out of those of all in turn; of all members
        where nobody else is in turn; of nobody's (their own) where nobody else is a member, or they are none any more."""
        left = self.why[n] == LEFT
        if not left and any(state != "out" for one, state in enumerate(self.state) if one != n):
            return ""
        members = [one for one, why in enumerate(self.why) if why != LEFT and self.weight[one] > 0]
        return mask_of((n,) if left or not members or members == [n] else tuple(members))

    def shares(self, n: int) -> bool:
        """Whether a claim of member ``n`` comes out of anybody's turns but their own."""
        return self.bearers(n) != mask_of((n,))

    def is_in(self, person: str) -> bool:
        """Whether that person is in turn."""
        n = self.number.get(person)
        return n is not None and self.state[n] == "in"

    def present(self) -> Sequence[int]:
        """Who is in turn, by number."""
        if self._present is None:
            self._present = tuple([n for n, state in enumerate(self.state) if state == "in"])
        return self._present

    def claims(self, among: Sequence[int]) -> list[float]:
        """What these members, who are in turn, are owed in leads."""
        return [(self.virtual - self._mark[n]) * self.weight[n] for n in among]

    # What it is worked out from.

    @property
    def total(self) -> float:
        """The sum of weights of all who are counted on."""
        if not self._summed:
            self._sum()
        return self._total

    @property
    def surplus(self) -> float:
        """What these are owed all together, in leads: what those who are away were ahead by."""
        if not self._summed:
            self._sum()
        return self._surplus

    @property
    def level(self) -> float:
        """What each of these is owed, when nobody is owed more than others."""
        counted = self.in_turn + len(self._full)
        return self.surplus / counted if counted else 0.0

    def _sum(self) -> None:
        counted = [n for n, state in enumerate(self.state) if state != "out"]
        self._total = fsum([self.weight[n] for n in counted])
        self._surplus = fsum([self.claim(n) for n in counted])
        self._summed = True

    def _after(self) -> tuple[float, float, Mapping[int, float]]:
        """Virtual time and sum of weights once the next lead is in the ideals; and who is counted on no longer then, with their
        claims. Asked for several times in one turn."""
        if self._coming is None:
            virtual, total = self.virtual, self.total
            self._coming = self._released(virtual, total) if self._full else (virtual + 1.0 / total, total, _NOBODY)
        return self._coming

    def _released(self, virtual: float, total: float) -> tuple[float, float, Mapping[int, float]]:
        lead, level = 1.0, self.level
        done: dict[int, float] = {}
        for until, n in sorted([(self._mark[n] + level * self._span[n], n) for n in self._full]):
            if virtual + lead / total <= until:
                break
            lead -= max(until - virtual, 0.0) * total
            virtual = max(until, virtual)
            total -= self.weight[n]
            done[n] = self.weight[n] * (virtual - self._mark[n])
        return virtual + lead / total, total, done

    def _add(self, person: str) -> int:
        self.stood = object()
        n = self.number[person] = len(self.people)
        self.people.append(person)
        self.weight.append(0.0)
        self.state.append("out")
        self.assigned.append(0)
        for numbers in (self.credits, self.load, self._mark, self._value):
            numbers.append(0.0)
        self._span.append(inf)
        self.why.append("")
        return n

    def _put(self, n: int, weight: float, state: State) -> None:
        self.in_turn += (state == "in") - (self.state[n] == "in")
        self.weight[n], self.state[n] = weight, state
        self.stood, self._all, self._present = object(), None, None
        self._groups.clear()
        self._span[n] = 1.0 / weight if weight else inf
        if state == "full":
            self._full.add(n)
        else:
            self._full.discard(n)
        self._queue(n)
        self._touched.add(n)

    def _queue(self, n: int) -> None:
        if self._queues is not None and self.state[n] == "in" and not self._queues.put(n):
            self._queues = None

    def _grant(self, n: int, granted: float) -> None:
        if abs(granted) > TOLERANCE:
            self._granted[n] = granted
        else:
            self._granted.pop(n, None)
