"""What the storms came to, as the table that is printed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from tests.processes import Outcome

HEADS = ("fault", "times", "events", "accepted = settled", "written twice", "equal to calm", "longest stop")


class Line(Struct):
    """One storm. ``equal`` stays False when it did not come to its end."""

    fault: str
    times: str = ""
    accepted: int = 0
    settled: int = 0
    twice: int = 0
    equal: bool = False
    longest_stop: float = 0.0

    def enter(self, outcome: Outcome, accepted: int, settled: int) -> None:
        """What the storm came to, before it is compared."""
        self.accepted, self.settled = accepted, settled
        self.twice, self.longest_stop = outcome.twice, outcome.longest_stop

    def cells(self) -> tuple[str, ...]:
        balance = "yes" if self.accepted == self.settled else f"NO: {self.settled:,}"
        stop = f"{self.longest_stop:.1f} s"
        return (
            self.fault,
            self.times,
            f"{self.accepted:,}",
            balance if self.accepted else "?",
            str(self.twice),
            "yes" if self.equal else "NO",
            stop,
        )


LINES: list[Line] = []


@contextmanager
def storm(fault: str) -> Iterator[Line]:
    """A line of the table for what happens within."""
    line = Line(fault)
    LINES.append(line)
    yield line
    line.equal = True


def table() -> list[str]:
    """The lines of the table, of equal width."""
    rows = [HEADS, *(line.cells() for line in LINES)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADS))]
    rows.insert(1, tuple("-" * width for width in widths))
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
