from __future__ import annotations

from typing import Any

from routing.core.model import ChangeEvent
from routing.ledger.outbox import Unechoed
from routing.runtime.echo import heard_back, under_way
from tests.conftest import START


def change(kind: str = "updated", **values: Any) -> ChangeEvent:
    return ChangeEvent(
        event_id="e",
        system="s",
        entity="lead",
        record_id="1",
        kind=kind,  # type: ignore[arg-type]
        occurred_at=START,
        observed_at=START,
        changed=tuple(values),
        values=values,
    )


def test_our_own_write_coming_back_is_an_echo() -> None:
    ours = [Unechoed(1, {"owner": "ana", "country": "DE"})]
    assert heard_back(change(owner="ana", country="DE"), ours) == [Unechoed(1, {})]


def test_hubspot_tells_each_property_by_itself() -> None:
    ours = [Unechoed(1, {"owner": "ana", "country": "DE"})]
    left = heard_back(change(owner="ana"), ours)
    assert left == [Unechoed(1, {"country": "DE"})]
    assert heard_back(change(country="DE"), left) == [Unechoed(1, {})]


def test_another_value_is_somebody_else() -> None:
    assert heard_back(change(owner="ben"), [Unechoed(1, {"owner": "ana"})]) is None


def test_a_change_of_more_than_we_wrote_is_somebody_else() -> None:
    assert heard_back(change(owner="ana", title="CEO"), [Unechoed(1, {"owner": "ana"})]) is None


def test_the_same_value_a_second_time_is_a_person() -> None:
    left = heard_back(change(owner="ana"), [Unechoed(1, {"owner": "ana"})])
    assert left is not None
    assert heard_back(change(owner="ana"), left) is None


def test_a_creation_is_never_an_echo() -> None:
    assert heard_back(change("created", owner="ana"), [Unechoed(1, {"owner": "ana"})]) is None


def test_the_same_value_long_before_or_after_our_write_is_a_person() -> None:
    """However often an echo got lost: what nobody heard back must not swallow a person's hand for ever."""
    at, hour = round(START.timestamp() * 1000), 3_600_000
    for created, ended, echo in (
        (at - hour, at - 1000, True),
        (at - hour, None, True),
        (at - 2 * hour, at - hour, False),
        (at + hour, at + hour + 1000, False),
        (at + 60_000, at + 61_000, True),  # the CRM's clock may go a little wrong
    ):
        assert (heard_back(change(owner="ana"), [Unechoed(1, {"owner": "ana"}, created, ended)]) is not None) is echo


def test_what_is_waited_for_is_not_changed_by_asking() -> None:
    ours = [Unechoed(1, {"owner": "ana"})]
    heard_back(change(owner="ana"), ours)
    assert ours == [Unechoed(1, {"owner": "ana"})]


def test_what_was_never_sent_cannot_come_back() -> None:
    assert heard_back(change(owner="ana"), [Unechoed(1, {"owner": "ana"}, sent=False)]) is None


def test_a_write_on_its_way_tells_what_a_record_is_about_to_hold() -> None:
    first = Unechoed(1, {"owner": "ana", "country": "DE"}, guard={"owner": "us", "country": "Germany"})
    second = Unechoed(2, {"owner": "ben"}, guard={"owner": "us"})
    assert under_way([first, second], {"owner": "us", "country": "Germany"}) == {"owner": "ben", "country": "DE"}
    assert under_way([first, second], {"owner": "a person", "country": "Germany"}) == {"country": "DE"}
