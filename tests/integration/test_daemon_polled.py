"""A daemon that nobody can call: HubSpot by search, Marketo by paging token. Leads are decided and corrected all the same, once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tenacity import wait_random_exponential

from connectors import patience
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.marketo import MarketoSandbox
from connectors.sandbox.people import read_people
from connectors.sandbox.world import World
from routing.bootstrap.daemon import Daemon
from routing.bootstrap.settings import load
from routing.bootstrap.systems import connect
from routing.core.model import Decision, Record
from routing.delivery import retrying
from routing.ledger import decisions, mirror
from routing.ledger.schema import ref_of
from routing.runtime.clock import utcnow
from tests.faults.test_crm_faults import Weather
from tests.processes import POLICY, wait_for

MARKETO = {
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "company": "company",
    "country": "country",
    "city": "city",
    "employees": "numberOfEmployees",
}


class Polled:
    """Both sandboxes and the daemon in this process."""

    def __init__(self, folder: Path) -> None:
        self.faults: Faults = Weather(5)
        policy = folder / "policy"
        shutil.copytree(POLICY, policy)
        _map_marketo(policy / "fields.yaml")
        world = World(3, read_people(policy / "people.csv"), 30)
        self.hubspot = HubSpotSandbox(world, utcnow, self.faults, "", "", ten_seconds=1_000_000)
        self.marketo = MarketoSandbox(utcnow, self.faults)
        for sandbox in (self.hubspot, self.marketo):
            sandbox.start()
        self.hubspot.impose({"searches": 1000})
        self.marketo.impose({"window": 1_000_000})
        self.settings = self._settings(folder, policy)
        self.owners = {owner["id"]: owner["email"] for owner in world.owners}
        self.daemon: Daemon | None = None

    def _settings(self, folder: Path, policy: Path) -> Path:
        (folder / "token").write_text(self.hubspot.access_token, "utf-8")
        (folder / "secret").write_text(self.marketo.client_secret, "utf-8")
        hubspot = {"host": self.hubspot.url, "access_token": {"file": "token"}, "changes": "search"}
        marketo: dict[str, Any] = {"host": self.marketo.url, "client_id": self.marketo.client_id}
        marketo |= {
            "client_secret": {"file": "secret"},
            "poll_seconds": 0.05,
            "first_lead": utcnow().date().isoformat(),
        }
        hubspot |= {"search_seconds": 0.05, "index_lag_seconds": 0.5, "deletions_seconds": 0.5}  # type: ignore[dict-item]
        marketo["export_look_seconds"] = 0.01
        told = {"policy": str(policy), "ledger": str(folder / "ledger.db"), "hubspot": hubspot, "marketo": marketo}
        path = folder / "fingerpost.yaml"
        path.write_text(yaml.safe_dump(told), "utf-8")
        return path

    def open(self) -> None:
        settings = load(self.settings)
        self.daemon = Daemon(settings.ledger, settings.policy, connect(settings), utcnow)
        self.daemon.start()
        self.until("the daemon", self.daemon.ready.is_set)

    def close(self) -> None:
        if self.daemon is not None:
            assert self.daemon.stop() == []
            assert self.daemon.services.failure == ""
            self.daemon = None

    def until(self, what: str, true: Any) -> None:
        wait_for(what, true, 90, pause=0.05)

    def quiet(self) -> bool:
        assert self.daemon is not None
        backlog = self.daemon.backlog()
        return backlog["events"] == 0 and backlog["writes"] == 0


def _map_marketo(path: Path) -> None:
    text = path.read_text("utf-8").replace(
        "\n  in: {salesforce: Lead, hubspot: contacts}", "\n  in: {salesforce: Lead, hubspot: contacts, marketo: leads}"
    )
    head, tail = text.split("\naccount:\n", 1)
    lines = []
    for line in head.splitlines():
        name = line.strip().split(":")[0]
        if line.startswith("    ") and name in MARKETO and line.endswith("}"):
            line = f"{line[:-1]}, marketo: {MARKETO[name]}}}"
        lines.append(line)
    lines.append("    last_form: {type: text, label: Last form, marketo: activity Fill Out Form, read_only: true}")
    path.write_text("\n".join(lines) + "\n\naccount:\n" + tail, "utf-8")
    ladder = path.with_name("engagement.yaml")
    asked = 'ladder:\n  - rung: Asked for a call\n    when: lead.last_form = "Call me"\n    hold: sales looks who is free\n\n'
    ladder.write_text(ladder.read_text("utf-8").replace("ladder:\n", asked, 1), "utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Polled]:
    made = Polled(tmp_path)
    yield made
    try:
        made.close()
    finally:
        made.hubspot.stop()
        made.marketo.stop()


def contact(world: Polled, n: int) -> str:
    return world.hubspot.create(
        "contacts",
        {
            "email": f"p{n}@unknown{n}.example",
            "lastname": "Rossi",
            "company": f"Unknown {n}",
            "country": "Germany",
            "numemployees": "50",
        },
    )


def test_hubspot_leads_found_by_search_are_routed_and_corrected_once(world: Polled) -> None:
    world.open()
    records = [contact(world, n) for n in range(5)]

    def all_done() -> bool:
        held = [world.hubspot.record("contacts", one) or {} for one in records]
        return all(one.get("country") == "DE" and one.get("hubspot_owner_id") for one in held) and world.quiet()

    world.until("every contact to be routed", all_done)
    for one in records:
        assert max(world.hubspot.writes("contacts", one).values()) == 1
    assert world.daemon is not None
    assert world.daemon.backlog()["parked_writes"] == 0


def test_a_marketo_lead_is_read_back_and_corrected_once_whatever_the_answers_are(world: Polled) -> None:
    world.open()
    for operation, kind in (
        ("read", "unavailable"),
        ("write", "timeout_after_commit"),
        ("activities", "expired_session"),
    ):
        world.faults.add(Fault(system="marketo", operation=operation, kind=kind))  # type: ignore[arg-type]
    given = {"lastName": "Rossi", "company": "Unknown", "country": "Germany", "numberOfEmployees": 50}
    record = world.marketo.create({**given, "email": "a@unknown.example"})
    world.until("the correction", lambda: (world.marketo.record(record) or {}).get("country") == "DE" and world.quiet())
    assert world.marketo.writes(record)["country"] == 1
    assert world.faults.all() == []


@pytest.mark.parametrize(("system", "operation"), [("hubspot", "batch_update"), ("marketo", "write")])
def test_what_our_write_replaced_unseen_is_put_back(world: Polled, system: str, operation: str) -> None:
    """Histories and activities tell of both changes, however long after."""
    world.open()
    world.faults.add(Fault(system=system, operation=operation, kind="person_edits"))
    if system == "hubspot":
        record = contact(world, 1)
    else:
        record = world.marketo.create({"lastName": "Rossi", "country": "Germany", "email": "a@unknown.example"})

    def held() -> dict[str, Any]:
        found = world.hubspot.record("contacts", record) if system == "hubspot" else world.marketo.record(record)
        return found or {}

    def decided() -> list[Decision]:
        assert world.daemon is not None
        with world.daemon.ledger.read() as conn:
            return decisions.of_record(conn, record)

    world.until("their value", lambda: held().get("country") == "DE (edited)" and len(decided()) > 1 and world.quiet())
    assert "it is put back" in decided()[-1].reason
    assert ("country", "DE (edited)") in [(one.field, one.new) for made in decided() for one in made.corrections]
    assert world.faults.all() == []


def test_a_marketo_lead_is_decided_by_the_form_that_it_came_by(world: Polled) -> None:
    world.open()
    assert world.daemon is not None
    with world.marketo.store.lock:  # as it happens at once there
        record = world.marketo.create({"lastName": "Rossi", "company": "Unknown", "country": "Italy"})
        world.marketo.fill_out_form(record, "Call me")

    def made() -> list[Decision]:
        assert world.daemon is not None
        with world.daemon.ledger.read() as conn:
            return decisions.of_record(conn, record)

    world.until("the decision", lambda: any(one.rung == "Asked for a call" for one in made()) and world.quiet())
    assert {one.rung for one in made() if one.rung} == {"Asked for a call"}, "decided once, knowing the form"
    [facts] = [one.facts["lead"] for one in made() if one.rung]
    assert (facts["last_form"], facts["company"]) == ("Call me", "Unknown")


def test_a_marketo_lead_goes_on_for_those_that_were_merged_into_it(world: Polled) -> None:
    world.open()
    leads = [
        world.marketo.create({"lastName": name, "company": "C", "country": "Germany"})
        for name in ("Rossi", "Rosi", "Ross")
    ]

    def corrected() -> bool:
        return all((world.marketo.record(one) or {}).get("country") == "DE" for one in leads) and world.quiet()

    def known(record: str) -> Record:
        assert world.daemon is not None
        with world.daemon.ledger.read() as conn:
            ref = ref_of("marketo", "lead", record)
            return mirror.load(conn, {ref})[ref]

    world.until("the leads", corrected)
    stays, *gone = leads
    world.marketo.merge(stays, gone)
    world.until(
        "the merge", lambda: bool(known(stays).took_over) and all(known(one).deleted for one in gone) and world.quiet()
    )
    assert known(stays).took_over == tuple(gone)
    assert not known(stays).deleted
    assert world.marketo.writes(stays) == {"country": 1}
    assert world.daemon is not None
    assert world.daemon.backlog()["parked_writes"] == 0


def test_what_happened_while_the_daemon_was_down_is_found_afterwards(world: Polled) -> None:
    world.open()
    before = contact(world, 1)
    world.until(
        "the first", lambda: (world.hubspot.record("contacts", before) or {}).get("country") == "DE" and world.quiet()
    )
    world.close()
    missed, lead = contact(world, 2), world.marketo.create({"lastName": "B", "company": "C", "country": "Germany"})
    world.open()

    def both() -> bool:
        found = (
            (world.hubspot.record("contacts", missed) or {}).get("country"),
            (world.marketo.record(lead) or {}).get("country"),
        )
        return found == ("DE", "DE") and world.quiet()

    world.until("what was missed", both)
    assert max(world.hubspot.writes("contacts", before).values()) == 1


def test_in_a_storm_of_outages_lost_answers_and_limits_every_write_lands_once(
    world: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = wait_random_exponential(multiplier=0.01, max=0.1)
    monkeypatch.setattr(retrying, "_growing", soon)
    monkeypatch.setattr(patience, "wait_random_exponential", lambda **_bounds: soon)
    world.open()
    assert isinstance(world.faults, Weather)
    world.faults.bad = True
    contacts: list[str] = []
    leads: list[str] = []

    def corrected() -> bool:
        held = [world.hubspot.record("contacts", one) or {} for one in contacts]
        held += [world.marketo.record(one) or {} for one in leads]
        return all(one.get("country") == "DE" for one in held)

    while world.faults.struck < 20:
        n = len(contacts)
        contacts += [contact(world, n), contact(world, n + 1)]
        leads += [world.marketo.create({"lastName": "B", "company": f"C {n}", "country": "Germany"})]
        world.until("every record to be corrected", corrected)
    world.faults.bad = False
    world.until("the rest", world.quiet)
    assert {world.hubspot.writes("contacts", one)["country"] for one in contacts} == {1}
    assert {world.marketo.writes(one)["country"] for one in leads} == {1}
    assert world.daemon is not None
    assert world.daemon.backlog()["parked_writes"] == 0
