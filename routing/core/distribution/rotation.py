"""One fair rotation: each member's share, to within one lead, at every moment.

What members are owed, their claims, and the virtual time behind them are in ``standings``; here is what changes them, and whose turn
it is.

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

from collections.abc import Sequence
from math import fsum

from routing.core.distribution.entries import CLAIMS, LEFT, STANDS, PoolEntry, State, mask_of, members_of
from routing.core.distribution.standings import Standings
from routing.core.distribution.turns import TOLERANCE, Group, Queues, best, levelled

# The queues of a pool cost as much to make as so many looks at everybody: leads for some only, which undo them, come and go.
_PATIENCE = 8

_KEEP = 256  # groups of members who can have leads of a sort


class Rotation(Standings):
    """The members of one pool, for one kind of lead. ``apply`` is the only way to change it: a rotation is the fold of its entries."""

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
            leads = -entry.leads if what == "debit" else entry.leads
            self._claim(self._member(entry.person), leads, bearers, by_hand=bool(entry.author))
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
        if n in self._granted:
            self._make_up(n)
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

    def _claim(self, n: int, leads: float, among: Sequence[int], *, by_hand: bool) -> None:
        """Gives a claim; as everybody's leads are turns, it is taken from all in turn by their shares, or from those of ``among``."""
        self.credits[n] += leads
        self._touched.add(n)
        if among == (n,):
            return
        if by_hand:
            self._grant_claim(n, leads, among)
        self._move(n, leads)
        total = fsum([self.weight[one] for one in among])
        for one in among:
            self._move(one, -leads * self.weight[one] / total)
        if not among and self.total > 0:
            self.virtual -= leads / self.total
            self._summed = False

    def _grant_claim(self, n: int, leads: float, among: Sequence[int]) -> None:
        """Notes what a claim by hand is about to move, so that nobody takes that for unfairness."""
        bearers = among or [one for one, state in enumerate(self.state) if state != "out"]
        total = fsum([self.weight[one] for one in bearers])
        before = {one: self.granted(one) for one in {n, *bearers}}
        before[n] += leads
        for one in bearers:
            before[one] -= leads * self.weight[one] / total
        for one, granted in before.items():
            self._grant(one, granted)
            self._touched.add(one)

    def _make_up(self, n: int) -> None:
        """A turn of member ``n`` is about to make up for what they were credited; those who pay for a credit have paid as their claim
        comes back to 0."""
        self._grant(n, min(self.granted(n), max(self.claim(n) - 1.0, 0.0)))

    def _settle(self, n: int) -> None:
        """Lets go of what is owed to, or by, somebody who left the pool: nobody could make up for it any more."""
        if self.state[n] != "out":
            self._leave(n, self.claim(n))
        self._mark[n] = self._value[n] = self.credits[n] = 0.0
        self._grant(n, 0.0)
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

    def _leave(self, n: int, claim: float) -> None:
        """Somebody who filled a cap is no further ahead than everybody is: from here on they are away as others are."""
        worth = self.worth(n)
        self._surplus -= claim
        self._mark[n], self._value[n] = claim, worth
        self._put(n, self.weight[n], "out")

    def _member(self, person: str) -> int:
        n = self.number.get(person)
        return self._add(person) if n is None else n

    # Whose turn it is.

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

    def deviation_after(self, n: int) -> float:
        """The worst |assigned − ideal| of those whom the turn just given to ``n`` took further from their share: ``n``, and whoever is
        owed most. As long as nobody comes or goes, the worst of these at every turn is that of ``deviation``, without asking all."""
        return self.deviation() if self._granted else max(abs(self.claim(n)), *map(self.claim, self._firsts()))
