"""The look before each try: what the CRM holds now decides what of a write may still be sent.

Where a CRM answers about more records in one call than it takes in one write, one look serves the batches that are sent right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
import structlog

from connectors.contract import Connection, Historian, Snapshot
from connectors.errors import ConnectorError
from routing.core.model import Write
from routing.delivery.guard import Checked, check
from routing.ledger.outbox import Owed
from routing.ledger.schema import from_ms
from routing.runtime.clock import monotonic
from routing.runtime.echo import same

log = structlog.get_logger()

# A batch is not sent by an older look. What a person changes between the look and the write that follows it, a CRM that cannot compare
# lets us overwrite.
FRESH_SECONDS = 1.0
# Not ours to end any more: the ledger knows how it ended, or who goes on with it.
GONE = Checked(None, "superseded", "it was given up meanwhile, or another courier has it")


class Looks:
    """Looks at what is owed to one system. One thread uses it."""

    def __init__(self, connection: Connection, claimed: Callable[[Collection[int]], Mapping[int, Write]]) -> None:
        """``claimed`` asks the ledger which of these writes are still to be sent, and as what: between two tries hours may lie."""
        self._connection, self._claimed = connection, claimed
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
        numbers = [owed.seq for owed in batch]
        claimed = self._claimed(numbers)
        moot = {
            seq: write
            for seq, write in claimed.items()
            if seq not in doubtful and write.fields and write.fields.keys() <= write.given_up.keys()
        }
        claimed = {seq: write for seq, write in claimed.items() if seq not in moot}
        current: dict[tuple[str, str], Snapshot] = {}
        to_read: dict[str, list[Write]] = {}
        for write in claimed.values():
            if not _expects_nothing(write):
                to_read.setdefault(write.about[0], []).append(write)
        for entity, writes in to_read.items():
            fields = sorted({field for write in writes for field in (*_own(write), *write.still)})
            found = self._connection.read(entity, [write.about[1] for write in writes], fields)
            current |= {(entity, record_id): snapshot for record_id, snapshot in found.items()}
        # What is to be created, and may have been by an earlier try, is looked for: what is there is done.
        unsure = [
            owed for owed in batch if owed.seq in doubtful and owed.seq in claimed and owed.write.kind == "create"
        ]
        there: dict[str, str] = {}
        if unsure:
            # The event that caused it was accepted before it was owed.
            since = from_ms(min(owed.accepted_ms for owed in unsure))
            there = self._connection.created([claimed[owed.seq] for owed in unsure], since)
        merged: set[tuple[str, str]] = set()
        checked = dict.fromkeys(numbers, GONE)
        # Never sent, and not to be sent any more: there is nothing to look for.
        for seq, write in moot.items():
            checked[seq] = Checked(None, "superseded", ". ".join(dict.fromkeys(write.given_up.values())))
        for seq in (number for number in numbers if number in claimed):
            write = claimed[seq]
            if write.write_id in there:
                checked[seq] = Checked(None, "confirmed", f"it was created already, as {there[write.write_id]}")
            elif _expects_nothing(write):
                checked[seq] = Checked(write)
            else:
                checked[seq] = _first(check(write, current.get(write.about)), write, current, merged)
        return checked | self._by_whom(checked, claimed, current)

    def _by_whom(
        self, checked: Mapping[int, Checked], writes: Mapping[int, Write], current: Mapping[tuple[str, str], Snapshot]
    ) -> dict[int, Checked]:
        """Those that somebody overtook, told with who changed that field, where the CRM knows: who changed the record last may be another."""
        asked: dict[tuple[str, str], list[int]] = {}
        for seq, one in checked.items():
            if one.overtaken and isinstance(self._connection, Historian):
                asked.setdefault((writes[seq].about[0], one.overtaken[0]), []).append(seq)
        told: dict[int, Checked] = {}
        for (entity, field), seqs in asked.items():
            try:
                found = self._connection.last_changes(entity, field, [writes[seq].about[1] for seq in seqs])  # type: ignore[attr-defined]
            except ConnectorError as error:
                log.info("who changed a field last cannot be asked", entity=entity, field=field, why=str(error))
                continue
            for seq in seqs:
                now, change = current[writes[seq].about], found.get(writes[seq].about[1])
                if change is not None and same(change.values.get(field), now.values.get(field)):
                    now = msgspec.structs.replace(now, modified_by=change.modified_by, modified_at=change.modified_at)
                    detail = check(writes[seq], now).detail
                    told[seq] = msgspec.structs.replace(checked[seq], detail=detail)
        return told


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
