"""``fingerpost pools``: who shares leads, how everybody stands and who is next; trying pools out, and correcting them by entries."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy import Connection

from routing.cli import spans
from routing.cli.options import Config, Json, LedgerAt
from routing.cli.output import (
    err,
    live_policy,
    one_line,
    open_ledger,
    person_named,
    print_json,
    problem,
)
from routing.cli.pools_page import print_all, print_simulated, print_view, signed
from routing.runtime.clock import utcnow

if TYPE_CHECKING:
    from routing.core.distribution.entries import PoolEntry
    from routing.runtime.crediting import Adjusted
    from routing.runtime.pool_view import RotationView
    from routing.runtime.pooling import Desk
    from rules.policy import Policy

app = typer.Typer(no_args_is_help=True)

MOST = 500  # characters of a reason
MOST_LEADS = 1_000_000
MOST_OWED = 1000
SYSTEM = "event.system"

Pool = Annotated[str, typer.Argument(help="The pool's name, as in pools.yaml.")]
Kind = Annotated[str, typer.Option("--kind", help="The rotation of this kind of lead.")]


@app.command()
def show(
    pool: Annotated[str, typer.Argument(help="One pool; all of them in short when left out.")] = "",
    entries: Annotated[int, typer.Option(min=0, max=10_000, help="Also the newest entries of the pool ledger.")] = 0,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Shows a pool as it stands: weight, ideal, given, shortfall, credits, caps, who can receive leads, who is next and why."""

    def look(desk: Desk) -> list[RotationView]:
        names = [_named(desk.policy, pool)] if pool else list(desk.policy.pools)
        return [desk.view(name, kind, entries) for name in names for kind in desk.kinds(name)]

    with open_ledger(config, ledger).read() as conn:
        views = look(_desk(conn, pool))
    if as_json:
        for view in views:
            print_json(view)
    elif pool:
        for view in views:
            print_view(view)
    else:
        print_all(views)


