"""``fingerpost people``: who is off or paused, day by day. What holds for long (hours, holidays, planned time off) is in the policy."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from sqlalchemy import Connection

from routing.cli.options import Config, Json, LedgerAt
from routing.cli.output import (
    err,
    live_policy,
    not_from,
    one_line,
    open_ledger,
    person_named,
    print_json,
    problem,
)
from routing.cli.people_page import print_entries, print_people, row_of, upcoming
from routing.core.availability.calendars import pools_served_by
from routing.ledger import holding, mirror, people
from routing.runtime.clock import utcnow
from rules.pools.checks import people_of

if TYPE_CHECKING:
    from routing.core.availability.known import Known
    from routing.core.availability.people import Availability
    from rules.policy import Policy
    from rules.pools.model import Person

app = typer.Typer(no_args_is_help=True)

MOST = 500  # characters of a reason or a name

KeptOut = Callable[[str], tuple[str, dict[str, str]]]  # what the CRMs say against a person (``_kept_out``)

Name = Annotated[
    str, typer.Argument(help="The person: name or e-mail address of people.csv, or the id of their user in a CRM.")
]
By = Annotated[str, typer.Option("--by", help="Who says so; your user name when left out.")]
Because = Annotated[str, typer.Option("--because", help="Why. Kept with the entry, not shown in explanations.")]


@app.command()
def off(
    name: Name,
    to: Annotated[str, typer.Option("--to", help="The last day (2026-12-31, with am for its morning) or moment.")],
    from_: Annotated[
        str, typer.Option("--from", help="The first day (with pm for its afternoon) or moment; else now.")
    ] = "",
    because: Because = "",
    by: By = "",
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Says that somebody is off: they get no leads from pools meanwhile. Days and times are those of their own time zone.

    2026-12-24 is the whole day, '2026-12-24 pm' its afternoon, '2026-12-24 15:30' a moment.
    """
    _enter("off", name, from_, to, because, by, open_ledger(config, ledger))


