"""A playbook as Markdown (CommonMark with tables, as GitHub and most editors show it)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rules.docs.page import Bullets, Code, Grid, Link, Page, Paragraph, Part, Section, Step, Steps, Strong, Words, seen

_MEANT = re.compile(r"[\\`*_{}\[\]<>|~#&!$]")
_FIRST = re.compile(r"^(\d*)([-+=.)])")  # what begins a list, or underlines a heading
_TICKS = re.compile(r"`+")


def markdown(page: Page) -> str:
    """The page; the same page makes the same text."""
    lines = [f"# {_plain(page.title)}", "", _words(page.intro), ""]
    lines += [f"- {_plain(number)} {_plain(what)}" for what, number in page.facts]
    lines += ["", "## Contents", ""]
    for section in page.sections:
        lines.append(f"- [{_plain(section.title)}](#{section.anchor})")
        lines += [f"  - [{_plain(one.title)}](#{one.anchor})" for one in section.sections]
    for section in page.sections:
        lines += ["", *_section(section, 2)]
    lines += ["", "---", "", _plain(page.foot), ""]
    return "\n".join(lines)


def _section(section: Section, level: int) -> Iterator[str]:
    yield f'<a id="{section.anchor}"></a>'
    yield ""
    yield f"{'#' * level} {_plain(section.title)}"
    for part in section.parts:
        yield ""
        yield from _part(part)
    for one in section.sections:
        yield ""
        yield from _section(one, level + 1)


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Paragraph):
        yield _words(part.words)
    elif isinstance(part, Bullets):
        for item in part.items:
            yield f"- {_words(item)}"
    elif isinstance(part, Grid):
        yield f"| {' | '.join(_plain(cell) for cell in part.head)} |"
        yield "|" + " --- |" * len(part.head)
        for row in part.rows:
            yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    elif isinstance(part, Steps):
        yield from _steps(part.steps, "")


def _steps(steps: tuple[Step, ...], indent: str) -> Iterator[str]:
    for number, step in enumerate(steps, 1):
        mark = f"{number}. "
        inner = indent + " " * len(mark)
        yield f'{indent}{mark}<a id="{step.anchor}"></a>**{_plain(step.title)}**'
        for words in (step.when, step.does, *step.more):
            if words:
                yield ""
                yield f"{inner}{_words(words)}"
        if step.written:
            yield ""
            yield f"{inner}{_code(step.written)}"
        yield ""
        if step.inside:
            yield from _steps(step.inside, inner)


def _words(words: Words) -> str:
    found = []
    for one in words:
        if isinstance(one, Strong):
            found.append(f"**{_plain(one.text)}**")
        elif isinstance(one, Link):
            found.append(f"[{_plain(one.text)}](#{one.to})")
        elif isinstance(one, Code):
            found.append(_code(one.text))
        else:
            found.append(_escaped(_spaced(one)))
    return _FIRST.sub(r"\1\\\2", "".join(found))


def _cell(words: Words) -> str:
    # Within a table a bar ends the cell, also within code.
    return "".join(
        _code(one.text).replace("|", "\\|") if isinstance(one, Code) else _words((one,)) for one in words
    ).strip()


def _plain(text: str) -> str:
    """A text that means itself, wherever in a line it stands."""
    return _FIRST.sub(r"\1\\\2", _escaped(seen(text)))


def _escaped(text: str) -> str:
    return _MEANT.sub(lambda match: "\\" + match[0], text).replace("://", "\\://").replace("www.", "www\\.")


def _spaced(text: str) -> str:
    """A part of a sentence: the blanks at its ends join it to its neighbours."""
    before = " " if text[:1].isspace() else ""
    after = " " if text[-1:].isspace() and text.strip() else ""
    return before + seen(text) + after


def _code(text: str) -> str:
    text = seen(text)
    longest = max((len(ticks) for ticks in _TICKS.findall(text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text[:1] in ("`", "") or text[-1:] in ("`", "") else ""
    return f"{fence}{space}{text}{space}{fence}"
