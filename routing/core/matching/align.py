"""Two company names side by side: which words they share, nearly share, and have alone. Quantities in natural logarithms of rarity."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct
from rapidfuzz.distance import OSA

from routing.core.matching.company_words import BESIDE, FOR_A_FORM, SAME_WORDS
from routing.core.matching.forms import LEGAL_FORMS
from routing.core.matching.model import Name
from routing.core.matching.names import RARE, corrected, spellings, weight, whole_sound

# Words beyond these many that are not shared are not compared letter by letter.
_LETTERWISE = 6
_ACRONYM = range(2, 8)
# Slips in a whole name that are counted; words of so few letters are another word after one.
EDITS, _BRIEF = 3, 3
# Letters from which a slip makes no other word, and what a word tells that slipped though both names have it elsewhere.
_SLIPPED, _REPEATED = 3, 4.0
# A legal form has at most so many words.
_FORM_WORDS = 4


class Alignment(Struct, frozen=True, gc=False):
    """``shared``: words in both. ``slips``: what is lost of them to spelling. ``only_lead``, ``only_account``: words the other lacks."""

    same: bool  # the same words in the same order
    shared: float
    slips: float = 0.0
    only_lead: float = 0.0
    only_account: float = 0.0
    reordered: bool = False
    numbers_differ: bool = False
    number_missing: bool = False
    first_differs: bool = False
    acronym: bool = False
    edits: int = 0  # slips that would make one whole name of the other, EDITS + 1 for more
    short_slip: bool = False  # a slip in so few letters that it may be another word
    known_slip: float = 0.0  # how common the most common word is that was taken for a slip
    near: tuple[tuple[str, str], ...] = ()  # words taken for each other
    lead_words: tuple[str, ...] = ()
    account_words: tuple[str, ...] = ()


def align(lead: Name, account: Name) -> Alignment:
    """Pure and bounded: names hold at most ``names.WORD_LIMIT`` words."""
    ours, theirs = lead.words, account.words
    if ours == theirs:
        return Alignment(True, sum(map(weight, ours)))
    common: list[str] = []
    mine: list[str] = []
    for word in dict.fromkeys(ours):
        (common if word in theirs else mine).append(word)
    its = [word for word in dict.fromkeys(theirs) if word not in ours]
    shared = sum(map(weight, common))
    if not mine and not its:
        return Alignment(False, shared, reordered=True)
    if mine and common and account.legal:
        if mine[-1] == ours[-1]:
            mine = mine[: len(mine) - _of_legal_form(mine, ours, account)]
        mine = [word for word in mine if LEGAL_FORMS.get(word, word) not in account.legal]
    numbers, its_numbers = list(filter(_is_number, mine)), list(filter(_is_number, its))
    if numbers or its_numbers:
        mine = [word for word in mine if word not in numbers]
        its = [word for word in its if word not in its_numbers]
    # A number tells one of a series from the next, however little it takes to write the other's.
    counted = any(not word.isalpha() for word in (*numbers, *its_numbers))
    beside = BESIDE if lead.legal or ours[-1] not in FOR_A_FORM else BESIDE | FOR_A_FORM
    slips = 0.0
    near: list[tuple[str, str]] = []
    if mine and its:
        shared, slips = _paired(mine, its, lead.sound == account.sound != "", shared, near)
    if counted:
        edits = EDITS + 1
    else:
        edits = 0 if not (its or near) and mine and beside.issuperset(mine) else _edits(lead, account)
    left, its_left = [*mine, *numbers], [*its, *its_numbers]
    one_slip = (left or its_left) and not (numbers and its_numbers) and 0 < edits <= EDITS
    if one_slip and (slipped := _slipped(lead, account)):
        pair, part = slipped
        tells = min(sum(map(weight, left)), sum(map(weight, its_left)))
        shared, slips = shared + (1 - part) * tells, slips + part * max(tells, _REPEATED)
        near.append(pair)
        mine, its, numbers, its_numbers = [], [], [], []
    return Alignment(
        same=False,
        shared=shared,
        slips=slips,
        only_lead=sum([weight(word) for word in mine if word not in beside]),
        only_account=sum(map(weight, its)),
        reordered=len(common) > 1 and [w for w in ours if w in common] != [w for w in theirs if w in common],
        numbers_differ=bool(numbers and its_numbers),
        number_missing=bool(numbers) != bool(its_numbers),
        first_differs=bool(mine and its and (ours[0] == mine[0] or theirs[0] == its[0])),
        acronym=bool(mine or its) and _is_acronym(mine, theirs, ours),
        edits=edits,
        short_slip=any(min(len(one), len(other)) <= _BRIEF for one, other in near),
        known_slip=max([RARE - weight(one) for one, other in near if _is_other_word(one, other)], default=0.0),
        near=tuple(near),
        lead_words=tuple(mine),
        account_words=tuple(its),
    )


def _paired(
    mine: list[str], its: list[str], sound_alike: bool, shared: float, near: list[tuple[str, str]]
) -> tuple[float, float]:
    """Takes the words that are the same but for their spelling out of both lists, into ``near``; what is shared then, and what is lost."""
    if sound_alike or "".join(mine) == "".join(its):
        tells = sum(map(weight, its))
        shared, slips = shared + 0.95 * tells, 0.05 * tells
    else:
        gained, slips = _pair_off(mine, its, near)
        shared += gained
        found = _run_together(mine, its) if mine and its else None
        if found is None:
            return shared, slips
        shared, slips = shared + found[0], slips + found[1]
    near.append((" ".join(mine), " ".join(its)))
    mine.clear()
    its.clear()
    return shared, slips


def _slipped(lead: Name, account: Name) -> tuple[tuple[str, str], float] | None:
    """What stands in both names in each other's place, and which part of it is lost, where a slip makes one of the other; None where
    one of them only has something more, or something else. Also of words that are said again elsewhere, or that join others."""
    ours, theirs = [], account.said.split()
    for word in lead.said.split():
        if word in theirs:
            theirs.remove(word)
        else:
            ours.append(word)
    one, other = "".join(ours), "".join(theirs)
    longest = max(len(one), len(other))
    allowed = 1 if longest < 7 else 2
    if min(len(one), len(other)) < _SLIPPED:
        return None
    distance = OSA.distance(one, other, score_cutoff=allowed)
    return ((" ".join(ours), " ".join(theirs)), distance / longest) if distance <= allowed else None


def _edits(lead: Name, account: Name) -> int:
    """How many letters were mistyped if the names are one, wherever in them: as they sound, or as they are written. At most EDITS + 1."""
    heard = OSA.distance(lead.sound, account.sound, score_cutoff=EDITS)
    if heard < 2:
        return heard
    return min(heard, OSA.distance(lead.said.replace(" ", ""), account.said.replace(" ", ""), score_cutoff=EDITS))


def _run_together(mine: list[str], its: list[str]) -> tuple[float, float] | None:
    """What is shared and lost where the words that are left are some slips apart when written as one; None where they are not."""
    one, other = "".join(mine), "".join(its)
    longest = max(len(one), len(other))
    allowed = 1 if longest < 6 else 2 if longest < 12 else EDITS
    distance = OSA.distance(one, other, score_cutoff=allowed)
    if distance > allowed or allowed >= longest - 1:
        return None
    tells, lost = min(sum(map(weight, mine)), sum(map(weight, its))), distance / longest
    return (1 - lost) * tells, lost * tells


def _is_other_word(word: str, other: str) -> bool:
    """Whether a word that was taken for another may be meant as it is: not where it is only cut short."""
    return " " not in word and len(word) > _BRIEF and not other.startswith(word)


@lru_cache(maxsize=65_536)
def _is_number(word: str) -> bool:
    """What tells one of a series from the next: numbers, and single letters."""
    return len(word) == 1 or word[0].isdigit() or word[-1].isdigit()


def _of_legal_form(mine: list[str], ours: tuple[str, ...], account: Name) -> int:
    """How many of the lead's last words are nothing but the account's legal form, misspelt or in part ("S..L", "Inn.c", "Pyblic Conpany")."""
    most = 0
    while most < min(len(mine), _FORM_WORDS) and mine[-most - 1] == ours[-most - 1]:
        most += 1
    parts = _form_parts(account)
    for count in range(most, 0, -1):
        tail = "".join(mine[-count:])
        length = len(tail)
        allowed = 0 if length < 2 else 1 if length < 6 else 2
        for part in parts:
            if (
                len(part) > 1
                and -allowed <= len(part) - length <= allowed
                and OSA.distance(tail, part, score_cutoff=allowed) <= allowed
            ):
                return count
    return 0


@lru_cache(maxsize=4_096)  # an account is compared with several leads of a batch
def _form_parts(account: Name) -> frozenset[str]:
    """What may be written of an account's legal form: its spelling, and the words of it as the account has them, one or some in a row."""
    rest = [word for word in account.said.split()[-_FORM_WORDS:] if SAME_WORDS.get(word, word) not in account.words]
    return frozenset(account.legal).union(
        ["".join(rest[n:m]) for n in range(len(rest)) for m in range(n + 1, len(rest) + 1)]
    )


