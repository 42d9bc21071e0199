"""A whole policy: the files of a folder, checked and compiled.

Pure: the files come as bytes, the time comes with each call. ``routing.runtime.policy_folder`` reads a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rules.actions import Targets
from rules.checking import Checker
from rules.csvfile import read_csv
from rules.extras import read_corrections, read_matching
from rules.fields import Scope, read_fields
from rules.ladder import Engagement, LadderReader, on_roster, read_route
from rules.model import (
    CorrectionRule,
    Entity,
    Facts,
    Matching,
    Person,
    PolicyError,
    Pool,
    Problem,
    Walk,
    WalkStep,
    WhyNot,
)
from rules.people import People, read_people, read_pools
from rules.source import Report, Source, decode, nearest
from rules.table import Table, TableReader
from rules.yamlfile import Block, Node, Scalar, as_block, read_yaml

FIELDS, ENGAGEMENT, PEOPLE, POOLS = "fields.yaml", "engagement.yaml", "people.csv", "pools.yaml"
CORRECTIONS, MATCHING = "corrections.yaml", "matching.yaml"
REQUIRED = (FIELDS, ENGAGEMENT, PEOPLE, POOLS)
KNOWN = (*REQUIRED, CORRECTIONS, MATCHING)


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy. It never changes: an edit makes a new one, with another ``digest``.

    ``digest`` is the SHA-256 over file names and bytes. ``people`` is by key (lower-case e-mail), ``hold_retry`` in
    seconds, ``routes`` the entity that the ladder routes.
    """

    digest: str
    entities: dict[str, Entity]
    people: dict[str, Person]
    pools: dict[str, Pool]
    corrections: tuple[CorrectionRule, ...]
    matching: Matching
    hold_retry: int
    routes: str
    _roster: People
    _engagement: Engagement

    def person(self, text: str) -> Person | None:
        """The person of that name or e-mail, without case; None when there is none or several."""
        return self._roster.find(text)

    def enters(self, facts: Facts, why_not: WhyNot | None = None) -> WalkStep:
        """Whether this event routes this record. Without ``why_not``, "is active" asks ``people.csv`` alone."""
        return self._engagement.enters(facts, why_not or on_roster(self.people))

    def walk(self, facts: Facts, why_not: WhyNot, now: datetime) -> Walk:
        """Walks the ladder for the record of ``facts``; ``now`` is aware. Raises nothing, whatever the facts hold."""
        return self._engagement.walk(facts, why_not, now)


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
        self.tables: dict[str, Table | None] = {}

    def read(self) -> Policy | None:
        report = self.report
        for name in REQUIRED:
            if name not in self.files:
                hint = nearest(name, [other for other in self.files if other not in KNOWN])
                report.error(Source(name, "").place(), f"the policy has no file {name}", hint)
        entities = read_fields(self._yaml(FIELDS), report)
        roster = self._people(entities)
        pooled = self._yaml(POOLS)
        pools = read_pools(pooled, roster, report)
        corrections = read_corrections(self._yaml(CORRECTIONS), entities, report) if entities else ()
        matching = read_matching(self._yaml(MATCHING), report)
        ladder = as_block(self._yaml(ENGAGEMENT), report, ENGAGEMENT)
        if not entities:
            return None  # without fields nothing that follows can be judged
        scope = Scope(entities)
        tables = TableReader(scope, roster, Targets(scope, roster, pools if pooled else None), report)
        if ladder is None:
            for name in self.files:
                self._table(name, tables)
            return None
        engagement = self._engagement(ladder, scope, roster, tables)
        self._unused()
        return Policy(
            digest=digest(self.files),
            entities=entities,
            people=roster.by_key,
            pools=pools,
            corrections=corrections,
            matching=matching,
            hold_retry=engagement.hold_retry,
            routes=engagement.routes,
            _roster=roster,
            _engagement=engagement,
        )

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

    def _people(self, entities: Mapping[str, Entity]) -> People:
        data = self.files.get(PEOPLE)
        source = decode(PEOPLE, data, self.report) if data is not None else None
        sheet = read_csv(source, self.report) if source is not None else None
        if sheet is None:
            return People(complete=False)
        systems = {system for entity in entities.values() for system in entity.remote}
        before = self.report.errors
        people = read_people(sheet, systems, self.report)
        if not people.by_key and self.report.errors == before:
            self.report.error(sheet.source.place(), "people.csv lists nobody")
        return people

    def _engagement(self, ladder: Block, scope: Scope, roster: People, tables: TableReader) -> Engagement:
        def lookup(name: Scalar) -> Table | None:
            file = name.text.strip()
            if file not in self.files or not self._is_table(file):
                others = [other for other in self.files if self._is_table(other)]
                message = f"there is no table '{file}' in the policy folder"
                self.report.error(name.place, message, nearest(file, others) or "it is a file that ends with .csv")
                return None
            return self._table(file, tables)

        routes = read_route(ladder, scope, self.report)
        return LadderReader(scope, Checker(scope, roster), tables.targets, lookup, self.report).read(ladder, routes)

    @staticmethod
    def _is_table(name: str) -> bool:
        return name.endswith(".csv") and name != PEOPLE

    def _table(self, name: str, tables: TableReader) -> Table | None:
        """The table of a file, compiled once; None when ``name`` is no table, or one with a mistake."""
        if name not in self.tables and self._is_table(name):
            source = decode(name, self.files[name], self.report)
            sheet = read_csv(source, self.report) if source is not None else None
            self.tables[name] = tables.read(sheet) if sheet is not None else None
        return self.tables.get(name)

    def _unused(self) -> None:
        for name in self.files:
            if name in KNOWN or name in self.tables:
                continue
            place = Source(name, "").place()
            if name.endswith(".csv"):
                self.report.warn(
                    place, "no rung looks this table up: it is not used", f"add a rung with 'lookup: {name}'"
                )
            else:
                hint = nearest(name, KNOWN) or f"known here: {', '.join(KNOWN)}"
                self.report.warn(place, "this is no file of a policy: it is not used", hint)
