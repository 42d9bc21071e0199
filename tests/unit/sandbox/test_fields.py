"""The custom fields of a policy, as ``fingerpost sandbox serve --fields`` adds them."""

from __future__ import annotations

from pathlib import Path

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
    assert {name: set(one.fields) - before[name] for name, one in after.items() if set(one.fields) != before[name]} == {
        "Lead": {"Lead_Score__c", "Expected_Value__c"}
    }
    lead = after["Lead"].fields
    assert (lead["Lead_Score__c"].type, lead["Expected_Value__c"].type) == ("double", "currency")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"lead: ["])
def test_a_file_that_is_no_fields_yaml_is_left_to_the_daemon_to_tell(tmp_path: Path, data: bytes) -> None:
    server = SandboxServer(ANYBODY, utcnow, monotonic, SandboxOptions(accounts=5))
    path = tmp_path / "fields.yaml"
    path.write_bytes(data)
    _add_fields(server.salesforce, path)
