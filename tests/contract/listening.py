"""What every source must do, written once; see ``suites.py``."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace

from tests.contract.heard import Heard, Running, SourceStand, known_after
from tests.contract.listening_in_trouble import TroubledSourceSuite
from tests.contract.suites import ANY_TEXT, unless_exempt, write_of


class SourceSuite(TroubledSourceSuite):
    """``Source``: everything is delivered, in order, from the position on."""

    def test_the_first_position_comes_with_the_subscription(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: any(position is not None for position in heard.positions))
        assert heard.items == []

    def test_a_creation_and_a_change_arrive_in_order_with_their_values(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            record = stand.create({stand.text_field: "first", stand.owner_field: stand.owners[0]})
            stand.change(record, {stand.text_field: "second"})
            heard.until(lambda: len(heard.events) >= 2)
        created, changed = heard.events
        assert (created.kind, changed.kind) == ("created", "updated")
        assert created.record_id == changed.record_id == record
        assert created.values[stand.text_field] == "first"
        assert changed.changed == (stand.text_field,)
        assert changed.values == {stand.text_field: "second"}
        assert changed.actor
        assert changed.occurred_at.tzinfo is not None
        assert created.occurred_at <= changed.occurred_at

    def test_an_emptied_field_arrives_as_none(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({stand.other_field: "something"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.other_field: None})
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].changed == (stand.other_field,)
        assert heard.events[0].values == {stand.other_field: None}

    def test_a_deletion_arrives(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({stand.text_field: "x"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.delete(record)
            heard.until(lambda: bool(heard.events))
        assert (heard.events[0].kind, heard.events[0].record_id) == ("deleted", record)

    def test_what_we_wrote_is_told_back_as_we_wrote_it(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({stand.owner_field: stand.owners[0]})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            [result] = stand.connection.write([write_of(stand, record, **{stand.owner_field: stand.owners[1]})])
            assert result.error is None
            heard.until(lambda: any(event.values.get(stand.owner_field) == stand.owners[1] for event in heard.events))
        echo = next(event for event in heard.events if event.values.get(stand.owner_field) == stand.owners[1])
        assert (echo.record_id, echo.entity) == (record, stand.entity)

    def test_resumes_after_the_position_with_the_same_ids(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            start = heard.positions[0]
            stand.create({stand.text_field: "seen"})
            heard.until(lambda: len(heard.events) == 1)
            seen = heard.positions[-1]
        stand.create({stand.text_field: "missed"})  # while nobody listened
        again, rest = Heard(), Heard()
        with Running(stand.source, start, again):
            again.until(lambda: len(again.events) >= 2)
        with Running(stand.source, seen, rest):
            rest.until(lambda: len(rest.events) >= 1)
        assert [event.values[stand.text_field] for event in again.events] == ["seen", "missed"]
        assert [event.values[stand.text_field] for event in rest.events] == ["missed"]
        assert again.events[0].event_id == heard.events[0].event_id
        assert again.events[1].event_id == rest.events[0].event_id

    def test_a_repeated_delivery_has_the_same_id(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_twice()
            stand.create({stand.text_field: "twice"})
            heard.until(lambda: len(heard.events) == 2)
        assert heard.events[0].event_id == heard.events[1].event_id

    @pytest.mark.parametrize("text", ANY_TEXT)
    def test_any_text_arrives_as_it_was_entered(self, stand: SourceStand, heard: Heard, text: str) -> None:
        record = stand.create({stand.text_field: "old"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.text_field: text})
            heard.until(lambda: bool(heard.events))
        assert heard.events[-1].values[stand.text_field] == text

    def test_whatever_the_stop_each_record_is_told_before_or_after_it(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            made = []
            for together in (1, 3, 1):
                made += [stand.create({stand.text_field: "x"}) for _ in range(together)]
                heard.until(lambda made=made: set(made) <= {event.record_id for event in heard.events})  # type: ignore[misc]
        told = 0
        for count, position in list(heard.batches):
            told += count
            before = {event.record_id for event in heard.events[:told]}
            rest = Heard()
            with Running(stand.source, position, rest):
                rest.until(
                    lambda rest=rest, before=before: (  # type: ignore[misc]
                        set(made) <= before | {event.record_id for event in rest.events}
                    )
                )

    def test_a_snapshot_that_comes_late_overwrites_nothing_newer(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "snapshots")
        record = stand.create({stand.text_field: "old"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            pages = list(stand.connection.backfill([stand.entity]))
            stand.change(record, {stand.text_field: "new"})
            heard.until(lambda: "new" in [event.values.get(stand.text_field) for event in heard.events])
        [snapshot] = [event for page in pages for event in page if event.record_id == record]
        # One that carries what the record holds is completed as a change.
        changes = [replace(event, kind="updated", changed=tuple(event.values)) for event in heard.events]
        changes = [event for event in changes if event.record_id == record]
        assert snapshot.values[stand.text_field] == "old"
        for order in ([snapshot, *changes], [*changes, snapshot]):
            assert known_after(order)[stand.text_field] == "new"

    def test_whatever_the_order_of_changes_they_end_in_what_the_system_holds(
        self, stand: SourceStand, heard: Heard
    ) -> None:
        unless_exempt(stand, "reordering")
        record, happened = stand.create({stand.text_field: "a"}), ["b", "c", "d", "e"]
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            with stand.reordering():
                for text in happened:
                    stand.change(record, {stand.text_field: text})
            heard.until(lambda: len(heard.events) >= len(happened))
        told = [event.values[stand.text_field] for event in heard.events]
        assert told != sorted(told) == happened
        ends = {known_after(order)[stand.text_field] for order in permutations(heard.events)}
        assert ends == {stand.held(record)[stand.text_field]} == {"e"}


class NewsSuite(SourceSuite):
    """For a source that tells that a record is new, not what is in it: that is read back."""

    def test_resumes_after_the_position_with_the_same_ids(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.text_field: "seen"})
            heard.until(lambda: len(heard.events) == 1)
        stand.change(record, {stand.text_field: "missed"})
        again, rest = Heard(), Heard()
        with Running(stand.source, heard.positions[0], again):
            again.until(lambda: len(again.events) >= 2)
        with Running(stand.source, heard.positions[-1], rest):
            rest.until(lambda: bool(rest.events))
        assert [event.values[stand.text_field] for event in again.events] == ["seen", "missed"]
        assert [event.values[stand.text_field] for event in rest.events] == ["missed"]
        assert again.events[0].event_id == heard.events[0].event_id

    def test_what_accept_raises_goes_through_and_is_delivered_again(self, stand: SourceStand, heard: Heard) -> None:
        def refuse(items: object, position: bytes | None) -> None:
            if items:
                raise ZeroDivisionError
            heard([], position)

        with Running(stand.source, None, refuse) as running:
            heard.until(lambda: bool(heard.positions))
            record = stand.create({})
            running.join()
        assert isinstance(running.error, ZeroDivisionError)
        with Running(stand.source, heard.positions[-1], heard):
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].record_id == record

    def test_a_broken_stream_is_taken_up_again_without_loss(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.text_field: "before"})
            heard.until(lambda: len(heard.events) == 1)
            stand.break_streams()
            stand.change(record, {stand.text_field: "after"})
            heard.until(lambda: len(heard.events) == 2)
        assert [event.values[stand.text_field] for event in heard.events] == ["before", "after"]
