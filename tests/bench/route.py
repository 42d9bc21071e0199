"""``fingerpost route`` on one core: leads decided a second, whole traces written. Companies: real ones where the file is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.leads import main as make_leads
from tests.bench.matching_fetch import more as more_companies
from tests.bench.report import Line
from tests.processes import POLICY

LEADS = 50_000


def run(folder: Path) -> list[Line]:
    leads, accounts, out = folder / "leads.csv", folder / "accounts.csv", folder / "decisions.jsonl"
    order = ["--leads", str(LEADS), "--out", str(leads), "--accounts-out", str(accounts)]
    companies = more_companies()
    make_leads([*order, "--companies", str(companies)] if companies.exists() else order)
    command = [sys.executable, "-m", "routing.cli.app", "route", "--policy", str(POLICY), "--accounts", str(accounts)]
    command += ["--leads", str(leads), "--now", "2026-11-22T12:00:00Z", "--out", str(out), "--json"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    said = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    summary = json.loads(said.splitlines()[-1])
    return [
        Line("leads decided, once loaded", summary["leads_per_second"], "leads/s", 5000),
        Line("share matched to an account", 100 * summary["matched"] / summary["leads"], "%"),
        Line("share assigned", 100 * summary["assigned"] / summary["leads"], "%"),
        Line("share held", 100 * summary["held"] / summary["leads"], "%"),
        Line("peak memory", usage.ru_maxrss / 1024, "MB"),
        Line("decisions written", out.stat().st_size / 1e6, "MB"),
    ]
