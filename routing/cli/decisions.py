"""``fingerpost decisions``: what was decided, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from routing.cli.options import Config, Json, LedgerAt
from routing.cli.output import err, one_line, open_ledger, out, person_named, policy_if_live, print_json
from routing.core.model import Decision, Step
from routing.core.sla.model import ClockState
from routing.core.sla.wording import span
from routing.ledger import clocks, decisions, outbox
from routing.ledger.schema import from_ms, ref_of
from routing.runtime.story import told

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from routing.core.directory import Directory
    from rules.policy import Policy

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest first.")] = 20,
    outcome: Annotated[str, typer.Option(help="Only assign, keep, hold, reject or none.")] = "",
    owner: Annotated[
        str, typer.Option(help="Only those given to this person: name, e-mail address or the id of their CRM user.")
    ] = "",
    pool: Annotated[str, typer.Option(help="Only those out of this pool.")] = "",
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Lists decisions, the newest first."""
    with open_ledger(config, ledger).read() as conn:
        found = decisions.recent(conn, limit, outcome=outcome, owner=_key_of(conn, owner), pool=pool)
    if as_json:
        for made in found:
            print_json(made)
    elif found:
        out.print(_table(found))
    else:
        err.print("No decision fits.")
    raise typer.Exit(0 if found else 1)


def _key_of(conn: Connection, owner: str) -> str:
    """The key of whom that means; an e-mail address also of somebody who left people.csv, or has another one now."""
    policy = policy_if_live(conn)
    return owner.lower() if "@" in owner or policy is None or not owner else person_named(policy, conn, owner).key


