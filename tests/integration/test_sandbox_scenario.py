"""A running sandbox is driven by a scenario file: traffic, faults, deeds; and says what is wrong with a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

import connectors.sandbox
from connectors.hubspot.journal import HubSpotJournal
from connectors.hubspot.settings import HubSpotSettings
from connectors.sandbox.scenario import read_scenario
from connectors.sandbox.server import SandboxOptions, SandboxServer
from connectors.sandbox.world import PersonSeed
from routing.cli.app import app
from routing.runtime.clock import monotonic, utcnow
from tests.processes import wait_for

SHIPPED = sorted((Path(connectors.sandbox.__file__).parent / "scenarios").glob("*.yaml"))


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    made = SandboxServer([PersonSeed("Ana Diaz", "ana@example.com")], utcnow, monotonic, SandboxOptions(accounts=20))
    made.start()
    yield made
    made.stop()


def load(server: SandboxServer, path: Path, *more: str) -> Any:
    return CliRunner().invoke(app, ["sandbox", "load", "--scenario", str(path), "--admin", server.admin_url, *more])


def later(step: str) -> str:
    return f"scenario: x\nsteps:\n  - traffic: {{leads: 1}}\n  - at: 0.2\n    {step}\n"


def deed(system: str, do: str, given: str) -> str:
    return later(f"deeds: [{{system: {system}, do: {do}, with: {{{given}}}}}]")


def test_steps_happen_in_order(server: SandboxServer, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(
        """
scenario: A small one
steps:
  - traffic: {leads: 4, rate: null, hubspot_share: 1.0}
    faults: [{system: hubspot, operation: search, kind: slow, seconds: 0.1, times: 2}]
  - at: 0.5
    deeds:
      - {system: hubspot, do: update, with: {kind: contacts, record_id: newest, properties: {city: Rome}, user: ana@example.com}}
      - {system: hubspot, do: impose, with: {values: {search_lag: 30}}}
      - {system: salesforce, do: create, with: {name: Lead, fields: {LastName: Bruni, Company: Acme}}}
  - at: 0.6
    clear_faults: true
    webhook: {mischief: {lose_every: 2}}
