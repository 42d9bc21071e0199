"""What a policy sees of a record and of what surrounds it: normalised values, people by their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routing.core.correct import normalised
from routing.core.directory import Directory
from routing.core.model import ChangeEvent, Record, Value, Values
from routing.core.shape import Shape
from routing.core.view import AccountView, View

if TYPE_CHECKING:
    from rules.policy import Policy

# Forms that insist on an answer get these. For a rule they are blank, so that the account's own value can speak; the
# record keeps what was written.
_OFTEN_FILLED_IN_VAIN = ("country", "state", "industry")
_NOTHING_SAID = frozenset(("n/a", "n.a.", "none", "null", "unknown", "not provided", "-", "--", "?", "."))


def lead_facts(record: Record, normal: dict[str, str], shape: Shape, directory: Directory) -> Values:
    """The lead as the policy sees it."""
    facts = {**record.values, **normal} if normal else dict(record.values)
    _name_people(facts, record, shape, directory)
    facts["owner"] = record.decided_owner or facts.get("owner") or None
    for name in _OFTEN_FILLED_IN_VAIN:
        value = facts.get(name)
        if type(value) is str and value.strip().casefold() in _NOTHING_SAID:
            facts[name] = None
    return facts


def event_facts(event: ChangeEvent, view: View, policy: Policy, shape: Shape, directory: Directory) -> dict[str, Any]:
    """The event, with no more than the policy asks of it."""
    facts: dict[str, Any] = {"kind": event.kind, "system": event.system, "changed": list(event.changed)}
    if "record_id" in policy.event_reads:
        facts["record_id"] = event.record_id
    if view.before:
        fixers, whole = shape.fixers.get(event.entity), {**view.record.values, **view.before}
        normal = normalised(whole, fixers) if fixers else {}
        before = {name: normal.get(name, value) for name, value in view.before.items()}
        named = [name for name in shape.people.get(event.entity, ()) if before.get(name)]
        facts["before"] = before | {name: directory.key_of(event.system, str(before[name])) or None for name in named}
    return facts


def account_facts(view: AccountView, shape: Shape, directory: Directory) -> Values:
    """The matched account, with its parent and what is known of its opportunities."""
    facts = _plain_account(view.record, shape, directory)
    facts["open_opportunities"] = view.open_opportunities
    facts["opportunity_owner"] = directory.key_of(view.record.system, view.opportunity_owner) or None
    facts["parent"] = _plain_account(view.parent, shape, directory) if view.parent else None
    return facts


def _plain_account(record: Record, shape: Shape, directory: Directory) -> Values:
    facts = {**record.values, **normalised(record.values, shape.fixers["account"], view_only=True)}
    _name_people(facts, record, shape, directory)
    facts["parent"] = None
    return facts


def counterpart_facts(record: Record, shape: Shape, directory: Directory) -> Values:
    """The same person's record in the other system."""
    fixers = shape.fixers.get(record.entity)
    facts = {**record.values, **normalised(record.values, fixers, view_only=True)} if fixers else dict(record.values)
    _name_people(facts, record, shape, directory)
    facts["owner"] = record.decided_owner or facts.get("owner") or None
    return facts


def _name_people(facts: dict[str, Value], record: Record, shape: Shape, directory: Directory) -> None:
    """Ids of CRM users become keys. An id of nobody we know (a queue, a user outside the roster's CRMs) counts as blank."""
    for field in shape.people.get(record.entity, ("owner",)):
        written = facts.get(field)
        if written:
            facts[field] = directory.key_of(record.system, str(written)) or None
