"""What happens to Marketo's leads without changing them, their scores and their merges: the shared suites, and what only these do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog

from connectors.errors import ConnectorError, Misconfigured
from connectors.marketo.connection import MarketoConnection
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.marketo import MarketoSandbox
from routing.core.model import ChangeEvent, EntityMap, Unreadable, Values
from routing.runtime.clock import utcnow
from tests.contract.heard import Heard, Running
from tests.contract.listening import NewsSuite
from tests.contract.suites import write_of
from tests.contract.test_marketo import LEAD, MarketoStand, sandbox

__all__ = ["sandbox"]  # a fixture


def mapped(**activities: tuple[str, str]) -> dict[str, EntityMap]:
    """The map of leads with fields that activities tell: name -> type, and what fields.yaml calls it in Marketo."""
    remote = {field: name for field, (_, name) in activities.items()}
    types = {field: kind for field, (kind, _) in activities.items()}
    lead = msgspec.structs.replace(
        LEAD,
        fields={**LEAD.fields, **remote},
        types={**LEAD.types, **types},
        read_only=LEAD.read_only | set(activities),
    )
    return {"lead": lead}


class FormStand(MarketoStand):
    """Leads whose ``last_form`` is what they filled out last."""

    text_field = "last_form"
    exempt: Mapping[str, str] = {
        "forget": "Marketo keeps activities for longer than deletions, and they are told from where we were",
        "snapshots": "an export holds no activities: they are told from the first start on",
    }
    maps = mapped(
        last_form=("text", "activity Fill Out Form"),
        attendees=("number", "activity Attend Conference / Number of Attendees"),
    )

    def create(self, values: Values) -> str:
        record = super().create({name: value for name, value in values.items() if name != "last_form"})
        if values.get("last_form"):
            self.sandbox.fill_out_form(record, values["last_form"])
        return record

    def change(self, record_id: str, values: Values) -> None:
        if "last_form" in values:
            self.sandbox.fill_out_form(record_id, values["last_form"])
        super().change(record_id, {name: value for name, value in values.items() if name != "last_form"})

    def held(self, record_id: str) -> Values:
        # By number: the suite tells it out of order.
        told = sorted((one for _, one in self.sandbox.store.log), key=lambda one: one["id"])
        forms = [
            one["primaryAttributeValue"]
            for one in told
            if (one["leadId"], one["activityTypeId"]) == (int(record_id), 2)
        ]
        return super().held(record_id) | {"last_form": forms[-1] if forms else None}

    def deliver_garbage(self) -> None:
        self.sandbox.act(self.create({}), "Attend Conference", "Dreams", {"Number of Attendees": "many"})


@pytest.fixture
def stand(sandbox: tuple[MarketoSandbox, Faults]) -> Iterator[FormStand]:
    made, faults = sandbox
    faults.clear()
    made.impose({"window": 1_000_000, "daily": 1_000_000, "page": 300, "used_today": 0, "merge_deletion": 1})
    stand = FormStand(made, faults)
    yield stand
    stand.connection.close()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def told(stand: MarketoStand, maps: dict[str, EntityMap], position: bytes | None, happens: Any, events: int) -> Heard:
    """What a source with those maps hears from the position on, once ``happens`` was called and so many events came."""
    connection, heard = MarketoConnection(stand.settings, lambda: maps, utcnow), Heard()
    try:
        with Running(connection.source, position, heard):
            heard.until(lambda: position is not None or bool(heard.positions))
            happens()
            heard.until(lambda: len(heard.events) >= events)
    finally:
        connection.close()
    return heard


class TestForms(NewsSuite):
    def test_a_creation_and_a_change_arrive_in_order_with_their_values(  # type: ignore[override]
        self, stand: FormStand, heard: Heard
    ) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            record = stand.create({"last_form": "Contact us"})
            heard.until(lambda: len(heard.events) >= 2)
        created, filled = heard.events
        assert (created.kind, created.complete, filled.kind, filled.complete) == ("created", False, "updated", True)
        assert created.record_id == filled.record_id == record
        assert (filled.changed, filled.values) == (("last_form",), {"last_form": "Contact us"})
        assert filled.origin == "activity fill out form"
        assert (created.occurred_at, created.sequence) < (filled.occurred_at, filled.sequence)

    def test_a_repeated_delivery_has_the_same_id(self, stand: FormStand, heard: Heard) -> None:  # type: ignore[override]
        """A paging token that ended is made anew from the time of the last look, and tells some of it twice."""
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {"last_form": "twice"})
            heard.until(lambda: len(heard.events) == 1)
        place, again = msgspec.json.decode(heard.positions[0] or b""), Heard()
        with Running(stand.source, msgspec.json.encode({**place, "activities": "ended"}), again):
            again.until(lambda: heard.events[0].event_id in [event.event_id for event in again.events])

    def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(  # type: ignore[override]
        self, stand: FormStand, heard: Heard
    ) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_garbage()
            stand.change(record, {"last_form": "readable"})
            heard.until(lambda: bool(heard.unreadable) and len(heard.events) == 2)
        [kept] = heard.unreadable
        assert "attendees a number" in kept.error
        assert heard.events[-1].values["last_form"] == "readable"
        with pytest.raises(Misconfigured):
            stand.source.reread(kept.raw, utcnow())
        stand.maps = mapped(attendees=("text", "activity Attend Conference / Number of Attendees"))
        [read] = stand.source.reread(kept.raw, utcnow())
        assert (read.event_id, read.values) == (kept.event_id, {"attendees": "many"})


class TestWhatIsTold:
    def test_fields_yaml_says_which_activities_and_which_part_of_them(self, stand: FormStand) -> None:
        maps = mapped(
            form=("text", "activity Fill Out Form"),
            form_id=("number", "activity Fill Out Form"),
            form_fields=("text", "activity fill out  form / Form fields"),
            page=("text", "activity Fill Out Form / Referrer URL"),
            touched_at=("datetime", "activity Fill Out Form or Click Email"),
            program_status=("text", "activity Change Status in Progression / New Status"),
        )
        record = stand.create({})

        def happens() -> None:
            stand.sandbox.act(record, "Visit Webpage", "/pricing")  # nobody mapped it
            stand.sandbox.fill_out_form(record, "Contact us", {"city": "Rome"})
            stand.sandbox.act(record, "Click Email", "Newsletter 7")
            stand.sandbox.act(record, "Change Status in Progression", "Webinar", {"New Status": "Attended"})

        heard = told(stand, maps, None, happens, 4)
        of_city, form, click, status = heard.events
        assert of_city.values == {"city": "Rome"}
        number = form.values.pop("form_id")
        assert isinstance(number, int)
        at = form.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert form.values == {"form": "Contact us", "form_fields": "city", "page": None, "touched_at": at}
        assert list(click.values) == ["touched_at"]
        assert status.values == {"program_status": "Attended"}

    def test_a_score_arrives_though_no_change_of_a_field_is_told(self, stand: FormStand) -> None:
        maps = {
            "lead": msgspec.structs.replace(
                LEAD, fields={**LEAD.fields, "score": "leadScore"}, types={"score": "number"}
            )
        }
        record = stand.create({})
        heard = told(stand, maps, None, lambda: stand.sandbox.update(record, {"leadScore": 80}), 1)
        [event] = heard.events
        assert (event.kind, event.record_id, event.changed, event.values) == (
            "updated",
            record,
            ("score",),
            {"score": 80},
        )

    def test_a_new_lead_is_told_with_the_form_that_it_came_by(self, stand: FormStand) -> None:
        position = told(stand, dict(stand.maps), None, lambda: None, 0).positions[0]
        record, other = stand.create({"last_form": "Contact us"}), stand.create({})
        stand.change(record, {"last_form": "Webinar"})
        heard = told(stand, dict(stand.maps), position, lambda: None, 4)
        assert [(event.kind, event.record_id, event.complete, event.values) for event in heard.events] == [
            ("created", record, False, {"last_form": "Webinar"}),
            ("created", other, False, {}),
            ("updated", record, True, {"last_form": "Contact us"}),
            ("updated", record, True, {"last_form": "Webinar"}),
        ]

    def test_a_new_kind_is_told_from_where_we_are_and_nothing_twice_or_never(self, stand: FormStand) -> None:
        form, moment = ("text", "activity Fill Out Form"), ("text", "activity Interesting Moment")
        record = stand.create({})

        def happens(n: int) -> None:
            stand.sandbox.fill_out_form(record, f"form {n}")
            stand.sandbox.act(record, "Interesting Moment", f"moment {n}")

        one = told(stand, mapped(form=form), None, lambda: stand.sandbox.fill_out_form(record, "form 1"), 1)
        happens(2)
        both = told(stand, mapped(form=form, moment=moment), one.positions[-1], lambda: happens(3), 4)
        assert [event.values for event in one.events] == [{"form": "form 1"}]
        assert [event.values for event in both.events] == [
            {"form": "form 2"},
            {"moment": "moment 2"},
            {"form": "form 3"},
            {"moment": "moment 3"},
        ]

    def test_a_position_of_before_activities_were_read_goes_on_from_its_time(self, stand: FormStand) -> None:
        record, heard = stand.create({}), Heard()
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        place = msgspec.json.decode(heard.positions[0] or b"")
        del place["activities"]
        stand.change(record, {"last_form": "meanwhile"})
        after = Heard()
        with Running(stand.source, msgspec.json.encode(place), after):
            after.until(lambda: "meanwhile" in [event.values.get("last_form") for event in after.events])

    def test_where_deletions_are_forgotten_activities_are_still_told(self, stand: FormStand, heard: Heard) -> None:
        record, other, after = stand.create({}), stand.create({}), Heard()
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.change(record, {"last_form": "long ago"})
        stand.sandbox.merge(record, [other])
        with Running(stand.source, stand.forget(heard.positions[-1] or b""), after):
            after.until(lambda: "merged" in [event.kind for event in after.events])
        assert after.events[0].kind == "gap"
        assert {"last_form": "long ago"} in [event.values for event in after.events]

    def test_an_answer_that_leads_nowhere_holds_up_nothing(
        self, stand: FormStand, heard: Heard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        log = stand.sandbox._rest.activities
        asked = log._activities
        stuck = {"moreResult": True, "nextPageToken": msgspec.json.decode(heard.positions[-1] or b"")["activities"]}
        monkeypatch.setattr(
            log, "_activities", lambda query, shown: stuck if "activityTypeIds" in query else asked(query, shown)
        )
        stand.delete(record)
        with Running(stand.source, heard.positions[-1], heard):
            heard.until(lambda: bool(heard.events))
        assert heard.events[-1].kind == "deleted"

    @pytest.mark.parametrize("operation", ["types", "describe", "activities"])
    @pytest.mark.parametrize("kind", ["unavailable", "timeout", "rate_limited", "expired_session"])
    def test_whatever_fails_once_is_asked_again(
        self, stand: FormStand, heard: Heard, operation: str, kind: str
    ) -> None:
        record = stand.create({})
        position = told(stand, dict(stand.maps), None, lambda: None, 0).positions[0]
        stand.change(record, {"last_form": "through"})
        stand.faults.add(Fault(system="marketo", operation=operation, kind=kind, retry_after=0))  # type: ignore[arg-type]
        with Running(stand.source, position, heard):
            heard.until(lambda: bool(heard.events))
        assert [event.values for event in heard.events] == [{"last_form": "through"}]
        assert stand.faults.all() == []


class TestMerges:
    @pytest.mark.parametrize("deletions", [0, 1])
    def test_a_merge_tells_what_went_into_what(self, stand: FormStand, heard: Heard, deletions: int) -> None:
        stays, one, other = (stand.create({"company": name}) for name in ("a", "b", "c"))
        stand.sandbox.impose({"merge_deletion": deletions})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.sandbox.merge(stays, [one, other])
            heard.until(lambda: len(heard.events) == 3 + 2 * deletions)
        merged, survivor, gone = heard.events[:2], heard.events[2], heard.events[3:]
        assert [(event.kind, event.record_id, event.into) for event in merged] == [
            ("merged", one, stays),
            ("merged", other, stays),
        ]
        assert (survivor.kind, survivor.record_id, survivor.continues) == ("updated", stays, (one, other))
        assert not survivor.complete, "what the merge left is read back"
        assert [(event.kind, event.record_id) for event in gone] == [("deleted", one), ("deleted", other)][
            : 2 * deletions
        ]
        assert len({event.event_id for event in heard.events}) == len(heard.events)

    def test_a_merge_that_does_not_say_of_what_is_kept(self, stand: FormStand, heard: Heard) -> None:
        stays, other = stand.create({}), stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            with stand.sandbox.store.lock:
                stand.sandbox.merge(stays, [other])
                merge = stand.sandbox.store.log[-1][1]
                merge["attributes"] = [one for one in merge["attributes"] if one["name"] != "Merge IDs"]
            heard.until(lambda: bool(heard.unreadable))
        assert "'Merge IDs' is empty" in heard.unreadable[0].error


@pytest.mark.parametrize("page", [1, 3])
def test_whenever_it_is_stopped_everything_is_accepted_exactly_once(stand: FormStand, page: int) -> None:
    """Positions are contiguous: what one covers and what is told after it are all there is, whatever stream it is of."""

    class Stopped(Exception):
        pass

    start = told(stand, dict(stand.maps), None, lambda: None, 0).positions[0]
    one, other = stand.create({"last_form": "first"}), stand.create({"company": "b"})
    stand.change(one, {"company": "c", "last_form": "second"})
    stand.sandbox.merge(one, [other])
    stand.delete(stand.create({"last_form": "third"}))
    stand.sandbox.impose({"page": page})
    uninterrupted = told(stand, dict(stand.maps), start, lambda: None, 11)
    expected = sorted(event.event_id for event in uninterrupted.events)

    position, accepted, stops = start, list[str](), 0
    while len(accepted) < len(expected):
        heard = Heard()

        def accept(items: Sequence[ChangeEvent | Unreadable], at: bytes | None, heard: Heard = heard) -> None:
            if heard.items:
                raise Stopped  # nothing of this is stored
            heard(items, at)

        connection = MarketoConnection(stand.settings, lambda: stand.maps, utcnow)
        with Running(connection.source, position, accept):
            heard.until(lambda heard=heard: bool(heard.items))  # type: ignore[misc]
        connection.close()
        accepted += [event.event_id for event in heard.events]
        position, stops = heard.positions[-1], stops + 1
    assert sorted(accepted) == expected
    assert stops > 2


class TestDoctor:
    def check(self, stand: FormStand, maps: dict[str, EntityMap]) -> dict[str, str]:
        connection = MarketoConnection(stand.settings, lambda: maps, utcnow)
        try:
            return {finding.check: finding.detail for finding in connection.check() if not finding.ok}
        finally:
            connection.close()

    def test_what_is_misspelled_is_told_and_the_rest_is_heard(self, stand: FormStand) -> None:
        maps = mapped(
            form=("text", "activity Fill Out Form"),
            moment=("text", "activity Interesting Momant"),
            page=("text", "activity Fill Out Form / Referer"),
            company_name=("text", "activity Change Data Value"),
        )
        wrong = self.check(stand, maps)["activities: every mapped kind is there"]
        assert "lead.moment: Marketo has no activity 'interesting momant'; did you mean Interesting Moment?" in wrong
        assert "lead.page: the activity Fill Out Form has no 'Referer'; it has Client IP Address" in wrong
        assert "lead.company_name: Change Data Value is heard of anyhow" in wrong
        record = stand.create({})
        with structlog.testing.capture_logs() as logs:
            heard = told(stand, maps, None, lambda: stand.sandbox.fill_out_form(record, "Contact us"), 1)
        assert heard.events[0].values == {"form": "Contact us"}
        assert [one["event"] for one in logs].count("marketo_activity_not_read") == 3

    def test_a_kind_too_many_is_told(self, stand: FormStand, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("connectors.marketo.catalogue.MOST_KINDS", 2)
        maps = mapped(form=("text", "activity Fill Out Form"), moment=("text", "activity Interesting Moment"))
        wrong = self.check(stand, maps)["activities: every mapped kind is there"]
        assert (
            wrong
            == "lead.moment: Interesting Moment is one too many; Marketo tells 2 kinds of activities, merges and scores included"
        )

    def test_what_happened_is_not_written(self, stand: FormStand) -> None:
        lead = msgspec.structs.replace(
            mapped(form=("text", "activity Fill Out Form"))["lead"], read_only=LEAD.read_only
        )
        assert self.check(stand, {"lead": lead}) == {"activities: nothing would write them": "form"}
        stand.maps = {"lead": lead}
        record = stand.create({"company": "old"})
        [result] = stand.connection.write([write_of(stand, record, company="new", form="Contact us")])
        assert isinstance(result.error, Misconfigured)
        assert "lead.form cannot be written" in str(result.error)
        assert stand.held(record)["company"] == "old"

    def test_reading_leads_knows_nothing_of_what_only_activities_tell(self, stand: FormStand) -> None:
        record = stand.create({"company": "x", "last_form": "Contact us"})
        try:
            found = stand.connection.read("lead", [record], ["company", "last_form"])
        except ConnectorError as error:
            pytest.fail(f"Marketo has no such field: {error}")
        assert found[record].values == {"company": "x"}


def test_more_than_ten_kinds_at_once_are_refused_by_the_sandbox_too(stand: FormStand) -> None:
    client, at = stand.connection._client, (utcnow() - timedelta(days=1)).isoformat()
    token = client.get("a token", "/rest/v1/activities/pagingtoken.json", dict[str, Any], {"sinceDatetime": at})
    for kinds, said in (
        (range(1, 12), "Invalid value"),
        ((1, 2, 3, 11, 12, 13, 22, 32, 37, 46, 104), "Too many values"),
    ):
        query = {"nextPageToken": token["nextPageToken"], "activityTypeIds": ",".join(map(str, kinds))}
        with pytest.raises(ConnectorError, match=said):
            client.get("activities", "/rest/v1/activities.json", dict[str, Any], query)
