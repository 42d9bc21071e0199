"""Marketo's activities, and what each of them means: one or several changes of leads, or none.

| activity | becomes |
|---|---|
| New Lead | ``created``, without values: they are read back |
| Change Data Value, Change Score | ``updated`` with the field's new value |
| Merge Leads | ``merged`` for each lead that went; ``updated`` for the one that stayed, which is read back |
| Delete Lead | ``deleted`` |
| what fields.yaml names | ``updated`` with the fields that are mapped to it |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from connectors.mapping import Unconvertible
from connectors.marketo.settings import SYSTEM
from connectors.marketo.values import ACTIVITY, moment, to_canonical
from routing.core.model import ChangeEvent, EntityMap, Kind, Values, derived_id

# Marketo's numbers of the kinds that every subscription has.
NEW_LEAD, DATA_VALUE, SCORE, MERGE, DELETE = 12, 13, 22, 32, 37


class Field(Struct, frozen=True, rename="camel"):
    """One changed field of an activity."""

    name: str = ""
    new_value: Any = None
    old_value: Any = None


class Attribute(Struct, frozen=True):
    """Something else that an activity says: Source, Reason. An empty one is left out of the answer."""

    name: str = ""
    value: Any = None


class Activity(
    Struct,
    frozen=True,
    rename={
        "guid": "marketoGUID",
        "lead_id": "leadId",
        "date": "activityDate",
        "type_id": "activityTypeId",
        "about_id": "primaryAttributeValueId",
        "about": "primaryAttributeValue",
    },
):
    """One activity. ``guid`` is what tells two apart; ``id`` does not in newer subscriptions. ``about`` is the form, e-mail, program …"""

    lead_id: int
    date: str
    type_id: int
    guid: str = ""
    id: int | str = ""
    about_id: int | str | None = None
    about: Any = None
    fields: list[Field] = []
    attributes: list[Attribute] = []

    @property
    def event_id(self) -> str:
        """The same however often it is told."""
        return derived_id(SYSTEM, "activity", self.guid or f"{self.type_id}:{self.id}")

    def value(self, name: str) -> Any:
        """An attribute; None where it is empty."""
        return next((one.value for one in self.attributes if one.name.casefold() == name.casefold()), None)

    def says(self, name: str) -> str:
        """An attribute's text."""
        value = self.value(name)
        return "" if value is None else str(value)


class Told(Struct, frozen=True):
    """What ``activity Fill Out Form or Click Email / Referrer URL`` in fields.yaml asks for: kinds of activities, in small letters, and
    an attribute of theirs, "" for what they are about (or when they happened, where the field is a date)."""

    kinds: tuple[str, ...]
    attribute: str = ""


class Known(Struct, frozen=True):
    """By what activities are understood: the leads' own fields, those that activities tell, the names of kinds (in small letters) by
    Marketo's numbers, and the REST names of mapped score fields by theirs. ``troubles``: what of fields.yaml cannot be, in sentences."""

    found: EntityMap
    told: Mapping[str, Told] = {}
    kinds: Mapping[int, str] = {}
    scores: Mapping[str, str] = {}
    troubles: tuple[str, ...] = ()

    @property
    def asked(self) -> list[int]:
        """The kinds to ask for."""
        return sorted({MERGE, *self.kinds, *([SCORE] if self.scores else [])})


def told_by_activities(found: EntityMap) -> dict[str, Told]:
    """The canonical fields of a map that activities tell."""
    return {field: _told(remote) for field, remote in found.fields.items() if remote.startswith(ACTIVITY)}


def _told(remote: str) -> Told:
    kinds, _, attribute = remote.removeprefix(ACTIVITY).partition(" / ")
    return Told(tuple(" ".join(one.split()).casefold() for one in kinds.split(" or ")), attribute.strip())


