"""The bitmaps in which Change Data Capture names fields.

An element ``0xHEX`` names top-level fields, ``PARENT-0xHEX`` fields inside the compound at that position. The least
significant bit is the first field of the Avro schema. Over Pub/Sub they are the only way to know what changed: the body
of an update carries every field, unchanged ones empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

_ELEMENT = re.compile(r"(?:(\d{1,5})-)?0[xX]([0-9a-fA-F]{1,512})")


class BitmapError(ValueError):
    """A bitmap that cannot be: not of the form, or with a bit past the last field."""


class Bits(Struct, frozen=True):
    """Fields named by a bitmap list: a bit set of top-level positions, and one for each compound that is named."""

    top: int = 0
    inside: dict[int, int] = {}


def parse(elements: Sequence[str], widths: Sequence[int]) -> Bits:
    """Reads a bitmap list. ``widths`` has, per top-level field, how many fields are inside it (0: it is no compound).

    Raises BitmapError.
    """
    top = 0
    inside: dict[int, int] = {}
    for element in elements:
        match = _ELEMENT.fullmatch(element)
        if match is None:
            raise BitmapError(f"{element[:40]!r} is not a field bitmap")
        bits = int(match[2], 16)
        if match[1] is None:
            if bits >> len(widths):
                raise BitmapError(
                    f"{element[:40]!r} names field {bits.bit_length() - 1} of a schema with {len(widths)}"
                )
            top |= bits
            continue
        parent = int(match[1])
        if parent >= len(widths) or not widths[parent]:
            raise BitmapError(f"{element[:40]!r} names parts of field {parent}, which is not a compound field")
        if bits >> widths[parent]:
            raise BitmapError(
                f"{element[:40]!r} names part {bits.bit_length() - 1} of a compound with {widths[parent]}"
            )
        inside[parent] = inside.get(parent, 0) | bits
    return Bits(top, inside)


def positions(bits: int) -> list[int]:
    """The positions of a bit set, lowest first."""
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found
