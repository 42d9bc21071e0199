"""What the core is shown of the world for one event. The runtimes gather it; the core only reads it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from routing.core.matching.decide import Said
from routing.core.matching.model import AccountFeatures, LeadFeatures
from routing.core.model import Record, Replaced, Values
from routing.core.sla.model import ClockState

# How a contact of the account speaks for it: by having just this address, or an address of this domain.
Contact = Literal["", "address", "domain"]


class AccountView(Struct, frozen=True):
    """An account that the record may belong to. ``open_opportunities`` is None where nobody counts them.

    ``opportunity_owner`` is the CRM id of who owns the newest open opportunity, "" when there is none. ``features`` is what is
    compared of the record; where it is missing it is worked out again, and comes out the same.
    """

    record: Record
    parent: Record | None = None
    open_opportunities: int | None = None
    opportunity_owner: str = ""
    contact: Contact = ""
    features: AccountFeatures | None = None


class View(Struct, frozen=True):
    """The record after the event, the accounts it may belong to (also the one that it names itself), and the same person's record in the other system.

    ``before`` holds what the fields that the event changed held before it; empty where the policy does not ask for that.
    ``clocks`` are the record's open ones. ``people`` are records of the same system that may be the same person, ``said`` what
    people said of the record's account. ``lead`` is what is compared of the record, as ``features`` of an account. ``replaced`` is what
    writes of ours replaced, of which the event tells.
    """

    record: Record
    candidates: tuple[AccountView, ...] = ()
    counterpart: Record | None = None
    before: Values = {}
    clocks: tuple[ClockState, ...] = ()
    people: tuple[Record, ...] = ()
    said: tuple[Said, ...] = ()
    lead: LeadFeatures | None = None
    replaced: tuple[Replaced, ...] = ()
