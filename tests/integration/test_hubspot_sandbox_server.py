"""The sandbox as a process of its own: started, driven, compared, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from routing.runtime.clock import monotonic

PEOPLE = "name,email,role,region,active\nAna Diaz,ana@x.example,AE,AMER,yes\nBo Li,bo@x.example,CSM,APAC,yes\n"
COMMAND = [sys.executable, "-c", "from routing.cli.sandbox import app; app()", "serve"]


@contextmanager
def sandbox(folder: Path, *more: str, people: bool = True) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    (folder / "people.csv").write_text(PEOPLE)
    whose = ["--people", str(folder / "people.csv")] if people else []
    command = [*COMMAND, *whose, "--accounts", "100", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def post(address: str, body: Any) -> requests.Response:
    return requests.post(address, json=body, timeout=10)


def made(admin: str) -> dict[str, Any]:
    """The state once all leads are made."""
    deadline = monotonic() + 30
    while monotonic() < deadline:
        state: dict[str, Any] = requests.get(f"{admin}/state", timeout=10).json()
        assert state["error"] == ""
        if state["done"]:
            return state
        threading.Event().wait(0.02)
    raise AssertionError("the leads were not made in time")


def test_it_serves_without_a_file_of_people(tmp_path: Path) -> None:
    with sandbox(tmp_path, people=False) as (_, settings):
        users = requests.get(f"{settings['admin_url']}/records?system=salesforce&object=User", timeout=30)
        names = [json.loads(line)["fields"]["Email"] for line in users.text.splitlines()]
        assert "ana@sandbox.example" in names


def test_two_runs_of_one_seed_end_alike_and_another_seed_does_not(tmp_path: Path) -> None:
    dumps = []
    for seed in ("5", "5", "6"):
        with sandbox(tmp_path, "--seed", seed, "--settings-out", str(tmp_path / "settings.json")) as (
            process,
            settings,
        ):
            assert json.loads((tmp_path / "settings.json").read_text()) == settings
            admin = settings["admin_url"]
            assert requests.get(f"{admin}/state", timeout=10).json()["done"] is False
            assert post(f"{admin}/traffic", {"leads": 60, "rate": 2000, "churn": True}).status_code == 200
            state = made(admin)
            assert state["leads_total"] + state["refused"] == 60
            assert state["churned"] == 6
            dumps.append(
                "".join(
                    requests.get(f"{admin}/records?system={system}&object={name}", timeout=10).text
                    for system, name in (("salesforce", "Lead"), ("salesforce", "Account"), ("hubspot", "contacts"))
                )
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
    assert dumps[0] == dumps[1]
    assert dumps[0] != dumps[2]
    row = json.loads(dumps[0].splitlines()[0])
    assert {"id", "owner", "fields", "writes"} == set(row)


def test_orders_that_make_no_sense_are_refused_with_a_reason(tmp_path: Path) -> None:
    with sandbox(tmp_path) as (process, settings):
        admin = settings["admin_url"]
        for path, body, words in (
            ("traffic", {"leads": -1}, "negative"),
            ("traffic", {"rate": 0}, "above 0"),
            ("traffic", {"leads": "many"}, "leads: it is a whole number"),
            ("faults", {"system": "sap", "kind": "lock"}, "no sandbox is called 'sap'"),
            ("faults", {"system": "hubspot", "kind": "earthquake"}, "earthquake"),
        ):
            answer = post(f"{admin}/{path}", body)
            assert answer.status_code == 400
            assert words in answer.json()["error"]
        unknown = requests.get(f"{admin}/records?system=hubspot&object=deals", timeout=10)
        assert unknown.status_code == 400
        fault = {"system": "hubspot", "operation": "batch_read", "kind": "unavailable", "times": 3}
        assert len(post(f"{admin}/faults", fault).json()["faults"]) == 1
        assert post(f"{admin}/faults", {"clear": True}).json()["faults"] == []
        assert post(f"{admin}/webhook", {"url": "http://127.0.0.1:9/x"}).status_code == 200
        assert post(f"{admin}/stop", {}).status_code == 200
        assert process.wait(15) == 0


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    out = tmp_path / "settings.json"
    arguments = [*COMMAND, "--people", str(tmp_path / "people.csv"), "--accounts", "10", "--settings-out", str(out)]
    script = (
        "import subprocess, sys, pathlib, threading\n"
        f"child = subprocess.Popen({[*arguments, '--with-parent']!r}, stdout=subprocess.DEVNULL)\n"
        f"while not pathlib.Path({str(out)!r}).exists(): threading.Event().wait(0.05)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    pid = json.loads(out.read_text())["pid"]
    deadline = monotonic() + 20
    while monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if _is_zombie(pid):
            return
        threading.Event().wait(0.05)
    raise AssertionError("the sandbox outlived its parent")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_people_that_cannot_serve_end_it_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name\nAna\n")
    command = [*COMMAND, "--people", str(tmp_path / "people.csv")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 2
    assert "people.csv:1: the column email is missing" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("option", ["--salesforce-port", "--hubspot-port", "--port"])
def test_a_taken_port_is_said_so(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "people.csv").write_text(PEOPLE)
        command = [*COMMAND, "--people", str(tmp_path / "people.csv"), "--accounts", "5"]
        command += [option, str(taken.getsockname()[1])]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 2
    assert "The sandbox did not start" in finished.stderr
    assert "Traceback" not in finished.stderr
