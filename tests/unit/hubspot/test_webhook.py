"""The intake: who may call, and what becomes of every event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hubspot.utils.signature import Signature

from connectors.errors import Misconfigured, SignatureRefused
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.signature import called_uri, sign, signed_uri
from connectors.hubspot.webhook import HubSpotWebhook
from routing.core.model import ChangeEvent, EntityMap, Unreadable

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://hooks.example.com/hooks/hubspot"
LEAD = EntityMap(
    "hubspot", "lead", "contacts", {"email": "email", "employees": "numemployees", "owner": "hubspot_owner_id"},
    {"employees": "number", "owner": "person"},
)  # fmt: skip
ACCOUNT = EntityMap("hubspot", "account", "companies", {"name": "name", "website": "domain", "domain": "domain"}, {})


@pytest.fixture
def maps() -> dict[str, EntityMap]:
    return {"account": ACCOUNT, "lead": LEAD}


@pytest.fixture
def webhook(maps: dict[str, EntityMap]) -> HubSpotWebhook:
    settings = HubSpotSettings(access_token="t", client_secrets=("new", "old"), public_url=URL)
    return HubSpotWebhook(settings, lambda: maps)


def headers(body: bytes, secret: str = "new", at: datetime = NOW, uri: str = URL) -> dict[str, str]:
    timestamp = str(int(at.timestamp() * 1000))
    return {
        "x-hubspot-signature-v3": sign(secret, "POST", uri, body, timestamp),
        "x-hubspot-request-timestamp": timestamp,
    }


def receive(webhook: HubSpotWebhook, *items: Any, now: datetime = NOW) -> list[ChangeEvent | Unreadable]:
    body = json.dumps(items).encode()
    return webhook.receive("POST", "/", "", headers(body, at=now), body, now)


def hook(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "eventId": 1,
        "subscriptionId": 42,
        "portalId": 7,
        "occurredAt": 1_763_800_000_123,
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": 5001,
        "changeSource": "CRM_UI",
        **more,
    }


class TestSignature:
    def test_agrees_with_hubspots_own_library(self) -> None:
        body = '[{"ä": "日本"}]'
        theirs = Signature.get_signature("s", body, "v3", URL, "POST", "1763800000000")
        assert sign("s", "POST", URL, body.encode(), "1763800000000") == theirs

    def test_a_secret_being_replaced_is_still_accepted(self, webhook: HubSpotWebhook) -> None:
        assert webhook.receive("POST", "/", "", headers(b"[]", "old"), b"[]", NOW) == []

    @pytest.mark.parametrize("seconds", [-299, 0, 299])
    def test_within_five_minutes_is_fine(self, webhook: HubSpotWebhook, seconds: int) -> None:
        given = headers(b"[]", at=NOW + timedelta(seconds=seconds))
        assert webhook.receive("POST", "/", "", given, b"[]", NOW) == []

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({}, "x-hubspot-signature-v3 is missing"),
            ({"x-hubspot-signature-v3": "x"}, "x-hubspot-request-timestamp is missing"),
            (headers(b"[]", "other"), "signature is wrong"),
            (headers(b"[1]"), "signature is wrong"),
            (headers(b"[]", uri="https://elsewhere.example/"), "public_url"),
            (headers(b"[]", at=NOW - timedelta(seconds=301)), "301 s ago"),
            (headers(b"[]", at=NOW + timedelta(seconds=301)), "301 s in the future"),
            ({"x-hubspot-signature-v3": "x", "x-hubspot-request-timestamp": "soon"}, "not a number"),
            ({"x-hubspot-signature-v3": "x", "x-hubspot-request-timestamp": "9" * 400}, "not a number"),
            ({"x-hubspot-signature-v3": "ünïcode", "x-hubspot-request-timestamp": "1795348800000"}, "ago|wrong|future"),
        ],
    )
    def test_everything_else_is_refused_with_the_reason(
        self, webhook: HubSpotWebhook, given: Mapping[str, str], reason: str
    ) -> None:
        with pytest.raises(SignatureRefused, match=reason) as caught:
            webhook.receive("POST", "/", "", given, b"[]", NOW)
        assert "new" not in str(caught.value).split()

    def test_the_query_is_part_of_it_and_percent_encoding_is_not(self) -> None:
        assert signed_uri(called_uri(URL, "a=b%2Fc%20d")) == URL + "?a=b/c%20d"

    def test_without_secret_or_address_it_does_not_start(self) -> None:
        with pytest.raises(Misconfigured, match="client_secrets"):
            HubSpotWebhook(HubSpotSettings(access_token="t", public_url=URL), dict)
        with pytest.raises(Misconfigured, match="public_url"):
            HubSpotWebhook(HubSpotSettings(access_token="t", client_secrets=("s",)), dict)


class TestEvents:
    def test_a_creation_waits_for_its_values(self, webhook: HubSpotWebhook) -> None:
        [event] = receive(webhook, hook("contact.creation", sourceId="userId:77"))
        assert isinstance(event, ChangeEvent)
        assert (event.entity, event.record_id, event.kind, event.complete) == ("lead", "5001", "created", False)
        assert (event.actor, event.origin) == ("userId:77", "CRM_UI")
        assert event.occurred_at == datetime.fromtimestamp(1_763_800_000.123, UTC)
        assert event.observed_at == NOW

    @pytest.mark.parametrize(
        ("name", "raw", "field", "value"),
        [
            ("email", "ana@x.example", "email", "ana@x.example"),
            ("email", "", "email", None),
            ("numemployees", "1000+", "employees", 1000),
            ("numemployees", "250", "employees", 250),
            ("hubspot_owner_id", "41", "owner", "41"),
        ],
    )
    def test_a_change_carries_its_value_typed(
        self, webhook: HubSpotWebhook, name: str, raw: str, field: str, value: Any
    ) -> None:
        [event] = receive(webhook, hook("contact.propertyChange", propertyName=name, propertyValue=raw))
        assert isinstance(event, ChangeEvent)
        assert (event.kind, event.changed, event.values, event.complete) == ("updated", (field,), {field: value}, True)

    def test_half_an_emoji_spoils_nothing(self, webhook: HubSpotWebhook) -> None:
        """A text that somebody cut in the middle of one; a whole one, and a backslash before a u, are left as they are."""
        texts = [r"Acme \ud83d", r"\ude00 Acme", r"Acme \ud83d\ude00", r"\\ud83d"]
        items = [json.dumps(hook("company.propertyChange", propertyName="name", propertyValue="HERE")) for _ in texts]
        body = f"[{','.join(one.replace('HERE', text) for one, text in zip(items, texts, strict=True))}]".encode()
        found = webhook.receive("POST", "/", "", headers(body), body, NOW)
        assert [event.values["name"] for event in found if isinstance(event, ChangeEvent)] == [
            "Acme \ufffd",
            "\ufffd Acme",
            "Acme \U0001f600",
            "\\ud83d",
        ]

    def test_a_property_may_feed_two_fields(self, webhook: HubSpotWebhook) -> None:
        [event] = receive(webhook, hook("company.propertyChange", propertyName="domain", propertyValue="x.example"))
        assert isinstance(event, ChangeEvent)
        assert event.entity == "account"
        assert event.values == {"website": "x.example", "domain": "x.example"}

    def test_a_property_nobody_maps_changes_nothing_and_is_accounted_for(self, webhook: HubSpotWebhook) -> None:
        [event] = receive(webhook, hook("contact.propertyChange", propertyName="shoe_size", propertyValue="44"))
        assert isinstance(event, ChangeEvent)
        assert (event.kind, event.changed, event.values) == ("updated", (), {})

    @pytest.mark.parametrize(
        ("kind", "becomes", "complete"),
        [
            ("contact.deletion", "deleted", True),
            ("contact.restore", "restored", False),
            ("contact.privacyDeletion", "erased", True),
            ("contact.associationChange", "updated", True),
        ],
    )
    def test_the_other_kinds(self, webhook: HubSpotWebhook, kind: str, becomes: str, complete: bool) -> None:
        [event] = receive(webhook, hook(kind))
        assert isinstance(event, ChangeEvent)
        assert (event.kind, event.complete, event.changed) == (becomes, complete, ())

    def test_the_newer_names_say_the_object_by_its_type_id(self, webhook: HubSpotWebhook) -> None:
        [contact, company] = receive(
            webhook, hook("object.creation", objectTypeId="0-1"), hook("object.deletion", objectTypeId="0-2")
        )
        assert isinstance(contact, ChangeEvent)
        assert isinstance(company, ChangeEvent)
        assert (contact.entity, company.entity) == ("lead", "account")

    def test_a_merge_ends_the_losers_and_rereads_the_winner(self, webhook: HubSpotWebhook) -> None:
        events = receive(webhook, hook("contact.merge", primaryObjectId=5001, mergedObjectIds=[5002, 5003]))
        assert [(event.record_id, event.kind, event.into) for event in events if isinstance(event, ChangeEvent)] == [
            ("5002", "merged", "5001"),
            ("5003", "merged", "5001"),
            ("5001", "updated", ""),
        ]
        assert isinstance(events[-1], ChangeEvent)
        assert not events[-1].complete
        assert len({event.event_id for event in events}) == 3

    def test_a_merge_into_a_new_record_ends_all_old_ones(self, webhook: HubSpotWebhook) -> None:
        events = receive(webhook, hook("contact.merge", primaryObjectId=5001, mergedObjectIds=[5002], newObjectId=9000))
        assert [(event.record_id, event.kind, event.into) for event in events if isinstance(event, ChangeEvent)] == [
            ("5001", "merged", "9000"),
            ("5002", "merged", "9000"),
            ("9000", "updated", ""),
        ]
        assert [event.continues for event in events if isinstance(event, ChangeEvent)] == [(), (), ("5001", "5002")]

    def test_a_redelivery_has_the_same_id_and_another_change_has_not(self, webhook: HubSpotWebhook) -> None:
        one = hook("contact.propertyChange", propertyName="email", propertyValue="a@x.example")
        again = {**one, "attemptNumber": 3, "eventId": 99}
        later = {**one, "occurredAt": one["occurredAt"] + 1}
        other = {**one, "propertyName": "numemployees", "propertyValue": "1"}
        ids = [event.event_id for event in receive(webhook, one, again, later, other)]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 3


class TestUnreadable:
    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            (7, "not shaped"),
            (None, "not shaped"),
            ("contact.creation", "not shaped"),
            ({}, "subscriptionType"),
            (hook("contact.creation", occurredAt="yesterday"), "occurredAt"),
            (hook("contact.creation", occurredAt=10**17), "not a time"),
            (hook("contact.creation", objectId=None), "which record"),
            (hook("contact.creation", objectId=[1]), "objectId"),
            (hook("contact.doSomething"), "contact.doSomething"),
            (hook("nonsense"), "nonsense"),
            (hook("deal.creation"), "'deals'"),
            (hook("object.creation", objectTypeId="2-999"), "'2-999'"),
            (hook("object.creation"), "without objectTypeId"),
            (hook("contact.propertyChange", propertyName="numemployees", propertyValue="many"), "a number"),
            (hook("contact.propertyChange", propertyName="numemployees", propertyValue="NaN"), "finite"),
            (hook("contact.propertyChange", propertyName="email", propertyValue={"a": 1}), "neither text nor"),
        ],
    )
    def test_one_bad_event_is_kept_and_the_good_ones_go_on(
        self, webhook: HubSpotWebhook, item: Any, reason: str
    ) -> None:
        first, bad, last = receive(webhook, hook("contact.creation"), item, hook("contact.deletion"))
        assert isinstance(first, ChangeEvent)
        assert isinstance(last, ChangeEvent)
        assert isinstance(bad, Unreadable)
        assert reason in bad.error
        assert json.loads(bad.raw) == item

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b"null", b'"x"', b"\xff\xfe", b"[", b"[1,", b"[" * 200_000, b'[{"x":' * 50_000, b"<html>"],
        ids=lambda body: repr(body[:12]),
    )
    def test_a_body_that_is_no_array_of_events_is_kept_whole(self, webhook: HubSpotWebhook, body: bytes) -> None:
        [kept] = webhook.receive("POST", "/", "", headers(body), body, NOW)
        assert isinstance(kept, Unreadable)
        assert kept.raw == body
        with pytest.raises(Misconfigured):
            webhook.reread(kept.raw, NOW)

    def test_it_can_be_read_again_once_fields_yaml_knows_the_object(
        self, webhook: HubSpotWebhook, maps: dict[str, EntityMap]
    ) -> None:
        [kept] = receive(webhook, hook("deal.creation"))
        assert isinstance(kept, Unreadable)
        with pytest.raises(Misconfigured, match="deals"):
            webhook.reread(kept.raw, NOW)
        learnt = {**maps, "opportunity": EntityMap("hubspot", "opportunity", "deals", {}, {})}
        webhook = HubSpotWebhook(
            HubSpotSettings(access_token="t", client_secrets=("s",), public_url=URL), lambda: learnt
        )
        [event] = webhook.reread(kept.raw, NOW)
        assert (event.entity, event.kind, event.observed_at) == ("opportunity", "created", NOW)


def older(version: str, body: bytes, secret: str = "new", uri: str = URL) -> dict[str, str]:
    """What requests carried before version 3, made by HubSpot's own library."""
    signature = Signature.get_signature(secret, body.decode(), version, uri, "POST")
    return {"x-hubspot-signature": signature, "x-hubspot-signature-version": version}


