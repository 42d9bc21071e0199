"""Who of a changed people.csv is somebody of before with another e-mail address.

A person's key is the e-mail address, so by itself another one would be another person. The same are those who left with the old address
and came with the new one, and have the same user in a CRM (``salesforce_id``) or, where neither row says otherwise, the same name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.directory import full_id
from rules.values import fold

if TYPE_CHECKING:
    from rules.pools.model import Person

Trait = tuple[str, str]


class Readdressed(Struct, frozen=True):
    """The new keys by the old ones; and what is to be said: who goes on, and of whom it cannot be told."""

    now: dict[str, str]
    said: tuple[str, ...] = ()


def readdressed(before: Mapping[str, Person], after: Mapping[str, Person]) -> Readdressed:
    """Who has another e-mail address in ``after`` than in ``before``, the people of two policies by key."""
    now: dict[str, str] = {}
    unsure: dict[str, list[str]] = {}
    for traits in (_users, _name):
        left = [one for key, one in before.items() if key not in after and key not in now]
        come = [one for key, one in after.items() if key not in before and key not in now.values()]
        for new, olds, sure in _alike(left, [one for one in come if one.key not in unsure], traits):
            if sure:
                now[olds[0]] = new
            else:
                unsure[new] = olds
    goes_on = [
        f"{after[new].name} is {new} now, no longer {old}, and goes on in pools, absences and reports."
        for old, new in now.items()
    ]
    return Readdressed(now, (*goes_on, *[_doubt(after[new], olds) for new, olds in unsure.items()]))


def _alike(
    left: Iterable[Person], come: Iterable[Person], traits: Callable[[Person], set[Trait]]
) -> list[tuple[str, list[str], bool]]:
    """By new key the old ones with a trait in common, and whether that is one who is like nobody else."""
    having: dict[Trait, list[Person]] = defaultdict(list)
    for one in left:
        for trait in traits(one):
            having[trait].append(one)
    found = {
        new.key: sorted({old.key for trait in traits(new) for old in having[trait] if not _contradict(old, new)})
        for new in come
    }
    claims = [old for olds in found.values() for old in olds]
    return [(new, olds, len(olds) == 1 == claims.count(olds[0])) for new, olds in found.items() if olds]


def _users(person: Person) -> set[Trait]:
    return {(system, full_id(system, written)) for system, written in person.ids.items()}


def _name(person: Person) -> set[Trait]:
    return {("", fold(person.name))}


def _contradict(old: Person, new: Person) -> bool:
    """Whether they are two users of one CRM, and of no CRM the same."""
    both = old.ids.keys() & new.ids.keys()
    return bool(both) and not _users(old) & _users(new)


def _doubt(person: Person, olds: list[str]) -> str:
    return (
        f"{person.name} ({person.key}) starts in pools and reports as somebody new: whether that is {' or '.join(olds)} with another "
        "e-mail address cannot be told. To let them go on as one of these, put the old address back, write the id of their CRM user "
        "(such as salesforce_id) into people.csv, and change the address once that is live."
    )
