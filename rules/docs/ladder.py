"""The ladders and their tables, as parts of a playbook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from rules.analysis.outline import tables
from rules.docs.page import Anchors, Bullets, Code, Grid, Link, Paragraph, Section, Step, Steps, Strong, Tone, Words
from rules.docs.sentences import Sentences
from rules.ladders.durations import length_of
from rules.ladders.effects import OWNER, Doing
from rules.ladders.engagement import OTHERWISE, Engagement, Rung, held_out
from rules.model import Action
from rules.nouns import an, counted, system_name
from rules.policy import Policy
from rules.tables.table import Column, Table, TableRow

MAX_ROWS = 50  # of a table that are all shown; of a longer one the first ones stand for the others
FIRST_ROWS = 15
_HITS = {
    "first": "Rows are read from the top; the first that fits decides.",
    "unique": "At most one row may fit; where two do, the record waits for a person.",
    "priority": "Of the rows that fit, the most important decides; rows stand here as in the file.",
}


class LadderPages:
    """The ladders of one policy."""

    def __init__(self, policy: Policy, anchors: Anchors) -> None:
        self._policy = policy
        self._anchors = anchors

    def sentences(self, routes: str) -> Sentences:
        return Sentences(routes, self._policy.entities, self._policy.people, self._anchors)

    def entries(self) -> Iterator[Section]:
        """For each kind of record: what makes it go down the ladder."""
        for routes, engagement in self._policy.ladders.items():
            say = self.sentences(routes).say
            items = tuple((*say(one.tree), ".") for one in engagement.entry)
            lead = f"{an(routes).capitalize()} is given to somebody when one of these is so; anything else only has its fields put right:"
            yield Section(
                f"When {an(routes)} is routed",
                self._anchors.of("entry", routes),
                (Paragraph((lead,)), Bullets(tuple(_begun(one) for one in items))),
            )

    def ladders(self) -> Iterator[Section]:
        """For each kind of record its rungs."""
        for routes, engagement in self._policy.ladders.items():
            lead = (
                "These rules are tried from the top. The first one that holds decides; the ones below it are not asked. A rule "
                "whose person cannot receive the record now is passed over."
            )
            yield Section(
                f"Who gets {an(routes)}",
                self._anchors.of("ladder", routes),
                (Paragraph((lead,)), Steps(tuple(self._steps(engagement, engagement.rungs)))),
            )

    def _steps(self, engagement: Engagement, rungs: tuple[Rung, ...]) -> Iterator[Step]:
        sentences = self.sentences(engagement.routes)
        for rung in rungs:
            conditions: list[Words] = [sentences.say(rung.when.tree)] if rung.when is not None else []
            if rung.table is not None:
                conditions.append(("a row of ", Link(rung.table.name, self.table_anchor(rung.table)), " fits it"))
            when: Words = ("In every other case",) if rung.name.split(" › ")[-1] == OTHERWISE else ()
            for number, words in enumerate(conditions):
                when += (", and " if number else "When ", *words)
            tone: Tone = ""
            if rung.action is not None:
                tone = "stop" if rung.action.kind in ("hold", "reject", "holdout") else ""
                tone = "keep" if rung.action.kind in ("keep", "field", "person") else tone
            yield Step(
                title=rung.name.split(" › ")[-1],
                anchor=self._anchors.of("rung", f"{engagement.routes} {rung.name}"),
                when=when,
                does=self._does(rung, engagement),
                more=tuple(self._besides(doing, sentences, engagement.routes) for doing in rung.doing),
                written=rung.when.text if rung.when is not None else "",
                tone=tone,
                inside=tuple(self._steps(engagement, rung.ladder)) if rung.ladder is not None else (),
            )

    def _does(self, rung: Rung, engagement: Engagement) -> Words:
        if rung.ladder is not None:
            return ("The first of these that holds decides",)
        away: Words = (
            ("; while they are away: ", *self.outcome(rung.away, engagement.routes)) if rung.away is not None else ()
        )
        if rung.table is not None:
            rows = counted(len(rung.table.rows), "row")
            return ("Goes to whom that row names (", rows, ")", *away)
        assert rung.action is not None
        if rung.share is not None:
            share = f"{rung.share * 100:g} %"
            told = "" if rung.action.value == held_out(rung.name) else f": {rung.action.value}"
            return (Strong(f"{share} are left as they are"), f", as a control group{told}")
        found = self.outcome(rung.action, engagement.routes)
        before = "Goes to somebody of the " if rung.action.kind == "pool" else "Goes to "
        return _begun(found) if rung.action.kind in ("hold", "reject", "holdout", "keep") else (before, *found, *away)

    def outcome(self, action: Action, routes: str) -> Words:
        """What an action does, with a link to whom it names: what follows "goes to"."""
        kind, value = action.kind, action.value
        if kind == "pool":
            return ("pool ", Link(value, self._anchors.of("pool", value)))
        if kind == "person":
            person = self._policy.people.get(value)
            return (Strong(person.name if person is not None else value),)
        if kind == "queue":
            return ("the queue ", Link(value, self._anchors.of("section", "Queues")))
        if kind in ("field", "keep"):
            found = self.sentences(routes).field(value)
            return ("stays with ", Strong(found)) if kind == "keep" else (Strong(found),)
        word = {"hold": "waits", "reject": "is given to nobody", "holdout": "is left as it is"}[kind]
        return (Strong(word), f": {value}")

    def _besides(self, doing: Doing, sentences: Sentences, routes: str) -> Words:
        def whom() -> str:
            if doing.read is not None:
                return sentences.field(doing.target)
            person = self._policy.people.get(doing.target)
            return person.name if person is not None else "whoever gets it" if doing.target == OWNER else doing.target

        if doing.kind == "set":
            if doing.source:
                value = f"what {sentences.field(doing.source)} says"
            else:
                value = "nothing" if doing.value is None else sentences.value(doing.value, "person")
            return (f"Besides, {sentences.field(doing.target)} becomes {value}.",)
        if doing.kind == "task":
            due = f", due in {length_of(doing.due)}" if doing.due else ""
            return (f"Besides, a task for {whom()}{due}: “{doing.value}”.",)
        if doing.kind == "notify":
            return (f"Besides, {whom()} is told" + (f": “{doing.value}”." if doing.value else "."),)
        if doing.kind == "merge":
            return (f"Besides, the {routes} and the same person's other one become one: the {doing.target} stays.",)
        if doing.kind == "campaign":
            which = f"that {sentences.field(doing.target)} names" if doing.read is not None else doing.target
            status = f", as {doing.value}" if doing.value else ""
            return (f"Besides, the {routes} is added to the campaign {which}{status}.",)
        word = "becomes a contact of" if doing.kind == "convert" else "is attached to"
        deal = ", and an opportunity is made" if doing.value else ""
        return (f"Besides, the {routes} {word} the account that it was matched to{deal}.",)

    # Tables

    def table_anchor(self, table: Table) -> str:
        return self._anchors.of("table", table.name)

    def tables(self) -> Iterator[Section]:
        """Every table that some rung looks up."""
        for routes, table in self._tables():
            parts: list[Paragraph | Grid] = [Paragraph((_HITS[table.hit],)), self._grid(table, routes)]
            if len(table.rows) > MAX_ROWS:
                parts.insert(1, self._summary(table, routes))
            yield Section(table.name, self.table_anchor(table), tuple(parts))

    def _tables(self) -> Iterator[tuple[str, Table]]:
        for name, table in tables(self._policy).items():
            kinds = (r for r, one in self._policy.ladders.items() if table.name in _looked_up(one.rungs))
            yield next(kinds), table
            assert name == table.name

    def _summary(self, table: Table, routes: str) -> Paragraph:
        counts: dict[Action, int] = {}
        for row in table.rows:
            counts[row.action] = counts.get(row.action, 0) + 1
        most = sorted(counts.items(), key=lambda one: (-one[1], one[0].kind, one[0].value))
        words: list[Words] = [(*self.outcome(action, routes), f" {count:,}") for action, count in most[:FIRST_ROWS]]
        told: Words = (f"{counted(len(table.rows), 'row')}; the first {FIRST_ROWS} are shown. By outcome: ",)
        for number, one in enumerate(words):
            told += (", ", *one) if number else one
        others = sum(count for _, count in most[FIRST_ROWS:])
        return Paragraph((*told, f", others {others:,}." if others else "."))

    def _grid(self, table: Table, routes: str) -> Grid:
        rows = table.rows if len(table.rows) <= MAX_ROWS else table.rows[:FIRST_ROWS]
        named = any(row.name for row in rows)
        dated = any(row.valid != (None, None) for row in rows)
        remarked = any(row.note or row.sets for row in rows)
        head = [*(["Name"] if named else []), *(self._header(column, routes) for column in table.columns), "Goes to"]
        head += [*(["In force"] if dated else []), *(["Note"] if remarked else [])]
        found = []
        for row in rows:
            cells: list[Words] = [(Strong(row.name),)] if named else []
            cells += [(self._cell(table, row, number),) for number in range(len(table.columns))]
            cells.append(self.outcome(row.action, routes))
            cells += [(_days(row),)] if dated else []
            cells += [self._remark(row, routes)] if remarked else []
            found.append(tuple(cells))
        return Grid(tuple(head), tuple(found))

    def _header(self, column: Column, routes: str) -> str:
        names = [self.sentences(routes).field(path.text) for path in column.paths]
        first, *others = (name.removeprefix(f"the {routes}'s ").removeprefix("the ") for name in names)
        return first[:1].upper() + first[1:] + (f" (or {' or '.join(others)})" if others else "")

    def _cell(self, table: Table, row: TableRow, number: int) -> str:
        """What the file says there; ranges of numbers in words."""
        cell = row.cells[number]
        if cell.any:
            return "any"
        if table.columns[number].category == "number" and cell.excluded is None:
            return " or ".join(_range(low, high) for low, high in cell.intervals)
        place = table.locate(row.line, table.columns[number].index)
        line = place.source.line(place.line)
        return line[place.column - 1 : place.column - 1 + place.length].replace('""', '"')

    def _remark(self, row: TableRow, routes: str) -> Words:
        sentences = self.sentences(routes)
        sets = [f"{sentences.field(path)} becomes {sentences.value(value, 'person')}" for path, value in row.sets]
        return ("; ".join([*([row.note] if row.note else []), *sets]),)

    def queues(self) -> Grid:
        """The queues of the CRMs that rungs may assign to."""
        rows = [
            ((Strong(name),), (", ".join(system_name(one) for one in ids),), (Code(" ".join(ids.values())),))
            for name, ids in self._policy.queues.items()
        ]
        return Grid(("Queue", "System", "Its id"), tuple(rows))


def _looked_up(rungs: tuple[Rung, ...]) -> set[str]:
    found: set[str] = set()
    for rung in rungs:
        if rung.table is not None:
            found.add(rung.table.name)
        found |= _looked_up(rung.ladder or ())
    return found


def _begun(words: Words) -> Words:
    first, *others = words
    text = first if isinstance(first, str) else first.text
    text = text[:1].upper() + text[1:]
    return (Strong(text) if isinstance(first, Strong) else text, *others) if not isinstance(first, Link) else words


def _range(low: float | int | None, high: float | int | None) -> str:
    if low is None or high is None:
        return f"{low:,} or more" if low is not None else f"{high:,} or less"
    return f"{low:,} to {high:,}" if low != high else f"{low:,}"


def _days(row: TableRow) -> str:
    first, last = (date.fromordinal(int(one)).isoformat() if one is not None else "" for one in row.valid)
    if first and last:
        return f"{first} to {last}"
    return f"from {first}" if first else f"until {last}" if last else "always"
