"""The values of a record as an admin writes them in ``tests.yaml``, by the type of their field."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

from rules.fields import Path
from rules.language.literals import wrong_choice
from rules.model import Field
from rules.policy_tests.case import Ago
from rules.pools.people import People
from rules.source import Report
from rules.values import moment
from rules.yamlfile import Items, Node, Scalar, as_text

_AGO = re.compile(r"(?:(in)\s+)?(\d{1,5})\s*(minute|hour|day|week)s?(?:\s+(ago))?", re.IGNORECASE)
_WORDS = {"today": timedelta(0), "now": timedelta(0), "yesterday": timedelta(days=-1), "tomorrow": timedelta(days=1)}
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
_BLANK = ("", "~", "null", "blank")
MAX_LIST = 1_000


def read_value(node: Node, path: str, field: Field, people: People, report: Report) -> Any:
    """The value of a field, None when it is blank or has a mistake, which is reported."""
    if isinstance(node, Items) and field.type == "list":
        texts = (as_text(item, report, f"an item of {path}") for item in node.items[:MAX_LIST])
        return [text.text for text in texts if text is not None]
    if not isinstance(node, Scalar):
        report.error(node.place, f"{path}: a single value is expected here")
        return None
    text = node.text.strip()
    if node.plain and text.casefold() in _BLANK:
        return None
    if field.type in ("number", "money"):
        return _number(text, path, node, report)
    if field.type == "boolean":
        if text.casefold() not in _YES_NO:
            report.error(node.place, f"{path} is yes or no, not '{text}'")
        return _YES_NO.get(text.casefold())
    if field.type in ("date", "datetime"):
        return _moment(text, path, field, node, report)
    if field.type == "person":
        person = people.find(text)
        if person is None:
            report.error(node.place, *people.unknown(text))
        return person.key if person else None
    if field.type == "list":
        return [text]
    if (wrong := wrong_choice(text, Path(path, field, lambda _: None))) is not None:
        report.error(node.place, *wrong)
    return node.text


def _number(text: str, path: str, node: Scalar, report: Report) -> int | float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        report.error(node.place, f"{path} is a number, not '{text}'", "write it as 200")
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _moment(text: str, path: str, field: Field, node: Scalar, report: Report) -> Ago | str | None:
    whole = field.type == "date"
    if text.casefold() in _WORDS:
        return Ago(_WORDS[text.casefold()], whole)
    match = _AGO.fullmatch(text)
    if match is not None and bool(match[1]) != bool(match[4]):
        distance = timedelta(**{f"{match[3].lower()}s": int(match[2])})
        return Ago(-distance if match[4] else distance, whole)
    if moment(text) is None:
        hint = "write 2026-11-22, '3 days ago', 'in 2 weeks' or 'today'"
        report.error(node.place, f"{path} is a date, not '{text}'", hint)
        return None
    return text[:10] if whole else text