def events_of(activity: Activity, known: Known, observed_at: datetime) -> list[ChangeEvent]:
    """What the activity means. Raises Unconvertible for a value, a time or a merge that cannot be read."""
    found = known.found
    at = moment(activity.date)

    def event(kind: Kind, record_id: str, event_id: str, **more: Any) -> ChangeEvent:
        return ChangeEvent(
            event_id=event_id,
            system=SYSTEM,
            entity=found.entity,
            record_id=record_id,
            kind=kind,
            occurred_at=at,
            observed_at=observed_at,
            actor=activity.says("Modifying User"),
            origin=_origin(activity, known),
            cursor=f"activity {activity.guid or activity.id} at {activity.date}",
            sequence=activity.id if isinstance(activity.id, int) else 0,
            **more,
        )

    lead = str(activity.lead_id)
    if activity.type_id == MERGE:
        gone = _merged(activity)
        merged = [event("merged", one, derived_id(activity.event_id, one), into=lead) for one in gone]
        return [*merged, event("updated", lead, activity.event_id, complete=False, continues=gone)]
    if activity.type_id in (NEW_LEAD, DELETE):
        kind: Kind = "created" if activity.type_id == NEW_LEAD else "deleted"
        return [event(kind, lead, activity.event_id, complete=kind != "created")]
    values = _values(activity, known)
    if not values and activity.type_id != DATA_VALUE:
        return []
    return [event("updated", lead, activity.event_id, changed=tuple(values), values=values)]


def read(raw: bytes, known: Known, observed_at: datetime) -> list[ChangeEvent]:
    """As ``events_of``. Raises msgspec.DecodeError, UnicodeDecodeError, Unconvertible."""
    return events_of(msgspec.json.decode(raw, type=Activity), known, observed_at)


def _origin(activity: Activity, known: Known) -> str:
    name = known.kinds.get(activity.type_id)
    said = (f"activity {name}" if name else "", activity.says("Source"), activity.says("Reason"))
    return " ".join(filter(None, said))


def _merged(activity: Activity) -> tuple[str, ...]:
    """The ids of the leads that went: Marketo tells them as the text of a list."""
    given = activity.value("Merge IDs")
    texts = re.findall(r"[0-9]+", str(given if given is not None else ""))
    gone = tuple(one for one in dict.fromkeys(texts) if one != str(activity.lead_id))
    if not gone:
        raise Unconvertible(
            f"a merge into lead {activity.lead_id} does not say of which leads: its 'Merge IDs' is empty"
        )
    return gone


def _values(activity: Activity, known: Known) -> Values:
    changes = [(one.name, one.new_value) for one in activity.fields] if activity.type_id == DATA_VALUE else []
    if activity.type_id == SCORE and str(activity.about_id) in known.scores:
        changes = [(known.scores[str(activity.about_id)], activity.value("New Value"))]
    values: Values = {}
    for remote, value in changes:
        for field in (one for one, name in known.found.fields.items() if name == remote):
            values[field] = _converted(field, remote, value, activity, known)
    name = known.kinds.get(activity.type_id)
    for field, told in known.told.items():
        if name in told.kinds:
            values[field] = _converted(
                field, f"of activity {name}", _part(activity, told, field, known), activity, known
            )
    return values


def _part(activity: Activity, told: Told, field: str, known: Known) -> Any:
    if told.attribute:
        return activity.value(told.attribute)
    kind = known.found.types.get(field, "text")
    if kind in ("datetime", "date"):
        return activity.date
    by_number = kind == "number" or activity.about is None
    return activity.about_id if by_number else activity.about


def _converted(field: str, remote: str, value: Any, activity: Activity, known: Known) -> Any:
    type_name = known.found.types.get(field, "text")
    try:
        return to_canonical(type_name, value)
    except Unconvertible as error:
        raise Unconvertible(
            f"field {remote} of lead {activity.lead_id} {error}, but fields.yaml calls {known.found.entity}.{field} a "
            f"{type_name}: correct the type there and retry"
        ) from error
