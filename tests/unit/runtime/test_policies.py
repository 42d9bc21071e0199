"""How a folder becomes the live policy: at the start, and when it changes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from routing.core.model import Record
from routing.ledger import mirror
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


def test_open_work_is_counted_anew_when_the_policy_says_otherwise(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    def counted() -> int:
        with sqlite_ledger.read() as conn:
            return int(conn.exec_driver_sql("SELECT count(*) FROM open_record").scalar_one())

    policies, pools = started(folder, sqlite_ledger, clock, told), folder / "pools.yaml"
    leads = [
        Record(
            system="salesforce",
            entity="lead",
            record_id=f"00Q{n:04}",
            values={"status": "Nurture" if n % 2 else "New"},
            decided_owner="ana.diaz@example.com",
        )
        for n in range(1_500)  # more than are looked at in one go
    ]
    with sqlite_ledger.write() as conn:
        mirror.save(conn, [(one, ()) for one in leads], policies.current)
    assert counted() == 1_500
    plain = pools.read_text("utf-8")
    pools.write_text(f'open_when: lead.status != "Nurture"\n{plain}', "utf-8")
    assert policies.refresh()
    assert counted() == 750
    pools.write_text(plain, "utf-8")  # while the daemon is down
    started(folder, sqlite_ledger, clock, told)
    assert counted() == 1_500


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


def test_connectors_are_told_of_what_rungs_join(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    path = folder / "engagement.yaml"
    rung = "  - rung: Twice\n    when: match.duplicate\n    reject: A duplicate\n    merge: older lead\n"
    path.write_text(path.read_text("utf-8").replace("ladder:\n", f"ladder:\n{rung}", 1), "utf-8")
    maps = started(folder, sqlite_ledger, clock, told).maps("salesforce")
    assert {name: one.does for name, one in maps.items() if one.does} == {"lead": frozenset({"merge"})}


def test_connectors_are_told_what_rungs_make_and_how_writes_are_guarded(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    for name, old, new in (
        (
            "engagement.yaml",
            "ladder:\n",
            'ladder:\n  - rung: Ours\n    when: account.type = "Customer"\n    assign: account.owner\n'
            "    convert: matched account with an opportunity\n    notify: {message: it is yours, who: owner}\n",
        ),
        ("fields.yaml", "lead:\n  in:", "lead:\n  guard: conditional\n  in:"),
    ):
        path = folder / name
        path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    lead = started(folder, sqlite_ledger, clock, told).maps("salesforce")["lead"]
    assert (lead.does, lead.guard) == (frozenset({"convert", "opportunity", "task"}), "conditional")


def test_whose_address_changes_with_the_folder_is_told(
    sqlite_ledger: Ledger, folder: Path, clock: ManualClock, told: list[Happening]
) -> None:
    daemon = started(folder, sqlite_ledger, clock, told)
    path = folder / "people.csv"
    path.write_text(path.read_text("utf-8").replace("ana.diaz@example.com", "ana.ruiz@example.com"), "utf-8")
    assert daemon.refresh()
    said = "Ana Diaz is ana.ruiz@example.com now, no longer ana.diaz@example.com, and goes on in pools, absences and reports."
    assert [one.detail for one in told].count(said) == 1
