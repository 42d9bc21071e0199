"""``engagement.yaml``: which events route a record, and the ladders of rungs that are tried from the top."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from rules.actions import Targets
from rules.fields import Path, Scope
from rules.ladders.durations import seconds_of
from rules.ladders.effects import EFFECTS, EffectReader
from rules.ladders.engagement import NAMES_A_PERSON, OTHERWISE, RECORD_ID, Engagement, Rung, all_rungs, held_out
from rules.language.checking import Checker
from rules.language.closures import compile_expression
from rules.language.condition import Condition, read_condition, reads_of
from rules.language.mistakes import ConditionError
from rules.language.normal import ALWAYS, normal_form
from rules.language.ruleset import RuleSet
from rules.language.syntax import Expression, together
from rules.model import Action
from rules.nouns import many
from rules.source import Report
from rules.tables.table import Table
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_items, as_text, known_keys

HOLD_RETRY = 300  # seconds; soon enough for a rep who comes back, seldom enough not to load the CRM
MAX_RUNGS = 10_000  # with those inside of others; more belong into a table
MAX_NESTING = 5  # ladders within ladders
INDEXED = 100  # rungs from which on a ladder is searched by an index, not from the top
DOES = ("assign", "keep", "hold", "reject", "holdout", "lookup", "ladder")
AWAY = "when_away"
RUNG_KEYS = ("rung", "when", *DOES, AWAY, *EFFECTS)
OTHERWISE_KEYS = ("otherwise", *EFFECTS)
HOLD_KEYS = ("retry",)
_NUMBER = re.compile(r"[\d.,]+")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")
_WITHIN = " › "  # between the names of a rung and of one inside it


@dataclass(frozen=True, slots=True)
class _Pending:
    """A rung of a ladder that may turn out to be long: the conditions around it, for the index."""

    rung: Rung
    around: tuple[Expression, ...]


class LadderReader:
    """Reads the ladder of one kind of record. ``lookup`` gives a table by name, or reports why there is none."""

    def __init__(
        self,
        scope: Scope,
        checker: Checker,
        targets: Targets,
        effects: EffectReader,
        lookup: Callable[[Scalar], Table | None],
        report: Report,
    ) -> None:
        self._scope = scope
        self._checker = checker
        self._targets = targets
        self._effects = effects
        self._lookup = lookup
        self._report = report
        self._count = 0

    def read(self, block: Block, hold_retry: int) -> Engagement:
        """The compiled ladder of ``block``, which has ``entry`` and ``ladder``; mistakes are reported."""
        entry = self._entry(block)
        rungs = tuple(self._ladder(block.get("ladder"), block, "", 1))
        found = self._named_fields(rungs)
        record_id = self._scope.resolve(RECORD_ID)
        assert record_id is not None
        engagement = Engagement(
            routes=self._scope.routes,
            hold_retry=hold_retry,
            entry=entry,
            rungs=rungs,
            getters={name: path.get for name, path in found.items() if path is not None},
            record_id=record_id.get,
        )
        pending = list(_flat(rungs, ()))
        if len(pending) >= INDEXED and not self._report.errors:
            index = self._index(pending)
            if index is not None:
                return replace(engagement, flat=tuple(one.rung for one in pending), index=index)
        return replace(engagement, rungs=tuple(_running(rung) for rung in rungs))

    def _named_fields(self, rungs: tuple[Rung, ...]) -> Mapping[str, Path | None]:
        actions = {rung.action for rung in all_rungs(rungs) if rung.action is not None}
        actions |= {row.action for rung in all_rungs(rungs) if rung.table is not None for row in rung.table.rows}
        return {one.value: self._scope.resolve(one.value) for one in actions if one.kind in ("field", "keep")}

    def _index(self, pending: list[_Pending]) -> RuleSet | None:
        rules = []
        for one in pending:
            when = one.rung.when
            if not one.around:
                rules.append(when.alternatives if when is not None else (ALWAYS,))
                continue
            try:
                rules.append(normal_form(together(*one.around, *([when.tree] if when is not None else []))))
            except ConditionError as error:
                where = one.rung.written.place if one.rung.written is not None else None
                if where is not None:
                    self._report.error(where, f"with the rungs around it, {error.message}", error.hint)
                return None
        return RuleSet(rules, self._getter)

    def _getter(self, name: str) -> Callable[..., object]:
        path = self._scope.resolve(name)
        assert path is not None
        return path.get

    def _entry(self, block: Block) -> tuple[Condition, ...]:
        node = block.get("entry")
        if node is None:
            what = "engagement.yaml" if self._scope.routes == "lead" else f"the ladder of {self._scope.routes}"
            message = f"{what} does not say which events route a record"
            self._report.error(block.place, message, "add 'entry:' with a line '- event.kind = \"created\"'")
            return ()
        items = [node] if isinstance(node, Scalar) else as_items(node, self._report, "entry")
        texts = [_condition_text(item, self._report, "an entry criterion") for item in items]
        found = [self.condition(text) for text in texts if text is not None]
        return tuple(replace(one, run=compile_expression(one.tree)) for one in found if one is not None)

    def condition(self, scalar: Scalar) -> Condition | None:
        """A condition, checked; None when it has a mistake, which is reported at its words."""
        return read_condition(scalar, self._checker, self._report)

    def _ladder(self, node: Node | None, block: Block, around: str, depth: int) -> Iterator[Rung]:
        """The rungs of one ladder; ``around`` is the name of the rung that it is in."""
        if node is None:
            what = "engagement.yaml" if self._scope.routes == "lead" else self._scope.routes
            self._report.error(block.place, f"{what} has no ladder", "add 'ladder:' with its rungs")
        items = as_items(node, self._report, "ladder")
        if depth > MAX_NESTING:
            message = f"ladders are nested more than {MAX_NESTING} deep"
            self._report.error(items[0].place if items else block.place, message, "join conditions with 'and'")
            return
        room = MAX_RUNGS - self._count
        if len(items) > room:
            message = f"the ladder has more than {MAX_RUNGS:,} rungs: use a table"
            self._report.error(items[max(0, room)].place, message)
        self._count += len(items)
        found = (as_block(item, self._report, "a rung") for item in items[: max(0, room)])
        blocks = [one for one in found if one is not None]
        names: dict[str, int] = {}
        for index, one in enumerate(blocks):
            last = index == len(blocks) - 1
            rung = (
                self._otherwise(one, last, around)
                if "otherwise" in one.entries
                else self._rung(one, names, around, depth)
            )
            if rung is not None:
                yield rung
        if blocks and "otherwise" not in blocks[-1].entries and node is not None and not around:
            message = f"the ladder does not end with 'otherwise': {many(self._scope.routes)} that no rung catches will be on hold"
            self._report.warn(blocks[-1].place, message)

    def _otherwise(self, block: Block, last: bool, around: str) -> Rung | None:
        known_keys(block, OTHERWISE_KEYS, self._report, "otherwise")
        text = as_text(block.get("otherwise"), self._report, "otherwise")
        if not last:
            self._report.error(block.place, "'otherwise' catches everything: it must be the last rung")
        doing = self._effects.read(block)
        if text is None:
            return None
        action = self._targets.read(text.text, text.place, self._report)
        name = f"{around}{_WITHIN}{OTHERWISE}" if around else OTHERWISE
        return self._acting(Rung(name, None, action, doing=doing, written=text)) if action else None

    def _rung(self, block: Block, names: dict[str, int], around: str, depth: int) -> Rung | None:
        known_keys(block, RUNG_KEYS, self._report, "a rung")
        name = as_text(block.get("rung"), self._report, "the name of the rung")
        if name is None and block.get("rung") is None:
            self._report.error(block.place, "this rung has no name", "start it with '- rung: …'")
        if name is not None and (line := names.setdefault(name.text, name.place.line)) != name.place.line:
            self._report.error(name.place, f"there is already a rung '{name.text}', on line {line}")
        text = _condition_text(block.get("when"), self._report, "'when'")
        when = self.condition(text) if text is not None else None
        doing = self._effects.read(block)
        does = [key for key, _ in block if key.text in DOES]
        if len(does) != 1:
            where = does[1].place if does else block.place
            found = f"says both '{does[0].text}' and '{does[1].text}'" if does else "does not say what happens"
            self._report.error(where, f"this rung {found}", f"one of: {', '.join(DOES)}")
            return None
        kind, node = does[0].text, block.entries[does[0].text][1]
        full = f"{around}{_WITHIN}{name.text}" if around and name is not None else name.text if name is not None else ""
        rung = self._does(kind, node, block, Rung(full, when, None, doing=doing, written=name), depth)
        if block.get("when") is None and kind not in ("lookup", "ladder") and (rung is None or rung.share is None):
            message = "this rung has no 'when': it would catch everything"
            self._report.error(block.place, message, "use 'otherwise' at the end")
        rung = self._while_away(block, rung)
        if doing and kind in ("ladder", "holdout"):
            message = "a rung with rungs inside does nothing itself: move this into them"
            if kind == "holdout":
                message = "what is held out is left as it is: nothing else is done with it"
            self._report.error(next(key.place for key, _ in block if key.text in EFFECTS), message)
        return None if name is None or rung is None or (text is not None and when is None) else rung

    def _while_away(self, block: Block, rung: Rung | None) -> Rung | None:
        """``when_away: pool DACH`` or ``hold``: what is done while the person that the rung names is away."""
        text = as_text(block.get(AWAY), self._report, f"'{AWAY}'")
        if text is None:
            return rung
        if rung is not None and rung.table is None and (rung.action is None or rung.action.kind not in NAMES_A_PERSON):
            message = f"'{AWAY}' is for a rung that names a person, or a table that does"
            self._report.error(text.place, message, "a pool has 'overflow' for that")
            return rung
        action = self._targets.read(text.text, text.place, self._report)
        if action is None or rung is None:
            return rung
        if action.kind not in ("pool", "hold"):
            self._report.error(
                text.place, f"'{AWAY}' is a pool or a hold, not '{text.text}'", "write 'hold' or 'pool NAME'"
            )
            return rung
        return structs.replace(rung, away=action)

    def _does(self, kind: str, node: Node, block: Block, rung: Rung, depth: int) -> Rung | None:
        if kind in ("hold", "reject"):
            reason = node.text if isinstance(node, Scalar) else ""
            if not reason.strip():
                self._report.error(node.place, f"'{kind}' needs a reason", "it is what reps and admins read")
            return structs.replace(rung, action=self._targets.outcome(kind, " ".join(reason.split())))
        if kind == "holdout":
            return self._holdout(node, rung)
        if kind == "ladder":
            inside = tuple(self._ladder(node, block, rung.name or "?", depth + 1))
            if isinstance(node, Items) and not node.items:
                self._report.error(node.place, "this ladder has no rungs")
            return structs.replace(rung, ladder=inside) if inside else None
        text = as_text(node, self._report, f"'{kind}'")
        if text is None:
            return None
        if kind == "lookup":
            table = self._lookup(text)
            return structs.replace(rung, table=table, reads=reads_of(table.paths)) if table is not None else None
        if kind == "keep":
            action = self._targets.keep(text.text.strip(), text.place, self._report)
        else:
            action = self._targets.read(text.text, text.place, self._report)
        return self._acting(structs.replace(rung, action=action)) if action is not None else None

    def _holdout(self, node: Node, rung: Rung) -> Rung | None:
        """``holdout: 5 %`` takes that part of the records, ``holdout: Do not route`` all for which the rung holds."""
        text = as_text(node, self._report, "'holdout'")
        if text is None:
            return None
        words = " ".join(text.text.split())
        match = _SHARE.match(words)
        if match is None and _NUMBER.fullmatch(words):
            message = f"'{words}' is neither a share nor a reason"
            self._report.error(text.place, message, f"write: holdout: {words} %")
            return None
        if match is None:
            return structs.replace(rung, action=Action("holdout", words))
        share = float(match.group(1)) / 100
        if not 0 < share < 1:
            message = f"'{match.group()}' holds out {'nothing' if not share else 'everything'}"
            self._report.error(text.place, message, "write a share between 0 % and 100 %, as in: holdout: 5 %")
            return None
        reason = words[match.end() :].strip(" ,:-–—") or held_out(rung.name)
        return structs.replace(rung, action=Action("holdout", reason), share=share)

    def _acting(self, rung: Rung) -> Rung:
        action = rung.action
        path = self._scope.resolve(action.value) if action and action.kind in ("field", "keep") else None
        return structs.replace(rung, person=path.get) if path is not None else rung


def _flat(rungs: tuple[Rung, ...], around: tuple[Expression, ...]) -> Iterator[_Pending]:
    """The rungs that decide, in the order they are tried, with the conditions of the rungs they are in."""
    for rung in rungs:
        if rung.ladder is None:
            yield _Pending(rung, around)
        else:
            yield from _flat(rung.ladder, (*around, rung.when.tree) if rung.when is not None else around)


def _running(rung: Rung) -> Rung:
    when = replace(rung.when, run=compile_expression(rung.when.tree)) if rung.when is not None else None
    ladder = tuple(_running(one) for one in rung.ladder) if rung.ladder is not None else None
    return structs.replace(rung, when=when, ladder=ladder)


def _condition_text(node: Node | None, report: Report, what: str) -> Scalar | None:
    """The text of a condition. To YAML, ``[Is enterprise]`` alone is a list: here it is the name of a condition."""
    if isinstance(node, Items) and len(node.items) == 1 and isinstance(node.items[0], Scalar):
        item = node.items[0]
        text = item.place.source.text[node.start : node.end]
        if text.startswith("[") and text.endswith("]") and item.plain:
            return Scalar(text, node.place, True, node.start, node.end)
    return as_text(node, report, what)


def read_retry(block: Block, report: Report) -> int:
    """After how many seconds a record on hold is tried again."""
    hold = as_block(block.get("hold"), report, "hold")
    if hold is None:
        return HOLD_RETRY
    known_keys(hold, HOLD_KEYS, report, "hold")
    text = as_text(hold.get("retry"), report, "'retry' of hold")
    if text is None:
        return HOLD_RETRY
    seconds = seconds_of(text.text)
    if not 1 <= seconds <= 30 * 86_400:
        message = f"'{text.text}' is no time between 1 second and 30 days"
        report.error(text.place, message, "write a whole number and its unit, such as '30 minutes' or '4 hours'")
        return HOLD_RETRY
    return seconds
