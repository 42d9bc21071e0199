from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectors.contract import Snapshot
from routing.core.model import Write
from routing.delivery.guard import check
from tests.conftest import START


def write(fields: dict[str, Any], guard: dict[str, Any]) -> Write:
    return Write(write_id="w", decision_id="d", system="s", entity="lead", record_id="1", fields=fields, guard=guard)


def snapshot(**values: Any) -> Snapshot:
    return Snapshot(values=values, modified_at=START, modified_by="005MANAGER")


def test_what_is_as_expected_is_sent() -> None:
    checked = check(write({"owner": "b"}, {"owner": "a"}), snapshot(owner="a"))
    assert checked.write is not None
    assert checked.write.fields == {"owner": "b"}
    assert checked.write.seen_at == START


def test_a_persons_hand_wins_and_the_record_says_whose() -> None:
    checked = check(write({"owner": "b"}, {"owner": "a"}), snapshot(owner="c"))
    assert checked.write is None
    assert checked.state == "superseded"
    assert "owner is now 'c', not 'a'" in checked.detail
    assert "005MANAGER" in checked.detail


def test_one_overtaken_field_does_not_hold_back_the_others() -> None:
    both = write({"owner": "b", "country": "DE"}, {"owner": "a", "country": "germany"})
    checked = check(both, snapshot(owner="a", country="AT"))
    assert checked.write is not None
    assert checked.write.fields == {"owner": "b"}
    assert "country is now 'AT'" in checked.detail


def test_what_was_given_up_is_not_sent_though_the_record_holds_what_was_expected() -> None:
    both = write({"owner": "b", "country": "DE"}, {"owner": "a", "country": "germany"})
    both = msgspec.structs.replace(both, given_up={"owner": "superseded: owner had been changed"})
    checked = check(both, snapshot(owner="a", country="germany"))
    assert checked.write is not None
    assert checked.write.fields == {"country": "DE"}
    assert checked.detail == "superseded: owner had been changed"
    checked = check(both, snapshot(owner="a", country="DE"))
    assert (checked.write, checked.state, checked.detail) == (None, "superseded", "superseded: owner had been changed")
    assert check(both, snapshot(owner="b", country="DE")).state == "confirmed"


def test_what_the_record_already_holds_is_done() -> None:
    checked = check(write({"owner": "b"}, {"owner": "a"}), snapshot(owner="b"))
    assert (checked.write, checked.state) == (None, "confirmed")


def test_a_record_that_is_gone_takes_nothing() -> None:
    checked = check(write({"owner": "b"}, {"owner": "a"}), None)
    assert (checked.write, checked.state) == (None, "superseded")


def test_what_the_crm_does_not_tell_is_neither_taken_for_empty_nor_written_over() -> None:
    checked = check(write({"country": "DE"}, {"country": None}), snapshot(owner="a"))
    assert (checked.write, checked.state) == (None, "parked")
    assert checked.detail.startswith("lead.country was not sent: s does not tell what it holds.")


def test_a_field_that_the_crm_does_not_tell_does_not_hold_back_the_others() -> None:
    both = write({"owner": "b", "country": "DE"}, {"owner": "a", "country": None})
    checked = check(both, snapshot(owner="a"))
    assert checked.write is not None
    assert checked.write.fields == {"owner": "b"}
    assert "lead.country was not sent" in checked.detail


@pytest.mark.parametrize(("expected", "held"), [(None, ""), ("", None), (5, 5.0), (None, None)])
def test_blank_is_blank_and_numbers_are_numbers(expected: object, held: object) -> None:
    assert check(write({"f": "new"}, {"f": expected}), snapshot(f=held)).write is not None


@pytest.mark.parametrize(("expected", "held"), [(True, 1), ("1", 1), ("a", "A")])
def test_other_values_are_other_values(expected: object, held: object) -> None:
    assert check(write({"f": "new"}, {"f": expected}), snapshot(f=held)).state == "superseded"


def test_what_an_earlier_write_of_ours_left_is_as_good_as_what_was_expected() -> None:
    second = msgspec.structs.replace(write({"owner": "c"}, {"owner": "a"}), ours={"owner": "b"})
    for held in ("a", "b"):
        checked = check(second, snapshot(owner=held))
        assert checked.write is not None, held
    assert check(second, snapshot(owner="a person")).state == "superseded"


def test_a_record_that_is_just_being_worked_is_not_taken_away() -> None:
    taken = msgspec.structs.replace(write({"owner": "b", "country": "DE"}, {"owner": "a"}), still={"status": "New"})
    assert check(taken, snapshot(owner="a", status="New")).write is not None
    checked = check(taken, snapshot(owner="a", status="Working"))
    assert (checked.write, checked.state) == (None, "superseded")
    assert "status is now 'Working', not 'New'" in checked.detail


def test_what_must_not_change_and_reading_does_not_show_holds_nothing_up() -> None:
    taken = msgspec.structs.replace(
        write({"owner": "b"}, {"owner": "a"}), still={"status": "New", "last_form": "Contact us"}
    )
    assert check(taken, snapshot(owner="a", status="New")).write is not None
    assert check(taken, snapshot(owner="a", status="New", last_form=None)).state == "superseded"
    assert check(taken, snapshot(owner="a", status="Working")).state == "superseded"


def test_what_a_crm_does_not_tell_is_not_taken_for_blank() -> None:
    """A field that is hidden: emptying it is sent where nothing is to be compared."""
    checked = check(write({"title": None}, {}), snapshot())
    assert checked.write is not None
    assert checked.write.fields == {"title": None}
