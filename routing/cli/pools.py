"""``fingerpost pools``: who shares leads, how everybody stands and who is next; trying pools out, and correcting them by entries."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from routing.cli import spans
from routing.cli.options import Config, Json, LedgerAt
from routing.cli.output import (
    available,
    err,
    live_policy,
    one_line,
    open_ledger,
    out,
    person_named,
    print_json,
    problem,
)
from routing.core.distribution.entries import STANDS
from routing.runtime.clock import utcnow

if TYPE_CHECKING:
    from routing.runtime.pooling import Desk, RotationView, Simulated
    from rules.policy import Policy

app = typer.Typer(no_args_is_help=True)

MOST = 500  # characters of a reason
MOST_LEADS = 1_000_000

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
            _print(view)
    else:
        _print_all(views)


@app.command()
def simulate(
    pool: Pool,
    leads: Annotated[int, typer.Option("--leads", min=1, max=MOST_LEADS, help="How many leads.")] = 100,
    from_: Annotated[str, typer.Option("--from", help=f"When the first comes: {spans.FIRST}, UTC; else now.")] = "",
    to: Annotated[
        str, typer.Option("--to", help=f"Until when they come, evenly: {spans.LAST}, UTC; else a week later.")
    ] = "",
    value: Annotated[
        list[str] | None, typer.Option("--value", help="A field of each lead: lead.country=DE. Can be given again.")
    ] = None,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Gives made-up leads to a pool, from how it stands now: hours, holidays, absences and caps count. Nothing is stored."""
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
        found = desk.simulate(name, leads, start, end, _facts(desk.policy, value or []))
        names = {key: desk.directory.name(key) for key in found.given}
    if as_json:
        print_json(found)
    else:
        _print_simulated(found, names)


