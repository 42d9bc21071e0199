"""How much speaks for a pair: pieces of evidence, each with a weight, summed to log-odds; among candidates, to probabilities.

``measure`` says what there is (in quantities that no weight changes), ``Weights`` what it is worth. The probability of a candidate is
its share among all candidates and "none of them", whose log-odds are 0: a second account that fits as well halves the first's.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import repeat
from operator import mul

import msgspec
from msgspec import Struct

from routing.core.matching.align import Alignment, align
from routing.core.matching.domains import brand
from routing.core.matching.model import AccountFeatures, Evidence, LeadFeatures, Name, Scored
from routing.core.matching.names import COMMON, weight, whole_sound
from routing.core.matching.words_for import sentence

# Evidence for and against. What speaks for a pair never weighs below 0, and the other way round: ``Weights.of`` sees to it.
FOR = frozenset(
    (
        *("name_said", "name_same", "name_shared", "name_share", "name_acronym", "legal_same"),
        *(
            "mail_domain",
            "site_domain",
            "brand_domain",
            "contact_domain",
            "domain_like_name",
            "known_contact",
            "domain_and_name",
            "parent_domain",
        ),
        *("country_same", "state_same", "city_same", "postal_code_same", "phone_same", "phone_near"),
    )
)
AGAINST = frozenset(
    (
        *(
            "name_slips",
            "name_only_lead",
            "name_only_account",
            "name_reordered",
            "name_numbers",
            "name_number_missing",
            "name_first",
            "name_rivals",
            "name_same_rivals",
        ),
        *("name_none", "legal_other", "legal_missing", "mail_domain_other", "site_domain_other", "domain_not_name"),
        *("country_other", "state_other", "city_other", "postal_code_other", "phone_other"),
    )
)
KINDS = tuple(sorted(FOR | AGAINST))
_OTHERWISE = frozenset(("name_only_lead", "name_numbers", "name_number_missing", "name_first"))
# Shared rarity beyond this says no more: two rare words are proof enough.
_ENOUGH = 24.0
_OUT_OF_THE_QUESTION = 1e-3
# On the account's own domain another country is a branch, and another name a division, a brand or a nickname more often than
# another company: they tell less there, and a person is asked rather than nobody.
_EXPLAINED_BY_DOMAIN = frozenset(("country_other", "state_other", "name_only_lead", "name_only_account", "name_first"))
_LEFT_BY_DOMAIN = 0.35
_ALSO_SITE = 0.25
# An account that has so much of the lead's name, beside another, shows that there are several such companies: perhaps one more, which
# has no account. So many are counted (as many as are shown).
_RIVAL, _RIVALS = 0.5, 4
_OF_RIVALS = [math.log1p(count) for count in range(_RIVALS + 1)]
# With one of these nobody asks who else bears such a name.
_BEYOND_NAMES = frozenset(("mail_domain", "site_domain", "parent_domain", "phone_same", "known_contact"))


class Weights(Struct, frozen=True):
    """What each kind of evidence adds to the log-odds, per unit of what ``measure`` finds. ``base``: of a candidate without any."""

    base: float
    kinds: dict[str, float]
    made_from: str = ""

    @staticmethod
    def of(data: bytes) -> Weights:
        """From a weights file (JSON). Raises ValueError, in the reader's words, when it cannot be used."""
        try:
            weights = msgspec.json.decode(data, type=Weights)
        except msgspec.DecodeError as error:
            raise ValueError(f"this is no weights file as 'fingerpost match tune' writes it: {error}") from error
        for kind, worth in weights.kinds.items():
            if kind not in FOR and kind not in AGAINST:
                raise ValueError(f"there is no evidence '{kind}'; write the file anew with 'fingerpost match tune'")
            if (worth < 0 and kind in FOR) or (worth > 0 and kind in AGAINST) or not math.isfinite(worth):
                side = "for" if kind in FOR else "against"
                raise ValueError(f"'{kind}' speaks {side} a match, so its weight cannot be {worth}")
        return weights


@cache
def shipped() -> Weights:
    """The weights that come with the code."""
    return Weights.of(pkgutil.get_data(__package__ or "", "weights.json") or b"")


class _Measured(Struct, frozen=True, gc=False):
    found: dict[str, float]
    alignment: Alignment | None


