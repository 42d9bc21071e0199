"""The compiled rules of engagement of one kind of record: what lets an event in, and the ladder that is walked.

A short ladder is tried rung by rung, and its trace shows every one. A long one goes through an index (``RuleSet``): only the
rungs whose conditions hold are looked at, and the trace shows these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from msgspec import Struct, structs

from rules.fields import Getter
from rules.ladders.effects import Doing
from rules.language.condition import Condition, Reads
from rules.language.ruleset import RuleSet
from rules.model import Action, Effect, Facts, Walk, WalkStep, WhyNot
from rules.tables.table import Table
from rules.values import is_blank
from rules.yamlfile import Scalar

ENTRY = "Entry criteria"
OTHERWISE = "Otherwise"
NAMES_A_PERSON = ("person", "field")
MAX_STEPS = 50  # of the trace of a long ladder
RECORD_ID = "event.record_id"
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # entry criteria do not ask how long ago something was
_NOTHING = Action("hold", "no rung of the ladder caught it")


class Rung(Struct, frozen=True):
    """One rung. ``table``, ``ladder`` or ``action`` decides once ``when`` holds; ``when`` may be None beside any.

    ``share`` is which part of all records a holdout takes, None for all. ``name`` holds those of the rungs around it.
    """

    name: str
    when: Condition | None
    action: Action | None
    table: Table | None = None
    ladder: tuple[Rung, ...] | None = None
    person: Getter | None = None  # reads the person that the action's field names
    reads: Reads = ()  # the fields of the table
    share: float | None = None
    away: Action | None = None  # instead of a person who is away
    doing: tuple[Doing, ...] = ()
    written: Scalar | None = None  # its name in the file


@dataclass(frozen=True, slots=True)
class Engagement:
    """The rules of one kind of record. ``index`` numbers ``flat``, the rungs that decide, where the ladder is long."""

    routes: str
    hold_retry: int
    entry: tuple[Condition, ...]
    rungs: tuple[Rung, ...]
    getters: Mapping[str, Getter]  # of every field that an action of a table may name
    record_id: Getter
    flat: tuple[Rung, ...] = ()
    index: RuleSet | None = None

    def enters(self, facts: Facts, why_not: WhyNot) -> WalkStep:
        """Whether this event routes this record: the first entry criterion that holds, or all of them when none does."""
        seen: dict[str, Any] = {}
        for condition in self.entry:
            values = {path: get(facts) for path, get in condition.reads}
            assert condition.run is not None
            if condition.run(values, _ANY_TIME, why_not):
                return WalkStep(ENTRY, True, condition.text, values)
            seen.update(values)
        return WalkStep(ENTRY, False, " or ".join(condition.text for condition in self.entry), seen)

    def walk(self, facts: Facts, why_not: WhyNot, now: datetime) -> Walk:
        """Tries the rungs from the top. Pure: ``facts``, ``why_not`` and ``now`` are all it knows. Raises nothing."""
        steps: list[WalkStep] = []
        if self.index is not None:
            return self._jump(self.index, facts, why_not, now, steps)
        return self._down(self.rungs, facts, why_not, now, steps) or Walk(_NOTHING, "", "", "", tuple(steps))

    def _down(
        self, rungs: tuple[Rung, ...], facts: Facts, why_not: WhyNot, now: datetime, steps: list[WalkStep]
    ) -> Walk | None:
        for rung in rungs:
            values: dict[str, Any] = {}
            when = rung.when
            if when is not None:
                values = {path: get(facts) for path, get in when.reads}
                assert when.run is not None
                if not when.run(values, now, why_not):
                    steps.append(WalkStep(rung.name, False, when.text, values))
                    continue
            if rung.ladder is not None:
                text = when.text if when is not None else ""
                steps.append(WalkStep(rung.name, False, text, values, "", "it holds: the rungs inside it are tried"))
                found = self._down(rung.ladder, facts, why_not, now, steps)
            else:
                found = self._decide(rung, values, facts, why_not, now, steps)
            if found is not None:
                return found
        return None

    def _jump(self, index: RuleSet, facts: Facts, why_not: WhyNot, now: datetime, steps: list[WalkStep]) -> Walk:
        for number in index.winners(facts, why_not, now):
            rung = self.flat[number]
            values = {path: get(facts) for path, get in rung.when.reads} if rung.when is not None else {}
            found = self._decide(rung, values, facts, why_not, now, steps)
            if found is not None:
                return structs.replace(found, steps=_shown(steps, number + 1))
        return Walk(_NOTHING, "", "", "", _shown(steps, len(self.flat)))

    def _decide(
        self, rung: Rung, values: dict[str, Any], facts: Facts, why_not: WhyNot, now: datetime, steps: list[WalkStep]
    ) -> Walk | None:
        """What a rung says whose condition holds; None where it is passed over. Adds its step either way."""
        action, rule, remark = rung.action, "", ""
        effects: tuple[Effect, ...] = ()
        condition = rung.when.text if rung.when is not None else ""
        if rung.table is not None:
            for path, get in rung.reads:
                values[path] = get(facts)
            hit = rung.table.find(values, now)
            if hit is None:
                note = f"no row of {rung.table.name} matches"
                steps.append(WalkStep(rung.name, False, condition, values, "", note))
                return None
            action, rule, remark = hit.action, hit.rule, hit.note
            effects = tuple(Effect("set", path, value) for path, value in hit.sets)
        assert action is not None
        if rung.share is not None:
            record_id = values[RECORD_ID] = self.record_id(facts)
            if not in_share(rung.name, record_id, rung.share):
                steps.append(WalkStep(rung.name, False, condition, values, "", "outside the share that is held out"))
                return None
        if rung.away is not None and action.kind in NAMES_A_PERSON:
            action = structs.replace(action, away=rung.away)
        person, note = self._person(action, rung, facts, why_not)
        steps.append(WalkStep(rung.name, not note, condition, values, rule, note or remark))
        if note:
            return None
        if rung.doing:
            effects += tuple(effect for doing in rung.doing for effect in doing.effects(facts))
        return Walk(action, rung.name, rule, person, tuple(steps), effects)

    def _person(self, action: Action, rung: Rung, facts: Facts, why_not: WhyNot) -> tuple[str, str]:
        """The person an action names, and why the rung is passed over ("" when it is not)."""
        kind = action.kind
        if kind == "person":
            return action.value, why_not(action.value) or ""
        if kind != "field" and kind != "keep":
            return "", ""
        person = (rung.person or self.getters[action.value])(facts)
        if type(person) is not str or is_blank(person):
            return "", f"{action.value} is blank"
        return person, why_not(person) or ""


def held_out(name: str) -> str:
    """The reason of a holdout that gives none."""
    return f"held out: {name}"


def in_share(name: str, record_id: Any, share: float) -> bool:
    """Whether a record belongs to the part that a holdout takes: the same every time, for the same rung and record id."""
    told = blake2b(f"{name}\x1f{record_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(told, "big") < share * 2**64


def _shown(steps: list[WalkStep], tried: int) -> tuple[WalkStep, ...]:
    """The last steps, below a line that counts the other rungs up to there."""
    shown = steps[-MAX_STEPS:]
    others = tried - len(shown)
    if others <= 0:
        return tuple(shown)
    note = "not shown: their conditions do not hold" + (", or they were passed over" if len(steps) > MAX_STEPS else "")
    return (WalkStep(f"{others:,} other rung{'s' if others > 1 else ''}", False, note=note), *shown)


def all_rungs(rungs: tuple[Rung, ...]) -> Iterator[Rung]:
    """Every rung, those of nested ladders after the one they are in."""
    for rung in rungs:
        yield rung
        if rung.ladder is not None:
            yield from all_rungs(rung.ladder)
