"""How candidates are found: keys that an account is filed under, and keys that a lead asks for.

Keys are numbers, so that the ledger keeps them in a narrow table and a dictionary in memory alike; both find the same candidates.
What bounds the work, whatever anybody types: an account has at most ACCOUNT_KEYS, a lead asks for at most LEAD_KEYS, of a
key at most FETCH accounts are read (those with the lowest numbers, which are hashes of their ids, so not the oldest), at
most CAP candidates are looked at, and at most ``promising.COMPARED`` of them compared word by word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import product
from struct import Struct
from typing import Protocol

from routing.core.matching.company_words import BESIDE
from routing.core.matching.domains import brand
from routing.core.matching.model import AccountFeatures, LeadFeatures, Name
from routing.core.matching.names import RARE, corrected, skeleton, sound, weight
from routing.core.normalise import NAME_LIMIT

# Changes whenever keys or features do: an index of another version is made anew.
INDEX_VERSION = "6"

ACCOUNT_KEYS = 40
LEAD_KEYS = 56  # four that are sure, and _MOST of each other sort, _SLIPPED of slips
_MOST, _SLIPPED = 12, 28
FETCH = 32
CAP = 24

# One word of this weight is enough to be found by; below, two words that have the second weight together.
RARE_WORD, RARE_PAIR, UNIQUE_WORD = 8.6, 9.0, 10.0
# Of how many words of a name keys are made, rarest first.
_WORDS, _PAIRS = 3, 4
# Typing errors are looked for in words above this weight (below, ``names.corrected`` puts them right), in at least so many letters;
# letter by letter up to so many, beyond in halves, of which so many letters count.
_SLIPS, _LEAST, _SHORT, _HALF = 7.0, 4, 8, 8
_BRIEF = 5
# Beside words that tell less than this a name is as good as one word.
_TELLING = 5.0
# Of how many words initials are made.
_INITIALS = range(4, 8)
# An account whose name has so much of the lead's, and all that a whole name tells, is near enough, and one that has its domain with less: no slips are looked for.
_NEAR, _NEAR_HELD = 17.0, 8.0
# A candidate that has less than this share of the best one's weight is not looked at.
_SHARE = 0.3
# A key tells no more than a rare word and a little, but one of a whole name, which is many words at once.
_MOST_TOLD, _BEYOND = RARE + 2.0, 0.7


Key = tuple[int, float]  # where to look, and how much it tells
Postings = Mapping[int, Sequence[int]]  # the numbers of the accounts filed under a key


def number_of(text: str) -> int:
    """A signed 64-bit number for a text: of a key, or of an account's ref. Two texts of a million share one at odds of 1 in 10^7."""
    hashed = _new_hash()
    hashed.update(text.encode("utf-8", "surrogatepass"))
    number: int = _signed(hashed.digest())[0]
    return number


_new_hash = blake2b(digest_size=8).copy  # cheaper than making one
_signed = Struct(">q").unpack


def account_keys(account: AccountFeatures) -> tuple[int, ...]:
    """Where the account is filed. At most ACCOUNT_KEYS."""
    found: dict[str, None] = {}
    for domain in account.domains:
        found["w" + domain] = None
        if named := brand(domain):
            found["b" + named] = None
    for phone in account.phones:
        found["p" + phone] = None
        found["q" + phone[:-3]] = None
    for name in account.names:
        found[_whole(name)] = None
        found.update((key, None) for key, _ in _name_keys(name))
        found.update((key, None) for key, _ in _slips(name, asks=False))
        if short := _initials(name):
            found[short] = None
    return tuple(map(number_of, list(found)[:ACCOUNT_KEYS]))


def sure_keys(lead: LeadFeatures) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """What the lead asks for first: its domains, and its name just as it is. Most leads of a company that is known need no more.

    Each with how much it tells (natural logarithms).
    """
    domains = tuple((number_of("w" + one), 14.0) for one in dict.fromkeys((lead.mail_domain, lead.site)) if one)
    names = tuple((number_of(_whole(name)), sum(map(weight, set(name.words))) + 6.0) for name in lead.names[:2])
    return domains, names


