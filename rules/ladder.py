"""``engagement.yaml``: which events route a record, and the ladder of rungs that is tried from the top."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rules.actions import Targets
from rules.checking import Checker
from rules.closures import Run, compile_expression
from rules.fields import Getter, Path, Scope
from rules.grammar import parse
from rules.mistakes import ConditionError
from rules.model import Action, Facts, Person, Walk, WalkStep, WhyNot
from rules.source import Report
from rules.syntax import Span, paths
from rules.table import Table
from rules.values import is_blank
from rules.yamlfile import Block, Node, Scalar, as_block, as_items, as_text, known_keys

HOLD_RETRY = 300  # seconds; soon enough for a rep who comes back, seldom enough not to load the CRM
MAX_RUNGS = 500
ENTRY = "Entry criteria"
OTHERWISE = "Otherwise"
_KEYS = ("route", "entry", "hold", "ladder")
_DOES = ("assign", "keep", "hold", "reject", "lookup")
_DURATION = re.compile(r"(\d{1,6})\s*(second|minute|hour|day)s?", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # entry criteria do not ask how long ago something was

Reads = tuple[tuple[str, Getter], ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: its text as written, the fields it reads, and the test on their values."""

    text: str
    reads: Reads
    run: Run


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung. ``table`` or ``action`` decides once ``when`` holds; ``when`` may be None beside either."""

    name: str
    when: Condition | None
    action: Action | None
    table: Table | None
    person: Getter | None  # reads the person that the action's field names
    reads: Reads  # the fields of the table


@dataclass(frozen=True, slots=True)
class Engagement:
    """The compiled file."""

    routes: str
    hold_retry: int
    entry: tuple[Condition, ...]
    rungs: tuple[Rung, ...]
    getters: Mapping[str, Getter]  # of every field that an action of a table may name

    def enters(self, facts: Facts, why_not: WhyNot) -> WalkStep:
        """Whether this event routes this record: the first entry criterion that holds, or all of them when none does."""
        seen: dict[str, Any] = {}
        for condition in self.entry:
            values = {path: get(facts) for path, get in condition.reads}
            if condition.run(values, _ANY_TIME, why_not):
                return WalkStep(ENTRY, True, condition.text, values)
            seen.update(values)
        return WalkStep(ENTRY, False, " or ".join(condition.text for condition in self.entry), seen)

    def walk(self, facts: Facts, why_not: WhyNot, now: datetime) -> Walk:
        """Tries the rungs from the top. Pure: ``facts``, ``why_not`` and ``now`` are all it knows. Raises nothing."""
        steps: list[WalkStep] = []
        for rung in self.rungs:
            condition, values, rule = "", {}, ""
            if rung.when is not None:
                condition = rung.when.text
                values = {path: get(facts) for path, get in rung.when.reads}
                if not rung.when.run(values, now, why_not):
                    steps.append(WalkStep(rung.name, False, condition, values))
                    continue
            action = rung.action
            if rung.table is not None:
                for path, get in rung.reads:
                    values[path] = get(facts)
                row = rung.table.find(values)
                if row is None:
                    steps.append(
                        WalkStep(rung.name, False, condition, values, "", f"no row of {rung.table.name} matches")
                    )
                    continue
                action, rule = row
            assert action is not None
            person, note = self._person(action, rung, facts, why_not)
            steps.append(WalkStep(rung.name, not note, condition, values, rule, note))
            if not note:
                return Walk(action, rung.name, rule, person, tuple(steps))
        return Walk(Action("hold", "no rung of the ladder caught it"), "", "", "", tuple(steps))

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


class LadderReader:
    """Reads ``engagement.yaml`` of one policy. ``lookup`` gives a table by file name, or reports why there is none."""

    def __init__(
        self,
        scope: Scope,
        checker: Checker,
        targets: Targets,
        lookup: Callable[[Scalar], Table | None],
        report: Report,
    ) -> None:
        self._scope = scope
        self._checker = checker
        self._targets = targets
        self._lookup = lookup
        self._report = report

    def read(self, block: Block, routes: str) -> Engagement:
        """The compiled file; mistakes are reported."""
        known_keys(block, _KEYS, self._report, "engagement.yaml")
        rungs = self._ladder(block)
        actions = [action for rung in rungs for action in ([rung.action] if rung.action else [])]
        actions += [action for rung in rungs if rung.table for action, _ in rung.table.rows]
        found = {
            action.value: self._scope.resolve(action.value) for action in actions if action.kind in ("field", "keep")
        }
        return Engagement(
            routes=routes,
            hold_retry=self._retry(block),
            entry=self._entry(block),
            rungs=tuple(rungs),
            getters={name: path.get for name, path in found.items() if path is not None},
        )

    def _retry(self, block: Block) -> int:
        hold = as_block(block.get("hold"), self._report, "hold")
        if hold is None:
            return HOLD_RETRY
        known_keys(hold, ("retry",), self._report, "hold")
        text = as_text(hold.get("retry"), self._report, "'retry' of hold")
        if text is None:
            return HOLD_RETRY
        match = _DURATION.fullmatch(text.text.strip())
        seconds = int(match.group(1)) * _SECONDS[match.group(2).lower()] if match else 0
        if not 1 <= seconds <= 30 * 86_400:
            message = f"'{text.text}' is no time between 1 second and 30 days"
            self._report.error(text.place, message, "write it as '5 minutes' or '2 hours'")
            return HOLD_RETRY
        return seconds

    def _entry(self, block: Block) -> tuple[Condition, ...]:
        node = block.get("entry")
        if node is None:
            message = "engagement.yaml does not say which events route a record"
            self._report.error(block.place, message, "add 'entry:' with a line '- event.kind = \"created\"'")
            return ()
        items = [node] if isinstance(node, Scalar) else as_items(node, self._report, "entry")
        texts = [as_text(item, self._report, "an entry criterion") for item in items]
        found = [self.condition(text) for text in texts if text is not None]
        return tuple(condition for condition in found if condition is not None)

    def condition(self, scalar: Scalar) -> Condition | None:
        """A condition, compiled; None when it has a mistake, which is reported at its words."""

        def complain(span: Span, message: str, hint: str) -> None:
            self._report.error(scalar.at(*span), message, hint)

        try:
            expression = self._checker.check(parse(scalar.text), complain)
        except ConditionError as error:
            complain(error.span, error.message, error.hint)
            return None
        if expression is None:
            return None
        found = [path for name in paths(expression) if (path := self._scope.resolve(name)) is not None]
        return Condition(" ".join(scalar.text.split()), _reads(found), compile_expression(expression))

    def _ladder(self, block: Block) -> list[Rung]:
        node = block.get("ladder")
        if node is None:
            self._report.error(block.place, "engagement.yaml has no ladder", "add 'ladder:' with its rungs")
        items = as_items(node, self._report, "ladder")
        if len(items) > MAX_RUNGS:
            self._report.error(items[MAX_RUNGS].place, f"the ladder has more than {MAX_RUNGS} rungs: use a table")
        blocks = [as_block(item, self._report, "a rung") for item in items[:MAX_RUNGS]]
        present = [one for one in blocks if one is not None]
        rungs: list[Rung] = []
        names: dict[str, int] = {}
        for index, one in enumerate(present):
            rung = (
                self._otherwise(one, index == len(present) - 1)
                if "otherwise" in one.entries
                else self._rung(one, names)
            )
            if rung is not None:
                rungs.append(rung)
        if present and "otherwise" not in present[-1].entries and node is not None:
            message = "the ladder does not end with 'otherwise': leads that no rung catches will be on hold"
            self._report.warn(present[-1].place, message)
        return rungs

    def _otherwise(self, block: Block, last: bool) -> Rung | None:
        known_keys(block, ("otherwise",), self._report, "otherwise")
        text = as_text(block.get("otherwise"), self._report, "otherwise")
        if not last:
            self._report.error(block.place, "'otherwise' catches everything: it must be the last rung")
        if text is None:
            return None
        action = self._targets.read(text.text, text.place, self._report)
        return self._made(OTHERWISE, None, action, None) if action else None

    def _rung(self, block: Block, names: dict[str, int]) -> Rung | None:
        known_keys(block, ("rung", "when", *_DOES), self._report, "a rung")
        name = as_text(block.get("rung"), self._report, "the name of the rung")
        if name is None and block.get("rung") is None:
            self._report.error(block.place, "this rung has no name", "start it with '- rung: …'")
        if name is not None and (line := names.setdefault(name.text, name.place.line)) != name.place.line:
            self._report.error(name.place, f"there is already a rung '{name.text}', on line {line}")
        text = as_text(block.get("when"), self._report, "'when'")
        when = self.condition(text) if text is not None else None
        does = [key for key, _ in block if key.text in _DOES]
        if len(does) != 1:
            where = does[1].place if does else block.place
            found = f"says both '{does[0].text}' and '{does[1].text}'" if does else "does not say what happens"
            self._report.error(where, f"this rung {found}", f"one of: {', '.join(_DOES)}")
            return None
        if text is None and does[0].text != "lookup" and block.get("when") is None:
            self._report.error(
                block.place, "this rung has no 'when': it would catch everything", "use 'otherwise' at the end"
            )
        action, table = self._does(does[0].text, block.entries[does[0].text][1])
        if name is None or (action is None and table is None) or (text is not None and when is None):
            return None
        return self._made(name.text, when, action, table)

    def _does(self, kind: str, node: Node) -> tuple[Action | None, Table | None]:
        if kind in ("hold", "reject"):
            reason = node.text if isinstance(node, Scalar) else ""
            if not reason.strip():
                self._report.error(node.place, f"'{kind}' needs a reason", "it is what reps and admins read")
            return self._targets.outcome(kind, " ".join(reason.split())), None
        text = as_text(node, self._report, f"'{kind}'")
        if text is None:
            return None, None
        if kind == "lookup":
            return None, self._lookup(text)
        if kind == "keep":
            return self._targets.keep(text.text.strip(), text.place, self._report), None
        return self._targets.read(text.text, text.place, self._report), None

    def _made(self, name: str, when: Condition | None, action: Action | None, table: Table | None) -> Rung:
        path = self._scope.resolve(action.value) if action and action.kind in ("field", "keep") else None
        return Rung(name, when, action, table, path.get if path else None, _reads(table.paths) if table else ())


def _reads(found: tuple[Path, ...] | list[Path]) -> Reads:
    return tuple((path.text, path.get) for path in found)


def read_route(block: Block, scope: Scope, report: Report) -> str:
    """Which records this policy routes. Today leads."""
    text = as_text(block.get("route"), report, "'route'")
    if text is not None and text.text != scope.routes:
        report.error(text.place, f"'{text.text}' cannot be routed", f"write 'route: {scope.routes}'")
    return scope.routes


def on_roster(people: Mapping[str, Person]) -> WhyNot:
    """Why a person cannot receive leads, as far as ``people.csv`` alone tells."""

    def why_not(key: str) -> str | None:
        person = people.get(key)
        if person is None:
            return f"{key} is not in people.csv"
        return None if person.active else f"{person.name} is inactive"

    return why_not
