"""The part of SOQL that the sandbox understands. Anything else is refused as Salesforce refuses a malformed query.

SELECT a, b | COUNT() FROM Object
[WHERE a = 'x' AND (b IN ('y', 'z') OR NOT c > 3) …] [ORDER BY a [ASC|DESC], …] [LIMIT n] [OFFSET n]
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

Row = dict[str, Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<instant>\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)|(?P<sign><=|>=|!=|<>|[=<>(),]))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class MalformedQuery(Exception):
    """The query cannot be read; the text is Salesforce-like."""


class UnknownName(Exception):
    """An object or field that does not exist; ``code`` is INVALID_TYPE or INVALID_FIELD."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Query(Struct, frozen=True):
    """A parsed query. ``ids`` narrows the search to those 15-character ids where the whole condition demands it."""

    fields: tuple[str, ...]
    object: str
    test: Test
    order: tuple[tuple[str, bool], ...]
    limit: int | None
    offset: int
    count: bool
    ids: frozenset[str] | None
    names: frozenset[str]  # every field the query mentions


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise MalformedQuery(f"line 1:{position} no viable alternative at character '{text[position]}'")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        self._at = 0
        self._names: set[str] = set()

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "<EOF>")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _word(self, *words: str) -> bool:
        """Takes the next token when it is one of these words."""
        kind, text = self._peek()
        if kind == "word" and text.upper() in words:
            self._at += 1
            return True
        return False

    def _sign(self, sign: str) -> bool:
        if self._peek() == ("sign", sign):
            self._at += 1
            return True
        return False

    def _need(self, taken: bool) -> None:
        if not taken:
            raise MalformedQuery(f"unexpected token: '{self._peek()[1]}'")

    def _name(self) -> str:
        kind, text = self._next()
        self._need(kind == "word")
        return text

    def _field(self) -> str:
        name = self._name()
        if "." in name:
            raise MalformedQuery(f"unexpected token: '{name}' (the sandbox follows no relationships)")
        self._names.add(name)
        return name

    def _number(self) -> int:
        kind, text = self._next()
        self._need(kind == "number" and text.isdigit())
        return int(text)

    def query(self) -> Query:
        self._need(self._word("SELECT"))
        fields: list[str] = []
        count = self._word("COUNT")
        if count:
            self._need(self._sign("(") and self._sign(")"))
        else:
            fields.append(self._field())
            while self._sign(","):
                fields.append(self._field())
        self._need(self._word("FROM"))
        name = self._name()
        ids: frozenset[str] | None = None
        test: Test = _always
        if self._word("WHERE"):
            test, ids = self._either()
        order = self._order() if self._word("ORDER") else ()
        limit = self._number() if self._word("LIMIT") else None
        offset = self._number() if self._word("OFFSET") else 0
        self._need(self._peek()[0] == "end")
        return Query(tuple(fields), name, test, order, limit, offset, count, ids, frozenset(self._names))

    def _order(self) -> tuple[tuple[str, bool], ...]:
        self._need(self._word("BY"))
        order = []
        while True:
            field = self._field()
            descending = self._word("DESC")
            if not descending:
                self._word("ASC")
            order.append((field, descending))
            if not self._sign(","):
                return tuple(order)

    def _either(self) -> tuple[Test, frozenset[str] | None]:
        test, ids = self._both()
        tests = [test]
        while self._word("OR"):
            tests.append(self._both()[0])
        if len(tests) == 1:
            return test, ids
        return (lambda row: any(one(row) for one in tests)), None

    def _both(self) -> tuple[Test, frozenset[str] | None]:
        test, ids = self._one()
        tests = [test]
        while self._word("AND"):
            more, other = self._one()
            tests.append(more)
            ids = other if ids is None else ids & other if other is not None else ids
        if len(tests) == 1:
            return test, ids
        return (lambda row: all(one(row) for one in tests)), ids

    def _one(self) -> tuple[Test, frozenset[str] | None]:
        if self._word("NOT"):
            inner, _ = self._one()
            return (lambda row: not inner(row)), None
        if self._sign("("):
            test, ids = self._either()
            self._need(self._sign(")"))
            return test, ids
        return self._comparison()

    def _comparison(self) -> tuple[Test, frozenset[str] | None]:
        field = self._field()
        negated = self._word("NOT")
        if negated or self._word("IN"):
            if negated:
                self._need(self._word("IN"))
            return self._membership(field, negated)
        if self._word("LIKE"):
            kind, text = self._next()
            self._need(kind == "text")
            pattern = re.escape(_unquote(text)).replace("%", ".*").replace("_", ".")
            like = re.compile(pattern, re.IGNORECASE | re.DOTALL)
            return (lambda row: like.fullmatch(str(row.get(field) or "")) is not None), None
        kind, sign = self._next()
        self._need(kind == "sign" and sign in _COMPARE)
        wanted = _comparable(field, self._literal())
        compare = _COMPARE[sign]
        ids = frozenset((wanted,)) if field.upper() == "ID" and sign == "=" and isinstance(wanted, str) else None

        def holds(row: Row) -> bool:
            value = _comparable(field, row.get(field))
            if value is None or wanted is None:  # nothing is larger or smaller than nothing
                return sign in ("=", "!=", "<>") and compare(value, wanted)
            try:
                return compare(value, wanted)
            except TypeError:
                return False

        return holds, ids

    def _membership(self, field: str, negated: bool) -> tuple[Test, frozenset[str] | None]:
        self._need(self._sign("("))
        values = [_comparable(field, self._literal())]
        while self._sign(","):
            values.append(_comparable(field, self._literal()))
        self._need(self._sign(")"))
        among = frozenset(values)
        ids = frozenset(str(value) for value in among) if field.upper() == "ID" and not negated else None
        return (lambda row: (_comparable(field, row.get(field)) in among) != negated), ids

    def _literal(self) -> Any:
        kind, text = self._next()
        if kind == "text":
            return _unquote(text)
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "instant":
            return datetime.fromisoformat(text) if "T" in text else text
        if kind == "word" and text.upper() in ("TRUE", "FALSE", "NULL"):
            return {"TRUE": True, "FALSE": False, "NULL": None}[text.upper()]
        raise MalformedQuery(f"unexpected token: '{text}'")


def _always(_: Row) -> bool:
    return True


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])


def _comparable(field: str, value: Any) -> Any:
    """Text compares without case; ids by their first 15 characters, with case; instants as instants."""
    if not isinstance(value, str):
        return value
    if field.endswith("Id") and len(value) in (15, 18):
        return value[:15]
    if len(value) == 28 and value[10] == "T":
        return datetime.fromisoformat(value)
    return value.lower()


def parse(text: str) -> Query:
    """Reads a query. Raises MalformedQuery."""
    return _Parser(text).query()


def select(query: Query, rows: Iterable[Row]) -> list[Row]:
    """The rows a query asks for, in its order."""
    found = [row for row in rows if query.test(row)]
    for field, descending in reversed(query.order):
        found.sort(key=lambda row, field=field: _sort_key(field, row.get(field)), reverse=descending)  # type: ignore[misc]
    found = found[query.offset :]
    return found if query.limit is None else found[: query.limit]


def _sort_key(field: str, value: Any) -> tuple[bool, Any]:
    # Nothing comes first; ids are ordered with case.
    return value is not None, value.lower() if isinstance(value, str) and not field.endswith("Id") else value