@app.command()
def simulate(
    pool: Pool,
    leads: Annotated[int, typer.Option("--leads", min=1, max=MOST_LEADS, help="How many leads.")] = 100,
    from_: Annotated[str, typer.Option("--from", help=f"When the first comes: {spans.FIRST}, UTC; else now.")] = "",
    to: Annotated[
        str, typer.Option("--to", help=f"Until when they come, evenly: {spans.LAST}, UTC; else a week later.")
    ] = "",
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value",
            help="A field of each lead: lead.country=DE, or its CRM: event.system=hubspot. Can be given again.",
        ),
    ] = None,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Gives made-up leads to a pool, from how it stands now. Nothing is stored.

    Hours, holidays, absences, caps, and CRMs that keep somebody out count. The leads are of the CRMs, accounts and contacts that
    the pool's last ones were of.
    """
    from routing.runtime import simulating

    start = spans.given("--from", from_) if from_ else utcnow()
    end = spans.given("--to", to, last=True) if to else start + timedelta(days=7)
    if end <= start:
        problem("--to must be after --from.")
        raise typer.Exit(2)
    with open_ledger(config, ledger).read() as conn:
        desk = _desk(conn, pool, start)
        name = _named(desk.policy, pool)
        if desk.policy.pools[name].method == "pull":
            problem(f"The leads of the pool {name} wait until somebody claims them: there is nothing to simulate.")
            raise typer.Exit(2)
        found = simulating.simulate(desk, name, leads, start, end, _facts(desk.policy, value or []))
        names = {key: desk.directory.name(key) for key in found.given}
    if as_json:
        print_json(found)
    else:
        print_simulated(found, names)


@app.command()
def credit(
    pool: Pool,
    name: Annotated[
        str, typer.Argument(help="The member: name, e-mail address or the id of their CRM user; or 'pool NAME'.")
    ],
    because: Annotated[str, typer.Option("--because", help="Why; it is shown with the entry.")],
    leads: Annotated[
        float,
        typer.Option("--leads", help=f"How many leads they are owed, up to {MOST_OWED}; below 0: how many fewer."),
    ] = 1,
    lead: Annotated[
        str,
        typer.Option(
            "--lead",
            help="The lead (its id) that was bad: once; its place in their caps is free again. With --leads -1: that is taken back.",
        ),
    ] = "",
    kind: Kind = "",
    by: Annotated[str, typer.Option("--by", help="Who says so; your user name when left out.")] = "",
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Gives a member a claim to leads, as an entry with author and reason: for a skipped turn, or a lead that was none (--lead).

    Caps count what was given: only a credit with --lead frees a place in them, and only --lead with --leads -1 takes it again. Caps on
    open leads count what is open, credited or not.
    """
    from routing.core.distribution.turns import TOLERANCE
    from routing.runtime.crediting import adjust, bad_lead, retake_turn, return_turn

    author, reason = one_line(by, MOST) or getpass.getuser(), one_line(because, MOST)
    if not reason:
        problem("Say why, with --because.")
        raise typer.Exit(2)
    if not TOLERANCE < abs(leads) <= MOST_OWED:
        problem(
            f"--leads {leads:g} cannot be credited: say how many leads, up to {MOST_OWED} more or fewer, and more than {TOLERANCE:f}: "
            "less would change nobody's turn."
        )
        raise typer.Exit(2)
    if lead and abs(leads) != 1:
        problem("A lead that was bad is credited as one: leave --leads out, or say --leads -1 to take that back.")
        raise typer.Exit(2)

    def work(desk: Desk) -> str:
        which = _named(desk.policy, pool)
        of = _kind(desk, which, kind)
        member = _member(desk, which, name)
        try:
            if not lead:
                made = adjust(desk, which, of, member, leads, author=author, reason=reason)
            elif leads < 0:
                made = retake_turn(desk, which, member, lead, author=author, reason=reason)
            else:
                bad = bad_lead(desk, which, member, lead)
                made = return_turn(desk, which, member, bad, author=author, reason=reason)
        except ValueError as error:
            problem(f"{error}.")
            raise typer.Exit(1) from None
        return _owed(desk, which, member, made) + (_in_caps(desk, which, member, lead, made.entry) if lead else "")

    err.print(_changed(config, ledger, pool, work), markup=False)


def _owed(desk: Desk, pool: str, member: str, made: Adjusted) -> str:
    """What a member is owed after a credit (or debit)."""
    claim, who, entry = made.rotation.claim(made.rotation.number[member]), desk.directory.name(member), made.entry
    if not entry.leads:
        done = "owed" if entry.what == "credit" else "taken back"
        return f"No turn is {done} for it, as nobody but {who} had a share of the pool {pool}: entry {entry.seq}."
    said = (
        f"{who} is now owed {signed(claim)} leads in the pool {pool} ({signed(made.before)} before; "
        f"credits come out of the turns of all): entry {entry.seq}."
    )
    if desk.policy.pools[pool].bound is None:
        said += (
            f" Its leads are shared by {desk.policy.pools[pool].method}: there a claim decides between equals at most."
        )
    return said


def _in_caps(desk: Desk, pool: str, member: str, lead: str, entry: PoolEntry) -> str:
    """What becomes of a member's caps by a credit (or debit) for that lead."""
    caps = desk.attendance.caps(desk.policy.pools[pool], member, entry.kind)
    said = ""
    if any(cap.per != "open" for cap in caps):
        said = f" In their caps the place of {lead} is {'free' if entry.what == 'credit' else 'taken'} again."
        if entry.given is None:
            said = f" Their caps stay as they are: when {lead} was given was not kept."
    if any(cap.per == "open" for cap in caps):
        said += f" In caps on open leads {lead} counts as long as it is open."
    return said


