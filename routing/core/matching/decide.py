"""What is made of the weighed candidates: a match, a question for a person, or nothing.

The probability is that of the company: accounts that are the same company twice (twins) count together, and the policy's tie-breakers
choose among them. What a person said goes before everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from routing.core.matching.model import AccountFeatures, Evidence, LeadFeatures, Match, Scored
from routing.core.matching.promising import promising
from routing.core.matching.score import Weights, scored, weighed
from rules.model import Matching

# Twins lie at most so far below the best, in log-odds.
TIE = 1.5
# Of the candidates so many are shown; of twins up to so many compete.
SHOWN, TWINS = 5, 12
# What lies further below the best, or below this at all, is no candidate that anybody should see.
_FAR, _FLOOR = 9.0, -6.0
_NOTHING = "the lower id"  # what decides which is shown first when nothing else does
_SURE = 20.0  # what a person's word weighs


class Signs(Struct, frozen=True):
    """What tie-breakers ask of an account. Moments are ISO texts, "" where they are not known."""

    customer: bool = False
    open_opportunity: bool = False
    last_activity: str = ""
    created_at: str = ""
    active_owner: bool = False


class Said(Struct, frozen=True, array_like=True):
    """What a person said: the account (its id in ``system``) is or is not the record's. ``of`` is "record" or "company"."""

    system: str
    account_id: str
    same: bool
    by: str
    because: str
    at: str
    of: str = "record"

    def words(self) -> str:
        """For a trace."""
        whose = "of this company" if self.of == "company" else "of this record"
        verdict = "it is this account" if self.same else "it is not this account"
        return f"{self.by} said {whose} on {self.at[:10]}: {verdict}, because {self.because}"


NO_SIGNS = Signs()


def shortlist(lead: LeadFeatures, candidates: Sequence[AccountFeatures], weights: Weights) -> list[AccountFeatures]:
    """The candidates that are worth being looked at closely, best first: at most TWINS, beyond SHOWN only twins of the best.

    ``candidates`` come as the index found them, most promising first.
    """
    ordered = weighed(lead, promising(lead, candidates), weights)
    if not ordered:
        return []
    least = max(ordered[0][0] - _FAR, _FLOOR)
    near = [pair for pair in ordered if pair[0] >= least]
    if len(near) > SHOWN:
        twins = _twins(near)
        near = [pair for n, pair in enumerate(near) if n < SHOWN or pair[1].account_id in twins]
    return [one for _, one in near[:TWINS]]


def decide(
    lead: LeadFeatures,
    candidates: Sequence[AccountFeatures],
    weights: Weights,
    settings: Matching,
    signs: Mapping[str, Signs],
    said: Sequence[Said] = (),
) -> Match:
    """The match of a lead. ``candidates`` are those of the ``shortlist``, in whatever order; ``signs`` by account id.

    A person is also asked where it is surely one of several, and nothing says which (a domain that a group of companies shares), and
    where an account has the lead's domain, whatever the names: not where ``bands`` leave no room for questions.
    """
    verdicts = {one.account_id: one for one in sorted(said, key=lambda one: (one.of == "record", one.at))}
    denied = [one for one in candidates if _denied(one, verdicts)] if verdicts else []
    left = [one for one in candidates if not _denied(one, verdicts)] if denied else candidates
    listed = scored(lead, left, weights, shown=TWINS)
    refused: tuple[Scored, ...] = ()
    if denied:
        found = scored(lead, denied, weights, shown=TWINS)
        refused = tuple([_with_word(one, verdicts[one.account_id], -_SURE, 0.0) for one in found])
    word = _affirmed(listed, verdicts) if verdicts else None
    if word is not None:
        chosen = next(one for one in listed if one.account_id == word.account_id)
        rest = [one for one in listed if one is not chosen]
        first = _with_word(chosen, word, _SURE, 1.0)
        return Match(chosen.account_id, 1.0, "match", (first, *rest, *refused)[:TWINS], word.words())
    if not listed:
        why = "a person said that it is none of these" if refused else "no account is like it"
        return Match(None, 0.0, "none", refused, why)
    by_id = {one.account_id: one for one in candidates}
    twins = _twins([(one.log_odds, by_id[one.account_id]) for one in listed])
    group = [one for one in listed if one.account_id in twins]
    probability = min(1.0, sum(one.probability for one in group))
    chosen, tie = _broken(group, lead, by_id, settings.tie_breakers, signs)
    ordered = (chosen, *(one for one in listed if one is not chosen), *refused)[:TWINS]
    bands = settings.bands
    if probability >= bands.match and tie == _NOTHING:
        why = f"{_percent(probability)} sure of the company, which has several records, and nothing says which: a person is asked"
        return Match(None, probability, "ask", ordered, why, tie)
    if probability >= bands.match:
        return Match(chosen.account_id, probability, "match", ordered, f"{_percent(probability)} sure", tie)
    if probability >= bands.ask:
        why = f"{_percent(probability)} sure, and from {_percent(bands.match)} on it is a match: a person is asked"
        return Match(None, probability, "ask", ordered, why, tie)
    one_of_them = min(1.0, sum(one.probability for one in listed))
    if one_of_them >= bands.match:
        why = f"{_percent(one_of_them)} sure that it is one of these, {_percent(probability)} which: a person is asked"
        return Match(None, probability, "ask", ordered, why, tie)
    if bands.ask < bands.match and (domain := _shared_domain(lead, listed, by_id)):
        why = f"{_percent(probability)} sure, as more speaks against it, but {domain} is its domain: a person is asked"
        return Match(None, probability, "ask", ordered, why, tie)
    why = f"{_percent(probability)} sure at best, and below {_percent(bands.ask)} nothing is found"
    return Match(None, probability, "none", ordered, why, tie)


