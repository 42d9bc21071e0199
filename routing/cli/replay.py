"""``fingerpost replay``: decides recorded events again, with the policy that decided them or with another."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routing.cli.options import Config, Json, LedgerAt

if TYPE_CHECKING:
    from routing.ledger.engine import Ledger
    from routing.runtime.replay import Replayed, Span
    from rules.policy import Policy

SHOWN = 10
MOST_DIGITS = 18  # of an event's number, which the ledger keeps in 64 bits
_SAYINGS = {
    "identical": "identical",
    "turn": "the same but for whose turn it was",
    "different": "different",
    "erased": "erased, and cannot be made again",
    "unproven": "cannot be made again",
}


def replay(
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="A date (from its beginning), a date and time (UTC), an event's number or a decision's id. From the first if left out.",
        ),
    ] = "",
    end: Annotated[
        str,
        typer.Option(
            "--to",
            help="Likewise: a date, a number and an id are included, a date and time is not. To the last if left out.",
        ),
    ] = "",
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="DIR", help="What would this policy have decided?")
    ] = None,
    record: Annotated[str, typer.Option("--record", metavar="ID", help="Only decisions on this CRM record.")] = "",
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Decides recorded events again. With the recorded policy every decision must come out byte for byte the same; with --policy
    it tells what would have been decided otherwise. Nothing is changed anywhere.

    With --policy, decisions that this policy would make where none was made are not found. A pool stands as it was recorded until a
    lead is given otherwise, and goes on from there (with --record it always stands as recorded); caps count what was given before, and
    what the replay gave. How many leads somebody had open then is recorded of load-balanced pools only, for their turns: caps on open
    leads count none.

    Exit codes: 0 all are the same (or were erased at a person's request); 1 some differ or cannot be made again, or there are
    none; 2 the call is wrong.
    """
    from routing.cli.output import open_ledger
    from routing.runtime.policy_folder import read_folder
    from routing.runtime.replay import Replay
    from rules.policy import compile_policy

    store = open_ledger(config, ledger)
    span = _span(store, start, end, record)
    trial = compile_policy(read_folder(policy)) if policy is not None else None
    tally = _Tally(as_json)
    for one in Replay(store, trial).run(span):
        tally.take(one)
    tally.report(trial)
    raise typer.Exit(0 if tally.well else 1)


class _Tally:
    """Counts, and tells what is not identical: the first ones in words, all of them as JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._verdicts: Counter[str] = Counter()
        self._was = {name: Counter[str]() for name in ("outcome", "owner", "pool", "rung")}
        self._now = {name: Counter[str]() for name in self._was}

    @property
    def well(self) -> bool:
        bad = self._verdicts["different"] + self._verdicts["unproven"] + self._verdicts["turn"]
        return bool(self._verdicts) and not bad

    def take(self, one: Replayed) -> None:
        self._verdicts[one.verdict] += 1
        for counts, made in ((self._was, one.before), (self._now, one.after)):
            if made is not None:
                for name, counter in counts.items():
                    counter[getattr(made, name) or "nobody or none"] += 1
        if one.verdict == "identical":
            return
        if self._as_json:
            self._line(one)
        elif self._verdicts[one.verdict] <= SHOWN:
            self._tell(one)

    def _line(self, one: Replayed) -> None:
        from routing.cli.output import print_json

        print_json(
            {
                "decision_id": one.recorded.decision_id,
                "record": one.recorded.ref,
                "seq": one.recorded.seq,
                "verdict": one.verdict,
                "said": one.said,
                "recorded": _brief(one.before),
                "again": _brief(one.after),
            }
        )

    def _tell(self, one: Replayed) -> None:
        from routing.cli.output import one_line, out
        from routing.runtime.replay import deciding_step

        out.print(
            f"{one.verdict}: decision {one.recorded.decision_id[:8]} on {one.recorded.ref}: {one_line(one.said)}",
            markup=False,
        )
        if one.verdict == "different" and one.before is not None and one.after is not None:
            was, now = deciding_step(one.before), deciding_step(one.after)
            if was != now:
                out.print(f"    recorded: {one_line(was)}\n    now:      {one_line(now)}", markup=False)
        if self._verdicts[one.verdict] == SHOWN:
            out.print(f"… more that are {one.verdict} are only counted; --json lists all.", markup=False)

    def report(self, trial: Policy | None) -> None:
        from routing.cli.output import err, print_json
        from routing.runtime.replay_pools import counts_open

        blind = counts_open(trial) if trial is not None and not self.well else []
        if blind:
            err.print(
                f"Note: caps on open leads (in {', '.join(blind)}) count none here: how many somebody had open then is not recorded.",
                markup=False,
            )
        if self._as_json:
            print_json(
                {"decisions": self._verdicts.total(), **self._verdicts, **(self._shifts() if trial is not None else {})}
            )
            return
        if not self._verdicts:
            err.print("No decision lies there; `fingerpost decisions list` shows the newest.")
            return
        parts = [f"{self._verdicts[name]:,} {said}" for name, said in _SAYINGS.items() if self._verdicts[name]]
        err.print(f"{self._verdicts.total():,} decisions made again: {', '.join(parts)}.")
        if trial is not None:
            for name, moved in self._shifts().items():
                for value, (was, now) in moved.items():
                    err.print(f"  {name} {value}: {was:,} recorded, {now:,} with this policy", markup=False)

    def _shifts(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Per column the values whose number would be another."""
        return {
            name: {
                value: (was[value], self._now[name][value])
                for value in sorted(was | self._now[name])
                if was[value] != self._now[name][value]
            }
            for name, was in self._was.items()
        }


def _brief(made: Any) -> dict[str, Any] | None:
    if made is None:
        return None
    return {name: getattr(made, name) for name in ("outcome", "owner", "pool", "rung", "rule", "reason")}


def _span(store: Ledger, start: str, end: str, record: str) -> Span:
    from routing.cli.output import problem
    from routing.runtime.replay import Span

    first, last = _point(store, "--from", start, False), _point(store, "--to", end, True)
    numbers = isinstance(first, int) and isinstance(last, int) and last < first
    moments = isinstance(first, datetime) and isinstance(last, datetime) and last < first
    if numbers or moments:
        problem(f"--to {end!r} is before --from {start!r}; nothing was done.")
        raise typer.Exit(2)
    return Span(
        after=first - 1 if isinstance(first, int) else 0,
        until=last if isinstance(last, int) else None,
        since_ms=_ms(first),
        until_ms=_ms(last),
        record_id=record,
    )


def _ms(point: int | datetime | None) -> int | None:
    from routing.ledger.schema import to_ms

    return to_ms(point) if isinstance(point, datetime) else None


def _point(store: Ledger, option: str, text: str, last: bool) -> int | datetime | None:
    """What was meant: the number of an event, or a moment; as the end, the last one."""
    from routing.cli import spans
    from routing.cli.output import problem
    from routing.ledger import evidence

    if not text:
        return None
    if text.isdecimal() and len(text) <= MOST_DIGITS:
        return int(text)
    try:
        return spans.moment(text, last=last) - timedelta(milliseconds=last)  # the ledger's clock ticks in these
    except (ValueError, OverflowError):
        with store.read() as conn:
            found = evidence.seq_of(conn, text)
    if len(found) != 1:
        why = (
            "fits several decisions"
            if found
            else "is neither a date, a date-time, an event's number nor a decision's id"
        )
        problem(f"{option} {text!r} {why}; nothing was done.")
        raise typer.Exit(2)
    return found[0]
