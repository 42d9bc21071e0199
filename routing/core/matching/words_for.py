"""Evidence in words, for people who must trust or correct a match."""

from __future__ import annotations

from collections.abc import Callable

from routing.core.matching.align import Alignment
from routing.core.matching.model import AccountFeatures, LeadFeatures

_PLAIN = {
    "name_said": "the company name is written exactly as the account's",
    "name_same": "the same company name",
    "name_share": "how much of both names is the same",
    "name_reordered": "the words of the name stand in another order",
    "name_near": "letter by letter the names are one, or all but",
    "name_short_slip": "in so short a word a slip makes another word",
    "name_known_slip": "what would be a slip is a word that other companies are called by",
    "name_apart": "the names differ in more than one word that was left out",
    "name_first": "the names begin with different words",
    "name_acronym": "one name is made of the initials of the other",
    "rivals": "other accounts have something of this name, so there may be more such companies",
    "name_one_word": "the account's name is a single word, which strangers share more easily than two",
    "domain_as_account": "the domain reads as the account's name does, more than as the lead's",
    "domain_as_lead": "the domain reads as the lead's company name does, more than as the account's",
    "name_filler": "only one of the names has an article or the like",
    "parent_domain": "the domain is that of the account's parent",
    "name_none": "there is no company name to compare",
    "legal_same": "the same legal form",
    "legal_other": "another legal form",
    "legal_missing": "only the account's name has a legal form",
    "legal_abroad": "no company of the account's country has the legal form that the lead names",
    "legal_added": "only the lead's company name has a legal form",
    "phone_same": "the same telephone number",
    "phone_near": "a telephone number of the same switchboard",
    "phone_area": "a telephone number of the same area",
    "phone_abroad": "a telephone number of another country than the account's",
    "phone_other": "another telephone number",
    "domain_and_name": "the domain is the account's, and all of the lead's company name is in the account's",
    "known_contact": "the e-mail address is a known contact's at the account",
}


def sentence(kind: str, lead: LeadFeatures, account: AccountFeatures, alignment: Alignment | None) -> str:
    """What the evidence ``kind`` says of this pair."""
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain
    if kind.startswith("name_"):
        return _of_names(kind, alignment)
    return _OF_PAIR[kind](lead, account)


def _of_names(kind: str, alignment: Alignment | None) -> str:
    if alignment is None:
        return kind.replace("_", " ")
    if kind == "name_shared":
        return (
            "the names share words that few companies bear" if alignment.shared >= 8 else "the names share common words"
        )
    if kind == "name_slips":
        return "nearly the same: " + ", ".join(f"'{one}' and '{other}'" for one, other in alignment.near)
    if kind == "name_only_lead":
        return f"only the lead's company is called '{' '.join(alignment.lead_words)}'"
    if kind == "name_only_account":
        return f"only the account is called '{' '.join(alignment.account_words)}'"
    if kind == "name_numbers":
        return "the numbers in the names differ"
    return "only one of the names has a number"


_OF_PAIR: dict[str, Callable[[LeadFeatures, AccountFeatures], str]] = {
    "mail_domain": lambda lead, _: f"e-mail domain {lead.mail_domain} is the account's",
    "site_domain": lambda lead, _: f"website {lead.site} is the account's",
    "brand_domain": lambda lead, account: (
        f"{lead.mail_domain or lead.site} is of the same brand as {' and '.join(account.domains[:2])}"
    ),
    "contact_domain": lambda lead, _: f"contacts of the account write from {lead.mail_domain}",
    "domain_like_name": lambda lead, _: f"{lead.mail_domain or lead.site} reads like the account's name",
    "mail_domain_other": lambda lead, account: (
        f"e-mail domain {lead.mail_domain}, the account has {account.domains[0]}"
    ),
    "site_domain_other": lambda lead, account: f"website {lead.site}, the account has {account.domains[0]}",
    "country_same": lambda lead, _: f"the same country, {lead.place.country}",
    "country_other": lambda lead, account: (
        f"another country: {lead.place.country}, the account {account.place.country}"
    ),
    "state_same": lambda lead, _: f"the same state, {lead.place.state}",
    "state_other": lambda lead, account: f"another state: {lead.place.state}, the account {account.place.state}",
    "city_same": lambda lead, _: f"the same city, {lead.place.city}",
    "city_other": lambda lead, account: f"another city: {lead.place.city}, the account {account.place.city}",
    "postal_code_same": lambda lead, _: f"the same postal code, {lead.place.postal_code}",
    "postal_code_other": lambda lead, account: (
        f"another postal code: {lead.place.postal_code}, the account {account.place.postal_code}"
    ),
}
