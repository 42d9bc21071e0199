"""Whom a record is about: its account, and whether the person is known already. The part of a plan that comes before the ladder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from routing.core import normalise
from routing.core.matching.decide import Signs, decide
from routing.core.matching.domains import DISPOSABLE_MAIL
from routing.core.matching.features import account_features, lead_features
from routing.core.matching.model import AccountFeatures, Evidence, LeadFeatures, Match, Scored
from routing.core.matching.people import Likeness, compare, person
from routing.core.matching.score import Weights, shipped
from routing.core.model import Candidate, Record, Step, Values
from routing.core.view import AccountView, Contact, View
from routing.core.words import FREE_MAIL
from rules.model import PolicyError, Problem

if TYPE_CHECKING:
    from rules.policy import Policy

MailKind = Literal["", "company", "free", "disposable"]

# Compiled weights kept at hand: those of the live policy, and of a few that old decisions were made with.
_KEEP = 8
_weights: dict[bytes, tuple[Weights, str]] = {}  # by the bytes of their file, with what they are known by


class Recognised(Struct, frozen=True):
    """``account`` is there in band ``match`` only. ``facts`` is what conditions read under ``match``."""

    account: AccountView | None
    candidates: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    facts: Values
    domain: str
    free_mail: bool


# For records that stand for no person.
NOBODY = Recognised(None, (), (), {}, "", False)


def weights_of(policy: Policy) -> Weights:
    """What the policy's evidence weighs. Raises PolicyError where its file of weights cannot be used: it does not go live then."""
    return _weighed(policy)[0]


def _weighed(policy: Policy) -> tuple[Weights, str]:
    data = policy.matching.weights_file
    found = _weights.get(data)
    if found is None:
        try:
            weights = Weights.of(data) if data else shipped()
        except ValueError as error:
            raise PolicyError([Problem(policy.matching.weights, 1, 1, str(error))]) from error
        if len(_weights) >= _KEEP:
            _weights.pop(next(iter(_weights)))
        told = repr((weights.base, tuple(sorted(weights.kinds.items())))).encode()
        found = _weights[data] = weights, blake2b(told, digest_size=6).hexdigest()
    return found


def weights_digest(policy: Policy) -> str:
    """What the weights are known by in decisions: the file's name, and a digest that is another one when they are."""
    return f"{policy.matching.weights or 'shipped'} {_weighed(policy)[1]}"


def mail_kind(domain: str | None, policy: Policy) -> MailKind:
    """What an address of that domain says of the company. The policy's own lists go before the shipped ones."""
    if not domain:
        return ""
    own = policy.matching
    if domain in own.not_free_domains:
        return "company"
    if domain in own.disposable_domains:
        return "disposable"
    if domain in own.free_domains:
        return "free"
    return "disposable" if domain in DISPOSABLE_MAIL else "free" if domain in FREE_MAIL else "company"


def lead_side(record: Record, policy: Policy) -> LeadFeatures:
    """What is compared of a record that looks for its account."""
    return lead_features(record.record_id, record.values, lambda domain: _company(domain, policy))


def _company(domain: str | None, policy: Policy) -> str:
    return domain if domain and mail_kind(domain, policy) == "company" else ""


def with_contact(found: AccountFeatures, contact: Contact, lead: LeadFeatures) -> AccountFeatures:
    """The features of an account with what its contacts add for this lead."""
    if not contact:
        return found
    known = (lead.address,) if contact == "address" else ()
    return msgspec.structs.replace(
        found, contacts=known, contact_domains=(lead.mail_domain,) if lead.mail_domain else ()
    )


def account_side(view: AccountView, lead: LeadFeatures) -> AccountFeatures:
    """What is compared of an account."""
    if view.features is not None:
        return view.features
    return with_contact(account_features(view.record.record_id, view.record.values), view.contact, lead)


def recognise(view: View, policy: Policy, active: Callable[[Record], bool]) -> Recognised:
    """Matches the record of the view. ``active`` says whether an account's owner can receive records now."""
    record = view.record
    lead = view.lead or lead_side(record, policy)
    by_id = {one.record.record_id: one for one in view.candidates}
    found = decide(
        lead,
        [account_side(one, lead) for one in view.candidates],
        weights_of(policy),
        policy.matching,
        {key: _signs(one, active) for key, one in by_id.items()} if len(by_id) > 1 else {},
        view.said,
    )
    kind = mail_kind(normalise.email_domain(lead.address) if lead.address else None, policy)
    known, said = _person(view, policy)
    best = found.candidates[0] if found.candidates else None
    facts: Values = {
        "band": found.band,
        "probability": round(found.probability, 4),
        "candidate": best.name or best.account_id if best is not None and found.band != "none" else None,
        "corrected": bool(best is not None and best.evidence and best.evidence[0].kind == "said"),
        "free_email": kind == "free",
        "disposable_email": kind == "disposable",
        **known,
    }
    step = _step(found, lead, kind, bool(record.values.get("email")))
    return Recognised(
        by_id[found.account_id] if found.account_id is not None else None,
        _listed(found),
        (step, *said),
        facts,
        lead.mail_domain or lead.site,
        kind in ("free", "disposable"),
    )


def own(account: AccountView, kind: str, matched: Recognised) -> Recognised:
    """The account that a record of that kind names itself goes before any that it could be matched to."""
    record, note = account.record, f"the {kind} names it"
    name = str(record.values.get("name") or record.record_id)
    step = Step("match", "Account", True, values={"account": name}, rule=record.record_id, note=note)
    facts = {**matched.facts, "band": "match", "probability": 1.0, "candidate": name} if matched.facts else {}
    candidate = Candidate(record.record_id, str(record.values.get("name") or ""), (note,), "")
    return Recognised(account, (candidate,), (step, *matched.steps[1:]), facts, matched.domain, matched.free_mail)


