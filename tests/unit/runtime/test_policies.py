"""How a changed folder becomes the live policy."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.policies import SAVING_SECONDS, Policies
from tests.processes import POLICY


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


def test_a_file_that_is_half_saved_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(POLICY, folder)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.upgrade()
    feed, told = Feed(), list[str]()
    feed.watch(lambda one: told.append(one.what))
    policies = Policies(folder, ledger, utcnow, feed)
    first, tests = policies.current.digest, folder / "tests.yaml"
    content = tests.read_bytes() + b"# another line\n"
    half = content.index(b"\n  - test", len(content) // 2) + 1
    tests.write_bytes(content[:half])  # compiles: a policy with fewer tests
    policies.run(Editor(tests, content[half:], looks=1))
    assert (policies.current.digest, told) == (first, []), "it is still being saved"
    policies.run(Editor(tests, b"", looks=1))
    assert policies.current.digest != first
    assert len(told) == 1, "the half never was live"
    ledger.close()
