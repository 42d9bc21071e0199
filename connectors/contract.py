"""What a connector must offer. ``tests/contract`` holds the suites that every implementation passes.

All calls block; callers run them in threads of their own. None of them retries except where it says so: retrying is decided in
``routing.delivery`` and ``routing.runtime``. Every failure is a ``connectors.errors.ConnectorError``.
Values cross this border in canonical form (``routing.core.model``); the connector translates with its ``EntityMap`` s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Event
from typing import Protocol, runtime_checkable

from msgspec import Struct

from connectors.aside import Aside
from connectors.errors import ConnectorError
from routing.core.model import ChangeEvent, EntityMap, Unreadable, Values, Write

Maps = Callable[[], Mapping[str, EntityMap]]  # canonical entity -> map; called anew, so that a new policy is seen
Accept = Callable[[Sequence[ChangeEvent | Unreadable], bytes | None], None]


class Snapshot(Struct, frozen=True, kw_only=True):
    """A record as the CRM holds it now: canonical ``values``, who changed it last (a CRM id) and when.

    ``into`` is the id of the record that holds them, where that is another one: the one asked for was merged into it, and the CRM answers,
    and takes writes, under the old id too. ``continues`` are the ids of the records that this one was made of by a merge.
    """

    values: Values
    modified_at: datetime | None = None
    modified_by: str = ""
    into: str = ""
    continues: tuple[str, ...] = ()


class Page(list[ChangeEvent]):
    """A page of ``Reader.backfill`` that says how far the fill is, also where no record is on it: ``cursor`` as that of a last record,
    ``reached`` in words for people (``those made until 2021-03-01``)."""

    def __init__(self, events: Iterable[ChangeEvent] = (), *, cursor: str = "", reached: str = "") -> None:
        super().__init__(events)
        self.cursor, self.reached = cursor, reached


class WriteResult(Struct, frozen=True):
    """What became of one write: ``error`` is None when the CRM confirmed it. ``record_id`` is the new record's, of a create; of a
    conversion the contact's, of a merge the one that stays. ``overtaken``: nothing was done, since somebody else did something first; says what."""

    write_id: str
    error: ConnectorError | None = None
    record_id: str = ""
    overtaken: str = ""


class Finding(Struct, frozen=True):
    """One line of ``fingerpost doctor``: what was checked, whether it is well, and what to do when not. ``looked`` is False where it could
    not be looked at: then nothing is known, neither good nor bad, and ``ok`` stays True."""

    check: str
    ok: bool
    detail: str
    advice: str = ""
    looked: bool = True


SAME = "they would fail for the same reason"


def left_out(checks: Iterable[str], because: str) -> list[Finding]:
    """That those checks were not made; nothing where there are none."""
    names = ", ".join(checks)
    return [Finding("left out", True, f"not looked at, as {because}: {names}", looked=False)] if names else []


class Reader(Protocol):
    """Reads records by id or in bulk."""

    system: str

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """The named canonical fields of those records; deleted or invisible ones are absent. Any number of ids.

        A field that the system has no more raises Misconfigured, which names it, or is left out of the values; so is one whose value does not
        fit its type. Neither is ever told as empty.
        """
        ...

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        """Of these records, which ``read`` does not find, those that were merged into another: id -> id of the one that is left.

        Nothing where ``read`` answers for them (``Snapshot.into``), or where the system cannot say.
        """
        ...

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """All records of those entities as pages of ``snapshot`` events, each page of one entity; one that it has none of is passed over.

        ``after`` holds, by entity, the ``cursor`` of the last page that was stored (a ``Page``), or of its last record (where there is none,
        its id): where the connector can, it goes on behind it, otherwise it begins anew. ``occurred_at`` is when the record last changed as of the snapshot, so that what
        was told of it meanwhile wins however late the page comes.
        """
        ...


class Source(Protocol):
    """Delivers changes from a position on, at least once, in the system's own order; within one transaction, what others refer to first."""

    system: str
    stream: str  # names the position in the ledger

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """Blocks until ``stop`` is set; reconnects by itself with growing waits, and logs each.

        ``accept(events, position)`` returns once both are durable; it may be called with no events, only a position.
        Whatever it raises goes through: the caller stops, and what was not accepted is delivered again.
        A ``position`` of None means from now on. The first position is accepted as soon as the subscription stands.
        """
        ...

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """Reads again what was once ``Unreadable``. Raises ConnectorError when it still cannot be read."""
        ...


@runtime_checkable
class Asking(Protocol):
    """What a ``Source`` may be as well: one that asks for each kind of record, and goes on with the others where one is refused."""

    aside: Aside


class Webhook(Protocol):
    """The intake of a system that calls us."""

    system: str
    path: str

    def receive(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> list[ChangeEvent | Unreadable]:
        """Checks the signature over the raw bytes and reads the body. Header names are lower-case. Does no I/O.

        Raises SignatureRefused. A body that is signed but cannot be read comes back as ``Unreadable``, so that it is kept.
        """
        ...

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """As ``Source.reread``."""
        ...


class Sink(Protocol):
    """Writes changes. Guards are checked by ``routing.delivery.guard`` with ``Reader.read`` before ``write`` is called."""

    system: str
    batch_size: int  # the most writes one call of ``write`` takes
    look_size: int  # how many records to look at in one request before writes of so many are sent, batch after batch

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """Sends one batch in one request; one result a write, in order. A record occurs once in a batch.

        Changes, creations, conversions and merges (``Write.kind``) may be mixed; each kind goes in requests of its own. A conversion
        or merge is looked at before it is sent: what the system shows done is confirmed, and not done twice. A system that
        has no such thing answers it with Misconfigured.

        Raises ConnectorError when the call as a whole failed; ``outcome_unknown`` tells whether it may have happened.
        """
        ...

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:
        """Of these creates, whose answer was lost, those that did happen: write id -> id of the new record. Changes nothing.

        ``since``: before then none of them was owed, however long ago that is.
        """
        ...


@runtime_checkable
class Historian(Protocol):
    """What a ``Reader`` may be as well: one that knows the history of a single field."""

    def last_changes(self, entity: str, field: str, ids: Sequence[str]) -> dict[str, Snapshot]:
        """Of those records, any number, the last change of that field alone: what was set, by whom and when. One that is not known is
        absent. Raises ConnectorError."""
        ...


class CallsToday(Struct, frozen=True):
    """The calls of a system's day, everybody's: ``used`` of ``limit``. At ``none_left_at`` nothing will be left for us if they go on at the
    present pace; None when that is not within a day, or not known."""

    used: int
    limit: int
    none_left_at: datetime | None = None


class Tally(Protocol):
    """A count of calls against a limit that several processes share."""

    def exchange(self, add: Callable[[Mapping[str, int]], Mapping[str, int]]) -> None:
        """Hands ``add`` the calls since the last exchange, by the ISO instants at which spans of time began, and takes from it those that
        all processes made in the last day. What ``add`` raises goes through, and nothing is forgotten."""
        ...


class Connection(Reader, Sink, Protocol):
    """One configured system: what the daemon holds of it."""

    @property
    def calls(self) -> int:
        """Requests made so far, refused ones included; for the report."""
        ...

    def check(self) -> list[Finding]:
        """What doctor asks: reachability, login, permissions on each mapped field, clock, limits. Never raises ConnectorError."""
        ...

    def close(self) -> None: ...
