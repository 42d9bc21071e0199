"""How people are named by whoever speaks to the daemon, on the command line or over the API: one way for all of it.

By name or e-mail address, as in people.csv, or by the id of their user in a CRM; without case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection

from routing.core.directory import Directory, full_id
from routing.ledger import mirror
from rules.source import nearest
from rules.values import fold

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Person


MOST_MEANT = 3  # people that are offered where only a part of their name was given


class NobodyCalled(Exception):
    """There is nobody of that name, or there are several; the text says what to write instead."""


def person_called(policy: Policy, conn: Connection, text: str) -> Person:
    """Whom that means. Raises NobodyCalled."""
    found = policy.person(text)
    if found is not None and found.key in policy.people:
        return found
    same = [person.key for person in policy.people.values() if fold(person.name) == fold(text)]
    if same:
        raise NobodyCalled(f"people.csv has several called {text!r}: write the e-mail address, {' or '.join(same)}.")
    records = mirror.people(conn)
    directory = Directory.build(policy, records)
    systems = {record.system for record in records} | {
        system for person in policy.people.values() for system in person.ids
    }
    keys = {directory.key_of(system, full_id(system, text)) for system in systems} & policy.people.keys()
    if len(keys) > 1:
        raise NobodyCalled(
            f"{text!r} is the id of several people: write the e-mail address, {' or '.join(sorted(keys))}."
        )
    if keys:
        return policy.people[keys.pop()]
    words = [word for person in policy.people.values() for word in (person.name, person.key)]
    parts = [person.name for person in policy.people.values() if fold(text) in fold(person.name).split()]
    meant = "' or '".join(parts) if len(parts) <= MOST_MEANT else ""  # of a first or last name alone
    if meant:
        raise NobodyCalled(f"The live policy's people.csv has nobody called {text!r}: did you mean '{meant}'?")
    hint = nearest(text, words) or "`fingerpost people list` shows everybody"
    raise NobodyCalled(f"The live policy's people.csv has nobody called {text!r}: {hint}")
