"""What a subscription calls its fields and its kinds of activities, and the numbers that its log knows them by."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from difflib import get_close_matches

from msgspec import Struct

from connectors.contract import Maps
from connectors.marketo.activities import DATA_VALUE, DELETE, MERGE, NEW_LEAD, SCORE, Known, Told, told_by_activities
from connectors.marketo.client import Client
from connectors.marketo.values import lead_map, whole_lead_map

MOST_KINDS = 10  # in one question for activities; the vendor's limit
_AGAIN = timedelta(hours=1)  # until a name that was not there is looked for again; each look is a call
_OF_LEADS = (NEW_LEAD, DATA_VALUE, DELETE)  # told by questions of their own, as what they do to a lead


class Rest(Struct, frozen=True, rename="camel"):
    """A field's name in the REST API."""

    name: str = ""
    read_only: bool = False


class Described(Struct, frozen=True, rename="camel"):
    """One field of leads."""

    id: int = 0
    data_type: str = ""
    rest: Rest = Rest()


class _Fields(Struct, frozen=True):
    result: list[Described] = []


class _Named(Struct, frozen=True):
    name: str = ""


class ActivityType(Struct, frozen=True, rename="camel"):
    """One kind of activity, and what it tells beside what it is about."""

    id: int
    name: str = ""
    attributes: list[_Named] = []


class _Types(Struct, frozen=True):
    result: list[ActivityType] = []


class Catalogue:
    """Asks when something is wanted that is not known, at most once an hour. Blocks; raises ConnectorError."""

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._maps, self._clock = client, maps, clock
        self._types: dict[str, ActivityType] = {}
        self._fields: list[Described] = []
        self._asked: dict[str, datetime] = {}

    def fields(self) -> list[Described]:
        """The fields of leads as they are now."""
        return self._client.get("the fields of leads", "/rest/v1/leads/describe.json", _Fields).result

    def types(self) -> list[ActivityType]:
        """The kinds of activities as they are now, custom ones included."""
        return self._client.get("the kinds of activities", "/rest/v1/activities/types.json", _Types).result

    def known(self) -> Known:
        """What the policy's map asks of Marketo's log."""
        own, asked = lead_map(self._maps()), told_by_activities(whole_lead_map(self._maps()))
        mapped = set(own.fields.values())
        if self._due("fields", mapped - {one.rest.name for one in self._fields}):
            self._fields = self.fields()
            self._asked["fields"] = self._clock()
        if self._due("types", {kind for one in asked.values() for kind in one.kinds} - set(self._types)):
            self._types = {one.name.casefold(): one for one in self.types()}
            self._asked["types"] = self._clock()
        scores = {
            str(one.id): one.rest.name for one in self._fields if one.data_type == "score" and one.rest.name in mapped
        }
        usual = {MERGE, *([SCORE] if scores else [])}
        told, kinds, troubles = dict[str, Told](), dict[int, str](), list[str]()
        for field, one in asked.items():
            for kind in one.kinds:
                found = self._types.get(kind)
                wrong = self._wrong(kind, one.attribute)
                if found is not None and not wrong and len(usual | {found.id, *kinds}) > MOST_KINDS:
                    wrong = f"{found.name} is one too many; Marketo tells {MOST_KINDS} kinds of activities, merges and scores included"
                if wrong:
                    troubles.append(f"{own.entity}.{field}: {wrong}")
                elif found is not None:
                    kinds[found.id] = kind
                    told[field] = Told((*(told[field].kinds if field in told else ()), kind), one.attribute)
        return Known(own, told, kinds, scores, tuple(troubles))

    def _due(self, what: str, missing: Collection[str]) -> bool:
        asked = self._asked.get(what)
        return bool(missing) and (asked is None or not timedelta() <= self._clock() - asked < _AGAIN)

    def _wrong(self, kind: str, attribute: str) -> str:
        """What is wrong with a kind, or an attribute of it, that fields.yaml names; "" for nothing."""
        found = self._types.get(kind)
        if found is None:
            meant = [self._types[one].name for one in get_close_matches(kind, self._types, 1)]
            return f"Marketo has no activity {kind!r}" + (f"; did you mean {meant[0]}?" if meant else "")
        if found.id in _OF_LEADS:
            return f"{found.name} is heard of anyhow: map the field of the lead itself"
        names = [one.name for one in found.attributes]
        if attribute and attribute.casefold() not in {one.casefold() for one in names}:
            return f"the activity {found.name} has no {attribute!r}; it has {', '.join(names) or 'nothing'}"
        return ""
