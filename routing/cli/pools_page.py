"""How ``fingerpost pools`` shows a pool as it stands, and what came of made-up leads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from routing.cli.output import available, err, one_line, out
from routing.core.distribution.entries import STANDS
from rules.nouns import system_name

if TYPE_CHECKING:
    from routing.runtime.pool_view import Coming, RotationView
    from routing.runtime.simulating import Simulated

_BY_HAND = ", but for credits by hand, which turns make up for"
_EVENS_OUT = "it evens out as who is owed is there again; where it grows, `pools credit` helps"


def print_view(view: RotationView) -> None:
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
            signed(one.shortfall),
            *([f"{one.load:g}"] if loads else []),
            *([signed(one.value)] if values else []),
            f"{one.credits:+g}" if one.credits else "",
            ", ".join(f"{turn} {system_name(system)}".rstrip() for system, turn in one.next.items()),
            Text("; ".join(one.caps)),
            Text(one_line((one.why or available(one.not_for)) + until)),
        )
    out.print(table)
    if view.closed:
        out.print(Text(f"Closed: {view.closed}."))
    for coming in () if view.closed else view.next:
        leads = f" for {system_name(coming.system)} leads" if coming.system else ""
        out.print(Text(f"Next{leads}: {_first(view, coming)}: {coming.because}."))
    far = f"{view.deviation:.2f} leads"
    if any(abs(one.shortfall) > view.deviation + 0.005 for one in view.members):
        far += _BY_HAND
    if view.bound is not None:
        beyond = f", which is beyond its alarm of {view.bound:g} ({_EVENS_OUT})"
        far += beyond if view.deviation > view.bound else f" (alarm: {view.bound:g})"
    waiting = "" if view.kind else f" Waiting: {view.waiting}."  # for the pool, whatever their kind
    out.print(Text(f"Furthest from their share: {far}.{waiting}"))
    if view.entries:
        out.print(_entries(view))
    out.print()


def _first(view: RotationView, coming: Coming) -> str:
    return next((one_line(one.name) for one in view.members if one.person in coming.people[:1]), "nobody")


def _in_short(view: RotationView, coming: Coming) -> str:
    first = _first(view, coming)
    if coming.system:
        return f"{first} ({system_name(coming.system)})"
    return first if coming.people else ""


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


def print_all(views: list[RotationView]) -> None:
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
            Text("" if view.closed else ", ".join(_in_short(view, one) for one in view.next)),
        )
    out.print(table)


def print_simulated(found: Simulated, names: dict[str, str]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("member", "given", "ideal", "owed before", "owed after"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "member" else "right")
    for key, given in found.given.items():
        ideal, owed = found.ideal[key], found.owed.get(key, 0.0)
        table.add_row(
            Text(one_line(names[key])), str(given), f"{ideal:.2f}", signed(owed), signed(owed + ideal - given)
        )
    out.print(table)
    on = f"{found.overflowed} found nobody and went to {found.overflow}; " if found.overflow else ""
    far = "The leads of this pool do not go by turns, so nobody's share is promised."
    if found.sticky:
        far = f"Made-up leads have no {found.sticky}: none was kept with whoever had it before, all went in turn."
    if found.worst is not None:
        far = (
            f"Nobody was ever further than {found.worst:.2f} leads from their share{_BY_HAND if found.by_hand else ''}."
        )
    err.print(
        f"{found.leads} leads to the pool {found.pool}: {on}{found.waited} had to wait, the longest "
        f"{timedelta(seconds=round(found.longest_wait))}; {found.left} are still waiting. {far}",
        markup=False,
    )
    if found.like:
        came = " and ".join(f"{leads} from {system_name(system)}" for system, leads in found.systems.items())
        err.print(f"They are like the last {found.like} of the pool, over and over: {came}.", markup=False)
    for key, whys in found.kept_out.items():
        of = " or ".join(system_name(system) for system in whys)
        err.print(f"{names[key]} could have no leads of {of}: {'; '.join(whys.values())}.", markup=False)


def signed(leads: float) -> str:
    """Never -0.00."""
    return f"{round(leads, 2) + 0.0:+.2f}"
