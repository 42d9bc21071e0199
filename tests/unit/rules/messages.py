"""Every message that the check of a policy may say, taken from the code that says it: ``python -m tests.unit.rules.messages`` prints
rules/ERRORS.md.

A message is what is handed to ``error`` and ``warn`` of a report, or to ``ConditionError``: a text, perhaps by way of a name
of the same function, or of a function that answers with a sentence and a hint. What varies in it is shown as ``…``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rules.misread import BRACKET, SAID, TAB
from tests.unit.rules.samples import EXAMPLE

RULES = EXAMPLE.parents[1]
PAGE = RULES / "ERRORS.md"
ERROR, WARNING = "error", "warning"
_SAYING = {"error": ERROR, "_error": ERROR, "complain": ERROR, "ConditionError": ERROR, "_RefusedError": ERROR, "WorkbookError": ERROR,
           "_fail": ERROR, "refuse": ERROR, "_complain": ERROR, "flaw": ERROR, "_wrong": ERROR, "TextError": ERROR, "warn": WARNING}  # fmt: skip
VARIES = "…"
SECTIONS = {
    "Conditions": ("language",),
    "The ladder": ("ladders", "actions"),
    "Tables": ("tables",),
    "People and pools": ("pools",),
    "Clocks": ("sla",),
    "Fields": ("fields",),
    "Corrections and matching": ("extras",),
    "Tests": ("policy_tests",),
    "Files": ("source", "yamlfile", "policy"),
    "What rules mean together": ("analysis",),
}
_HEAD = """\
# What a message means

Everything `fingerpost policy check` may say, by what it is about; what varies is shown as …. Each message stands with the file, the line
and the words it means, and with what to do where the sentence does not say it. An error keeps a policy from going live; a *warning*
does not. The [language](README.md) says what is right instead, [How do I …](HOWTO.md) shows everyday edits.
"""

Message = tuple[str, str, str]  # severity, sentence, hint
SHARED = "Names and values"  # what every file may be told
# Said in another way than by such a call.
_OTHERS: dict[str, list[Message]] = {
    "Conditions": [
        (ERROR, "'…' does not fit here", "did you mean '…'?"),
        (ERROR, "there is a field called … already: call the condition otherwise", ""),
    ],
    "Tables": [(WARNING, "'…' is read as one text", "did you mean …? If the text is meant, put it in double quotes")],
    "Tests": [
        (ERROR, "the test '…' fails: …", "the hint says where the lead goes; mend the rule, or what is expected")
    ],
    "Files": [
        *((ERROR, f"this cannot be read as YAML: {sentence}", hint) for _, sentence, hint, _ in SAID),
        *((ERROR, f"this cannot be read as YAML: {sentence}", hint) for sentence, hint in (TAB, BRACKET)),
        (ERROR, "there are more problems than can be shown: mend these first", ""),
        (ERROR, "and … more like this: …", "what is said after the colon, in as many other places"),
    ],
    "What rules mean together": [
        (WARNING, "with what stands before it, this can never hold", "it asks for something and for its opposite"),
        (WARNING, "this can never hold, whatever the record", "it asks for something and for its opposite"),
    ],
}
_NO_MESSAGES = {"the queue", "it asks for something and for its opposite"}


def texts(node: ast.expr | None, names: dict[str, list[ast.expr]], depth: int = 0) -> Iterator[str]:
    """The texts that an expression may be, what varies replaced; none where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [_part(part, names, depth) for part in node.values]
        found = [""]
        for part in parts:
            found = [one + other for one in found for other in part]
        yield from found
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body, names, depth)
        yield from texts(node.orelse, names, depth)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from texts(value, names, depth)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in texts(node.left, names, depth):
            for right in texts(node.right, names, depth):
                yield left + right
    elif isinstance(node, ast.Name) and depth < 4:
        for value in names.get(node.id, ()):
            yield from texts(value, names, depth + 1)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
        for text in texts(node.func.value, names, depth):
            yield text.replace(next(texts(node.args[0], names)), VARIES)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "nearest":
        yield "did you mean '…'?"


