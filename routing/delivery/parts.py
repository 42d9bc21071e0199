"""Smaller and smaller parts of a batch that a CRM fails on, until the one record that it cannot take stands alone.

An answer like "internal error" does not say whether the CRM is unwell or one record makes it fail (a trigger of the org's). An outage fails
every write; a record that fails alone while others get through, again and again, is to blame itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connectors.errors import MalformedAnswer, Transient
from routing.ledger.outbox import Owed

# Of a few failures in a row nothing is to be learned: on a bad day a CRM fails every third call, and smaller parts are more calls.
_FIRST = 4
# One that was failed among others so often is sent alone, to see whether it is to blame.
_OFTEN = 5
# So often in a row it is tried again at once, with growing waits, before others that are due come first.
WEARY = 8


class Suspects:
    """Writes that failed alone, by number, and how often each did so while others got through. One thread uses it; what it knows is lost with
    the process, and found out anew."""

    def __init__(self) -> None:
        self._strikes: dict[int, int] = {}
        self._seen: dict[int, int] = {}  # how many calls had got through when it failed alone last
        self._through = 0

    def __contains__(self, seq: int) -> bool:
        return seq in self._strikes

    def strikes(self, seq: int) -> int:
        """How often it failed alone with others getting through in between."""
        return self._strikes.get(seq, 0)

    def add(self, seq: int) -> None:
        """It is sent alone from now on."""
        self._strikes.setdefault(seq, 0)
        self._seen.setdefault(seq, self._through)

    def failed(self, seq: int) -> int:
        """It was sent alone, and failed. Returns its strikes."""
        self.add(seq)
        if self._through > self._seen[seq]:
            self._strikes[seq] += 1
            self._seen[seq] = self._through
        return self._strikes[seq]

    def blamed(self, owed: Owed, *, alone: bool) -> None:
        """The system judged it by itself, and failed. Sent with others it may have been failed with them; what is so often goes alone."""
        if alone:
            self.failed(owed.seq)
        elif owed.attempts >= _OFTEN:
            self.add(owed.seq)

    def went(self, seqs: Collection[int]) -> None:
        """A call got these through. One of them that had failed alone shows that it was the system: the others that failed then are let off."""
        self._through += 1
        if any(seq in self for seq in seqs):
            self.forget([seq for seq, strikes in self._strikes.items() if not strikes])
        self.forget(seqs)

    def forget(self, seqs: Collection[int]) -> None:
        """They came to an end."""
        for seq in seqs:
            self._strikes.pop(seq, None)
            self._seen.pop(seq, None)

    def part(self, owed: Sequence[Owed], size: int) -> list[Owed]:
        """What is sent first of ``owed``: up to ``size``, a suspect alone."""
        if owed and owed[0].seq in self:
            return [owed[0]]
        end = next((place for place, one in enumerate(owed[:size]) if one.seq in self), size)
        return list(owed[:end])


class Parts:
    """What is left of a batch, ``failed`` times in a row by now."""

    def __init__(self, batch: Sequence[Owed], suspects: Suspects) -> None:
        self.left, self.failed = list(batch), 0
        self._size, self._suspects = len(batch), suspects

    def next(self) -> list[Owed]:
        """What is to be sent; nothing when nothing is left."""
        return self._suspects.part(self.left, self._size)

    def went(self, part: Sequence[Owed]) -> None:
        """They got through: the next part is larger."""
        self.left = self.left[len(part) :]
        self._size, self.failed = self._size * 2, 0

    def drop(self) -> None:
        """The first one is somebody else's now."""
        self.left = self.left[1:]

    def fell(self, part: Sequence[Owed], error: Transient) -> bool:
        """The system failed on ``part``: the next one is smaller, or another. Returns whether a single write failed that is to blame itself."""
        self.failed += 1
        if error.retry_after is not None:  # so speaks the system, of itself
            return False
        page = isinstance(error, MalformedAnswer)
        if len(part) > 1 or page:
            if page or self.failed >= _FIRST:
                self._size = max(1, len(part) // 4)
            return page and len(part) == 1 and error.outcome_unknown
        if self._suspects.failed(part[0].seq):
            return True
        self.left = [*self.left[1:], *part]
        return False

    @property
    def weary(self) -> bool:
        """Whether each that is left has failed alone, and so often that others should be tried."""
        return self.failed >= WEARY and all(owed.seq in self._suspects for owed in self.left)