@app.command()
def claim(
    pool: Pool,
    as_: Annotated[
        str, typer.Option("--as", help="Which member takes it: name, e-mail address or the id of their CRM user.")
    ],
    lead: Annotated[str, typer.Option("--lead", help="This record of the queue (its id) instead of the next.")] = "",
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Takes the next record out of a pool's queue (method: pull). The daemon gives it to the member at once, if their caps allow."""

    def work(desk: Desk) -> str:
        which = _named(desk.policy, pool)
        try:
            claimed = desk.claim(which, _member(desk, which, as_), lead)
        except ValueError as error:
            problem(f"{error}.")
            raise typer.Exit(1) from None
        return "" if claimed is None else claimed.ref

    ref = _changed(config, ledger, pool, work)
    if not ref:
        problem("That record does not wait there." if lead else f"Nothing waits in the pool {pool}.")
        raise typer.Exit(1)
    err.print(f"{ref} is claimed.", markup=False)


def _desk(conn: Connection, pool: str, now: datetime | None = None, *, locked: bool = False) -> Desk:
    from routing.runtime.pooling import Desk

    policy = live_policy(conn)
    names = [_named(policy, pool)] if pool else list(policy.pools)
    return Desk(conn, policy, names, now or utcnow(), locked=locked)


def _changed(config: Any, ledger: Any, pool: str, work: Callable[[Desk], str]) -> str:
    """What ``work`` says once its change of the pool is committed."""
    said: str = open_ledger(config, ledger).repeated(lambda conn: work(_desk(conn, pool, locked=True)))
    return said


def _named(policy: Policy, pool: str) -> str:
    from rules.source import nearest
    from rules.values import fold

    found = next((name for name in policy.pools if fold(name) == fold(pool)), None)
    if found is None:
        hint = nearest(pool, policy.pools) or "`fingerpost pools show` lists them"
        problem(f"The live policy has no pool {pool!r}: {hint}")
        raise typer.Exit(2)
    return found


def _kind(desk: Desk, pool: str, kind: str) -> str:
    from rules.values import fold

    kinds = desk.kinds(pool)
    found = next((one for one in kinds if fold(one) == fold(kind)), None)
    if found is None:
        there = ", ".join(one for one in kinds if one) or "none"
        problem(f"The pool {pool} has no kind {kind!r}; its kinds: {there}.")
        raise typer.Exit(2)
    return found


def _member(desk: Desk, pool: str, name: str) -> str:
    keys = desk.policy.pools[pool].weights
    key = name if name in keys else person_named(desk.policy, desk.conn, name).key
    if key not in keys:
        problem(
            f"{desk.directory.name(key)} is no member of the pool {pool}: `fingerpost pools show '{pool}'` lists them."
        )
        raise typer.Exit(2)
    return key


def _facts(policy: Policy, values: list[str]) -> dict[str, Any]:
    from rules.source import nearest

    fields = [
        (f"{name}.{field.name}", field.type) for name, one in policy.entities.items() for field in one.fields.values()
    ]
    known = dict([*fields, (SYSTEM, "text")])
    systems = sorted({system for one in policy.entities.values() for system in one.remote})
    facts: dict[str, Any] = {"lead": {}, "account": None}
    for one in values:
        path, sign, text = one.partition("=")
        entity, _, field = path.strip().partition(".")
        if not sign or not field:
            problem(f"{one!r} gives no field a value: write it as lead.country=DE.")
            raise typer.Exit(2)
        if path.strip() not in known:
            problem(f"fields.yaml has no field {path.strip()!r}: {nearest(path, known) or 'write it as lead.country'}")
            raise typer.Exit(2)
        value: Any = text
        if path.strip() == SYSTEM and text not in systems:
            problem(f"fields.yaml has no CRM {text!r}: {nearest(text, systems) or ', '.join(systems)}")
            raise typer.Exit(2)
        if known[path.strip()] in ("number", "money"):
            try:
                value = float(text)
            except ValueError:
                problem(f"{path.strip()} is a number, and {text!r} is none.")
                raise typer.Exit(2) from None
        facts[entity] = {**(facts.get(entity) or {}), field: value}
    return facts
