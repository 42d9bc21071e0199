"""Two lists of parts compared: which is which, by name and then by likeness, and which stand in another order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

_ALIKE = 0.7  # of two texts, as difflib counts, that are taken for the same part under another name
_MOST_PAIRS = 10_000  # that are compared for likeness; beyond it only equal parts are taken for renamed


@dataclass(frozen=True, slots=True)
class Part:
    """Something with a name, and what is said of it, by what the saying is about. ``key`` finds it again in its policy."""

    name: str
    said: dict[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "; ".join(f"{about} {words}" for about, words in self.said.items() if words)


Pair = tuple[Part | None, Part | None]


def paired(before: Sequence[Part], after: Sequence[Part], renamed: bool) -> list[Pair]:
    """Every part with what it was: those of the same name, then (where ``renamed``) those alike. Removed ones come first."""
    pairs: dict[int, int] = {}  # after -> before
    left = dict(enumerate(before))
    for exact in (True, False):
        by_name: dict[tuple[str, str], list[int]] = {}
        for number, part in left.items():
            by_name.setdefault((part.name, part.text if exact else ""), []).append(number)
        for number, part in enumerate(after):
            found = by_name.get((part.name, part.text if exact else ""))
            if number not in pairs and found:
                pairs[number] = found.pop(0)
                del left[pairs[number]]
    if renamed:
        _by_likeness(left, after, pairs)
    gone: list[Pair] = [(part, None) for part in left.values()]
    return gone + [(before[pairs[n]] if n in pairs else None, part) for n, part in enumerate(after)]


def _by_likeness(left: dict[int, Part], after: Sequence[Part], pairs: dict[int, int]) -> None:
    by_text: dict[str, list[int]] = {}
    for number, part in left.items():
        by_text.setdefault(part.text, []).append(number)
    for number, part in enumerate(after):
        if number not in pairs and part.text and (same := by_text.get(part.text)):
            pairs[number] = same.pop(0)
            del left[pairs[number]]
    new = [number for number in range(len(after)) if number not in pairs]
    if len(new) * len(left) > _MOST_PAIRS:
        return
    scores = []
    for number in new:
        matcher = SequenceMatcher(None, "", f"{after[number].name}; {after[number].text}", autojunk=False)
        for other, part in left.items():
            matcher.set_seq1(f"{part.name}; {part.text}")
            if matcher.quick_ratio() >= _ALIKE and (score := matcher.ratio()) >= _ALIKE:
                scores.append((-score, other, number))
    for _, other, number in sorted(scores):
        if number not in pairs and other in left:
            pairs[number] = other
            del left[other]


def moved(before: Sequence[Part], pairs: Iterable[Pair]) -> list[Part]:
    """The fewest parts that have to change places so that the others keep their order; as they are now."""
    places = {id(part): number for number, part in enumerate(before)}
    both = [(places[id(old)], new) for old, new in pairs if old is not None and new is not None]
    tails: list[int] = []  # the longest increasing subsequence, by patience sorting
    ends: list[int] = []
    previous: list[int] = []
    for number, (place, _) in enumerate(both):
        at = bisect_left(tails, place)
        tails[at : at + 1], ends[at : at + 1] = [place], [number]
        previous.append(ends[at - 1] if at else -1)
    keeps: set[int] = set()
    number = ends[-1] if ends else -1
    while number >= 0:
        keeps.add(number)
        number = previous[number]
    return [new for number, (_, new) in enumerate(both) if number not in keeps]
