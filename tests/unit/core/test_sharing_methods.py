"""Accounts that nobody has yet are spread by weight and stay where they are; value is evened out without numbers running away."""

from __future__ import annotations

from collections import Counter

from tests.unit.core.test_distribution import Team

ACCOUNTS = [f"001{n:04d}" for n in range(2_000)]


def placed(members: str) -> dict[str, str]:
    """Who gets the first lead of each account."""
    team = Team(f"P: {{method: sticky, sticky: account, members: {members}}}")
    return {key: team.pick(account=key).person for key in ACCOUNTS}


def test_new_accounts_are_spread_by_weight() -> None:
    shares = Counter(placed("{Ana Diaz: 3, Bo Li: 1}").values())
    # 1,500 are Ana's share; as many as 2,000 draws ever stray from it is 100, five times their standard deviation.
    assert abs(shares["ana@example.com"] - 1_500) < 100


def test_a_newcomer_takes_their_share_of_accounts_and_moves_no_other() -> None:
    before, after = placed("[Ana Diaz, Bo Li]"), placed("[Ana Diaz, Bo Li, Cem Kaya]")
    moved = {key for key in ACCOUNTS if before[key] != after[key]}
    assert {after[key] for key in moved} == {"cem@example.com"}
    assert abs(len(moved) - 2_000 / 3) < 110


def test_evening_out_value_never_takes_the_numbers_more_than_two_leads_apart() -> None:
    """One lead is worth more than all others together: by value alone every further one would go to the other."""
    team = Team("P: {members: [Ana Diaz, Bo Li], value: lead.employees}")
    furthest = 0.0
    for n in range(60):
        team.give(1, lead={"employees": 1 if n else 1_000_000})
        furthest = max(furthest, team.pools.rotations["P", ""].deviation())
    assert 0.5 < furthest < 2
