"""From a record's values to what is compared of it. Pure and total: whatever a CRM may hold goes in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from routing.core import keys, normalise, phones, places
from routing.core.matching.domains import brand, company_domain
from routing.core.matching.model import NOWHERE, AccountFeatures, LeadFeatures, Name, Place
from routing.core.matching.names import latin, names, skeleton
from routing.core.words import SHARED_HOSTS

_NOT_WORD = re.compile(r"[^a-z0-9]+")
_SEPARATORS = re.compile(r"[\s,;|]+")
# No account has more than these of a kind; what follows is not looked at.
NAMES, DOMAINS, PHONES = 4, 6, 3


def account_features(account_id: str, values: Mapping[str, Any]) -> AccountFeatures:
    """Of an account's canonical fields (name, former_names, website, domains, phone, country, state, city, postal_code, parent)."""
    label = _text(values, "name")
    found = list(names(label))
    for other in _several(values.get("former_names"), "\n;|"):
        found += [name for name in names(other) if name not in found]
    # Also one of a mail provider: whether it is a company's is the policy's to say, and asked on the lead's side.
    listed = [_site(values.get("website"))]
    listed += [_site(one) for one in _several(values.get("domains"), None)]
    place = _place(values)
    return AccountFeatures(
        account_id=account_id,
        label=label,
        names=tuple(found[:NAMES]),
        domains=tuple(dict.fromkeys(one for one in listed if one))[:DOMAINS],
        place=place,
        phones=_phones(values, place.country),
        parent=_text(values, "parent"),
    )


def lead_features(
    lead_id: str, values: Mapping[str, Any], company: Callable[[str | None], str] = company_domain
) -> LeadFeatures:
    """Of a lead's canonical fields (company, email, website, phone, mobile, country, state, city, postal_code).

    An e-mail or web address in the company field is read as what it is. ``company`` gives the domain where it can be a company's, else "".
    """
    named_by = _text(values, "company")
    address = keys.address_of(values.get("email")) or ""
    mail = normalise.email_domain(address) if address else None
    mail_domain, site = company(mail), company(_site(values.get("website")))
    found = names(named_by)
    if not found and named_by and len(named_by) <= normalise.NAME_LIMIT and ("." in named_by):
        if "@" in named_by:
            written = keys.address_of(named_by)
            mail_domain = mail_domain or company(normalise.email_domain(written) if written else None)
        elif " " not in named_by.strip():
            site = site or company(_site(named_by))
            named = brand(site)
            found = (Name((named,), (), named, skeleton((named,))),) if named else ()
    place = _place(values)
    return LeadFeatures(
        lead_id=lead_id,
        names=found,
        mail_domain=mail_domain,
        site=site,
        place=place,
        phones=_phones(values, place.country),
        address=address,
        free_mail=bool(mail) and not company(mail),
    )


def _site(text: Any) -> str:
    """The registrable domain of a web address; "" at a host where anybody has a page."""
    domain = normalise.company_website(text) if isinstance(text, str) and text else None
    return domain if domain and domain not in SHARED_HOSTS else ""


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _several(value: Any, separators: str | None) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [one for one in value if isinstance(one, str)]
    if not isinstance(value, str) or not value:
        return []
    return (_SEPARATORS if separators is None else re.compile(f"[{re.escape(separators)}]+")).split(value[:2_000])


def _place(values: Mapping[str, Any]) -> Place:
    country, state = _text(values, "country"), _text(values, "state")
    city, code = _text(values, "city"), _text(values, "postal_code")
    if not (country or state or city or code):
        return NOWHERE
    known = (places.country(country) or "") if country else ""
    return Place(known, _state(state, known), _folded(city), _folded(code).replace(" ", ""))


def _state(state: str, country: str) -> str:
    return _folded((places.state(state, country) or state) if country and state else state)


@lru_cache(maxsize=16_384)
def _folded(text: str) -> str:
    return _NOT_WORD.sub(" ", latin(text[:120])).strip() if text else ""


def _phones(values: Mapping[str, Any], country: str) -> tuple[str, ...]:
    found = []
    for field in ("phone", "mobile", "other_phone"):
        written = _text(values, field)
        number = phones.phone(written, country) if written else None
        if number:
            found.append(number.partition(" ")[0])  # without its extension
    return tuple(dict.fromkeys(found))[:PHONES]
