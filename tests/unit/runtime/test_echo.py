from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from routing.core.model import ChangeEvent, Record
from routing.core.times import iso
from routing.ledger.echoed import Unechoed
from routing.ledger.schema import to_ms
from routing.runtime.echo import heard_back, overtaken, parted, under_way
from tests.conftest import START

HOUR = timedelta(hours=1)


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


def test_a_write_on_its_way_also_goes_over_what_an_earlier_one_left() -> None:
    """That one was heard back meanwhile, so the record is known to hold its value: the next decision must not think that it stays."""
    second = Unechoed(2, {"owner": "ben"}, guard={"owner": "us"}, ours={"owner": "ana"})
    assert under_way([second], {"owner": "ana"}) == {"owner": "ben"}
    assert under_way([second], {"owner": "a person"}) == {}


def owes(seq: int, was: str, to: str, **more: Any) -> Unechoed:
    return Unechoed(seq, {"owner": to}, guard={"owner": was}, sent=False, **more)


def test_a_write_that_is_owed_is_overtaken_by_a_value_that_nobody_of_us_knows() -> None:
    one = owes(1, "", "ana")
    assert overtaken([one], {"owner": "ben"}) == {1: ["owner"]}
    for known in ("", None, "ana"):
        assert overtaken([one], {"owner": known}) == {}
    both = Unechoed(1, {"owner": "ana", "country": "DE"}, guard={"owner": None, "country": "Germany"})
    assert overtaken([both], {"owner": None, "country": "FR"}) == {1: ["country"]}


def test_what_our_earlier_writes_do_overtakes_no_later_one() -> None:
    """Each was made when the one before was on its way: the CRM shows the first's value by now, or the second's."""
    writes = [owes(1, "", "ana"), owes(2, "", "ben", ours={"owner": "ana"}), owes(3, "", "cem", ours={"owner": "ben"})]
    for n, value in enumerate(("", "ana", "ben", "cem")):
        assert overtaken(writes[max(0, n - 1) :], {"owner": value}) == {}  # what came before that has ended
    assert overtaken(writes, {"owner": "dee"}) == {1: ["owner"], 2: ["owner"], 3: ["owner"]}


def test_what_has_ended_or_was_heard_back_is_not_given_up() -> None:
    assert overtaken([owes(1, "", "ana", ended_ms=5)], {"owner": "ben"}) == {}
    assert overtaken([Unechoed(1, {}, guard={"owner": ""})], {"owner": "ben"}) == {}
    parked = Unechoed(1, {"owner": "ana"}, ended_ms=5, parked={"owner": "ana"})  # it may have happened unheard
    assert overtaken([parked, owes(2, "", "ben")], {"owner": "ana"}) == {}


def test_what_is_parked_is_given_up_once_somebody_is_heard_to_have_changed_it() -> None:
    def parked(**more: Any) -> Unechoed:
        return Unechoed(1, {}, ended_ms=5, sent=False, parked={"owner": "ana"}, parked_guard={"owner": "us"}, **more)

    assert overtaken([parked()], {"owner": "ben"}) == {1: ["owner"]}
    for ours in ("us", "ana"):
        assert overtaken([parked()], {"owner": ours}) == {}
    # What it expects says nothing of who set it there over a later write of ours.
    assert overtaken([parked(), owes(2, "", "cem")], {"owner": "us"}) == {2: ["owner"]}
    assert under_way([parked()], {"owner": "us"}) == {}  # nobody counts on it


def looked(*changed: str, **values: Any) -> ChangeEvent:
    """What was found an hour after our write."""
    event = change(**values)
    return replace(event, changed=changed, occurred_at=START + HOUR, actor="a person", origin="read back")


def known(**told: timedelta) -> Record:
    at = {field: iso(START + by) for field, by in told.items()}
    return Record(system="s", entity="lead", record_id="1", values={}, changed_at=at)


def wrote(seq: int = 1, minutes: int = 0, **fields: Any) -> Unechoed:
    made = to_ms(START + timedelta(minutes=minutes))
    return Unechoed(seq, fields, made, made + 900)


def test_what_is_ours_and_what_is_a_persons_is_told_apart_field_by_field() -> None:
    ours = [wrote(owner="ana", country="DE"), wrote(2, minutes=5, rating="Hot")]
    seen = {"owner": "ana", "phone": "1", "country": "FR", "rating": "Hot", "city": "Bonn"}
    event = looked("owner", "phone", "country", "rating", **seen)
    theirs, *parts = parted(event, known(city=-HOUR), ours)
    assert (theirs.changed, theirs.actor) == (("phone", "country"), "a person")
    assert theirs.values == {"phone": "1", "country": "FR", "city": "Bonn"}
    assert [part.values for part in parts] == [{"owner": "ana"}, {"rating": "Hot"}]
    assert [part.occurred_at - START for part in parts] == [timedelta(), timedelta(minutes=5)]
    assert len({event.event_id, *(part.event_id for part in parts)}) == 3
    assert heard_back(theirs, ours) is None
    assert heard_back(parts[0], ours) == [replace(ours[0], fields={"country": "DE"})]
    assert heard_back(parts[1], ours) == [replace(ours[1], fields={})]


def test_our_write_alone_is_ours_however_late_it_is_found() -> None:
    ours = [wrote(owner="ana")]
    theirs, part = parted(looked("owner", owner="ana"), known(), ours)
    assert (theirs.changed, theirs.values) == ((), {})
    assert heard_back(part, ours) == [replace(ours[0], fields={})]


def test_an_echo_as_it_is_is_not_parted() -> None:
    event = change(owner="ana")
    assert parted(event, known(), [wrote(owner="ana")]) == [event]


def test_what_somebody_changed_after_our_write_as_was_told_is_theirs() -> None:
    event = looked("owner", "phone", owner="ana", phone="1")
    assert parted(event, known(owner=HOUR), [wrote(owner="ana")]) == [event]


def test_our_part_is_newer_than_what_was_told_before_our_write() -> None:
    """Also where the CRM's clock is ahead of ours: the mirror must take the value."""
    ahead = timedelta(milliseconds=500)
    _, part = parted(looked("owner", "phone", owner="ana", phone="1"), known(owner=ahead), [wrote(owner="ana")])
    assert part.occurred_at == START + ahead + timedelta(milliseconds=1)


def test_what_was_never_sent_is_nobodys_but_theirs() -> None:
    event = looked("owner", owner="ana")
    assert parted(event, known(), [replace(wrote(owner="ana"), sent=False)]) == [event]
