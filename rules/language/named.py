"""``conditions.yaml``: conditions with a name, written once and used in rungs as ``is_enterprise`` or ``[Is enterprise]``."""

from __future__ import annotations

from dataclasses import dataclass

from rules.language.grammar import parse
from rules.language.mistakes import ConditionError
from rules.language.syntax import Both, Either, Expression, Name, Named, Negation, Test
from rules.source import Report
from rules.values import fold
from rules.yamlfile import Block, Node, Scalar, as_block, as_text, known_keys

CONDITIONS = "conditions.yaml"
MAX_NAMED = 2_000
CONDITION_KEYS = ("when", "description")


@dataclass(frozen=True, slots=True)
class Definition:
    """A named condition as written, not yet checked. ``tree`` is None where it has a mistake, which is reported."""

    name: str
    place: Scalar
    text: Scalar
    tree: Expression | None
    description: str = ""


Definitions = dict[str, Definition]  # by ``key_of`` the name; each after those it uses


def key_of(name: str) -> str:
    """The form in which names are compared: ``Is enterprise`` and ``is_enterprise`` are the same."""
    return "_".join(fold(name).split())


def read_conditions(root: Node | None, report: Report) -> Definitions:
    """The named conditions, each after those it uses; mistakes and loops are reported."""
    found: Definitions = {}
    for key, node in as_block(root, report, CONDITIONS) or ():
        name = " ".join(key.text.split())
        if not name or any(character in "[]().\"'" for character in name):
            report.error(key.place, f"'{key.text}' is no name for a condition", "use letters, digits and blanks")
            continue
        if key_of(name) in found:
            line = found[key_of(name)].place.place.line
            report.error(key.place, f"there is already a condition '{name}', on line {line}")
            continue
        if len(found) >= MAX_NAMED:
            report.error(key.place, f"there are more than {MAX_NAMED:,} named conditions: a table can say it shorter")
            break
        text, description = _text(key, node, report)
        tree = _tree(text, report) if text is not None else None
        found[key_of(name)] = Definition(name, key, text or key, tree, description)
    return _ordered(found, report)


def _text(key: Scalar, node: Node, report: Report) -> tuple[Scalar | None, str]:
    what = f"the condition '{key.text}'"
    if not isinstance(node, Block):
        return as_text(node, report, what), ""
    known_keys(node, CONDITION_KEYS, report, what)
    if node.get("when") is None:
        report.error(key.place, f"{what} does not say when it holds", "add 'when: …'")
    told = as_text(node.get("description"), report, f"the description of {what}")
    return as_text(node.get("when"), report, what), told.text if told else ""


def _tree(text: Scalar, report: Report) -> Expression | None:
    try:
        return parse(text.text)
    except ConditionError as error:
        report.error(text.at(*error.span), error.message, error.hint)
        return None


def _ordered(found: Definitions, report: Report) -> Definitions:
    """Depth first and without recursion: a chain may be long. Those in a loop lose their tree."""
    uses = {key: [one for one in _uses(d.tree) if one in found] if d.tree else [] for key, d in found.items()}
    done: Definitions = {}
    for start in found:
        way = [start]
        while way:
            key = way[-1]
            waiting = next((one for one in uses[key] if one not in done), None)
            if key in done:
                way.pop()
            elif waiting is None:
                done[key] = found[key]
                way.pop()
            elif waiting in way:
                names = [found[one].name for one in (*way[way.index(waiting) :], waiting)]
                definition = found[waiting]
                report.error(definition.place.place, f"named conditions run in a circle: {' → '.join(names)}")
                done[waiting] = Definition(definition.name, definition.place, definition.text, None)
            else:
                way.append(waiting)
    return done


def _uses(expression: Expression) -> list[str]:
    """The names that may be those of conditions, in the order written."""
    if isinstance(expression, (Both, Either)):
        return [name for part in expression.parts for name in _uses(part)]
    if isinstance(expression, Negation):
        return _uses(expression.part)
    if isinstance(expression, Named):
        return [key_of(expression.name)]
    if isinstance(expression, Test) and expression.operator == "bare" and isinstance(expression.left, Name):
        return [key_of(expression.left.path)]
    return []
