"""The keys by which mirror records find each other: an account by its domain, a person by the e-mail address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routing.core import normalise
from routing.core.model import Record
from routing.core.words import FREE_MAIL

if TYPE_CHECKING:
    from rules.policy import Policy

Key = tuple[str, str]

_NONE: frozenset[Key] = frozenset()


def keys(record: Record, policy: Policy) -> frozenset[Key]:  # noqa: ARG001 - which fields are keys may become policy
    """The keys under which the mirror files this record; none for a deleted one.

    ``("domain", …)`` for accounts, ``("email", …)`` for leads and contacts, ``("account", id)`` for opportunities.
    """
    if record.deleted:
        return _NONE
    values = record.values
    if record.entity == "account":
        domain = website_domain(values.get("website"))
        return frozenset({("domain", domain)}) if domain else _NONE
    if record.entity in ("lead", "contact"):
        address = address_of(values.get("email"))
        return frozenset({("email", address)}) if address else _NONE
    if record.entity == "opportunity" and values.get("account"):
        return frozenset({("account", str(values["account"]))})
    return _NONE


def wanted(record: Record, policy: Policy) -> frozenset[Key]:
    """The keys under which to look for a lead's account candidates and for the same person in the other system."""
    if record.entity not in ("lead", "contact"):
        return _NONE
    found: set[Key] = set()
    values = record.values
    address = address_of(values.get("email"))
    if address:
        found.add(("email", address))
        domain = normalise.email_domain(address)
        if domain and not is_free_mail(domain, policy):
            found.add(("domain", domain))
    site = website_domain(values.get("website"))
    if site and not is_free_mail(site, policy):
        found.add(("domain", site))
    return frozenset(found)


def is_free_mail(domain: str, policy: Policy) -> bool:
    """Whether anybody can have an address there. The policy's own lists go before the shipped one."""
    matching = policy.matching
    if domain in matching.not_free_domains:
        return False
    return domain in FREE_MAIL or domain in matching.free_domains


def address_of(value: object) -> str | None:
    """The normalised e-mail address in a field, None when there is none."""
    return normalise.email(value) if isinstance(value, str) and value else None


def website_domain(value: object) -> str | None:
    """The company domain of a website field, None when there is none."""
    return normalise.company_website(value) if isinstance(value, str) and value else None
