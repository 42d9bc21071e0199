"""A report as one HTML file that needs nothing else: tables, and bars drawn as SVG. No script, and no address is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from msgspec import Struct

from rules.docs.style import STYLE

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
"""
_OWN_STYLE = """\
body { display: block; }
main { margin: 0 auto; }
main { max-width: 86rem; }
th, td { padding: .45rem .6rem; overflow-wrap: anywhere; }
td { min-width: 3rem; }
td.text { min-width: 9rem; }
td.number { white-space: nowrap; }
td.number, th.number { text-align: right; }
th.number { overflow-wrap: normal; }
svg { display: block; width: 100%; max-width: 60rem; height: auto; margin: 1rem 0; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); }
svg .soft { fill: var(--soft); }
svg .axis { stroke: var(--line); }
svg .s0 { fill: var(--go); } svg .s1 { fill: var(--keep); } svg .s2 { fill: var(--stop); } svg .s3 { fill: var(--soft); }
svg .s4 { fill: var(--ink); }
"""
# In units of the drawing, which is scaled to the width of the page.
_WIDE, _LABEL, _ROW, _BAR, _RIGHT = 900, 240, 26, 16, 120
_MOST_BARS = 60
_LABEL_LETTERS = 30


class Bar(Struct, frozen=True):
    """One line of a plot: ``parts`` are lengths one behind the other, one for each name of ``Plot.series``. ``said`` stands at its end."""

    label: str
    parts: tuple[float, ...]
    said: str


class Plot(Struct, frozen=True):
    """Horizontal bars. ``marks`` are drawn as lines across, each with what it says."""

    title: str
    series: tuple[str, ...]
    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...] = ()


class Grid(Struct, frozen=True):
    """A table of plain texts; those of ``texts`` are read from the left, all other columns are numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int] = frozenset({0})


class Section(Struct, frozen=True):
    title: str
    note: str
    parts: tuple[Grid | Plot, ...]


def page(title: str, sections: Sequence[Section]) -> str:
    """The file's text; the same report makes the same text."""
    return "\n".join(_page(title, sections)) + "\n"


def _page(title: str, sections: Sequence[Section]) -> Iterator[str]:
    yield f"{_HEAD}<title>{escape(title)}</title>\n<style>\n{STYLE}{_OWN_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<header><h1>{escape(title)}</h1></header>"
    for section in sections:
        yield f"<section><h2>{escape(section.title)}</h2>" if section.title else "<section>"
        if section.note:
            yield f"<p>{escape(section.note)}</p>"
        for part in section.parts:
            yield _plot(part) if isinstance(part, Plot) else _grid(part)
        yield "</section>"
    yield "</main>\n</body>\n</html>"


def _grid(grid: Grid) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = ["text" if n in grid.texts else "number" for n in range(len(cells))]
        return "".join(f'<{tag} class="{kind}">{escape(cell)}</{tag}>' for kind, cell in zip(kinds, cells, strict=True))

    rows = "".join(f"<tr>{row(one, 'td')}</tr>" for one in grid.rows)
    return f'<div class="wide"><table><thead><tr>{row(grid.head, "th")}</tr></thead><tbody>{rows}</tbody></table></div>'


def _plot(plot: Plot) -> str:
    bars = plot.bars[:_MOST_BARS]
    longest = max([sum(bar.parts) for bar in bars] + [mark for mark, _ in plot.marks] + [1e-9])
    room = _WIDE - _LABEL - _RIGHT
    top = 56 if plot.marks else 44 if len(plot.series) > 1 else 32
    height = top + _ROW * len(bars) + 12
    drawn = [
        f'<svg viewBox="0 0 {_WIDE} {height}" role="img" aria-label="{escape(plot.title)}">',
        f'<text x="0" y="14" font-weight="600">{escape(plot.title)}</text>',
        *_legend(plot.series),
    ]
    for at, said in plot.marks:
        x = _LABEL + room * at / longest
        drawn.append(
            f'<line class="axis" x1="{x:.1f}" y1="{top - 8}" x2="{x:.1f}" y2="{height - 8}" stroke-dasharray="4 3"/>'
        )
        drawn.append(f'<text class="soft" x="{x:.1f}" y="{top - 12}" text-anchor="middle">{escape(said)}</text>')
    drawn.append(f'<line class="axis" x1="{_LABEL}" y1="{top - 4}" x2="{_LABEL}" y2="{height - 8}"/>')
    for n, bar in enumerate(bars):
        drawn += _bar(bar, top + n * _ROW, room / longest)
    drawn.append("</svg>")
    if len(plot.bars) > _MOST_BARS:
        drawn.append(f"<p>The first {_MOST_BARS} of {len(plot.bars)} are drawn; the table has all.</p>")
    return "".join(drawn)


def _legend(series: Sequence[str]) -> Iterator[str]:
    if len(series) < 2:
        return
    x = _LABEL
    for n, name in enumerate(series):
        yield f'<rect class="s{n % 5}" x="{x}" y="20" width="10" height="10"/>'
        yield f'<text class="soft" x="{x + 15}" y="29">{escape(name)}</text>'
        x += 30 + 7 * len(name)


def _bar(bar: Bar, y: float, scale: float) -> Iterator[str]:
    label = bar.label if len(bar.label) <= _LABEL_LETTERS else bar.label[: _LABEL_LETTERS - 1] + "…"
    yield f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end"><title>{escape(bar.label)}</title>{escape(label)}</text>'
    x = float(_LABEL)
    for n, length in enumerate(bar.parts):
        width = max(0.0, length) * scale
        if width:
            yield f'<rect class="s{n % 5}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
        x += width
    yield f'<text class="soft" x="{x + 6:.1f}" y="{y + 13}">{escape(bar.said)}</text>'
