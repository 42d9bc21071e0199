"""Conditions, and parts of them, that hold for every record or for none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rules.language.mistakes import ConditionError
from rules.language.normal import Alternative, normal_form
from rules.language.syntax import Both, Changed, Either, Expression, Named, Negation, Span, Test, together
from rules.source import Place, Report
from rules.yamlfile import Scalar

MAX_PARTS = 200  # of one condition that are looked at one by one


def check_condition(
    tree: Expression, written: Scalar, report: Report, known: Sequence[Alternative] | None = None
) -> None:
    """Warns where a condition always or never holds, or a part of it does. ``known`` is its normal form, where there is one."""
    if not known and _never(tree):
        at, message = _culprit(tree)
        report.warn(_place(written, at), message, "it asks for something and for its opposite")
        return
    if _always(tree):
        report.warn(
            _place(written, reach(tree)), "this always holds, whatever the record", "leave it out, or ask for more"
        )
        return
    for part, always in _parts(tree):
        what = "this part always holds: it asks for nothing" if always else "this part can never hold"
        report.warn(_place(written, reach(part)), what, "leave it out, or mend it")


def _place(written: Scalar, span: Span) -> Place:
    place = written.at(*span)
    line = place.source.line(place.line)
    length = max(1, min(place.length, len(line.rstrip()) - place.column + 1))
    return Place(place.source, place.line, place.column, length)


def reach(part: Expression) -> Span:
    """From where to where a part is written."""
    if isinstance(part, (Both, Either)):
        return (reach(part.parts[0])[0], reach(part.parts[-1])[1])
    return reach(part.part) if isinstance(part, Negation) else part.span


def _never(tree: Expression) -> bool:
    """Whether it can be seen never to hold; not when it is too large to be written out."""
    try:
        return not normal_form(tree)
    except ConditionError:
        return False


def _always(tree: Expression) -> bool:
    if isinstance(tree, Test):
        return False  # a blank value makes each of them false, and 'is blank' a value
    if isinstance(tree, Both):
        return all(_always(part) for part in tree.parts)
    return _never(Negation(tree, 1))


def _culprit(tree: Expression) -> tuple[Span, str]:
    """The words that make it impossible: of several joined by ``and``, the first that the ones before rule out."""
    if isinstance(tree, Both):
        for count in range(1, len(tree.parts) + 1):
            if _never(together(*tree.parts[:count])):
                last = tree.parts[count - 1]
                if count == 1:
                    return _culprit(last)
                return reach(last), "with what stands before it, this can never hold"
    return reach(tree), "this can never hold, whatever the record"


def _parts(tree: Expression) -> Iterator[tuple[Expression, bool]]:
    """The parts that say nothing: of an ``or`` those that never hold, of an ``and`` those that always do."""
    waiting, seen = [tree], 0
    while waiting and seen < MAX_PARTS:
        part = waiting.pop()
        if isinstance(part, Negation):
            waiting.append(part.part)
        elif isinstance(part, (Both, Either)):
            for inner in part.parts:
                seen += 1
                if isinstance(part, Either) and _never(inner):
                    yield inner, False
                elif isinstance(part, Both) and _always(inner):
                    yield inner, True
                elif not isinstance(inner, (Named, Changed)):
                    waiting.append(inner)
