"""Prints the table of the storms when all tests have ended."""

from __future__ import annotations

import pytest

from tests.faults.report import LINES, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LINES:
        terminalreporter.section("storms")
        for line in table():
            terminalreporter.write_line(line)
