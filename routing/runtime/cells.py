"""Turns the cells of a file into values of the canonical model, by the type that fields.yaml gives the field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from routing.core.model import Value
from routing.core.times import iso, parse_instant
from rules.model import Field

_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")
_YES = frozenset(("true", "yes", "1", "y", "x"))
_NO = frozenset(("false", "no", "0", "n"))
# What spreadsheets run: a function call, or a call of another program.
_CALL = re.compile(r"[=+\-@]\s*[A-Za-z_.]+\s*\(|.*\|.*!")
_LIMIT = 40


class CellError(Exception):
    """``args[0]`` says what is wrong with the cell."""


class Convert(msgspec.Struct, frozen=True):
    """How a field's cells are read. ``text`` is None where the text is the value."""

    type: str
    text: Callable[[str], Value] | None

    @classmethod
    def of(cls, field: Field) -> Convert:
        """By the field's type in fields.yaml."""
        return cls(field.type, _BY_TYPE.get(field.type))


def formula(cell: str) -> bool:
    """Whether a spreadsheet would run this cell. ``+49 30 …``, ``-5`` and ``@handle`` are data."""
    return (cell[0] == "=" and len(cell) > 1) or _CALL.match(cell[:200]) is not None


def check_json(value: Any, convert: Convert) -> Value:
    """A JSON value as a value of that type. Raises CellError."""
    if isinstance(value, str):
        return convert.text(value) if convert.text is not None else value
    if isinstance(value, bool):
        if convert.type != "boolean":
            raise CellError(f"{str(value).lower()} is not a {convert.type}")
        return value
    if isinstance(value, (int, float)):
        if convert.type in ("number", "money"):
            return _finite(value, str(value))
        if convert.type in ("boolean", "date", "datetime", "list"):
            raise CellError(f"{value} is not a {convert.type}")
        return str(value)
    if isinstance(value, list) and convert.type == "list" and all(isinstance(one, str) for one in value):
        return value
    raise CellError(f"a {convert.type} was expected, not a {'list' if isinstance(value, list) else 'nested object'}")


def _number(cell: str) -> Value:
    text = cell.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    if not _NUMBER.fullmatch(text):
        raise CellError(f"'{text[:_LIMIT]}' is not a number")
    return _finite(float(text.replace(",", "")), text)


def _finite(number: Any, text: str) -> Value:
    if isinstance(number, float):
        if not math.isfinite(number):
            raise CellError(f"'{text[:_LIMIT]}' is not a finite number")
        if number.is_integer() and abs(number) < 1e15:
            return int(number)
    elif abs(number) >= 1 << 63:
        raise CellError(f"'{text[:_LIMIT]}' is too large a number")
    return number


def _boolean(cell: str) -> Value:
    text = cell.strip().lower()
    if not text:
        return None
    if text not in _YES | _NO:
        raise CellError(f"'{cell[:_LIMIT]}' is neither yes nor no")
    return text in _YES


def _date(cell: str) -> Value:
    instant = _instant(cell)
    return None if instant is None else instant[:10]


def _instant(cell: str) -> str | None:
    text = cell.strip()
    if not text:
        return None
    try:
        if len(text) == 20 and text[10] == "T" and text[19] == "Z":
            datetime.fromisoformat(text)  # raises where it is no instant; otherwise it is nearly as we write it
            return f"{text[:19]}.000Z"
        return iso(parse_instant(text))
    except (ValueError, OverflowError):
        raise CellError(f"'{text[:_LIMIT]}' is not a date: write it as 2026-11-22 or 2026-11-22T18:55:03Z") from None


def _list(cell: str) -> Value:
    return [part.strip() for part in cell.split(";") if part.strip()] or None


_BY_TYPE: dict[str, Callable[[str], Value]] = {
    "number": _number,
    "money": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _instant,
    "list": _list,
    "person": lambda cell: cell.strip() or None,
    "reference": lambda cell: cell.strip() or None,
}
