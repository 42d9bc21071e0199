"""``sla.yaml``: the clocks, and how the CRM shows what reps answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from rules.fields import Scope
from rules.ladders.durations import seconds_of
from rules.language.checking import Checker
from rules.language.closures import compile_expression
from rules.language.condition import Condition, read_condition
from rules.language.named import Definitions
from rules.model import Entity
from rules.pools.model import Calendar
from rules.pools.people import People
from rules.sla.model import MAX_REASSIGNMENTS, Answers, Clock, Trigger, of_event
from rules.sla.steps import StepReader
from rules.source import Report, nearest
from rules.values import fold
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_flag, as_text, known_keys

SLA = "sla.yaml"
SLA_KEYS = ("clocks", "answers")
CLOCK_KEYS = (
    "of", "description", "start", "stop", "within", "time", "pauses_on_hold", "steps", "reassignments", "then",
)  # fmt: skip
ANSWER_KEYS = ("accepted", "rejected", "reason")
STARTS = ("assigned", "created")
STOPS = ("first touch", "accepted", "rejected")
TIMES = ("rep", "always", "team", "calendar")
TOUCH = "last_touch"
REASSIGNMENTS = 2  # where nothing is said
MAX_CLOCKS = 100
_LONGEST = 365 * 86_400
_TIME = re.compile(r"(team|calendar)\s+(.+)", re.IGNORECASE)


class _Kind:
    """What is needed to read conditions of one kind of record; the checker is made when something is first asked."""

    def __init__(self, scope: Scope, people: People, definitions: Definitions, report: Report) -> None:
        self.scope = scope
        self._made_of = people, definitions, report

    @cached_property
    def checker(self) -> Checker:
        return Checker(self.scope, *self._made_of)


class SlaReader:
    """Reads ``sla.yaml``; mistakes are reported. ``answers`` are by the kind of record, once it was read."""

    def __init__(
        self,
        entities: Mapping[str, Entity],
        routes: Iterable[str],
        people: People,
        definitions: Definitions,
        report: Report,
        pools: Iterable[str],
        queues: Iterable[str],
        calendars: Mapping[str, Calendar],
    ) -> None:
        self._report, self._entities = report, entities
        self._kinds = {kind: _Kind(Scope(entities, kind), people, definitions, report) for kind in routes}
        self._pools = {fold(name): name for name in pools}
        self._calendars = {fold(name): name for name in calendars}
        self._steps = StepReader(people, self._pools, tuple(queues), report)
        self.answers: dict[str, Answers] = {}
        self.reads: set[str] = set()  # the names of all fields that something asks for

    @property
    def checkers(self) -> list[Checker]:
        """Those that know which named conditions are used."""
        return [kind.checker for kind in self._kinds.values() if "checker" in kind.__dict__]

    def read(self, root: Node | None) -> dict[str, Clock]:
        """The clocks by name, in the order written."""
        block = as_block(root, self._report, SLA)
        if block is None:
            return {}
        known_keys(block, SLA_KEYS, self._report, SLA)
        self._answers(block.get("answers"))
        found: dict[str, Clock] = {}
        names: dict[str, str] = {}
        for key, node in as_block(block.get("clocks"), self._report, "clocks") or ():
            if (other := names.setdefault(fold(key.text), key.text)) != key.text:
                self._report.error(key.place, f"the clock '{key.text}' differs from '{other}' only by case")
            body = as_block(node, self._report, f"the clock '{key.text}'")
            clock = self._clock(key, body) if body is not None else None
            if clock is not None:
                found[key.text] = clock
        if len(found) > MAX_CLOCKS:
            self._report.error(block.place, f"there are more than {MAX_CLOCKS} clocks")
        return found

    def _clock(self, key: Scalar, body: Block) -> Clock | None:
        what = f"the clock '{key.text}'"
        known_keys(body, CLOCK_KEYS, self._report, what)
        kind = self._kind(body.get("of"), what)
        limit = self._limit(key, body.get("within"), what)
        start, stop = self._start(key, body, kind, what), self._stop(key, body, kind, what)
        steps = self._steps.read(body.get("steps"), limit, what)
        then = self._steps.end(body.get("then"), what)
        most = self._most(body.get("reassignments"), what)
        reassigns = any(step.do == "reassign" for step in steps)
        if not reassigns and body.get("reassignments") is None and body.get("then") is None:
            most = MAX_REASSIGNMENTS  # it says nothing of moves: that is for the other clocks
        if body.get("reassignments") is not None and not reassigns:
            where = body.entries["reassignments"][0].place
            self._report.warn(where, f"no step of {what} reassigns: this counts for rejected records only")
        told = as_text(body.get("description"), self._report, f"the description of {what}")
        self._not_the_same(start, stop, body, what)
        if start is None or not stop or not limit:
            return None
        return Clock(
            name=key.text,
            entity=kind,
            start=start,
            stop=stop,
            limit=float(limit),
            time=self._time(body.get("time"), what),
            pauses_on_hold=as_flag(body.get("pauses_on_hold"), self._report, f"'pauses_on_hold' of {what}", True),
            steps=steps,
            reassignments=most,
            then=then,
            description=told.text if told is not None else "",
        )

    def _not_the_same(self, start: Trigger | None, stop: tuple[Trigger, ...], body: Block, what: str) -> None:
        """Warns where one thing both starts and stops the clock."""
        when = start.when if start is not None else None
        if when is None or not any(one.when is not None and one.when.alternatives == when.alternatives for one in stop):
            return
        comes = "each time it begins anew" if of_event(when) else "it never runs"
        message = f"what starts {what} is also what stops it: {comes}"
        self._report.warn(
            body.entries["stop"][0].place, message, "say what has to be done until then: stop: first touch"
        )

    def _kind(self, node: Node | None, what: str) -> str:
        first = next(iter(self._kinds))
        text = as_text(node, self._report, f"'of' of {what}")
        if text is None or text.text in self._kinds:
            return text.text if text is not None else first
        hint = nearest(text.text, self._kinds) or f"one of: {', '.join(self._kinds)}"
        self._report.error(text.place, f"no ladder routes '{text.text}': {what} can be of none", hint)
        return first

    def _limit(self, key: Scalar, node: Node | None, what: str) -> int:
        text = as_text(node, self._report, f"'within' of {what}")
        if node is None:
            self._report.error(key.place, f"{what} does not say within what time", "add 'within: 4 hours'")
        if text is None:
            return 0
        seconds = seconds_of(text.text)
        if not 1 <= seconds <= _LONGEST:
            message = f"'{text.text}' is no time between 1 second and 365 days"
            self._report.error(
                text.place, message, "write a whole number and its unit, such as '30 minutes' or '4 hours'"
            )
            return 0
        return seconds

    def _start(self, key: Scalar, body: Block, kind: str, what: str) -> Trigger | None:
        node = body.get("start")
        text = as_text(node, self._report, f"'start' of {what}")
        if node is None:
            self._report.error(key.place, f"{what} does not say what starts it", "add 'start: assigned'")
        if text is None:
            return None
        word = fold(text.text)
        if word == "assigned":
            return Trigger("assigned")
        if word == "created":
            return self._trigger(_standing_for(text, 'event.kind = "created"'), kind)
        if _is_words(word):
            self._unknown(text, STARTS, kind)
            return None
        return self._trigger(text, kind)

    def _stop(self, key: Scalar, body: Block, kind: str, what: str) -> tuple[Trigger, ...]:
        node = body.get("stop")
        if node is None or (isinstance(node, Items) and not node.items):
            place = key.place if node is None else node.place
            self._report.error(
                place, f"{what} does not say what stops it: it would always run out", "write 'stop: first touch'"
            )
            return ()
        found = []
        for item in node.items if isinstance(node, Items) else [node]:
            text = as_text(item, self._report, f"'stop' of {what}")
            if text is not None and (trigger := self._stopping(text, kind)) is not None:
                found.append(trigger)
        return tuple(found)

    def _stopping(self, text: Scalar, kind: str) -> Trigger | None:
        word = " ".join(fold(text.text).split())
        if word == "accepted":
            return Trigger("accepted")
        if word == "rejected":
            return Trigger("rejected")
        if word == "first touch":
            if self._kinds[kind].scope.resolve(TOUCH) is None:
                message = f"the first touch shows in {kind}.{TOUCH}, which is not in fields.yaml"
                self._report.error(text.place, message, "add it, or write a condition: lead.status changed")
                return None
            self._touched_everywhere(text, kind)
            return self._trigger(_standing_for(text, f"{kind}.{TOUCH} changed"), kind)
        if _is_words(word):
            self._unknown(text, STOPS, kind)
            return None
        return self._trigger(text, kind)

    def _touched_everywhere(self, text: Scalar, kind: str) -> None:
        """Warns where some system whose records are given to reps does not show the first touch: there it never stops the clock."""
        fields = self._entities[kind].fields
        owned = fields["owner"].remote if "owner" in fields else {}
        for system in sorted(set(owned) - set(fields[TOUCH].remote)):
            message = (
                f"no first touch shows in {system}: {kind}.{TOUCH} is no field there, so a clock of its records runs on"
            )
            self._report.warn(text.place, message, f"add '{system}: …' to {TOUCH} in fields.yaml")

    def _unknown(self, text: Scalar, words: tuple[str, ...], kind: str) -> None:
        hint = nearest(text.text, words) or f"one of: {', '.join(words)}; or a condition: {kind}.status changed"
        self._report.error(text.place, f"'{text.text}' starts and stops no clock", hint)

    def _trigger(self, text: Scalar, kind: str) -> Trigger | None:
        condition = self._condition(text, kind)
        return Trigger(when=condition) if condition is not None else None

    def _condition(self, text: Scalar, kind: str) -> Condition | None:
        one = self._kinds[kind]
        found = read_condition(text, one.checker, self._report)
        if found is None:
            return None
        self.reads.update(path for path, _ in found.reads)
        return replace(found, run=compile_expression(found.tree))

    def _time(self, node: Node | None, what: str) -> str:
        """``rep``, ``always``, ``team DACH`` or ``calendar Office``."""
        text = as_text(node, self._report, f"'time' of {what}")
        if text is None or fold(text.text) in TIMES[:2]:
            return fold(text.text) if text is not None else TIMES[0]
        match = _TIME.fullmatch(" ".join(text.text.split()))
        if match is None:
            hint = nearest(text.text, TIMES) or "write: rep, always, team NAME (a pool) or calendar NAME"
            self._report.error(text.place, f"'{text.text}' does not say whose hours count for {what}", hint)
            return TIMES[0]
        word = match[1].lower()
        names = self._pools if word == "team" else self._calendars
        name = names.get(fold(match[2]))
        if name is None:
            other = "pool" if word == "team" else "calendar"
            self._report.error(text.place, f"there is no {other} '{match[2]}'", nearest(match[2], names.values()))
        return f"{word} {name or match[2]}"

    def _most(self, node: Node | None, what: str) -> int:
        text = as_text(node, self._report, f"'reassignments' of {what}")
        if text is None:
            return REASSIGNMENTS
        if not text.text.isascii() or not text.text.isdigit() or int(text.text[:6]) > MAX_REASSIGNMENTS:
            message = f"'reassignments' of {what} is a whole number from 0 to {MAX_REASSIGNMENTS}, not '{text.text}'"
            self._report.error(text.place, message)
            return REASSIGNMENTS
        return int(text.text)

    def _answers(self, node: Node | None) -> None:
        """``answers`` for the first kind of record that is routed, or below each kind."""
        block = as_block(node, self._report, "answers")
        if block is None:
            return
        first = next(iter(self._kinds))
        if any(key.text in ANSWER_KEYS for key, _ in block):
            self.answers[first] = self._answer(block, first)
            return
        for key, value in block:
            body = as_block(value, self._report, f"the answers of {key.text}")
            if key.text not in self._kinds:
                hint = nearest(key.text, (*ANSWER_KEYS, *self._kinds)) or f"one of: {', '.join(self._kinds)}"
                self._report.error(key.place, f"no ladder routes '{key.text}': nobody accepts or rejects one", hint)
            elif body is not None:
                self.answers[key.text] = self._answer(body, key.text)

    def _answer(self, block: Block, kind: str) -> Answers:
        known_keys(block, ANSWER_KEYS, self._report, "answers")
        found: dict[str, Condition | None] = {}
        for name in ANSWER_KEYS[:2]:
            text = as_text(block.get(name), self._report, f"'{name}' of answers")
            found[name] = self._condition(text, kind) if text is not None else None
        text = as_text(block.get("reason"), self._report, "'reason' of answers")
        path = self._kinds[kind].scope.resolve(text.text) if text is not None else None
        if text is not None and path is None:
            self._report.error(text.place, *self._kinds[kind].scope.unknown(text.text))
        if path is None:
            return Answers(found["accepted"], found["rejected"])
        self.reads.add(path.text)
        return Answers(found["accepted"], found["rejected"], path.get, path.text)


def _is_words(text: str) -> bool:
    """Whether it is words and no condition: each of these has a field, a comparison or a function in it."""
    words = text.split()
    return len(words) <= 2 and all(one.isalpha() for one in words) and words[0] != "not" and words[-1] != "changed"


def _standing_for(scalar: Scalar, text: str) -> Scalar:
    """A word of the file as the condition that it stands for; its mistakes are told at the word."""
    return Scalar(text, scalar.place, True, scalar.start, scalar.end)
