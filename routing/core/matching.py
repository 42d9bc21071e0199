"""Which account a lead belongs to: by the domain of its e-mail address, else of its website.

A domain is evidence, never a verdict: one domain can belong to hundreds of companies. Among several accounts the lead's own
words decide (company name, country), then what the account is to us, and at last the lower id, so that the answer is
the same every day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from routing.core import keys, normalise, places
from routing.core.model import Candidate, Step, Values
from routing.core.view import AccountView

if TYPE_CHECKING:
    from rules.policy import Policy

# A trace is read by people: of a domain that 300 companies share, the ten that came nearest are enough.
SHOWN = 10


class Match(Struct, frozen=True):
    """The account a lead belongs to (None: none), every candidate looked at, and the step for the trace."""

    account: AccountView | None
    candidates: tuple[Candidate, ...]
    step: Step
    domain: str  # the lead's company domain, "" when it has none
    free_mail: bool


# What speaks for one account, strongest first: name, country, customer, open opportunity, owner.
_Signs = tuple[bool, bool, bool, bool, bool]

# In the order of the signs: what to say for an account, and why one is passed over for want of it.
_FOR = ("same company name", "same country", "a customer", "has an open opportunity", "has an owner")
_AGAINST = (
    "another company name",
    "another country",
    "not a customer, the chosen one is",
    "no open opportunity, the chosen one has",
    "no owner, the chosen one has",
)


def match(lead: Values, address: str | None, candidates: Sequence[AccountView], policy: Policy) -> Match:
    """Matches the normalised ``lead``; ``address`` is its e-mail address when that is valid.

    ``candidates`` may hold accounts of other domains; they are not considered.
    """
    mail = normalise.email_domain(address) if address else None
    free = bool(mail) and keys.is_free_mail(mail or "", policy)
    site = keys.website_domain(lead.get("website"))
    if site and keys.is_free_mail(site, policy):
        site = None
    tried: list[tuple[str, str]] = []
    if mail and not free:
        tried.append((mail, "e-mail"))
    if site and site != mail:
        tried.append((site, "website"))
    domain = tried[0][0] if tried else ""
    for wanted, source in tried:
        found = [one for one in candidates if keys.website_domain(one.record.values.get("website")) == wanted]
        if found:
            return _choose(lead, found, f"{source} domain {wanted}", domain, free)
    return Match(None, (), Step("match", "Account", False, note=_why_none(lead, mail, free, tried)), domain, free)


def _why_none(lead: Values, mail: str | None, free: bool, tried: list[tuple[str, str]]) -> str:
    if tried:
        named = " or ".join(f"{domain} ({source})" for domain, source in tried)
        return f"no account has the domain {named}"
    if free:
        return f"{mail} is a free-mail provider and there is no company website"
    if lead.get("email") and not mail:
        return "the e-mail address is not valid and there is no company website"
    return "the lead has no e-mail address and no company website"


def _choose(lead: Values, found: list[AccountView], domain: str, first: str, free: bool) -> Match:
    company = lead.get("company")
    name = normalise.company_key(company) if isinstance(company, str) else ""
    country = lead.get("country")
    if len(found) == 1:
        ranked = [(_signs(found[0], name, country), found[0])]
    else:
        ranked = [(_signs(one, name, country), one) for one in found]
        ranked.sort(key=lambda item: item[1].record.record_id)
        ranked.sort(key=lambda item: item[0], reverse=True)  # stable: among equals the lower id stays in front
    best_signs, best = ranked[0]
    listed = [_candidate(best, best_signs, domain, "")]
    for signs, one in ranked[1:SHOWN]:
        listed.append(_candidate(one, signs, domain, _passed_over(signs, best_signs)))
    note = domain
    if len(ranked) > 1:
        note = f"{domain}: {len(ranked)} accounts share it"
        if len(ranked) > SHOWN:
            note += f", of which {len(ranked) - SHOWN} are not listed"
    account_name = str(best.record.values.get("name") or best.record.record_id)
    step = Step("match", "Account", True, values={"account": account_name}, rule=best.record.record_id, note=note)
    return Match(best, tuple(listed), step, first, free)


def _signs(view: AccountView, name: str, country: Any) -> _Signs:
    values = view.record.values
    account_name, kind, own_country = values.get("name"), values.get("type"), values.get("country")
    return (
        bool(name) and isinstance(account_name, str) and normalise.company_key(account_name) == name,
        bool(country) and isinstance(own_country, str) and (places.country(own_country) or own_country) == country,
        isinstance(kind, str) and kind.casefold() == "customer",
        bool(view.open_opportunities),
        bool(values.get("owner")),
    )


def _candidate(view: AccountView, signs: _Signs, domain: str, passed_over: str) -> Candidate:
    evidence = (domain, *[text for text, has in zip(_FOR, signs, strict=True) if has])
    return Candidate(view.record.record_id, str(view.record.values.get("name") or ""), evidence, passed_over)


def _passed_over(signs: _Signs, best: _Signs) -> str:
    for mine, theirs, why in zip(signs, best, _AGAINST, strict=True):
        if theirs and not mine:
            return why
    return "nothing tells them apart; the lower id was taken"
