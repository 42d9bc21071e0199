"""How candidates are found: keys that an account is filed under, and keys that a lead asks for.

Keys are numbers, so that the ledger keeps them in a narrow table and a dictionary in memory alike; both find the same candidates.
What bounds the work, whatever anybody types: an account has at most ACCOUNT_KEYS, a lead asks for at most LEAD_KEYS, of a
key at most FETCH accounts are read (those with the lowest numbers, which are hashes of their ids, so not the oldest), and at
most CAP candidates are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

from routing.core.matching.domains import brand
from routing.core.matching.model import AccountFeatures, LeadFeatures, Name
from routing.core.matching.names import RARE, corrected, skeleton, sound, weight

# Changes whenever keys or features do: an index of another version is made anew.
INDEX_VERSION = "2"

ACCOUNT_KEYS = 40
LEAD_KEYS = 40
FETCH = 32
CAP = 12

# One word of this weight is enough to be found by; below, two words that have the second weight together.
RARE_WORD, RARE_PAIR = 8.6, 9.0
# Of how many words of a name keys are made, rarest first.
_WORDS, _PAIRS = 3, 4
# A typing error is looked for within so many letters of a word of at least so many.
_PREFIX, _LEAST = 10, 4
# Slips in words below this weight are put right by ``names.corrected``.
_SLIPS = 6.0
# A candidate that has less than this share of the best one's weight is not compared.
_SHARE = 0.5


Key = tuple[int, float]  # where to look, and how much it tells


def number_of(text: str) -> int:
    """A signed 64-bit number for a text: of a key, or of an account's ref. Two texts of a million share one at odds of 1 in 10^7."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


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
        found.update((key, None) for key, _ in _name_keys(name))
        found.update((key, None) for key, _ in _typing_keys(name, 1))
    return tuple(map(number_of, list(found)[:ACCOUNT_KEYS]))


def sure_keys(lead: LeadFeatures) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """What the lead asks for first: its domains, and its name just as it is. Most leads of a company that is known need no more.

    Each with how much it tells (natural logarithms).
    """
    domains = tuple((number_of("w" + one), 14.0) for one in dict.fromkeys((lead.mail_domain, lead.site)) if one)
    names = tuple((number_of(_whole(name)), sum(map(weight, set(name.words))) + 6.0) for name in lead.names[:2])
    return domains, names


def is_sure(domains: Sequence[Key], names: Sequence[Key], postings: Mapping[int, Sequence[int]]) -> bool:
    """Whether one account has both the domain and the name: then only others of that domain or that name can come near it."""
    named = [postings.get(key, ()) for key, _ in names]
    return any(number in filed for key, _ in domains for number in postings.get(key, ()) for filed in named)


def lead_keys(lead: LeadFeatures) -> tuple[Key, ...]:
    """All that the lead asks for and how much each key tells (natural logarithms), most telling first. At most LEAD_KEYS.

    Of keys with negative numbers an account counts one: they are several ways to have made the same slip.
    """
    found: dict[str, float] = {}
    for domain in dict.fromkeys((lead.mail_domain, lead.site)):
        if domain:
            found["w" + domain] = 14.0
            if named := brand(domain):
                found["b" + named] = 9.0
                found["s" + skeleton((named,))] = 9.0
    for phone in lead.phones:
        found["p" + phone] = 12.0
        found["q" + phone[:-3]] = 8.0
    for name in lead.names[:2]:
        for key, tells in _name_keys(name):
            found[key] = max(found.get(key, 0.0), tells)
        words = tuple(map(corrected, name.words))
        if words != name.words:
            for key, tells in _name_keys(Name(words)):
                found.setdefault(key, tells)
        if (named := "".join(name.words)) and len(named) >= 5:
            found.setdefault("b" + named, 7.0)
        for key, tells in _typing_keys(name, 2):
            found.setdefault(key, tells)
    ordered = sorted(found.items(), key=lambda item: -abs(item[1]))[:LEAD_KEYS]
    return tuple((number_of(key), tells) for key, tells in ordered)


def _name_keys(name: Name) -> Iterable[tuple[str, float]]:
    words = name.words
    weighed = sorted(((weight(word), word) for word in set(words)), key=lambda item: (-item[0], item[1]))
    whole = sum(tells for tells, _ in weighed)
    yield _whole(name), whole + 6.0
    yield "s" + (name.sound or skeleton(words)), whole + 3.0
    rare = sum(tells >= RARE_WORD for tells, _ in weighed)
    yield from ((f"t{word}", tells) for tells, word in weighed[: min(rare, _WORDS)])
    common = weighed[rare : rare + 4]
    for n, (one, first) in enumerate(common):
        for other, second in common[n + 1 :]:
            if one + other >= RARE_PAIR:
                yield (f"u{first} {second}" if first < second else f"u{second} {first}"), one + other


def _whole(name: Name) -> str:
    return "n" + " ".join(sorted(name.words))


def _typing_keys(name: Name, words: int) -> Iterable[tuple[str, float]]:
    """The rarest words as they sound, each with one letter left out: two spellings one slip apart share such a key."""
    rare = sorted(
        ((-weight(word), n) for n, word in enumerate(name.words) if len(word) >= _LEAST and weight(word) >= _SLIPS)
    )
    for tells, n in rare[:words]:
        start = sound(name.words[n])[:_PREFIX]
        yield "d" + start, tells
        yield from (("d" + start[:n] + start[n + 1 :], tells) for n in range(len(start)))


def rank(asked: Sequence[Key], postings: Mapping[int, Sequence[int]]) -> list[int]:
    """The numbers of the accounts to compare, most promising first: at most CAP. Equal ones by number, so order of filing is no matter."""
    sums: dict[int, float] = {}
    slips: dict[int, float] = {}
    for key, tells in asked:
        filed = postings.get(key)
        if not filed:
            continue
        # What many accounts are filed under tells less, however rare the word is elsewhere.
        worth = min(abs(tells), RARE + 2.0 - _LOGS[min(len(filed), FETCH)])
        if tells > 0:
            for number in filed:
                sums[number] = sums.get(number, 0.0) + worth
        else:
            for number in filed:
                if slips.get(number, 0.0) < worth:
                    slips[number] = worth
    for number, worth in slips.items():
        sums[number] = sums.get(number, 0.0) + worth * 0.8
    if not sums:
        return []
    least = max(sums.values()) * _SHARE
    best = sorted((-tells, number) for number, tells in sums.items() if tells >= least)
    return [number for _, number in best[:CAP]]


_LOGS = [0.0, *(math.log(n) for n in range(1, FETCH + 1))]


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
        domains, names = sure_keys(lead)
        asked = (*domains, *names)
        postings = self._postings(asked)
        if not is_sure(domains, names, postings):
            asked = lead_keys(lead)
            postings = self._postings(asked)
        return [self._accounts[number] for number in rank(asked, postings)]

    def _postings(self, asked: Iterable[Key]) -> dict[int, list[int]]:
        postings = {}
        for key, _ in asked:
            filed = self._filed.get(key)
            if filed:
                postings[key] = filed if len(filed) <= FETCH else sorted(filed)[:FETCH]
        return postings