def company_of(lead: LeadFeatures) -> str:
    """One short text for all leads of one company, by name and domain; "" where a lead says too little of its company.

    A hash, since the name of a company may be that of a person.
    """
    words = " ".join(sorted(lead.names[0].words)) if lead.names else ""
    domain = lead.mail_domain or lead.site
    if not (words or domain):
        return ""
    return blake2b(f"{words}|{domain}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _shared_domain(lead: LeadFeatures, listed: Iterable[Scored], by_id: Mapping[str, AccountFeatures]) -> str:
    """The lead's domain that is an account's too, "" for none: a name that is not like it may be a trade name or a translation."""
    theirs = [one for one in (lead.mail_domain, lead.site) if one]
    return next((one for one in theirs if any(one in by_id[its.account_id].domains for its in listed)), "")


def _denied(one: AccountFeatures, verdicts: Mapping[str, Said]) -> bool:
    word = verdicts.get(one.account_id)
    return word is not None and not word.same


def _affirmed(listed: Iterable[Scored], verdicts: Mapping[str, Said]) -> Said | None:
    """What was said last of the record itself, else of its company."""
    there = {one.account_id for one in listed}
    words = [one for one in verdicts.values() if one.same and one.account_id in there]
    return max(words, key=lambda one: (one.of == "record", one.at, one.account_id), default=None)


def _with_word(one: Scored, word: Said, weight: float, probability: float) -> Scored:
    evidence = (Evidence("said", weight, word.words()), *one.evidence)
    return msgspec.structs.replace(one, probability=probability, evidence=evidence)


def _twins(ordered: Sequence[tuple[float, AccountFeatures]]) -> frozenset[str]:
    """The best one and those that are the same company: the same name, or one domain and one family."""
    most, first = ordered[0]
    return frozenset(
        one.account_id
        for log_odds, one in ordered
        if one is first or (log_odds >= most - TIE and _same_company(first, one))
    )


def _same_company(one: AccountFeatures, other: AccountFeatures) -> bool:
    if one.names and other.names and sorted(one.names[0].words) == sorted(other.names[0].words):
        return (
            one.place.country == other.place.country
            or not set(one.domains).isdisjoint(other.domains)
            or not (one.place.country and other.place.country)
        )
    family = (
        one.account_id == other.parent or other.account_id == one.parent or (one.parent and one.parent == other.parent)
    )
    return bool(family) and not set(one.domains).isdisjoint(other.domains)


def _broken(
    group: Sequence[Scored],
    lead: LeadFeatures,
    by_id: Mapping[str, AccountFeatures],
    breakers: Sequence[str],
    signs: Mapping[str, Signs],
) -> tuple[Scored, str]:
    """The chosen one of the twins, and what decided."""
    left, tie = list(group), ""
    for breaker in breakers:
        if len(left) == 1:
            break
        kept = _kept(left, breaker, lead, by_id, signs)
        if kept and len(kept) < len(left):
            left, tie = kept, breaker
    if len(left) > 1:
        most = max(one.log_odds for one in left)
        left = sorted((one for one in left if one.log_odds == most), key=lambda one: one.account_id)
        tie = _NOTHING if len(left) > 1 else tie or "what speaks for it"
    return left[0], tie


def _kept(
    left: Sequence[Scored],
    breaker: str,
    lead: LeadFeatures,
    by_id: Mapping[str, AccountFeatures],
    signs: Mapping[str, Signs],
) -> list[Scored]:
    """Those of the twins that a tie-breaker prefers."""
    if breaker in ("most recent activity", "oldest"):
        recent = breaker != "oldest"
        moments = {one.account_id: _moment(signs.get(one.account_id, NO_SIGNS), recent) for one in left}
        known = [moment for moment in moments.values() if moment]
        wanted = (max(known) if recent else min(known)) if known else ""
        return [one for one in left if wanted and moments[one.account_id] == wanted]
    ids = {one.account_id for one in left}
    return [one for one in left if _has(by_id[one.account_id], breaker, lead, signs, ids, by_id)]


def _moment(signs: Signs, recent: bool) -> str:
    return signs.last_activity if recent else signs.created_at


def _has(
    account: AccountFeatures,
    breaker: str,
    lead: LeadFeatures,
    signs: Mapping[str, Signs],
    ids: Collection[str],
    by_id: Mapping[str, AccountFeatures],
) -> bool:
    own = signs.get(account.account_id, NO_SIGNS)
    if breaker == "customer":
        return own.customer
    if breaker == "open opportunity":
        return own.open_opportunity
    if breaker == "same country":
        return bool(lead.place.country) and account.place.country == lead.place.country
    if breaker == "parent":
        return any(by_id[one].parent == account.account_id for one in ids)
    if breaker == "subsidiary":
        return account.parent in ids
    return breaker == "active owner" and own.active_owner


def _percent(probability: float) -> str:
    """Never rounded up to certainty."""
    return f"{min(probability, 0.9999) * 100:.4g} %" if probability < 1 else "100 %"
