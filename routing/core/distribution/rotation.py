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
keep; while that lasts the lead goes to whoever is furthest behind, which was measured to be better. No method keeps a bound there
against an adversary: whenever n equal members are left and the one just served leaves, the others are behind by 1/n more, which
adds up to 1/2 + 1/3 + … .

A cap is such an adversary: it takes out exactly the one just served. So who fills a cap is counted on until they are as far behind
as everybody is on average (``level``; with nobody away that is 0, their ideal has reached what they were assigned): their ideal,
too, gets no more than the cap. With caps alone the bound stays below 1; released at 0, they would leave the whole surplus to whoever
fills their cap last.

What is bounded: a fixed roster, and one with caps, below 1 at every prefix. With comings and goings at random nothing is, but what
was measured is near 1: tests/property/test_core_distribution.py prints and holds it.

Leads that only some may have (a language, a system) add to the ideals of these alone, and count among them as a turn does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from math import fsum, inf

from routing.core.distribution.entries import CLAIMS, STANDS, PoolEntry, Snapshot, Standing, State

# In leads. Sums of shares such as 1/3 miss whole numbers by far less than this, after any number of leads a pool will see.
TOLERANCE = 1e-6

# Members of equal weight take turns in a fixed order, so of each weight only the first need be compared; with more weights than
# this, all members are.
_MOST_WEIGHTS = 16

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
        self.touched: set[int] = set()  # members that changed since somebody last emptied this
        self._mark: list[float] = []
        self._value: list[float] = []  # as ``_mark``, for the value of leads
        self._span: list[float] = []  # 1 / weight: how far a turn moves the mark
        # By weight those in turn, who must have a lead soonest first; None when it is to be made anew.
        self._queues: dict[float, list[tuple[float, int]]] | None = None
        self._patience = 0
        # Of whom was asked last, and the sum of their weights; nobody once anybody stands otherwise.
        self._asked: tuple[Sequence[int], float] | None = None
        self._able: dict[tuple[int, ...], tuple[int, ...]] = {}

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
        self.touched.clear()
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

    # What happened.

    def apply(self, entry: PoolEntry, among: Sequence[int] | None = None) -> None:
        """Takes in the next entry. Raises ValueError when it is not the next. ``among`` is what its mask says, where that is known."""
        if entry.seq != self.seq + 1:
            message = f"entry {entry.seq} of the pool {self.pool!r} does not follow entry {self.seq}"
            raise ValueError(message)
        self.seq = entry.seq
        what = entry.what
        if what == "assigned":
            if entry.among and among is None:
                among = members_of(entry.among)
            self._give(self.number[entry.person], among, entry.value)
        elif what in STANDS:
            self._stand(entry.person, entry.weight, entry.why, entry.leads, full=what == "full")
        elif what in CLAIMS:
            self._claim(self._member(entry.person), -entry.leads if what == "debit" else entry.leads)
        elif what == "load":
            n = self._member(entry.person)
            self.load[n] = entry.leads
            self.touched.add(n)
        else:
            self.closed = entry.why

    def _give(self, n: int, among: Sequence[int] | None, value: float) -> None:
        if among is None:
            self.virtual, self._total, done = self._after(1.0)
            for one, claim in done.items():
                self._leave(one, claim)
            self.value += value / self._total
        else:
            total, mark = self._total_of(among), self._mark
            step = 1.0 / total
            for one in among:
                mark[one] -= step
            if value:
                for one in among:
                    self._value[one] -= value / total
            self.touched.update(among)
            self._queues, self._patience = None, 1
        self._mark[n] += self._span[n]
        self._value[n] += value / self.weight[n]
        self.assigned[n] += 1
        self.load[n] += 1
        self._queue(n)
        self.touched.add(n)

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

    def _claim(self, n: int, leads: float) -> None:
        """Gives a claim; as everybody's leads are turns, it is taken from all in turn by their shares."""
        self.credits[n] += leads
        if self.state[n] == "out":
            self._mark[n] += leads
        else:
            self._mark[n] -= leads * self._span[n]
        if self.total > 0:
            self.virtual -= leads / self.total
        self._queue(n)
        self.touched.add(n)
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

    def _after(self, lead: float) -> tuple[float, float, Mapping[int, float]]:
        """Virtual time and sum of weights once that lead is in the ideals; and who is counted on no longer then, with their claims."""
        virtual, total = self.virtual, self.total
        if not self._full:
            return virtual + lead / total, total, _NOBODY
        done, level = dict[int, float](), self.level
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
        self.weight[n], self.state[n], self._asked = weight, state, None
        self._able.clear()
        self._span[n] = 1.0 / weight if weight else inf
        if state == "full":
            self._full.add(n)
        else:
            self._full.discard(n)
        self._queue(n)
        self.touched.add(n)

    def _queue(self, n: int) -> None:
        """Puts a member who is in turn where they belong by now; where they were is noticed later."""
        if self._queues is not None and self.state[n] == "in":
            queue = self._queues.setdefault(self.weight[n], [])
            heappush(queue, (self._mark[n] + self._span[n], n))
            if len(queue) > 2 * len(self.people) + 64:
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

    def deviation(self) -> float:
        """The worst |assigned − ideal| of all members, in leads."""
        return max([abs(self.claim(n)) for n in range(len(self.people))], default=0.0)

    def ideals(self, members: Sequence[int], among: Sequence[int] | None, *, given: bool) -> list[float]:
        """The ideals of these members. ``given``: with the lead in them that is to be given next, among those."""
        virtual, done = self.virtual, _NOBODY
        if given and among is None:
            virtual, _, done = self._after(1.0)
        marks, weight, state, assigned, ideals = self._mark, self.weight, self.state, self.assigned, []
        for n in members:
            claim = done[n] if n in done else marks[n] if state[n] == "out" else weight[n] * (virtual - marks[n])
            ideals.append(assigned[n] + claim)
        if given and among is not None:
            more = 1.0 / self._total_of(among)
            for at, n in enumerate(members):
                if n in among:
                    ideals[at] += weight[n] * more
        return ideals

    @property
    def nobody(self) -> bool:
        """Whether nobody is in turn."""
        return self.in_turn == 0

    def is_in(self, person: str) -> bool:
        """Whether that person is in turn."""
        n = self.number.get(person)
        return n is not None and self.state[n] == "in"

    def present(self) -> list[int]:
        """Who is in turn, by number."""
        return [n for n, state in enumerate(self.state) if state == "in"]

    def claims(self, among: Sequence[int]) -> list[float]:
        """What these members, who are in turn, are owed in leads."""
        return [(self.virtual - self._mark[n]) * self.weight[n] for n in among]

    def next(self, among: Sequence[int] | None = None) -> int:
        """Who gets the next lead, of those it may be given to (None: of all in turn). Somebody must be in turn."""
        if among is None:
            virtual, total, _ = self._after(1.0)
            level = -TOLERANCE < self.surplus < TOLERANCE
            return self._best(self._firsts() or self.present(), virtual, total, level)
        total = self._total_of(among)
        return self._best(among, self.virtual + 1.0 / total, total, None)

    def able(self, members: tuple[int, ...]) -> tuple[int, ...]:
        """Which of these are in turn; the same object as long as nobody comes or goes."""
        found = self._able.get(members)
        if found is None:
            state = self.state
            found = self._able[members] = tuple([n for n in members if state[n] == "in"])
        return found

    def _total_of(self, among: Sequence[int]) -> float:
        """The sum of weights of these, asked for several times in one turn."""
        if self._asked is None or self._asked[0] is not among:
            weight = self.weight
            self._asked = among, fsum([weight[n] for n in among])
        return self._asked[1]

    def _best(self, among: Sequence[int], virtual: float, total: float, level: bool | None) -> int:
        """By no more than weight, due time and number: so it is the same whether all are compared, or the firsts of each weight.

        ``level``: nobody else is owed anything, or has more than their share; None where that is to be worked out.
        """
        mark, span, weight = self._mark, self._span, self.weight
        if level is None:
            level = -TOLERANCE < fsum([(virtual - mark[n]) * weight[n] for n in among]) - 1.0 < TOLERANCE
        if level:
            begun = virtual - TOLERANCE / total
            ready = [(mark[n] + span[n], n) for n in among if mark[n] < begun]
            if ready:
                return min(ready)[1]
        claims = [(virtual - (mark[n] + span[n])) * weight[n] for n in among]  # less one lead each
        most = max(claims)
        return min([(mark[n] + span[n], n) for n, claim in zip(among, claims) if claim == most])[1]  # noqa: B905

    def _firsts(self) -> list[int]:
        """Of each weight, who must have a lead soonest; nothing where all are to be compared."""
        if self._queues is None:
            if self._patience:  # leads for some only come and go: the queues would be made for a single lead
                self._patience -= 1
                return []
            self._queues = {}
            for n in self.present():
                self._queues.setdefault(self.weight[n], []).append((self._mark[n] + self._span[n], n))
            for queue in self._queues.values():
                heapify(queue)
        if len(self._queues) > _MOST_WEIGHTS:
            return []
        state, weights, mark, span = self.state, self.weight, self._mark, self._span
        found = []
        for weight, queue in self._queues.items():
            while queue:
                due, n = queue[0]
                if state[n] == "in" and weights[n] == weight and mark[n] + span[n] == due:
                    found.append(n)
                    break
                heappop(queue)  # they were there before something happened to them
        return found


@lru_cache(maxsize=1_000)
def mask_of(members: tuple[int, ...]) -> str:
    """Member numbers, each at most once, as one hexadecimal number with a bit for each."""
    return f"{sum([1 << n for n in members]):x}"


def members_of(mask: str) -> list[int]:
    """The member numbers of such a mask, in order."""
    bits = bin(int(mask, 16))
    return [n for n, bit in enumerate(reversed(bits[2:])) if bit == "1"]
