"""Changes that were saved together are handed on together, those that others refer to first.

The changes of a transaction have one key, and transactions come in the order of their commits: one is over when another key comes.
Nothing tells of the end of the last one, so its rest is waited for, briefly (``QUIET``); what is not there by then comes by itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.salesforce.decode import Decoded
from routing.core.model import ChangeEvent, Unreadable

QUIET = 0.2  # seconds without any change until a transaction counts as over
LONGEST = timedelta(seconds=2)  # that one is held back at most, however busily more of it comes
MOST_CHANGES, MOST_BYTES = 2_000, 4 * 1024 * 1024

Item = ChangeEvent | Unreadable
# Whoever is decided on must know the accounts, what hangs on those, and the people there already. All else stands in the middle.
_FIRST, _MIDDLE = 0, 1
_RANKS = {"person": _FIRST, "account": _FIRST, "contact": 2, "lead": 3}


class Transactions:
    """What is held back of the last transaction. Pure; ``passed`` is the replay id up to which nothing is, None before the first."""

    def __init__(self) -> None:
        self.passed: bytes | None = None
        self._key = ""
        self._held: list[tuple[int, int, Item]] = []  # by rank and number, once sorted
        self._bytes = 0
        self._since: datetime | None = None
        self._reached: bytes | None = None

    @property
    def patience(self) -> float | None:
        """How many seconds to wait for more before ``release``; None while nothing is held back."""
        return QUIET if self._held else None

    def add(self, told: Decoded, replay_id: bytes, size: int, at: datetime) -> list[Item]:
        """Takes in what an event of ``size`` bytes told ``at`` that time; returns what need not wait any longer.

        An event whose transaction is not known counts to the last one.
        """
        over = self.release() if told.transaction not in ("", self._key) else []
        self._key = told.transaction or self._key
        self._reached = replay_id
        ranks = [rank_of(item.entity) if isinstance(item, ChangeEvent) else _FIRST for item in told.items]
        self._held += [(rank, told.number, item) for rank, item in zip(ranks, told.items, strict=True)]
        self._bytes += size
        self._since = self._since or at
        # Nobody has to wait for what others only refer to.
        alone = all(rank == _FIRST for rank, _, _ in self._held)
        full = len(self._held) >= MOST_CHANGES or self._bytes >= MOST_BYTES or at - self._since >= LONGEST
        return over + self.release() if alone or full else over

    def stand(self, replay_id: bytes) -> list[Item]:
        """The stream says that it has come so far without a change; returns what is held back, since none is on its way."""
        self._reached = replay_id
        return self.release()

    def release(self) -> list[Item]:
        """All that is held back, in the order in which it is to be decided."""
        held = [item for _, _, item in sorted(self._held, key=lambda one: one[:2])]
        self._held, self._bytes, self._since = [], 0, None
        self.passed = self._reached
        return held


def rank_of(entity: str) -> int:
    """The lower, the earlier to be told among what was saved together."""
    return _RANKS.get(entity, _MIDDLE)
