"""Which of the accounts that were found are worth being compared word by word: to look at the whole names costs little beside that."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Indel

from routing.core.matching.model import AccountFeatures, LeadFeatures

# At most so many are compared.
COMPARED = 12
# Of those, so many that have most of the lead's keys, and so many whose whole names are nearest letter by letter.
_BY_KEYS, _BY_LETTERS = 4, 4


def promising(lead: LeadFeatures, found: Sequence[AccountFeatures]) -> Sequence[AccountFeatures]:
    """Of accounts that come most promising first, those to compare, in that order: at most COMPARED.

    Beside the first ones and the nearest ones all that have the lead's domain, a contact of its own, or its very name.
    """
    if len(found) <= _BY_KEYS:
        return found
    domains = {lead.mail_domain, lead.site} - {""}
    sounds = [name.sound for name in lead.names]
    near, kept = [], set(range(_BY_KEYS))
    for n, one in enumerate(found[_BY_KEYS:], _BY_KEYS):
        likeness = max(
            [Indel.normalized_similarity(sound, name.sound) for sound in sounds for name in one.names], default=0.0
        )
        if likeness == 1.0 or one.contacts or one.contact_domains or not domains.isdisjoint(one.domains):
            kept.add(n)
        else:
            near.append((-likeness, n))
    kept.update([n for _, n in sorted(near)[:_BY_LETTERS]])
    return [found[n] for n in sorted(kept)[:COMPARED]]
