"""Decides recorded events again: to prove that the ledger's decisions are what the policy says, or to see what another would do.

Each decision is made from the evidence kept beside it, with the policy that made it (or the one under trial) and the time it was
made at. Nothing is asked of any CRM and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from routing.core.directory import Directory
from routing.core.distribution.pools import Pools
from routing.core.evidence import Evidence, decide_again
from routing.core.model import ChangeEvent, Decision
from routing.core.roster import Roster
from routing.ledger import evidence, policies
from routing.ledger.decisions import columns_of
from routing.ledger.engine import Ledger
from routing.ledger.evidence import ERASED, Recorded
from routing.runtime.replay_pools import CannotSay, RecordedPools, TrialPools, bonds_of
from rules.model import PolicyError
from rules.policy import Policy, compile_policy

# identical: the same bytes, or under another policy the same choice; turn: the same choice, and in its pool another one's turn
# (only under another policy); different; erased: what it was made from was erased; unproven: it cannot be made again.
Verdict = Literal["identical", "turn", "different", "erased", "unproven"]

# Compiled policies and directories kept at hand; decisions that follow each other nearly always share them.
_AT_HAND = 8

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Decision).decode
_decode_event = msgspec.json.Decoder(ChangeEvent).decode


class Span(Struct, frozen=True):
    """Which decisions: of events after the number ``after`` up to ``until``, made from ``since_ms`` to ``until_ms``."""

    after: int = 0
    until: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    record_id: str = ""


class Replayed(Struct, frozen=True):
    """One decision, made again. ``said`` tells in words what differs, or why it cannot be told."""

    recorded: Recorded
    verdict: Verdict
    said: str = ""
    before: Decision | None = None
    after: Decision | None = None


class Replay:
    """One run over a ledger, read page by page: its memory does not grow with the number of decisions.

    With ``policy`` it asks what that one would have decided. A pool then stands as it was recorded until the replay gives a lead
    otherwise, and goes on from there, as if that policy had been live all the time; for a single record, whose turns are not all of
    its pools', they stand as recorded.
    """

    def __init__(self, ledger: Ledger, policy: Policy | None = None) -> None:
        self._ledger, self._policy = ledger, policy
        self._compiled: dict[str, Policy] = {}
        self._rosters: dict[str, Roster] = {}
        self._directories: dict[tuple[str, str], Directory] = {}
        self._pools = RecordedPools()
        self._trial = None if policy is None else TrialPools(policy, self._pools)

    def run(self, span: Span) -> Iterator[Replayed]:
        """Makes the decisions of the span again, in the order in which their events were accepted. Raises when the ledger fails."""
        after = span.after
        while True:
            with self._ledger.read() as conn:
                page = evidence.recorded(
                    conn,
                    after,
                    until=span.until,
                    since_ms=span.since_ms,
                    until_ms=span.until_ms,
                    record_id=span.record_id,
                )
            if not page:
                return
            for one in page:
                if span.record_id and self._policy is not None:
                    self._trial = TrialPools(self._policy, self._pools)
                yield _unless_altered(self._again(one))
            after = page[-1].seq

    def _again(self, one: Recorded) -> Replayed:
        if one.evidence is None:
            return Replayed(one, "unproven", "it was made before evidence was kept, or its evidence was cleared away")
        if one.evidence == ERASED:
            return Replayed(one, "erased", "what it was made from was erased at a person's request")
        try:
            kept, event = evidence.load(one.evidence), _decode_event(one.event)
            known = self._people(one.roster)
            policy = self._policy or self._recorded_policy(one.policy)
        except CannotSay as error:
            return Replayed(one, "unproven", str(error))
        except msgspec.DecodeError as error:
            return Replayed(one, "different", f"what it was made from cannot be read any more: {error}")
        directory = self._directory(policy, one.roster, known)
        try:
            working = self._working(one, kept, policy, directory)
            made = decide_again(event, kept, policy, directory, working)
            if working.replayed:
                return _compared(one, made, known.erased)
            return self._otherwise(one, kept, made, working)
        except CannotSay as error:
            return Replayed(one, "unproven", str(error))
        except Exception as error:  # noqa: BLE001 - told, and the others are still to be looked at
            return Replayed(one, "different", f"deciding it again failed: {type(error).__name__}: {error}")

    def _working(self, one: Recorded, kept: Evidence, policy: Policy, directory: Directory) -> Pools:
        with self._ledger.read() as conn:
            if self._trial is not None:
                return self._trial.open(conn, kept, one.policy, directory)
            return Pools(policy, directory, None, self._pools.found(conn, kept), bonds_of(kept))

    def _otherwise(self, one: Recorded, kept: Evidence, made: Decision | None, working: Pools) -> Replayed:
        """What another policy made of it, or the same one with pools that stand otherwise by now."""
        assert self._trial is not None
        before = _decode(one.body)
        verdict: Verdict = "different"
        if made is not None and _choice(before) == _choice(made):
            verdict = "identical" if before.owner == made.owner else "turn" if made.pool else "different"
        with self._ledger.read() as conn:
            self._trial.settled(conn, kept, working, verdict == "identical")
        if made is None:
            return Replayed(one, verdict, "nothing would have been decided: the entry criteria keep it out", before)
        return Replayed(one, verdict, "" if verdict == "identical" else _instead(before, made), before, made)

    def _recorded_policy(self, digest: str) -> Policy:
        known = self._compiled.get(digest)
        if known is None:
            with self._ledger.read() as conn:
                files = policies.load(conn, digest)
            if files is None:
                raise CannotSay(f"its policy {digest[:12]} is not in the ledger")
            try:
                known = compile_policy(files)
            except PolicyError as error:
                first = error.problems[0]
                raise CannotSay(
                    f"this version refuses its policy {digest[:12]}: {first.file}:{first.line}: {first.message}"
                ) from None
            _remember(self._compiled, digest, known)
        return known

    def _people(self, digest: str) -> Roster:
        known = self._rosters.get(digest)
        if known is None:
            with self._ledger.read() as conn:
                known = evidence.load_roster(conn, digest)
            if known is None:
                raise CannotSay("the people it knew are not in the ledger")
            _remember(self._rosters, digest, known)
        return known

    def _directory(self, policy: Policy, digest: str, people: Roster) -> Directory:
        known = self._directories.get((policy.digest, digest))
        if known is None:
            known = Directory.build(policy, people.records())
            _remember(self._directories, (policy.digest, digest), known)
        return known


def _remember(at_hand: dict[Any, Any], key: Any, value: Any) -> None:
    if len(at_hand) >= _AT_HAND:
        at_hand.pop(next(iter(at_hand)))
    at_hand[key] = value


def _compared(one: Recorded, made: Decision | None, people_erased: bool) -> Replayed:
    try:
        before = _decode(one.body)
    except msgspec.DecodeError as error:
        return Replayed(one, "different", f"the stored decision cannot be read: {error}", None, made)
    if made is not None and _encode(made).decode() == one.body:
        return Replayed(one, "identical", "", before, made)
    if people_erased:
        return Replayed(one, "erased", "somebody it knew was erased at their request", before, made)
    if made is None:
        return Replayed(one, "different", "nothing would have been decided", before)
    return Replayed(one, "different", first_difference(before, made), before, made)


def _unless_altered(made: Replayed) -> Replayed:
    """Lists and reports read the columns of a decision's row: these must be what its body says, also where it cannot be made again."""
    if made.verdict == "different":
        return made
    one = made.recorded
    try:
        said = columns_of(made.before or _decode(one.body))
    except msgspec.DecodeError as error:
        return Replayed(one, "different", f"the stored decision cannot be read: {error}")
    wrong = next((name for name, value in said.items() if one.columns[name] != value), None)
    if wrong is None:
        return made
    told = f"the column {wrong} of its row is {_short(one.columns[wrong])}, and the decision itself says {_short(said[wrong])}"
    return Replayed(one, "different", told, made.before, made.after)