@pytest.mark.parametrize(("version", "oldest"), [("v1", "v1"), ("v2", "v1"), ("v2", "v2")])
def test_an_older_signature_is_taken_where_that_is_allowed(
    maps: dict[str, EntityMap], version: str, oldest: Any
) -> None:
    settings = HubSpotSettings(access_token="t", client_secrets=("new",), public_url=URL, oldest_signature=oldest)
    webhook = HubSpotWebhook(settings, lambda: maps)
    body = json.dumps([hook("contact.deletion")]).encode()
    [event] = webhook.receive("POST", "/", "", older(version, body), body, NOW)
    assert isinstance(event, ChangeEvent)
    with pytest.raises(SignatureRefused, match="the signature is wrong"):
        webhook.receive("POST", "/", "", older(version, body, "wrong"), body, NOW)
    with pytest.raises(SignatureRefused, match="the signature is wrong"):
        webhook.receive("POST", "/", "", older(version, body), body + b" ", NOW)


def test_version_2_signs_the_address_just_as_it_was_called(maps: dict[str, EntityMap]) -> None:
    url = f"{URL}?tenant=a%2Fb"
    settings = HubSpotSettings(access_token="t", client_secrets=("new",), public_url=url, oldest_signature="v2")
    webhook = HubSpotWebhook(settings, lambda: maps)
    assert webhook.receive("POST", "/", "", older("v2", b"[]", uri=url), b"[]", NOW) == []
    with pytest.raises(SignatureRefused):
        webhook.receive("POST", "/", "", older("v2", b"[]", uri=f"{URL}?tenant=a/b"), b"[]", NOW)
    assert webhook.receive("POST", "/", "", headers(b"[]", uri=f"{URL}?tenant=a/b"), b"[]", NOW) == []


@pytest.mark.parametrize(("version", "oldest"), [("v1", "v3"), ("v2", "v3"), ("v1", "v2")])
def test_an_older_signature_than_allowed_is_refused_with_the_setting(
    maps: dict[str, EntityMap], version: str, oldest: Any
) -> None:
    settings = HubSpotSettings(access_token="t", client_secrets=("new",), public_url=URL, oldest_signature=oldest)
    body = json.dumps([hook("contact.deletion")]).encode()
    with pytest.raises(SignatureRefused, match="oldest_signature"):
        HubSpotWebhook(settings, lambda: maps).receive("POST", "/", "", older(version, body), body, NOW)


def test_an_older_signature_does_not_save_a_request_whose_newest_is_wrong(maps: dict[str, EntityMap]) -> None:
    settings = HubSpotSettings(access_token="t", client_secrets=("new",), public_url=URL, oldest_signature="v1")
    body = json.dumps([hook("contact.deletion")]).encode()
    both = {**headers(body, "wrong"), **older("v1", body)}
    with pytest.raises(SignatureRefused):
        HubSpotWebhook(settings, lambda: maps).receive("POST", "/", "", both, body, NOW)
