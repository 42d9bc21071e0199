"""Which evidence there is of a pair, and how much of it: quantities that no weight changes. ``score`` says what they are worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from rapidfuzz.distance import Prefix

from routing.core.matching.align import Alignment, align
from routing.core.matching.company_words import ARTICLES
from routing.core.matching.domains import brand
from routing.core.matching.forms import FORM_COUNTRIES
from routing.core.matching.model import AccountFeatures, LeadFeatures, Name
from routing.core.matching.names import COMMON, weight, whole_sound

_OTHERWISE = frozenset(("name_only_lead", "name_numbers", "name_number_missing", "name_first"))
# What a whole name tells that is so many slips away.
_NEAR = (1.0, 1.0, 0.75, 0.25, 0.0)
# Shared rarity beyond this says no more: two rare words are proof enough.
_ENOUGH = 24.0
# On the account's own domain another country is a branch more often than another company, and a name that begins otherwise a brand,
# a nickname or another spelling: they tell less there, and a person is asked rather than nobody. What follows after the same beginning
# tells as much as elsewhere: families share domains.
_EXPLAINED_BY_DOMAIN = frozenset(("country_other", "state_other"))
_OF_ANOTHER_NAME = frozenset(("name_only_lead", "name_only_account", "name_first"))
_LEFT_BY_DOMAIN = 0.35
_ALSO_SITE = 0.25
# Accounts that have so much of the lead's name show that there are several such companies: perhaps one more, which has no account.
# The more accounts there are, the more of them: this is how a lead's probability knows how crowded its name's surroundings are,
# without knowing of any account that has nothing of it. So many are counted (as many as are shown).
_RIVAL, _RIVALS = 0.3, 4.0


class Measured(Struct, frozen=True, gc=False):
    """The evidence of a pair, by kind, and which of their names were laid side by side."""

    found: dict[str, float]
    alignment: Alignment | None


def measure(lead: LeadFeatures, account: AccountFeatures) -> dict[str, float]:
    """Which evidence there is of a pair, and how much of it, by kind (``kinds.KINDS``). What ``match tune`` fits the weights to."""
    return dict(compared(lead, account).found)


def measured(lead: LeadFeatures, candidates: Sequence[AccountFeatures]) -> list[dict[str, float]]:
    """As ``measure`` of each candidate, and what the others among them say of it."""
    return [one.found for one in beside(lead, candidates)]


def beside(lead: LeadFeatures, candidates: Sequence[AccountFeatures]) -> list[Measured]:
    """Each candidate compared with the lead, and what the others among them say of it."""
    found = [compared(lead, one) for one in candidates]
    if len(found) < 2:
        return found
    # By name and country: a company that has two accounts is no rival of itself.
    called = [(one.names[0].words if one.names else (), one.place.country) for one in candidates]
    shares: dict[tuple[tuple[str, ...], str], float] = {}
    for name, each in zip(called, found, strict=True):
        share = each.found.get("name_share", 0.0)
        if share >= _RIVAL:
            shares[name] = max(shares.get(name, 0.0), share)
    domains = {one.account_id: one.domains for one in candidates}
    result = []
    for one, name, each in zip(candidates, called, found, strict=True):
        its = domains.get(one.parent) if one.parent else None
        more = _of_parent(lead, its, each.found) if its else {}
        others = [share for other, share in shares.items() if other != name]
        if others:
            more["rivals"] = _rivals(each.found.get("name_share", 0.0), others)
        if more:
            each = Measured({kind: much for kind, much in (each.found | more).items() if much}, each.alignment)
        result.append(each)
    return result


def _rivals(share: float, others: Iterable[float]) -> float:
    """How many others have as much of the lead's name as the one with this share; those that have less count for less."""
    return min(_RIVALS, math.fsum(1.0 if other >= share else (other / share) ** 2 for other in others))


def _of_parent(lead: LeadFeatures, domains: Sequence[str], found: Mapping[str, float]) -> dict[str, float]:
    """Who writes from the domain of the company above, and names the one below, is of the one below: its own domain does not matter."""
    more: dict[str, float] = {}
    for kind, domain in (("mail_domain", lead.mail_domain), ("site_domain", lead.site)):
        if domain in domains and kind not in found:
            more |= {"parent_domain": 1.0, f"{kind}_other": 0.0}
    return more


# Candidates are weighed when they are found, and those that are left again with what else is known of them.
@lru_cache(maxsize=4_096)
def compared(lead: LeadFeatures, account: AccountFeatures) -> Measured:
    """One pair by itself."""
    found: dict[str, float] = {}
    alignment = _name(lead, account, found)
    _domain(lead, account, found)
    domain = "mail_domain" in found or "site_domain" in found
    if domain and found.get("name_shared") and not (_OTHERWISE & found.keys()):
        # A company's own people shorten its name: with its domain, and nothing in the name that it has not, that is no other company.
        found["domain_and_name"] = 1.0
    _where(lead, account, found)
    if lead.phones:
        _phone(lead, account, found)
    if lead.address and lead.address in account.contacts:
        found["known_contact"] = 1.0
    if domain:
        explained = _EXPLAINED_BY_DOMAIN | _OF_ANOTHER_NAME if "name_first" in found else _EXPLAINED_BY_DOMAIN
        for kind in explained & found.keys():
            found[kind] *= _LEFT_BY_DOMAIN
    return Measured(found, alignment)


