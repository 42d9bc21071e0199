"""How a folder becomes the live policy: at the start, and when it changes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed, Happening
from routing.runtime.policies import SAVING_SECONDS, Policies
from tests.conftest import ManualClock
from tests.processes import POLICY


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY, tmp_path / "policy"))


@pytest.fixture
def told() -> list[Happening]:
    return []


def started(folder: Path, ledger: Ledger, clock: ManualClock, told: list[Happening]) -> Policies:
    feed = Feed()
    feed.watch(told.append)
    return Policies(folder, ledger, clock, feed)


def spoil(folder: Path) -> str:
    """Makes a test fail; the text as it was."""
    path = folder / "tests.yaml"
    good = path.read_text("utf-8")
    path.write_text(good.replace("owner: Lukas Brandt, rung:", "owner: Ana Diaz, rung:", 1), "utf-8")
    assert path.read_text("utf-8") != good
    return good


def test_with_nothing_else_to_live_by_it_starts_and_says_so(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    spoil(folder)
    one = started(folder, sqlite_ledger, clock, told)
    assert one.current.tests
    [happening] = told
    assert "owner is Lukas Brandt, not Ana Diaz" in str(happening.detail)
    again = started(folder, sqlite_ledger, clock, told)  # the same once more: time may have made it fail
    assert (again.current.digest, again.refused) == (one.current.digest, "")


def test_what_was_changed_while_the_daemon_was_down_does_not_go_live_with_failing_tests(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    before = started(folder, sqlite_ledger, clock, told).current.digest
    good = spoil(folder)
    after = started(folder, sqlite_ledger, clock, told)
    assert after.current.digest == before
    assert "owner is Lukas Brandt, not Ana Diaz" in after.refused
    assert not after.refresh()
    (folder / "tests.yaml").write_text(f"{good}# mended\n", "utf-8")
    assert after.refresh()
    assert (after.current.digest != before, after.refused) == (True, "")


class Editor(threading.Event):
    """Saves the rest of a file while the watcher waits for the folder to hold still; ends the watcher after ``looks``."""

    def __init__(self, path: Path, rest: bytes, looks: int) -> None:
        super().__init__()
        self._path, self._rest, self._looks = path, rest, looks

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == SAVING_SECONDS:
            with self._path.open("ab") as file:
                file.write(self._rest)
            self._rest = b""
            return False
        self._looks -= 1
        return self._looks < 0


def test_a_file_that_is_half_saved_is_waited_for(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    policies, tests = started(folder, sqlite_ledger, clock, told), folder / "tests.yaml"
    first, content = policies.current.digest, tests.read_bytes() + b"# another line\n"
    half = content.index(b"\n  - test", len(content) // 2) + 1
    tests.write_bytes(content[:half])  # compiles: a policy with fewer tests
    policies.run(Editor(tests, content[half:], looks=1))
    assert (policies.current.digest, told) == (first, []), "it is still being saved"
    policies.run(Editor(tests, b"", looks=1))
    assert policies.current.digest != first
    assert len(told) == 1, "the half never was live"
