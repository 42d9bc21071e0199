"""sObject Collections of the sandbox: up to 200 records in one call, each saved on its own."""

from __future__ import annotations

import itertools
from typing import Any

from connectors.sandbox.faults import Fault
from connectors.sandbox.salesforce.checks import Operation, SaveError, WriteKind
from connectors.sandbox.salesforce.store import Store

MOST_RECORDS = 200
MOST_CHUNKS = 10  # runs of records of the same type


def save(
    store: Store, kind: WriteKind, body: dict[str, Any], options: dict[str, Any], fault: Fault | None
) -> list[dict[str, Any]]:
    """Saves the records of a Collections call. Raises SaveError when the call as a whole is refused."""
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SaveError("JSON_PARSER_ERROR", "records must be a list of sObjects")
    if len(records) > MOST_RECORDS:
        raise SaveError(
            "EXCEEDED_MAX_SIZE_REQUEST",
            f"record limit reached. cannot submit more than {MOST_RECORDS} records in this request",
        )
    types = [_type_of(record) for record in records]
    if len(list(itertools.groupby(types))) > MOST_CHUNKS:
        raise SaveError(
            "TOO_MANY_CHUNKS",
            f"Cannot have more than {MOST_CHUNKS} chunks in a single operation. Please rearrange the data to reduce chunking.",
        )
    operations = [_operation(kind, name, record) for name, record in zip(types, records, strict=True)]
    _refuse_repeated(operations)
    if fault is not None and fault.kind == "person_edits":
        edit_before(store, operations, fault)
    elif fault is not None:
        _refuse_by_fault(operations, fault)
    with store.lock:
        results = store.transact(operations, all_or_none=bool(body.get("allOrNone")), **options)
        if store.save_seconds:
            store.hold([one for one, result in zip(operations, results, strict=True) if isinstance(result, str)])
    return [_save_result(result) for result in results]


def _type_of(record: dict[str, Any]) -> str:
    attributes = record.get("attributes")
    if not isinstance(attributes, dict):
        raise SaveError("JSON_PARSER_ERROR", "attributes with a type are needed on every record")
    return str(attributes.get("type", ""))


def _operation(kind: WriteKind, name: str, record: dict[str, Any]) -> Operation:
    fields = {key: value for key, value in record.items() if key not in ("attributes", "id", "Id")}
    record_id = str(record.get("id") or record.get("Id") or "")
    refused = None
    if kind == "create" and record_id:
        refused = SaveError("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
    return Operation(kind, name, record_id, fields, refused)


def _refuse_repeated(operations: list[Operation]) -> None:
    seen: set[str] = set()
    for operation in operations:
        short = operation.record_id[:15]
        if short and short in seen:
            operation.refused = SaveError("DUPLICATE_VALUE", f"Duplicate id specified: {operation.record_id}")
        seen.add(short)


def edit_before(store: Store, operations: list[Operation], fault: Fault) -> None:
    """A person changes the same texts of the records a moment before."""
    for index, one in enumerate(operations):
        texts = {
            key: f"{value} (edited)"
            for key, value in one.fields.items()
            if isinstance(value, str) and not key.endswith("Id")
        }
        if fault.hits(index) and one.record_id and texts:
            owner = str((store.find(one.object, one.record_id) or {}).get("OwnerId") or "")
            store.transact([Operation("update", one.object, one.record_id, texts)], actor=owner)


def _refuse_by_fault(operations: list[Operation], fault: Fault) -> None:
    for index, operation in enumerate(operations):
        if fault.hits(index):
            operation.refused = by_fault(fault, operation.record_id)


def by_fault(fault: Fault, record_id: str) -> SaveError:
    """What an armed fault has against a record."""
    if fault.kind == "lock":
        return SaveError(
            "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {record_id}"
        )
    return SaveError("FIELD_CUSTOM_VALIDATION_EXCEPTION", "A validation rule of the sandbox said no")


def _save_result(result: str | SaveError) -> dict[str, Any]:
    if isinstance(result, SaveError):
        error: dict[str, Any] = {"statusCode": result.code, "message": result.message, "fields": result.fields}
        if result.matches:
            error["duplicateResult"] = _matches(result.matches)
        return {"success": False, "errors": [error]}
    return {"id": result, "success": True, "errors": []}


def _matches(ids: list[str]) -> dict[str, Any]:
    """What Salesforce tells of the records that a duplicate rule found."""
    records = [{"matchConfidence": 100.0, "record": {"Id": one}} for one in ids]
    return {"allowSave": False, "matchResults": [{"matchRecords": records, "size": len(records), "success": True}]}
