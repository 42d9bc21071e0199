"""The custom fields of a policy, as ``fingerpost sandbox serve --fields`` adds them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sandbox.people import ANYBODY
from connectors.sandbox.server import SandboxOptions, SandboxServer
from routing.cli.sandbox import _add_fields
from routing.runtime.clock import monotonic, utcnow

FIELDS = """
lead:
  in: {salesforce: Lead, hubspot: contacts}
  fields:
    email: {type: text, salesforce: Email, hubspot: email}
    score: {type: number, salesforce: Lead_Score__c, hubspot: hubspotscore}
    value: {type: money, salesforce: Expected_Value__c}
    misspelt: {type: nonesuch, salesforce: Other__c}
account:
  in: {salesforce: Account}
  fields:
    csm: {type: person, salesforce: CSM__c}
deal:
  in: {salesforce: Deal__c}
  fields:
    stage: {type: choice, choices: [New], salesforce: Stage__c}
"""


def test_what_a_policy_names_is_there_and_what_was_there_stays(tmp_path: Path) -> None:
    server = SandboxServer(ANYBODY, utcnow, monotonic, SandboxOptions(accounts=5))
    before = {name: set(one.fields) for name, one in server.salesforce.store.objects.items()}
    path = tmp_path / "fields.yaml"
    path.write_text(FIELDS, "utf-8")
    _add_fields(server.salesforce, path)
    after = server.salesforce.store.objects
    assert {
        name: set(one.fields) - before[name]
        for name, one in after.items()
        if set(one.fields) != before.get(name, set(one.fields))
    } == {"Lead": {"Lead_Score__c", "Expected_Value__c"}}
    assert {"Name", "OwnerId", "Stage__c"} < set(after["Deal__c"].fields)
    lead = after["Lead"].fields
    assert (lead["Lead_Score__c"].type, lead["Expected_Value__c"].type) == ("double", "currency")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"lead: ["])
def test_a_file_that_is_no_fields_yaml_is_left_to_the_daemon_to_tell(tmp_path: Path, data: bytes) -> None:
    server = SandboxServer(ANYBODY, utcnow, monotonic, SandboxOptions(accounts=5))
    path = tmp_path / "fields.yaml"
    path.write_bytes(data)
    _add_fields(server.salesforce, path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "Region__c", "fields": {"Country__c": "picklst"}}, "there is no 'picklst'; is it 'picklist'?"),
        ({"name": "Region", "fields": {}}, "a custom object has a name like Region__c, not 'Region'"),
        (
            {"name": "Region__c", "fields": {"Country": "string"}},
            "a custom field has a name like Country__c, not 'Country'",
        ),
    ],
)
def test_a_custom_object_that_cannot_be_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    server = SandboxServer(ANYBODY, utcnow, monotonic, SandboxOptions(accounts=5))
    with pytest.raises(ValueError, match=re.escape(words)):
        server._do(msgspec.json.encode({"system": "salesforce", "do": "add_object", "with": given}))
    assert "Region__c" not in server.salesforce.store.objects


def test_records_of_a_custom_object_are_made_once_it_is_there() -> None:
    server = SandboxServer(ANYBODY, utcnow, monotonic, SandboxOptions(accounts=5))
    order = {"system": "salesforce", "do": "add_object", "with": {"name": "Region__c", "fields": {"Size__c": "double"}}}
    made = {
        "system": "salesforce",
        "do": "create",
        "with": {"name": "Region__c", "fields": {"Name": "North", "Size__c": 7}},
    }
    for deed in (order, made):
        server._do(msgspec.json.encode(deed))
    assert [row["fields"]["Size__c"] for row in server.records("salesforce", "Region__c")] == [7]
    with pytest.raises(ValueError, match="has an object Region__c already"):
        server._do(msgspec.json.encode(order))
