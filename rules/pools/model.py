"""People, their hours, and the pools that share leads, as compiled from the policy."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from msgspec import Struct

from rules.language.condition import Formula, Question
from rules.model import Facts

Method = Literal["round robin", "weighted", "load balanced", "skill", "sticky", "best fit", "pull"]
# These promise everybody their share; the others put something else first.
_BY_TURNS: frozenset[Method] = frozenset(("round robin", "weighted", "skill"))
Per = Literal["hour", "day", "week", "month", "open"]
METHODS: tuple[Method, ...] = ("round robin", "weighted", "load balanced", "skill", "sticky", "best fit", "pull")
Sticky = Literal["", "account", "contact"]
POOL = "pool "  # before the name of a pool that is a member of another: ``pool Juniors``

Minutes = tuple[int, int]  # of a day: from, to; beyond 1440 for hours that end the next day
Hours = tuple[tuple[Minutes, ...], ...]  # of each weekday, Monday first; () where nothing is said: always


class Cap(Struct, frozen=True):
    """At most so many leads in a time, or open at once. Calendar days, weeks and months are those of the person's zone.

    ``rolling``: the last 60 minutes, 24 hours, 7 or 30 days instead. ``kind``: only the pool's leads of that kind count.
    """

    leads: int
    per: Per
    rolling: bool = False
    kind: str = ""


class Ramp(Struct, frozen=True):
    """How the weight of a new hire grows: from each day after the start date (0: the first) it counts that part.

    The last step is 1, or what it says it stays at.
    """

    steps: tuple[tuple[int, float], ...]

    def factor(self, days: int) -> float:
        """What part of the weight counts so many days after the start date; the first step's before it."""
        found = self.steps[0][1]
        for start, part in self.steps:
            if start > days:
                break
            found = part
        return found


class Member(Struct, frozen=True):
    """One member of a pool: a person's key, or (``is_pool``) the name of a pool.

    ``weight`` is 1 in a pool that shares evenly. ``caps``, ``ramp`` and ``skills`` (column -> values, folded) are those written
    here; where they are not, the pool's ``member_caps`` and what people.csv says count.
    """

    who: str
    is_pool: bool = False
    weight: float = 1.0
    caps: tuple[Cap, ...] = ()
    ramp: Ramp | None = None
    skills: dict[str, frozenset[str]] | None = None

    @property
    def key(self) -> str:
        """``ana@example.com``, or ``pool Juniors``."""
        return POOL + self.who if self.is_pool else self.who


class Kind(Struct, frozen=True):
    """Leads of a pool that have a rotation of their own: those for which ``when`` holds."""

    name: str
    when: Question


class Skill(Struct, frozen=True):
    """A column of people.csv that must, or better should, hold what a field of the record holds.

    ``of`` is the path of that field (``lead.language``); where it is blank it asks for nothing. A preferred skill (not
    ``required``) only orders; a required one is dropped after the record waited ``relax_after`` seconds, 0 never.
    """

    name: str
    of: str
    required: bool = True
    relax_after: int = 0


class Points(Struct, frozen=True):
    """A part of a best-fit score: ``points`` where ``when`` holds, or always."""

    points: Formula
    when: Question | None = None


class Score(Struct, frozen=True):
    """How well a person fits a record: the sum of its parts. Conditions and formulas may ask for ``person.COLUMN``."""

    parts: tuple[Points, ...]

    def of(self, facts: Facts, person: Person, now: datetime) -> float | None:
        """The score; None where no part of it has a value (its fields are blank)."""
        seen = {**facts, "person": person.columns}
        found = [part.points.number(seen) for part in self.parts if part.when is None or part.when.holds(seen, now)]
        known = [one for one in found if one is not None]
        return sum(known) if known else None


class Pool(Struct, frozen=True):
    """One pool of ``pools.yaml``. ``members`` are in the order written.

    ``overflow`` (a pool) or ``overflow_queue`` (of the CRM) takes what nobody here can. ``caps`` are those of the pool as a
    whole, by the calendar of ``time_zone`` (UTC when that is ""), ``member_caps`` those of each member. ``sticky`` is what a sticky pool keeps together. ``balance`` is the field whose sum over open records a load
    balanced pool evens out, "" their number. ``value`` is the field of a lead's value, the second measure of fairness.
    ``catch_up`` is the most leads that somebody makes up after an absence, ``alarm`` the deviation |assigned − ideal| that is
    told, 0 where the usual one is. ``priority`` orders who waits: the largest first.
    """

    name: str
    method: Method = "round robin"
    members: tuple[Member, ...] = ()
    overflow: str = ""
    overflow_queue: str = ""
    caps: tuple[Cap, ...] = ()
    member_caps: tuple[Cap, ...] = ()
    kinds: tuple[Kind, ...] = ()
    skills: tuple[Skill, ...] = ()
    sticky: Sticky = ""
    score: Score | None = None
    balance: str = ""
    value: str = ""
    hours: bool = True
    time_zone: str = ""
    catch_up: float = 1.0
    alarm: float = 0.0
    priority: Formula | None = None

    @property
    def bound(self) -> float | None:
        """How many leads off their share is told of a member; None where a method that does not go by turns decides who gets one."""
        usual = 2.5 if self.value else 1.1
        return (self.alarm or usual) if self.method in _BY_TURNS else None

    @property
    def weights(self) -> dict[str, float]:
        """Weight by member key, in the order written."""
        return {member.key: member.weight for member in self.members}


class Calendar(Struct, frozen=True):
    """A calendar with a name: hours, public holidays (``DE``, ``DE-BY``), and days on which everybody is off, with their names.

    ``later`` are other hours, each from a day on, in the order of these days.
    """

    name: str
    hours: Hours = ()
    later: tuple[tuple[date, Hours], ...] = ()
    time_zone: str = ""
    holidays: tuple[str, ...] = ()
    closed: dict[date, str] = {}


class Person(Struct, frozen=True):
    """One row of ``people.csv``. ``key`` is the lower-case e-mail. ``extra`` holds further columns.

    ``hours``, ``later``, ``holidays`` and ``closed`` may come from the calendar that the row names; they are in ``time_zone``, UTC when
    that is "". ``caps`` count the leads of all pools. ``skills`` holds the values of each column that a pool asks for.
    """

    key: str
    name: str
    active: bool = True
    start_date: str = ""  # ISO date, "" when they have long started
    end_date: str = ""  # ISO date of the last day, "" when none is known
    role: str = ""
    region: str = ""
    time_zone: str = ""
    hours: Hours = ()
    later: tuple[tuple[date, Hours], ...] = ()
    holidays: tuple[str, ...] = ()
    closed: dict[date, str] = {}
    manager: str = ""  # the key of another person
    capacity: float | None = None
    quota: float | None = None
    caps: tuple[Cap, ...] = ()
    ramp: Ramp | None = None
    skills: dict[str, frozenset[str]] = {}  # column -> values, folded
    ids: dict[str, str] = {}  # system -> CRM user id, only where people.csv fixes it
    extra: dict[str, str] = {}
    columns: dict[str, Any] = {}  # what ``person.COLUMN`` holds


class TimeOff(Struct, frozen=True):
    """Time off of one person, from and to as written (``rules.moments`` reads them), in the person's own zone.

    ``source`` says where it comes from: ``policy`` (time_off.csv) or ``people off``.
    """

    person: str
    from_: str
    to: str
    reason: str = ""
    source: Literal["policy", "people off"] = "policy"
