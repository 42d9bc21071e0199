"""Company names, taken apart into what can be compared. Total: any text goes in; what is no company's name gives no names.

The steps: layout characters and look-alikes out, other scripts into Latin letters, punctuation out, legal forms off (they are
kept apart), abbreviations and numerals into one spelling. How much a word tells is read from a fixed table of how often real
companies bear it (``frequency.txt``), never from the accounts at hand: so an account more changes nothing for the others.
"""

from __future__ import annotations

import math
import pkgutil
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache

from anyascii import anyascii
from rapidfuzz.distance import OSA
from rapidfuzz.process import extractOne

from routing.core.matching.company_words import FILLERS, LOOK_ALIKES, NO_COMPANY, OTHER_NAME, ROMAN, SAME_WORDS
from routing.core.matching.forms import FORM_ENDS, FORM_WORDS, LEADING_FORMS, LEGAL_FORMS, LONGEST_FORM
from routing.core.matching.model import Name
from routing.core.normalise import NAME_LIMIT, clean_text

# More words than any real name has; what follows is not looked at.
WORD_LIMIT = 24
# Weights of a word, in natural logarithms of how rare it is among real companies. A word that the table does not know is as rare as
# RARE says; shorter ones tell less, because by chance they are often somebody else's.
RARE = 11.0
SHORT_WORD = {1: 3.5, 2: 5.5, 3: 8.0, 4: 9.5}
NUMBER = 4.0
# A word below this is common enough to be known by everybody who misspells it.
COMMON = 9.0