def measure(lead: LeadFeatures, account: AccountFeatures) -> dict[str, float]:
    """Which evidence there is of a pair, and how much of it, by kind (``KINDS``). What ``match tune`` fits the weights to."""
    return dict(_measure(lead, account).found)


def measured(lead: LeadFeatures, candidates: Sequence[AccountFeatures]) -> list[dict[str, float]]:
    """As ``measure`` of each candidate, and what the others among them say of it."""
    return [one.found for one in _beside(lead, candidates)]


def _beside(lead: LeadFeatures, candidates: Sequence[AccountFeatures]) -> list[_Measured]:
    found = [_measure(lead, one) for one in candidates]
    if len(found) < 2:
        return found
    same = any("name_same" in one.found for one in found)
    rivals = [_is_rival(one.found) for one in found]
    alike = sum(rivals)
    domains = {one.account_id: one.domains for one in candidates}
    result = []
    for one, each, rival in zip(candidates, found, rivals, strict=True):
        pieces = each.found
        its = domains.get(one.parent) if one.parent else None
        if its and (more := _of_parent(lead, its, pieces)):
            each = _Measured({kind: much for kind, much in (pieces | more).items() if much}, each.alignment)
        elif _BEYOND_NAMES.isdisjoint(pieces):
            named = "name_same" in pieces
            others = alike if named else alike + same - rival
            if others > 0:
                kind = "name_same_rivals" if named else "name_rivals"
                each = _Measured({**pieces, kind: _OF_RIVALS[min(others, _RIVALS)]}, each.alignment)
        result.append(each)
    return result


def _is_rival(found: Mapping[str, float]) -> bool:
    return found.get("name_share", 0.0) >= _RIVAL and "name_same" not in found


def _of_parent(lead: LeadFeatures, domains: Sequence[str], found: Mapping[str, float]) -> dict[str, float]:
    """Who writes from the domain of the company above, and names the one below, is of the one below: its own domain does not matter."""
    more: dict[str, float] = {}
    for kind, domain in (("mail_domain", lead.mail_domain), ("site_domain", lead.site)):
        if domain in domains and kind not in found:
            more |= {"parent_domain": 1.0, f"{kind}_other": 0.0}
    return more


# Candidates are weighed when they are found, and those that are left again with what else is known of them.
@lru_cache(maxsize=4_096)
def _measure(lead: LeadFeatures, account: AccountFeatures) -> _Measured:
    found: dict[str, float] = {}
    alignment = _name(lead, account, found)
    _domain(lead, account, found)
    domain = "mail_domain" in found or "site_domain" in found
    if domain and found.get("name_shared") and not (_OTHERWISE & found.keys()):
        # A company's own people shorten its name: with its domain, and nothing in the name that it has not, that is no other company.
        found["domain_and_name"] = 1.0
    elif (domain or "brand_domain" in found) and _family(found):
        # Funds and subsidiaries share a domain, and each has words or a number of its own.
        found["domain_not_name"] = 1.0
    _where(lead, account, found)
    if lead.phones and account.phones:
        _phone(lead, account, found)
    if lead.address and lead.address in account.contacts:
        found["known_contact"] = 1.0
    if domain:
        for kind in _EXPLAINED_BY_DOMAIN & found.keys():
            found[kind] *= _LEFT_BY_DOMAIN
    return _Measured(found, alignment)


def _name(lead: LeadFeatures, account: AccountFeatures, found: dict[str, float]) -> Alignment | None:
    """The pair of names that share the most."""
    if not lead.names or not account.names:
        found["name_none"] = 1.0
        return None
    pairs = [
        (name_pieces(ours, theirs, alignment := align(ours, theirs)), alignment)
        for ours in lead.names
        for theirs in account.names
    ]
    pieces, alignment = pairs[0] if len(pairs) == 1 else max(pairs, key=_shared)
    found.update(pieces)
    return alignment


def _shared(pair: tuple[dict[str, float], Alignment]) -> float:
    pieces = pair[0]
    return pieces.get("name_share", 0.0) + (pieces.get("name_shared", 0.0) + pieces.get("name_acronym", 0.0)) / 100