def first_difference(recorded: Decision, again: Decision) -> str:
    """The first field in which two decisions differ, in words."""
    found = _first(msgspec.to_builtins(recorded), msgspec.to_builtins(again), ())
    if found is None:
        return "the stored text is spelled or ordered otherwise; its values are the same"
    path, was, now = found
    return f"{', '.join(path)}: recorded {_short(was)}, now {_short(now)}"


_Found = tuple[tuple[str, ...], Any, Any]
_NOTHING = object()


def _first(was: Any, now: Any, path: tuple[str, ...]) -> _Found | None:
    pairs: list[tuple[str, Any, Any]]
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(str(name), was.get(name, _NOTHING), now.get(name, _NOTHING)) for name in {**was, **now}]
    elif isinstance(was, list | tuple) and isinstance(now, list | tuple):
        longest = range(max(len(was), len(now)))
        pairs = [(_nth(n, was, now), _at(was, n), _at(now, n)) for n in longest]
    else:
        return None if was == now and type(was) is type(now) else (path, was, now)
    for name, one, other in pairs:
        found = _first(one, other, (*path, name))
        if found is not None:
            return found
    return None


def _at(items: Sequence[Any], n: int) -> Any:
    return items[n] if n < len(items) else _NOTHING


def _nth(n: int, was: Sequence[Any], now: Sequence[Any]) -> str:
    """``number 3 (Territory)``: the place in a list, and what stands there."""
    item = _at(was, n) if n < len(was) else _at(now, n)
    name = (
        next((item[key] for key in ("name", "person", "field") if item.get(key)), "") if isinstance(item, dict) else ""
    )
    return f"number {n + 1}" + (f" ({name})" if name else "")


def _short(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


def _choice(made: Decision) -> tuple[Any, ...]:
    """What makes two decisions the same, apart from whose turn it was."""
    by_name = made.owner if not made.pool else ""
    return (made.outcome, by_name, made.pool, made.rung, made.rule, made.account_id, made.corrections)


def _instead(before: Decision, made: Decision) -> str:
    was, now = in_short(before), in_short(made)
    if was != now:
        return f"{now} instead of {was}"
    return first_difference(
        before, msgspec.structs.replace(made, decision_id=before.decision_id, policy=before.policy, facts=before.facts)
    )


def in_short(made: Decision) -> str:
    """``assign to ana@… out of the pool DACH by 'Territory'``."""
    whom = f" {'to' if made.outcome == 'assign' else 'with'} {made.owner}" if made.owner else ""
    pool = f" out of the pool {made.pool}" if made.pool else ""
    return f"{made.outcome}{whom}{pool}" + (f" by '{made.rung}'" if made.rung else "")


def deciding_step(made: Decision) -> str:
    """The step of the trace that decided, with what it read."""
    step = next((step for step in reversed(made.trace) if step.held and step.stage in ("ladder", "hold")), None)
    if step is None:
        return "no rung held"
    read = "; ".join(f"{name} is {_short(value)}" for name, value in step.values.items())
    told = "; ".join(part for part in (step.condition and f"when {step.condition}", step.rule, step.note, read) if part)
    return f"{step.name}" + (f": {told}" if told else "")
