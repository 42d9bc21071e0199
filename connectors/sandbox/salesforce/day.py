"""What an org may do in a day, which is the last 24 hours: its API calls, and the events that it delivers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

_DAY = timedelta(hours=24)


class RollingDay:
    """Those of the last 24 hours, ``most`` of which are allowed: our own by the minute, and ``others``, which end 24 hours after they were
    told of."""

    def __init__(self, clock: Callable[[], datetime], most: int) -> None:
        self._clock, self.most = clock, most
        self._minutes: Counter[datetime] = Counter()
        self._others = 0
        self._told = clock()

    def count(self, made: int = 1) -> None:
        """So many of ours."""
        self._minutes[self._clock().replace(second=0, microsecond=0)] += made

    def used(self) -> int:
        """Everybody's."""
        begin = self._clock() - _DAY
        for minute in [one for one in self._minutes if one <= begin]:
            del self._minutes[minute]
        return self._minutes.total() + (self.others if self._told > begin else 0)

    def left(self) -> int:
        """How many there may still be."""
        return max(0, self.most - self.used())

    @property
    def others(self) -> int:
        """Those that are somebody else's."""
        return self._others

    @others.setter
    def others(self, calls: int) -> None:
        self._others, self._told = calls, self._clock()
