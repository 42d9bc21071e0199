"""Two threads on one PostgreSQL, one of which is held at a point of our choice while the other goes as far as it can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from routing.ledger import locks, shares
from routing.ledger.engine import Ledger

# Where a transaction of the loop can be held: around the locks by name, and when all is written and nothing committed; "start": when
# it has its partitions and looked at nothing else.
POINTS = ("before email", "after email", "before pool", "after pool", "commit")
SECONDS = 30.0
_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


class Task(threading.Thread):
    """Work in a thread; ``result`` is what it returned, or raises what it raised."""

    def __init__(self, work: Callable[[], Any], point: str = "") -> None:
        super().__init__(daemon=True)
        self._work, self.point = work, point
        self.reached, self.go = threading.Event(), threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by ``result``
            self._error = error
        finally:
            self.reached.set()

    def pass_by(self, point: str) -> None:
        if point == self.point:
            self.point = ""
            self.reached.set()
            assert self.go.wait(SECONDS)

    def result(self) -> Any:
        self.join(SECONDS)
        assert not self.is_alive(), "a thread hangs"
        if self._error is not None:
            raise self._error
        return self._result


class Director:
    """Says who goes first, and up to where."""

    def __init__(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = ledger
        take = locks.take

        def taken(conn: Connection, names: Collection[str]) -> None:
            kind = next(iter(names)).partition(":")[0] if names else ""
            self.pass_by(f"before {kind}")
            take(conn, names)
            self.pass_by(f"after {kind}")

        check = shares.check

        def checked(conn: Connection, held: Collection[shares.Share]) -> dict[int, int]:
            found = check(conn, held)
            self.pass_by("start")
            return found

        monkeypatch.setattr(locks, "take", taken)
        monkeypatch.setattr(shares, "check", checked)
        event.listen(ledger.engine, "commit", self._committing)

    def leave(self) -> None:
        event.remove(self.ledger.engine, "commit", self._committing)

    def _committing(self, _conn: Connection) -> None:
        self.pass_by("commit")

    @staticmethod
    def pass_by(point: str) -> None:
        task = threading.current_thread()
        if isinstance(task, Task):
            task.pass_by(point)

    def waiting(self) -> int:
        """How many transactions wait for a lock."""
        with self.ledger.engine.connect() as conn:
            return int(conn.scalar(_WAITING) or 0)

    def hold(self, work: Callable[[], Any], point: str) -> Task:
        """Starts ``work`` and returns once it stands at the point; or has ended, if it never comes by there."""
        task = Task(work, point)
        task.start()
        assert task.reached.wait(SECONDS)
        return task

    def as_far(self, work: Callable[[], Any]) -> Task:
        """Starts ``work`` and returns once it has ended or waits for a lock."""
        task = Task(work)
        task.start()
        before = threading.Event()
        while task.is_alive() and not self.waiting():
            before.wait(0.002)
        return task

    def interleave(
        self, first: Callable[[], Any], second: Callable[[], Any], point: str, *, swapped: bool = False
    ) -> bool:
        """Holds ``first`` at the point while ``second`` goes as far as it can; then both to their ends. ``swapped``: the other way.

        Returns whether ``second`` had to wait for ``first``. Raises what either raised.
        """
        if swapped:
            first, second = second, first
        held = self.hold(first, point)
        other = self.as_far(second)
        waited = other.is_alive()
        held.go.set()
        held.result()
        other.result()
        return waited
