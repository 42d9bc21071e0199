"""What is wrong with a text that is no YAML, in an admin's words."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

TAB = ("a tab stands here", "indent with spaces, not with tabs")
BRACKET = (
    "more follows after the ]",
    "put quotes around a condition that begins with a bracket: '[Is enterprise] and …'",
)
# What libyaml says, as "problem; context": a sentence, what to do, and whether the beginning of the thing is meant, not its end.
SAID: tuple[tuple[str, str, str, bool], ...] = (
    ("flow sequence", "this list is not closed, or a value in it is not set off", "values with commas, quotes or brackets: one a line, as '- …'", True),
    ("flow mapping", "this { is not closed, or a value in it is not set off", "'name: value' lines are easier; a text with commas needs quotes", True),
    ("unexpected end of stream; while scanning a quoted", "this text has no closing quote", "", True),
    ("unknown escape", "a \\ within double quotes begins a special sign", "use single quotes: 'a\\b'", False),
    ("mapping values", "a second ': ' on this line, or a line that stands too far to the right", "put a text that holds ': ' in quotes", False),
    ("sequence entries", "a list begins on a line of its own", "write each '- …' on a line below", False),
    ("'-' indicator", "this line belongs to no '- …' above it", "indent it as the lines around it", False),
    ("simple key", "this line has no ': '", "write 'name: value', or '- value' in a list", True),
    ("expected key", "this does not belong to the line before it", "put quotes around the whole text, or indent the line as those around it", False),
    ("start any token", "a value cannot begin with this sign", "put the value in quotes", False),
    ("node content", "a value cannot begin with this sign", "put the value in quotes", False),
)  # fmt: skip


class Misread(NamedTuple):
    """The mark that is meant, a sentence, and what to do."""

    mark: Any
    sentence: str
    hint: str


def misread(error: Any, line: str) -> Misread:
    """What a ``yaml.MarkedYAMLError`` means. ``line`` is the text of the line where reading ended."""
    said = f"{error.problem or ''}; {error.context or ''}"
    mark = error.problem_mark or error.context_mark
    if "\t" in line:
        return Misread(mark, *TAB)
    if re.search(r"(when|-|:) *\[[^\]]*\] *\S", line):
        return Misread(mark, *BRACKET)
    for words, sentence, hint, begins in SAID:
        if words in said:
            return Misread((error.context_mark or mark) if begins else mark, sentence, hint)
    return Misread(mark, error.problem or error.context or "it is none", "check the indentation and the quotes")
