"""What every source must do when something goes wrong, written once; see ``suites.py``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from connectors.errors import ConnectorError, Misconfigured, PermissionDenied
from connectors.sandbox.faults import Fault
from routing.core.model import ChangeEvent, Unreadable
from tests.contract.heard import Heard, Running, SourceStand
from tests.contract.suites import unless_exempt


class TroubledSourceSuite:
    """``Source``: whatever is refused, broken, forgotten or unreadable, nothing is dropped and the rest goes on."""

    @pytest.fixture
    def heard(self) -> Heard:
        return Heard()

    def test_what_accept_raises_goes_through_and_is_delivered_again(self, stand: SourceStand, heard: Heard) -> None:
        class LedgerDown(Exception):
            pass

        def refuse(items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
            if items:
                raise LedgerDown
            heard(items, position)

        with Running(stand.source, None, refuse) as running:
            heard.until(lambda: bool(heard.positions))
            stand.create({stand.text_field: "kept"})
            running.join()
        assert isinstance(running.error, LedgerDown)
        with Running(stand.source, heard.positions[-1], heard):
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].values[stand.text_field] == "kept"

    def test_a_broken_stream_is_taken_up_again_without_loss(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.create({stand.text_field: "before"})
            heard.until(lambda: len(heard.events) == 1)
            stand.break_streams()
            stand.create({stand.text_field: "after"})
            heard.until(lambda: len({event.event_id for event in heard.events}) == 2)
        assert [event.values[stand.text_field] for event in heard.events] == ["before", "after"]

    def test_a_limit_is_waited_out_as_long_as_it_asks(self, stand: SourceStand, heard: Heard) -> None:
        record, wait = stand.create({}), None if "retry_after" in stand.exempt else 0.3
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.faults.hasty.clear()
        limit = Fault(
            system=stand.system, operation=stand.follow_operation, kind="rate_limited", retry_after=wait, times=2
        )
        stand.faults.add(limit)
        with Running(stand.source, heard.positions[-1], heard):
            stand.change(record, {stand.text_field: "x"})
            heard.until(lambda: bool(heard.events))
        assert stand.faults.all() == []
        assert [one for one in stand.faults.hasty if one.after > 0.05] == []

    def test_a_refusal_is_told_or_waited_out_and_nothing_is_lost(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.change(record, {stand.text_field: "x"})
        stand.faults.add(Fault(system=stand.system, operation=stand.follow_operation, kind="forbidden"))
        position, refused = heard.positions[-1], []
        while not heard.events:
            with Running(stand.source, position, heard) as running:
                heard.until(lambda running=running: bool(heard.events) or running.error is not None)  # type: ignore[misc]
            refused += [running.error] if running.error is not None else []
        assert [type(error) for error in refused] in ([], [PermissionDenied])  # whoever runs it starts it again
        assert heard.events[-1].record_id == record

    def test_a_field_that_goes_while_we_listen_loses_nothing(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "lose")
        record = stand.create({stand.other_field: "kept"})
        with Running(stand.source, None, heard) as running:
            heard.until(lambda: bool(heard.positions))
            remote = stand.lose(stand.other_field)
            try:
                stand.change(record, {stand.text_field: "meanwhile"})
                heard.until(lambda: bool(heard.events) or running.error is not None)
            finally:
                stand.regain(stand.other_field)
        if running.error is not None:  # it stops where it cannot ask without the field, and goes on from where it stood
            assert isinstance(running.error, Misconfigured)
            assert remote in str(running.error)
            with Running(stand.source, heard.positions[-1], heard):
                heard.until(lambda: bool(heard.events))
        assert heard.events[-1].values[stand.text_field] == "meanwhile"
        assert heard.events[-1].values.get(stand.other_field, "kept") == "kept"

    def test_a_field_of_another_type_is_kept_with_what_to_do(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "retype")
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.retype(record)
            heard.until(lambda: bool(heard.unreadable))
            stand.change(record, {"employees": "12"})
            heard.until(lambda: 12 in [event.values.get("employees") for event in heard.events])
        [kept] = heard.unreadable
        assert "is not a number, but fields.yaml calls lead.employees a number: correct the type there" in kept.error
        with pytest.raises(ConnectorError, match="employees"):
            stand.source.reread(kept.raw, datetime(2026, 11, 22, tzinfo=UTC))

    def test_what_the_system_forgot_to_tell_is_a_gap_and_the_rest_goes_on(
        self, stand: SourceStand, heard: Heard
    ) -> None:
        unless_exempt(stand, "forget")
        record = stand.create({stand.text_field: "a"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.change(record, {stand.text_field: "forgotten"})
        old, after = heard.positions[-1] or b"", Heard()
        place = stand.forget(old)
        with Running(stand.source, place, after):
            after.until(lambda: (stand.entity, "*") in [(e.entity, e.record_id) for e in after.events])
            after.until(lambda: after.positions[-1] not in (None, old, place))
            stand.change(record, {stand.text_field: "told"})
            after.until(lambda: after.events[-1].kind == "updated")
        gaps, rest = after.events[:-1], after.events[-1]
        assert {(gap.kind, gap.record_id, gap.complete) for gap in gaps} == {("gap", "*", False)}
        assert len({gap.entity for gap in gaps}) == len({gap.event_id for gap in gaps}) == len(gaps)
        assert (rest.record_id, rest.values) == (record, {stand.text_field: "told"})

    def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "deliver_garbage")
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_garbage()
            stand.create({stand.text_field: "readable"})
            heard.until(lambda: bool(heard.events) and bool(heard.unreadable))
        [kept] = heard.unreadable
        assert kept.raw
        assert kept.error
        assert heard.events[-1].values[stand.text_field] == "readable"
        with pytest.raises(ConnectorError):
            stand.source.reread(kept.raw, datetime(2026, 11, 22, tzinfo=UTC))
