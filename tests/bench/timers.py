"""SLA clocks and their timers: a million that wait, many that fire at once, and how late they are at a steady pace."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from types import SimpleNamespace

from sqlalchemy import select

from routing.bootstrap import process
from routing.core.model import ChangeEvent, Timer, derived_id
from routing.core.sla.planning import next_due
from routing.ledger import journal, mirror, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import journal as journal_table
from routing.runtime.clock import monotonic, utcnow
from routing.runtime.feed import Feed
from routing.runtime.loop import BATCH, Loop
from tests.bench.report import Line
from tests.unit.core.policy import person, policy

WAITING = 1_000_000
DUE = 20_000
PACE, SECONDS = 100, 15
LEADS = 4_000

PEOPLE = "name,email\n" + "\n".join(f"Rep {n},rep{n}@example.com" for n in range(50))
POOLS = f"All: {{method: round robin, members: [{', '.join(f'Rep {n}' for n in range(50))}]}}"
ENGAGEMENT = (
    "route: lead\nentry: ['event.kind = \"created\"']\nhold: {retry: 5 minutes}\nladder:\n  - otherwise: pool All\n"
)
SLA = """
clocks:
  First touch:
    start: assigned
    stop: lead.status changed
    within: 4 hours
    time: always
    steps:
      - {at: 50 %, remind: owner}
      - {at: 100 %, reassign: yes}
"""


def run(folder: Path) -> list[Line]:
    return [*_waiting(folder), *_pace(folder), *_settled(folder)]


def _ledger(folder: Path, name: str) -> Ledger:
    made = Ledger(f"sqlite:///{folder / name}.db")
    made.upgrade()
    return made


def _fill(ledger: Ledger, n: int, due: datetime, prefix: str) -> None:
    for start in range(0, n, 20_000):
        with ledger.write() as conn:
            timers.save(conn, [_timer(f"{prefix}{i}", due) for i in range(start, min(start + 20_000, n))])


def _timer(record: str, due: datetime) -> Timer:
    return Timer(
        timer_id=derived_id(record), purpose=timers.SLA, system="s", entity="lead", record_id=record, due_at=due
    )


def _took(ledger: Ledger, times: int = 50) -> float:
    """Milliseconds that a look for due timers takes, with nothing due."""
    taken = []
    for _ in range(times):
        began = monotonic()
        with ledger.read() as conn:
            timers.due(conn, utcnow())
        taken.append((monotonic() - began) * 1000)
    return median(taken)


def _waiting(folder: Path) -> list[Line]:
    ledger = _ledger(folder, "waiting")
    now = utcnow()
    empty = _took(ledger)
    _fill(ledger, WAITING, now + timedelta(days=30), "later")
    full = _took(ledger)
    began = monotonic()
    with ledger.read() as conn:
        timers.count(conn)
    counted = (monotonic() - began) * 1000
    _fill(ledger, DUE, now - timedelta(minutes=1), "due")
    began, fired, worked = monotonic(), 0, process_time()
    while True:
        with ledger.write() as conn:
            n = timers.fire(conn, utcnow())
        fired += n
        if not n:
            break
    rate, alone = fired / (monotonic() - began), fired / (process_time() - worked)
    ledger.close()
    return [
        Line(f"a look for due timers while {WAITING:,} wait", full, "ms", 5, at_least=False),
        Line("the same while none wait", empty, "ms"),
        Line("counting them for /healthz", counted, "ms"),
        Line(f"timers fired a second, {DUE:,} due among those", rate, "timers/s", 2000),
        Line("the same by processor time, as a machine of its own would do it", alone, "timers/s"),
    ]


def _pace(folder: Path) -> list[Line]:
    """As the daemon does it, by the wall clock."""
    ledger = _ledger(folder, "pace")
    start = utcnow() + timedelta(seconds=1)
    for n in range(SECONDS):
        with ledger.write() as conn:
            timers.save(conn, [_timer(f"{n}-{i}", start + timedelta(seconds=n + i / PACE)) for i in range(PACE)])
    stop = threading.Event()
    live = SimpleNamespace(current=policy(people=PEOPLE, pools=POOLS, engagement=ENGAGEMENT, sla=SLA))
    host = SimpleNamespace(
        ledger=ledger, clock=utcnow, feed=Feed(), look=lambda: None, policies=live, systems=("salesforce",)
    )
    waits, process.CLOCKS_WAIT_SECONDS = process.CLOCKS_WAIT_SECONDS, 0.0
    thread = threading.Thread(target=process.Process.run_timers, args=(host, stop))
    thread.start()
    stop.wait(SECONDS + 3)
    stop.set()
    thread.join()
    process.CLOCKS_WAIT_SECONDS = waits
    with ledger.read() as conn:
        late = [at - due for at, due in conn.execute(select(journal_table.c.accepted_ms, journal_table.c.occurred_ms))]
    ledger.close()
    return [
        Line(f"fired, of {PACE * SECONDS} at {PACE} a second", len(late), "timers", PACE * SECONDS),
        Line("the latest of them, late by", max(late) / 1000, "s", 1.0, at_least=False),
    ]


def _settled(folder: Path) -> list[Line]:
    """From due to decided: each timer reminds somebody, in a decision of its own."""
    ledger = _ledger(folder, "settled")
    now = [utcnow()]
    by = policy(people=PEOPLE, pools=POOLS, engagement=ENGAGEMENT, sla=SLA)
    users = [person("salesforce", f"005{n}", f"rep{n}@example.com") for n in range(50)]
    with ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in users])
        journal.accept(conn, [_lead(n, now[0]) for n in range(LEADS)], now[0])
    loop = Loop(ledger, SimpleNamespace(current=by), lambda: now[0], Feed())  # type: ignore[arg-type]
    while loop.work_off(BATCH):
        pass
    now[0] += timedelta(hours=3)
    began, worked = monotonic(), process_time()
    with ledger.write() as conn:
        fired = timers.fire(conn, now[0], LEADS, next_due=partial(next_due, policy=by))
    alone = process_time() - worked
    while loop.work_off(BATCH):
        pass
    taken = monotonic() - began
    ledger.close()
    assert fired == LEADS, f"{fired} of {LEADS} timers were due"
    return [
        Line("of clocks, whose order is kept, by processor time", fired / alone, "timers/s", 2000),
        Line("timers fired and their steps decided a second", fired / taken, "timers/s"),
    ]


def _lead(n: int, at: datetime) -> ChangeEvent:
    values = {"email": f"p{n}@company{n}.example", "status": "New"}
    return ChangeEvent(
        event_id=derived_id("bench", str(n)),
        system="salesforce",
        entity="lead",
        record_id=f"00Q{n}",
        kind="created",
        occurred_at=at,
        observed_at=at,
        changed=tuple(values),
        values=values,
    )
