"""What the core is shown of the world for one event. The runtimes gather it; the core only reads it."""

from __future__ import annotations

from msgspec import Struct

from routing.core.model import Record, Values


class AccountView(Struct, frozen=True):
    """An account that shares a key with the record. ``open_opportunities`` is None where nobody counts them.

    ``opportunity_owner`` is the CRM id of who owns the newest open opportunity, "" when there is none.
    """

    record: Record
    parent: Record | None = None
    open_opportunities: int | None = None
    opportunity_owner: str = ""


class View(Struct, frozen=True):
    """The record after the event, the accounts it may belong to, and the same person's record in the other system.

    ``before`` holds what the fields that the event changed held before it; empty where the policy does not ask for that.
    """

    record: Record
    candidates: tuple[AccountView, ...] = ()
    counterpart: Record | None = None
    before: Values = {}
