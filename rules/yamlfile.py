"""Reading YAML with positions, safely.

The tree is built from PyYAML's events, not by its constructors: values stay text until the reader of a file gives them a
meaning (so ``NO`` stays Norway), nothing can be instantiated, and anchors, aliases, tags and deep nesting are refused
while they are read. A document that could grow when it is expanded ("YAML bomb") is therefore never expanded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from msgspec import Struct

from rules.misread import misread
from rules.source import Place, Report, Source, nearest

MAX_YAML = 2 * 1024 * 1024  # the largest real fields.yaml has some 100 kB
MAX_DEPTH = 20
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENS = (yaml.SequenceStartEvent, yaml.MappingStartEvent, yaml.AliasEvent)
_CLOSES = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_ESCAPES = {"x": 2, "u": 4, "U": 8}


class Scalar(Struct, frozen=True, gc=False):
    """A single value as text. ``plain`` is False when it was quoted or a block."""

    text: str
    place: Place
    plain: bool
    start: int
    end: int

    def at(self, start: int, end: int) -> Place:
        """Where the characters ``start:end`` of the text stand in the file, whatever way the value was quoted."""
        offsets = _offsets(self.place.source.text[self.start : self.end], self.text)
        first = self.start + (offsets[start] if start < len(offsets) else (offsets[-1] + 1 if offsets else 0))
        before = self.place.source.text[self.start : first].replace("\r\n", "\n")
        breaks = before.count("\n")
        column = len(before) - before.rfind("\n") if breaks else self.place.column + len(before)
        return Place(self.place.source, self.place.line + breaks, column, max(1, end - start))


@dataclass(slots=True)
class Items:
    """A YAML list; ``start`` and ``end`` are where its text stands in the file."""

    items: list[Node]
    place: Place
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A YAML mapping, in the order written, without duplicate keys."""

    entries: dict[str, tuple[Scalar, Node]]
    place: Place

    def get(self, name: str) -> Node | None:
        found = self.entries.get(name)
        return found[1] if found else None

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries.values())


Node = Scalar | Items | Block


class _RefusedError(Exception):
    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.place, self.message, self.hint = place, message, hint


def read_yaml(source: Source, report: Report) -> Node | None:
    """The document, or None when it is empty or cannot be read (then the reason is reported)."""
    if len(source.text) > MAX_YAML:
        report.error(
            source.place(), f"the file has more than {MAX_YAML // 1_048_576} MB; keep long lists in a CSV table"
        )
        return None
    try:
        return _Builder(source, report).build(iter(_LOADER(source.text).get_event, None))
    except _RefusedError as refused:
        report.error(refused.place, refused.message, refused.hint)
    except yaml.MarkedYAMLError as error:
        ended = error.problem_mark or error.context_mark
        mark, sentence, hint = misread(error, source.line(ended.line + 1) if ended else "")
        place = source.place(mark.line + 1, mark.column + 1) if mark else source.place()
        report.error(place, f"this cannot be read as YAML: {sentence}", hint)
    except yaml.reader.ReaderError as error:
        before = source.text[: max(0, error.position)].split("\n")
        report.error(
            source.place(len(before), len(before[-1]) + 1), "the file holds a character that YAML does not allow"
        )
    except yaml.YAMLError as error:
        report.error(source.place(), f"this cannot be read as YAML: {error}")
    return None


