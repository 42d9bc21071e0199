"""What a rung does beside choosing the owner: ``set``, ``task``, ``notify``, ``convert``, ``attach``, ``merge``, ``campaign``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rules.fields import OF_PEOPLE, Getter, Path, Scope
from rules.ladders.durations import seconds_of
from rules.language.grammar import MAX_TEXT
from rules.language.literals import CATEGORY, wrong_choice
from rules.model import Effect, EffectKind, Facts
from rules.nouns import an, many
from rules.pools.people import People
from rules.source import Report, nearest
from rules.values import is_blank, moment
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_text, known_keys

EFFECTS: tuple[EffectKind, ...] = ("set", "task", "notify", "convert", "attach", "merge", "campaign")
TASK_KEYS = ("subject", "for", "due")
NOTIFY_KEYS = ("message", "who")
CAMPAIGN_KEYS = ("id", "status")
OWNER = "owner"
MATCHED = "matched account"
WITH_OPPORTUNITY = f"{MATCHED} with an opportunity"  # in a conversion
# Where two records can be made one that keeps its id, and of which kinds; and those that can be members of campaigns.
MERGED = {"salesforce": ("Lead", "Contact")}
MEMBERS = MERGED
BORN = "created_at"
# Which of the two stays.
STAYS = ("older", "newer")
# Where matching says which record the same person has, by the kind that is routed.
_SAME = {"lead": "match.duplicate_of", "contact": "match.contact"}
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
_LONGEST = 365 * 86_400
_CAMPAIGN = re.compile("701[0-9A-Za-z]{12}([0-9A-Za-z]{3})?")  # an id of Salesforce


@dataclass(frozen=True, slots=True)
class Doing:
    """One effect before a record is known. ``value`` or ``who`` is a getter where a field's content is meant."""

    kind: EffectKind
    target: str
    value: Any = None
    due: int = 0
    # Of the value, for ``set``; of the person, for ``task`` and ``notify``; of the other record, for ``merge``; of the id, for ``campaign``.
    read: Getter | None = None
    source: str = ""  # for ``set``: the path of the field that ``read`` reads

    def effects(self, facts: Facts) -> Iterator[Effect]:
        """The effect on this record; none where nobody is to be told, or no account was matched."""
        found = self.read(facts) if self.read is not None else None
        if self.kind == "set":
            yield Effect("set", self.target, found if self.read is not None else self.value)
        elif self.kind in ("convert", "attach"):
            if facts.get("account") is not None:
                yield Effect(self.kind, self.target, self.value)
        elif self.kind == "merge":
            if type(found) is str:
                yield Effect(self.kind, self.target, found)
        elif self.kind == "campaign" and self.read is None:
            yield Effect(self.kind, self.target, self.value)
        elif self.read is None:
            yield Effect(self.kind, self.target, self.value, self.due)
        elif type(found) is str and not is_blank(found):
            yield Effect(self.kind, found, self.value, self.due)


