"""Who is who: the roster of people.csv joined with the users of each CRM.

A person's key is the lower-case e-mail address; a CRM knows the same person by an id of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

from routing.core.availability.calendars import tenure
from routing.core.model import Record
from routing.core.roster import Roster, roster_of
from rules.nouns import system_name

if TYPE_CHECKING:
    from rules.policy import Policy

# Offline files name their owners by name or e-mail: there is no CRM, so a person's key is their id.
FILE = "file"

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class Directory:
    """Answers whose id that is, what a person's id is in a system, and whether they can receive a lead.

    Built anew whenever the policy or a person record changes; never changed afterwards.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._persons: tuple[Record, ...] = ()
        self._keys: dict[str, dict[str, str]] = {}  # system -> CRM id -> key
        self._ids: dict[str, dict[str, str]] = {}  # system -> key -> CRM id
        self._names: dict[str, str] = {}  # people of a CRM who are not in the roster
        self._gone: dict[str, dict[str, str]] = {}  # system -> key -> why that CRM cannot give them records
        self._never: dict[str, dict[str, str | None]] = {}  # system -> key -> what ``standing`` answers
        self._tenures = {
            key: tenure(person) for key, person in policy.people.items() if person.start_date or person.end_date
        }
        self._typed: dict[str, str] = {}  # owner as written in a file -> key

    @classmethod
    def build(cls, policy: Policy, persons: Iterable[Record]) -> Directory:
        """From the roster and the mirror's person records (values email, name, active). Ids fixed in people.csv win."""
        self = cls(policy)
        self._persons = tuple(persons)
        for record in sorted(self._persons, key=lambda r: (r.system, not _usable(r), r.record_id)):
            email = str(record.values.get("email") or "").strip().lower()
            if email:
                self._learn(record, email)
        users = {(one.system, full_id(one.system, one.record_id)): one for one in self._persons}
        for key, person in policy.people.items():
            for system, written in person.ids.items():
                crm_id = full_id(system, written)
                self._keys.setdefault(system, {})[crm_id] = key
                self._ids.setdefault(system, {})[key] = crm_id
                self._gone.get(system, {}).pop(key, None)  # that was said of whoever has the address there
                user = users.get((system, crm_id))
                if user is not None and not _usable(user):
                    self._out(user, key)
        return self

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The CRMs whose records are given to people. One whose users are not known yet says nothing against anybody, and is none of them."""
        routed = {system for kind in self._policy.ladders for system in self._policy.entities[kind].remote}
        return tuple(sorted(routed & {record.system for record in self._persons}))

    @cached_property
    def roster(self) -> Roster:
        """The users it was built from, to be kept beside the decisions."""
        return roster_of(self._persons)

    @cached_property
    def roster_digest(self) -> str:
        return self.roster.digest()

    def _learn(self, record: Record, key: str) -> None:
        """Usable records come first, so that a person's old, deactivated user does not hide the present one."""
        system, crm_id = record.system, full_id(record.system, record.record_id)
        self._keys.setdefault(system, {})[crm_id] = key
        self._names.setdefault(key, str(record.values.get("name") or key))
        ids = self._ids.setdefault(system, {})
        if key in ids:
            return
        ids[key] = crm_id
        if not _usable(record):
            self._out(record, key)

    def _out(self, record: Record, key: str) -> None:
        what = "deleted" if record.deleted else "deactivated"
        why = f"{self.name(key)}'s user is {what} in {system_name(record.system)}"
        self._gone.setdefault(record.system, {})[key] = why

    def key_of(self, system: str, crm_id: str) -> str:
        """The key of the person with that id in that system; "" for an unknown id, a queue or nobody."""
        if not crm_id:
            return ""
        if system == FILE:
            return self._typed_key(str(crm_id))
        found = self._keys.get(system)
        return found.get(crm_id, "") if found else ""

    def crm_id(self, system: str, key: str) -> str | None:
        """That person's id in that system, None when they have none there."""
        if system == FILE:
            return key or None
        return self._ids.get(system, {}).get(key)

    def name(self, key: str) -> str:
        """The person's name for sentences; the key itself when nobody knows more."""
        person = self._policy.people.get(key)
        return person.name if person else self._names.get(key, key)

    def had_it(self, key: str, system: str, *, never: bool) -> str:
        """Why somebody who had a record does not get it again, as a sentence; or, ``never``, whom that CRM refused as its owner."""
        return (
            f"{system_name(system)} refused {self.name(key)} as the owner"
            if never
            else f"{self.name(key)} had it already"
        )

    def why_not(self, key: str, system: str, now: datetime) -> str | None:
        """Why this person cannot receive a record of that system now, as a sentence; None when they can.

        A start date counts from midnight on their own clock, an end date to the midnight after.
        """
        reason = self.standing(key, system)
        if reason is None and key in self._tenures:
            person, (start, end) = self._policy.people[key], self._tenures[key]
            if now.timestamp() < start:
                return f"{person.name} starts on {person.start_date}"
            if now.timestamp() >= end:
                return f"{person.name} works until {person.end_date}"
        return reason

    def may_have_some_day(self, key: str, system: str, now: datetime) -> bool:
        """Whether this person can receive a record of that system, now or once they began to work here."""
        return self.standing(key, system) is None and now.timestamp() < self._tenures.get(key, (-inf, inf))[1]

    def standing(self, key: str, system: str) -> str | None:
        """Why this person cannot receive a record of that system, whatever the date; None when they can."""
        reasons = self._never.get(system)
        if reasons is None:
            reasons = self._never[system] = {}
        try:
            return reasons[key]
        except KeyError:
            reason = reasons[key] = self._standing_reason(key, system)
            return reason

    def _standing_reason(self, key: str, system: str) -> str | None:
        person = self._policy.people.get(key)
        if person is None:
            return f"{self.name(key)} is not in people.csv" if key else "nobody is named"
        if not person.active:
            return f"{person.name} is inactive in people.csv"
        if key in self._gone.get(system, {}):
            return self._gone[system][key]
        crm_id = self.crm_id(system, key)
        if crm_id is None:
            return f"{person.name} has no active user in {system_name(system)} with the e-mail address {key}"
        return None

    def kept_out(self, key: str, systems: Iterable[str]) -> dict[str, str]:
        """Why this person cannot receive records of these systems, by the system: none where they can of all of them."""
        reasons = {system: self.standing(key, system) for system in systems}
        return {system: why for system, why in reasons.items() if why is not None}

    def there_again(self, before: Directory) -> set[str]:
        """Who can receive records of a CRM that ``before``, of the same policy, could not give them."""
        return {
            key
            for system in self._ids
            for key in self._policy.people
            if self.standing(key, system) is None and before.standing(key, system) is not None
        }

    def unreachable(self, key: str, system: str) -> str:
        """Why nothing can be put before that person in that system, whether they are in people.csv or not; "" when it can."""
        gone = self._gone.get(system, {}).get(key)
        if gone is None and self.crm_id(system, key) is None:
            gone = f"{self.name(key)} has no user in {system_name(system)}"
        return gone or ""

    def _typed_key(self, text: str) -> str:
        key = self._typed.get(text)
        if key is None:
            person = self._policy.person(text.strip())
            key = person.key if person else ""
            if len(self._typed) < 10_000:
                self._typed[text] = key
        return key


def _usable(record: Record) -> bool:
    return not record.deleted and record.values.get("active") is not False


def full_id(system: str, crm_id: str) -> str:
    """A Salesforce id of 15 characters, as reports show it, gets the three that the API appends to tell cases apart."""
    crm_id = crm_id.strip()
    if system != "salesforce" or len(crm_id) != 15:
        return crm_id
    chunks = (crm_id[0:5], crm_id[5:10], crm_id[10:15])
    return crm_id + "".join(_ALPHABET[sum(1 << i for i, c in enumerate(chunk) if "A" <= c <= "Z")] for chunk in chunks)