def _is_sure(domains: Sequence[Key], names: Sequence[Key], postings: Postings) -> bool:
    """Whether one account has both the domain and the name: then only others of that domain or that name can come near it."""
    named = [postings.get(key, ()) for key, _ in names]
    return any(number in filed for key, _ in domains for number in postings.get(key, ()) for filed in named)


def near_keys(lead: LeadFeatures) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """What the lead asks for next: telephones and domains that read alike; how its name sounds, and rare words and pairs of words of it.

    Each with how much it tells (natural logarithms).
    """
    found: dict[str, float] = {}
    for domain in dict.fromkeys((lead.mail_domain, lead.site)):
        if domain and (named := brand(domain)):
            found["b" + named] = 9.0
            found["s" + skeleton((named,))] = 9.0
    for phone in lead.phones:
        found["p" + phone] = 12.0
        found["q" + phone[:-3]] = 8.0
    alike: dict[str, float] = {}
    for name in lead.names[:2]:
        # What only says where in the company is no part of its name; where it is after all, the whole name finds it.
        words = tuple([word for word in name.words if word not in BESIDE]) or name.words
        alike |= _name_keys(name if words == name.words else Name(words))
        meant = Name(tuple(map(corrected, words)))
        if meant.words != name.words:
            alike = {_whole(meant): 12.0, **dict(_name_keys(meant)), **alike}
        if (named := "".join(name.words)) and len(named) >= 5:
            found.setdefault("b" + named, 7.0)
        if (short := _acronym(name)) is not None:
            alike.setdefault(*short)
    return _told({key: tells for key, tells in found.items() if key not in alike}), _told(alike)


def slip_keys(lead: LeadFeatures) -> tuple[Key, ...]:
    """What the lead asks for last: names that are its own but for a typing error.

    Their numbers are negative: of them an account counts one, as they are several ways to have made the same slip.
    """
    found: dict[str, float] = {}
    for name in lead.names[:2]:
        for key, tells in _slips(name, asks=True):
            found[key] = min(found.get(key, 0.0), -tells)
    return _told(found, _SLIPPED)


def _told(found: Mapping[str, float], most: int = _MOST) -> tuple[Key, ...]:
    ordered = sorted(found.items(), key=lambda item: -abs(item[1]))[:most]
    return tuple((number_of(key), tells) for key, tells in ordered)


Search = Generator[tuple[Key, ...], Postings, list[int]]


def search(lead: LeadFeatures) -> Search:
    """Yields keys, is sent what is filed under them (at most FETCH of each), and returns the accounts to compare, by number.

    Not more is asked for than is needed: nothing beyond the first step where an account has both the domain and the name, and no
    typing errors where one has the name.
    """
    domains, names = sure_keys(lead)
    asked = (*domains, *names)
    postings = dict((yield asked))
    if _is_sure(domains, names, postings):
        return rank(asked, postings)
    others, alike = near_keys(lead)
    postings |= yield (*others, *alike)
    asked += (*others, *alike)
    if not _is_near(domains, names, alike, postings):
        more = slip_keys(lead)
        postings |= yield more
        asked += more
    return rank(asked, postings)


def _is_near(domains: Sequence[Key], names: Sequence[Key], alike: Sequence[Key], postings: Postings) -> bool:
    """Whether an account has the name, or nearly, or the lead's domain and something of the name: then no slip is looked for."""
    if any(postings.get(key) for key, _ in names):
        return True
    held = {number for key, _ in domains for number in postings.get(key, ())}
    whole = max((_NEAR, *(tells for _, tells in names)))
    return any(tells >= (_NEAR_HELD if n in held else whole) for n, tells in _sums(alike, postings).items())


