"""A playbook as one HTML file that needs nothing else: no script, no picture, no address is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rules.docs.page import Bullets, Code, Grid, Link, Page, Paragraph, Part, Section, Step, Steps, Strong, Words, seen
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


def html(page: Page) -> str:
    """The page; the same page makes the same text."""
    return "\n".join(_page(page)) + "\n"


def _page(page: Page) -> Iterator[str]:
    yield f"{_HEAD}<title>{_plain(page.title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>"
    yield '<nav aria-label="Contents"><p>Contents</p><ul>'
    for section in page.sections:
        below = "".join(f'<li><a href="#{one.anchor}">{_plain(one.title)}</a></li>' for one in section.sections)
        inner = f"<ul>{below}</ul>" if below else ""
        yield f'<li><a href="#{section.anchor}">{_plain(section.title)}</a>{inner}</li>'
    yield "</ul></nav>\n<main>"
    yield f"<header><h1>{_plain(page.title)}</h1><p>{_words(page.intro)}</p>"
    facts = "".join(f"<div><dd>{_plain(number)}</dd><dt>{_plain(what)}</dt></div>" for what, number in page.facts)
    yield f"<dl>{facts}</dl></header>"
    for section in page.sections:
        yield from _section(section, 2)
    yield f"<footer>{_plain(page.foot)}</footer>\n</main>\n</body>\n</html>"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f'<section id="{section.anchor}"><h{level}>{_plain(section.title)}</h{level}>'
    for part in section.parts:
        yield from _part(part)
    for one in section.sections:
        yield from _section(one, level + 1)
    yield "</section>"


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Paragraph):
        yield f"<p>{_words(part.words)}</p>"
    elif isinstance(part, Bullets):
        yield "<ul>" + "".join(f"<li>{_words(item)}</li>" for item in part.items) + "</ul>"
    elif isinstance(part, Grid):
        head = "".join(f'<th scope="col">{_plain(cell)}</th>' for cell in part.head)
        yield f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>'
        for row in part.rows:
            yield "<tr>" + "".join(f"<td>{_words(cell)}</td>" for cell in row) + "</tr>"
        yield "</tbody></table></div>"
    elif isinstance(part, Steps):
        yield from _steps(part.steps)


def _steps(steps: tuple[Step, ...]) -> Iterator[str]:
    yield '<ol class="ladder">'
    for step in steps:
        tone = f' class="{step.tone}"' if step.tone else ""
        yield f'<li id="{step.anchor}"{tone}><div class="rung"><b class="name">{_plain(step.title)}</b>'
        if step.when:
            yield f'<p class="when">{_words(step.when)}</p>'
        if step.does:
            yield f'<p class="does">{_words(step.does)}</p>'
        for words in step.more:
            yield f'<p class="more">{_words(words)}</p>'
        if step.written:
            yield f'<p class="written"><code>{_plain(step.written)}</code></p>'
        yield "</div>"
        if step.inside:
            yield from _steps(step.inside)
        yield "</li>"
    yield "</ol>"


def _words(words: Words) -> str:
    found = []
    for one in words:
        if isinstance(one, Strong):
            found.append(f"<strong>{_plain(one.text)}</strong>")
        elif isinstance(one, Link):
            found.append(f'<a href="#{one.to}">{_plain(one.text)}</a>')
        elif isinstance(one, Code):
            found.append(f"<code>{_plain(one.text)}</code>")
        else:
            before, after = " " * one[:1].isspace(), " " * one[-1:].isspace()
            found.append(f"{before}{_plain(one)}{after}")
    return "".join(found)


def _plain(text: str) -> str:
    return escape(seen(text))