def name_pieces(lead: Name, account: Name, alignment: Alignment) -> dict[str, float]:
    """The evidence of two names."""
    shared = alignment.shared
    pieces: dict[str, float] = {}
    if shared:
        pieces["name_shared"] = min(shared, _ENOUGH) / 10
    if alignment.same:
        pieces["name_same"] = 1.0
        pieces["name_share"] = 1.0
        if lead.said == account.said:
            pieces["name_said"] = 1.0
    else:
        _differing(alignment, pieces)
    if lead.legal and account.legal:
        if lead.legal == account.legal:
            pieces["legal_same"] = 1.0
        else:
            both = len(set(lead.legal) & set(account.legal))
            pieces["legal_other"] = 0.5 if both else 1.0
    elif lead.legal or account.legal:
        pieces["legal_missing"] = 1.0
    return pieces


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
        elif ours and account.names and (like := _like_name(ours, account.names[0])):
            found["domain_like_name"] = like
    if theirs and "brand_domain" not in found:
        if mail and "mail_domain" not in found and "contact_domain" not in found:
            found["mail_domain_other"] = 1.0
        if site and "site_domain" not in found:
            found["site_domain_other"] = 1.0


@lru_cache(maxsize=4_096)
def _brands(mail: str, site: str) -> frozenset[str]:
    """What a lead's domains are called, where that tells something."""
    return frozenset([named for one in (mail, site) if one and (named := brand(one))])


def _family(found: Mapping[str, float]) -> bool:
    """Whether each of the names has something that the other lacks."""
    return "name_numbers" in found or ("name_only_lead" in found and "name_only_account" in found)


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
    if not set(lead.phones).isdisjoint(account.phones):
        found["phone_same"] = 1.0
    elif not {one[:-3] for one in lead.phones}.isdisjoint(one[:-3] for one in account.phones):
        found["phone_near"] = 1.0
    else:
        found["phone_other"] = 1.0


def log_odds(found: Mapping[str, float], weights: Weights) -> float:
    """The weighted sum."""
    worth = map(weights.kinds.get, found, repeat(0.0))
    return sum(map(mul, worth, found.values()), weights.base)


def score(lead: LeadFeatures, account: AccountFeatures, weights: Weights) -> Scored:
    """One pair by itself, its evidence in words, the weightiest first."""
    measured = _measure(lead, account)
    total = log_odds(measured.found, weights)
    return _explained(lead, account, weights, measured, total, 1 / (1 + math.exp(-total)))


def scored(lead: LeadFeatures, candidates: Iterable[AccountFeatures], weights: Weights, shown: int = 5) -> list[Scored]:
    """All candidates, best first. The order of ``candidates`` is no matter.

    The ``shown`` first ones come with their evidence in words, as far as they are not out of the question.
    """
    ordered = _ordered(lead, list(candidates), weights)
    top = max(0.0, ordered[0][0]) if ordered else 0.0
    parts = [math.exp(total - top) for total, *_ in ordered]
    whole = math.exp(-top) + sum(parts)
    result = []
    for n, (total, one, found) in enumerate(ordered):
        if n < shown and (not n or parts[n] > _OUT_OF_THE_QUESTION * whole):
            result.append(_explained(lead, one, weights, found, total, parts[n] / whole))
        else:
            result.append(Scored(one.account_id, one.label, total, parts[n] / whole))
    return result


def weighed(
    lead: LeadFeatures, candidates: Sequence[AccountFeatures], weights: Weights
) -> list[tuple[float, AccountFeatures]]:
    """The candidates with their log-odds, best first."""
    return [(total, one) for total, one, _ in _ordered(lead, candidates, weights)]


def _ordered(
    lead: LeadFeatures, candidates: Sequence[AccountFeatures], weights: Weights
) -> list[tuple[float, AccountFeatures, _Measured]]:
    found = [
        (log_odds(its.found, weights), one, its) for one, its in zip(candidates, _beside(lead, candidates), strict=True)
    ]
    if len(found) > 1:
        found.sort(key=lambda one: (-one[0], one[1].account_id))
    return found


def _explained(
    lead: LeadFeatures,
    account: AccountFeatures,
    weights: Weights,
    measured: _Measured,
    total: float,
    probability: float,
) -> Scored:
    pieces = []
    for kind, much in measured.found.items():
        worth = round(weights.kinds.get(kind, 0.0) * much, 3)
        if worth:
            pieces.append(Evidence(kind, worth, sentence(kind, lead, account, measured.alignment)))
    pieces.sort(key=lambda piece: (-abs(piece.weight), piece.kind))
    return Scored(account.account_id, account.label, total, probability, tuple(pieces))
