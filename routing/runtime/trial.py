"""Decides one record that somebody made up: for policy tests and for `fingerpost policy explain`.

The same ``plan`` and ``settle`` as the daemon's. There is no CRM, so everybody on the roster has a user in every system, and the
pools are as on the first day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from routing.core.directory import Directory
from routing.core.distribution.pools import Pools
from routing.core.keys import account_field
from routing.core.model import ChangeEvent, Entity, Record, Values, derived_id
from routing.core.plan import plan
from routing.core.planned import Plan
from routing.core.settle import Settled, settle
from routing.core.view import AccountView, View
from rules.policy import Policy
from rules.policy_tests.case import Case, resolved

ACCOUNT = "the account"
_DERIVED = ("open_opportunities", "opportunity_owner")


class Trial(Struct, frozen=True):
    """What came of it, ``at`` that time. ``policy`` and ``directory`` have the roster of the case."""

    case: Case
    at: datetime
    policy: Policy
    directory: Directory
    planned: Plan
    settled: Settled


class Court:
    """Tries records against one policy. The directory of the unchanged roster is built once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._directory = _directory(policy)

    def decide(self, case: Case, now: datetime) -> Trial:
        """Decides the record at the time of the case, by default ``now`` (aware)."""
        policy, directory = self._policy, self._directory
        if case.roster:
            people = {
                key: msgspec.structs.replace(person, active=case.roster.get(key, person.active))
                for key, person in policy.people.items()
            }
            policy = replace(policy, people=people)
            directory = _directory(policy)
        at = case.at or now
        event, view = _scene(case, policy, directory, at)
        planned = plan(event, view, policy, directory, at)
        # A case that says no time is to come out the same by day and by night.
        pools = Pools.fresh(policy, directory, (planned.system,), hours=case.at is not None)
        return Trial(case, at, policy, directory, planned, settle(planned, pools, policy, directory, at))


def _directory(policy: Policy) -> Directory:
    """Everybody has a user wherever there are records of people: whoever cannot receive leads, cannot by the policy."""
    systems = sorted({system for entity in policy.entities.values() for system in entity.remote})
    users = [
        # Of a length that no CRM gives a meaning to.
        Record(system=system, entity="person", record_id=f"user-{number:015d}", values={"email": key, "name": one.name})
        for system in systems
        for number, (key, one) in enumerate(policy.people.items())
    ]
    return Directory.build(policy, users)


def _scene(case: Case, policy: Policy, directory: Directory, at: datetime) -> tuple[ChangeEvent, View]:
    told = dict(case.event)
    entity: Any = case.routes
    system = told.get("system") or next(iter(policy.entities[entity].remote), "file")
    values = _values(case.record, entity, system, policy, directory, at)
    record_id = str(told.get("record_id") or "the " + entity)
    event = ChangeEvent(
        event_id=derived_id("trial", system, record_id),
        system=system,
        entity=entity,
        record_id=record_id,
        kind=told.get("kind") or "created",
        occurred_at=at,
        observed_at=at,
        changed=tuple(told.get("changed") or told.get("before") or ()),
        values=values,
    )
    other = next((name for name in policy.entities[entity].remote if name != system), system)
    counterpart = None
    if case.counterpart is not None:
        seen = _values(case.counterpart, entity, other, policy, directory, at)
        counterpart = Record(system=other, entity=entity, record_id=f"the same {entity}", values=seen)
    accounts = (_account(case, values, policy, directory, system, at),) if case.account is not None else ()
    if accounts and entity != "lead" and (field := account_field(entity, policy)):
        values[field] = ACCOUNT
    people: tuple[Record, ...] = ()
    if case.duplicate_of is not None:
        earlier = _values(case.duplicate_of, entity, system, policy, directory, at)
        people = (_record(entity, {**values, "owner": None, **earlier}, system, f"the first {entity}"),)
    own = Record(system=system, entity=entity, record_id=record_id, values=values)
    view = View(own, accounts, counterpart, people=people)
    before = told.get("before")
    if before and "before" in View.__struct_fields__:
        old = _values(before, entity, system, policy, directory, at)
        view = msgspec.structs.replace(view, before=old)
    return event, view


def _account(case: Case, lead: Values, policy: Policy, directory: Directory, system: str, at: datetime) -> AccountView:
    """The account of the case. Where it has no website it has the lead's domain, so that it is found."""
    given = dict(case.account or {})
    home = (
        system if system in policy.entities["account"].remote else next(iter(policy.entities["account"].remote), system)
    )
    parent = given.pop("parent", None)
    opportunities, seller = given.pop(_DERIVED[0], None), given.pop(_DERIVED[1], None)
    values = _values(given, "account", home, policy, directory, at)
    if not values.get("website"):
        address = str(lead.get("email") or "").strip()
        site = lead.get("website") or address.rpartition("@")[2]
        if site:
            values["website"] = site
    above = None
    if isinstance(parent, Mapping):
        above = _record("account", _values(parent, "account", home, policy, directory, at), home, "the parent account")
    owner = directory.crm_id(home, seller) or "" if seller else ""
    return AccountView(_record("account", values, home, ACCOUNT), above, opportunities, owner)


def _record(entity: Entity, values: Values, system: str, record_id: str) -> Record:
    return Record(system=system, entity=entity, record_id=record_id, values=values)


def _values(
    given: Mapping[str, Any], entity: str, system: str, policy: Policy, directory: Directory, at: datetime
) -> Values:
    """The values as the CRM would hold them: people by the ids they have there."""
    found = resolved(given, at)
    for name, field in policy.entities[entity].fields.items():
        if field.type == "person" and found.get(name):
            found[name] = directory.crm_id(system, found[name]) or found[name]
    return found