class _Builder:
    """Turns events into nodes. The stack holds the open lists and mappings, innermost last."""

    def __init__(self, source: Source, report: Report) -> None:
        self.source = source
        self.report = report
        self.stack: list[tuple[Items | Block, Scalar | None]] = []
        self.root: Node | None = None
        self.documents = 0

    def build(self, events: Iterable[Any]) -> Node | None:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind in _OPENS:
                self._node(event)
            elif kind is yaml.DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    raise _RefusedError(self._place(event), "a policy file holds one document: remove the line '---'")
            elif kind in _CLOSES:
                closed = self.stack.pop()[0]
                if isinstance(closed, Items) and event.end_mark is not None:
                    closed.end = event.end_mark.index
        root = self.root
        return None if isinstance(root, Scalar) and root.plain and root.text in ("", "~", "null") else root

    def _scalar(self, event: Any) -> None:
        if event.anchor or (event.tag and event.tag != "!"):
            self._refuse(event)
        start, end = event.start_mark, event.end_mark
        self._add(Scalar(event.value, self._place(event), not event.style, start.index, end.index))

    def _node(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
            self._refuse(event)
        place = self._place(event)
        if len(self.stack) >= MAX_DEPTH:
            raise _RefusedError(place, f"this is nested more than {MAX_DEPTH} levels deep")
        start: int = event.start_mark.index
        opened: Items | Block = (
            Items([], place, start) if isinstance(event, yaml.SequenceStartEvent) else Block({}, place)
        )
        self._add(opened)
        self.stack.append((opened, None))

    def _refuse(self, event: Any) -> None:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise _RefusedError(
                place,
                "anchors (&) and aliases (*) are not used in a policy: write the value out",
                "or put it in quotes",
            )
        raise _RefusedError(place, "tags (!) are not used in a policy: remove it", "or put the value in quotes")

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        parent, key = self.stack[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
        elif key is None:
            if not isinstance(node, Scalar):
                raise _RefusedError(node.place, "a name is expected before the colon, not a list or a block")
            self.stack[-1] = (parent, node)
        else:
            self.stack[-1] = (parent, None)
            if key.text in parent.entries:
                first = parent.entries[key.text][0].place.line
                self.report.error(key.place, f"'{key.text}' is written twice here; it is already on line {first}")
            else:
                parent.entries[key.text] = (key, node)

    def _place(self, event: Any) -> Place:
        start, end = event.start_mark, event.end_mark
        if end.line == start.line:
            length = end.column - start.column
        else:
            length = len(self.source.line(start.line + 1).rstrip()) - start.column
        return Place(self.source, start.line + 1, start.column + 1, max(1, length))


def _offsets(raw: str, text: str) -> list[int]:
    """For each character of a value its offset in the raw text it was written as (quotes, escapes, folded lines)."""
    offsets: list[int] = []
    at = 1 if raw[:1] in ('"', "'") else 0
    if raw[:1] in ("|", ">"):
        at = raw.find("\n") + 1
    double = raw[:1] == '"'
    for character in text:
        if double and raw[at : at + 1] == "\\":
            offsets.append(at)
            at += 2 + _ESCAPES.get(raw[at + 1 : at + 2], 0)
            continue
        if character.isspace():
            found = at
            while at < len(raw) and raw[at].isspace():
                at += 1
                if character != "\n" and raw[at - 1] == character and raw[at : at + 1] == character:
                    break  # several spaces within a line are several characters of the value
        else:
            while at < len(raw) and raw[at].isspace():
                at += 1
            found = at
            at += 2 if raw[:1] == "'" and raw[at : at + 2] == "''" else 1
        offsets.append(min(found, max(0, len(raw) - 1)))
    return offsets


# What the readers of the single files ask of a node, each reporting in an admin's words.


def as_block(node: Node | None, report: Report, what: str) -> Block | None:
    """``node`` as a mapping; reports where it is something else. None stays None."""
    if node is None or isinstance(node, Block):
        return node
    report.error(node.place, f"{what}: 'name: value' lines are expected here")
    return None


def as_items(node: Node | None, report: Report, what: str) -> list[Node]:
    """``node`` as a list; reports where it is something else. None is an empty list."""
    if node is None:
        return []
    if isinstance(node, Items):
        return node.items
    report.error(node.place, f"{what}: a list is expected here, one '- …' a line")
    return []


def as_text(node: Node | None, report: Report, what: str) -> Scalar | None:
    """``node`` as a text that is not blank; reports where it is something else. None stays None."""
    if node is None:
        return None
    if not isinstance(node, Scalar):
        report.error(node.place, f"{what}: a single value is expected here")
        return None
    if not node.text.strip():
        report.error(node.place, f"{what} is empty")
        return None
    return node


def as_flag(node: Node | None, report: Report, what: str, default: bool) -> bool:
    """``node`` as yes or no; ``default`` when it is absent or, reported, something else."""
    scalar = as_text(node, report, what)
    if scalar is None:
        return default
    word = scalar.text.casefold()
    if word in ("yes", "true"):
        return True
    if word not in ("no", "false"):
        report.error(scalar.place, f"{what} is yes or no, not '{scalar.text}'")
        return default
    return False


def known_keys(block: Block, allowed: Iterable[str], report: Report, what: str) -> None:
    """Reports every key of ``block`` that is not ``allowed``."""
    allowed = list(allowed)
    for key, _ in block:
        if key.text not in allowed:
            hint = nearest(key.text, allowed) or f"known here: {', '.join(allowed)}"
            report.error(key.place, f"{what} has no setting '{key.text}'", hint)
