"""What a write of ours replaced that somebody had set a moment before it arrived: after it was looked at what the record holds.

A CRM that cannot compare lets that happen, and tells both changes, theirs first. Their hand wins: what they set is put back, unless
something was decided on their change meanwhile, which stands. So is what we set last ourselves, where an older write arrives after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from routing.core.model import Correction, Replaced, Values
from routing.core.times import parse_instant

_BACK = "somebody had set it a moment before our own write"


def put_back(replaced: Sequence[Replaced], values: Values) -> tuple[Correction, ...]:
    """What sets those fields again; ``values`` are what the record holds since our write."""
    return tuple(Correction(one.field, values.get(one.field), one.theirs, _BACK) for one in replaced if one.back)


def says(replaced: Sequence[Replaced], names: Mapping[str, str]) -> str:
    """What happened, in a sentence for each field. ``names`` are the people behind ids, where known."""
    return ". ".join(
        f"{one.field} was {_set(one, names)} at {_time(one.at)}; our own write, sent before that was told, replaced it at "
        f"{_time(one.ours_at)}: {'it is put back' if one.back else 'what was decided on that change stands'}"
        for one in replaced
    )


def _set(one: Replaced, names: Mapping[str, str]) -> str:
    """Of a person the name, but of no other field the value: that may be personal, and a reason is shown and logged."""
    if one.theirs in (None, ""):
        return "emptied"
    return f"set to {names[one.field]}" if one.field in names else "changed"


def _time(at: str) -> str:
    """To the millisecond: there is rarely a second between the two."""
    moment = parse_instant(at)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"
