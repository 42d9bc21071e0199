"""The records of the sandbox account, with a history for every property, and what each change tells the webhooks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from threading import RLock
from typing import Any

from msgspec import Struct

from connectors.sandbox.hubspot.properties import MODIFIED, PROPERTIES, Refusal, stored
from connectors.sandbox.world import stamp

_FIRST_NEW = {"contacts": 80_000_000_000, "companies": 28_000_000_000, "tasks": 60_000_000_000, "leads": 40_000_000_000}
_TICK = timedelta(milliseconds=1)


class Source(Struct, frozen=True):
    """Who or what changed something, as HubSpot keeps it."""

    type: str  # CRM_UI, INTEGRATION, FORM, IMPORT …
    id: str = ""  # userId:123, an app's id
    user_id: int | None = None


IMPORT = Source("IMPORT")
FORM = Source("FORM")
WORKFLOW = Source("AUTOMATION_PLATFORM", "workflowId:271828")
OWNER = "hubspot_owner_id"
_MERGED = "hs_merged_object_ids"


class Entry(Struct, frozen=True):
    """One value of one property, and where it came from."""

    value: str
    at: datetime
    source: Source

    def described(self) -> dict[str, Any]:
        """As ``propertiesWithHistory`` answers."""
        found: dict[str, Any] = {"value": self.value, "timestamp": stamp(self.at), "sourceType": self.source.type}
        if self.source.id:
            found["sourceId"] = self.source.id
        if self.source.user_id is not None:
            found["updatedByUserId"] = self.source.user_id
        return found


class Item(Struct):
    """One record."""

    kind: str
    id: str
    properties: dict[str, str]
    created_at: datetime
    updated_at: datetime
    source: Source
    changes: dict[str, list[Entry]]
    updated_by: int | None = None
    archived: bool = False
    archived_at: datetime | None = None
    writes: dict[str, int] = {}  # property -> how often the API wrote it, the same value again included

    def value(self, name: str) -> str | None:
        """A property, the ones HubSpot computes included."""
        if name == "hs_object_id":
            return self.id
        if name == "hs_updated_by_user_id":
            return None if self.updated_by is None else str(self.updated_by)
        if name in ("createdate", "hs_createdate"):
            return stamp(self.created_at)
        if name == MODIFIED[self.kind]:
            return stamp(self.updated_at)
        return self.properties.get(name)

    def history(self, name: str) -> list[Entry]:
        """Newest first."""
        entries = self.changes.get(name)
        if entries is not None:
            return entries[::-1]
        return [Entry(self.properties[name], self.created_at, self.source)] if name in self.properties else []


class Event(Struct, frozen=True):
    """What the webhooks hear. ``verb`` is creation, propertyChange, deletion, restore, privacyDeletion or merge. Of a merge the object is
    the one that is left, and ``merged`` are those that went, the primary one first."""

    verb: str
    kind: str
    object_id: str
    at: datetime
    source: Source
    property: str = ""
    value: str = ""
    merged: tuple[str, ...] = ()
    moved: int = 0  # of a merge: how many values came from the others


class Store:
    """Records in memory. Every public method takes the lock; changes are announced in the order they happened."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.lock = RLock()
        self.announce: Callable[[list[Event]], None] = lambda _: None
        self._clock = clock
        self._items: dict[str, dict[str, Item]] = {kind: {} for kind in PROPERTIES}
        self._order: dict[str, list[int]] = {kind: [] for kind in PROPERTIES}
        self._by_email: dict[str, str] = {}
        self._made = dict.fromkeys(PROPERTIES, 0)
        self._merges = dict.fromkeys(PROPERTIES, 0)
        self._left: dict[tuple[str, str], str] = {}  # by kind and id, into which record one was merged
        self.merge_creation = (
            1  # whether what a merge makes is told as a creation too: 0 no, 1 before the merge, 2 after it
        )
        self._links: dict[tuple[str, str, str], dict[str, int]] = {}
        self.archived: dict[str, set[str]] = {kind: set() for kind in PROPERTIES}  # properties that somebody archived
        self.workflow_owner = ""  # to whom a workflow gives each record that the API gives somebody

    def load(self, kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Fills in seed rows; nothing is announced."""
        for row in rows:
            given = {name: value for name, value in row["properties"].items() if value}
            created = datetime.fromisoformat(given.pop("createdate"))
            self._insert(Item(kind, row["id"], _kept(given), created, created, IMPORT, {}))

    def create(self, kind: str, properties: Mapping[str, str], source: Source, *, counted: bool = False) -> Item:
        """Makes a record. Ids depend only on how many were made before. Raises Refusal for an e-mail address held already."""
        with self.lock:
            kept = _kept({name: value for name, value in properties.items() if value})
            if counted:
                self._check_unique(kind, "", kept)
            now = self._now()
            item = Item(kind, self._new_id(kind), kept, now, now, source, {}, source.user_id)
            if counted:
                item.writes = dict.fromkeys(kept, 1)
            self._insert(item)
            self.announce([Event("creation", kind, item.id, now, source)])
            return item

    def update(
        self, kind: str, record_id: str, properties: Mapping[str, str], source: Source, *, counted: bool = False
    ) -> Item:
        """Changes a record; values it holds already leave no trace but the count. Raises Refusal."""
        with self.lock:
            item = self.get(kind, record_id)
            if item is None:
                raise Refusal("OBJECT_NOT_FOUND", "", f"resource not found: {record_id}")
            given = _kept(properties)
            self._check_unique(kind, item.id, given)
            # Two changes of one record never carry the same millisecond, here as there.
            now = max(self._now(), item.updated_at + _TICK)
            events = []
            for name, value in given.items():
                if counted:
                    item.writes[name] = item.writes.get(name, 0) + 1
                before = item.properties.get(name, "")
                if before == value:
                    continue
                self._set(item, name, before, Entry(value, now, source))
                events.append(Event("propertyChange", kind, item.id, now, source, name, value))
            if events:
                item.updated_at, item.updated_by = now, source.user_id
                self.announce(events)
            return item

    def run_workflows(self, item: Item, written: Mapping[str, str]) -> None:
        """What follows upon a write of the API: a change of its own, a moment later."""
        if self.workflow_owner and written.get(OWNER):
            self.update(item.kind, item.id, {OWNER: self.workflow_owner}, WORKFLOW)

    def end(self, kind: str, record_id: str, verb: str, source: Source) -> None:
        """Deletes (``deletion``) or brings back (``restore``) a record. Raises Refusal."""
        with self.lock:
            item = self._items[kind].get(self._now_of(kind, record_id))
            if item is None or item.archived == (verb != "restore"):
                raise Refusal("OBJECT_NOT_FOUND", "", f"resource not found: {record_id}")
            item.archived = verb != "restore"
            now = max(self._now(), item.updated_at + _TICK)
            item.archived_at = now if item.archived else None
            if not item.archived:
                item.updated_at = now
            self.announce([Event(verb, kind, item.id, now, source)])

    def erase(self, kind: str, record_id: str, source: Source) -> None:
        """Lets go of a record, be it in the bin, and of those that were merged into it: nothing of them is found, listed or brought back.
        Raises Refusal."""
        with self.lock:
            item = self._items[kind].get(self._now_of(kind, record_id))
            if item is None:
                raise Refusal("OBJECT_NOT_FOUND", "", f"resource not found: {record_id}")
            gone = {item.id, *(old for of, old in self._left if of == kind and self._now_of(kind, old) == item.id)}
            for one in gone:
                del self._items[kind][one]
            self._order[kind] = [number for number in self._order[kind] if str(number) not in gone]
            if kind == "contacts":
                self._by_email = {email: one for email, one in self._by_email.items() if one not in gone}
            self._links = {
                (of, one, to): {other: type_id for other, type_id in ids.items() if to != kind or other not in gone}
                for (of, one, to), ids in self._links.items()
                if of != kind or one not in gone
            }
            now = max(self._now(), item.updated_at + _TICK)
            self.announce([Event("privacyDeletion", kind, item.id, now, source)])

    def merge(self, kind: str, primary: str, others: Iterable[str], source: Source) -> str:
        """All of them go into a new record, which has the values of ``primary`` and what that one lacked; its id. Asked for by their ids, they
        are that one. Raises Refusal."""
        with self.lock:
            old = [item for one in (primary, *others) if (item := self.get(kind, one)) is not None]
            if len({item.id for item in old}) < 2 or old[0] is not self.get(kind, primary):
                raise Refusal("OBJECT_NOT_FOUND", "", f"resource not found: {primary}")
            now = max(self._now(), *(item.updated_at + _TICK for item in old))
            properties: dict[str, str] = {}
            changes: dict[str, list[Entry]] = {}
            for item in old:
                for name in item.properties.keys() - properties.keys() - {_MERGED}:
                    properties[name], changes[name] = item.properties[name], item.history(name)[::-1]
            gone = [
                one for item in old for one in (item.id, *filter(None, item.properties.get(_MERGED, "").split(";")))
            ]
            by = Source("MERGE_OBJECTS", source.id, source.user_id)
            properties[_MERGED], changes[_MERGED] = ";".join(gone), [Entry(";".join(gone), now, by)]
            new = Item(
                kind, self._new_id(kind), properties, now, now, by, changes, source.user_id, writes=old[0].writes
            )
            self._merges[kind] += 1
            for item in old:
                item.archived = True
                self._left[kind, item.id] = new.id
                self._by_email.update({email: new.id for email, one in self._by_email.items() if one == item.id})
                self._move_links(item, new)
            self._insert(new)
            went = tuple(item.id for item in old)
            moved = len(properties) - len(old[0].properties.keys() | {_MERGED})
            told = [Event("merge", kind, new.id, now, source, merged=went, moved=moved)]
            told += [Event("deletion", kind, one, now, source) for one in went[1:]]
            if self.merge_creation:
                told.insert(0 if self.merge_creation == 1 else len(told), Event("creation", kind, new.id, now, source))
            self.announce(told)
            return new.id

    def _move_links(self, item: Item, new: Item) -> None:
        for (kind, record_id, to_kind), ids in list(self._links.items()):
            if (kind, record_id) == (item.kind, item.id):
                self._links.setdefault((kind, new.id, to_kind), {}).update(ids)
            elif to_kind == item.kind and item.id in ids:
                ids[new.id] = ids.pop(item.id)

    def _new_id(self, kind: str) -> str:
        self._made[kind] += 1
        return str(_FIRST_NEW[kind] + self._made[kind] * 13)

    def link(self, one: tuple[str, str], other: tuple[str, str], type_id: int) -> None:
        """Associates two records (kind and id), both ways. Linked already: nothing happens. Raises Refusal."""
        with self.lock:
            for kind, record_id in (one, other):
                if self.get(kind, record_id) is None:
                    raise Refusal("OBJECT_NOT_FOUND", "", f"resource not found: {record_id}")
            self._links.setdefault((*one, other[0]), {})[other[1]] = type_id
            self._links.setdefault((*other, one[0]), {})[one[1]] = type_id + 1

    def linked(self, kind: str, record_id: str, to_kind: str) -> dict[str, int]:
        """Ids of the records of ``to_kind`` associated with that one, and the type of each association."""
        with self.lock:
            return dict(self._links.get((kind, record_id, to_kind), {}))

    def by_email(self, email: str) -> Item | None:
        """The contact that holds an e-mail address."""
        return self.get("contacts", self._by_email.get(stored("email", email), ""))

    def get(self, kind: str, record_id: str) -> Item | None:
        """A live record; None when it is not there or deleted."""
        item = self._items[kind].get(self._now_of(kind, record_id))
        return None if item is None or item.archived else item

    def page(self, kind: str, after: int, limit: int, *, archived: bool = False) -> tuple[list[Item], int | None]:
        """Records by id from just behind ``after``, and where to go on; None at the end."""
        with self.lock:
            order = self._order[kind]
            found: list[Item] = []
            for place in range(bisect_right(order, after), len(order)):
                item = self._items[kind][str(order[place])]
                if item.archived != archived:
                    continue
                if len(found) == limit:
                    return found, int(found[-1].id)
                found.append(item)
            return found, None

    def count(self, kind: str) -> int:
        """How many records were made since the start, the seed and what merges left not counted."""
        return self._made[kind] - self._merges[kind]

    def _now(self) -> datetime:
        """The time in whole milliseconds, as HubSpot keeps it."""
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _now_of(self, kind: str, record_id: str) -> str:
        """The id of a merged record leads to the one that is left."""
        while (kind, record_id) in self._left:
            record_id = self._left[kind, record_id]
        return record_id

    def _insert(self, item: Item) -> None:
        self._items[item.kind][item.id] = item
        self._order[item.kind].append(int(item.id))
        if item.kind == "contacts" and item.properties.get("email"):
            self._by_email.setdefault(item.properties["email"], item.id)

    def _set(self, item: Item, name: str, before: str, entry: Entry) -> None:
        # The first change of a property also writes down what it held when the record was made.
        entries = item.changes.setdefault(name, [Entry(before, item.created_at, item.source)])
        entries.append(entry)
        item.properties[name] = entry.value
        if item.kind == "contacts" and name == "email":
            self._by_email.pop(before, None)
            self._by_email[entry.value] = item.id

    def _check_unique(self, kind: str, record_id: str, properties: Mapping[str, str]) -> None:
        email = properties.get("email") if kind == "contacts" else None
        holder = self._by_email.get(email or "")
        if email and holder and holder != record_id and self.get(kind, holder):
            raise Refusal("CONFLICT", "", f"Contact already exists. Existing ID: {holder}")


def _kept(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: stored(name, value) for name, value in properties.items()}
