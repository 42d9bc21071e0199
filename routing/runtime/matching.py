"""Matches files of leads to files of accounts, and reads what people said of pairs. The core is the daemon's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from routing.core.directory import FILE
from routing.core.matching.decide import Signs, decide, shortlist
from routing.core.matching.features import account_features, lead_features
from routing.core.matching.fit import Choice
from routing.core.matching.index import MemoryIndex
from routing.core.matching.measure import measured
from routing.core.matching.model import AccountFeatures, LeadFeatures
from routing.core.matching.score import Weights, shipped
from routing.core.model import Record, Values
from routing.core.recognise import lead_side, weights_of
from routing.runtime.tables import Row, Table, TableError
from rules.model import Field, Matching
from rules.policy import Policy

# How many broken rows are named before the rest is counted.
_NAMED = 10
# So many pairs of either kind are the least that weights can be fitted to.
LEAST = 10
_FLUSH = 1 << 18

_PLACE = ("country", "state", "city", "postal_code")
LEAD = ("company", "email", "website", "phone", "mobile", *_PLACE)
ACCOUNT = ("name", "former_names", "website", "domains", "phone", "other_phone", *_PLACE, "parent")
_OF_TIES = {"type": "text", "open_opportunities": "number", "last_activity": "text", "created_at": "text"}
_ONLY_READ = "that matching does not read"


def open_accounts(path: Path) -> Table:
    """Accounts by their canonical fields, of which ``name``, ``website`` or ``domains`` must be there. Raises TableError."""
    fields = {name: Field(name, "text") for name in ACCOUNT} | {
        name: Field(name, kind) for name, kind in _OF_TIES.items()
    }
    return Table(path, "accounts", fields, ("name", "website", "domains"), ignored=_ONLY_READ)


def open_leads(path: Path) -> Table:
    """Leads by their canonical fields, of which at least one that identifies must be there. Raises TableError."""
    fields = {name: Field(name, "text") for name in LEAD}
    return Table(path, "leads", fields, ("company", "email", "website", "phone"), ignored=_ONLY_READ)


class Matcher:
    """The accounts of a file, in memory, and how leads are matched to them: by a policy, else by what is shipped."""

    def __init__(self, accounts: Table, policy: Policy | None = None) -> None:
        """Reads all accounts. Raises TableError naming the first broken rows: a missing account would change matches."""
        self._policy = policy
        self._settings = policy.matching if policy is not None else Matching()
        self._weights = weights_of(policy) if policy is not None else shipped()
        self._signs: dict[str, Signs] = {}
        self._index = MemoryIndex()
        self.broken = 0  # leads whose row could not be read
        lines: dict[str, int] = {}
        problems = []
        for row in accounts.rows():
            first = lines.setdefault(row.record_id, row.line)
            if not row.problem and first != row.line:
                row.problem = f"the id '{row.record_id}' is there twice, first on line {first}"
            if row.problem:
                problems.append(f"{accounts.path}:{row.line}: {row.problem}")
                continue
            self._index.put(account_features(row.record_id, row.values))
            if signs := _signs(row.values):
                self._signs[row.record_id] = signs
        _refuse(problems)
        if not lines:
            raise TableError(f"{accounts.path}: there is no account in it, so no lead could be matched.")

    def lines(self, leads: Table, top: int) -> Iterator[bytes]:
        """A JSON line a lead, in the order of the leads, with at most ``top`` candidates, in pieces of many lines.

        At the end ``leads.notes`` tell of ids that are there more than once, and of a file without leads.
        """
        encoder, buffer, line = msgspec.json.Encoder(), bytearray(), bytearray()
        seen: dict[str, int] = {}
        again: list[tuple[str, int]] = []
        for row in leads.rows():
            if seen.setdefault(row.record_id, row.line) != row.line:
                again.append((row.record_id, row.line))
            encoder.encode_into(self._line(row, leads.path, top), line)
            buffer += line
            buffer += b"\n"
            if len(buffer) > _FLUSH:
                yield bytes(buffer)
                buffer.clear()
        yield bytes(buffer)
        _tell_ids(leads, seen, again)

    def _lead(self, row: Row) -> LeadFeatures:
        if self._policy is None:
            return lead_features(row.record_id, row.values)
        return lead_side(Record(system=FILE, entity="lead", record_id=row.record_id, values=row.values), self._policy)

    def _line(self, row: Row, path: Path, top: int) -> dict[str, Any]:
        if row.problem:
            self.broken += 1
            nothing = {"lead_id": row.record_id, "account_id": None, "probability": 0.0, "band": "none"}
            return nothing | {"evidence": [], "candidates": [], "problem": f"{path}:{row.line}: {row.problem}"}
        lead = self._lead(row)
        near = shortlist(lead, self._index.candidates(lead), self._weights)
        found = decide(lead, near, self._weights, self._settings, self._signs)
        return msgspec.structs.replace(found, candidates=found.candidates[:top]).as_json(row.record_id)


def _tell_ids(leads: Table, seen: dict[str, int], again: list[tuple[str, int]]) -> None:
    if not seen:
        leads.notes.append(f"{leads.path}: there is no lead in it.")
    if again:
        record_id, line = again[0]
        more = f"; {len(again) - 1} more rows repeat an id" if len(again) > 1 else ""
        leads.notes.append(
            f"{leads.path}:{line}: the id '{record_id[:80]}' is on line {seen[record_id]} already{more}. "
            "Each row has its own line in the answer, in the order of the file."
        )


def _signs(values: Values) -> Signs | None:
    kind, count = values.get("type"), values.get("open_opportunities")
    if not values.keys() & _OF_TIES.keys():
        return None
    return Signs(
        isinstance(kind, str) and kind.casefold() == "customer",
        bool(count),
        str(values.get("last_activity") or ""),
        str(values.get("created_at") or ""),
    )


def _refuse(problems: list[str]) -> None:
    if problems:
        more = f"\n… and {len(problems) - _NAMED} more rows" if len(problems) > _NAMED else ""
        raise TableError("\n".join(problems[:_NAMED]) + more)


def open_labels(path: Path) -> Table:
    """Pairs that a person judged: ``lead.company``, ``account.name`` and the like, and ``same`` (yes or no). Raises TableError."""
    fields = {f"lead.{name}": Field(name, "text") for name in LEAD}
    fields |= {f"account.{name}": Field(name, "text") for name in (*ACCOUNT, "id")}
    fields["same"] = Field("same", "boolean")
    return Table(path, "labels", fields, ("same",), key="lead.id", ignored=_ONLY_READ)


def read_labels(table: Table) -> list[Choice]:
    """One choice a lead: what is measured of each account that it was compared with, and which of them is its company.

    Raises TableError that names the broken rows, or says what is missing for weights to be fitted.
    """
    leads: dict[str, tuple[int, Values, LeadFeatures]] = {}
    pairs: dict[str, dict[AccountFeatures, tuple[int, bool]]] = {}
    problems = []
    for row in table.rows():
        problem = row.problem or _take(row, leads, pairs)
        if problem:
            problems.append(f"{table.path}:{row.line}: {problem}")
    _refuse(problems)
    for same, words in ((True, "'same' is yes"), (False, "'same' is no")):
        count = sum(said is same for judged in pairs.values() for _, said in judged.values())
        if count < LEAST:
            raise TableError(
                f"{table.path}: there are {count} pairs of which {words}, and at least {LEAST} are needed to fit weights. "
                "Corrections by people and samples of the band 'ask' are good labels."
            )
    return [
        Choice(
            lead_id,
            tuple(measured(leads[lead_id][2], tuple(judged))),
            frozenset(n for n, (_, same) in enumerate(judged.values()) if same),
        )
        for lead_id, judged in pairs.items()
    ]


def _take(
    row: Row,
    leads: dict[str, tuple[int, Values, LeadFeatures]],
    pairs: dict[str, dict[AccountFeatures, tuple[int, bool]]],
) -> str:
    """Files the pair of a row; what is wrong with it, "" when nothing."""
    sides: dict[str, Values] = {"lead": {}, "account": {}}
    for name, value in row.values.items():
        side, _, field = name.partition(".")
        if field:
            sides[side][field] = value
    same = row.values.get("same")
    if not isinstance(same, bool):
        return "the column 'same' is blank: write yes or no"
    for side, values in sides.items():
        if not values.keys() - {"id"}:
            return f"nothing is said of the {side}: fill a column such as '{side}.{'company' if side == 'lead' else 'name'}'"
    if row.record_id not in leads:
        leads[row.record_id] = (row.line, sides["lead"], lead_features(row.record_id, sides["lead"]))
    line, values, _ = leads[row.record_id]
    if values != sides["lead"]:
        other = next(name for name in LEAD if values.get(name) != sides["lead"].get(name))
        return f"the lead '{row.record_id}' has another {other} than on line {line}: give each lead an id of its own"
    account = account_features(str(sides["account"].get("id") or ""), sides["account"])
    before = pairs.setdefault(row.record_id, {}).setdefault(account, (row.line, same))
    if before[1] is not same:
        return (
            f"the same pair as on line {before[0]}, where 'same' is {'yes' if before[1] else 'no'}: keep the right one"
        )
    return ""


def weights_file(weights: Weights) -> bytes:
    """As a file that a policy names: one piece of evidence a line, for a diff to be read."""
    return msgspec.json.format(msgspec.json.encode(weights), indent=2) + b"\n"
