"""What a playbook is made of, before it is Markdown or HTML: texts here are plain and unescaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "keep", "stop"]  # how an outcome is coloured: it goes to somebody, stays, or waits


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to an ``anchor`` of the same page."""

    text: str
    to: str


@dataclass(frozen=True, slots=True)
class Strong:
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Something as it stands in a file."""

    text: str


Words = tuple[str | Link | Strong | Code, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    words: Words


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; every row has as many cells as ``head``."""

    head: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: when it holds, what it does, what it does besides; or the rungs inside of it."""

    title: str
    anchor: str
    when: Words
    does: Words
    more: tuple[Words, ...] = ()
    written: str = ""  # the condition as it stands in the file
    tone: Tone = ""
    inside: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    steps: tuple[Step, ...]


Part = Paragraph | Bullets | Grid | Steps


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    anchor: str
    parts: tuple[Part, ...]
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """The whole playbook. ``foot`` says what it was made from."""

    title: str
    intro: Words
    facts: tuple[tuple[str, str], ...]  # what there is of each, in numbers
    sections: tuple[Section, ...]
    foot: str


class Anchors:
    """Names of places in the page: letters and digits only, each once, whatever the things are called."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def of(self, kind: str, name: str) -> str:
        """The anchor of a thing; always the same for the same kind and name."""
        if (kind, name) not in self._of:
            plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
            base = "-".join(part for part in (kind, *plain[:60].split("-")) if part)
            found, number = base, 2
            while found in self._taken:
                found, number = f"{base}-{number}", number + 1
            self._taken.add(found)
            self._of[kind, name] = found
        return self._of[kind, name]


_LINE_BREAKERS = {ord(c): " " for c in "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"}
# Signs that are not seen: control characters, and those that turn the direction of what follows.
_UNSEEN = dict.fromkeys(
    (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), "\ufffd"
)


def seen(text: str) -> str:
    """A text on one line, without signs that cannot be seen."""
    return " ".join(text.translate(_LINE_BREAKERS).translate(_UNSEEN).split())
