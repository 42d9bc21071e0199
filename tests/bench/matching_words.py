"""Makes ``routing/core/matching/frequency.txt``: how often the words of company names occur among real ones.

``python -m tests.bench.matching_words`` writes it anew from the companies that ``matching_fetch`` reads out of public packages.
Only words of several companies are in it: none of them names one.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import routing.core.matching
from routing.core.matching.names import names
from tests.bench import matching_fetch

# A word of fewer companies is rare, whatever the sample.
LEAST = 5
# Counts are rounded to powers of this: sampling says no more.
STEP = 1.25


def main() -> None:
    """Counts and writes; says how many words it wrote."""
    companies = [one for one in matching_fetch.companies() if one.source != "csv"]
    count: Counter[str] = Counter()
    for one in companies:
        count.update({word for name in names(one.name)[:1] for word in name.words})
    lines: dict[float, list[str]] = {}
    for word, often in count.items():
        if often >= LEAST and not word.isdigit():
            rounded = STEP ** round(math.log(often * 1e6 / len(companies), STEP))
            lines.setdefault(rounded, []).append(word)
    target = Path(routing.core.matching.__file__).with_name("frequency.txt")
    with target.open("w") as file:
        file.write(
            "# Companies in a million whose name holds the word; made by python -m tests.bench.matching_words.\n"
        )
        for often in sorted(lines, reverse=True):
            file.write(f"{often:.0f} {' '.join(sorted(lines[often]))}\n")
    print(f"{sum(map(len, lines.values()))} words of {len(companies)} companies in {target}")


if __name__ == "__main__":
    main()