def _part(part: ast.expr, names: dict[str, list[ast.expr]], depth: int) -> list[str]:
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    assert isinstance(part, ast.FormattedValue)
    values = names.get(part.value.id, []) if isinstance(part.value, ast.Name) else [part.value]
    if values and all(_is_text(value) for value in values):
        found = list(dict.fromkeys(text for value in values for text in texts(value, names, depth + 1)))
        if 0 < len(found) <= 3:
            return found
    return [VARIES]


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def messages() -> dict[str, list[Message]]:
    """All of them by section, each once."""
    answers = _answers()
    found: dict[str, list[Message]] = {SHARED: []}
    seen: set[str] = set()
    for some in answers.values():
        _gather(found[SHARED], ((ERROR, *one) for one in some), seen)
    for title, parts in SECTIONS.items():
        found[title] = []
        _gather(found[title], _OTHERS.get(title, ()), seen)
        for part in parts:
            for path in sorted((RULES / part).rglob("*.py")) or [RULES / f"{part}.py"]:
                _gather(found[title], _of(path), seen)
    return {
        title: sorted(some, key=lambda one: (one[0], one[1].lstrip("'… ").casefold())) for title, some in found.items()
    }


def _gather(into: list[Message], some: Iterable[Message], seen: set[str]) -> None:
    for severity, sentence, hint in some:
        sentence = _tidy(sentence)
        if " " in sentence and sentence not in seen | _NO_MESSAGES:
            seen.add(sentence)
            into.append((severity, sentence, _tidy(hint)))


def _tidy(text: str) -> str:
    return re.sub(r"…+", VARIES, " ".join(text.split()))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _names(function: ast.FunctionDef, before: int | None = None) -> dict[str, list[ast.expr]]:
    """What each name of a function may be (up to line ``before``), also where two are given at once."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or (before is not None and node.lineno > before):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(node.value)
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=True):
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, []).append(value)
    return {name: sorted(values, key=lambda one: -one.lineno) for name, values in found.items()}


def _answers() -> dict[str, list[tuple[str, str]]]:
    """Functions that answer with a sentence and a hint, perhaps behind a value."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(RULES.rglob("*.py")):
        for function in _functions(ast.parse(path.read_text())):
            names = _names(function)
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Return)
                    and isinstance(node.value, ast.Tuple)
                    and len(node.value.elts) in (2, 3)
                ):
                    sentence, hint = node.value.elts[-2:]
                    hints = list(texts(hint, names))
                    some = [(one, _best(hints)) for one in texts(sentence, names) if " " in one]
                    found.setdefault(function.name, []).extend(some)
    return {name: some for name, some in found.items() if some}


def _of(path: Path) -> Iterator[Message]:
    for function in _functions(ast.parse(path.read_text())):
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda one: one.lineno):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in _SAYING:
                yield from _said(call, _SAYING[called], _names(function, call.lineno))


def _said(call: ast.Call, severity: str, names: dict[str, list[ast.expr]]) -> Iterator[Message]:
    """The first argument that is a sentence, and the one after it."""
    for at, argument in enumerate(call.args):
        sentences = [one for one in texts(argument, names) if " " in one]
        if sentences:
            hints = list(texts(call.args[at + 1], names)) if at + 1 < len(call.args) else []
            yield from ((severity, one, _best(hints)) for one in sentences)
            return


def _best(hints: list[str]) -> str:
    """Of several hints one that always helps."""
    return min(filter(None, hints), key=lambda hint: hint.startswith("did you mean"), default="")


def documented() -> re.Pattern[str]:
    """What every message has to look like."""
    known = {sentence for some in messages().values() for _, sentence, _ in some}
    return re.compile("|".join(".*".join(map(re.escape, one.split(VARIES))) for one in sorted(known)), re.DOTALL)


def page() -> str:
    """The text of rules/ERRORS.md."""
    lines = [_HEAD]
    for title, some in messages().items():
        lines += [f"## {title}\n", "| message | what to do |", "|---|---|"]
        for severity, sentence, hint in some:
            mark = "*warning* " if severity == WARNING else ""
            lines.append(f"| {mark}{_cell(sentence)} | {_cell(hint)} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return re.sub(r"([|*_<>`\[\]])", r"\\\1", text)


if __name__ == "__main__":
    print(page(), end="")
