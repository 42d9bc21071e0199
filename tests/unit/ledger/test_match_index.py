"""The index of what is like a record, read back from either database."""

from __future__ import annotations

from routing.core.filing import NOWHERE, Filed
from routing.ledger import match_index
from routing.ledger.engine import Ledger


def test_of_a_key_that_many_share_only_the_lowest_numbers_are_read(ledger: Ledger) -> None:
    filed = [
        match_index.Change(f"salesforce:account:{n}", NOWHERE, Filed(frozenset({1, 2 + n}), b"%d" % n))
        for n in range(40)
    ]
    with ledger.write() as conn:
        match_index.save(conn, filed)
    with ledger.read() as conn:
        every = match_index.postings(conn, [1], 100)[1]
        found = match_index.postings(conn, [1, 2, 999], 32)
        behind = match_index.records(conn, found[1])
    assert len(every) == 40
    assert found[1] == sorted(every)[:32]
    assert len(found[2]) == 1
    assert 999 not in found
    assert sorted(behind) == found[1]
    assert all(ref == f"salesforce:account:{body.decode()}" for ref, body in behind.values())
