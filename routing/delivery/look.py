"""The look before each try: what the CRM holds now decides what of a write may still be sent.

Where a CRM answers about more records in one call than it takes in one write, one look serves the batches that are sent right after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from connectors.contract import Connection, Snapshot
from routing.core.model import Write
from routing.delivery.guard import Checked, check
from routing.ledger.outbox import Owed
from routing.runtime.clock import monotonic

# A batch is not sent by an older look. What a person changes between the look and the write that follows it, a CRM that cannot compare
# lets us overwrite.
FRESH_SECONDS = 2.0


class Looks:
    """Looks at what is owed to one system. One thread uses it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._checked: dict[int, Checked] = {}  # by number, as of the last look
        self._looked = 0.0  # when that began, in seconds of ``monotonic``

    def forget(self) -> None:
        """Something went wrong: the next try looks anew."""
        self._checked = {}

    def at(self, batch: Sequence[Owed], ahead: Sequence[Owed], doubtful: Collection[int]) -> list[Checked]:
        """What of ``batch`` may be sent, in order; of ``ahead``, which it belongs to, the same call asks. ``doubtful``: the numbers of
        writes that may have happened already. Raises ConnectorError."""
        fresh = monotonic() - self._looked <= FRESH_SECONDS
        if not fresh or any(owed.seq not in self._checked for owed in batch):
            self.forget()
            self._looked = monotonic()
            self._checked = self._look(ahead, doubtful)
        return [self._checked[owed.seq] for owed in batch]

    def _look(self, batch: Sequence[Owed], doubtful: Collection[int]) -> dict[int, Checked]:
        current: dict[tuple[str, str], Snapshot] = {}
        to_read: dict[str, list[Write]] = {}
        for owed in batch:
            if not _expects_nothing(owed.write):
                to_read.setdefault(owed.write.about[0], []).append(owed.write)
        for entity, writes in to_read.items():
            fields = sorted({field for write in writes for field in (*_own(write), *write.still)})
            found = self._connection.read(entity, [write.about[1] for write in writes], fields)
            current |= {(entity, record_id): snapshot for record_id, snapshot in found.items()}
        # What is to be created, and may have been by an earlier try, is looked for: what is there is done.
        unsure = [owed.write for owed in batch if owed.write.kind == "create" and owed.seq in doubtful]
        there = self._connection.created(unsure) if unsure else {}
        merged: set[tuple[str, str]] = set()
        return {
            owed.seq: Checked(None, "confirmed", f"it was created already, as {there[owed.write.write_id]}")
            if owed.write.write_id in there
            else Checked(owed.write)
            if _expects_nothing(owed.write)
            else _first(check(owed.write, current.get(owed.write.about)), owed.write, current, merged)
            for owed in batch
        }


def _expects_nothing(write: Write) -> bool:
    return write.kind != "update" and not write.still


def _own(write: Write) -> Iterable[str]:
    """The fields of an existing record that it sets."""
    return write.fields if write.kind == "update" else ()


def _first(
    checked: Checked, write: Write, current: Mapping[tuple[str, str], Snapshot], merged: set[tuple[str, str]]
) -> Checked:
    """Of two writes to records that were merged into one, the second waits until it can be judged by what the first made of it."""
    into = current[write.about].into if write.about in current else ""
    if not into or write.kind != "update" or checked.write is None:
        return checked
    name = write.about[0], into
    if name in merged:
        return Checked(None, "pending", f"it was merged into {into}, which another write is for")
    merged.add(name)
    return checked