def found_by(looking: Search, filed: Callable[[Sequence[Key]], Postings]) -> list[int]:
    """Goes through a ``search``; ``filed`` says what is filed under keys."""
    try:
        keys = next(looking)
        while True:
            keys = looking.send(filed(keys))
    except StopIteration as done:
        found: list[int] = done.value
        return found


def _name_keys(name: Name) -> Iterable[tuple[str, float]]:
    """How it sounds, its rare words, and pairs of its others."""
    words = name.words
    weighed = [(-less, word) for less, word in sorted([(-weight(word), word) for word in set(words)])]
    yield "s" + (name.sound or skeleton(words)), sum([tells for tells, _ in weighed]) + 3.0
    yield from ((f"t{word}", tells) for tells, word in weighed[:_WORDS] if tells >= RARE_WORD)
    # Of a word that is all but unique the partner is no matter; a number is all that tells the funds of a series apart.
    paired = weighed[:_PAIRS] + [one for one in weighed[_PAIRS:] if one[1].isdigit()]
    for n, (one, first) in enumerate(paired):
        for other, second in paired[n + 1 :]:
            if one + other >= RARE_PAIR and other < UNIQUE_WORD:
                yield (f"u{first} {second}" if first < second else f"u{second} {first}"), one + other


def _acronym(name: Name) -> tuple[str, float] | None:
    """What accounts of several words are filed under when their initials are this one's only word."""
    if len(name.words) == 1 and len(name.words[0]) in _INITIALS and name.words[0].isalpha():
        return "a" + name.words[0], 2.5 * len(name.words[0])
    return None


def _initials(name: Name) -> str | None:
    return "a" + "".join(word[0] for word in name.words) if len(name.words) in _INITIALS else None


def _whole(name: Name) -> str:
    return "n" + " ".join(sorted(name.words))


def _slips(name: Name, asks: bool) -> Iterable[tuple[str, float]]:
    """Keys that two spellings some slips apart share, each with how much it tells: of the two rarest words, and of the whole as it sounds."""
    words = name.words
    meant = {word: corrected(word) for word in words}
    tells_of = {word: weight(other) for word, other in meant.items()}
    rarest = sorted(tells_of, key=tells_of.__getitem__, reverse=True)[:2]
    if len(rarest) > 1:
        first, other = sorted(rarest, key=words.index)
        for (one, tells), (two, more) in product(_pieces(first, asks), _pieces(other, asks)):
            if tells > 0 or more > 0:
                yield f"x{one} {two}", abs(tells) + abs(more)
    telling = [word for word in words if tells_of[word] >= _TELLING]
    if len(telling) < 2 and _LEAST <= len(alone := sound("".join(telling or words))) <= _SHORT + asks:
        for one in _deletions(alone):
            yield f"d{one}", 8.0
    # The common words may be those with the slip, or those that tell this name from others of its family.
    rare = [word for word in words if meant[word] == word and tells_of[word] >= _SLIPS]
    yield from _halves("fg", sound("".join(rare or words)), asks, _HALF, 8.0)
    yield from _halves("hk", name.sound or skeleton(words), asks, NAME_LIMIT, 10.0)