""",
        "utf-8",
    )
    done = load(server, path, "--wait")
    assert done.exit_code == 0, done.output
    assert done.output == "A small one: 3 of 3 steps done.\n"
    assert [item for item in server.hubspot.items("contacts") if item.properties.get("city") == "Rome"]
    assert [row for row in server.salesforce.records("Lead") if row["LastName"] == "Bruni"]
    state = requests.get(f"{server.admin_url}/state", timeout=30).json()
    assert state["leads"]["hubspot"] == 4
    assert state["faults"] == []
    assert server.hubspot.webhooks.mischief.lose_every == 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_can_be_played(server: SandboxServer, path: Path) -> None:
    assert read_scenario(path).steps
    done = load(server, path, "--wait")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scenario: x\nsteps: []", "at least one"),
        ("scenario: x\nsteps: [{at: 5}, {at: 1}]", "step 2 is at 1 s"),
        ("scenario: x\nsteps: [{att: 5}]", "step 1: there is no 'att'; is it 'at'?"),
        ("", "it is empty"),
        ("scenario: x\nsteps: [{at: abc}]", "step 1, at: it is a number, not 'abc'"),
        ("scenario: x\nsteps: [{traffic: {rat: 5}}]", "step 1, traffic: there is no 'rat'; is it 'rate'?"),
        ("scenario: x\nsteps: [{webhook: {mischief: {duplicate_evry: 3}}}]", "is it 'duplicate_every'?"),
        ("scenario: x\nsteps: [{webhook: {url: nowhere}}]", "no address like http://"),
        ("scenario: [", "not YAML"),
        ("scenario: x\nsteps: [{deeds: [{system: hubspot, do: fly}]}]", "no deed 'fly'"),
        ("scenario: x\nsteps: [{deeds: [{system: sap, do: update}]}]", "no sandbox is called 'sap'"),
        # Each of these after a step that would play.
        (
            later("faults: [{system: hubspot, operation: fly, kind: slow}]"),
            "step 2 at 0.2 s: hubspot has no operation 'fly'",
        ),
        (
            later("faults: [{system: hubspot, kind: slow, tiems: 3}]"),
            "step 2, fault 1: there is no 'tiems'; is it 'times'?",
        ),
        (later("faults: [{system: hubspot, kind: slwo}]"), "there is no 'slwo'; is it 'slow'?"),
        (
            deed("hubspot", "create", "kind: kontacts, properties: {}"),
            "kind: there is no 'kontacts'; is it 'contacts'?",
        ),
        (deed("hubspot", "update", "kind: contacts, record_id: newest, prperties: {}"), "record_id, properties"),
        (deed("hubspot", "delete", "kind: contacts, record: '1'"), "it takes: kind, record_id, user"),
        (deed("hubspot", "create", "kind: contacts, properties: {numemployees: 5}"), "it is text, not 5"),
        (deed("salesforce", "impose", "values: {latncy: 5}"), "salesforce has no condition 'latncy'; is it 'latency'?"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(server: SandboxServer, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, "utf-8")
    before = server.player.state()
    refused = load(server, path)
    assert refused.exit_code == 2
    assert server.player.state() == before, "nothing was played"
    assert says in refused.output
    assert "bad.yaml" in refused.output


def test_a_step_that_fails_ends_it_and_says_which(server: SandboxServer, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "scenario: x\nsteps:\n  - deeds: [{system: hubspot, do: delete, with: {kind: contacts, record_id: '1'}}]\n",
        "utf-8",
    )
    ended = load(server, path, "--wait")
    assert ended.exit_code == 1
    assert "step 1 at 0 s: resource not found: 1" in ended.output


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--admin", "http://127.0.0.1:1"], "no sandbox answers at http://127.0.0.1:1"),
        (["--admin", "127.0.0.1:21800"], "an address like http://"),
        (["--settings", "{folder}/x.yaml"], "is not what `fingerpost sandbox serve --settings-out` writes"),
        (["--admin", "{hubspot}"], "is no admin_url of a sandbox"),
        (["--admin", "{admin}", "--scenario", "/nope.yaml"], "/nope.yaml: there is no such file"),
    ],
)
def test_who_cannot_be_heard_is_told_so(server: SandboxServer, tmp_path: Path, given: list[str], says: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("scenario: x\nsteps: [{at: 0}]\n", "utf-8")
    words = {"folder": tmp_path, "hubspot": server.hubspot.url, "admin": server.admin_url}
    more = [one.format(**words) for one in given]
    refused = CliRunner().invoke(app, ["sandbox", "load", "--scenario", str(path), *more])
    assert refused.exit_code == 2
    assert says in refused.output


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("faults", {"system": "hubspot", "kind": "slow", "tiems": 3}, "there is no 'tiems'; is it 'times'?"),
        (
            "faults",
            [{"system": "hubspot", "kind": "slow"}, {"system": "hubspot", "kind": "slow", "share": 7}],
            "share is 7",
        ),
        ("faults", {"system": "hubspot", "kind": "partial", "share": -1}, "share is -1"),
        ("faults", {"system": "hubspot", "kind": "slow", "seconds": -3}, "seconds is -3"),
        ("faults", {"system": "hubspot", "kind": "rate_limited", "retry_after": -5}, "retry_after is -5"),
        ("faults", {"system": "marketo", "kind": "person_edits", "operation": "read"}, "it can to: *, write"),
        ("faults", {"system": "salesforce", "kind": "lock", "operation": "query"}, "lock cannot happen to query"),
        ("webhook", {"mischief": {"duplicate_evry": 3}}, "mischief: there is no 'duplicate_evry'"),
        ("webhook", {"mischief": {"duplicate_every": -3}}, "duplicate_every is -3"),
        ("webhook", {"mischief": {"late_seconds": -3}}, "late_seconds is -3"),
        ("webhook", {"url": "not a url"}, "no address like http://"),
        ("traffic", {"leads": 3, "rat": 5}, "there is no 'rat'; is it 'rate'?"),
    ],
)
def test_an_order_that_is_misspelled_or_impossible_changes_nothing(
    server: SandboxServer, path: str, body: Any, says: str
) -> None:
    server.faults.clear()
    mischief, url = server.hubspot.webhooks.mischief, server.hubspot.webhook_url
    refused = requests.post(f"{server.admin_url}/{path}", json=body, timeout=30)
    assert refused.status_code == 400
    assert says in refused.json()["error"]
    assert server.faults.all() == []
    assert (server.hubspot.webhooks.mischief, server.hubspot.webhook_url) == (mischief, url)


@pytest.mark.parametrize(
    ("system", "do", "given", "says"),
    [
        ("hubspot", "create", {"kind": "nosuch", "properties": {}}, "There are: contacts, companies"),
        ("hubspot", "create", {"kind": "contacts", "properties": "x"}, "properties: it is a mapping, not 'x'"),
        ("hubspot", "create", {"kind": "contacts", "properties": {"nosuch": "x"}}, 'Property "nosuch" does not exist'),
        (
            "hubspot",
            "update",
            {"kind": "nosuch", "record_id": "newest", "properties": {}},
            "kind: there is no 'nosuch'",
        ),
        ("hubspot", "impose", {"values": {"search_lag": 1e300}}, "search_lag: 1e+300 is no number from 0 to 1e+09"),
        ("hubspot", "add_workflow", {"owner": "nobody@x"}, "hubspot has no owner 'nobody@x'"),
        ("hubspot", "delete", {"kind": "contacts", "record_id": "newest", "user": "nobody@x"}, "no user 'nobody@x'"),
        ("salesforce", "create", {"name": "Lead", "fields": 5}, "fields: it is a mapping, not 5"),
        ("salesforce", "add_field", {"name": "Nope", "field": "X__c"}, "salesforce has no object 'Nope'"),
        ("salesforce", "add_field", {"name": "Lead", "field": "X__c", "kind": "weird"}, "kind: there is no 'weird'"),
        ("salesforce", "deselect", {"name": "Nope"}, "salesforce has no object 'Nope'"),
        ("salesforce", "gap", {"name": "Nope", "record_ids": ["x"]}, "salesforce has no object 'Nope'"),
        (
            "salesforce",
            "gap",
            {"name": "Lead", "record_ids": ["x"], "change_type": "GAP_FLY"},
            "no event is of the type",
        ),
        ("salesforce", "impose", {"values": ["x"]}, "values: it is a mapping"),
        ("salesforce", "revoke", {"name": "Lead", "field": "Fone"}, "Lead has no field 'Fone'; is it 'Phone'?"),
        ("salesforce", "forbid", {"name": "Lead", "field": "Nope"}, "Lead has no field 'Nope'"),
        ("salesforce", "add_queue", {"label": "Q"}, "it takes: label, objects"),
        ("salesforce", "add_queue", {"label": "Q", "objects": ["Nope"]}, "salesforce has no object 'Nope'"),
        ("salesforce", "add_duplicate_rule", {"name": "Nope"}, "salesforce has no object 'Nope'"),
        ("salesforce", "add_duplicate_rule", {"name": "Lead", "field": "Nope"}, "Lead has no field 'Nope'"),
        ("salesforce", "add_flow", {"owner": "nobody"}, "no user or queue 'nobody'"),
        ("salesforce", "spoil_next", {"spoil": "melt"}, "There are: duplicate, missing"),
        ("salesforce", "lock", {"record_id": "nope"}, "no record 'nope' that could be locked"),
        ("marketo", "create", {"values": {"nosuch": 1}}, "Field 'nosuch' not found"),
        ("marketo", "update", {"record_id": "x", "values": {}}, "'x' is no id of a lead"),
        ("marketo", "merge", {"record_id": "999", "others": ["1000"]}, "Lead not found: 999"),
        ("marketo", "impose", {"values": {"page": 0}}, "one entry at least"),
        ("marketo", "fill_out_form", {"record_id": "999", "form": "x"}, "Lead not found"),
        ("marketo", "fill_out_form", {"record_id": "999", "form": "x", "values": {"emale": 1}}, "is it 'email'?"),
        ("marketo", "act", {"record_id": "999", "activity": "Click Email", "about": "x"}, "Lead not found: 999"),
        ("marketo", "act", {"record_id": "999", "activity": "Klick Email", "about": "x"}, "is it 'Click Email'?"),
        (
            "marketo",
            "act",
            {"record_id": "999", "activity": "Merge Leads", "about": "x"},
            "No activity 'Merge Leads' can be",
        ),
        (
            "marketo",
            "act",
            {"record_id": "999", "activity": "Click Email", "about": "x", "attributes": {"Lnk": "y"}},
            "Click Email has no 'Lnk'. is it 'Link'?",
        ),
    ],
)
def test_a_deed_that_cannot_be_done_is_refused_in_words(
    server: SandboxServer, system: str, do: str, given: dict[str, Any], says: str
) -> None:
    refused = requests.post(f"{server.admin_url}/do", json={"system": system, "do": do, "with": given}, timeout=30)
    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]


def test_what_an_administrator_took_can_be_given_back(server: SandboxServer) -> None:
    org = server.salesforce
    flow = {"system": "salesforce", "do": "add_flow", "with": {"owner": org.admin_user_id}}
    field = {"name": "Lead", "field": "Phone"}
    took = [flow, flow, *({"system": "salesforce", "do": do, "with": field} for do in ("forbid", "revoke"))]
    assert requests.post(f"{server.admin_url}/do", json=took, timeout=30).status_code == 200
    deselect = {"system": "salesforce", "do": "deselect", "with": {"name": "Case"}}
    assert requests.post(f"{server.admin_url}/do", json=deselect, timeout=30).status_code == 200
    assert len(org.records("FlowDefinitionView")) == 1, "one flow, whose owner may change"
    assert "Phone" in org.store.hidden["Lead"] & org.store.invisible["Lead"]
    gave = [
        {"system": "salesforce", "do": "add_flow", "with": {"owner": ""}},
        {"system": "salesforce", "do": "allow", "with": field},
        {"system": "salesforce", "do": "select", "with": {"name": "Case"}},
    ]
    assert requests.post(f"{server.admin_url}/do", json=gave, timeout=30).status_code == 200
    assert org.records("FlowDefinitionView") == []
    assert "Phone" not in org.store.hidden["Lead"] | org.store.invisible["Lead"]
    selected = [row["SelectedEntity"] for row in org.records("PlatformEventChannelMember")]
    assert selected.count("CaseChangeEvent") == 1


def test_how_webhooks_are_told_can_be_chosen(server: SandboxServer) -> None:
    order = {"object_names": True, "drop_refused": True}
    assert requests.post(f"{server.admin_url}/webhook", json=order, timeout=30).status_code == 200
    webhooks = server.hubspot.webhooks
    assert (webhooks.object_names, webhooks.drop_refused) == (True, True)
    back = {"object_names": False, "drop_refused": False}
    assert requests.post(f"{server.admin_url}/webhook", json=back, timeout=30).status_code == 200
    assert (webhooks.object_names, webhooks.drop_refused) == (False, False)


def test_one_deed_by_hand(server: SandboxServer) -> None:
    deed = {"system": "hubspot", "do": "create", "with": {"kind": "contacts", "properties": {"city": "Lima"}}}
    assert requests.post(f"{server.admin_url}/do", json=deed, timeout=30).status_code == 200
    assert [item for item in server.hubspot.items("contacts") if item.properties.get("city") == "Lima"]
    gone = {"system": "hubspot", "do": "delete", "with": {"kind": "contacts", "record_id": "1"}}
    refused = requests.post(f"{server.admin_url}/do", json=gone, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (400, "resource not found: 1")


def test_what_a_deed_made_can_be_used_in_the_next(server: SandboxServer) -> None:
    def do(*deeds: dict[str, Any]) -> Any:
        answer = requests.post(f"{server.admin_url}/do", json=list(deeds), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["did"]

    lead = {"name": "Lead", "fields": {"LastName": "Oro", "Company": "Oro"}}
    record, queue = do(
        {"system": "salesforce", "do": "create", "with": lead},
        {"system": "salesforce", "do": "add_queue", "with": {"label": "Intake", "objects": ["Lead"]}},
    )
    given = {"name": "Lead", "record_id": record, "fields": {"OwnerId": queue}}
    assert do({"system": "salesforce", "do": "update", "with": given}) == [None]
    assert (server.salesforce.record("Lead", record) or {})["OwnerId"] == queue


def test_leads_without_end_can_be_ended(server: SandboxServer) -> None:
    def order(**fields: Any) -> requests.Response:
        return requests.post(f"{server.admin_url}/traffic", json=fields, timeout=30)

    assert order(rate=50).json()["running"]
    refused = order(leads=1)
    assert refused.status_code == 400
    assert '{"leads": 0}' in refused.json()["error"]
    order(leads=0)
    wait_for("the end", lambda: not server.traffic.running)
    assert order(leads=1).status_code == 200
    wait_for("the one lead", lambda: server.traffic.done)
    assert server.traffic.error == ""


def test_what_the_journal_needs_is_printed(server: SandboxServer) -> None:
    printed = server.settings()["hubspot"]
    settings = HubSpotSettings(
        access_token=printed["access_token"],
        client_id=printed["client_id"],
        client_secrets=(printed["client_secret"],),
        portal_id=printed["portal_id"],
        host=printed["host"],
        changes="journal",
    )
    assert HubSpotJournal(settings, dict, utcnow).try_login()


IMPOSSIBLE = [
    {"system": "salesforce", "do": "delete", "with": {"name": "Lead", "record_id": "00Q000000000000AAA"}},
    {"system": "hubspot", "do": "delete", "with": {"kind": "contacts", "record_id": "1"}},
    {"system": "marketo", "do": "delete", "with": {"record_id": "999999"}},
]


@pytest.mark.parametrize("impossible", IMPOSSIBLE, ids=["salesforce", "hubspot", "marketo"])
def test_of_several_deeds_all_are_done_or_none(server: SandboxServer, impossible: dict[str, Any]) -> None:
    org, portal, marketo = server.salesforce, server.hubspot, server.marketo
    there = org.create("Lead", {"LastName": "There", "Company": "Acme"})

    def everything() -> Any:
        return (
            org.record("Lead", there),
            len(org.records("Lead")),
            org.bus.last,
            "Title" in org.store.objects["Lead"].fields,
            [row["SelectedEntity"] for row in org.records("PlatformEventChannelMember")],
            sorted(item.id for item in portal.items("contacts")),
            portal.webhooks.pending + portal.webhooks.delivered,
            sorted(marketo.store.leads),
            len(marketo.store.log),
        )

    before = everything()
    possible = [
        {"system": "salesforce", "do": "create", "with": {"name": "Lead", "fields": {"LastName": "A", "Company": "B"}}},
        {
            "system": "salesforce",
            "do": "update",
            "with": {"name": "Lead", "record_id": there, "fields": {"City": "Rom"}},
        },
        {"system": "salesforce", "do": "delete", "with": {"name": "Lead", "record_id": "newest"}},
        {"system": "salesforce", "do": "deselect", "with": {"name": "Case"}},
        {"system": "salesforce", "do": "delete_field", "with": {"name": "Lead", "field": "Title"}},
        {"system": "hubspot", "do": "create", "with": {"kind": "contacts", "properties": {"city": "Lima"}}},
        {"system": "marketo", "do": "create", "with": {"values": {"email": "x@example.com"}}},
    ]
    refused = requests.post(f"{server.admin_url}/do", json=[*possible, impossible], timeout=30)
    assert refused.status_code == 400
    assert everything() == before
    # All of it goes on as if nothing had been asked.
    assert requests.post(f"{server.admin_url}/do", json=[*possible[:3], *possible[5:]], timeout=30).status_code == 200
    assert (org.record("Lead", there) or {})["City"] == "Rom"
    assert org.bus.last == before[2] + 3
    assert len(list(portal.items("contacts"))) == len(before[5]) + 1
    assert len(marketo.store.leads) == len(before[7]) + 1


def test_what_nobody_could_take_back_goes_alone(server: SandboxServer) -> None:
    deeds = [IMPOSSIBLE[0], {"system": "salesforce", "do": "break_streams"}]
    refused = requests.post(f"{server.admin_url}/do", json=deeds, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (
        400,
        "deed 2, break_streams in salesforce, goes alone: nothing could take it back",
    )


def test_the_admin_address_tells_what_can_be_asked(server: SandboxServer) -> None:
    told = requests.get(server.admin_url, timeout=30).text
    for word in ("POST /faults", "broken_after_commit", "batch_update", "duplicate_every=0", "hubspot_share=0.2"):
        assert word in told
    assert "update(kind, record_id, properties" in told
    assert "add_queue(label, objects): A queue" in told
    assert "search_lag, ten_seconds" in told
    for line in told.splitlines():
        assert not line.endswith(": "), "every deed says what it does"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("", "There are: salesforce, hubspot, marketo"),
        ("system=salesforce&object=lead", "is it 'Lead'?"),
        ("system=hubspot&object=contact", "is it 'contacts'?"),
        ("system=marketo&object=people", "There are: leads"),
    ],
)
def test_records_that_there_are_not_are_refused_with_those_that_there_are(
    server: SandboxServer, asked: str, says: str
) -> None:
    refused = requests.get(f"{server.admin_url}/records?{asked}", timeout=30)
    assert refused.status_code == 400
    assert says in refused.json()["error"]
