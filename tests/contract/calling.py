"""What every intake of a system that calls us must do, written once; see ``suites.py``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Protocol

import pytest

from connectors.contract import Webhook
from connectors.errors import ConnectorError, SignatureRefused
from routing.core.model import ChangeEvent, Unreadable
from tests.contract.heard import known_after
from tests.contract.suites import unless_exempt


class WebhookStand(Protocol):
    """A system that calls us: what it would send, and the intake under test. ``exempt`` as with ``Stand``."""

    webhook: Webhook
    text_field: str
    exempt: Mapping[str, str]

    def request(self, record_id: str, at: datetime) -> tuple[dict[str, str], bytes]:
        """Headers (lower-case names) and body of a genuine call about one record, sent ``at``."""
        ...

    def changed(self, record_id: str, text: str, at: datetime) -> bytes:
        """The body of a call that tells that the text field got that value then."""
        ...

    def sealed(self, body: bytes, at: datetime) -> dict[str, str]:
        """The headers with which the system would send any body."""
        ...


class WebhookSuite:
    """``Webhook``: only the system itself is heard, nothing it says is dropped, and what it says twice is one event."""

    NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def received(self, stand: WebhookStand, headers: Mapping[str, str], body: bytes) -> list[ChangeEvent | Unreadable]:
        return stand.webhook.receive("POST", stand.webhook.path, "", headers, body, self.NOW)

    def test_a_genuine_call_is_an_event_of_its_record(self, webhook_stand: WebhookStand) -> None:
        [event] = self.received(webhook_stand, *webhook_stand.request("1001", self.NOW))
        assert isinstance(event, ChangeEvent)
        assert (event.system, event.record_id) == (webhook_stand.webhook.system, "1001")
        assert event.observed_at == self.NOW

    def test_without_its_seal_nothing_is_read(self, webhook_stand: WebhookStand) -> None:
        _, body = webhook_stand.request("1001", self.NOW)
        with pytest.raises(SignatureRefused):
            self.received(webhook_stand, {}, body)

    def test_each_part_of_the_seal_counts(self, webhook_stand: WebhookStand) -> None:
        headers, body = webhook_stand.request("1001", self.NOW)
        sealed = webhook_stand.sealed(body, self.NOW)
        for name in sealed:
            with pytest.raises(SignatureRefused):
                self.received(webhook_stand, {**headers, name: f"{sealed[name]}x"}, body)

    def test_a_refusal_shows_no_secret(self, webhook_stand: WebhookStand) -> None:
        headers, body = webhook_stand.request("1001", self.NOW)
        with pytest.raises(SignatureRefused) as caught:
            self.received(webhook_stand, dict.fromkeys(headers, "wrong"), body)
        assert not any(value in str(caught.value) for value in webhook_stand.sealed(body, self.NOW).values())

    def test_the_same_call_twice_is_one_event(self, webhook_stand: WebhookStand) -> None:
        call = webhook_stand.request("1001", self.NOW)
        [one], [two] = self.received(webhook_stand, *call), self.received(webhook_stand, *call)
        other = self.received(webhook_stand, *webhook_stand.request("1002", self.NOW))
        assert one.event_id == two.event_id != other[0].event_id

    def test_whatever_the_order_of_calls_they_end_alike(self, webhook_stand: WebhookStand) -> None:
        unless_exempt(webhook_stand, "changed")
        bodies = [webhook_stand.changed("1001", text, self.NOW + timedelta(seconds=n)) for n, text in enumerate("bcd")]
        calls = [(webhook_stand.sealed(body, self.NOW), body) for body in bodies]
        ends = set()
        for order in permutations(calls):
            events = [event for call in order for event in self.received(webhook_stand, *call)]
            ends.add(
                known_after([event for event in events if isinstance(event, ChangeEvent)])[webhook_stand.text_field]
            )
        assert ends == {"d"}

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"null", b"7", b"[" * 100_000])
    def test_a_sealed_body_that_cannot_be_read_is_kept(self, webhook_stand: WebhookStand, body: bytes) -> None:
        [kept] = self.received(webhook_stand, webhook_stand.sealed(body, self.NOW), body)
        assert isinstance(kept, Unreadable)
        assert kept.raw == body
        assert kept.error
        with pytest.raises(ConnectorError):
            webhook_stand.webhook.reread(kept.raw, self.NOW)