class EffectReader:
    """Reads the effects of rungs; mistakes are reported and left out."""

    def __init__(self, scope: Scope, people: People, report: Report, *, finds_people: bool = True) -> None:
        """``finds_people``: whether matching looks for records of the same person."""
        self._scope = scope
        self._people = people
        self._report = report
        self._finds_people = finds_people

    def read(self, block: Block) -> tuple[Doing, ...]:
        """The effects of a rung, in the order written."""
        found: list[Doing] = []
        for key, node in block:
            if key.text == "set":
                found += self._set(node)
            elif key.text in ("task", "notify"):
                found += self._told(key.text, node)  # type: ignore[arg-type]
            elif key.text in ("convert", "attach"):
                found += self._joined(key.text, node)  # type: ignore[arg-type]
            elif key.text == "merge":
                found += self._merged(node)
                if "convert" in block.entries:
                    self._report.error(key.place, f"{an(self._scope.routes)} is merged or converted, not both")
            elif key.text == "campaign":
                found += self._added(node)
        return tuple(found)

    def _set(self, node: Node) -> Iterator[Doing]:
        block = as_block(node, self._report, "'set'")
        for key, value in block or ():
            path = self._scope.resolve(key.text)
            if path is None:
                self._report.error(key.place, *self._scope.unknown(key.text))
                continue
            if not path.text.startswith(f"{self._scope.routes}.") or path.text.count(".") > 1:
                what = f"{path.text} is not a field of the {self._scope.routes}: only its own fields are set"
                self._report.error(key.place, what)
            elif path.field.read_only:
                self._report.error(key.place, f"{path.text} is read only: it is never written")
            elif path.field.name == OWNER:
                self._report.error(key.place, f"{path.text} is set by 'assign'", "write: assign: …")
            elif (text := as_text(value, self._report, f"the value of {path.text}")) is not None:
                yield from self._value(path, text)

    def _value(self, path: Path, scalar: Scalar) -> Iterator[Doing]:
        text = scalar.text.strip()
        if scalar.plain and text.casefold() == "blank":
            yield Doing("set", path.text)
            return
        other = self._scope.resolve(text) if scalar.plain and "." in text else None
        if other is not None:
            if path.field.type != "text" and CATEGORY[other.field.type] != CATEGORY[path.field.type]:
                what = f"{path.text} is a {path.field.type}, {other.text} a {other.field.type}"
                self._report.error(scalar.place, f"{what}: it cannot be copied")
                return
            yield Doing("set", path.text, read=other.get, source=other.text)
            return
        value, problem, hint = constant(path, text, self._people)
        if problem:
            self._report.error(scalar.place, problem, hint)
        else:
            yield Doing("set", path.text, value)

    def _told(self, kind: EffectKind, node: Node) -> Iterator[Doing]:
        """``task: Call them``, or with ``subject``, ``for`` and ``due``; ``notify: Ana Diaz``, or with ``who`` and ``message``."""
        words, due = "", 0
        whom: Node | None = node if kind == "notify" else None
        if isinstance(node, Block):
            keys = TASK_KEYS if kind == "task" else NOTIFY_KEYS
            one, other = keys[:2]
            known_keys(node, keys, self._report, f"'{kind}'")
            text, whom = as_text(node.get(one), self._report, f"'{one}' of {kind}"), node.get(other)
            words = " ".join(text.text.split()) if text is not None else ""
            due = self._due(node.get("due")) if kind == "task" else 0
        elif kind == "task":
            text = as_text(node, self._report, "'task'")
            words = " ".join(text.text.split()) if text is not None else ""
        if kind == "task" and not words:
            if isinstance(node, Block) and node.get("subject") is None:
                self._report.error(node.place, "the task has no subject", "add 'subject: …'")
            return
        if kind == "notify" and whom is None:
            self._report.error(node.place, "'notify' does not say who", "add 'who: owner', or a name")
            return
        people = whom.items if isinstance(whom, Items) else [whom]
        for person in people:
            yield from self._for(kind, person, words[:MAX_TEXT], due)

    def _for(self, kind: EffectKind, node: Node | None, words: str, due: int) -> Iterator[Doing]:
        text = as_text(node, self._report, f"whom the {kind} is for") if node is not None else None
        if node is None or (text is not None and text.text.strip().casefold() == OWNER):
            yield Doing(kind, OWNER, words, due)
            return
        if text is None:
            return
        path = self._scope.resolve(text.text) if "." in text.text and "@" not in text.text else None
        person = self._people.find(text.text)
        if path is not None and path.field.type == "person":
            yield Doing(kind, path.text, words, due, path.get)
        elif path is not None:
            self._report.error(text.place, f"{path.text} is a {path.field.type}: only a person can be told")
        elif person is not None:
            yield Doing(kind, person.key, words, due)
        else:
            message, hint = self._people.unknown(text.text)
            self._report.error(text.place, message, hint or "write a name, an e-mail, 'owner', or a field of a person")

    def _due(self, node: Node | None) -> int:
        text = as_text(node, self._report, "'due' of task")
        if text is None:
            return 0
        seconds = seconds_of(text.text)
        if not 1 <= seconds <= _LONGEST:
            what = f"'{text.text}' is no time between 1 second and a year"
            self._report.error(text.place, what, "write a whole number and its unit, such as '30 minutes' or '4 hours'")
        return seconds

    def _joined(self, kind: EffectKind, node: Node) -> Iterator[Doing]:
        text = as_text(node, self._report, f"'{kind}'")
        if text is None:
            return
        word = " ".join(text.text.casefold().split())
        options = (MATCHED, WITH_OPPORTUNITY) if kind == "convert" else (MATCHED,)
        if self._scope.routes not in OF_PEOPLE:
            self._report.error(
                text.place, f"{an(self._scope.routes)} cannot be joined to an account", "only leads and contacts can"
            )
        elif word not in (*options, "account"):
            what = f"{an(self._scope.routes)} cannot be joined to '{text.text}'"
            self._report.error(text.place, what, nearest(word, options) or f"write: {kind}: {MATCHED}")
        else:
            yield Doing(kind, "account", True if word == WITH_OPPORTUNITY else None)

    def _merged(self, node: Node) -> Iterator[Doing]:
        """``merge: older lead``: the record and the one of the same person become one."""
        text = as_text(node, self._report, "'merge'")
        if text is None:
            return
        routes = self._scope.routes
        words = text.text.casefold().split()
        born = self._scope.resolve(f"{routes}.{BORN}")
        where = self._scope.remote(routes)
        if routes not in _SAME or not any(where.get(system) in kinds for system, kinds in MERGED.items()):
            self._report.error(text.place, f"{an(routes)} cannot be merged", "only Salesforce's leads and contacts can")
        elif words not in ([word, *rest] for word in STAYS for rest in ([], [routes])):
            what = f"'{text.text}' does not say which {routes} stays"
            self._report.error(text.place, what, f"write: merge: {STAYS[0]} {routes}, or: merge: {STAYS[1]} {routes}")
        elif born is None or not born.field.remote.keys() & MERGED.keys():
            what = (
                f"which of two {many(routes)} is the older is told by {routes}.{BORN}, which fields.yaml does not have"
            )
            self._report.error(
                text.place, what, f"add: {BORN}: {{type: datetime, salesforce: CreatedDate, read_only: true}}"
            )
        elif not self._finds_people:
            self._report.error(text.place, "nobody looks for duplicates", "take 'duplicates: no' out of matching.yaml")
        elif (same := self._scope.resolve(_SAME[routes])) is not None:
            yield Doing("merge", words[0], read=same.get)

    def _added(self, node: Node) -> Iterator[Doing]:
        """``campaign: 701…``, the id or a field that holds one; or with ``id`` and ``status``."""
        status = None
        if isinstance(node, Block):
            known_keys(node, CAMPAIGN_KEYS, self._report, "'campaign'")
            if (told := node.get("status")) is not None and (
                said := as_text(told, self._report, "'status' of campaign")
            ):
                status = said.text.strip() or None
            if node.get("id") is None:
                self._report.error(node.place, "'campaign' does not say which", "add 'id: 701…'")
                return
        text = as_text(node.get("id") if isinstance(node, Block) else node, self._report, "'campaign'")
        if text is None:
            return
        routes, word = self._scope.routes, text.text.strip()
        path = self._scope.resolve(word) if "." in word else None
        where = self._scope.remote(routes)
        if not any(where.get(system) in kinds for system, kinds in MEMBERS.items()):
            what = f"{an(routes)} cannot be added to a campaign"
            self._report.error(text.place, what, "only Salesforce's leads and contacts can")
        elif "." in word and path is None:
            self._report.error(text.place, *self._scope.unknown(word))
        elif path is not None and path.field.type not in ("text", "reference"):
            what = f"{path.text} is a {path.field.type}: it holds no id of a campaign"
            self._report.error(text.place, what, "write the campaign's id, or a field of text or reference")
        elif path is not None:
            yield Doing("campaign", path.text, status, read=path.get)
        elif _CAMPAIGN.fullmatch(word):
            yield Doing("campaign", word, status)
        else:
            hint = "write its id, 701…, which the address of the campaign's page in Salesforce shows"
            self._report.error(text.place, f"'{text.text}' is no id of a campaign", hint)


def constant(path: Path, text: str, people: People) -> tuple[Any, str, str]:
    """A value for a field: the value, what is wrong with it, and a hint."""
    kind = path.field.type
    if kind in ("number", "money"):
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if number - number != 0:  # NaN and the infinities
            return None, f"{path.text} is a number, not '{text}'", "write it as 200"
        return (int(number) if number.is_integer() and "." not in text and abs(number) < 2**53 else number), "", ""
    if kind == "boolean":
        flag = _YES_NO.get(text.casefold())
        return flag, "" if flag is not None else f"{path.text} is yes or no, not '{text}'", ""
    if kind in ("date", "datetime"):
        found = moment(text)
        return text, "" if found is not None else f"{path.text} is a date, not '{text}'", "write it as 2026-11-22"
    if kind == "person":
        person = people.find(text)
        return (person.key, "", "") if person is not None else (None, *people.unknown(text))
    if kind in ("list", "reference"):
        return None, f"{path.text} is a {kind}: it can be copied from a field, or set to blank, only", ""
    return (text, *(wrong_choice(text, path) or ("", "")))