def _halves(sorts: str, core: str, asks: bool, most: int, tells: float) -> Iterable[tuple[str, float]]:
    """How it begins and how it ends, at most so many letters of each: one slip leaves one of them as it was. Who asks has perhaps a letter
    more or less than the account."""
    length = len(core)
    if length > _SHORT - asks:
        for half in sorted({min(n // 2, most) for n in range(length - asks, length + asks + 1)}):
            yield f"{sorts[0]}{core[:half]}", tells
            yield f"{sorts[1]}{core[-half:]}", tells


def _pieces(word: str, asks: bool) -> list[tuple[str, float]]:
    """What is left of a word that somebody misspells: all of a common one, as then it is known what was meant; a short one with each letter
    left out, how a longer one begins and how it ends, each as it sounds."""
    meant = corrected(word)
    tells = weight(meant)
    if tells < _SLIPS and meant == word:
        return [(word, tells)]
    found = [(meant, tells)] if meant != word else []
    core = sound(word)
    if len(core) <= _BRIEF + asks:
        found.append((core, 9.0))
        found += [(one, -8.0) for one in _deletions(core)[1:]]
    if len(core) > _BRIEF - asks:
        found += [(f"{core[:3]}-", 6.0), (f"-{core[-3:]}", 6.0)]
    return found


def _deletions(core: str) -> list[str]:
    """The word, and the word with each letter left out."""
    return list(dict.fromkeys((core, *(core[:n] + core[n + 1 :] for n in range(len(core))))))


def rank(asked: Sequence[Key], postings: Postings) -> list[int]:
    """The numbers of the accounts to compare, most promising first: at most CAP. Equal ones by number, so order of filing is no matter."""
    sums = _sums(asked, postings)
    if not sums:
        return []
    least = max(sums.values()) * _SHARE
    best = sorted((-tells, number) for number, tells in sums.items() if tells >= least)
    return [number for _, number in best[:CAP]]


def _sums(asked: Iterable[Key], postings: Postings) -> dict[int, float]:
    """How much tells for each account."""
    sums: dict[int, float] = {}
    slips: dict[int, float] = {}
    for key, tells in asked:
        filed = postings.get(key)
        if not filed:
            continue
        # What many accounts are filed under tells less, however rare the word is elsewhere.
        worth = abs(tells)
        most = max(_MOST_TOLD, _MOST_TOLD + (worth - _MOST_TOLD) * _BEYOND)
        worth = min(worth, most - _LOGS[min(len(filed), FETCH)])
        if tells > 0:
            for number in filed:
                sums[number] = sums.get(number, 0.0) + worth
        else:
            for number in filed:
                if slips.get(number, 0.0) < worth:
                    slips[number] = worth
    for number, worth in slips.items():
        sums[number] = sums.get(number, 0.0) + worth
    return sums


# By how much less a key tells that so many accounts are filed under. Of the last nobody knows how many more there are, nor whether the
# one that is meant is among those that were read.
_FULL = 6.0
_LOGS = [0.0, *(math.log(n) for n in range(1, FETCH)), math.log(FETCH) + _FULL]


class Accounts(Protocol):
    """Wherever the index lives."""

    def candidates(self, lead: LeadFeatures) -> Sequence[AccountFeatures]:
        """The accounts to compare the lead with, at most CAP."""


class MemoryIndex:
    """The index in memory, for the command, the benchmark and tests. Accounts come, change and go at once."""

    def __init__(self, accounts: Iterable[AccountFeatures] = ()) -> None:
        self._accounts: dict[int, AccountFeatures] = {}
        self._filed: dict[int, list[int]] = {}
        for account in accounts:
            self.put(account)

    def put(self, account: AccountFeatures) -> None:
        """Files a new account, or files it anew."""
        self.remove(account.account_id)
        number = number_of(account.account_id)
        self._accounts[number] = account
        for key in account_keys(account):
            self._filed.setdefault(key, []).append(number)

    def remove(self, account_id: str) -> None:
        """Forgets an account; nothing happens when there is none of that id."""
        number = number_of(account_id)
        gone = self._accounts.pop(number, None)
        for key in account_keys(gone) if gone is not None else ():
            self._filed[key].remove(number)

    def candidates(self, lead: LeadFeatures) -> list[AccountFeatures]:
        """The accounts to compare the lead with, at most CAP."""
        return [self._accounts[number] for number in found_by(search(lead), self._postings)]

    def _postings(self, asked: Iterable[Key]) -> dict[int, list[int]]:
        postings = {}
        for key, _ in asked:
            filed = self._filed.get(key)
            if filed:
                postings[key] = filed if len(filed) <= FETCH else sorted(filed)[:FETCH]
        return postings
