"""What is like the records of one batch: accounts they may belong to, and others of the same person, as they change event by event."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.filing import NOWHERE, Filed, contact_key, features_of, people_keys
from routing.core.matching.decide import Said, company_of, shortlist
from routing.core.matching.index import CAP, FETCH, Key, is_sure, lead_keys, number_of, rank, sure_keys
from routing.core.matching.model import AccountFeatures, LeadFeatures
from routing.core.model import Record
from routing.core.recognise import lead_side, weights_of, with_contact
from routing.core.view import Contact
from routing.ledger import match_corrections, match_index
from routing.ledger.schema import ref_of, split_ref
from rules.policy import Policy

# The CRM where customers are kept is asked first; another system's companies only where it knows none.
PREFERRED = "salesforce"
# Of the accounts that contacts point to so many are looked at, those of the most contacts.
_BY_CONTACTS = 4


class Ask(Struct, frozen=True):
    """What one record asks for."""

    ref: str
    lead: LeadFeatures
    domains: tuple[Key, ...]
    names: tuple[Key, ...]
    contacts: tuple[tuple[int, Contact], ...]
    people: frozenset[int]
    subjects: tuple[str, ...]


class Found(Struct, frozen=True):
    """An account on the shortlist."""

    ref: str
    features: AccountFeatures
    contact: Contact = ""


def asking(record: Record, policy: Policy) -> Ask:
    """What to look for around a record that is to be routed."""
    ref = ref_of(record.system, record.entity, record.record_id)
    lead = lead_side(record, policy)
    contacts: list[tuple[int, Contact]] = []
    if lead.address:
        contacts.append((contact_key(lead.address), "address"))
    if lead.mail_domain:
        contacts.append((contact_key(lead.mail_domain), "domain"))
    return Ask(
        ref,
        lead,
        *sure_keys(lead),
        tuple(contacts),
        people_keys(record) if policy.matching.duplicates is not None else frozenset(),
        tuple(match_corrections.subjects(ref, company_of(lead))),
    )


class Neighbours:
    """Loaded with a few queries for all that a batch asks for; ``file`` makes a change visible to the events behind it."""

    def __init__(self, conn: Connection, asks: Sequence[Ask], changes: int, policy: Policy) -> None:
        """``changes``: how many events of the batch may file a record anew. So many rows more are read of each key: what one takes
        away another must take the place of, or the answer would depend on where batches are cut."""
        self._conn, self._weights, self._most = conn, weights_of(policy), FETCH + changes
        self._postings: dict[int, list[int]] = {}
        self._moves: list[
            tuple[int, frozenset[int], frozenset[int]]
        ] = []  # what the batch filed elsewhere: from where, to where
        self._behind: dict[int, tuple[str, bytes]] = {}
        self._features: dict[bytes, AccountFeatures] = {}
        self._said = match_corrections.find(conn, {one for ask in asks for one in ask.subjects}) if asks else {}
        self._asks = asks  # kept, so that no identity is given twice
        self._more: dict[int, tuple[Key, ...]] = {}  # by the identity of what was asked, as the two that follow
        self._lists: dict[int, list[Found]] = {}
        self._ranks: dict[int, list[int]] = {}
        self._need(
            key
            for ask in asks
            for key in (*(k for k, _ in (*ask.domains, *ask.names)), *(k for k, _ in ask.contacts), *ask.people)
        )
        self._need(key for ask in asks if not self._sure(ask) for key, _ in self._all(ask))
        people = {number for ask in asks for number in self._of(ask.people)}
        contacts = {number for ask in asks for number in self._of(key for key, _ in ask.contacts)}
        ranked = {number for ask in asks for number in self._ranked(ask)}
        self._load(people | contacts | ranked)

    def _need(self, keys: Iterable[int]) -> None:
        """Reads what is filed under these keys, as the batch has left it by now."""
        missing = {key for key in keys if key not in self._postings}
        if not missing:
            return
        found = match_index.postings(self._conn, missing, self._most)
        self._postings |= {key: found.get(key, []) for key in missing}
        for number, gone, come in self._moves:
            self._refile(number, gone & missing, come & missing)

    def _refile(self, number: int, gone: Iterable[int], come: Iterable[int]) -> None:
        for key in gone:
            if number in self._postings[key]:
                self._postings[key].remove(number)
        for key in come:
            if number not in self._postings[key]:
                insort(self._postings[key], number)

    def file(self, ref: str, before: Filed, after: Filed) -> None:
        """A record was filed elsewhere."""
        number, known = number_of(ref), self._postings.keys()
        gone, come = before.keys - after.keys, after.keys - before.keys
        self._refile(number, gone & known, come & known)
        self._moves.append((number, gone, come))
        self._behind[number] = (ref, after.body) if after != NOWHERE else ("", b"")
        if split_ref(ref)[1] != "lead":
            self._lists.clear()
            self._ranks.clear()

    def said(self, ask: Ask) -> tuple[Said, ...]:
        """What people said of the record's account, and of its company's."""
        return tuple(one for subject in ask.subjects for one in self._said.get(subject, ()))

    def accounts(self, ask: Ask) -> list[Found]:
        """The accounts that the record may belong to, best first: of the preferred system if it has any. Remembered until
        something is filed anew."""
        known = self._lists.get(id(ask))
        if known is None:
            known = self._lists[id(ask)] = self._accounts(ask)
        return known

    def _accounts(self, ask: Ask) -> list[Found]:
        contacts = self._by_contacts(ask)
        named = {ref_of(one.system, "account", one.account_id) for one in self.said(ask)}
        numbers = dict.fromkeys(self._ranked(ask))
        numbers |= dict.fromkeys(number_of(ref) for ref in sorted({*contacts, *named}))
        self._load(numbers)
        found = [self._found(number, ask, contacts) for number in numbers]
        there = [one for one in found if one is not None]
        preferred = [one for one in there if one.ref.startswith(f"{PREFERRED}:")] or there
        by_id = {one.features.account_id: one for one in preferred}
        best = [
            by_id[one.account_id] for one in shortlist(ask.lead, [one.features for one in preferred], self._weights)
        ]
        # What a person spoke of is shown, however little speaks for it.
        return best + [one for one in preferred if one.ref in named and one not in best][:CAP]

    def _found(self, number: int, ask: Ask, contacts: Mapping[str, Contact]) -> Found | None:
        ref, body = self._behind.get(number, ("", b""))
        if not ref or split_ref(ref)[1] != "account":
            return None
        features = self._features.get(body)
        if features is None:
            features = self._features[body] = features_of(body)
        how = contacts.get(ref, "")
        return Found(ref, with_contact(features, how, ask.lead), how)

    def _by_contacts(self, ask: Ask) -> dict[str, Contact]:
        """The refs of accounts that have a contact of the record's address, or several of its domain."""
        found: dict[str, Contact] = {}
        for key, how in ask.contacts:
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
        self._load(self._of(ask.people))
        system = split_ref(ask.ref)[0]
        refs = {self._behind.get(number, ("", b""))[0] for number in self._of(ask.people)}
        return sorted(ref for ref in refs if ref and ref != ask.ref and split_ref(ref)[0] == system)

    def _of(self, keys: Iterable[int]) -> set[int]:
        return {number for key in keys for number in self._postings.get(key, ())[:FETCH]}

    def _sure(self, ask: Ask) -> bool:
        return is_sure(ask.domains, ask.names, self._now((*ask.domains, *ask.names)))

    def _all(self, ask: Ask) -> tuple[Key, ...]:
        found = self._more.get(id(ask))
        if found is None:
            found = self._more[id(ask)] = lead_keys(ask.lead)
        return found

    def _now(self, asked: Sequence[Key]) -> dict[int, Sequence[int]]:
        return {key: self._postings[key][:FETCH] for key, _ in asked}

    def _ranked(self, ask: Ask) -> list[int]:
        found = self._ranks.get(id(ask))
        if found is None:
            asked = (*ask.domains, *ask.names)
            if not self._sure(ask):
                asked = self._all(ask)
                self._need(key for key, _ in asked)
            found = self._ranks[id(ask)] = rank(asked, self._now(asked))
        return found

    def _load(self, numbers: Iterable[int]) -> None:
        missing: Collection[int] = {number for number in numbers if number not in self._behind}
        if missing:
            self._behind |= dict.fromkeys(missing, ("", b"")) | match_index.records(self._conn, missing)
