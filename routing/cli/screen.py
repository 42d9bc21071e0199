"""The live screen of ``fingerpost run``: one line a decision, and below them where things stand."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from routing.cli.output import one_line
from routing.core.model import Decision
from routing.ledger.report import RunReport, percentile
from routing.runtime.feed import Happening

LINES_A_LOOK = 12  # more decisions than this in an eighth of a second are counted, not shown
STYLES = {"assign": "green", "keep": "cyan", "hold": "yellow", "reject": "red", "none": "dim"}


class Screen:
    """Watches the feed. ``tick`` prints what came since the last one; on a terminal a footer stays below."""

    def __init__(self, console: Console, name_of: Callable[[str], str], quiet: bool = False) -> None:
        """``name_of`` turns a person's key into a name. ``quiet`` leaves the decisions' lines out."""
        self._console, self._name_of, self._quiet = console, name_of, quiet
        self._counts: Counter[str] = Counter()
        self._latencies: deque[int] = deque(maxlen=2000)
        self._lines: deque[Text] = deque(maxlen=5000)
        self._lock = threading.Lock()
        self.backlog: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.policy = ""
        self.hint = ""
        self._live: Live | None = None

    def watch(self, happening: Happening) -> None:
        """Called from the daemon's threads."""
        with self._lock:
            self._note(happening.what, happening.count, happening.detail)

    def _note(self, what: str, count: int, detail: Any) -> None:
        self._counts[what] += count
        if what == "decided":
            entry, made = detail
            self._counts[made.outcome] += 1
            self._counts["corrections"] += len(made.corrections)
            if entry.event.kind == "created":
                self._counts["leads"] += 1
            if not self._quiet:
                self._lines.append(self._line(entry.event.values, made))
        elif what == "confirmed":
            owed, _fate, ended_ms = detail
            self._latencies.append(max(0, ended_ms - owed.occurred_ms))
        elif what in ("paused", "filling", "policy", "intake"):
            self._lines.append(Text(detail, style="yellow"))
        elif what == "parked":
            why = detail if isinstance(detail, str) else detail[1].detail
            self._lines.append(Text(f"parked: {one_line(why)}", style="red"))
        elif what == "superseded":
            self._lines.append(Text(f"{detail[0].write.record_id}: {one_line(detail[1].detail)}", style="magenta"))

    def _line(self, values: dict[str, Any], made: Decision) -> Text:
        who = one_line(str(values.get("company") or made.record_id), 28)
        line = Text(f"{made.decided_at:%H:%M:%S} ", style="dim", no_wrap=True, overflow="ellipsis")
        line.append(f"{made.system:<10.10} ", style="dim")
        line.append(f"{who:<28.28} ", style="bold")
        target = {"assign": "→ " + self._name_of(made.owner), "keep": "= " + self._name_of(made.owner)}
        line.append(f"{target.get(made.outcome, made.outcome):<20.20} ", style=STYLES[made.outcome])
        line.append(_why(made))
        line.append(f"  {made.decision_id[:8]}", style="dim")
        if made.corrections:
            fixed = ", ".join(f"{c.field} {c.old!r}→{c.new!r}" for c in made.corrections[:2])
            more = f" +{len(made.corrections) - 2}" if len(made.corrections) > 2 else ""
            line.append(f"  fixed {one_line(fixed, 80)}{more}", style="blue")
        return line

    def say(self, text: str) -> None:
        """A line of explanation among the decisions."""
        with self._lock:
            self._lines.append(Text(text, style="cyan"))

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live = Live(self._footer(), console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.tick()
        if self._live is not None:
            self._live.stop()

    def tick(self) -> None:
        """Prints what is new and renews the footer."""
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        if not self._quiet:
            hidden = max(0, len(lines) - LINES_A_LOOK) if self._live is not None else 0
            for line in lines[hidden:]:
                # A terminal's line is cut at its edge; a file or pipe gets the whole of it.
                self._console.print(line, no_wrap=True, overflow="ellipsis", soft_wrap=self._live is None)
            if hidden:
                self._console.print(f"… and {hidden} more decisions just now", style="dim")
        if self._live is not None:
            self._live.update(self._footer())

    def _footer(self) -> Group:
        with self._lock:
            counts, latencies = Counter(self._counts), sorted(self._latencies)
        p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
        table = Table.grid(padding=(0, 3))
        table.add_row(
            _figure("leads in", counts["leads"]),
            _figure("assigned", counts["assign"]),
            _figure("kept", counts["keep"]),
            _figure("held", counts["hold"]),
            _figure("fields corrected", counts["corrections"]),
            _figure("writes confirmed", counts["confirmed"]),
            _figure("parked", counts["parked"], "red"),
        )
        table.add_row(
            _figure("change to CRM p50", f"{p50} ms" if p50 is not None else "–"),
            _figure("p99", f"{p99} ms" if p99 is not None else "–"),
            _figure("backlog", f"{self.backlog.get('events', 0)} events"),
            _figure("owed", f"{self.backlog.get('writes', 0)} writes"),
            *(_figure(f"{system} calls", n) for system, n in sorted(self.calls.items())),
        )
        return Group(
            Text("─" * 60, style="dim"),
            table,
            Text(f"{self.policy}   {self.hint}", style="dim", no_wrap=True, overflow="ellipsis"),
        )


def _why(made: Decision) -> str:
    """The rung, the table's row, the pool: enough to find the rule. ``decisions show`` has the rest."""
    if made.outcome not in ("assign", "keep"):
        return one_line(made.reason or made.rung, 100)
    steps = [made.rung, made.rule, f"pool {made.pool}" if made.pool else ""]
    return one_line(" › ".join(step for step in steps if step), 100)


def _figure(name: str, value: object, style: str = "bold") -> Text:
    return Text(f"{name} ", style="dim").append(str(value), style=style if value else "dim")


def summary(report: RunReport, console: Console) -> None:
    """The table at the end of a run."""
    table = Table(title="What this run came to", show_header=False, box=None, title_justify="left")
    rows: list[tuple[str, object]] = [
        ("leads in", report.leads_in),
        ("assigned", report.assigned),
        ("kept with their owner", report.kept),
        ("held", report.held),
        ("rejected", report.rejected),
        ("records corrected", report.corrected),
        ("writes confirmed", report.writes_confirmed),
        ("superseded by a person", report.writes_superseded),
        ("parked", report.parked),
        ("still open", report.open),
        ("change in CRM to confirmed write, p50", _ms(report.latency_p50_ms)),
        ("change in CRM to confirmed write, p99", _ms(report.latency_p99_ms)),
    ]
    rows += [(f"{system} calls per 1,000 assignments", n) for system, n in sorted(report.calls_per_1000.items())]
    for name, value in rows:
        table.add_row(name, Text(str(value), justify="right"))
    console.print(table)
    pools = Table(
        "pool", "members", "assigned", "furthest from fair share", title="Pools", box=None, title_justify="left"
    )
    for pool in report.pools:
        pools.add_row(Text(pool.pool), str(pool.members), str(pool.assigned), f"{pool.deviation:.2f} leads")
    if report.pools:
        console.print(pools)


def _ms(value: int | None) -> str:
    return "–" if value is None else f"{value} ms"
