"""What came out of the shared log: events with the partition and the offset they stood at."""

from __future__ import annotations

from msgspec import Struct

from routing.core.model import ChangeEvent, Unreadable


class Received(Struct, frozen=True, gc=False):
    """One message of the log.

    ``event`` is None where the log holds nothing to decide (a marker of a transaction, a message that compaction removed).
    ``first`` is the first offset it stands for when it stands for a whole range that ends at ``offset``; None: for ``offset`` alone.
    """

    partition: int
    offset: int
    event: ChangeEvent | Unreadable | None
    accepted_ms: int
    first: int | None = None


class Gap(Exception):
    """The log went on at ``found`` where ``expected`` should have come: nothing was settled.

    Whoever reads the log fetches [expected, found) anew and puts it in front. For what is not there any more one ``Received`` with
    ``first=expected, offset=found - 1`` stands in: ``event=None`` if nothing was lost, an ``Unreadable`` telling the loss otherwise.
    """

    def __init__(self, partition: int, expected: int, found: int) -> None:
        self.partition, self.expected, self.found = partition, expected, found
        super().__init__(f"partition {partition}: offset {found} came where {expected} was expected")