def _table(found: list[Decision]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, room in (("id", 8), ("decided (UTC)", 14), ("system", 10), ("record", 18), ("outcome", 7)):
        table.add_column(heading, no_wrap=True, min_width=room)
    table.add_column("owner", no_wrap=True, overflow="ellipsis")
    table.add_column("rung", no_wrap=True, overflow="ellipsis")
    for made in found:
        when = f"{made.decided_at:%m-%d %H:%M:%S}"
        cells = (made.decision_id[:8], when, made.system, made.record_id, made.outcome, made.owner, made.rung)
        table.add_row(*(Text(one_line(cell, 100)) for cell in cells))
    return table


@app.command()
def show(
    ident: Annotated[
        str, typer.Argument(metavar="ID", help="A decision's id (its beginning is enough), or a CRM record's id.")
    ],
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Tells one decision as a story: each rung with the values that decided it, each candidate, each write."""
    with open_ledger(config, ledger).read() as conn:
        one = decisions.get(conn, ident)
        found = [one] if one else decisions.of_record(conn, ident)
        writes = {made.decision_id: outbox.of_decision(conn, made.decision_id) for made in found}
        refs = {ref_of(made.system, made.entity, made.record_id) for made in found}
        timed = [state for ref in sorted(refs) for state in clocks.of_record(conn, ref)]
        names = Names.live(conn)
    if not found:
        err.print(
            f"There is no decision {ident!r}, or its beginning fits several; `fingerpost decisions list` shows ids."
        )
        raise typer.Exit(1)
    for made in found:
        if as_json:
            print_json({"decision": made, "writes": writes[made.decision_id]})
        else:
            out.print(story(made, writes[made.decision_id], names))
    if not as_json:
        out.print(clock_lines(timed, names), end="")


class Names:
    """What people and queues are called: by a person's key, and by their ids in a CRM."""

    def __init__(self, policy: Policy | None = None, directory: Directory | None = None) -> None:
        self._directory = directory
        queues = policy.queues if policy is not None else {}
        self._queues = {(system, crm_id): name for name, ids in queues.items() for system, crm_id in ids.items()}

    @classmethod
    def live(cls, conn: Connection) -> Names:
        """As the live policy has them; without one everybody is called as the ledger does."""
        from routing.core.directory import Directory
        from routing.ledger import mirror

        policy = policy_if_live(conn)
        return cls() if policy is None else cls(policy, Directory.build(policy, mirror.people(conn)))

    def of(self, key: str) -> str:
        """The name of the person with that key."""
        return self._directory.name(key) if self._directory is not None else key

    def behind(self, system: str, crm_id: object) -> str:
        """``Ana Diaz`` or ``the queue Intake`` for an id of that CRM; "" for one that nobody knows."""
        queue = self._queues.get((system, str(crm_id)))
        if queue is not None or self._directory is None:
            return f"the queue {queue}" if queue is not None else ""
        key = self._directory.key_of(system, str(crm_id))
        return self._directory.name(key) if key else ""


def story(made: Decision, writes: list[dict[str, Any]], names: Names) -> Text:
    """A decision in words. Values come from the CRM and are printed as they are, never as markup."""
    text = Text()
    given = next((one["fields"]["owner"] for one in writes if one["kind"] == "update" and "owner" in one["fields"]), "")
    owner = names.of(made.owner) if made.owner else names.behind(made.system, given) or "a queue"
    who = {"assign": f"goes to {owner}", "keep": f"stays with {owner}", "hold": "is on hold"}
    verb = who.get(made.outcome, {"reject": "was rejected", "none": "keeps its owner"}.get(made.outcome, made.outcome))
    text.append(f"{made.entity} {made.record_id} in {made.system} {verb}\n", style="bold")
    text.append(f"  {one_line(made.reason)}\n")
    text.append(
        f"  decided {made.decided_at:%Y-%m-%d %H:%M:%S} UTC, policy {made.policy[:12]}, decision {made.decision_id}\n"
    )
    _section(text, "Corrected", [f"{c.field}: {c.old!r} → {c.new!r}  ({c.reason})" for c in made.corrections])
    _section(text, "Accounts considered", [told(c) for c in made.candidates])
    text.append("\nHow it was decided\n", style="bold")
    for step in made.trace:
        _step(text, step)
    _section(
        text,
        f"The pool {made.pool} at that moment",
        [
            f"{names.of(m.person)}: {m.assigned} given, fair share {m.ideal:.2f}"
            + (f", weight {m.weight:g}" if m.weight != 1 else "")
            + (f", {m.load:g} open" if m.load is not None else "")
            + (f" — not now: {m.unavailable}" if m.unavailable else "")
            for m in made.members
        ],
    )
    _section(text, "Written", [_write(w, names) for w in writes])
    return text


def clock_lines(states: list[ClockState], names: Names) -> Text:
    """A record's SLA clocks, the oldest first; nothing when it never had one."""
    text = Text()
    _section(text, "SLA clocks", [_clock(one, names) for one in states])
    return text


def _clock(one: ClockState, names: Names) -> str:
    ran = f"{span(one.spent)} of {span(one.limit)}" if not one.open else f"of {span(one.limit)}"
    late = f", overdue since {one.breached_at:%Y-%m-%d %H:%M} UTC" if one.breached_at else ""
    due = f", next step {one.due_at:%Y-%m-%d %H:%M} UTC" if one.due_at else ""
    why = f": {one.why}" if one.why else ""
    whose = f" for {names.of(one.person)}" if one.person else ""
    return f"{one.name}{whose}, since {one.started_at:%Y-%m-%d %H:%M} UTC, {ran}: {one.state}{why}{late}{due}"


def _section(text: Text, heading: str, lines: list[str]) -> None:
    if lines:
        text.append(f"\n{heading}\n", style="bold")
        for line in lines:
            text.append(f"  {one_line(line)}\n")


def _step(text: Text, step: Step) -> None:
    text.append("  ✓ " if step.held else "  · ", style="green" if step.held else "dim")
    text.append(one_line(f"{step.stage}: {step.name}"))
    details = [step.condition and f"when {step.condition}", step.rule and f"by {step.rule}", step.note]
    details += [f"{name} is {'blank' if value in (None, '') else repr(value)}" for name, value in step.values.items()]
    told = "; ".join(detail for detail in details if detail)
    text.append(f"\n      {one_line(told)}\n" if told else "\n", style="dim")


def _write(write: dict[str, Any], names: Names) -> str:
    given, system = write["fields"], write["system"]
    if write["kind"] == "convert":
        into = f" (as {given['contact']})" if given.get("contact") else ""
        deal = ", with an opportunity" if given.get("opportunity") else ""
        fields = f"{write['entity']} becomes a contact of account {given.get('account')}{into}{deal}"
    elif write["kind"] == "merge":
        into = f"into {given['into']}" if given.get("into") else f"with {', '.join(given.get('merged', ()))}, and stays"
        fields = f"{write['entity']} is merged {into}"
    elif write["kind"] == "create" and write["entity"] == "association":
        fields = f"joined to {given.get('to_entity')} {given.get('to')}"
    elif write["kind"] == "create" and write["entity"] == "campaign_member":
        status = f" as {given['status']}" if given.get("status") else ""
        fields = f"added to the campaign {given.get('campaign')}{status}"
    elif write["kind"] == "create":
        due = f", due {given['due'][:16].replace('T', ' ')} UTC" if "due" in given else ""
        fields = f"a {write['entity']} for {_named(given.get('owner'), system, names)}{due}: {given.get('subject')}"
    else:
        fields = ", ".join(
            f"{name} = {_named(value, system, names) if name == 'owner' else repr(value)}"
            for name, value in given.items()
        )
    at = f" at {from_ms(write['ended_ms']):%H:%M:%S.%f}"[:-3] + " UTC" if write["ended_ms"] else ""
    return f"{write['system']}: {fields}: {write['state']}{at}" + (f" ({write['detail']})" if write["detail"] else "")


def _named(crm_id: Any, system: str, names: Names) -> str:
    """An id of a person or queue, and who that is."""
    name = names.behind(system, crm_id)
    return f"{name} ({crm_id})" if name else repr(crm_id)
