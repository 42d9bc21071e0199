"""Changes saved together are handed on together: nothing lost, nothing acknowledged early, whatever the cuts and the order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from connectors.salesforce.decode import Decoded
from connectors.salesforce.transactions import LONGEST, MOST_BYTES, MOST_CHANGES, Item, Transactions
from routing.core.model import ChangeEvent, Unreadable

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ORDER = ("account", "opportunity", "contact", "lead")


class Told(Struct, frozen=True):
    """One event of the stream; its replay id is its place."""

    transaction: str
    number: int
    entities: tuple[str, ...]

    def at(self, place: int) -> Decoded:
        items: list[Item] = []
        for n, entity in enumerate(self.entities):
            name = f"{place}-{n}"
            if entity == "unreadable":
                items.append(Unreadable(event_id=name, system="salesforce", error="?", raw=b"?", observed_at=NOW))
            else:
                items.append(
                    ChangeEvent(
                        event_id=name,
                        system="salesforce",
                        entity=entity,
                        record_id=name,
                        kind="created",
                        occurred_at=NOW,
                        observed_at=NOW,
                    )
                )
        return Decoded(items, self.transaction, self.number)


def place_of(item: Item) -> int:
    return int(item.event_id.partition("-")[0])


def replay(place: int) -> bytes:
    return place.to_bytes(4, "big")


def added(saved: Transactions, place: int, told: Told, size: int = 100, at: datetime = NOW) -> list[str]:
    return [item.entity for item in saved.add(told.at(place), replay(place), size, at)]


def test_what_a_lead_refers_to_comes_before_it() -> None:
    saved = Transactions()
    assert added(saved, 1, Told("t", 1, ("lead",))) == []
    assert saved.passed is None
    assert saved.patience is not None
    assert added(saved, 2, Told("t", 2, ("contact",))) == []
    assert added(saved, 3, Told("t", 4, ("account",))) == []
    assert added(saved, 4, Told("u", 1, ("lead",))) == ["account", "contact", "lead"]
    assert saved.passed == replay(3)
    assert [item.entity for item in saved.release()] == ["lead"]
    assert (saved.passed, saved.patience) == (replay(4), None)


def test_nothing_waits_that_others_only_refer_to() -> None:
    saved = Transactions()
    assert added(saved, 1, Told("t", 1, ("account", "account"))) == ["account", "account"]
    assert (saved.passed, saved.patience) == (replay(1), None)


def test_an_event_that_cannot_be_read_does_not_cut_its_transaction() -> None:
    saved = Transactions()
    assert added(saved, 1, Told("t", 1, ("lead",))) == []
    assert added(saved, 2, Told("", 0, ("unreadable",))) == []
    assert added(saved, 3, Told("t", 3, ("account",))) == []
    assert [item.entity for item in saved.release()] == ["", "account", "lead"]


def test_an_event_of_nothing_that_is_mapped_moves_the_position() -> None:
    saved = Transactions()
    assert added(saved, 1, Told("t", 1, ())) == []
    assert saved.passed == replay(1)
    assert added(saved, 2, Told("u", 1, ("lead",))) == []
    assert added(saved, 3, Told("u", 2, ())) == []
    assert saved.passed == replay(1)


def test_a_silent_stream_lets_go_of_what_is_held_and_says_where_it_stands() -> None:
    saved = Transactions()
    added(saved, 1, Told("t", 1, ("lead",)))
    assert [item.entity for item in saved.stand(replay(9))] == ["lead"]
    assert saved.passed == replay(9)


def test_bounds() -> None:
    many, large, long = Transactions(), Transactions(), Transactions()
    for place in range(1, MOST_CHANGES):
        assert added(many, place, Told("t", place, ("lead",))) == []
    assert len(added(many, MOST_CHANGES, Told("t", MOST_CHANGES, ("lead",)))) == MOST_CHANGES
    assert many.passed == replay(MOST_CHANGES)
    assert added(large, 1, Told("t", 1, ("lead",)), MOST_BYTES - 1) == []
    assert added(large, 2, Told("t", 2, ("account",)), 1) == ["account", "lead"]
    assert added(long, 1, Told("t", 1, ("lead",))) == []
    assert added(long, 2, Told("t", 2, ("lead",)), at=NOW + LONGEST - timedelta(milliseconds=1)) == []
    assert added(long, 3, Told("t", 3, ("account",)), at=NOW + LONGEST) == ["account", "lead", "lead"]
    assert added(long, 4, Told("t", 4, ("lead",)), at=NOW + LONGEST) == []  # a new part, with a time of its own


kinds = st.sampled_from((*ORDER, "unreadable"))
events = st.builds(
    Told,
    st.sampled_from(("", "a", "b", "c")),
    st.integers(1, 5),
    st.lists(kinds, max_size=3).map(tuple),
)
# What happens besides: nothing, a pause, a word of where the stream stands, or that it breaks.
between = st.sampled_from(("", "", "", "quiet", "stand", "break", "late"))


@given(st.lists(st.tuples(events, between), max_size=40))
def test_nothing_is_lost_or_acknowledged_early_in_any_order(stream: list[tuple[Told, str]]) -> None:
    due = [item.event_id for place, (told, _) in enumerate(stream) for item in told.at(place).items]
    saved, out, stored, now, place = Transactions(), list[Item](), -1, NOW, 0
    broken = [True] * len(stream)

    def handed(items: list[Item]) -> None:
        nonlocal stored
        out.extend(items)
        if saved.passed is not None:
            now_at = int.from_bytes(saved.passed, "big")
            assert now_at >= stored
            stored = now_at
        had = {item.event_id for item in out}
        assert all(one in had for one in due if int(one.partition("-")[0]) <= stored)

    while place < len(stream):
        told, then = stream[place]
        handed(list(saved.add(told.at(place), replay(place), 100, now)))
        if then == "quiet":
            handed(saved.release())
        elif then == "stand":
            handed(saved.stand(replay(place)))
        elif then == "late":
            now += LONGEST
        elif then == "break" and broken[place]:
            # Everything in memory is gone; it goes on behind what was stored.
            broken[place] = False
            saved, place = Transactions(), stored
        place += 1
    handed(saved.release())
    assert {item.event_id for item in out} == set(due)
    if all(then != "break" for _, then in stream):
        assert sorted(item.event_id for item in out) == sorted(due)


@given(st.lists(st.lists(st.lists(kinds, max_size=2).map(tuple), min_size=1, max_size=6), max_size=6), st.data())
def test_a_transaction_comes_in_one_piece_however_it_is_numbered(
    transactions: list[list[tuple[str, ...]]], data: st.DataObject
) -> None:
    stream: list[Told] = []
    for n, some in enumerate(transactions):
        numbers = data.draw(st.permutations(range(1, len(some) + 1)))
        stream += [Told(f"t{n}", number, entities) for number, entities in zip(numbers, some, strict=True)]
    saved, out = Transactions(), list[Item]()
    for place, told in enumerate(stream):
        out += saved.add(told.at(place), replay(place), 100, NOW)
    out += saved.release()
    assert len(out) == sum(len(told.entities) for told in stream)
    order = [stream[place_of(item)].transaction for item in out]
    assert [key for key, _ in groupby(order)] == sorted(set(order))
    for _, piece in groupby(out, key=lambda item: stream[place_of(item)].transaction):
        ranks = [ORDER.index(item.entity) for item in piece if item.entity in ORDER]
        leads = [rank for rank in ranks if rank == ORDER.index("lead")]
        assert ranks[len(ranks) - len(leads) :] == leads
        assert ranks == sorted(ranks)