def _pair_off(mine: list[str], its: list[str], near: list[tuple[str, str]]) -> tuple[float, float]:
    """Takes the words that are spellings of each other out of both lists; what they share and what is lost."""
    gained = lost = 0.0
    for word in mine[:_LETTERWISE]:
        meant = corrected(word)
        if meant != word and meant in its:
            tells = weight(meant)
            gained, lost = gained + 0.9 * tells, lost + 0.1 * tells
            mine.remove(word)
            its.remove(meant)
            near.append((word, meant))
    for word in mine[:_LETTERWISE]:
        best, found = 0.0, ""
        for other in its[:_LETTERWISE]:
            for spelt in spellings(other):
                likeness = alike(word, spelt)
                if likeness > best:
                    best, found = likeness, other
        if best:
            tells = min(weight(word), weight(found))
            gained += best * tells
            lost += (1 - best) * tells
            mine.remove(word)
            its.remove(found)
            near.append((word, found))
    return gained, lost


@lru_cache(maxsize=65_536)
def alike(word: str, other: str) -> float:
    """0 to 1: how much of one word is the other with a slip, shortened, or written as it sounds."""
    short, long = (word, other) if len(word) < len(other) else (other, word)
    longest, shortest = len(long), len(short)
    if shortest < 2:
        return 0.55 if word[0] == other[0] and shortest == 1 else 0.0
    allowed = 2 if longest >= 7 else 1 if longest >= 4 else 0
    if allowed and longest - shortest <= allowed:
        distance = OSA.distance(word, other, score_cutoff=allowed)
        if distance <= allowed:
            return 1 - distance / longest * (1 if word[0] == other[0] else 1.5)
    if longest - shortest <= 3 and _begin_alike(word, other) and whole_sound(word) == whole_sound(other):
        return 0.9
    if shortest >= 3 and long.startswith(short):
        return 0.75
    if long[0] == short[0] and long[-1] == short[-1] and longest >= 2 * shortest and _within(short, long):
        return 0.55
    return 0.0


# What letters sound like at the beginning of a word, as far as ``names.sound`` takes them for one.
_BEGINS = str.maketrans("cqxwyjzfu", "kkkviispo")


def _begin_alike(word: str, other: str) -> bool:
    """False where two words cannot sound the same: cheaper than to ask how they sound."""
    if word[0] == other[0] or word[0].translate(_BEGINS) == other[0].translate(_BEGINS):
        return True
    return word.startswith(("h", "kh")) or other.startswith(("h", "kh"))


def _within(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


def _is_acronym(mine: list[str], theirs: tuple[str, ...], ours: tuple[str, ...]) -> bool:
    if len(ours) == 1 and mine and len(ours[0]) in _ACRONYM:
        return "".join(word[0] for word in theirs) == ours[0]
    return len(theirs) == 1 and len(theirs[0]) in _ACRONYM and "".join(word[0] for word in ours) == theirs[0]
