"""The steps along a clock, and what it comes to at its end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from rules.ladders.durations import seconds_of
from rules.pools.people import People, number
from rules.sla.model import MANAGER, OWNER, ClockEnd, ClockStep, Do
from rules.source import Report, nearest
from rules.values import fold
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_text, known_keys

DOES: tuple[Do, ...] = get_args(Do)
STEP_KEYS = ("at", *DOES, "text")
MOVES: tuple[Do, ...] = ("reassign", "escalate")
END_KEYS = ("notify", "text")
ENDS = ("stay", "hold", "queue NAME", "notify")
WHO = (OWNER, "rep", MANAGER)
MAX_STEPS = 50
MAX_PRIORITY = 1_000_000
_PART = re.compile(r"(\d{1,4}(?:\.\d+)?)\s*%")
_QUEUE = "queue "
_POOL = "pool "
_LONGEST = 365 * 86_400


class StepReader:
    """Reads the steps of clocks; mistakes are reported and left out. ``pools`` are by their folded names."""

    def __init__(self, people: People, pools: Mapping[str, str], queues: tuple[str, ...], report: Report) -> None:
        self._people, self._pools, self._report = people, pools, report
        self._queues = {fold(name): name for name in queues}

    def read(self, node: Node | None, limit: int, what: str) -> tuple[ClockStep, ...]:
        """The steps, in the order of their time. One that does several things counts as several."""
        if node is not None and not isinstance(node, Items):
            self._report.error(node.place, f"the steps of {what}: a list is expected here, one '- at: …' a step")
            return ()
        items = node.items if node is not None else []
        found: list[ClockStep] = []
        moved: set[float] = set()  # after how many seconds
        for item in items:
            block = as_block(item, self._report, f"a step of {what}")
            steps = self._step(block, what) if block is not None else []
            moves = {_seconds(one, limit) for one in steps if one.do in MOVES}
            if moves & moved:
                message = (
                    f"two steps of {what} give the record to somebody else at the same time: only the last is done"
                )
                self._report.warn(item.place, message, "leave one of them out, or let it come later")
            moved |= moves
            found += steps
        if len(found) > MAX_STEPS and node is not None:
            self._report.error(node.place, f"{what} has more than {MAX_STEPS} steps")
        return tuple(sorted(found, key=lambda step: _seconds(step, limit)))

    def _step(self, block: Block, what: str) -> list[ClockStep]:
        known_keys(block, STEP_KEYS, self._report, f"a step of {what}")
        at = self._at(block, what)
        text = as_text(block.get("text"), self._report, f"the text of a step of {what}")
        words = " ".join(text.text.split()) if text is not None else ""
        doing = [key for key, _ in block if key.text in DOES]
        if not doing:
            self._report.error(block.place, f"this step of {what} does nothing", f"one of: {', '.join(DOES)}")
        moving = [key for key in doing if key.text in MOVES]
        if len(moving) > 1:
            self._report.error(moving[1].place, f"this step of {what} says both 'reassign' and 'escalate'")
        if at is None:
            return []
        found: list[ClockStep] = []
        for key in doing:
            found += self._does(key, block.entries[key.text][1], at, words)
        return found

    def _at(self, block: Block, what: str) -> tuple[float | None, float] | None:
        """After so many seconds, or that part of the limit."""
        node = block.get("at")
        text = as_text(node, self._report, f"'at' of a step of {what}")
        if node is None:
            self._report.error(block.place, f"this step of {what} does not say when", "add 'at: 50 %' or 'at: 2 hours'")
        if text is None:
            return None
        match = _PART.fullmatch(text.text.strip())
        if match is not None and 0 < float(match[1]) <= 1_000:
            return None, float(match[1]) / 100
        seconds = seconds_of(text.text)
        if 1 <= seconds <= _LONGEST:
            return float(seconds), 1.0
        message = f"'{text.text}' is no moment along a clock"
        self._report.error(text.place, message, "write 'at: 50 %' (up to 1000 %), or 'at: 2 hours'")
        return None

    def _does(self, key: Scalar, node: Node, at: tuple[float | None, float], words: str) -> list[ClockStep]:
        do: Do = key.text  # type: ignore[assignment]
        if do in ("remind", "notify"):
            return [ClockStep(do, *at, who=who, text=words) for who in self._people_of(node, do)]
        text = as_text(node, self._report, f"'{do}' of a step")
        if text is None:
            return []
        if do == "reassign":
            return self._reassign(text, at, words)
        if do == "escalate":
            queue = self._queue(text, "to escalate to")
            return [ClockStep(do, *at, queue=queue, text=words)] if queue else []
        raised = number(text.text)
        if raised is None or abs(raised) > MAX_PRIORITY:
            self._report.error(text.place, f"'priority' is the number that is added to it, not '{text.text}'")
            return []
        return [ClockStep(do, *at, raise_by=raised, text=words)]

    def _reassign(self, text: Scalar, at: tuple[float | None, float], words: str) -> list[ClockStep]:
        """``yes``: down the ladder once more; or ``pool DACH``."""
        said = " ".join(text.text.split())
        if fold(said) in ("yes", "true", "ladder"):
            return [ClockStep("reassign", *at, text=words)]
        pool = self._pools.get(fold(said[len(_POOL) :])) if said.lower().startswith(_POOL) else None
        if pool is None:
            hint = nearest(said, [f"{_POOL}{name}" for name in self._pools.values()])
            message = f"'{said}' does not say to whom"
            self._report.error(
                text.place, message, hint or "write 'reassign: yes' (down the ladder once more) or 'pool NAME'"
            )
            return []
        return [ClockStep("reassign", *at, pool=pool, text=words)]

    def _queue(self, text: Scalar, purpose: str) -> str:
        said = " ".join(text.text.split())
        wanted = said[len(_QUEUE) :] if said.lower().startswith(_QUEUE) else said
        queue = self._queues.get(fold(wanted))
        if queue is None:
            hint = nearest(wanted, self._queues.values()) or "name it under 'queues:' of engagement.yaml"
            self._report.error(text.place, f"there is no queue '{wanted}' {purpose}", hint)
        return queue or ""

    def _people_of(self, node: Node, do: str) -> list[str]:
        found = []
        for item in node.items if isinstance(node, Items) else [node]:
            text = as_text(item, self._report, f"whom '{do}' tells")
            if text is None:
                continue
            word = fold(text.text)
            person = self._people.find(text.text)
            if word in WHO:
                found.append(MANAGER if word == MANAGER else OWNER)
            elif person is not None:
                found.append(person.key)
            else:
                message, hint = self._people.unknown(text.text)
                self._report.error(text.place, message, hint or f"write a name, an e-mail, {' or '.join(WHO)}")
        return found

    def end(self, node: Node | None, what: str) -> ClockEnd:
        """``stay``, ``hold``, ``queue NAME``, or ``{notify: NAME, text: …}``: what happens when it was moved often enough."""
        if isinstance(node, Block):
            known_keys(node, END_KEYS, self._report, f"'then' of {what}")
            told = node.get("notify")
            text = as_text(node.get("text"), self._report, f"the text of 'then' of {what}")
            who = self._people_of(told, "notify") if told is not None else []
            if told is None or len(who) > 1:
                self._report.error(
                    node.place, f"'then' of {what} does not say whom to notify", "write {notify: manager}"
                )
            return ClockEnd("notify", who=who[0], text=text.text if text is not None else "") if who else ClockEnd()
        text = as_text(node, self._report, f"'then' of {what}")
        if text is None or fold(text.text) == "stay":
            return ClockEnd()
        said = " ".join(text.text.split())
        if fold(said) == "hold":
            return ClockEnd("hold")
        if said.lower().startswith(_QUEUE):
            queue = self._queue(text, "for what was moved often enough")
            return ClockEnd("queue", queue=queue) if queue else ClockEnd()
        if said.lower().startswith("notify "):
            rest = Scalar(said[7:], text.place, text.plain, text.start, text.end)
            who = self._people_of(rest, "notify")
            return ClockEnd("notify", who=who[0]) if who else ClockEnd()
        hint = nearest(said, ENDS) or f"one of: {', '.join(ENDS)}"
        self._report.error(text.place, f"'{said}' is no end of a clock", hint)
        return ClockEnd()


def _seconds(step: ClockStep, limit: int) -> float:
    """The business time after which it is due."""
    return step.part * limit if step.at is None else step.at
