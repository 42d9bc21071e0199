"""What listens to a source in a test, and what a stand for one must offer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from connectors.contract import Source
from routing.core.merge import merge
from routing.core.model import ChangeEvent, Record, Unreadable, Values
from tests.contract.suites import Stand

WAIT = 30.0  # seconds until a test gives up waiting for a condition


class Heard:
    """An ``accept`` that remembers, and can be waited on."""

    def __init__(self) -> None:
        self.items: list[ChangeEvent | Unreadable] = []
        self.positions: list[bytes | None] = []
        self.batches: list[tuple[int, bytes | None]] = []
        self._changed = threading.Condition()

    def __call__(self, items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
        with self._changed:
            self.items.extend(items)
            self.positions.append(position)
            self.batches.append((len(items), position))
            self._changed.notify_all()

    @property
    def events(self) -> list[ChangeEvent]:
        return [item for item in self.items if isinstance(item, ChangeEvent)]

    @property
    def unreadable(self) -> list[Unreadable]:
        return [item for item in self.items if isinstance(item, Unreadable)]

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until ``condition`` holds; fails the test after WAIT seconds."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT), f"heard only {self.items!r} at {self.positions!r}"

    def ended(self) -> None:
        """Nothing more will come: whoever waits looks again."""
        with self._changed:
            self._changed.notify_all()


class Running:
    """A source running in a thread of its own, for a ``with`` block. What it raised is in ``error``."""

    def __init__(self, source: Source, position: bytes | None, accept: Callable[..., None]) -> None:
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(source, position, accept), daemon=True)

    def _run(self, source: Source, position: bytes | None, accept: Callable[..., None]) -> None:
        try:
            source.run(position, accept, self._stop)
        except BaseException as error:  # noqa: BLE001 - shown to the test that waits for it
            self.error = error
            if isinstance(accept, Heard):
                accept.ended()

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Waits for the source to return."""
        self._thread.join(WAIT)
        assert not self._thread.is_alive(), "the source did not stop when asked to"


class SourceStand(Stand, Protocol):
    """A stand with a ``Source``."""

    source: Source
    follow_operation: str  # the fault operation of what ``Source.run`` asks

    def break_streams(self) -> None:
        """Ends every open subscription, as a restart of the system would."""
        ...

    def deliver_twice(self) -> None:
        """Makes the system deliver its next event twice."""
        ...

    def deliver_garbage(self) -> None:
        """Makes the system deliver something that cannot be read."""
        ...

    def retype(self, record_id: str) -> None:
        """An administrator makes ``employees`` a text, and somebody enters "a few" in that record."""
        ...

    def reordering(self) -> AbstractContextManager[object]:
        """What happens within the block the system tells in another order."""
        ...

    def forget(self, position: bytes) -> bytes:
        """Makes the system forget what it could tell so far, as after days. The position to go on from: that one, made as old."""
        ...


def known_after(events: Sequence[ChangeEvent]) -> Values:
    """What the mirror holds of a record once it was told these."""
    record: Record | None = None
    for event in events:
        record, _ = merge(record, event)
    assert record is not None
    return record.values