def _signs(view: AccountView, active: Callable[[Record], bool]) -> Signs:
    values = view.record.values
    kind = values.get("type")
    return Signs(
        isinstance(kind, str) and kind.casefold() == "customer",
        bool(view.open_opportunities),
        str(values.get("last_activity") or ""),
        str(values.get("created_at") or ""),
        bool(values.get("owner")) and active(view.record),
    )


def _step(found: Match, lead: LeadFeatures, kind: MailKind, wrote_address: bool) -> Step:
    if not found.candidates:
        return Step("match", "Account", False, note=_why_none(found, lead, kind, wrote_address))
    best = found.candidates[0]
    note = found.why + (f"; of several records of the company, by: {found.tie}" if found.tie else "")
    name = best.name or best.account_id
    if found.account_id is None:
        return Step("match", "Account", False, values={"nearest": name, "band": found.band}, note=note)
    return Step("match", "Account", True, values={"account": name}, rule=found.account_id, note=note)


def _why_none(found: Match, lead: LeadFeatures, kind: MailKind, wrote_address: bool) -> str:
    """Nothing was found: what there was to find something by."""
    told = [f"the domain {one}" for one in dict.fromkeys((lead.mail_domain, lead.site)) if one]
    told += [f"the name '{' '.join(lead.names[0].words)}'"] if lead.names else []
    told += ["the phone number"] if lead.phones else []
    if told:
        return f"{found.why}: {', '.join(told)}"
    if kind == "free":
        return "the address is of a free-mail provider, and there is neither company name nor website nor phone"
    if kind == "disposable":
        return "the address is a throw-away one, and there is neither company name nor website nor phone"
    if wrote_address and not lead.address:
        return "the e-mail address is not valid, and there is neither company name nor website nor phone"
    return "the record has neither an e-mail address, nor a company name, website or phone"


def _listed(found: Match) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            one.account_id,
            one.name,
            tuple(_told(one.evidence)),
            "" if one.account_id == found.account_id else _passed_over(one, found),
            round(one.probability, 4),
        )
        for one in found.candidates
    )


def _passed_over(one: Scored, found: Match) -> str:
    if one.evidence and one.evidence[0].kind == "said" and one.evidence[0].weight < 0:
        return "a person said that it is not this account"
    if found.band == "match":
        best = found.candidates[0]
        if best.evidence and best.evidence[0].kind == "said":
            return "a person said that it is another account"
        if found.tie and one.log_odds >= best.log_odds - 1.5:
            return f"as likely as the chosen one, and passed over by: {found.tie}"
        return "less speaks for it than for the chosen one"
    return "a person is asked" if found.band == "ask" else "too little speaks for it"


def _person(view: View, policy: Policy) -> tuple[Values, tuple[Step, ...]]:
    """Whether the person is known already: ``person`` and its companions for conditions, and the step for the trace."""
    bands = policy.matching.duplicates
    facts: Values = {"person": "new", "duplicate": False, "duplicate_of": None, "contact": None}
    if bands is None or not view.people:
        return facts, ()
    own = person(view.record.values)
    found = [(compare(own, person(one.values)), one) for one in view.people]
    found.sort(key=lambda pair: (-pair[0].probability, pair[1].entity, pair[1].record_id))
    sure = [(how, one) for how, one in found if how.probability >= bands.match]
    contact = next((one for _, one in sure if one.entity == "contact"), None)
    # Of several the first: what becomes of them does not hang on which of them is more alike.
    leads = [one for _, one in sure if one.entity == "lead"]
    other = min(leads, key=lambda one: (str(one.values.get("created_at") or ""), one.record_id), default=None)
    best, nearest = found[0]
    if contact is not None or other is not None:
        facts["person"] = "link" if contact is not None else "duplicate"
        facts["duplicate"] = other is not None
        facts["duplicate_of"] = other.record_id if other is not None else None
        facts["contact"] = contact.record_id if contact is not None else None
        told = [_is(one, how) for how, one in sure if one is contact or one is other]
        return facts, (Step("match", "Person", True, rule=nearest.record_id, note="; ".join(told)),)
    if best.probability >= bands.ask:
        facts["person"] = "ask"
        return facts, (Step("match", "Person", False, rule=nearest.record_id, note=f"perhaps {_is(nearest, best)}"),)
    return facts, ()


def _is(one: Record, how: Likeness) -> str:
    pieces = ", ".join(_told(how.evidence))
    return f"the same person as {one.entity} {one.record_id}, {how.probability:.1%} sure: {pieces}"


def _told(evidence: Sequence[Evidence]) -> list[str]:
    """In words, with the weight; what weighs next to nothing is not worth the reading."""
    return [f"{piece.words} ({piece.weight:+.1f})" for piece in evidence if abs(piece.weight) >= 0.05]


def originals(record: Record, others: Sequence[Record]) -> list[Record]:
    """Of the records that may be the same person those that were there first: nothing is a duplicate of what came later, but a lead may
    have become a contact since."""
    born: Any = record.values.get("created_at")
    found = []
    for one in others:
        its = one.values.get("created_at")
        later = isinstance(born, str) and isinstance(its, str) and (its, one.record_id) > (born, record.record_id)
        if not later or (one.entity == "contact" and record.entity != "contact"):
            found.append(one)
    return found
