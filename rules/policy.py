"""A whole policy: the files of a folder, checked and compiled.

Pure: the files come as bytes, the time comes with each call. ``routing.runtime.policy_folder`` reads a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rules.actions import Targets
from rules.extras import read_corrections, read_matching
from rules.fields import Scope, read_fields
from rules.ladders.effects import EffectReader
from rules.ladders.engagement import Engagement, all_rungs
from rules.ladders.file import Queues, read_engagement, read_queues
from rules.ladders.reader import LadderReader
from rules.language.checking import Checker
from rules.language.condition import Question
from rules.language.named import CONDITIONS, Definitions, read_conditions
from rules.model import CorrectionRule, Entity, Facts, Matching, PolicyError, Problem, Walk, WalkStep, WhyNot
from rules.policy_tests.case import PolicyTest
from rules.policy_tests.reader import TESTS, CaseReader, Known
from rules.pools.asking import Asker
from rules.pools.calendars import CALENDARS, TIME_OFF, read_calendars, read_time_off
from rules.pools.model import Calendar, Person, Pool, TimeOff
from rules.pools.people import People, read_people
from rules.pools.reader import pool_names, read_pools
from rules.pools.roster import on_roster
from rules.pools.work import read_open_when
from rules.sla.model import Answers, Clock
from rules.sla.reader import SLA, SlaReader
from rules.source import Report, Source, decode, nearest
from rules.tables.csvfile import read_csv
from rules.tables.reader import TableReader
from rules.tables.sheet import Sheet
from rules.tables.shelf import Shelf
from rules.tables.table import Table
from rules.yamlfile import Node, Scalar, as_block, read_yaml

FIELDS, ENGAGEMENT, PEOPLE, POOLS = "fields.yaml", "engagement.yaml", "people.csv", "pools.yaml"
CORRECTIONS, MATCHING = "corrections.yaml", "matching.yaml"
REQUIRED = (FIELDS, ENGAGEMENT, PEOPLE, POOLS)
KNOWN = (*REQUIRED, CONDITIONS, CORRECTIONS, MATCHING, CALENDARS, TIME_OFF, SLA, TESTS)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Policy:
    """A compiled policy. It never changes: an edit makes a new one, with another ``digest``.

    ``digest`` is the SHA-256 over file names and bytes. ``people`` is by key (lower-case e-mail), ``hold_retry`` in
    seconds. ``ladders`` are by the entity they route, ``routes`` is the first of these. ``queues`` are the ids of CRM queues
    by name and system. ``event_reads`` are the fields of ``event`` that something asks for beside its kind, system and
    changed fields: ``before`` (``facts["event"]["before"]``: old values of what changed) and ``record_id``. ``answers`` are by the
    entity that reps accept and reject. ``open_when`` says which records are open work, None by their status.
    """

    digest: str
    entities: dict[str, Entity]
    people: dict[str, Person]
    pools: dict[str, Pool]
    open_when: Question | None
    calendars: dict[str, Calendar]
    time_off: tuple[TimeOff, ...]
    clocks: dict[str, Clock]
    answers: dict[str, Answers]
    corrections: tuple[CorrectionRule, ...]
    matching: Matching
    hold_retry: int
    routes: str
    ladders: dict[str, Engagement]
    queues: Queues
    event_reads: frozenset[str]
    conditions: Definitions
    tests: tuple[PolicyTest, ...]
    _roster: People

    @property
    def known(self) -> Known:
        """What a test, or a question about a record, may name."""
        rungs = [rung.name for one in self.ladders.values() for rung in all_rungs(one.rungs)]
        return Known(self.entities, self._roster, self.pools, rungs, tuple(self.ladders), self.queues)

    def person(self, text: str) -> Person | None:
        """The person of that name or e-mail, without case; None when there is none or several."""
        return self._roster.find(text)

    def enters(self, facts: Facts, why_not: WhyNot | None = None, entity: str = "") -> WalkStep:
        """Whether this event routes this record. Without ``why_not``, "is active" asks ``people.csv`` alone.

        ``entity`` is one of ``ladders``, by default the first.
        """
        return self.ladders[entity or self.routes].enters(facts, why_not or on_roster(self.people))

    def pieces(self) -> list[object]:
        """What most of its memory is in: rungs, rows of tables, alternatives of the index. Whoever holds them can free them piece by piece."""
        rungs = [rung for one in self.ladders.values() for rung in all_rungs(one.rungs)]
        rows = [row for rung in rungs if rung.table is not None for row in rung.table.rows]
        terms = [term for one in self.ladders.values() if one.index is not None for term in one.index.rules]
        return [*rungs, *rows, *terms]

    def walk(self, facts: Facts, why_not: WhyNot, now: datetime, entity: str = "") -> Walk:
        """Walks the ladder for the record of ``facts``; ``now`` is aware. Raises nothing, whatever the facts hold."""
        return self.ladders[entity or self.routes].walk(facts, why_not, now)


def check(files: Mapping[str, bytes]) -> tuple[Policy | None, list[Problem]]:
    """Compiles the files of a policy folder. All problems in one run; no policy when one of them is an error."""
    reader = _Reader(files)
    policy = reader.read()
    return (None if reader.report.errors else policy), reader.report.problems()


def compile_policy(files: Mapping[str, bytes]) -> Policy:
    """The policy of these files. Raises PolicyError with all problems; warnings do not raise."""
    policy, problems = check(files)
    if policy is None:
        raise PolicyError([problem for problem in problems if problem.severity == "error"])
    return policy


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) over the names and bytes of all files, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode("utf-8", "surrogateescape"), bytes(files[name])):
            total.update(len(part).to_bytes(8, "big"))
            total.update(part)
    return total.hexdigest()


class _Reader:
    """Reads one folder. Later files are read even where earlier ones have mistakes, so that all are told."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.report = Report()
        self.shelf = Shelf(files, (PEOPLE, TIME_OFF), self.report)

    def read(self) -> Policy | None:
        report = self.report
        for name in REQUIRED:
            if name not in self.files:
                hint = nearest(name, [other for other in self.files if other not in KNOWN])
                report.error(Source(name, "").place(), f"the policy has no file {name}", hint)
        entities = read_fields(self._yaml(FIELDS), report)
        calendars = read_calendars(self._yaml(CALENDARS), report)
        roster = self._people(entities, calendars)
        time_off = read_time_off(self._sheet(TIME_OFF), roster, report)
        pooled = self._yaml(POOLS)
        pools = pool_names(pooled) if pooled else None
        corrections = read_corrections(self._yaml(CORRECTIONS), entities, report) if entities else ()
        matching = read_matching(self._yaml(MATCHING), entities, self.files, report)
        ladder = as_block(self._yaml(ENGAGEMENT), report, ENGAGEMENT)
        if not entities:
            read_pools(pooled, roster, report)
            return None  # without fields nothing that follows can be judged
        definitions = read_conditions(self._yaml(CONDITIONS), report)
        if ladder is None:
            scope = Scope(entities)
            tables = TableReader(scope, roster, Targets(scope, roster, pools), report)
            for name in self.shelf.names():
                self.shelf.table(name, None, tables)
            read_pools(pooled, roster, report)
            return None
        queues = read_queues(ladder, {system for one in entities.values() for system in one.remote}, report)
        checkers: list[Checker] = []
        finds_people = matching.duplicates is not None

        def reader(scope: Scope) -> LadderReader:
            checkers.append(Checker(scope, roster, definitions, report))
            targets = Targets(scope, roster, pools, queues)
            tables = TableReader(scope, roster, targets, report)

            def lookup(name: Scalar) -> Table | None:
                return self.shelf.lookup(name.text, name.place, tables)

            return LadderReader(
                scope,
                checkers[-1],
                targets,
                EffectReader(scope, roster, report, finds_people=finds_people),
                lookup,
                report,
            )

        ladders = read_engagement(ladder, entities, reader, report)
        asker = Asker(entities, ladders or ("lead",), roster, definitions, report)
        shared = read_pools(pooled, roster, report, asker, queues)
        open_when = read_open_when(pooled, asker, report)
        timed = SlaReader(entities, ladders or ("lead",), roster, definitions, report, pools or (), queues, calendars)
        clocks = timed.read(self._yaml(SLA))
        self._unused(definitions, [*checkers, *asker.checkers, *timed.checkers], matching.weights)
        if not ladders:
            return None
        first = next(iter(ladders.values()))
        policy = Policy(
            digest=digest(self.files),
            entities=entities,
            people=roster.by_key,
            pools=shared,
            open_when=open_when,
            calendars=calendars,
            time_off=time_off,
            clocks=clocks,
            answers=timed.answers,
            corrections=corrections,
            matching=matching,
            hold_retry=first.hold_retry,
            routes=first.routes,
            ladders=ladders,
            queues=queues,
            event_reads=frozenset(_event_reads(tuple(ladders.values()), asker.reads | timed.reads)),
            conditions=definitions,
            tests=(),
            _roster=roster,
        )
        # Where a rung or a pool has a mistake it is missing here: a test that names it is not wrong for that.
        known = policy.known if not report.errors else replace(policy.known, rungs=(), pools=(), queues=())
        return replace(policy, tests=CaseReader(known, report).file(self._yaml(TESTS)))

    def _yaml(self, name: str) -> Node | None:
        data = self.files.get(name)
        source = decode(name, data, self.report) if data is not None else None
        if source is None:
            return None
        before = self.report.errors
        root = read_yaml(source, self.report)
        if root is None and self.report.errors == before and name in REQUIRED:
            self.report.error(source.place(), f"{name} is empty")
        return root

    def _sheet(self, name: str) -> Sheet | None:
        data = self.files.get(name)
        source = decode(name, data, self.report) if data is not None else None
        return read_csv(source, self.report) if source is not None else None

    def _people(self, entities: Mapping[str, Entity], calendars: Mapping[str, Calendar]) -> People:
        sheet = self._sheet(PEOPLE)
        if sheet is None:
            return People(complete=False)
        systems = {system for entity in entities.values() for system in entity.remote}
        before = self.report.errors
        people = read_people(sheet, systems, self.report, calendars)
        if not people.by_key and self.report.errors == before:
            self.report.error(sheet.source.place(), "people.csv lists nobody")
        return people

    def _unused(self, definitions: Definitions, checkers: list[Checker], weights: str) -> None:
        used = {one for checker in checkers for key in checker.used for one in checker.with_needs(key)}
        for key, definition in definitions.items():
            if key in used or definition.tree is None or not checkers:
                continue
            if not self.report.errors:  # else what asks for it may be what has the mistake
                message = f"nothing asks for the condition '{definition.name}': it is not used"
                self.report.warn(definition.place.place, message)
            if not any(checker.knows(key) for checker in checkers):
                checkers[0].tell_flaws(key)
        for name in self.shelf.unused():
            place, hint = Source(name, "").place(), f"add a rung with 'lookup: {name}'"
            self.report.warn(place, "no rung looks this table up: it is not used", hint)
        for name in self.files:
            if name not in (*KNOWN, weights) and name not in self.shelf.names():
                hint = nearest(name, KNOWN) or f"known here: {', '.join(KNOWN)}"
                self.report.warn(Source(name, "").place(), "this is no file of a policy: it is not used", hint)


def _event_reads(ladders: Sequence[Engagement], others: Iterable[str]) -> Iterator[str]:
    """What something asks of ``event``; ``others`` are the fields that pools and clocks read."""
    rungs = [rung for one in ladders for rung in all_rungs(one.rungs)]
    conditions = [*(c for one in ladders for c in one.entry), *(rung.when for rung in rungs if rung.when is not None)]
    paths = [path for condition in conditions for path, _ in condition.reads]
    paths += [path for rung in rungs for path, _ in rung.reads]
    for path in (*paths, *others):
        if path == "event.record_id" or path.startswith("event.before."):
            yield path.split(".")[1]
    if any(rung.share is not None for rung in rungs):
        yield "record_id"
