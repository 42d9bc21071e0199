"""One fair rotation: each member's share, to within one lead, at every moment.

Every lead adds to each member in turn the share of a lead that is theirs by weight: their *ideal*. What they are owed, ideal −
assigned, is their *claim*. Kept is not the ideal but a *virtual time* that grows by 1 / (sum of weights) a lead, and per member
the point at which the claim is 0: the claim is weight × (virtual time − that point). So a turn changes two numbers, however
many members there are, and members with other weights, or away for a while, are exact all the same.

Who is next: the quota method of R. Tijdeman, "The chairman assignment problem" (Discrete Mathematics 32, 1980). Only who has a
claim may get the lead, and of those the one who must have it soonest: whose claim would be a whole lead first. For a fixed
roster |assigned − ideal| stays below 1 at every prefix, whatever the weights.

An ideal grows only in turn: absence earns no claim, and nobody pays for it; a claim stays with its owner until they are back.
Those who stayed are then behind, or ahead, all together (``surplus``), and deadlines promise what the leads that come cannot
keep. While that lasts, or somebody is owed a whole lead, or there are but two, the lead goes to whoever is furthest behind. Who leaves
the pool for good is not waited for: their claim is let go at once (``settled``), so that those of the others add up to 0 again.

A cap takes out exactly the one just served, the worst that a leave can do. So who fills a cap is counted on until they are as far
behind as everybody is on average (``level``; with nobody away that is 0, their ideal has reached what they were assigned): their
ideal, too, gets no more than the cap. What can be promised, and why not more, is proved in the README of this folder.

Leads that only some may have (a language, a system) add to the ideals of these alone, and count among them as a turn does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, inf

from routing.core.distribution.entries import (
    CLAIMS,
    LEFT,
    STANDS,
    PoolEntry,
    Snapshot,
    Standing,
    State,
    mask_of,
    members_of,
)
from routing.core.distribution.turns import TOLERANCE, Group, Queues, best, levelled

# The queues of a pool cost as much to make as so many looks at everybody: leads for some only, which undo them, come and go.
_PATIENCE = 8

_KEEP = 256  # groups of members who can have leads of a sort

_NOBODY: Mapping[int, float] = {}


class Rotation:
    """The members of one pool, for one kind of lead. ``apply`` is the only way to change it: a rotation is the fold of its entries.

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
    def of(cls, kept: Snapshot) -> Rotation:
        """The rotation that was written down."""
        self = cls(kept.pool, kept.kind)
        self.seq, self.virtual, self._total = kept.seq, kept.virtual, kept.total
        self._surplus, self.value, self.closed = kept.surplus, kept.value, kept.closed
        for one in kept.members:
            n = self._add(one.person)
            self._mark[n], self.assigned[n] = one.mark, one.assigned
            self._put(n, one.weight, one.state)
            self.credits[n], self.load[n], self._value[n], self.why[n] = one.credits, one.load, one.value, one.why
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
        )

    def changed(self) -> list[int]:
        """Which members changed since this was last asked."""
        found = sorted(self._touched.union(*[group.numbers for group in self._shared]))
        self._touched.clear()
        self._shared.clear()
        return found

    # What happened.

    def apply(self, entry: PoolEntry) -> None:
        """Takes in the next entry. Raises ValueError when it is not the next."""
        if entry.seq != self.seq + 1:
            message = f"entry {entry.seq} of the pool {self.pool!r} does not follow entry {self.seq}"
            raise ValueError(message)
        self.seq = entry.seq
        what = entry.what
        if what == "assigned":
            among = entry.among
            group = (self._groups.get(among) or self.group(members_of(among))) if among else None
            self._give(self.number[entry.person], group, entry.value)
        elif what in STANDS:
            self._stand(entry.person, entry.weight, entry.why, entry.leads, full=what == "full")
        elif what in CLAIMS:
            bearers = members_of(entry.among) if entry.among else ()
            self._claim(self._member(entry.person), -entry.leads if what == "debit" else entry.leads, bearers)
        elif what == "settled":
            self._settle(self._member(entry.person))
        elif what == "load":
            n = self._member(entry.person)
            self.load[n] = entry.leads
            self._touched.add(n)
        elif what == "renamed":
            self._rename(entry.person, entry.why)
        else:
            self.closed = entry.why
        self._coming = None

    def _rename(self, old: str, new: str) -> None:
        """The member has another key. Whoever had that one (put there by a process that did not know yet) has the old one then."""
        self.stood = object()
        n, other = self._member(old), self.number.get(new)
        for at, person in ((n, new), (other, old)):
            if at is not None:
                self.people[at], self.number[person] = person, at
                self._touched.add(at)
        if other is None:
            del self.number[old]

    def _give(self, n: int, among: Group | None, value: float) -> None:
        if among is None:
            self.virtual, self._total, done = self._after()
            for one, claim in done.items():
                self._leave(one, claim)
            self.value += value / self._total
        else:
            mark, total = self._mark, among.total
            step = 1.0 / total
            for one in among.members:
                mark[one] -= step
            if value:
                for one in among.members:
                    self._value[one] -= value / total
            self._shared.add(among)
            self._queues, self._patience = None, _PATIENCE
        self._mark[n] += self._span[n]
        self._value[n] += value / self.weight[n]
        self.assigned[n] += 1
        self.load[n] += 1
        self._queue(n)
        self._touched.add(n)

    def _stand(self, person: str, weight: float, why: str, made_up: float, *, full: bool) -> None:
        n = self._member(person)
        before, claim, worth = self.state[n], self.claim(n), self.worth(n)
        if not why:
            state: State = "in"
            claim += made_up
        elif weight > 0 and before != "out" and (full or before == "full") and claim < self.level - TOLERANCE:
            state = "full"
        else:
            state = "out"
        self.why[n] = why
        self._mark[n] = claim if state == "out" else self.virtual - claim / weight
        self._value[n] = worth if state == "out" else self.value - worth / weight
        self._put(n, weight, state)
        self._summed = False
        if state == "in" and made_up:  # what nobody makes up for goes to all in turn by their shares
            self.virtual -= made_up / self.total
            self._summed = False

    def _claim(self, n: int, leads: float, among: Sequence[int]) -> None:
        """Gives a claim; as everybody's leads are turns, it is taken from all in turn by their shares, or from those of ``among``."""
        self.credits[n] += leads
        self._touched.add(n)
        if among == (n,):
            return
        self._move(n, leads)
        total = fsum([self.weight[one] for one in among])
        for one in among:
            self._move(one, -leads * self.weight[one] / total)
        if not among and self.total > 0:
            self.virtual -= leads / self.total
            self._summed = False

    def _settle(self, n: int) -> None:
        """Lets go of what is owed to, or by, somebody who left the pool: nobody could make up for it any more."""
        if self.state[n] != "out":
            self._leave(n, self.claim(n))
        self._mark[n] = self._value[n] = self.credits[n] = 0.0
        self._touched.add(n)
        members = [one for one, why in enumerate(self.why) if why != LEFT]
        claims, worths = levelled([self.claim(one) for one in members]), levelled([self.worth(one) for one in members])
        for one, leads, value in zip(members, claims, worths, strict=True):
            if leads or value:
                self._move(one, leads, value)

    def _move(self, n: int, leads: float, value: float = 0.0) -> None:
        """Adds to what member ``n`` is owed."""
        way = 1.0 if self.state[n] == "out" else -self._span[n]
        self._mark[n] += leads * way
        self._value[n] += value * way
        self._queue(n)
        self._touched.add(n)
        self._summed = False

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

    def _leave(self, n: int, claim: float) -> None:
        """Somebody who filled a cap is no further ahead than everybody is: from here on they are away as others are."""
        worth = self.worth(n)
        self._surplus -= claim
        self._mark[n], self._value[n] = claim, worth
        self._put(n, self.weight[n], "out")

    def _member(self, person: str) -> int:
        n = self.number.get(person)
        return self._add(person) if n is None else n

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

    # What is asked.

    def claim(self, n: int) -> float:
        """What member ``n`` is owed, in leads: ideal − assigned."""
        mark = self._mark[n]
        return mark if self.state[n] == "out" else self.weight[n] * (self.virtual - mark)

    def worth(self, n: int) -> float:
        """What member ``n`` is owed in value: that of the leads that were their share, less that of those they got."""
        mark = self._value[n]
        return mark if self.state[n] == "out" else self.weight[n] * (self.value - mark)

    def unsettled(self, n: int) -> bool:
        """Whether member ``n``, who left the pool, is still owed something, or owes it."""
        return max(abs(self.claim(n)), abs(self.worth(n))) > TOLERANCE

    def deviation(self) -> float:
        """The worst |assigned − ideal| of all members, in leads. Not of those who were taken out of the pool: nothing makes up for it."""
        virtual = self.virtual  # as ``claim``, of all of them
        claims = [
            mark if state == "out" else weight * (virtual - mark)
            for mark, state, weight, why in zip(self._mark, self.state, self.weight, self.why, strict=True)
            if why != LEFT
        ]
        return max(map(abs, claims), default=0.0)

    def deviation_after(self, n: int) -> float:
        """The worst |assigned − ideal| of those whom the turn just given to ``n`` took further from their share: ``n``, and whoever is
        owed most. As long as nobody comes or goes, the worst of these at every turn is that of ``deviation``, without asking all."""
        return max(abs(self.claim(n)), *[self.claim(one) for one in self._firsts()])

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

    def group(self, members: Sequence[int]) -> Group:
        """These members (in order), who must be in turn: to be asked for, as long as nobody stands otherwise (``stood``)."""
        mask = mask_of(tuple(members))
        if len(self._groups) >= _KEEP:
            self._groups.clear()
        group = self._groups[mask] = Group(members, self.weight, mask)
        return group

    def next(self, among: Group | None = None) -> int:
        """Who gets the next lead, of those it may be given to (None: of all in turn). Somebody must be in turn."""
        mark = self._mark
        if among is None:
            virtual, total, _ = self._after()
            return best(self._firsts(), mark, self._span, self.weight, virtual, total, self._level)
        total = among.total

        def level() -> bool:
            return len(among.members) > 2 and abs(among.owed(mark, self.virtual)) < TOLERANCE

        return best(among.firsts(mark), mark, self._span, self.weight, self.virtual + 1.0 / total, total, level)

    def _level(self) -> bool:
        return self.in_turn + len(self._full) > 2 and -TOLERANCE < self.surplus < TOLERANCE

    def _firsts(self) -> Sequence[int]:
        """Of each weight, who must have a lead soonest; all in turn where there are too many weights."""
        if self._queues is None:
            if self._patience:
                self._patience -= 1
                if self._all is None:
                    self._all = Group(self.present(), self.weight)
                return self._all.firsts(self._mark)
            self._queues = Queues(self.present(), self._mark, self._span, self.weight)
        firsts = self._queues.firsts(self.state)
        return self.present() if firsts is None else firsts