_INITIALS = re.compile(r"(?<![^\W_])(?:[^\W\d_][./]\s?)+[^\W\d_]?(?![^\W_])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_WRITTEN = re.compile(r"[^\W_]+")
_WEB = re.compile(
    r"(?:https?://|www\.)\S+|[\w\-]+(?:\.[\w\-]+)*\.(?:com|net|org|io|de|fr|co\.uk|eu|nl|it|es|ai|biz|info)/?",
    re.IGNORECASE,
)
_FORMERLY = r"(?<![^\W_])(?:" + "|".join(map(re.escape, OTHER_NAME)) + r")(?![^\W_])"
_HAS_OTHER = re.compile(_FORMERLY, re.IGNORECASE)
_OTHER = re.compile(rf"\s*[(\[,;/\-–]*\s*{_FORMERLY}[:\s]*", re.IGNORECASE)
_UMLAUT = re.compile(r"(?<=[b-df-hj-np-tv-z])([aou])e(?=[b-df-hj-np-tv-z])")
_SYMBOL = re.compile(r"[^\w\s]")
# Legal forms that are not parted from the name by a space.
_CJK_FORMS = {
    "股份有限公司": "co ltd",
    "有限责任公司": "llc",
    "有限公司": "ltd",
    "株式会社": "kk",
    "株式會社": "kk",
    "(株)": "kk",
    "주식회사": "kk",
    "(주)": "kk",
}
_LATIN_LETTER = re.compile(r"[A-Za-z]")
_OTHER_LETTER = re.compile(r"[\u0370-\u052f\u0251\u0261\u217c]")


def names(text: str) -> tuple[Name, ...]:
    """The names in a company field: its own first, then what follows "formerly", "dba" and the like. () when it names no company."""
    if len(text) > NAME_LIMIT:
        return ()
    return _names(text)


@lru_cache(maxsize=4_096)
def _names(text: str) -> tuple[Name, ...]:
    found: list[Name] = []
    for part in _OTHER.split(text)[:4] if _HAS_OTHER.search(text) else (text,):
        name = _name(part)
        if name is not None and name not in found:
            found.append(name)
    return tuple(found)


def _name(text: str) -> Name | None:
    said = latin(clean_text(text)).strip(" .,;:()[]\"'")
    if not said or said in NO_COMPANY or "@" in said:
        return None
    if ("." in said or "/" in said) and _WEB.fullmatch(said):
        return None  # a web address: domains.py reads it
    whole = _split(said)
    words, legal = _without_legal_form(_split(said[4:]) if said.startswith("c/o ") else whole)
    own = [word for n, word in enumerate(words) if word not in FILLERS or _ends(n, words)] or words
    words = [_same(word) for word in own]
    if not words or " ".join(words) in NO_COMPANY or all(word in LEGAL_FORMS for word in words):
        return None
    words = _numerals(words)
    return Name(tuple(words[:WORD_LIMIT]), legal, " ".join(whole), skeleton(own[:WORD_LIMIT]))


def _ends(n: int, words: Sequence[str]) -> bool:
    """Whether a word is a letter at either end of a name, where it is a number or an initial and joins nothing ("Fund I", "Fund E")."""
    return len(words[n]) == 1 and n in (0, len(words) - 1)


def latin(text: str) -> str:
    """In small Latin letters without accents; other scripts are spelled in them, look-alikes taken for what they look like."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text)
    if _SYMBOL.search(text):
        text = "".join(" " if unicodedata.category(c)[0] in "SC" and c not in "&+$€£@" else c for c in text)
    for form, latin_form in _CJK_FORMS.items():
        if form in text:
            text = text.replace(form, f" {latin_form} ")
    if _OTHER_LETTER.search(text) and _LATIN_LETTER.search(text):
        text = _WRITTEN.sub(_look_alike, text)
    return anyascii(text).lower()


def _look_alike(found: re.Match[str]) -> str:
    word = found[0]
    as_latin = word.translate(LOOK_ALIKES)
    # A word of two scripts, or one beside Latin words of which every letter could be Latin, is not what it says.
    return as_latin if as_latin.isascii() else word


def _split(said: str) -> list[str]:
    if "." in said or "/" in said:
        said = _INITIALS.sub(_join, said)
    return _NOT_WORD.sub(" ", said.replace("'", "").replace("’", "")).split()


def _join(found: re.Match[str]) -> str:
    *first, last = [re.sub(r"[^\w]", "", part) for part in found[0].split()]
    # Initials that end with a legal form, as in "& C. S.A.S.", are two words.
    joined = "".join(first) + (" " if last in LEGAL_FORMS else "") + last
    return joined + " " if found[0][-1].isspace() else joined


@cache
def _spellings() -> dict[str, str]:
    """The common words of company names, by each spelling with one letter left out; of several the most common one."""
    table: dict[str, str] = {}
    known = frequencies()
    # Also as they are written before they are brought into one spelling: "industries" is further from "industry" than a slip.
    written = [(known.get(meant, RARE), word) for word, meant in SAME_WORDS.items() if len(word) > _LEAST_CORRECTED]
    for tells, word in sorted([(tells, word) for word, tells in known.items()] + written):
        if len(word) >= _LEAST_CORRECTED and tells < COMMON:
            for short in (word, *_shorter(word)):
                table.setdefault(short, word)
    return table


@lru_cache(maxsize=16_384)
def corrected(word: str) -> str:
    """The common word of company names that an unknown word is one slip away from, a long one two; the word itself when there is none."""
    if len(word) < _LEAST_CORRECTED or len(word) > 24 or word.isdigit() or word in frequencies():
        return word
    table = _spellings()
    for short in (word, *_shorter(word)):
        found = table.get(short)
        if found is not None and OSA.distance(word, found, score_cutoff=1) < 2:
            return _same(found)
    return _same(_nearest(word, _common_words(), 2)) if len(word) >= _LONG_CORRECTED else word


def _shorter(word: str) -> list[str]:
    return [word[:n] + word[n + 1 :] for n in range(len(word))]


def _nearest(word: str, listed: Mapping[str, Sequence[str]], slips: int) -> str:
    """Of the words that begin as it does the one with the fewest slips, the first of several; the word itself when all have more."""
    found = extractOne(word, listed.get(word[:2], ()), scorer=OSA.distance, processor=None, score_cutoff=slips)
    return found[0] if found else word


def _by_beginning(words: Iterable[str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for word in words:
        table.setdefault(word[:2], []).append(word)
    return table


@cache
def _common_words() -> dict[str, list[str]]:
    """The long ones of those that are put right, the most common first."""
    return _by_beginning(dict.fromkeys(one for one in _spellings().values() if len(one) >= _LONG_CORRECTED))


# Letters in which one slip is put right, and two.
_LEAST_CORRECTED, _LONG_CORRECTED = 4, 9


def _without_legal_form(words: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The words, and the legal forms at the end (or, where that is the custom, the beginning) in one spelling. One word stays."""
    legal: list[str] = []
    words = list(map(_form_word, words))
    if "odpowiedzialnoscia" in words or "tarsasag" in words:
        words, legal = [word for word in words if not _spelt_out(word)], ["kft" if "tarsasag" in words else "zoo"]
    words = [word for word in words if word not in ("and", "und", "et")] or words
    while len(words) > 1:
        longest = min(LONGEST_FORM, len(words) - 1) if words[-1] in FORM_ENDS else 1
        for length in range(longest, 0, -1):
            form = LEGAL_FORMS.get(" ".join(words[-length:])) or (_misspelt_form(words[-1]) if length == 1 else None)
            if form is not None:
                legal += form.split()
                words = words[:-length]
                break
        else:
            break
    while len(words) > 1 and words[0] in LEADING_FORMS:
        legal.append(LEGAL_FORMS[words[0]])
        words = words[1:]
    return words, tuple(sorted(set(legal)))


@lru_cache(maxsize=4_096)
def _misspelt_form(word: str) -> str | None:
    """The legal form that a word which no company bears is one slip away from."""
    if (
        len(word) < 3
        or word in LEGAL_FORMS
        or word in SAME_WORDS
        or frequencies().get(word, RARE) < (COMMON if len(word) > 3 else RARE)
    ):
        return None
    for form in _LONG_FORMS:
        if abs(len(form) - len(word)) < 2 and OSA.distance(form, word, score_cutoff=1) < 2:
            return LEGAL_FORMS[form]
    return None


@lru_cache(maxsize=16_384)
def _form_word(word: str) -> str:
    """The long word of a legal form that an unknown word is a slip or two away from; the word itself when there is none."""
    if len(word) < _LONG_FORM or word in frequencies():
        return word
    return _nearest(word, _FORM_WORDS, 2 if len(word) > 8 else 1)


_FORM_WORDS = _by_beginning(FORM_WORDS)
_LONG_FORM = 7  # letters from which a word of a form is put right


# Forms that are spelt out in several words, of which some may be left out or have others between.
_SPELT_OUT = frozenset(
    ["spolka", "z", "o", "ograniczona", "odpowiedzialnoscia", "korlatolt", "felelossegu", "tarsasag"]
)


def _spelt_out(word: str) -> bool:
    return word in _SPELT_OUT or (len(word) > 2 and "ograniczona".startswith(word))


# Of these a word one slip away is taken for the same.
_LONG_FORMS = (
    *("limited", "private", "incorporated", "corporation", "company", "gmbh", "corp", "inc", "llc", "ltd"),
    *("llp", "pvt", "pte", "pty", "srl", "sarl"),
)


def spellings(word: str) -> tuple[str, ...]:
    """The word, and the long ones that are brought into its spelling."""
    return (word, *_long_spellings().get(word, ()))


@cache
def _long_spellings() -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for other, meant in SAME_WORDS.items():
        if len(other) >= _LONG:
            table.setdefault(meant, []).append(other)
    return table


_LONG = 7  # letters in which two slips are put up with


def _same(word: str) -> str:
    return SAME_WORDS.get(word, word)


def _numerals(words: list[str]) -> list[str]:
    """Roman numerals behind the first word become digits, and digits lose leading zeros: "Fund II" and "Fund 2" are one."""
    first, *others = words
    return [first.lstrip("0") or first if first.isdigit() else first, *[_numeral(word) for word in others]]


def _numeral(word: str) -> str:
    if word.isdigit():
        return word.lstrip("0") or "0"
    return ROMAN.get(word, word)


def skeleton(words: Iterable[str]) -> str:
    """How the name sounds, roughly: without spaces, doubled letters and the letters in which spellings of one sound differ.

    It brings together "Blue Sky" and "BlueSky", and a name with what came of it in another script and back.
    """
    return whole_sound("".join(words))


@lru_cache(maxsize=65_536)
def whole_sound(text: str) -> str:
    """As ``skeleton``, of words without spaces."""
    return sound(_UMLAUT.sub(r"\1", text) if "ae" in text or "oe" in text or "ue" in text else text)


@lru_cache(maxsize=65_536)
def sound(text: str) -> str:
    """As ``skeleton`` of one word, with ae, oe and ue as they are: a slip may have made them."""
    text = (
        text.replace("kh", "h")
        .replace("ph", "f")
        .replace("sch", "sh")
        .replace("ck", "k")
        .replace("ou", "u")
        .replace("x", "ks")
    )
    text = text.translate(_SOUNDS)
    return "".join([letter for letter, before in zip(text, " " + text, strict=False) if letter != before])


_SOUNDS = str.maketrans("cqwyjz", "kkviis", "h")


@lru_cache(maxsize=262_144)
def weight(word: str) -> float:
    """How much it tells that two names share this word: 0 to RARE, in natural logarithms."""
    if word.isdigit():
        return NUMBER
    return min(SHORT_WORD.get(len(word), RARE), frequencies().get(word, RARE))


@cache
def frequencies() -> dict[str, float]:
    """The weight of each word that several real companies bear. ``frequency.txt``: how many of a million, then the words, a line."""
    packed = pkgutil.get_data(__package__ or "", "frequency.txt") or b""
    table: dict[str, float] = {}
    for line in packed.decode().splitlines():
        if not line.startswith("#"):
            often, *words = line.split()
            table.update(dict.fromkeys(words, math.log(1e6 / float(often))))
    return table
