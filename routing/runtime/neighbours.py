"""What is like the records of one batch: accounts they may belong to, and others of the same person, as they change event by event."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.filing import NOWHERE, Filed, contact_key, features_of, people_keys
from routing.core.matching.decide import Said, company_of, shortlist
from routing.core.matching.index import CAP, FETCH, Key, number_of, search
from routing.core.matching.model import AccountFeatures, LeadFeatures
from routing.core.model import Record
from routing.core.recognise import lead_side, weights_of, with_contact
from routing.core.view import Contact
from routing.ledger import match_corrections, match_index
from routing.ledger.schema import ref_of, split_ref
from rules.policy import Policy

# The CRM where customers are kept is asked first; another system's companies only where it knows none.
_PREFERRED = "salesforce:"
# Of the accounts that contacts point to so many are looked at, those of the most contacts.
_BY_CONTACTS = 4


class Found(Struct, frozen=True):
    """An account on the shortlist."""

    ref: str
    features: AccountFeatures
    contact: Contact = ""


class Ask(Struct):
    """What one record asks for. ``Neighbours`` remembers here what it found, for as long as ``as_of`` says that it is good."""

    ref: str
    lead: LeadFeatures
    contacts: tuple[tuple[int, Contact], ...]
    people: frozenset[int]
    subjects: tuple[str, ...]
    as_of: int = -1
    ranked: list[int] = []
    accounts: list[Found] | None = None


def asking(record: Record, policy: Policy, people: frozenset[int] | None = None) -> Ask:
    """What to look for around a record that is to be routed. ``people`` are its ``people_keys`` where they are known."""
    ref = ref_of(record.system, record.entity, record.record_id)
    lead = lead_side(record, policy)
    contacts: list[tuple[int, Contact]] = []
    if lead.address:
        contacts.append((contact_key(lead.address), "address"))
    if lead.mail_domain:
        contacts.append((contact_key(lead.mail_domain), "domain"))
    if policy.matching.duplicates is None:
        people = frozenset()
    elif people is None:
        people = people_keys(record)
    subjects = tuple(match_corrections.subjects(ref, company_of(lead)))
    return Ask(ref, lead, tuple(contacts), people, subjects)


class Neighbours:
    """Loaded with a few queries for all that a batch asks for; ``file`` makes a change visible to the events behind it."""

    def __init__(self, conn: Connection, asks: Sequence[Ask], changes: int, policy: Policy) -> None:
        """``changes``: how many events of the batch may file a record anew. So many rows more are read of each key: what one takes
        away another must take the place of, or the answer would depend on where batches are cut."""
        self._conn, self._weights, self._most = conn, weights_of(policy), FETCH + changes
        self._read: set[int] = set()  # the keys that were looked up
        self._postings: dict[int, list[int]] = {}  # of those that have any
        # What the batch filed elsewhere: from where, to where.
        self._moves: list[tuple[int, frozenset[int], frozenset[int]]] = []
        self._moved = 0  # how often an account, or who points to one, was filed elsewhere
        self._behind: dict[int, tuple[str, bytes]] = {}
        self._known: dict[int, Found | None] = {}  # accounts, of those that were asked for
        self._subjects = {one for ask in asks for one in ask.subjects}
        self._said = match_corrections.find(conn, self._subjects) if asks else {}
        self._prefetch(asks)

    def _prefetch(self, asks: Sequence[Ask]) -> None:
        first: set[int] = set()
        for ask in asks:
            first.update(ask.people)
            first.update([key for key, _ in ask.contacts])
        self._look_up(first)
        self._look(asks)
        numbers: set[int] = set()
        for ask in asks:
            numbers.update(ask.ranked)
            numbers.update(self._of(ask.people))
            numbers.update(self._of([key for key, _ in ask.contacts]))
        self._load(numbers)

    def _look_up(self, keys: set[int]) -> None:
        """Reads what is filed under these keys, as the batch has left it by now."""
        missing = keys - self._read
        if not missing:
            return
        self._read |= missing
        self._postings |= match_index.postings(self._conn, missing, self._most)
        for number, gone, come in self._moves:
            self._refile(number, gone & missing, come & missing)

    def _refile(self, number: int, gone: Iterable[int], come: Iterable[int]) -> None:
        for key in gone:
            filed = self._postings.get(key, ())
            if number in filed:
                self._postings[key].remove(number)
        for key in come:
            filed = self._postings.setdefault(key, [])
            if number not in filed:
                insort(filed, number)

    def file(self, ref: str, before: Filed, after: Filed) -> None:
        """A record was filed elsewhere."""
        number = number_of(ref)
        gone, come = before.keys - after.keys, after.keys - before.keys
        self._refile(number, gone & self._read, come & self._read)
        self._moves.append((number, gone, come))
        self._behind[number] = (ref, after.body) if after != NOWHERE else ("", b"")
        self._known.pop(number, None)
        if split_ref(ref)[1] != "lead":
            self._moved += 1

    def merged(self, gone: str, into: str) -> None:
        """An account was merged into another, both given by ref: what people said of it holds for that one."""
        if match_corrections.follow(self._conn, gone, into) and self._subjects:
            self._said = match_corrections.find(self._conn, self._subjects)
            self._moved += 1

    def said(self, ask: Ask) -> tuple[Said, ...]:
        """What people said of the record's account, and of its company's."""
        return tuple([one for subject in ask.subjects for one in self._said.get(subject, ())]) if self._said else ()

    def accounts(self, ask: Ask) -> list[Found]:
        """The accounts that the record may belong to, best first: of the preferred system if it has any. Remembered until
        something is filed anew."""
        self._ranked(ask)
        if ask.accounts is None:
            ask.accounts = self._accounts(ask)
        return ask.accounts

    def _accounts(self, ask: Ask) -> list[Found]:
        contacts = self._by_contacts(ask)
        named = {ref_of(one.system, "account", one.account_id) for one in self.said(ask)}
        numbers = dict.fromkeys(self._ranked(ask))
        if contacts or named:
            numbers |= dict.fromkeys(number_of(ref) for ref in sorted({*contacts, *named}))
        elif not numbers:
            return []
        self._load(numbers)
        there = [one for number in numbers if (one := self._found(number, ask, contacts)) is not None]
        preferred = [one for one in there if one.ref.startswith(_PREFERRED)] or there
        by_id = {one.features.account_id: one for one in preferred}
        near = shortlist(ask.lead, [one.features for one in preferred], self._weights)
        best = [by_id[one.account_id] for one in near]
        if not named:
            return best
        # What a person spoke of is shown, however little speaks for it.
        return best + [one for one in preferred if one.ref in named and one not in best][:CAP]

    def _found(self, number: int, ask: Ask, contacts: Mapping[str, Contact]) -> Found | None:
        """The account behind a number, with what its contacts add for this record; None where there is none."""
        if number not in self._known:
            ref, body = self._behind.get(number, ("", b""))
            there = ref and split_ref(ref)[1] == "account"
            self._known[number] = Found(ref, features_of(body)) if there else None
        found = self._known[number]
        how = contacts.get(found.ref, "") if found is not None and contacts else ""
        if found is None or not how:
            return found
        return Found(found.ref, with_contact(found.features, how, ask.lead), how)

    def _by_contacts(self, ask: Ask) -> dict[str, Contact]:
        """The refs of accounts that have a contact of the record's address, or several of its domain."""
        found: dict[str, Contact] = {}
        for key, how in ask.contacts:
            if key not in self._postings:
                continue
            counted: Counter[str] = Counter()
            for number in self._of((key,)):
                ref, account = self._behind.get(number, ("", b""))
                if ref and account:
                    counted[ref_of(split_ref(ref)[0], "account", account.decode())] += 1
            for ref, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_BY_CONTACTS]:
                found.setdefault(ref, how)
        return found

    def people(self, ask: Ask) -> list[str]:
        """The refs of the records of the same system that may be the same person."""
        numbers = self._of(ask.people)
        if not numbers:
            return []
        self._load(numbers)
        system = split_ref(ask.ref)[0]
        refs = {self._behind[number][0] for number in numbers} - {"", ask.ref}
        return sorted([ref for ref in refs if split_ref(ref)[0] == system])

    def _of(self, keys: Iterable[int]) -> set[int]:
        found: set[int] = set()
        for key in keys:
            filed = self._postings.get(key)
            if filed:
                found.update(filed[:FETCH])
        return found

    def _now(self, asked: Sequence[Key]) -> dict[int, Sequence[int]]:
        postings = self._postings
        return {key: postings[key][:FETCH] for key, _ in asked if key in postings}

    def _ranked(self, ask: Ask) -> list[int]:
        """The numbers of the accounts to compare, most promising first."""
        if ask.as_of != self._moved:
            self._look((ask,))
        return ask.ranked

    def _look(self, asks: Iterable[Ask]) -> None:
        """Finds the accounts for all of them, with one query a step of their searches."""
        running = [(ask, looking := search(ask.lead), next(looking)) for ask in asks]
        while running:
            self._look_up({key for *_, asked in running for key, _ in asked})
            left = []
            for ask, looking, asked in running:
                try:
                    left.append((ask, looking, looking.send(self._now(asked))))
                except StopIteration as done:
                    ask.as_of, ask.ranked, ask.accounts = self._moved, done.value, None
            running = left

    def _load(self, numbers: Iterable[int]) -> None:
        missing: Collection[int] = {number for number in numbers if number not in self._behind}
        if missing:
            self._behind |= dict.fromkeys(missing, ("", b"")) | match_index.records(self._conn, missing)
