"""Sharing leads: one pick in a large pool, a batch in the ledger, and a year of leads over a whole team."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from routing.core.availability.people import Availability
from routing.core.directory import Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.caps import Given
from routing.core.distribution.pools import Pools
from routing.core.model import Record
from routing.ledger import pools as pool_ledger
from routing.ledger.engine import Ledger
from routing.runtime.clock import monotonic
from routing.runtime.pooling import Desk
from routing.runtime.simulating import simulate
from rules.policy import Policy
from tests.bench.report import Line
from tests.unit.core.policy import policy

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Europe/London")
HOLIDAYS = ("DE-BY", "US", "US-CA", "", "GB")
LANGUAGES = ("de", "en", "fr", "es", "it", "pt", "nl", "pl")
PICKS, BATCH, POOLS = 2_000, 500, 50
PEOPLE, YEAR, LEADS = 300, 365, 1_000_000

_ENGAGEMENT = (
    "route: lead\nentry: ['event.kind = \"created\"']\nhold: {retry: 5 minutes}\nladder:\n  - otherwise: pool P0\n"
)


def team(people: int, pools: str) -> Policy:
    """People all over the world, with hours, holidays, languages and weights."""
    rows = ["name,email,time_zone,hours,holidays,languages"]
    for n in range(people):
        spoken = f"{LANGUAGES[n % 8]}, {LANGUAGES[(n // 8 + 3) % 8]}"
        rows.append(f'P{n},p{n}@example.com,{ZONES[n % 5]},Mon-Fri 8:00-18:00,{HOLIDAYS[n % 5]},"{spoken}"')
    return policy(people="\n".join(rows) + "\n", pools=pools, engagement=_ENGAGEMENT)


def members(first: int, last: int) -> str:
    return "{" + ", ".join(f"P{n}: {1 + n % 3}" for n in range(first, last)) + "}"


def present(of: Policy) -> tuple[Directory, Attendance]:
    users = [
        Record(system="salesforce", entity="person", record_id=f"user-{n:012d}", values={"email": key})
        for n, key in enumerate(of.people)
    ]
    directory = Directory.build(of, users)
    attendance = Attendance(of, directory, Availability(of), ("salesforce",))
    attendance.given = {name: Given() for name in of.pools}
    return directory, attendance


def asked(now: datetime, **lead: object) -> Ask:
    return Ask(system="salesforce", facts={"lead": lead, "account": None}, now=now)


def run(folder: Path) -> list[Line]:
    return [*picks(), *settled(folder), *year(folder)]


def picks() -> list[Line]:
    """In a pool of 500 with caps, hours and skills, in the hours when most are there: from the question to who it is, and counted."""
    one = "{languages: lead.country}"
    two = "[{skill: languages, of: lead.country}, {skill: languages, of: lead.state, preferred: yes}]"
    both = "[{skill: languages, of: lead.country}, {skill: languages, of: lead.state}]"
    pair = {"country": "fr", "state": "de"}
    lines = []
    for what, skills, leads, cap in (
        ("anybody can take it", one, [{}], 60),
        ("a language is asked for", one, [{"country": "fr"}], 60),
        ("each of eight languages, or none, in turn", one, [{}, *({"country": said} for said in LANGUAGES)], 60),
        ("two skills, one of them preferred", two, [pair], 60),
        ("two skills, both of them required", both, [pair], 600),  # of few: so that their caps last
    ):
        text = f"P0: {{method: weighted, members: {members(0, 500)}, member_caps: {cap} a day, skills: {skills}}}\n"
        of = team(500, text)
        directory, attendance = present(of)
        pools, now, taken = Pools(of, directory, attendance), MONDAY + timedelta(hours=15), []
        for n in range(PICKS + 50):
            ask = asked(now, **leads[n % len(leads)])
            began = monotonic()
            found = pools.pick("P0", ask)
            pools.give(found, ask)
            taken.append((monotonic() - began) * 1e6)
            now += timedelta(seconds=2)
            if n % 100 == 0:
                pools.entries.clear()
        lines.append(Line(f"a pick of 500, {what}, median", median(taken[50:]), "µs", 50, at_least=False))
    return lines


def settled(folder: Path) -> list[Line]:
    """500 leads into 50 pools: locked, read, given out, and stored with the entries; beside the decisions' own rows."""
    text = "".join(
        f"P{n}: {{method: weighted, members: {members(n * 6, n * 6 + 10)}, hours: no}}\n" for n in range(POOLS)
    )
    of = team(POOLS * 6 + 4, text)
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.upgrade()
    directory, attendance = present(of)
    shelf, taken, now = pool_ledger.Shelf(), [], MONDAY
    for _ in range(12):
        now += timedelta(minutes=1)
        began = monotonic()
        with ledger.write() as conn:
            opened = shelf.take(conn, of, pool_ledger.closure(of, of.pools), now)
            attendance.given = opened.given
            pools = Pools(of, directory, attendance, opened.rotations)
            for n in range(BATCH):
                ask = asked(now)
                pools.give(pools.pick(f"P{n % POOLS}", ask), ask)
            pool_ledger.save(conn, opened, pools.entries)
        shelf.put(opened)
        taken.append((monotonic() - began) * 1000)
    ledger.close()
    return [
        Line(f"{BATCH} leads into {POOLS} pools in the ledger, median", median(taken[2:]), "ms", 40, at_least=False)
    ]


def year(folder: Path, leads: int = LEADS) -> list[Line]:
    """What ``fingerpost pools simulate`` does: one pool of 300 people in five zones, with hours, holidays and caps, for a year.

    From Friday evening in Los Angeles to Monday morning in Kolkata nobody is at work, and what has come meanwhile fills the caps of
    those who begin first; at Christmas and Easter others are off besides. So the longest wait is days, and yet no lead waits while
    somebody can take it. Five shifts come and go
    every day: the 1 lead of a fixed roster is not promised here (``routing/core/distribution/README.md``).
    """
    of = team(PEOPLE, f"P0: {{method: weighted, members: {members(0, PEOPLE)}, member_caps: 40 a day}}\n")
    ledger = Ledger(f"sqlite:///{folder / 'year.db'}")
    ledger.upgrade()
    with ledger.read() as conn:
        desk = Desk(conn, of, ["P0"], MONDAY)
        began = monotonic()
        found = simulate(desk, "P0", leads, MONDAY, MONDAY + timedelta(days=YEAR))
        taken = monotonic() - began
    ledger.close()
    return [
        Line(f"a year of {leads:,} leads over {PEOPLE} people", taken, "s", 60, at_least=False),
        Line("… the worst |assigned − ideal| of anybody, at any lead", found.worst, "leads"),
        Line("… leads that waited for somebody to be there", found.waited, "leads"),
        Line("… the longest of them", found.longest_wait / 3600, "hours"),
        Line("… leads that nobody has at the end of the year", found.left, "leads"),
    ]
