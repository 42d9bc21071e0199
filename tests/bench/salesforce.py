"""Salesforce: how fast change events are decoded on one core."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import process_time

from connectors.salesforce import pubsub_pb2 as pb
from connectors.salesforce.decode import EventDecoder, RawEvent
from connectors.salesforce.transactions import Transactions
from connectors.sandbox.salesforce.bus import EventBus
from connectors.sandbox.salesforce.checks import Operation
from connectors.sandbox.salesforce.objects import build_objects
from connectors.sandbox.salesforce.store import Store
from routing.core.model import ChangeEvent
from tests.bench.report import Line
from tests.contract.salesforce_stand import ANA, BEN, MANY, SmallWorld

EVENTS, RESPONSE = 30_000, 100
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def run(_folder: Path) -> list[Line]:
    return _decoding()


def _responses() -> tuple[list[bytes], EventBus]:
    """What the wire brings: creations and changes of leads and accounts, a hundred events a response."""
    world = SmallWorld()
    store = Store(build_objects({"User": world.users, "Account": world.accounts, **world.custom}), lambda: NOW)
    store.load("User", world.users)
    bus = EventBus(store.objects)
    store.announce = bus.publish
    rng, leads = Random(1), []
    for n in range(EVENTS):
        if n % 3 == 0 or not leads:
            fields = {
                "LastName": f"Doe {n}",
                "Company": f"Company {n}",
                "Email": f"p{n}@c{n}.example",
                "City": "Köln",
                "Country": "Germany",
                "Website": f"c{n}.example",
                "NumberOfEmployees": rng.randrange(5, 5000),
                "AnnualRevenue": 1e6 * rng.randrange(1, 90),
                "Description": "Asked for a price at the fair. " * 4,
                "OwnerId": ANA,
            }
            operation = Operation("create", "Lead", fields=fields)
        else:
            change = rng.choice(
                ({"OwnerId": (ANA, BEN)[n % 2]}, {"Title": f"t{n}"}, {"City": f"c{n}", "Country": None})
            )
            operation = Operation("update", "Lead", rng.choice(leads), change)
        [made] = store.transact([operation], actor=ANA)
        assert isinstance(made, str)
        leads.append(made)
    taken, at = [], 0
    while True:
        events, at = bus.take(at, "/data/ChangeEvents", RESPONSE)
        if not events:
            return taken, bus
        response = pb.FetchResponse(latest_replay_id=b"x")
        for number, event in events:
            one = response.events.add()
            one.replay_id = number.to_bytes(10, "big")
            one.event.schema_id, one.event.payload = event.schema_id, event.payload
        taken.append(response.SerializeToString())


def _decoding() -> list[Line]:
    wire, bus = _responses()
    decoder = EventDecoder(lambda: MANY, bus.schemas.__getitem__)
    rates = []
    for _ in range(3):
        began, told, saved = process_time(), 0, Transactions()
        for body in wire:
            decoder.refresh()
            for event in pb.FetchResponse.FromString(body).events:
                raw = RawEvent(event.event.schema_id, event.replay_id, event.event.payload)
                items = saved.add(decoder.decode(raw, NOW), raw.replay_id, len(raw.payload), NOW)
                told += sum(isinstance(item, ChangeEvent) for item in items)
        told += len(saved.release())
        assert told > 0.8 * EVENTS  # some changes set what was there
        rates.append(told / (process_time() - began))
    return [Line("change events decoded a second of one core", max(rates), "events/s", 5_000)]
