"""Routes a file of leads against a file of accounts: the same core as the daemon's, without ledger, CRM or network.

The leads are streamed; only the accounts and the pools stay in memory. The same files, policy and ``now`` give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from routing.core.directory import FILE, Directory
from routing.core.distribution.pools import Pools
from routing.core.matching.decide import shortlist
from routing.core.matching.features import account_features
from routing.core.matching.index import MemoryIndex
from routing.core.model import Candidate, ChangeEvent, Correction, Record, Step, derived_id
from routing.core.plan import plan
from routing.core.planned import Plan
from routing.core.recognise import lead_side, weights_of
from routing.core.settle import Settled, settle
from routing.core.view import AccountView, View
from routing.runtime.tables import Row, Table, TableError
from rules.policy import Policy

# How many broken rows of the accounts are named before the rest is counted.
_NAMED = 10
_FLUSH = 1 << 18


class Line(Struct, frozen=True):
    """One decision, as it is written: the fields in this order."""

    lead_id: str
    outcome: str
    owner: str
    pool: str
    rung: str
    rule: str
    account_id: str
    reason: str
    corrections: tuple[Correction, ...]
    candidates: tuple[Candidate, ...]
    trace: tuple[Step, ...]
    decision_id: str
    policy: str


class Parked(Struct, frozen=True):
    """A lead that could not be read; ``reason`` names file, line and column."""

    lead_id: str
    outcome: str
    reason: str


class PoolShare(Struct):
    """What a pool came to: leads given, and the worst distance of a member from the fair share."""

    assigned: int
    deviation: float


class Summary(Struct):
    """The counts of a run. ``held`` and the others count leads; ``corrected`` those with at least one correction."""

    leads: int = 0
    matched: int = 0
    assigned: int = 0
    kept: int = 0
    held: int = 0
    rejected: int = 0
    not_routed: int = 0
    parked: int = 0
    corrected: int = 0
    seconds: float = 0.0
    leads_per_second: float = 0.0
    pools: dict[str, PoolShare] = {}


class Accounts:
    """The accounts of a file, found by what is like a lead's company."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._weights = policy, weights_of(policy)
        self._index = MemoryIndex()
        self._views: dict[str, AccountView] = {}

    @property
    def count(self) -> int:
        return len(self._views)

    @classmethod
    def load(cls, table: Table, policy: Policy) -> Accounts:
        """Reads all accounts. Raises TableError naming the first broken rows: a missing account would change decisions."""
        self = cls(policy)
        records: dict[str, Record] = {}
        derived: dict[str, tuple[int | None, str]] = {}
        broken: list[str] = []
        lines: dict[str, int] = {}
        for row in table.rows():
            if not row.problem and row.record_id in records:
                row.problem = f"the id '{row.record_id}' is there twice, first on line {lines[row.record_id]}"
            if row.problem:
                broken.append(f"{table.path}:{row.line}: {row.problem}")
                continue
            values, lines[row.record_id] = row.values, row.line
            count, owner = values.pop("open_opportunities", None), values.pop("opportunity_owner", "")
            if count is not None or owner:
                derived[row.record_id] = (count, owner)
            records[row.record_id] = Record(system=FILE, entity="account", record_id=row.record_id, values=values)
        if broken:
            more = f"\n… and {len(broken) - _NAMED} more rows" if len(broken) > _NAMED else ""
            raise TableError("\n".join(broken[:_NAMED]) + more)
        for record in records.values():
            self._add(record, records, derived.get(record.record_id))
        return self

    def _add(self, record: Record, records: dict[str, Record], derived: tuple[int | None, str] | None) -> None:
        count, owner = derived or (None, "")
        features = account_features(record.record_id, record.values)
        self._index.put(features)
        parent = records.get(record.values.get("parent") or "")
        self._views[record.record_id] = AccountView(record, parent, count, owner, features=features)

    def view(self, record: Record) -> View:
        """What ``plan`` is shown for a lead."""
        lead = lead_side(record, self._policy)
        found = shortlist(lead, self._index.candidates(lead), self._weights)
        return View(record, tuple([self._views[one.account_id] for one in found]), lead=lead)


