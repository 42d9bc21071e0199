"""A policy goes live for several processes: each follows the ledger, a batch uses one policy, and decisions name theirs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.model import ChangeEvent, derived_id
from routing.core.sla.model import ClockState
from routing.ledger import clocks, journal, timers
from routing.ledger.engine import Ledger
from routing.runtime import policies as module
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.policies import Policies
from routing.runtime.policy_folder import PolicyFolderError
from rules.policy import Policy
from tests.conftest import START, ManualClock
from tests.processes import POLICY, wait_for


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs(), patch.object(module, "LOOK_SECONDS", 0.02):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY, tmp_path / "policy"))


def edit(folder: Path, text: str) -> None:
    """Another policy, whatever it says: every change of a byte makes it one."""
    path = folder / "engagement.yaml"
    path.write_text(f"# {text}\n" + path.read_text("utf-8"), "utf-8")


def publish(ledger: Ledger, folder: Path, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["policy", "publish", str(folder), "--ledger", ledger.url], env={"COLUMNS": "200"})
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result


def follower(ledger: Ledger, clock: ManualClock, folder: Path | None = None) -> Policies:
    return Policies(folder, ledger, clock, Feed(), follow=True)


def lead(n: int) -> ChangeEvent:
    return ChangeEvent(
        event_id=derived_id("lead", str(n)),
        system="salesforce",
        entity="lead",
        record_id=f"00Q{n:015d}",
        kind="created",
        occurred_at=START,
        observed_at=START,
        changed=("email",),
        values={"email": f"kim@company{n}.example", "country": "DE"},
    )


def named(ledger: Ledger) -> list[str]:
    """The policies that decisions name, in the order they were made."""
    with ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT policy FROM decision ORDER BY seq").all()
    return [digest for (digest,) in rows]


def test_what_is_published_reaches_every_follower(postgres_ledger: Ledger, folder: Path, clock: ManualClock) -> None:
    assert "is live." in publish(postgres_ledger, folder).stdout
    one, two = follower(postgres_ledger, clock), follower(postgres_ledger, clock)
    first = one.current.digest
    assert two.current.digest == first
    assert not one.refresh()
    edit(folder, "another")
    publish(postgres_ledger, folder)
    assert one.refresh()
    assert two.refresh()
    assert one.current.digest == two.current.digest != first
    assert "was live already." in publish(postgres_ledger, folder).stdout
    assert not one.refresh()


def test_clocks_that_run_have_the_time_of_the_new_policy_once_the_last_process_has_it(
    postgres_ledger: Ledger, folder: Path, clock: ManualClock
) -> None:
    def running(clock_id: str) -> ClockState:
        return ClockState(
            clock_id=clock_id,
            name="Touch",
            system="salesforce",
            entity="lead",
            record_id=clock_id,
            started_at=START,
            since=START,
            limit=14_400,
            due_at=START + timedelta(hours=4),
        )

    def limits() -> list[tuple[float, datetime | None]]:
        with postgres_ledger.read() as conn:
            found = clocks.load(conn, {"salesforce:lead:early", "salesforce:lead:late"})
        return [(one.limit, one.due_at) for of_record in found.values() for one in of_record]

    def within(text: str) -> None:
        touch = "start: assigned, stop: accepted, time: always, steps: [{at: 100 %, remind: owner}]"
        (folder / "sla.yaml").write_text(f"clocks: {{Touch: {{{touch}, within: {text}}}}}\n", "utf-8")
        publish(postgres_ledger, folder)

    within("4 hours")
    one, two = follower(postgres_ledger, clock), follower(postgres_ledger, clock)
    with postgres_ledger.write() as conn:
        clocks.save(conn, [running("early")])
    within("8 hours")
    assert one.refresh()
    later = (28_800, START + timedelta(hours=8))
    assert limits() == [later]
    with postgres_ledger.write() as conn:
        clocks.save(conn, [running("late")])  # by the second, which does not have it yet
    assert two.refresh()
    assert limits() == [later, later]


def test_an_older_policy_can_be_brought_back(postgres_ledger: Ledger, folder: Path, clock: ManualClock) -> None:
    publish(postgres_ledger, POLICY)
    one = follower(postgres_ledger, clock)
    first = one.current.digest
    edit(folder, "worse")
    publish(postgres_ledger, folder)
    assert one.refresh()
    publish(postgres_ledger, POLICY)
    assert one.refresh()
    assert one.current.digest == first


def test_a_policy_with_errors_is_not_published(postgres_ledger: Ledger, folder: Path, clock: ManualClock) -> None:
    publish(postgres_ledger, folder)
    one = follower(postgres_ledger, clock)
    (folder / "pools.yaml").write_text("nonsense: [", "utf-8")
    assert "was not published" in publish(postgres_ledger, folder, 1).output
    assert not one.refresh()


def test_a_daemon_on_a_file_is_told_to_edit_its_folder(ledger: Ledger, folder: Path) -> None:
    result = CliRunner().invoke(app, ["policy", "publish", str(folder), "--ledger", ledger.url])
    assert "follows the folder of its settings" in str(result.exception)


def test_without_any_policy_nothing_starts(postgres_ledger: Ledger, clock: ManualClock) -> None:
    with pytest.raises(PolicyFolderError, match="fingerpost policy publish"):
        follower(postgres_ledger, clock)


def test_one_of_several_with_the_folder_publishes_what_changes_there(
    postgres_ledger: Ledger, folder: Path, clock: ManualClock
) -> None:
    one, two = follower(postgres_ledger, clock, folder), follower(postgres_ledger, clock, folder)
    third = follower(postgres_ledger, clock)
    stop = threading.Event()
    threads = [threading.Thread(target=made.run, args=(stop,)) for made in (one, two, third)]
    for thread in threads:
        thread.start()
    before = third.current.digest
    try:
        edit(folder, "another")
        wait_for("all three", lambda: one.current.digest == two.current.digest == third.current.digest != before)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_restart_with_an_old_folder_takes_nothing_back(
    postgres_ledger: Ledger, folder: Path, clock: ManualClock
) -> None:
    first = follower(postgres_ledger, clock, POLICY)
    old = first.current.digest
    edit(folder, "published by hand")
    publish(postgres_ledger, folder)
    again = follower(postgres_ledger, clock, POLICY)
    assert again.current.digest != old
    again.refresh()
    assert again.current.digest != old
    newer = Path(shutil.copytree(folder, folder.with_name("newer")))
    edit(newer, "edited while nothing ran")
    last = follower(postgres_ledger, clock, newer)
    again._seat.leave()
    assert last.refresh()
    assert again.refresh()
    assert again.current.digest == last.current.digest
    last._seat.leave()


def test_during_a_rollout_each_decision_names_its_policy_and_a_batch_uses_one(
    postgres_ledger: Ledger, folder: Path, clock: ManualClock
) -> None:
    publish(postgres_ledger, folder)
    followers = [follower(postgres_ledger, clock) for _ in range(2)]
    loops = [Loop(postgres_ledger, made, clock, Feed()) for made in followers]
    old = followers[0].current.digest
    with postgres_ledger.write() as conn:
        journal.accept(conn, [lead(n) for n in range(30)], START)
    assert loops[0].work_off(10) == 10
    edit(folder, "another")
    publish(postgres_ledger, folder)
    assert followers[0].refresh()
    new = followers[0].current.digest
    assert loops[1].work_off(10) == 10  # it has not looked yet
    # The policy changes in the middle of a batch: the batch does not notice.
    assert swapped_during(followers[1], lambda: loops[1].work_off(10)) == 10
    assert followers[1].current.digest == new
    assert named(postgres_ledger) == [old] * 30
    with postgres_ledger.write() as conn:
        journal.accept(conn, [lead(n) for n in range(30, 40)], START)
    assert loops[1].work_off(10) == 10
    assert named(postgres_ledger) == [old] * 30 + [new] * 10


def swapped_during(policies: Policies, work: Callable[[], int]) -> int:
    """Does ``work``; as soon as it has taken its policy another one goes live."""
    taken: list[Policy] = []
    real = Loop._people

    def people(self: Loop, conn: object, policy: Policy) -> object:
        if not taken:
            taken.append(policy)
            thread = threading.Thread(target=policies.refresh)
            thread.start()
            thread.join()
        return real(self, conn, policy)  # type: ignore[arg-type]

    with patch.object(Loop, "_people", people):
        done = work()
    assert taken
    assert taken[0] is not policies.current
    return done


def test_who_waits_is_looked_at_again_after_the_last_process_swapped(
    postgres_ledger: Ledger, folder: Path, clock: ManualClock
) -> None:
    publish(postgres_ledger, folder)
    one, two = follower(postgres_ledger, clock), follower(postgres_ledger, clock)
    edit(folder, "another")
    publish(postgres_ledger, folder)
    for made in (one, two):
        with postgres_ledger.write() as conn:
            conn.exec_driver_sql("DELETE FROM timer")
            conn.exec_driver_sql(
                f"INSERT INTO timer (timer_id, purpose, ref, due_ms) VALUES ('t', 'hold', 'a:lead:b', {2**50})"
            )
        assert made.refresh()
        with postgres_ledger.read() as conn:
            assert timers.due(conn, clock())
