"""The keys by which mirror records find each other: a person by the e-mail address, an opportunity by its account.

What is alike rather than the same (accounts, other records of a person) is found by ``routing.core.filing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from routing.core import normalise
from routing.core.model import Record

if TYPE_CHECKING:
    from rules.policy import Policy

Key = tuple[str, str]

_NONE: frozenset[Key] = frozenset()


def keys(record: Record) -> frozenset[Key]:
    """The keys under which the mirror files this record.

    ``("email", …)`` for leads and contacts, ``("account", id)`` for opportunities; of a deleted one only ``went_into`` each record that it
    was merged into.
    """
    if record.deleted:
        return frozenset(went_into(record.system, record.entity, one) for one in record.into)
    if record.entity in ("lead", "contact"):
        return wanted(record)
    if record.entity == "opportunity" and record.values.get("account"):
        return frozenset({("account", str(record.values["account"]))})
    return _NONE


def wanted(record: Record) -> frozenset[Key]:
    """The keys under which to look for the same person in the other system."""
    if record.entity not in ("lead", "contact"):
        return _NONE
    address = address_of(record.values.get("email"))
    return frozenset({("email", address)}) if address else _NONE


def went_into(system: str, entity: str, record_id: str) -> Key:
    """The key of what was merged into that record: the same person, whom an erasure must find under every id."""
    return ("into", f"{system}:{entity}:{record_id}")


def account_field(entity: str, policy: Policy) -> str:
    """The first field by which records of a kind refer to the account they belong to; "" when there is none."""
    kind = policy.entities.get(entity)
    if kind is None or entity == "account":
        return ""
    return next(
        (field.name for field in kind.fields.values() if field.type == "reference" and field.to == "account"), ""
    )


def own_account(record: Record, fields: Mapping[str, str]) -> str:
    """The id of the account that a record itself names; "" when it names none. ``fields`` by kind (``Shape.accounts``)."""
    field = fields.get(record.entity)
    return str(record.values.get(field) or "") if field else ""


def address_of(value: object) -> str | None:
    """The normalised e-mail address in a field, None when there is none."""
    return normalise.email(value) if isinstance(value, str) and value else None
