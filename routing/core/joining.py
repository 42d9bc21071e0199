"""What ``convert``, ``attach``, ``merge`` and ``campaign`` of a rung owe the CRM: the record, and the account or the person that it was matched to,
become one another's; or it becomes a member of a campaign.

| | what it is |
|---|---|
| ``attach`` | the field of fields.yaml by which such records refer to their account, written with the owner; in HubSpot, where none can be written, an association with the company |
| ``convert`` | Salesforce makes a contact of the lead (``Write.kind``); wherever leads are contacts anyway, the same as ``attach`` |
| ``merge`` | Salesforce makes one of two leads, or contacts, of a person; the ``older`` or the ``newer`` stays |
| ``campaign`` | a campaign member of Salesforce, whoever has the record; one that is there already is left as it is |

A lead is converted, or merged, after the owner was written, and only while it is theirs. The contact it goes into is the same person's at that account,
where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from routing.core.directory import FILE, Directory
from routing.core.keys import own_account
from routing.core.model import Record, Step, Values, Write, derived_id
from routing.core.shape import shape_of
from routing.core.view import AccountView, View
from rules.ladders.effects import BORN, MEMBERS, MERGED
from rules.model import Effect
from rules.nouns import system_name

if TYPE_CHECKING:
    from routing.core.planned import Plan
    from rules.policy import Policy

STAGE = "join"
JOINS = ("convert", "attach")
MEMBER = "campaign_member"
# Where leads are objects that can be made contacts, and where records are joined by associations.
_CONVERTS = {"salesforce": "Lead"}
_ASSOCIATES = ("hubspot",)


def joined_to(
    effects: Sequence[Effect], account: AccountView | None, view: View, same: str | None, policy: Policy
) -> tuple[str, str, str]:
    """The account to join the record to, the contact there who is the same person (``same``: who is, at whatever account), and the
    older record of the same kind to make one with.

    "" each where there is none in the record's own system, or no effect asks.
    """
    older = _older(next((one.value for one in effects if one.kind == "merge"), None), view)
    if account is None or account.record.system != view.record.system or not any(one.kind in JOINS for one in effects):
        return "", "", older
    account_id = account.record.record_id
    contact = next((one for one in view.people if one.entity == "contact" and one.record_id == same), None)
    return account_id, same if same and _is_of(contact, account_id, policy) else "", older


def _older(same: str | None, view: View) -> str:
    """That record; "" where it is not known of both when they were made. That it is no later one ``originals`` saw to."""
    own = view.record
    both = [own, *(one for one in view.people if one.entity == own.entity and one.record_id == same)]
    return both[1].record_id if len(both) == 2 and all(one.values.get(BORN) for one in both) else ""


def beside(older: str, view: View, directory: Directory, policy: Policy) -> Values:
    """Of the record to make one with, by field, what it may hold: what it does, or whom we have given it since (a queue: any of ours)."""
    other = next((one for one in view.people if one.entity == view.record.entity and one.record_id == older), None)
    if other is None:
        return {}
    ours = [
        directory.crm_id(other.system, other.decided_owner),
        *[one.get(other.system) for one in policy.queues.values()],
    ]
    owners = dict.fromkeys([other.values.get("owner"), *filter(None, ours)])
    return {"owner": list(owners), "email": [other.values.get("email")]}


def _is_of(contact: Record | None, account_id: str, policy: Policy) -> bool:
    return contact is not None and own_account(contact, shape_of(policy).accounts) == account_id


def attached(plan: Plan, policy: Policy) -> Values:
    """The field that attaches the record to its account, where it says something else yet."""
    account_id, *_ = plan.joins
    field = _reference(plan, policy)
    if not account_id or not field or plan.seen.get(field) == account_id:
        return {}
    if any(one.kind == "attach" or (one.kind == "convert" and not _converts(plan, policy)) for one in plan.effects):
        return {field: account_id}
    return {}


def joins(
    plan: Plan, effects: Sequence[Effect], owner: str, queue: str | None, directory: Directory, policy: Policy
) -> tuple[tuple[Write, ...], tuple[Step, ...]]:
    """The writes that join it other than by a field, and a step of the trace for what cannot be done.

    ``owner`` is the key of whoever has the record now, "" for nobody or a queue; ``queue`` is that queue's id where it was given to one.
    """
    if plan.system == FILE:
        return (), ()
    writes, missed = _account(plan, effects, owner, directory, policy)
    for one in effects:
        if one.kind == "campaign":
            added, apart = _member(plan, one, policy)
            writes, missed = added + writes, missed + apart  # before the lead is converted: then it could not be
        if one.kind == "merge":
            merged, apart = _merge(plan, one, queue or directory.crm_id(plan.system, owner), policy)
            writes, missed = writes + merged, missed + apart
    return writes, missed


def _account(
    plan: Plan, effects: Sequence[Effect], owner: str, directory: Directory, policy: Policy
) -> tuple[tuple[Write, ...], tuple[Step, ...]]:
    asked = next((one.kind for one in effects if one.kind == "convert"), "") or next(
        (one.kind for one in effects if one.kind == "attach"), ""
    )
    if not asked:
        return (), ()
    system = system_name(plan.system)
    account_id, contact, _ = plan.joins
    if not account_id:
        return (), (_missed(asked, f"the account is not one of {system}: the {plan.entity} was not joined to it"),)
    if asked == "convert" and _converts(plan, policy):
        deal = any(one.value for one in effects if one.kind == "convert")
        return _conversion(plan, account_id, contact, owner, deal, directory)
    if _reference(plan, policy):
        return (), ()
    if plan.system in _ASSOCIATES:
        about: Values = {"about_entity": plan.entity, "about": plan.record_id}
        return (_write(plan, "association", {**about, "to_entity": "account", "to": account_id}),), ()
    note = f"fields.yaml names no field of {plan.entity} that refers to an account and can be written in {system}"
    return (), (_missed(asked, f"{note}: add one of type reference, to: account"),)


def _conversion(
    plan: Plan, account_id: str, contact: str, owner: str, deal: bool, directory: Directory
) -> tuple[tuple[Write, ...], tuple[Step, ...]]:
    crm_id = directory.crm_id(plan.system, owner)
    why = directory.unreachable(owner, plan.system) if owner else "nobody has the record"
    if why or crm_id is None:
        return (), (_missed("convert", f"{why}: the lead was not converted, since somebody must own the contact"),)
    fields: Values = {"account": account_id, "owner": crm_id} | ({"contact": contact} if contact else {})
    fields |= {"opportunity": True} if deal else {}
    return (_write(plan, plan.entity, fields, "convert", crm_id),), ()


def _merge(
    plan: Plan, effect: Effect, holder: str | None, policy: Policy
) -> tuple[tuple[Write, ...], tuple[Step, ...]]:
    older = plan.joins[2]
    if _remote(plan, policy) not in MERGED.get(plan.system, ()):
        note = f"{system_name(plan.system)} makes no one of two records: it stays beside {effect.value}"
        return (), (_missed("merge", note),)
    if not older:
        note = f"{BORN} is blank, so which of it and {effect.value} is the older is not known: they were not merged"
        return (), (_missed("merge", note),)
    fields: Values = {"into": older} if effect.target == "older" else {"merged": [older]}
    fields |= {"seen": plan.beside} if plan.beside else {}
    has = holder or plan.under_way.get("owner", plan.seen.get("owner"))
    return (_write(plan, plan.entity, fields, "merge", has),), ()


def _member(plan: Plan, effect: Effect, policy: Policy) -> tuple[tuple[Write, ...], tuple[Step, ...]]:
    if _remote(plan, policy) not in MEMBERS.get(plan.system, ()):
        return (), (_missed("campaign", f"only Salesforce has campaigns: the {plan.entity} was added to none"),)
    fields: Values = {"about_entity": plan.entity, "about": plan.record_id, "campaign": effect.target}
    fields |= {"status": effect.value} if effect.value else {}
    return (_write(plan, MEMBER, fields),), ()


def _write(
    plan: Plan,
    entity: str,
    fields: Values,
    kind: Literal["create", "convert", "merge"] = "create",
    owner: str | None = None,
) -> Write:
    """What makes a record, or what ends the record's own life as it was: that only while it is the owner's, and nobody works it."""
    apart = kind if kind == "merge" else entity if entity == MEMBER else STAGE
    write_id = derived_id(plan.decision_id, plan.system, plan.record_id, apart)
    still = {name: plan.seen[name] for name in plan.watched if name in plan.seen} | {"owner": owner}
    return Write(
        write_id=write_id,
        decision_id=plan.decision_id,
        system=plan.system,
        entity=entity,
        record_id=write_id if kind == "create" else plan.record_id,
        fields=fields,
        guard={},
        still={} if kind == "create" else still,
        kind=kind,
    )


def _reference(plan: Plan, policy: Policy) -> str:
    """The field by which records of its kind refer to their account, where it can be written in that system."""
    shape = shape_of(policy)
    field = shape.accounts.get(plan.entity, "")
    return field if field in shape.writable.get((plan.system, plan.entity), frozenset()) else ""


def _converts(plan: Plan, policy: Policy) -> bool:
    return plan.system in _CONVERTS and _remote(plan, policy) == _CONVERTS[plan.system]


def _remote(plan: Plan, policy: Policy) -> str:
    entity = policy.entities.get(plan.entity)
    return entity.remote.get(plan.system, "") if entity is not None else ""


def _missed(kind: str, note: str) -> Step:
    return Step(STAGE, kind, False, note=note)
