"""Open work while a batch is settled: as it was when each of its events was decided, whatever else is in the batch."""

from __future__ import annotations

from collections import deque

from routing.core.distribution.attendance import Attendance
from routing.core.model import Record
from routing.ledger.journal import Entry
from routing.ledger.schema import ref_of
from routing.runtime.working_set import WorkingSet


class OpenWork:
    """Keeps ``attendance`` true from event to event."""

    def __init__(self, work: WorkingSet, attendance: Attendance) -> None:
        self._work, self._attendance = work, attendance
        self._moves = deque(work.moves)
        self._record: Record | None = None
        self._less: set[str] = set()

    def before(self, entry: Entry) -> None:
        """What came up to this event is in it when it is decided."""
        while self._moves and self._moves[0][0] <= entry.seq:
            _, before, after = self._moves.popleft()
            self._less |= self._attendance.moved(before, after)
        self._record = self._of(entry)

    def after(self, entry: Entry) -> None:
        """What was decided on it is in what comes next."""
        record = self._of(entry)
        if record is not None and record is not self._record:
            self._less |= self._attendance.moved(self._record, record)

    def freed(self) -> set[str]:
        """Who has less to do than before: somebody may wait for them."""
        while self._moves:
            _, before, after = self._moves.popleft()
            self._less |= self._attendance.moved(before, after)
        return self._less

    def _of(self, entry: Entry) -> Record | None:
        event = entry.event
        return self._work.records.get(ref_of(event.system, event.entity, event.record_id))