class Offline:
    """One run over a file of leads. ``pools`` start empty, as on the first day."""

    def __init__(self, policy: Policy, accounts: Accounts, now: datetime) -> None:
        self.policy, self._accounts, self._now = policy, accounts, now
        self._directory = Directory.build(policy, ())
        self._pools = Pools.fresh(policy, self._directory, (FILE,))
        self._deviation: dict[str, float] = {}
        self.summary = Summary()

    def run(self, leads: Table) -> Iterator[bytes]:
        """The decisions as JSON lines, in the order of the leads, in pieces of many lines. Raises TableError."""
        encoder = msgspec.json.Encoder()
        buffer, line = bytearray(), bytearray()
        for row in leads.rows():
            encoder.encode_into(self.decide(row, leads.path), line)
            buffer += line
            buffer += b"\n"
            if len(buffer) > _FLUSH:
                yield bytes(buffer)
                buffer.clear()
        yield bytes(buffer)
        self._sum_up()

    def decide(self, row: Row, path: Path) -> Line | Parked:
        """Decides one lead, and counts it."""
        summary = self.summary
        summary.leads += 1
        if row.problem:
            summary.parked += 1
            return Parked(row.record_id, "parked", f"{path}:{row.line}: {row.problem}")
        event = ChangeEvent(
            event_id=derived_id(FILE, row.record_id, str(row.number)),
            system=FILE,
            entity="lead",
            record_id=row.record_id,
            kind="created",
            occurred_at=self._now,
            observed_at=self._now,
            values=row.values,
        )
        record = Record(system=FILE, entity="lead", record_id=row.record_id, values=row.values)
        policy, directory = self.policy, self._directory
        planned = plan(event, self._accounts.view(record), policy, directory, self._now)
        settled = settle(planned, self._pools, policy, directory, self._now)
        for pool, kind, _ in settled.turns:
            deviation = self._pools.rotations[pool, kind].deviation()
            self._deviation[pool] = max(self._deviation.get(pool, 0.0), deviation)
        self._pools.entries.clear()
        return self._line(row, planned, settled)

    def _line(self, row: Row, planned: Plan, settled: Settled) -> Line:
        summary, decision = self.summary, settled.decision
        if planned.corrections:
            summary.corrected += 1
        if decision is None:
            summary.not_routed += 1
            reason = settled.skipped or "the entry criteria let no such lead in"
            digest = self.policy.digest
            return Line(row.record_id, "none", "", "", "", "", "", reason, (), (), (), planned.decision_id, digest)
        if decision.account_id:
            summary.matched += 1
        outcome = decision.outcome
        if outcome == "assign":
            summary.assigned += 1
        elif outcome == "hold":
            summary.held += 1
        elif outcome == "keep":
            summary.kept += 1
        elif outcome == "reject":
            summary.rejected += 1
        else:
            summary.not_routed += 1
        return Line(
            row.record_id,
            outcome,
            decision.owner,
            decision.pool,
            decision.rung,
            decision.rule,
            decision.account_id,
            decision.reason,
            decision.corrections,
            decision.candidates,
            decision.trace,
            decision.decision_id,
            decision.policy,
        )

    def _sum_up(self) -> None:
        given: dict[str, int] = {}
        for (name, _), rotation in self._pools.rotations.items():
            given[name] = given.get(name, 0) + sum(rotation.assigned)
        self.summary.pools = {
            name: PoolShare(given[name], round(deviation, 4)) for name, deviation in sorted(self._deviation.items())
        }


def open_accounts(path: Path, policy: Policy) -> Table:
    """The accounts' file: a column ``name`` at least. Raises TableError."""
    return Table(path, "accounts", dict(policy.entities["account"].fields), ("name",))


def open_leads(path: Path, policy: Policy) -> Table:
    """The leads' file: a column ``email`` or ``company`` at least. What is derived is not read. Raises TableError."""
    fields = {name: field for name, field in policy.entities["lead"].fields.items() if field.remote}
    return Table(path, "leads", fields, ("email", "company"))
