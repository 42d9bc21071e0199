"""Patterns of ``matches``. RE2 reads a text once, whatever the pattern: none can hang (Google's RE2, syntax as in Perl).

The whole text must match, without case. Patterns are small: the text has at most ``MAX_PATTERN`` characters, what RE2 makes
of it at most ``MAX_MEMORY`` bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

import re2

from rules.language.mistakes import ConditionError
from rules.language.syntax import Span

MAX_PATTERN = 500
MAX_MEMORY = 256 * 1024


@lru_cache(maxsize=4_096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text matches. Raises re2.error where ``pattern`` is none."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = MAX_MEMORY
    whole = re2.compile(pattern, options).fullmatch

    def matches(text: str) -> bool:
        try:
            return whole(unicodedata.normalize("NFC", text.strip())) is not None
        except UnicodeEncodeError:  # half of a surrogate pair: no text that anybody wrote
            return False

    return matches


def check_pattern(pattern: str, span: Span) -> None:
    """Raises ConditionError at the part of the pattern that is wrong. ``span`` is that of the quoted text."""
    if len(pattern) > MAX_PATTERN:
        raise ConditionError(span, f"a pattern has at most {MAX_PATTERN} characters", "list the values: in (…)")
    try:
        matcher(pattern)
    except UnicodeEncodeError:
        raise ConditionError(span, "this pattern holds a character that is none") from None
    except re2.error as error:
        said = error.args[0] if error.args else ""
        what, _, part = (said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)).partition(": ")
        at = pattern.find(part) if part else -1
        where = (span[0] + 1 + at, span[0] + 1 + at + len(part)) if at >= 0 and part != pattern else span
        hint = "lookarounds and back references are not known" if "(?" in part else "put \\ before a sign that is meant"
        if "too large" in what:
            hint = "repeat less, or say it in several conditions"
        raise ConditionError(where, f"this is no pattern: {what}", hint) from None
