"""What is wrong with an order to the sandbox, in words: where it stands, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Struct

T = TypeVar("T")

_KINDS = {
    **{"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "null": "nothing"},
    **{"object": "a mapping", "array": "a list"},
}
_LARGEST = 1e9


def take(raw: Any, kind: Any, structs: Mapping[str, type[Struct]]) -> Any:
    """``raw`` as a ``kind``. ``structs`` are the forms of what stands below a name, "" that of the whole.

    Raises ValueError with the place and what would be right.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        steps = [name or number for name, number in re.findall(r"\.(\w+)|\[([\d.]+)\]", path)]
        place = _place(steps)
        raise ValueError(f"{place}{': ' if place else ''}{_said(text, steps, raw, structs)}") from None


def one_of(word: str, known: Collection[str]) -> str:
    """What a word may have meant, and what there is."""
    near = get_close_matches(word, known, 1)
    return f"{f'is it {near[0]!r}? ' if near else ''}There are: {', '.join(known)}"


def check_conditions(system: str, values: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises ValueError for what cannot be imposed as a lasting condition."""
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{system} has no condition {name!r}; {one_of(name, known)}")
        number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        if not number or not 0 <= value <= _LARGEST:
            raise ValueError(f"{system}: {name}: {value!r} is no number from 0 to {_LARGEST:g}")


def _place(steps: list[str]) -> str:
    words: list[str] = []
    for step in steps:
        if not step.isdigit():
            words += [step] if step.strip(".") else []
        elif words:
            words[-1] = f"{words[-1].removesuffix('s')} {int(step) + 1}"
        else:
            words.append(f"number {int(step) + 1}")
    return ", ".join(words)


def _said(text: str, steps: list[str], raw: Any, structs: Mapping[str, type[Struct]]) -> str:
    names = [step for step in steps if not step.isdigit()]
    quoted = re.findall(r"['`](.*?)['`]", text)
    if text.startswith("Object contains unknown field"):
        form = structs.get(names[-1] if names else "")
        return f"there is no {quoted[0]!r}; {one_of(quoted[0], form.__struct_encode_fields__ if form else ())}"
    if text.startswith("Invalid enum value") and names:
        form = structs.get(names[-2] if len(names) > 1 else "")
        options = get_args(get_type_hints(form).get(names[-1])) if form else ()
        return f"there is no {quoted[0]!r}; {one_of(quoted[0], options)}"
    if text.startswith("Object missing required field"):
        return f"{quoted[0]!r} is missing"
    if text.startswith("Expected") and len(quoted) == 2:
        wanted = " or ".join(_KINDS.get(one, one) for one in quoted[0].split(" | "))
        return f"it is {wanted}, not {_value(raw, steps)!r}"
    return text


def _value(raw: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(raw, list):
            raw = raw[int(step)]
        elif isinstance(raw, Mapping) and step in raw:
            raw = raw[step]
        else:  # inside a mapping of any names: the first that is no text, as nothing else is asked of them
            return next((one for one in raw.values() if not isinstance(one, str)), raw)
    return raw