def _name(lead: LeadFeatures, account: AccountFeatures, found: dict[str, float]) -> Alignment | None:
    """The pair of names that share the most."""
    if not lead.names or not account.names:
        found["name_none"] = 1.0
        return None
    pairs = [
        (name_pieces(ours, theirs, alignment := align(ours, theirs), account.place.country), alignment)
        for ours in lead.names
        for theirs in account.names
    ]
    pieces, alignment = pairs[0] if len(pairs) == 1 else max(pairs, key=_shared)
    found.update(pieces)
    return alignment


def _shared(pair: tuple[dict[str, float], Alignment]) -> float:
    pieces = pair[0]
    return pieces.get("name_share", 0.0) + (pieces.get("name_shared", 0.0) + pieces.get("name_acronym", 0.0)) / 100


def name_pieces(lead: Name, account: Name, alignment: Alignment, country: str) -> dict[str, float]:
    """The evidence of two names; ``country`` is the account's."""
    shared = alignment.shared
    pieces: dict[str, float] = {}
    if shared:
        pieces["name_shared"] = min(shared, _ENOUGH) / 10
        if len(account.words) == 1:
            pieces["name_one_word"] = 1.0
    if alignment.same:
        pieces["name_same"] = pieces["name_near"] = 1.0
        pieces["name_share"] = 1.0
        if lead.said == account.said:
            pieces["name_said"] = 1.0
        elif _differ_by_article(lead.said, account.said):
            pieces["name_filler"] = 1.0
    else:
        _differing(alignment, pieces)
    if lead.legal == account.legal:
        if lead.legal:
            pieces["legal_same"] = 1.0
    elif not lead.legal:
        pieces["legal_missing"] = 1.0
    else:
        if not account.legal:
            pieces["legal_added"] = 1.0
        else:
            pieces["legal_other"] = 1.0 if set(lead.legal).isdisjoint(account.legal) else 0.5
        if _abroad(lead.legal, account.legal, country):
            pieces["legal_abroad"] = 1.0
    return pieces


@lru_cache(maxsize=4_096)
def _abroad(legal: tuple[str, ...], other: tuple[str, ...], country: str) -> bool:
    """Whether no company of the other's country, as far as that or its legal form tells it, can have this legal form."""
    ours, theirs = _countries(legal), {country} if country else _countries(other)
    return bool(ours and theirs) and ours.isdisjoint(theirs)


def _countries(legal: Iterable[str]) -> set[str]:
    return {country for form in legal for country in FORM_COUNTRIES.get(form, ())}


@lru_cache(maxsize=4_096)
def _differ_by_article(one: str, other: str) -> bool:
    """Whether an article or the like is in one of the names only: "Berg" and "van den Berg" are two families."""
    return not ARTICLES.isdisjoint(set(one.split()) ^ set(other.split()))


def _differing(alignment: Alignment, pieces: dict[str, float]) -> None:
    if alignment.acronym:
        pieces["name_acronym"] = 1.0
        return
    shared, slips = alignment.shared, alignment.slips
    alone = alignment.only_lead + alignment.only_account
    if shared:
        pieces["name_share"] = shared / (shared + slips + alone)
    if slips:
        pieces["name_slips"] = slips / 10
    if near := _NEAR[alignment.edits]:
        pieces["name_near"] = near
    if alignment.short_slip:
        pieces["name_short_slip"] = 1.0
    if alignment.known_slip:
        pieces["name_known_slip"] = alignment.known_slip / 10
    if alignment.only_lead or len(alignment.account_words) > 1 or (alignment.account_words and alignment.reordered):
        pieces["name_apart"] = 1.0
    if alignment.only_lead:
        pieces["name_only_lead"] = math.sqrt(min(alignment.only_lead, _ENOUGH)) / 3
    if alignment.only_account:
        pieces["name_only_account"] = math.sqrt(min(alignment.only_account, _ENOUGH)) / 3
    if alignment.reordered:
        pieces["name_reordered"] = 1.0
    if alignment.numbers_differ:
        pieces["name_numbers"] = 1.0
    if alignment.number_missing:
        pieces["name_number_missing"] = 1.0
    if alignment.first_differs:
        pieces["name_first"] = 1.0


