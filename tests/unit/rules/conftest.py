"""Every message that a test provokes is one that rules/ERRORS.md lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from rules.source import Report
from tests.unit.rules.messages import documented


@pytest.fixture(scope="session")
def known_messages() -> re.Pattern[str]:
    return documented()


@pytest.fixture(autouse=True)
def _no_unknown_message(monkeypatch: pytest.MonkeyPatch, known_messages: re.Pattern[str]) -> Iterator[None]:
    add, unknown = Report._add, []

    def _add(self: Report, place: Any, message: str, hint: str, **rest: bool) -> None:
        if not known_messages.fullmatch(" ".join(message.split())):
            unknown.append(message)
        add(self, place, message, hint, **rest)

    monkeypatch.setattr(Report, "_add", _add)
    yield
    assert not unknown, "rules/ERRORS.md does not list these; see tests/unit/rules/messages.py"
