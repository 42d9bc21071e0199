"""What a clock's timer, or an answer, comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from routing.core.model import Record, Step
from rules.model import Action, Effect
from rules.sla.model import MANAGER, OWNER

if TYPE_CHECKING:
    from rules.policy import Policy

STAGE = "sla"


class Turn(Struct, frozen=True, kw_only=True):
    """What is to be done. Nothing, for the reason in ``skipped``; or a decision that leaves the owner, for the reason in
    ``says``; or ``action``; or, with ``again``, the ladder. ``passed`` are all who must not get it any more, ``refused`` says
    that somebody gave it back; ``priority`` is added to the record's. ``watched`` are
    the fields by which whoever has it may show just now that it is being worked. ``effects`` and ``steps`` belong to whatever it is.
    ``held_by`` is the clock whose end it is that the record waits for a person. ``keeps``: whoever it was taken from, and who gave it back,
    keeps it; it waits no more. ``sent``: the clock that sends it to a pool or a queue past the ladder, as ``Record.sent``.
    """

    skipped: str = ""
    says: str = ""
    action: Action | None = None
    again: bool = False
    passed: tuple[str, ...] = ()
    refused: str = ""
    priority: float = 0.0
    watched: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    steps: tuple[Step, ...] = ()
    held_by: str = ""
    keeps: bool = False
    sent: tuple[str, ...] = ()


def had_by(record: Record, owner: str) -> tuple[str, ...]:
    """Who must not get the record any more, once it is taken from its owner."""
    return record.passed if not owner or owner in record.passed else (*record.passed, owner)


def send(sent: tuple[str, ...], **more: Any) -> Turn:
    """The record goes where a clock sends it (``Record.sent``)."""
    _, kind, name = sent
    return Turn(action=Action("pool" if kind == "pool" else "queue", name), sent=sent, **more)


def once_more(record: Record, policy: Policy, **more: Any) -> Turn:
    """Somebody else is found for it: where a clock sent it, if the policy still has that pool or queue, else down the ladder."""
    return send(record.sent, **more) if is_sent(record, policy) else Turn(again=True, **more)


def is_sent(record: Record, policy: Policy) -> bool:
    """Whether a clock sent it to a pool or a queue that the policy has."""
    if not record.sent:
        return False
    _, kind, name = record.sent
    return name in (policy.pools if kind == "pool" else policy.queues)


def tell(who: str, owner: str, text: str, policy: Policy) -> tuple[Effect, ...]:
    """Tells somebody; nobody, where the owner is meant and there is none. A manager who is missing is told of in the trace (``tasks``)."""
    if who in ("", OWNER):
        who = owner
    elif who == MANAGER:
        person = policy.people.get(owner)
        who = (person.manager if person is not None else "") or (MANAGER if owner else "")
    return (Effect("notify", who, text),) if who else ()