def _domain(lead: LeadFeatures, account: AccountFeatures, found: dict[str, float]) -> None:
    mail, site, theirs = lead.mail_domain, lead.site, account.domains
    if not mail and not site:
        return
    if mail and mail in theirs:
        found["mail_domain"] = 1.0
    if site and site in theirs:
        # Who writes from a domain has it as a website, too: that is hardly more than either says.
        found["site_domain"] = 1.0 if site != mail else _ALSO_SITE
    if mail and mail in account.contact_domains:
        found["contact_domain"] = 1.0
    if "mail_domain" not in found and "site_domain" not in found:
        ours = _brands(mail, site)
        if not ours.isdisjoint(map(brand, theirs)):
            found["brand_domain"] = 1.0
        elif ours and account.names:
            if like := _like_name(ours, account.names[0]):
                found["domain_like_name"] = like
            _nearer(ours, lead, account.names[0], found)
    if theirs and "brand_domain" not in found:
        if mail and "mail_domain" not in found and "contact_domain" not in found:
            found["mail_domain_other"] = 1.0
        if site and "site_domain" not in found:
            found["site_domain_other"] = 1.0


@lru_cache(maxsize=4_096)
def _brands(mail: str, site: str) -> frozenset[str]:
    """What a lead's domains are called, where that tells something."""
    return frozenset([named for one in (mail, site) if one and (named := brand(one))])


def _like_name(brands: Iterable[str], name: Name) -> float:
    """1 where a domain reads like the name or its beginning, a half where it begins with the name's first word and goes on otherwise."""
    whole, first = name.sound, name.words[0]
    half = 0.0
    for one in brands:
        spoken = whole_sound(one)
        if spoken and (spoken == whole or (len(spoken) >= 6 and whole.startswith(spoken))):
            return 1.0
        if len(first) >= 5 and weight(first) >= COMMON and spoken.startswith(whole_sound(first)):
            half = 0.5
    return half


def _nearer(brands: Iterable[str], lead: LeadFeatures, name: Name, found: dict[str, float]) -> None:
    """Which of the two names the domain was made of: what it has of one beyond the other is really part of a company's name, and no
    slip or leaving out. 0 to 1: how much of the domain tells them apart."""
    if not lead.names or (said := lead.names[0].sound) == name.sound:
        return
    # A slip is explained by it, and no more than that: else it would speak louder than the exact name.
    slipped = found.get("name_near") == 1.0
    for one in brands:
        if spoken := whole_sound(one):
            more = (Prefix.similarity(spoken, name.sound) - Prefix.similarity(spoken, said)) / len(spoken)
            if more < 0 or (more and not slipped):
                kind = "domain_as_account" if more > 0 else "domain_as_lead"
                found[kind] = max(found.get(kind, 0.0), abs(more))


def _where(lead: LeadFeatures, account: AccountFeatures, found: dict[str, float]) -> None:
    ours, theirs = lead.place, account.place
    if ours.country and theirs.country:
        if ours.country != theirs.country:
            found["country_other"] = 1.0
            return
        found["country_same"] = 1.0
    for kind, one, other in (
        ("state", ours.state, theirs.state),
        ("city", ours.city, theirs.city),
        ("postal_code", ours.postal_code, theirs.postal_code),
    ):
        if one and other:
            found[f"{kind}_same" if one == other else f"{kind}_other"] = 1.0


def _phone(lead: LeadFeatures, account: AccountFeatures, found: dict[str, float]) -> None:
    """Numbers are alike from the left: but for their last digits they are of one switchboard, but for more of one area."""
    theirs = account.phones
    if theirs and not set(lead.phones).isdisjoint(theirs):
        found["phone_same"] = 1.0
    elif theirs and not {one[:-_DESK] for one in lead.phones}.isdisjoint(one[:-_DESK] for one in theirs):
        found["phone_near"] = 1.0
    elif theirs and not {one[:-_LINE] for one in lead.phones if len(one) > _LONG}.isdisjoint(
        one[:-_LINE] for one in theirs
    ):
        found["phone_area"] = 1.0
    else:
        if theirs:
            found["phone_other"] = 1.0
        # Where the lead's country is told, that says it already.
        if not lead.place.country and _are_abroad(lead.phones, account):
            found["phone_abroad"] = 1.0


def _are_abroad(numbers: Iterable[str], account: AccountFeatures) -> bool:
    """Whether all of these are of other countries than the account or, where its own is not known, its numbers."""
    country = account.place.country
    theirs = {country} if country else {one for number in account.phones for one in _countries_of(number)}
    return bool(theirs) and all(theirs.isdisjoint(_countries_of(one)) for one in numbers)


# The digits of a desk at a switchboard, those of a line in an area, and the characters of a number beyond which that leaves an area code.
_DESK, _LINE, _LONG = 3, 6, 10


@lru_cache(maxsize=4_096)
def _countries_of(number: str) -> frozenset[str]:
    """The countries of an E.164 number: several share a calling code."""
    codes = (int(number[1 : 1 + digits]) for digits in (1, 2, 3))
    return frozenset(region for code in codes for region in COUNTRY_CODE_TO_REGION_CODE.get(code, ()))
