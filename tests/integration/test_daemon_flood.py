"""A flood of what cannot be used closes the daemon's door, aloud, and it opens again by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from routing.runtime import breaker
from tests.integration.stage import Stage, stage


def strange(world: Stage, number: int) -> dict[str, Any]:
    """An event of a type that nobody knows."""
    return {
        "eventId": number,
        "subscriptionId": 1,
        "occurredAt": round(world.clock().timestamp() * 1000),
        "subscriptionType": "contact.somersault",
        "objectId": number,
    }


def test_a_flood_closes_the_door_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "CLOSED_SECONDS", 3)
    monkeypatch.setattr(breaker, "WINDOW_SECONDS", 3)
    with stage(tmp_path, accounts=60) as world:
        flood = [strange(world, number) for number in range(breaker.LEAST_PARKED)]
        assert world.hooks(msgspec.json.encode(flood)) == 200
        assert world.hooks(msgspec.json.encode([strange(world, 9000)])) == 503
        health = requests.get(f"{world.url}/healthz", timeout=10)
        assert health.status_code == 503
        assert "were parked" in health.json()["intake_closed"]
        lead, contact = world.lead(), world.contact()  # both senders try again
        assert len(world.parked()) == breaker.LEAST_PARKED
        world.until("the door to open", lambda: requests.get(f"{world.url}/healthz", timeout=10).status_code == 200)
        world.until("both", lambda: world.decisions(lead) and world.decisions(contact))
        world.settle()
        assert [told.detail.split(":")[0] for told in world.happenings if told.what == "intake"] == [
            "The intake is closed",
            "The intake is open again, for a trial.",
        ]
