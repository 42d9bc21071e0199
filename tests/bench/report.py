"""One figure a line: what was measured, what was promised, and the ratio between them."""

from __future__ import annotations

from msgspec import Struct


class Line(Struct, frozen=True):
    """``promised`` None where there is no promise. ``at_least``: more is better; else less is."""

    what: str
    measured: float
    unit: str
    promised: float | None = None
    at_least: bool = True

    @property
    def kept(self) -> bool:
        if self.promised is None:
            return True
        return self.measured >= self.promised if self.at_least else self.measured <= self.promised

    @property
    def ratio(self) -> float | None:
        """How many times better than promised."""
        if not self.promised or not self.measured:
            return None
        return self.measured / self.promised if self.at_least else self.promised / self.measured


def show(title: str, lines: list[Line]) -> bool:
    """Prints the lines; whether every promise was kept."""
    print(f"\n{title}")
    for line in lines:
        promise = ""
        if line.promised is not None:
            sign = "≥" if line.at_least else "≤"
            ratio = f", {line.ratio:.2f} times as good" if line.ratio else ""
            promise = f"   (promised {sign} {line.promised:,.6g}{ratio}{'' if line.kept else '  NOT KEPT'})"
        print(f"  {line.what:<58} {line.measured:>12,.6g} {line.unit:<10}{promise}")
    return all(line.kept for line in lines)
