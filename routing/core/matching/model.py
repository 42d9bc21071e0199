"""What is compared of a lead and of an account, and what comes of it. Everything here is a value that msgspec writes and reads.

Features are computed once: an account's when it changes (the ledger keeps them beside the mirror), a lead's for its event.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Band = Literal["match", "ask", "none"]


class Name(Struct, frozen=True, gc=False, array_like=True, cache_hash=True):
    """A company name, taken apart: its words in order, without legal forms, spelled as they are compared.

    ``legal`` holds the legal forms in one spelling each. ``said`` is the whole name folded: who writes exactly that, means exactly that.
    ``sound`` is what is left of the name's own spelling without spaces and doubtful letters (``names.skeleton``).
    """

    words: tuple[str, ...]
    legal: tuple[str, ...] = ()
    said: str = ""
    sound: str = ""


class Place(Struct, frozen=True, gc=False, array_like=True):
    """Where a company is. ``country`` is alpha-2; the others are folded. "" is what is not known."""

    country: str = ""
    state: str = ""
    city: str = ""
    postal_code: str = ""


NOWHERE = Place()


class AccountFeatures(Struct, frozen=True, gc=False, array_like=True, cache_hash=True):
    """An account as the matcher sees it.

    ``names``: its own first, then those it once had or trades under. ``domains``: of its website, then former and further ones.
    ``contact_domains``: company domains its contacts write from; ``contacts``: their addresses. ``phones``: E.164.
    ``parent`` is the account id of the company above it, "" when there is none.
    """

    account_id: str
    label: str
    names: tuple[Name, ...] = ()
    domains: tuple[str, ...] = ()
    place: Place = NOWHERE
    phones: tuple[str, ...] = ()
    contact_domains: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    parent: str = ""


class LeadFeatures(Struct, frozen=True, gc=False, array_like=True, cache_hash=True):
    """A lead as the matcher sees it. ``mail_domain`` and ``site`` are company domains, "" for free mail and shared hosts."""

    lead_id: str
    names: tuple[Name, ...] = ()
    mail_domain: str = ""
    site: str = ""
    place: Place = NOWHERE
    phones: tuple[str, ...] = ()
    address: str = ""
    free_mail: bool = False


class Evidence(Struct, frozen=True, gc=False):
    """One piece: its ``kind`` (a key of the weights), what it adds to the log-odds, and a sentence for a person."""

    kind: str
    weight: float
    words: str


class Scored(Struct, frozen=True, gc=False):
    """A candidate with its evidence. ``log_odds`` weighs it alone; ``probability`` also knows the other candidates."""

    account_id: str
    name: str
    log_odds: float
    probability: float
    evidence: tuple[Evidence, ...] = ()


class Match(Struct, frozen=True):
    """What the matcher says of one lead.

    ``account_id`` is there in band ``match`` only. ``candidates`` come best first, the chosen one included. ``why`` is one sentence.
    """

    account_id: str | None
    probability: float
    band: Band
    candidates: tuple[Scored, ...] = ()
    why: str = ""
    tie: str = ""  # what decided between records of the same company, in words

    def as_json(self, lead_id: str) -> dict[str, Any]:
        """The line of ``fingerpost match``: the evidence of the best candidate, then the next ones with theirs."""
        best = self.candidates[0] if self.candidates else None
        return {
            "lead_id": lead_id,
            "account_id": self.account_id,
            "probability": self.probability,
            "band": self.band,
            "evidence": list(best.evidence) if best else [],
            "candidates": list(self.candidates),
        }
