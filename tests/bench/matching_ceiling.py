"""How much of what is missing nobody could have known: some leads are written just as another account would be.

The reader assumed here knows all accounts, how names become noisy (``matching_noise``) and every word of every lead, and errs in
two cases only: another account than the right one would be written exactly as the lead is, at least as often, by the same noise; or
the lead's company has no account, and one of another company would be written so. Only the account that the matcher itself came up
with is tried, and not when anything else that the lead tells excludes it. So what this prints is too high rather than too low.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from routing.core.matching.assess import Quality
from routing.core.matching.features import account_features, lead_features
from tests.bench import matching_noise as noise
from tests.bench.matching_data import Account, Lead
from tests.bench.matching_score import Answer

TRIES = 200


def ceiling(answers: Sequence[Answer], leads: Sequence[Lead], accounts: dict[str, Account]) -> Quality:
    """Precision and recall of that reader. ``accounts`` by id."""
    known = sum(1 for lead in leads if lead.truth)
    right, given = float(known), float(known)
    for answer, lead in zip(answers, leads, strict=True):
        if answer.account_id in ("", lead.truth) or _excluded(lead, accounts[answer.account_id]):
            continue
        written = _tries(lead, accounts[answer.account_id])
        if not lead.truth:
            given += written > 0
        else:
            own = 1 + _tries(lead, accounts[lead.truth])  # the lead itself is one
            right -= 1.0 if written > own else 0.5 if written == own else 0.0
    return Quality(right / given, right / known)


def _tries(lead: Lead, account: Account) -> int:
    """How often the account's name is written as the lead's."""
    chance = random.Random(f"{lead.id} {account.id}")
    return sum(noise.noisy(account.name, account.country, chance)[0] == lead.company for _ in range(TRIES))


def _excluded(lead: Lead, account: Account) -> bool:
    """Whether anything beside the name tells the lead's company from the account."""
    ours = lead_features(lead.id, msgspec.structs.asdict(lead))
    its = account_features(account.id, msgspec.structs.asdict(account))
    told = {ours.mail_domain, ours.site} - {""}
    if told and its.domains and told.isdisjoint(its.domains):
        return True
    if ours.phones and its.phones and set(ours.phones).isdisjoint(its.phones):
        return True
    here, there = ours.place, its.place
    pairs = ((here.country, there.country), (here.city, there.city), (here.postal_code, there.postal_code))
    return any(one and other and one != other for one, other in pairs)
