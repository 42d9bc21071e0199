"""Mistakes in the grammar of a condition, in an admin's words, with the word that was probably meant."""

from __future__ import annotations

import difflib
import re

from lark import UnexpectedInput, UnexpectedToken

from rules.language.syntax import Span

_JOINTS = (
    "=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "starts with", "ends with", "is blank", "is active",
    "matches", "within", "before", "after", "changed", "crossed", "and", "or",
)  # fmt: skip
# Words of other languages and programs, and ours for the same.
_OURS = {
    "equals": "=", "equal": "=", "eq": "=", "is": "=", "==": "=", "<>": "!=", "=<": "<=", "=>": ">=", "&&": "and",
    "||": "or", "&": "and", "|": "or", "!": "not", "has": "contains", "includes": "contains", "like": "contains",
    "begins": "starts with", "empty": "is blank", "null": "is blank", "isblank": "is blank", "over": ">", "above": ">",
    "under": "<", "below": "<", "between": "in 200..999", "became": "changed to", "becomes": "changed to",
    "crosses": "crossed",
}  # fmt: skip


class ConditionError(Exception):
    """A text that is no condition: the offsets meant, a sentence, and a hint."""

    def __init__(self, span: Span, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.span, self.message, self.hint = span, message, hint


def explained(text: str, error: UnexpectedInput) -> ConditionError:
    """What an admin is told where the grammar cannot go on."""
    found_at: int | None = error.pos_in_stream
    at = -1 if found_at is None else found_at
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    if ended or not 0 <= at < len(text) or not text[at:].strip():
        last = max(1, len(text.rstrip()))
        message = "the condition stops too early: something is missing here"
        return ConditionError((last - 1, last), message, _expected(error, text))
    found = re.compile(r"\w+(\.\w+)*|[^\w\s\"'().,]+|.", re.DOTALL).match(text, at)
    word = found.group() if found else text[at]
    span = (at, at + len(word))
    if word[0] in "“”„‟‘’«»":
        return ConditionError(span, "these are typographic quotes", 'use straight ones: "Customer"')
    if word[0] in "\"'":
        return ConditionError((at, len(text)), "this text has no closing quote")
    if at > 0 and text[at - 1 : at] in ("=", "<", ">", "!") and word[0] in "=<>":
        both = text[at - 1] + word
        return ConditionError(
            (at - 1, span[1]), f"'{both}' is no comparison", f"did you mean '{_OURS.get(both, '=')}'?"
        )
    ours = _OURS.get(word.casefold())
    if ours is None and "SIGN" in _wanted(error):
        close = difflib.get_close_matches(word.casefold()[:50], _JOINTS, n=1, cutoff=0.6)
        ours = close[0] if close else None
    hint = f"did you mean '{ours}'?" if ours and ours != word.casefold() else ""
    return ConditionError(span, f"'{word[:60]}' does not fit here", hint or _expected(error, text[:at]))


def _expected(error: UnexpectedInput, before: str) -> str:
    """A hint from what the grammar could take after the text ``before`` the mistake."""
    if re.search(r"\bin\s+(\"[^\"]*\"|'[^']*'|[\d.]+)\s*$", before, re.IGNORECASE):
        return 'put the values in brackets: in ("DE", "AT")'
    if re.search(r"\d$", before) and not re.search(r"\([^()]*$", before) and getattr(error, "token", None) == ",":
        return "write a number without a comma: 1000"
    wanted = _wanted(error)
    if "SIGN" in wanted:
        return f"expected one of: {', '.join(_JOINTS)}"
    if "PATH" in wanted:
        return 'expected a field such as lead.country, or a value such as "DE" or 200'
    if "BLANK" in wanted:
        return "expected blank, not blank, active or not active"
    if wanted == {"STRING"}:
        return 'a pattern is written in quotes: matches "(VP|Head) .*"'
    if "UNIT" in wanted and "SIGN" not in wanted and not wanted & {"_AND", "PLUS"}:
        return "expected minutes, hours, days or weeks"
    if "_FROM" in wanted or "_TO" in wanted:
        return "'changed' stands alone, or is followed by: from …, to …, from … to …"
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", before)
    if bare.count("(") > bare.count(")"):
        return "expected a closing bracket"
    return (
        ""
        if wanted - {"_AND", "_OR", "$END", "PLUS", "MINUS", "TIMES", "DIVIDE"}
        else "expected 'and', 'or', or the end"
    )


def _wanted(error: UnexpectedInput) -> set[str]:
    """The terminals that could have followed; UnexpectedToken and UnexpectedCharacters name them differently."""
    return {str(one) for name in ("expected", "allowed") for one in getattr(error, name, None) or ()}
