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
    "crosses": "crossed", "isnt": "is not", "isn": "is not", "aint": "is not",
}  # fmt: skip
# Words of ours by a terminal of the grammar that stands where they can.
_WORDS: dict[str, tuple[str, ...]] = {
    "SIGN": _JOINTS, "_AND": ("and", "or"), "UNIT": ("minutes", "hours", "days", "weeks"), "BLANK": ("blank",), "ACTIVE": ("active",),
    "WITH": ("with",), "_FROM": ("from",), "_TO": ("to",), "NEXT": ("next", "last"),
}  # fmt: skip
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class ConditionError(Exception):
    """A text that is no condition: the offsets meant, a sentence, and a hint."""

    def __init__(self, span: Span, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.span, self.message, self.hint = span, message, hint


def explained(text: str, error: UnexpectedInput) -> ConditionError:
    """What an admin is told where the grammar cannot go on."""
    wanted = set(getattr(error, "interactive_parser").accepts())  # noqa: B009  # the parser adds it; the class does not name it
    found_at: int | None = error.pos_in_stream
    at = -1 if found_at is None else found_at
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    if ended or not 0 <= at < len(text) or not text[at:].strip():
        last = max(1, len(text.rstrip()))
        message = "the condition stops too early: something is missing here"
        return ConditionError((last - 1, last), message, _expected("", text, wanted))
    if (joint := re.match(r"\s*(and|or)\b", text, re.IGNORECASE)) and at == _start(text, joint.end()):
        return ConditionError(joint.span(1), f"'{joint[1]}' joins two conditions: the first is missing")
    found = re.compile(r"\"[^\"\r\n]*\"|'[^'\r\n]*'|\w+(\.\w+)*|[^\w\s\"'().,]+|.", re.DOTALL).match(text, at)
    word = found.group() if found else text[at]
    span = (at, at + len(word))
    if word[0] in "“”„‟‘’«»":
        return ConditionError(span, "these are typographic quotes", 'use straight ones: "Customer"')
    if word in ('"', "'"):
        return ConditionError((at, len(text)), "this text has no closing quote")
    if at > 0 and text[at - 1 : at] in ("=", "<", ">", "!") and word[0] in "=<>":
        both = text[at - 1] + word
        return ConditionError(
            (at - 1, span[1]), f"'{both}' is no comparison", f"did you mean '{_OURS.get(both, '=')}'?"
        )
    shown = word if len(word) <= 60 else f"{word[:59]}…"
    return ConditionError(
        span, f"'{shown}' does not fit here", _meant(word, wanted) or _expected(word, text[:at], wanted)
    )


def _start(text: str, after: int) -> int:
    """Where the next word begins."""
    return len(text) - len(text[after:].lstrip())


def _meant(word: str, wanted: set[str]) -> str:
    """The word of ours that was probably meant."""
    said, sure = word.casefold()[:50], _OURS.get(word.casefold())
    if sure is None:
        known = [one for terminal, words in _WORDS.items() if terminal in wanted for one in words]
        close = difflib.get_close_matches(said, known, n=1, cutoff=0.6)
        sure = close[0] if close else None
    return f"did you mean '{sure}'?" if sure and sure != said else ""


def _expected(word: str, before: str, wanted: set[str]) -> str:
    """A hint from what the grammar could take after the text ``before`` the mistake."""
    quoted = word if word[:1] in "\"'" else f'"{word}"'
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", before)
    if "STRING" in wanted and "PATH" in wanted:
        if word[:1] in "<>=!" and (joint := re.search(r"\b(and|or)\s*$", before, re.IGNORECASE)):
            return f"name the field again after '{joint[1]}'; both ends of a range: lead.employees in 200..999"
        return 'expected a field such as lead.country, or a value such as "DE" or 200'
    if wanted == {"PATH"}:
        return "expected a field such as lead.country"
    if "SIGN" in wanted:
        return f"expected one of: {', '.join(_JOINTS)}"
    if "BLANK" in wanted:
        value = quoted if word and not _NUMBER.fullmatch(word) else word
        sign = "=" if re.search(r"\bis\s*$", before, re.IGNORECASE) else "!="
        return "expected blank, not blank, active or not active" + (
            f"; to compare, write {sign} {value}" if value else ""
        )
    if wanted == {"IN"}:
        return 'write: is not blank, is not active, or not in ("DE", "AT")'
    if "WITH" in wanted:
        return f"did you mean '{before.split()[-1].lower()} with'?"
    if "UNIT" in wanted and not wanted & {"_AND", "PLUS"}:
        return "expected minutes, hours, days or weeks"
    if wanted == {"STRING"}:
        return 'a pattern is written in quotes: matches "(VP|Head) .*"'
    if "STRING" in wanted:
        return _listed(word, quoted, before, wanted)
    if "NUMBER" in wanted:
        return "a number is expected, as in: crossed 50" if "NEXT" not in wanted else "write how far: within 30 days"
    if "_FROM" in wanted or "_TO" in wanted:
        return "'changed' stands alone, or is followed by: from …, to …, from … to …"
    if re.search(r"\bin\s*$", re.sub(r"[\d.]+\s*$", "", bare), re.IGNORECASE):
        return 'put the values in brackets: in ("DE", "AT")'
    if "COMMA" in wanted:
        return "put a comma between the values" if re.match(r"[\w\"'-]", word) else "expected a closing bracket"
    if word == ",":
        number = re.search(r"\d$", before)
        return "write a number without a comma: 1000" if number else 'several values: in ("DE", "AT")'
    if word == "%" and re.search(r"\d\s*$", before):
        return "a percentage is its fraction: 0.25"
    if re.search(r"\d{4}-\d\d-\d\d\s*$", before) and word[:1].isdigit():
        return "write a time as 2026-11-22T09:30:00Z"
    return "expected a closing bracket" if bare.count("(") > bare.count(")") else "expected 'and', 'or', or the end"


def _listed(word: str, quoted: str, before: str, wanted: set[str]) -> str:
    """A hint where values are expected: after ``in``, ``from`` or ``to``."""
    if not word or word == ")":
        return 'name the values: ("DE", "AT")'
    if not re.match(r"[^\W\d]", word):
        return 'expected a value such as "DE" or 200'
    if word.casefold() == "blank":
        return "to become blank: lead.owner changed and lead.owner is blank"
    if "LPAR" in wanted and re.search(r"\bin\s*$", before, re.IGNORECASE):
        return f"put the values in brackets, and texts in quotes: in ({quoted})"
    return f"if the text is meant, put it in quotes: {quoted}"
