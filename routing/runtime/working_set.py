"""What one batch works on: the records its events touch, and the records those may match, as they change event by event."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from routing.core.case import may_route
from routing.core.filing import NOWHERE, Filed, filed, stays
from routing.core.keys import keys, own_account, wanted, went_into
from routing.core.matching.model import AccountFeatures
from routing.core.merge import ERASED, merge
from routing.core.model import OURS, ChangeEvent, Record, Values, Write, derived_id
from routing.core.recognise import originals
from routing.core.shape import shape_of
from routing.core.sla.model import ClockState
from routing.core.sla.planning import SLA
from routing.core.view import AccountView, Contact, View
from routing.ledger import clocks, locks, match_index, mirror
from routing.ledger.journal import Entry
from routing.ledger.mirror import Key
from routing.ledger.schema import ref_of, split_ref
from routing.runtime.neighbours import Ask, Neighbours, asking
from rules.fields import OF_PEOPLE
from rules.policy import Policy

# Kinds of record that are filed by what is like them.
_FILED = ("account", "contact", "lead")


class _Ahead(NamedTuple):
    """A record (by its ref) after an event, the fields it changed, the keys by which it could meet another that is decided on, and
    what to look for around it (None: it is not sent down the ladder)."""

    ref: str
    record: Record
    fields: frozenset[str]
    wanted: frozenset[Key]
    ask: Ask | None


class WorkingSet:
    """Loaded with a handful of queries for the whole batch, then changed in memory, event by event, in order."""

    def __init__(
        self, conn: Connection, entries: Sequence[Entry], policy: Policy, echoes: Container[int] = frozenset()
    ) -> None:
        """``echoes`` holds the numbers of entries that are echoes of ours: nothing is decided on them, so they need no
        surroundings."""
        self._conn, self._policy = conn, policy
        self._echoes = echoes
        self.records: dict[str, Record] = mirror.load(conn, {_ref(entry.event) for entry in entries})
        clocked, self._accounts = shape_of(policy).clocked, shape_of(policy).accounts
        # A clock may be there still whose policy is gone: its timer finds it.
        timed = {_ref(e.event) for e in entries if e.event.entity in clocked or e.event.origin == SLA}
        self.clocks: dict[str, tuple[ClockState, ...]] = clocks.load(conn, timed) if timed else {}
        self._ahead: dict[int, _Ahead] = {}  # what each entry makes of its record, by seq
        self._stored: dict[Key, dict[str, Record]] = {}  # what the ledger has under the keys that were asked for
        self._keys: dict[str, frozenset[Key]] = {}  # of the records changed here, by ref
        self._by_key: dict[Key, dict[str, Record]] = {}  # the same the other way round
        self._around: dict[str, Record] = {}  # records that no event of the batch is about
        self.changed: dict[str, Record] = {}
        self._moved: set[str] = set()  # refs whose keys changed
        # Of what is filed elsewhere now: as the ledger has it, and by now.
        self._filed: dict[str, tuple[Filed, Filed]] = {}
        self._places: dict[int, tuple[Record, Filed]] = {}  # where records are filed, by their identity
        self.moves: list[tuple[int, Record | None, Record]] = []  # what each event made of its record, by number
        self._prefetch(entries)

    def _prefetch(self, entries: Sequence[Entry]) -> None:
        now_known = dict(self.records)
        asked: set[Key] = set()
        for entry in entries:
            event = entry.event
            name = _ref(event)
            before = now_known.get(name)
            after, fields = merge(before, event)
            if entry.seq in self._echoes and after.taken and before is not None and not before.taken:
                after = msgspec.structs.replace(after, taken=False)  # it was us, not a person
            if before is not None or event.kind not in OURS:
                now_known[name] = after
            decides = event.entity in OF_PEOPLE and event.entity in self._policy.ladders
            if decides and entry.seq not in self._echoes and not after.deleted:
                sought = wanted(after)
                asked |= sought
                ask = self._asking(after) if may_route(event, self._policy) else None
                self._ahead[entry.seq] = _Ahead(name, after, fields, sought, ask)
            else:
                self._ahead[entry.seq] = _Ahead(name, after, fields, frozenset(), None)
        # Leads of one person may be decided in two processes: the second sees what the first made of theirs. Also where nothing
        # is decided: an erasure must see who borrowed from the record, and that is found by the address it has.
        left = {key for r in self.records.values() for key in keys(r)}
        names = [f"email:{name}" for kind, name in asked | left if kind == "email"]
        # Nor may a record go into one that is just being erased without being seen.
        names += [":".join(went_into(e.system, e.entity, e.into or e.record_id)) for e in _of_merges(entries)]
        locks.take(self._conn, names)
        self._find(asked)
        asks = [ahead.ask for ahead in self._ahead.values() if ahead.ask is not None]
        self.neighbours = Neighbours(self._conn, asks, len(entries), self._policy)
        self._gather(asks, [e.event.record_id for e in entries if e.event.entity == "account"])

    def _asking(self, record: Record) -> Ask:
        if record.entity == "lead" and self._policy.matching.duplicates is not None:
            return asking(record, self._policy, self._place(record).keys)
        return asking(record, self._policy)

    def _place(self, record: Record) -> Filed:
        known = self._places.get(id(record))
        if known is None:
            # The record is kept: no other can get its identity.
            known = self._places[id(record)] = record, filed(record)
        return known[1]

    def _gather(self, asks: Sequence[Ask], changing: Sequence[str]) -> None:
        """Loads at once what most views will need. What a view needs besides, because of a change within the batch, it loads itself."""
        accounts = [one for ask in asks for one in self.neighbours.accounts(ask)]
        named = {self._own_ref(ahead.record) for ahead in self._ahead.values()} - {""}
        self._load(named | {one.ref for one in accounts} | {ref for ask in asks for ref in self.neighbours.people(ask)})
        of_account = {one.features.account_id for one in accounts} | {split_ref(ref)[2] for ref in named}
        self._find({("account", one) for one in of_account.union(changing)})
        # Of every state on the way, not only the last: an event in the middle of the batch sees the parent of that moment.
        on_the_way = [ahead.record for ahead in self._ahead.values()]
        held = [
            *on_the_way,
            *self.records.values(),
            *(self._around[ref] for ref in named.union(one.ref for one in accounts) if ref in self._around),
        ]
        self._load({_parent_ref(record) for record in held if record.entity == "account"} - {""})

    def _load(self, refs: Collection[str]) -> None:
        missing = {ref for ref in refs if ref not in self.records and ref not in self._around}
        if missing:
            self._around |= mirror.load(self._conn, missing)

    def _find(self, wanted_keys: Iterable[Key]) -> None:
        missing = {key for key in wanted_keys if key not in self._stored}
        if missing:
            self._stored |= {key: {} for key in missing} | mirror.find(self._conn, missing)

    def _under(self, key: Key) -> dict[str, Record]:
        """The records that carry the key by now, by ref."""
        self._find((key,))
        stored, changed = self._stored[key], self._by_key.get(key)
        if not changed and self._keys.keys().isdisjoint(stored):
            return stored
        return {name: record for name, record in stored.items() if name not in self._keys} | (changed or {})

    def _record(self, ref: str) -> Record | None:
        if ref in self.records:
            return self.records[ref]
        if ref not in self._around:
            self._load((ref,))
        return self._around.get(ref)

    def wanted(self, entry: Entry) -> frozenset[Key]:
        """The keys by which the same person is found in the other system; none for records that are not routed."""
        return self._ahead[entry.seq].wanted

    def apply(self, entry: Entry) -> tuple[Record, frozenset[str]]:
        """Makes the entry's change visible to later events of the batch. Returns the record with the changed fields."""
        ahead = self._ahead[entry.seq]
        name, after, fields = ahead.ref, ahead.record, ahead.fields
        before = self.records.get(name)
        if before is None or fields or after != before:
            self._put(name, before, after)
            self.moves.append((entry.seq, before, after))
        event = entry.event
        if event.into and event.entity == "account":
            self.neighbours.merged(name, ref_of(event.system, event.entity, event.into))
        return after, fields

    def replace(self, name: str, event: ChangeEvent) -> None:
        """What an event makes of another record than its own."""
        before = self.records.get(name) or self._record(name)
        if before is not None:
            self._put(name, before, merge(before, event)[0])

    def is_erased(self, ref: str) -> bool:
        """Whether nothing may be known of the record, at the person's request."""
        record = self._record(ref)
        return record is not None and ERASED in record.changed_at

    def remember(self, record: Record) -> None:
        """Stores what a decision changed about a record (decided owner, hold), leaving its values alone."""
        name = ref_of(record.system, record.entity, record.record_id)
        self.records[name] = self.changed[name] = record
        self._file(name, record, self._keys[name] if name in self._keys else keys(record))

    def _file(self, name: str, record: Record, its_keys: frozenset[Key]) -> None:
        for key in its_keys:
            self._by_key.setdefault(key, {})[name] = record
        self._keys[name] = its_keys

    def _put(self, name: str, before: Record | None, after: Record) -> None:
        old = self._keys.get(name)
        if old is None:
            old = keys(before) if before is not None else frozenset()
        new = keys(after)
        for key in old - new:
            self._by_key.get(key, {}).pop(name, None)
        self._file(name, after, new)
        if old != new or before is None:
            self._moved.add(name)
        if after.entity in _FILED and (before is None or not stays(before, after)):
            was, place = NOWHERE if before is None else self._place(before), self._place(after)
            self._filed[name] = self._filed.get(name, (was,))[0], place
            self.neighbours.file(name, was, place)
        self.records[name] = self.changed[name] = after

    def view(self, entry: Entry, record: Record, before: Record | None = None) -> View:
        """What ``plan`` may know of the surroundings of the entry's record, which is ``record`` by now and was ``before``."""
        ahead = self._ahead[entry.seq]
        ask, own, open_clocks = ahead.ask, self._own(record), self.clocks.get(ahead.ref, ())
        if ask is None:
            return View(record, own, before=self._before(entry, before), clocks=open_clocks)
        counterparts: dict[str, Record] = {}
        for key in ahead.wanted:
            found = self._under(key).items()
            counterparts |= {name: r for name, r in found if r.system != record.system and not r.deleted}
        others = [
            one for ref in self.neighbours.people(ask) if (one := self._record(ref)) is not None and not one.deleted
        ]
        found_accounts = [self._account(one.ref, one.contact, one.features) for one in self.neighbours.accounts(ask)]
        accounts = [one for one in found_accounts if one is not None]
        named = {one.record.record_id for one in accounts}
        accounts += [one for one in own if one.record.record_id not in named]
        return View(
            record=record,
            candidates=tuple(accounts),
            counterpart=_counterpart(counterparts),
            before=self._before(entry, before),
            clocks=open_clocks,
            people=tuple(originals(record, others)),
            said=self.neighbours.said(ask),
            lead=ask.lead,
        )

    def _own(self, record: Record) -> tuple[AccountView, ...]:
        """The account that the record names itself, if it is there."""
        name = self._own_ref(record)
        account = self._account(name) if name else None
        return () if account is None else (account,)

    def _own_ref(self, record: Record) -> str:
        named = own_account(record, self._accounts) if record.entity in self._policy.ladders else ""
        return ref_of(record.system, "account", named) if named else ""

    def locks(self, writes: Sequence[Write]) -> dict[str, str]:
        """By write id what a CRM locks to save it: the ref of the record above it (its account, or the campaign of a new member), or the address
        of a new person, of whom two at the same moment would become two records. Writes that lock no other record than their own are left out."""
        self._load([ref_of(one.system, *one.about) for one in writes if one.about[0] in self._accounts])
        above = {one.write_id: self._above(one) for one in writes}
        return {write_id: ref for write_id, ref in above.items() if ref}

    def _above(self, write: Write) -> str:
        if write.creates and write.fields.get("email"):
            return derived_id(write.system, "address", str(write.fields["email"]).strip().lower())
        if write.creates == "campaign_member":
            return ref_of(write.system, "campaign", str(write.fields.get("campaign")))
        entity, record_id = write.about
        field = "account" if write.kind == "convert" else self._accounts.get(entity, "")
        record = self._record(ref_of(write.system, entity, record_id)) if field else None
        named = (write.fields.get(field) if write.kind != "create" else None) or (
            own_account(record, self._accounts) if record is not None else ""
        )
        return ref_of(write.system, "account", str(named)) if named else ""

    def _before(self, entry: Entry, before: Record | None) -> Values:
        if before is None or "before" not in self._policy.event_reads:
            return {}
        return {name: before.values.get(name) for name in entry.event.changed}

    def _account(self, ref: str, contact: Contact = "", features: AccountFeatures | None = None) -> AccountView | None:
        record = self._record(ref)
        if record is None or record.deleted:
            return None
        opportunities = [o for o in self._under(("account", record.record_id)).values() if o.system == record.system]
        still_open = [o for o in opportunities if not o.deleted and not o.values.get("closed")]
        # The owner of the most recently changed one speaks for the account; the id decides between equals.
        newest = max(still_open, key=lambda o: (max(o.changed_at.values(), default=""), o.record_id), default=None)
        parent_ref = _parent_ref(record)
        return AccountView(
            record=record,
            parent=self._record(parent_ref) if parent_ref else None,
            open_opportunities=len(still_open),
            opportunity_owner=str(newest.values.get("owner") or "") if newest else "",
            contact=contact,
            features=features,
        )

    def save(self, conn: Connection) -> None:
        """Writes what changed back to the mirror, and files it anew."""
        changed = [(r, self._keys[name] if name in self._moved else None) for name, r in self.changed.items()]
        mirror.save(conn, changed, self._policy)
        match_index.save(
            conn,
            [match_index.Change(name, was, place) for name, (was, place) in sorted(self._filed.items())],
        )


def _of_merges(entries: Sequence[Entry]) -> list[ChangeEvent]:
    return [entry.event for entry in entries if entry.event.into or entry.event.kind == "erased"]


def _counterpart(found: Mapping[str, Record]) -> Record | None:
    """A lead stands nearer than a contact; the ref decides between equals, so that the order of arrival does not."""
    return min(found.items(), key=lambda item: (item[1].entity != "lead", item[0]))[1] if found else None


def _parent_ref(record: Record) -> str:
    parent = record.values.get("parent") if record.entity == "account" else None
    return ref_of(record.system, "account", str(parent)) if parent else ""


def _ref(event: ChangeEvent) -> str:
    return ref_of(event.system, event.entity, event.record_id)