@app.command()
def pause(
    name: Name,
    until: Annotated[
        str, typer.Option("--until", help="A day or moment, as for `off`; else until `people resume`.")
    ] = "",
    because: Because = "",
    by: By = "",
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Takes somebody out of their pools from now on."""
    _enter("pause", name, "", until, because, by, open_ledger(config, ledger))


@app.command()
def resume(
    name: Name,
    entry: Annotated[
        int, typer.Option("--entry", help="Only this entry of `people list NAME`, also one that is to come.")
    ] = 0,
    because: Because = "",
    by: By = "",
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Ends what keeps somebody out now, entered with `pause` or `off`. Whoever waits for them is routed at once."""
    author, reason = _said(by, because)
    now = utcnow()

    def work(conn: Connection) -> tuple[Person, int, list[str], str]:
        policy = live_policy(conn)
        person = person_named(policy, conn, name)
        known = people.known(conn, now)
        of = _availability(policy, known)
        mine = [one for one in known.absences if one.person == person.key]
        later = {one.number: at for one in mine if (at := of.begins(one.person, one.begins)) > now}
        chosen = [one for one in mine if one.number == entry or not (entry or one.number in later)]
        to_come = [
            f"Entry {number} is still to come, from {of.in_words(person.key, at)}; "
            f"`fingerpost people resume '{person.name}' --entry {number}` ends it."
            for number, at in later.items()
        ]
        ended = people.end(conn, chosen, author=author, reason=reason, now=now)
        holding.hurry(conn, pools_served_by(policy, {person.key}), now, {person.key})
        why = _availability(policy, people.known(conn, now)).of(person.key, now).why
        standing, not_for = _kept_out(conn, policy)(person.key)
        why = "; ".join(dict.fromkeys(filter(None, (standing, why))))  # both: who is back at nine may have no user
        return person, ended, to_come, why or f"{person.name} can be given leads{not_from(not_for)}"

    person, ended, to_come, stands = open_ledger(config, ledger).repeated(work)
    if ended:
        err.print(f"{ended} {'entry' if ended == 1 else 'entries'} of {person.name} ended.", markup=False)
    elif entry:
        problem(f"{person.name} has no entry {entry} that is not over; nothing was changed.")
    else:
        problem(f"Nothing entered here keeps {person.name} out now; nothing was changed.")
    for said in () if entry else to_come:
        err.print(said, markup=False)
    err.print(f"{stands}.", markup=False)
    raise typer.Exit(0 if ended else 1)


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(help="One person, with all that was ever entered about them.")] = "",
    away: Annotated[bool, typer.Option("--away", help="Only who cannot receive leads now.")] = False,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Lists people: whether they can receive leads now, why not, until when, and what is entered."""
    now = utcnow()
    with open_ledger(config, ledger).read() as conn:
        policy = live_policy(conn)
        known = people.known(conn, now)
        kept_out = _kept_out(conn, policy)
        person = person_named(policy, conn, name) if name else None
        entered = people.history(conn, person.key) if person is not None else []
    availability = _availability(policy, known)
    rows = []
    for one in [person] if person is not None else policy.people.values():
        state, (standing, not_for) = availability.of(one.key, now), kept_out(one.key)
        if away and not (standing or state.why):
            continue
        until = None if standing else state.until
        absences = upcoming(policy, known, availability, one.key, now)
        rows.append(row_of(one, standing or state.why, not_for, until, absences))
    if as_json:
        for row in rows:
            print_json(row if person is None else {**row, "entries": entered})
        return
    print_people(rows)
    if person is not None:
        print_entries(entered)


def _enter(kind: Literal["off", "pause"], name: str, begins: str, ends: str, because: str, by: str, store: Any) -> None:
    author, reason = _said(by, because)
    now = utcnow()
    begins = begins or now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def work(conn: Connection) -> tuple[Policy, Person, datetime, datetime | None, str, Availability, KeptOut]:
        policy = live_policy(conn)
        kept_out = _kept_out(conn, policy)
        person = person_named(policy, conn, name)
        known = people.known(conn, now)
        before = _availability(policy, known)
        start, over = _span(before, person.key, begins, ends, now)
        mine = [one for one in known.absences if (one.person, one.kind) == (person.key, kind)]
        for number, since, until in [(one.number, *_times(before, one.person, one.begins, one.ends)) for one in mine]:
            longer = until is None or (over is not None and over < until)
            if since <= start and (until == over or longer):
                said = f" already, by entry {number}; nothing was entered"
                if until != over:
                    said += f". To end it sooner: `fingerpost people resume '{person.name}' --entry {number}`, then enter this"
                return policy, person, since, until, said, before, kept_out
        entry = people.enter(conn, person.key, kind, begins, ends, author=author, reason=reason, now=now)
        after = _availability(policy, people.known(conn, now))
        return policy, person, start, over, f": entry {entry.number}", after, kept_out

    policy, person, start, over, said, availability, kept_out = store.repeated(work)
    first = availability.in_words(person.key, start)
    until = f"to {availability.in_words(person.key, over)}" if over is not None else "until `fingerpost people resume`"
    what = "off" if kind == "off" else "paused"
    err.print(f"{person.name} is {what} from {first} {until}{said}.", markup=False)
    for pool in _left_empty(policy, availability, kept_out, person.key, max(start, now)):
        err.print(f"Then nobody is left in the pool {pool}.", style="yellow", markup=False)


def _times(of: Availability, key: str, begins: str, ends: str) -> tuple[datetime, datetime | None]:
    """Raises ValueError for what is no moment."""
    return of.begins(key, begins), of.ends(key, ends) if ends else None


def _span(of: Availability, key: str, begins: str, ends: str, now: datetime) -> tuple[datetime, datetime | None]:
    """From when to when; what is no time, or none to come, ends the command."""
    try:
        start, over = _times(of, key, begins, ends)
    except ValueError as error:
        _refuse(f"{error}.")
    if over is not None and over <= max(start, now):
        then = of.in_words(key, over)
        if over == start:
            skipped = " (a time that clocks skip is none)" if ":" in begins and ":" in ends else ""
            _refuse(f"That would be over when it begins, at {then}{skipped}; nothing was entered.")
        _refuse(f"That would be over at {then}, before it begins or before now; nothing was entered.")
    return start, over


def _left_empty(policy: Policy, availability: Availability, kept_out: KeptOut, key: str, at: datetime) -> list[str]:
    """The pools of that person in which nobody can be given leads then, hours aside."""
    found = []
    for name, pool in policy.pools.items():
        members = {who for who, weight in people_of(pool, policy.pools) if weight > 0}
        if key in members and not any(
            not kept_out(who)[0] and availability.of(who, at, hours=False).why is None for who in members
        ):
            found.append(name)
    return found


def _said(by: str, because: str) -> tuple[str, str]:
    return one_line(by, MOST) or getpass.getuser(), one_line(because, MOST)


def _availability(policy: Policy, known: Known) -> Availability:
    from routing.core.availability.people import Availability

    return Availability(policy, known)


def _kept_out(conn: Connection, policy: Policy) -> KeptOut:
    """What the CRMs say against a person: why they can receive records of none, "" while they can of one; else why not those of
    single CRMs. A CRM whose users are not known says nothing."""
    from routing.core.directory import FILE, Directory

    directory = Directory.build(policy, mirror.people(conn))
    systems = directory.systems or (FILE,)  # where none is known, what people.csv says

    def kept_out(key: str) -> tuple[str, dict[str, str]]:
        found = directory.kept_out(key, systems)
        return ("; ".join(dict.fromkeys(found.values())), {}) if len(found) == len(systems) else ("", found)

    return kept_out


def _refuse(why: str) -> NoReturn:
    problem(why)
    raise typer.Exit(2)
