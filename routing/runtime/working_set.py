"""What one batch works on: the records its events touch, and the records those may match, as they change event by event."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from routing.core.keys import keys, wanted
from routing.core.merge import merge
from routing.core.model import ChangeEvent, Record, Values
from routing.core.view import AccountView, View
from routing.ledger import locks, mirror
from routing.ledger.journal import Entry
from routing.ledger.mirror import Key
from routing.ledger.schema import ref_of
from rules.policy import Policy


class _Ahead(NamedTuple):
    """A record after an event, the fields it changed, and the keys of the lead's surroundings."""

    record: Record
    fields: frozenset[str]
    wanted: frozenset[Key]


class WorkingSet:
    """Loaded with a handful of queries for the whole batch, then changed in memory, event by event, in order."""

    def __init__(
        self, conn: Connection, entries: Sequence[Entry], policy: Policy, echoes: Container[int] = frozenset()
    ) -> None:
        """``echoes`` holds the numbers of entries that are echoes of ours: nothing is decided on them, so they need no
        surroundings."""
        self._policy = policy
        self._echoes = echoes
        self.records: dict[str, Record] = mirror.load(conn, {_ref(entry.event) for entry in entries})
        self._ahead: dict[int, _Ahead] = {}  # what each entry makes of its record, by seq
        self._by_key: dict[Key, dict[str, Record]] = {}
        self._keys: dict[str, frozenset[Key]] = {}  # of the records changed here, by ref
        self.changed: dict[str, Record] = {}
        self._moved: set[str] = set()  # refs whose keys changed
        self._prefetch(conn, entries)

    def _prefetch(self, conn: Connection, entries: Sequence[Entry]) -> None:
        now_known = dict(self.records)
        asked: set[Key] = set()
        for entry in entries:
            event = entry.event
            name = _ref(event)
            before = now_known.get(name)
            after, fields = merge(before, event)
            if entry.seq in self._echoes and after.taken and before is not None and not before.taken:
                after = msgspec.structs.replace(after, taken=False)  # it was us, not a person
            if before is not None or event.kind != "tick":
                now_known[name] = after
            decides = event.entity in self._policy.ladders and entry.seq not in self._echoes
            wants = wanted(after, self._policy) if decides else frozenset[Key]()
            self._ahead[entry.seq] = _Ahead(after, fields, wants)
            asked |= wants
        # Leads of one person may be decided in two processes: the second sees what the first made of theirs. Also where nothing
        # is decided: an erasure must see who borrowed from the record, and that is found by the address it has.
        left = {key for r in self.records.values() for key in keys(r, self._policy)}
        locks.take(conn, [f"email:{name}" for kind, name in asked | left if kind == "email"])
        self._by_key = mirror.find(conn, asked)
        accounts = [r for key, found in self._by_key.items() if key[0] == "domain" for r in found.values()]
        of_account = {("account", record.record_id) for record in accounts}
        of_account |= {("account", e.event.record_id) for e in entries if e.event.entity == "account"}
        self._by_key |= mirror.find(conn, of_account)
        # Of every state on the way, not only the last: an event in the middle of the batch sees the parent of that moment.
        on_the_way = [ahead.record for ahead in self._ahead.values() if ahead.record.entity == "account"]
        stored = [record for record in self.records.values() if record.entity == "account"]
        parents = {_parent_ref(record) for record in [*accounts, *stored, *on_the_way]} - {""}
        self._parents = mirror.load(conn, parents - self.records.keys())

    def wanted(self, entry: Entry) -> frozenset[Key]:
        """The keys by which the surroundings of the entry's lead are found; none for other records."""
        return self._ahead[entry.seq].wanted

    def apply(self, entry: Entry) -> tuple[Record, frozenset[str]]:
        """Makes the entry's change visible to later events of the batch. Returns the record with the changed fields."""
        name = _ref(entry.event)
        before = self.records.get(name)
        after, fields = self._ahead[entry.seq].record, self._ahead[entry.seq].fields
        if before is None or fields or after != before:
            self._put(name, before, after)
        return after, fields

    def remember(self, record: Record) -> None:
        """Stores what a decision changed about a record (decided owner, hold), leaving its values alone."""
        name = ref_of(record.system, record.entity, record.record_id)
        self.records[name] = self.changed[name] = record
        for key in self._keys.get(name) or keys(record, self._policy):
            if name in self._by_key.get(key, {}):
                self._by_key[key][name] = record

    def _put(self, name: str, before: Record | None, after: Record) -> None:
        old = self._keys.get(name)
        if old is None:
            old = keys(before, self._policy) if before is not None else frozenset()
        new = frozenset() if after.deleted else keys(after, self._policy)
        for key in old - new:
            self._by_key.get(key, {}).pop(name, None)
        for key in new:
            self._by_key.setdefault(key, {})[name] = after
        self._keys[name] = new
        if old != new or before is None:
            self._moved.add(name)
        self.records[name] = self.changed[name] = after

    def view(self, entry: Entry, record: Record, before: Record | None = None) -> View:
        """What ``plan`` may know of the surroundings of the entry's record, which is ``record`` by now and was ``before``."""
        accounts: dict[str, Record] = {}
        counterparts: dict[str, Record] = {}
        for key in self.wanted(entry):
            found = self._by_key.get(key, {})
            if key[0] == "domain":
                accounts |= {name: r for name, r in found.items() if r.entity == "account" and not r.deleted}
            elif key[0] == "email":
                counterparts |= {name: r for name, r in found.items() if r.system != record.system and not r.deleted}
        # The CRM where customers are kept is asked first; another system's companies only where it knows none.
        preferred = {n: r for n, r in accounts.items() if r.system == "salesforce"} or accounts
        return View(
            record=record,
            candidates=tuple(self._account(preferred[name]) for name in sorted(preferred)),
            counterpart=_counterpart(counterparts),
            before=self._before(entry, before),
        )

    def _before(self, entry: Entry, before: Record | None) -> Values:
        if before is None or "before" not in self._policy.event_reads:
            return {}
        return {name: before.values.get(name) for name in entry.event.changed}

    def _account(self, record: Record) -> AccountView:
        opportunities = [
            o for o in self._by_key.get(("account", record.record_id), {}).values() if o.system == record.system
        ]
        still_open = [o for o in opportunities if not o.deleted and not o.values.get("closed")]
        # The owner of the most recently changed one speaks for the account; the id decides between equals.
        newest = max(still_open, key=lambda o: (max(o.changed_at.values(), default=""), o.record_id), default=None)
        parent_ref = _parent_ref(record)
        return AccountView(
            record=record,
            parent=self.records.get(parent_ref) or self._parents.get(parent_ref),
            open_opportunities=len(still_open),
            opportunity_owner=str(newest.values.get("owner") or "") if newest else "",
        )

    def save(self, conn: Connection) -> None:
        """Writes what changed back to the mirror."""
        mirror.save(conn, [(r, self._keys[name] if name in self._moved else None) for name, r in self.changed.items()])


def _counterpart(found: Mapping[str, Record]) -> Record | None:
    """A lead stands nearer than a contact; the ref decides between equals, so that the order of arrival does not."""
    return min(found.items(), key=lambda item: (item[1].entity != "lead", item[0]))[1] if found else None


def _parent_ref(record: Record) -> str:
    parent = record.values.get("parent") if record.entity == "account" else None
    return ref_of(record.system, "account", str(parent)) if parent else ""


def _ref(event: ChangeEvent) -> str:
    return ref_of(event.system, event.entity, event.record_id)
