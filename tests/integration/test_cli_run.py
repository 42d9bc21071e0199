"""``fingerpost run`` and what looks at its ledger, as a person types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import wait_for

EXAMPLES = Path(__file__).parents[2] / "rules" / "examples"
COMMAND = [sys.executable, "-m", "routing.cli.app"]


def fingerpost(folder: Path, *words: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=seconds)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which a bounded sandbox run took place, and what that printed."""
    folder = tmp_path_factory.mktemp("run")
    return folder, fingerpost(folder, "run", "--sandbox", "--leads", "60", "--rate", "60", "--until-idle", "--json")


def test_a_bounded_run_ends_by_itself_with_a_summary(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, run = done
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary["leads_in"] == 60
    assert summary["assigned"] + summary["kept"] + summary["held"] + summary["rejected"] == 60
    assert (summary["parked"], summary["open"]) == (0, 0)
    assert summary["corrected"] > 30
    assert 0 < summary["latency_p50_ms"] <= summary["latency_p99_ms"]
    assert set(summary["calls_per_1000_assignments"]) == {"salesforce", "hubspot"}
    assert summary["pools"]
    assert all(pool["deviation"] < 1 for pool in summary["pools"])


@pytest.mark.parametrize("example", sorted(one.name for one in EXAMPLES.iterdir() if one.is_dir()))
def test_every_example_runs_against_the_sandbox(tmp_path: Path, example: str) -> None:
    call = ["--policy", str(EXAMPLES / example), "--leads", "10", "--rate", "50", "--until-idle", "--json"]
    run = fingerpost(tmp_path, "run", "--sandbox", *call)
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert (summary["leads_in"], summary["parked"], summary["open"]) == (10, 0, 0)


def test_every_decision_can_be_listed_and_explained(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = done
    listed = fingerpost(folder, "decisions", "list", "--limit", "100", "--json")
    decisions = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(decisions) == 60
    one = next(d for d in decisions if d["pool"] and d["corrections"])
    told = fingerpost(folder, "decisions", "show", one["decision_id"][:13]).stdout
    for part in (one["owner"], one["pool"], one["rung"], one["corrections"][0]["field"], "confirmed at"):
        assert part in told
    by_record = fingerpost(folder, "decisions", "show", one["record_id"], "--json")
    assert json.loads(by_record.stdout.splitlines()[0])["decision"]["decision_id"] == one["decision_id"]


def test_asking_for_what_is_not_there_says_so(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = done
    nothing = fingerpost(folder, "decisions", "show", "00000000-nothing")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no decision" in nothing.stderr
    assert fingerpost(folder, "parked", "list").returncode == 0
    assert fingerpost(folder, "parked", "retry").returncode == 2
    assert fingerpost(folder, "decisions", "list", "--ledger", "nowhere.db").returncode == 2


def test_without_sandbox_or_settings_it_says_what_to_say(tmp_path: Path) -> None:
    run = fingerpost(tmp_path, "run")
    assert run.returncode == 2
    assert "--sandbox" in run.stderr
    missing = fingerpost(tmp_path, "run", "--config", "nowhere.yaml")
    assert missing.returncode == 2
    assert "nowhere.yaml" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_ctrl_c_stops_cleanly_and_a_second_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    command = [*COMMAND, "run", "--sandbox", "--rate", "30"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        ledger = tmp_path / ".fingerpost" / "sandbox" / "ledger.db"
        try:
            wait_for("the first decision", lambda: ledger.exists() and _decisions(tmp_path) > 0, pause=0.5)
            second = fingerpost(tmp_path, "run", "--sandbox")
            assert second.returncode == 2
            assert "already" in second.stderr
        finally:
            run.send_signal(signal.SIGINT)
        printed, said = run.communicate(timeout=30)
    assert run.returncode == 0, said
    assert "What this run came to" in printed
    assert "Traceback" not in said


def _decisions(folder: Path) -> int:
    return len(fingerpost(folder, "decisions", "list", "--json").stdout.splitlines())
