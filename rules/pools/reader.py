"""``pools.yaml``: who shares what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rules.ladders.durations import seconds_of
from rules.pools.asking import Asker
from rules.pools.checks import check_pools
from rules.pools.members import MemberReader, read_caps
from rules.pools.model import METHODS, Kind, Method, Points, Pool, Score, Skill, Sticky
from rules.pools.people import People, is_zone, number, zones
from rules.pools.work import is_setting
from rules.source import Report, nearest
from rules.values import fold
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_flag, as_text, known_keys

POOL_KEYS = (
    "method", "members", "weights", "overflow", "caps", "member_caps", "ramp", "kinds", "skills", "sticky", "score", "balance",
    "value", "hours", "time_zone", "catch_up", "alarm", "priority",
)  # fmt: skip
SKILL_KEYS = ("skill", "of", "preferred", "relax_after")
POINT_KEYS = ("points", "when")
STICKY: tuple[Sticky, ...] = ("account", "contact")
MAX_LEADS = 1_000  # that may be made up after an absence, or be out of balance
MAX_KINDS = 100
MAX_NAME = 200  # characters of a pool's name, or a kind's, as the ledger has them
_LONGEST = 365 * 86_400
_QUEUE, _POOL = "queue ", "pool "
# Settings that only one method has a use for.
_ONLY: dict[str, Method] = {"score": "best fit", "sticky": "sticky", "balance": "load balanced"}
_NEEDS: dict[Method, tuple[str, str]] = {
    "best fit": ("score", "score: lead.employees / 100 + person.quota"),
    "skill": ("skills", "skills: {languages: lead.language}"),
}


def pool_names(root: Node | None) -> list[str]:
    """The names of all pools, also of those with mistakes."""
    return [key.text for key, _ in root if not is_setting(key)] if isinstance(root, Block) else []


def read_pools(
    root: Node | None, people: People, report: Report, asker: Asker | None = None, queues: Collection[str] = ()
) -> dict[str, Pool]:
    """The pools by name; mistakes are reported. Without ``asker`` (no ladder could be read) conditions are left out."""
    pools: dict[str, Pool] = {}
    block = [one for one in as_block(root, report, "pools.yaml") or () if not is_setting(one[0])]
    folded: dict[str, str] = {}
    for key, _ in block:
        _check_name(key, "pool", "Inbound", report)
        if (other := folded.setdefault(fold(key.text), key.text)) != key.text:
            report.error(key.place, f"the pool '{key.text}' differs from '{other}' only by case")
    written: dict[str, tuple[Scalar, Block]] = {}
    for key, node in block:
        body = as_block(node, report, f"the pool '{key.text}'")
        if body is not None:
            written[key.text] = key, body
            pools[key.text] = _PoolReader(key, body, people, folded, asker, queues, report).read()
    check_pools(pools, written, people, report)
    return pools


def _check_name(key: Scalar, what: str, example: str, report: Report) -> None:
    if not key.text.strip():
        report.error(key.place, f"this {what} has no name", f"write one before the colon, such as {example}")
    elif len(key.text) > MAX_NAME:
        report.error(key.place, f"the name of this {what} has more than {MAX_NAME} characters", "shorten it")


@dataclass(frozen=True, slots=True)
class _PoolReader:
    key: Scalar
    body: Block
    people: People
    names: Mapping[str, str]
    asker: Asker | None
    queues: Collection[str]
    report: Report

    @property
    def what(self) -> str:
        return f"the pool '{self.key.text}'"

    def read(self) -> Pool:
        """The pool."""
        known_keys(self.body, POOL_KEYS, self.report, self.what)
        method = self._method()
        self._fitting(method)
        kinds = self._kinds()
        names = [key.text for key, _ in self._block("kinds") or ()]
        pool, queue = self._overflow(method)
        if self.body.get("members") is None:
            self.report.error(self.key.place, f"{self.what} has no members", "add 'members:' with one '- Name' a line")
        return Pool(
            name=self.key.text,
            method=method,
            members=MemberReader(self.people, self.names, self.report).read(self.body, self.what, method, names),
            overflow=pool,
            overflow_queue=queue,
            caps=read_caps(self.body.get("caps"), f"the caps of {self.what}", names, self.report),
            member_caps=read_caps(self.body.get("member_caps"), f"the member caps of {self.what}", names, self.report),
            kinds=kinds,
            skills=self._skills(),
            sticky=self._sticky(method),
            score=self._score(),
            balance=self._field("balance", "what open leads are weighed by"),
            value=self._field("value", "the value of a lead"),
            hours=as_flag(self.body.get("hours"), self.report, f"'hours' of {self.what}", True),
            time_zone=self._zone(),
            catch_up=self._number("catch_up", 0, 1.0),
            alarm=self._number("alarm", 1, 0.0),
            priority=self.asker.number(text) if (text := self._text("priority")) is not None and self.asker else None,
        )

    def _text(self, name: str) -> Scalar | None:
        return as_text(self.body.get(name), self.report, f"'{name}' of {self.what}")

    def _block(self, name: str) -> Block | None:
        node = self.body.get(name)
        return node if isinstance(node, Block) else None

    def _zone(self) -> str:
        """The time zone that the caps of the whole pool go by."""
        text = self._text("time_zone")
        if text is None:
            return ""
        if not is_zone(text.text):
            message = f"'{text.text}' is no time zone: write it as Europe/Berlin"
            self.report.error(text.place, message, nearest(text.text, zones()))
            return ""
        return text.text

    def _method(self) -> Method:
        written = as_text(self.body.get("method"), self.report, f"the method of {self.what}")
        if written is None:
            return "round robin"
        found = next((name for name in METHODS if name == fold(written.text)), None)
        if found is None:
            hint = nearest(written.text, METHODS) or f"one of: {', '.join(METHODS)}"
            self.report.error(written.place, f"'{written.text}' is no method of sharing", hint)
        return found or "round robin"

    def _fitting(self, method: Method) -> None:
        """What the method needs is there, and nothing that only another has a use for."""
        for name, only in _ONLY.items():
            if self.body.get(name) is not None and method != only:
                where = self.body.entries[name][0].place
                self.report.error(
                    where, f"'{name}' is for the method {only}, and this is {method}", f"write 'method: {only}'"
                )
        needed, example = _NEEDS.get(method, ("", ""))
        if needed and self.body.get(needed) is None:
            self.report.error(self.key.place, f"{self.what} does not say its {needed}", f"add '{example}'")

    def _overflow(self, method: Method) -> tuple[str, str]:
        """The pool, and the queue of the CRM, that take what nobody here can."""
        text = self._text("overflow")
        if text is None:
            return "", ""
        if method == "pull":
            message = "what is in a pull pool waits until somebody claims it: it does not overflow"
            self.report.error(text.place, message)
            return "", ""
        words = " ".join(text.text.split())
        if words.lower().startswith(_QUEUE):
            queues = {fold(name): name for name in self.queues}
            queue = queues.get(fold(words[len(_QUEUE) :]))
            if queue is None and self.asker is not None:
                hint = nearest(words[len(_QUEUE) :], self.queues) or "name it under 'queues:' of engagement.yaml"
                self.report.error(text.place, f"there is no queue '{words[len(_QUEUE) :]}' to overflow to", hint)
            return "", queue or ""
        pool = self.names.get(fold(words))
        if pool is None and words.lower().startswith(_POOL):
            pool = self.names.get(fold(words[len(_POOL) :]))
        if pool is None:
            hint = nearest(words, self.names.values())
            self.report.error(text.place, f"there is no pool '{text.text}' to overflow to", hint)
        return pool or "", ""

    def _kinds(self) -> tuple[Kind, ...]:
        block = as_block(self.body.get("kinds"), self.report, f"the kinds of lead of {self.what}")
        found = []
        folded: dict[str, str] = {}
        for key, node in block or ():
            _check_name(key, "kind of lead", "Large", self.report)
            if (other := folded.setdefault(fold(key.text), key.text)) != key.text:
                self.report.error(key.place, f"the kind of lead '{key.text}' differs from '{other}' only by case")
            text = as_text(node, self.report, f"the kind '{key.text}'")
            when = self.asker.condition(text) if text is not None and self.asker is not None else None
            if when is not None:
                found.append(Kind(key.text, when))
        if len(found) > MAX_KINDS:
            self.report.error(self.key.place, f"{self.what} has more than {MAX_KINDS} kinds of lead")
        return tuple(found)

    def _skills(self) -> tuple[Skill, ...]:
        """``{languages: lead.language}``, or a list of ``skill`` with ``of``, ``preferred`` and ``relax_after``."""
        node = self.body.get("skills")
        found: list[Skill | None] = []
        if isinstance(node, Items):
            for item in node.items:
                block = as_block(item, self.report, f"a skill of {self.what}")
                if block is not None:
                    found.append(self._skill_block(block))
        else:
            for key, value in as_block(node, self.report, f"the skills of {self.what}") or ():
                found.append(self._skill(key, as_text(value, self.report, f"the field of '{key.text}'")))
        return tuple(skill for skill in found if skill is not None)

    def _skill_block(self, block: Block) -> Skill | None:
        known_keys(block, SKILL_KEYS, self.report, f"a skill of {self.what}")
        column = as_text(block.get("skill"), self.report, "'skill'")
        field = as_text(block.get("of"), self.report, "'of' of a skill")
        if block.get("skill") is None or block.get("of") is None:
            hint = "write {skill: languages, of: lead.language}"
            self.report.error(block.place, "a skill needs a column of people.csv and a field of the record", hint)
        required = not as_flag(block.get("preferred"), self.report, "'preferred' of a skill", False)
        text = as_text(block.get("relax_after"), self.report, "'relax_after' of a skill")
        relax = seconds_of(text.text) if text is not None else 0
        if text is not None and not 1 <= relax <= _LONGEST:
            message = f"'{text.text}' is no time between 1 second and a year"
            self.report.error(
                text.place, message, "write a whole number and its unit, such as '30 minutes' or '4 hours'"
            )
        elif text is not None and not required:
            self.report.error(text.place, "a preferred skill keeps nobody out: it is never relaxed")
        return self._skill(column, field, required, relax)

    def _skill(self, column: Scalar | None, text: Scalar | None, required: bool = True, relax: int = 0) -> Skill | None:
        if column is None or text is None or self.asker is None:
            return None
        name = "_".join(fold(column.text).split())
        known = (*self.people.columns, "role", "region")
        if name not in known and self.people.complete:
            hint = nearest(name, known) or "add it to people.csv, with the values of each person: de, fr"
            self.report.error(column.place, f"people.csv has no column '{column.text}'", hint)
        field = self.asker.field(text, ("text", "choice", "list", "boolean"), "what a skill is compared with")
        return Skill(name, field, required, relax) if field else None

    def _sticky(self, method: Method) -> Sticky:
        text = self._text("sticky")
        word = fold(text.text) if text is not None else "account"
        found = next((one for one in STICKY if one == word), None)
        if text is not None and found is None:
            message = f"a sticky pool keeps an account or a contact together, not '{text.text}'"
            self.report.error(text.place, message, nearest(word, STICKY) or "write 'sticky: account'")
        return found or "account" if method == "sticky" else ""

    def _score(self) -> Score | None:
        """A calculation, or a list of ``points`` with ``when``."""
        node = self.body.get("score")
        if node is None or self.asker is None:
            return None
        parts: list[Points] = []
        if isinstance(node, Items):
            for item in node.items:
                block = as_block(item, self.report, f"a part of the score of {self.what}")
                if block is not None:
                    parts += self._points(block, self.asker)
        elif (text := self._text("score")) is not None and (
            sum_ := self.asker.number(text, of_people=True)
        ) is not None:
            parts = [Points(sum_)]
        return Score(tuple(parts)) if parts else None

    def _points(self, block: Block, asker: Asker) -> list[Points]:
        known_keys(block, POINT_KEYS, self.report, "a part of a score")
        points = as_text(block.get("points"), self.report, "'points'")
        when = as_text(block.get("when"), self.report, "'when'")
        if block.get("points") is None:
            self.report.error(block.place, "this part of the score has no points", "write {points: 10, when: …}")
        number_ = asker.number(points, of_people=True) if points is not None else None
        asked = asker.condition(when, of_people=True) if when is not None else None
        if number_ is None or (when is not None and asked is None):
            return []
        return [Points(number_, asked)]

    def _field(self, name: str, what: str) -> str:
        text = self._text(name)
        return self.asker.field(text, ("number", "money"), what) if text is not None and self.asker else ""

    def _number(self, name: str, least: float, default: float) -> float:
        text = self._text(name)
        if text is None:
            return default
        found = number(text.text)
        if found is None or not least <= found <= MAX_LEADS:
            message = f"'{name}' of {self.what} is a number from {least:g} to {MAX_LEADS:,}, not '{text.text}'"
            self.report.error(text.place, message)
            return default
        return found
