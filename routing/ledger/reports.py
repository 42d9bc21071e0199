"""Reports over a span of time: speed to lead, SLA clocks, fairness. Each reads narrow tables once, in seconds per million rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, exists, select

from routing.core.model import Write, derived_id
from routing.core.sla.model import OPEN
from routing.ledger import pools
from routing.ledger.outbox import CHANGES
from routing.ledger.report import percentile
from routing.ledger.schema import assignment, clock, from_ms, journal, outbox, to_ms
from routing.ledger.sql import chunks

By = Literal["all", "pool", "person", "source", "hour"]
NOBODY = "(nobody)"
NO_POOL = "(no pool)"
NO_SOURCE = "(no source)"
_decode = msgspec.json.Decoder(Write).decode


class Spread(Struct, frozen=True):
    """How long something took, in seconds: nearest-rank percentiles over ``n`` cases; None of none. What a CRM whose clock is ahead of
    ours dates after our answer took no time."""

    n: int
    p50: float | None
    p90: float | None
    p99: float | None


class SpeedRow(Struct, frozen=True):
    """The leads of one pool, person, source or hour. All times are from the change in the CRM: until the decision that gave the
    lead to somebody, until the write of its owner was confirmed, and until somebody first touched it.

    ``waiting`` were given to nobody yet; ``untouched`` to somebody, who did not touch them yet.
    ``moved`` were taken from one and given to another before. Of ``refused`` a CRM would not write an owner whom we chose: that
    choice counts as none, whether another came after it or the lead waits.
    """

    key: str
    leads: int
    waiting: int
    untouched: int
    moved: int
    refused: int
    decided: Spread
    confirmed: Spread
    touched: Spread


class ClockRow(Struct, frozen=True):
    """The clocks of one name, within one pool, person, source or hour. ``met`` were stopped within their limit, ``late`` after it;
    ``overdue`` still run after it; ``lost`` ended after it without having been stopped (taken away, deleted). ``open`` still run
    within it, ``dropped`` ended within it without having been stopped. ``attained`` is met of all that were decided, 0 to 1.
    ``spent`` is the business time until they were stopped.
    """

    clock: str
    key: str
    started: int
    open: int
    met: int
    late: int
    overdue: int
    lost: int
    dropped: int
    attained: float | None
    spent: Spread


class FairRow(Struct, frozen=True):
    """How one member of a pool stands, in leads: ``ahead`` is assigned − ideal. ``kind`` is that of the leads, where a pool keeps
    several rotations. ``credits`` were given by hand or for what was given back, and are in the ideal; ``apart`` is how far they are from
    their share but for those by hand that are still to be made up for. ``value_ahead`` is the same
    as ``ahead`` by the value of the leads; 0 where the pool counts none. ``away`` says why they are not in turn. ``bound`` is how far
    apart is told; None where the pool does not go by turns, or is no longer in the policy.
    """

    pool: str
    kind: str
    person: str
    weight: float
    assigned: int
    ideal: float
    ahead: float
    credits: float
    apart: float
    value_ahead: float
    away: str
    bound: float | None


class _Lead(Struct):
    """One lead on its way, from the change that had it routed to the first touch; milliseconds since 1970."""

    began: int
    pool: str = NO_POOL
    person: str = NOBODY
    source: str = NO_SOURCE
    given: int = 0
    refused: bool = False
    decided: int | None = None
    confirmed: int | None = None
    touched: int | None = None


def speed(conn: Connection, since: datetime, until: datetime, by: By, zone: tzinfo) -> list[SpeedRow]:
    """Speed to lead of the leads that were routed from ``since`` to ``until`` (half open); ``hour`` is that of ``zone``.

    A lead counts for whom it was with when it was touched, or is with now; one that was taken away and given to nobody since, for whom
    it was with last, and the pool that gave it.
    """
    groups: dict[str, list[_Lead]] = defaultdict(list)
    for lead in _leads(conn, to_ms(since), to_ms(until)):
        groups[_key(by, lead.pool, lead.person, lead.source, lead.began, zone)].append(lead)
    return [_speed_row(key, groups[key]) for key in sorted(groups)]


def _leads(conn: Connection, since_ms: int, until_ms: int) -> Iterator[_Lead]:
    when = (outbox.c.state == "confirmed") & (outbox.c.created_ms >= since_ms) & CHANGES
    confirmed: dict[str, int] = dict(conn.execute(select(outbox.c.decision_id, outbox.c.ended_ms).where(when)).all())
    refused = _refused(conn, since_ms)
    rows = conn.execute(
        select(assignment)
        .where(assignment.c.decided_ms >= since_ms)
        .order_by(assignment.c.ref, assignment.c.decided_ms, assignment.c.decision_id)
        .execution_options(yield_per=10_000)
    )
    ref, lead, after = "", None, False
    for row in rows:
        if row.ref != ref or row.fresh:
            if lead is not None:
                yield lead
            ref, lead = row.ref, None
            # What began before the span is not of it; what began in it is followed to its end, also after it.
            after = row.decided_ms >= until_ms
            if row.fresh and not after:
                lead = _Lead(row.occurred_ms)
        if lead is None or after or lead.touched is not None:
            continue
        lead.source = row.source or NO_SOURCE
        if row.pool or row.person:
            lead.pool = row.pool or NO_POOL
        if row.decision_id in refused:
            lead.refused = True
        elif row.person:
            lead.person, lead.given = row.person, lead.given + 1
            if lead.decided is None:
                lead.decided, lead.confirmed = row.decided_ms, confirmed.get(row.decision_id)
            lead.touched = row.touched_ms
    if lead is not None:
        yield lead


def _refused(conn: Connection, since_ms: int) -> set[str]:
    """The decisions whose owner a CRM refused: another was made at once, or the write waits for the operator."""
    ended = (outbox.c.created_ms >= since_ms) & outbox.c.state.in_(("superseded", "parked")) & CHANGES
    told = exists().where(journal.c.ref == outbox.c.ref, journal.c.kind == "refused")
    rows = conn.execute(select(outbox).where(ended, (outbox.c.state == "parked") | told)).all()
    own = [(row, write) for row in rows if "owner" in (write := _decode(row.body)).fields]
    ids = {derived_id(write.write_id, "refused"): row.decision_id for row, write in own if row.state == "superseded"}
    found = {row.decision_id for row, _ in own if row.state == "parked"}
    for some in chunks(sorted(ids)):
        found.update(ids[one] for one in conn.scalars(select(journal.c.event_id).where(journal.c.event_id.in_(some))))
    return found


def _speed_row(key: str, leads: list[_Lead]) -> SpeedRow:
    return SpeedRow(
        key=key,
        leads=len(leads),
        waiting=sum(lead.decided is None for lead in leads),
        untouched=sum(lead.decided is not None and lead.touched is None for lead in leads),
        moved=sum(lead.given > 1 for lead in leads),
        refused=sum(lead.refused for lead in leads),
        decided=_spread(lead.decided - lead.began for lead in leads if lead.decided is not None),
        confirmed=_spread(lead.confirmed - lead.began for lead in leads if lead.confirmed is not None),
        touched=_spread(lead.touched - lead.began for lead in leads if lead.touched is not None),
    )


def _spread(milliseconds: Iterable[int]) -> Spread:
    ordered = sorted(max(one, 0) for one in milliseconds)

    def at(percent: int) -> float | None:
        found = percentile(ordered, percent)
        return None if found is None else found / 1000

    return Spread(len(ordered), at(50), at(90), at(99))


def _key(by: By, pool: str, person: str, source: str, began_ms: int, zone: tzinfo) -> str:
    if by == "hour":
        return f"{from_ms(began_ms).astimezone(zone):%H}:00"
    return {"all": "all", "pool": pool or NO_POOL, "person": person or NOBODY, "source": source or NO_SOURCE}[by]


def clocks(conn: Connection, since: datetime, until: datetime, by: By, zone: tzinfo) -> list[ClockRow]:
    """How the SLA clocks did that were started from ``since`` to ``until`` (half open); ``hour`` is that of ``zone``."""
    columns = (
        clock.c.name,
        clock.c.state,
        clock.c.person,
        clock.c.pool,
        clock.c.source,
        clock.c.started_ms,
        clock.c.spent_ms,
        clock.c.breached_ms,
    )
    when = (clock.c.started_ms >= to_ms(since)) & (clock.c.started_ms < to_ms(until))
    groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in conn.execute(select(*columns).where(when).execution_options(yield_per=10_000)):
        groups[row.name, _key(by, row.pool, row.person, row.source, row.started_ms, zone)].append(row)
    return [_clock_row(name, key, groups[name, key]) for name, key in sorted(groups)]


def _clock_row(name: str, key: str, rows: list[Any]) -> ClockRow:
    def count(fits: Callable[[str], bool], breached: bool) -> int:
        return sum(fits(row.state) and (row.breached_ms is not None) is breached for row in rows)

    met, late = count(_is_stopped, False), count(_is_stopped, True)
    overdue, lost = count(_is_open, True), count(_is_ended, True)
    judged = met + late + overdue + lost
    return ClockRow(
        clock=name,
        key=key,
        started=len(rows),
        open=count(_is_open, False),
        met=met,
        late=late,
        overdue=overdue,
        lost=lost,
        dropped=count(_is_ended, False),
        attained=met / judged if judged else None,
        spent=_spread(row.spent_ms for row in rows if row.state == "stopped"),
    )


def _is_stopped(state: str) -> bool:
    return state == "stopped"


def _is_open(state: str) -> bool:
    return state in OPEN


def _is_ended(state: str) -> bool:
    return state == "ended"


def fairness(conn: Connection, bounds: Mapping[str, float | None], pool: str = "") -> list[FairRow]:
    """Everybody who is, or ever was, in a pool ("" for all pools), as they stand now: by pool, kind and person. ``bounds`` by pool."""
    found = []
    for one in pools.rotations(conn, [pool] if pool else None):
        for n, person in enumerate(one.people):
            claim = one.claim(n)
            found.append(
                FairRow(
                    pool=one.pool,
                    kind=one.kind,
                    person=person,
                    weight=one.weight[n],
                    assigned=one.assigned[n],
                    ideal=one.assigned[n] + claim,
                    ahead=0.0 - claim,
                    credits=one.credits[n],
                    apart=abs(claim - one.granted(n)),
                    value_ahead=0.0 - one.worth(n),
                    away=one.why[n],
                    bound=bounds.get(one.pool),
                )
            )
    return sorted(found, key=lambda row: (row.pool, row.kind, row.person))
