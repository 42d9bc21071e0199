"""What joins two records of the sandbox org: converting a lead, and merging duplicates; each all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from connectors.sandbox.salesforce.checks import Operation, SaveError, check, check_duplicates
from connectors.sandbox.salesforce.store import Store

Row = dict[str, Any]
MERGEABLE = ("Lead", "Contact", "Account")
_FIRST_STAGE = "Prospecting"
# How lead fields are mapped to those of contacts when nobody changed that in Setup.
_CARRIED = {
    **{name: name for name in ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix", "Title", "Email")},
    **{name: name for name in ("Phone", "MobilePhone", "Fax", "LeadSource", "Description")},
    **{part: f"Mailing{part}" for part in ("Street", "City", "State", "PostalCode", "Country")},
}
# What hangs on a record, by the fields that point to it.
_HANGS = {
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId"), ("Case", "AccountId"), ("Task", "WhatId")),
    "Contact": (("Case", "ContactId"), ("Task", "WhoId"), ("CampaignMember", "ContactId")),
    "Lead": (("Task", "WhoId"), ("CampaignMember", "LeadId")),
}


def convert(store: Store, given: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, str]:
    """Converts a lead as a LeadConvert asks: accountId, contactId, leadId, convertedStatus, ownerId. Raises SaveError.

    An opportunity is made unless ``doNotCreateOpportunity`` is true. ``options`` are those of ``Store.transact``.
    """
    with store.lock:
        lead = _convertible(store, given)
        owner = given.get("ownerId") or lead["OwnerId"]
        account, made = _account(store, given.get("accountId", ""), lead, owner)
        contact = given.get("contactId", "")
        if contact:
            made.append(_filled(store, contact, account, lead))
        else:
            contact = store.new_id("Contact")
            carried = {name: lead[field] for field, name in _CARRIED.items() if lead[field] is not None}
            person = Operation("create", "Contact", contact, {**carried, "AccountId": account, "OwnerId": owner})
            if error := check_duplicates(store, person, bool(options.get("insists"))):
                raise error
            made.append(person)
        status = {"IsConverted": True, "Status": given["convertedStatus"], "ConvertedDate": lead["SystemModstamp"][:10]}
        after = {**status, "ConvertedAccountId": account, "ConvertedContactId": contact}
        ids = {"accountId": account, "contactId": contact, "leadId": lead["Id"]}
        if given.get("doNotCreateOpportunity") != "true":
            ids["opportunityId"] = after["ConvertedOpportunityId"] = store.new_id("Opportunity")
            made.append(_opportunity(ids, given.get("opportunityName") or lead["Company"], owner, lead))
        all_or_none(store, [*made, Operation("update", "Lead", lead["Id"], after)], options)
        return ids


def _convertible(store: Store, given: Mapping[str, str]) -> Row:
    lead = store.find("Lead", given.get("leadId", ""))
    if lead is None:
        raise SaveError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["leadId"])
    if lead["IsDeleted"]:
        raise SaveError("ENTITY_IS_DELETED", "entity is deleted")
    if lead["IsConverted"]:
        raise SaveError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
    statuses = store.rows("LeadStatus").values()
    if not any(row["IsConverted"] and row["ApiName"] == given.get("convertedStatus") for row in statuses):
        raise SaveError(
            "INVALID_STATUS", f"invalid convertedStatus: {given.get('convertedStatus')}", ["convertedStatus"]
        )
    if not given.get("ownerId") and not str(lead["OwnerId"]).startswith("005"):
        raise SaveError(
            "INVALID_CROSS_REFERENCE_KEY",
            "Converted objects can only be owned by users. If the lead is not owned by a user, you must specify a user "
            "for the Owner field.",
        )
    return lead


def _account(store: Store, wanted: str, lead: Row, owner: str) -> tuple[str, list[Operation]]:
    if not wanted:
        made = store.new_id("Account")
        return made, [Operation("create", "Account", made, {"Name": lead["Company"], "OwnerId": owner})]
    row = store.find("Account", wanted)
    if row is None or row["IsDeleted"]:
        raise SaveError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["accountId"])
    return row["Id"], []


def _opportunity(ids: Mapping[str, str], name: str, owner: str, lead: Row) -> Operation:
    """It closes, so far as anybody knows, at the end of the quarter."""
    day = date.fromisoformat(lead["SystemModstamp"][:10])
    last = (day.month + 2) // 3 * 3
    closes = f"{day.year}-{last:02}-{30 + (last in (3, 12))}"
    fields = {"Name": name, "AccountId": ids["accountId"], "OwnerId": owner, "StageName": _FIRST_STAGE}
    more = {"CloseDate": closes, "LeadSource": lead["LeadSource"]}
    return Operation("create", "Opportunity", ids["opportunityId"], fields | more)


def _filled(store: Store, contact: str, account: str, lead: Row) -> Operation:
    """An existing contact gets what it has no value for; nothing of it is overwritten."""
    row = store.find("Contact", contact)
    if row is None or row["IsDeleted"]:
        raise SaveError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["contactId"])
    if (row["AccountId"] or "")[:15] != account[:15]:
        raise SaveError("INVALID_CROSS_REFERENCE_KEY", "the contact is of another account", ["contactId"])
    more = {name: lead[field] for field, name in _CARRIED.items() if row[name] is None and lead[field] is not None}
    return Operation("update", "Contact", row["Id"], more)


def merge(
    store: Store, name: str, master: str, losers: Sequence[str], fields: Row, options: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Merges records into ``master``, which gets ``fields``: ids merged, and of what hung on them and was moved. Raises SaveError."""
    with store.lock:
        if name not in MERGEABLE:
            raise SaveError("INVALID_TYPE", f"sObject type '{name}' is not supported in merge")
        if not 1 <= len(losers) <= 2:
            raise SaveError("INVALID_NUMBER_OF_RECORDS", "merge takes one or two records beside the master")
        going = [_there(store, name, one) for one in losers]
        kept = _there(store, name, master)
        if any(row["Id"] == kept["Id"] for row in going):
            raise SaveError("DUPLICATE_VALUE", "the master record is among those to be merged")
        change = Operation("update", name, kept["Id"], dict(fields))
        if error := check(store, change, bool(options.get("trusted")), True):
            raise error
        moved = list(_moved(store, name, kept["Id"], [row["Id"] for row in going]))
        gone = [Operation("delete", name, row["Id"]) for row in going]
        all_or_none(store, [*moved, *gone, change], options)
        for row in going:
            row["MasterRecordId"] = kept["Id"]
        return [row["Id"] for row in going], [one.record_id for one in moved]


def _there(store: Store, name: str, record_id: str) -> Row:
    row = store.find(name, record_id)
    if row is None:
        raise SaveError("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id {record_id}")
    if row["IsDeleted"]:
        raise SaveError("ENTITY_IS_DELETED", "entity is deleted")
    return row


def _moved(store: Store, name: str, master: str, losers: Sequence[str]) -> Sequence[Operation]:
    short = {one[:15] for one in losers}
    return [
        Operation("update", other, row["Id"], {field: master})
        for other, field in _HANGS[name]
        for row in store.rows(other).values()
        if not row["IsDeleted"] and (row[field] or "")[:15] in short
    ]


def all_or_none(store: Store, operations: Sequence[Operation], options: Mapping[str, Any]) -> list[str]:
    """One transaction of the org itself, or none of it: the ids. Raises SaveError."""
    results = store.transact(operations, **{**options, "all_or_none": True, "trusted": True, "auto_assign": False})
    for result in results:
        if isinstance(result, SaveError) and result.code != "ALL_OR_NONE_OPERATION_ROLLED_BACK":
            raise result
    return [str(result) for result in results]
