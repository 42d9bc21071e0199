"""What a flow does, read from its metadata as the Tooling API gives it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.salesforce.automation import flow_of

START: dict[str, Any] = {"object": "Lead", "triggerType": "RecordBeforeSave", "recordTriggerType": "CreateAndUpdate"}
OWNER = {"field": "OwnerId", "value": {"stringValue": "005"}}


def before_save(field: str) -> dict[str, Any]:
    item = {"assignToReference": f"$Record.{field}", "operator": "Assign", "value": {"stringValue": "x"}}
    return {"start": START, "assignments": [{"name": "Set_it", "assignmentItems": [item]}], "recordUpdates": None}


def updating(**update: Any) -> dict[str, Any]:
    return {"start": START, "recordUpdates": [{"name": "Update", "inputAssignments": [OWNER], **update}]}


@pytest.mark.parametrize(
    ("metadata", "sets"),
    [
        (before_save("Rating"), {("Lead", "Rating")}),
        (updating(inputReference="$Record", object=None), {("Lead", "OwnerId")}),
        (updating(inputReference=None, object="Contact", filters=[]), {("Contact", "OwnerId")}),
        (
            updating(inputReference="the_account") | {"variables": [{"name": "the_account", "objectType": "Account"}]},
            {("Account", "OwnerId")},
        ),
        ({"start": START, "recordCreates": [{"object": "Task", "inputAssignments": [OWNER]}]}, set()),
        ({"start": START}, set()),
    ],
    ids=["before the save", "the record itself", "records found", "a variable", "new records", "nothing"],
)
def test_what_a_flow_sets(metadata: dict[str, Any], sets: set[tuple[str, str]]) -> None:
    flow = flow_of("F", "", metadata)
    assert (flow.object, flow.sets, flow.known, flow.at_birth) == ("Lead", sets, True, False)


def test_a_process_tells_its_object_elsewhere() -> None:
    metadata = {
        "processType": "Workflow",
        "start": None,
        "processMetadataValues": [{"name": "ObjectType", "value": {"stringValue": "Opportunity"}}],
        "variables": [{"name": "myVariable_current", "dataType": "SObject", "objectType": "Opportunity"}],
        "recordUpdates": [{"inputReference": "myVariable_current", "inputAssignments": [OWNER]}],
    }
    flow = flow_of("P", "", metadata)
    assert (flow.object, flow.sets) == ("Opportunity", {("Opportunity", "OwnerId")})


def test_a_flow_that_looks_at_who_saves() -> None:
    condition = {"leftValueReference": "$User.Id", "operator": "NotEqualTo", "rightValue": {"stringValue": "005"}}
    metadata = updating(inputReference="$Record") | {"decisions": [{"rules": [{"conditions": [condition]}]}]}
    assert flow_of("F", "", metadata).asks_who
    formula = updating(inputReference="$Record") | {
        "start": START | {"filterFormula": "{!$User.Username} != 'sync@acme'"}
    }
    assert flow_of("F", "", formula).asks_who
    assert not flow_of("F", "", updating(inputReference="$Record")).asks_who


def test_a_flow_of_new_records_only() -> None:
    assert flow_of("F", "", {"start": START | {"recordTriggerType": "Create"}}).at_birth


def test_a_flow_that_is_not_shown() -> None:
    flow = flow_of("Managed", "Lead", None)
    assert (flow.object, flow.known, flow.sets) == ("Lead", False, frozenset())
