"""The day of an org's API calls: the last 24 hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

_DAY = timedelta(hours=24)


class RollingDay:
    """Calls of the last 24 hours: our own by the minute, and ``others``, which end 24 hours after they were told of."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._minutes: Counter[datetime] = Counter()
        self._others = 0
        self._told = clock()

    def count(self) -> None:
        """One call of ours."""
        self._minutes[self._clock().replace(second=0, microsecond=0)] += 1

    def used(self) -> int:
        """Everybody's."""
        begin = self._clock() - _DAY
        for minute in [one for one in self._minutes if one <= begin]:
            del self._minutes[minute]
        return self._minutes.total() + (self.others if self._told > begin else 0)

    @property
    def others(self) -> int:
        """Those that somebody else made."""
        return self._others

    @others.setter
    def others(self, calls: int) -> None:
        self._others, self._told = calls, self._clock()