@app.command()
def credit(
    pool: Pool,
    name: Annotated[
        str, typer.Argument(help="The member: name, e-mail address or the id of their CRM user; or 'pool NAME'.")
    ],
    because: Annotated[str, typer.Option("--because", help="Why; it is shown with the entry.")],
    leads: Annotated[
        float,
        typer.Option("--leads", min=-1000, max=1000, help="How many leads they are owed; below 0: how many fewer."),
    ] = 1,
    lead: Annotated[
        str,
        typer.Option(
            "--lead",
            help="The lead (its id) that was bad: its place in their caps is free again. With --leads -1: it is taken again.",
        ),
    ] = "",
    kind: Kind = "",
    by: Annotated[str, typer.Option("--by", help="Who says so; your user name when left out.")] = "",
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Gives a member a claim to leads, as an entry with author and reason: for a skipped turn, or a lead that was none (--lead).

    Caps count what was given: only a credit with --lead frees a place in them, and only --lead with --leads -1 takes it again.
    """
    author, reason = one_line(by, MOST) or getpass.getuser(), one_line(because, MOST)
    if not leads or not reason:
        problem("Say how many leads, and why." if not leads else "Say why, with --because.")
        raise typer.Exit(2)
    if lead and abs(leads) != 1:
        problem("A lead that was bad is credited as one: leave --leads out, or say --leads -1 to take that back.")
        raise typer.Exit(2)

    def work(desk: Desk) -> str:
        which = _named(desk.policy, pool)
        of = _kind(desk, which, kind)
        member = _member(desk, which, name)
        given = None
        try:
            if lead:
                of, given = desk.turn(which, member, lead)
            rotation, before = desk.adjust(which, of, member, leads, author=author, reason=reason, given=given)
        except ValueError as error:
            problem(f"{error}.")
            raise typer.Exit(1) from None
        claim = rotation.claim(rotation.number[member])
        said = (
            f"{desk.directory.name(member)} is now owed {_signed(claim)} leads in the pool {which} ({_signed(before)} before; "
            f"credits come out of the turns of all): entry {rotation.seq}."
        )
        if desk.policy.pools[which].bound is None:
            said += f" Its leads are shared by {desk.policy.pools[which].method}: there a claim decides between equals at most."
        return said + _in_caps(lead, given, leads)

    err.print(_changed(config, ledger, pool, work), markup=False)


def _in_caps(lead: str, given: datetime | None, leads: float) -> str:
    """What becomes of a member's caps by a credit (or debit) for that lead, "" for none."""
    if not lead:
        return ""
    if given is None:
        return f" Their caps stay as they are: when {lead} was given was not kept."
    return f" In their caps the place of {lead} is {'free' if leads > 0 else 'taken'} again."


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

    known = {f"{name}.{field}": kind for name, one in policy.entities.items() for field, kind in one.fields.items()}
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
        if known[path.strip()].type in ("number", "money"):
            try:
                value = float(text)
            except ValueError:
                problem(f"{path.strip()} is a number, and {text!r} is none.")
                raise typer.Exit(2) from None
        facts[entity] = {**(facts.get(entity) or {}), field: value}
    return facts


def _print(view: RotationView) -> None:
    of = f", {view.kind}" if view.kind else ""
    out.print(Text(f"{view.pool}{of}", style="bold").append(f"  {view.method}", style="default"))
    table = Table(box=None, pad_edge=False)
    # What decides who is next, where that is not the shortfall in leads.
    loads, values = view.method == "load balanced", any(abs(one.value) > 1e-6 for one in view.members)
    more = ["open"] * loads + ["owed in value"] * values
    for heading in (
        "member",
        "weight",
        "share",
        "ideal",
        "given",
        "shortfall",
        *more,
        "credits",
        "next",
        "caps",
        "now",
    ):
        table.add_column(heading, overflow="fold", justify="left" if heading in ("member", "caps", "now") else "right")
    for one in view.members:
        until = f" ({one.until:%Y-%m-%d %H:%M} UTC)" if one.until and one.why else ""
        table.add_row(
            Text(one_line(one.name)),
            f"{one.weight:g}",
            f"{one.share:.1%}" if one.share else "",
            f"{one.ideal:.2f}",
            str(one.assigned),
            _signed(one.shortfall),
            *([f"{one.load:g}"] if loads else []),
            *([_signed(one.value)] if values else []),
            f"{one.credits:+g}" if one.credits else "",
            str(one.next or ""),
            Text("; ".join(one.caps)),
            Text(one_line((one.why or available(one.not_for)) + until)),
        )
    out.print(table)
    if view.closed:
        out.print(Text(f"Closed: {view.closed}."))
    if view.next:
        names = {one.person: one.name for one in view.members}
        out.print(Text(f"Next: {one_line(names[view.next[0]])}: {view.because}."))
    far = f"{view.deviation:.2f} leads"
    if view.bound is not None:
        beyond = f", which is beyond its alarm of {view.bound:g} ({_evens_out(view)})"
        far += beyond if view.deviation > view.bound else f" (alarm: {view.bound:g})"
    waiting = "" if view.kind else f" Waiting: {view.waiting}."  # for the pool, whatever their kind
    out.print(Text(f"Furthest from their share: {far}.{waiting}"))
    if view.entries:
        out.print(_entries(view))
    out.print()


def _evens_out(view: RotationView) -> str:
    """What makes up for what members are owed."""
    credited = [f"{one_line(one.name)} {one.credits:+g}" for one in view.members if one.credits * one.shortfall > 0]
    if credited:
        return f"credits, which are made up for turn by turn, are part of it: {', '.join(credited)}"
    return "it evens out as who is owed is there again; where it grows, `pools credit` helps"


def _entries(view: RotationView) -> Table:
    """The pool ledger: every turn, credit, coming and going; the newest first."""
    names = {one.person: one.name for one in view.members}
    table = Table(box=None, pad_edge=False, title="entries", title_justify="left")
    for heading in ("entry", "at (UTC)", "what", "leads", "weight", "member", "by", "because", "decision"):
        table.add_column(
            heading, overflow="fold", justify="right" if heading in ("entry", "leads", "weight") else "left"
        )
    for one in view.entries:
        leads = -one.leads if one.what == "debit" else one.leads
        cells = (
            str(one.seq),
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            one.what,
            f"{leads:+g}" if leads else "",
            f"{one.weight:g}" if one.what in STANDS else "",
            names.get(one.person, one.person),
            one.author,
            one.why,
            one.decision_id[:8],
        )
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    return table


def _print_all(views: list[RotationView]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("pool", "kind", "method", "given", "there", "waiting", "furthest from share", "next"):
        table.add_column(heading, overflow="fold")
    for view in views:
        there = sum(one.available for one in view.members)
        table.add_row(
            Text(view.pool),
            Text(view.kind),
            view.method,
            str(sum(one.assigned for one in view.members)),
            f"{there} of {len(view.members)}",
            str(view.waiting),
            f"{view.deviation:.2f}",
            Text(next((one.name for one in view.members if view.next and one.person == view.next[0]), "")),
        )
    out.print(table)


def _print_simulated(found: Simulated, names: dict[str, str]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("member", "given", "ideal", "owed before", "owed after"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "member" else "right")
    for key, given in found.given.items():
        ideal, owed = found.ideal[key], found.owed.get(key, 0.0)
        table.add_row(
            Text(one_line(names[key])), str(given), f"{ideal:.2f}", _signed(owed), _signed(owed + ideal - given)
        )
    out.print(table)
    on = f"{found.overflowed} found nobody and went to {found.overflow}; " if found.overflow else ""
    far = "The leads of this pool do not go by turns, so nobody's share is promised."
    if found.sticky:
        far = f"Made-up leads have no {found.sticky}: none was kept with whoever had it before, all went in turn."
    if found.worst is not None:
        far = f"Nobody was ever further than {found.worst:.2f} leads from their share."
    err.print(
        f"{found.leads} leads to the pool {found.pool}: {on}{found.waited} had to wait, the longest "
        f"{timedelta(seconds=round(found.longest_wait))}; {found.left} are still waiting. {far}",
        markup=False,
    )


def _signed(leads: float) -> str:
    """Never -0.00."""
    return f"{round(leads, 2) + 0.0:+.2f}"
