"""Making records: tasks, campaign members, leads, contacts; and finding one again whose answer was lost.

A creation carries its ``write_id`` as the last line of the new record's description. That is how it is found again: there is
no other field that every org has, and without one a lost answer would leave two tasks. Descriptions cannot be filtered by,
so the few records are read that the integration user made about the same record since the first of those looked for was owed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import Maps
from connectors.errors import ConnectorError, Misconfigured
from connectors.mapping import outward
from connectors.salesforce.errors import SYSTEM
from connectors.salesforce.values import to_salesforce
from routing.core.model import Write

MARK = "Fingerpost "
# What was made was made after it was owed: by our clock, which Salesforce's may be behind.
CLOCKS_APART = timedelta(hours=1)
IDS_PER_QUERY = 200
_PEOPLE = ("lead", "contact")  # what a task's WhoId may name; WhatId names anything else
_TASK = {"subject": "Subject", "owner": "OwnerId", "note": "Description"}
# All that a task may be made with.
TASK_FIELDS = (
    *_TASK.values(),
    "Status",
    "Priority",
    "ActivityDate",
    "IsReminderSet",
    "ReminderDateTime",
    "WhoId",
    "WhatId",
)
MEMBER_FIELDS = ("CampaignId", "LeadId", "ContactId", "Status")  # and a campaign member
_ABOUT = frozenset({"about", "about_entity"})
_MEMBER_ALREADY = "DUPLICATE_VALUE"

Row = dict[str, Any]
Rows = Callable[[str, str], Iterable[Row]]


def row_of(write: Write, maps: Maps) -> Row:
    """The sObject that a creation makes, as Collections takes it. Raises Misconfigured."""
    if write.creates == "task":
        return _task(write)
    if write.creates == "campaign_member":
        return _member(write)
    entity_map = maps().get(write.creates)
    if entity_map is None:
        raise Misconfigured(
            f"A {write.creates} cannot be created: it has no Salesforce object. Add one for it in fields.yaml.",
            system=SYSTEM,
            code=write.creates,
        )
    row: Row = {"attributes": {"type": entity_map.remote}} | outward(write, entity_map, to_salesforce, _ABOUT)
    row["Description"] = _marked(row.get("Description"), write.write_id)
    return row


def _task(write: Write) -> Row:
    unknown = write.fields.keys() - _TASK.keys() - _ABOUT - {"due", "priority"}
    if unknown or not write.fields.get("subject"):
        found = f"unknown fields {', '.join(sorted(unknown))}" if unknown else "no subject"
        raise Misconfigured(
            f"A task has subject, owner, note, due and priority; this one has {found}.", system=SYSTEM, code="task"
        )
    row: Row = {"attributes": {"type": "Task"}, "Status": "Not Started"}
    row["Priority"] = "High" if write.fields.get("priority") == "high" else "Normal"
    row |= {remote: write.fields[name] for name, remote in _TASK.items() if write.fields.get(name)}
    if due := write.fields.get("due"):
        # A task is due on a day; the hour is kept by the reminder.
        row |= {"ActivityDate": str(due)[:10], "IsReminderSet": True, "ReminderDateTime": due}
    entity, record_id = write.about
    if "about" in write.fields:
        row["WhoId" if entity in _PEOPLE else "WhatId"] = record_id
    row["Description"] = _marked(row.get("Description"), write.write_id)
    return row


def _member(write: Write) -> Row:
    entity, record_id = write.about
    if entity not in _PEOPLE or not write.fields.get("campaign"):
        raise Misconfigured(
            "A campaign member is a lead or a contact, and names a campaign.", system=SYSTEM, code="campaign_member"
        )
    row: Row = {"attributes": {"type": "CampaignMember"}, "CampaignId": write.fields["campaign"]}
    row["LeadId" if entity == "lead" else "ContactId"] = record_id
    if write.fields.get("status"):
        row["Status"] = write.fields["status"]
    return row


def already(write: Write, error: ConnectorError) -> bool:
    """Whether a refusal says that what we want is so: nobody becomes a member of a campaign twice."""
    return write.creates == "campaign_member" and error.code == _MEMBER_ALREADY


def _marked(text: Any, write_id: str) -> str:
    return f"{text}\n{MARK}{write_id}" if text else f"{MARK}{write_id}"


def found_again(writes: Sequence[Write], maps: Maps, user_id: str, since: datetime, rows: Rows) -> dict[str, str]:
    """The ids of those creations that did happen, by ``write_id``; none was owed before ``since``. ``rows`` runs a query.

    Raises ConnectorError.
    """
    found: dict[str, str] = {}
    for name, some, parent in _groups(writes, maps):
        if name == "CampaignMember":
            found |= _members(some, parent, rows)
            continue
        marks = {f"{MARK}{write.write_id}": write.write_id for write in some}
        made_by = f"CreatedById = '{user_id}' AND CreatedDate >= {since - CLOCKS_APART:%Y-%m-%dT%H:%M:%SZ}"
        for ids in _chunks([write.about[1] for write in some]) if parent else [""]:
            about = f"{parent} IN ({ids}) AND " if parent else ""
            query = f"SELECT Id, Description FROM {name} WHERE {about}{made_by}"  # noqa: S608 - ids and names of our own
            for row in rows(query, f"looking for {name} records that may have been made"):
                last = (row["Description"] or "").rpartition("\n")[2]
                if last in marks:
                    found[marks[last]] = row["Id"]
    return found


def _members(some: Sequence[Write], parent: str, rows: Rows) -> dict[str, str]:
    wanted = {(write.about[1][:15], str(write.fields["campaign"])[:15]): write.write_id for write in some}
    found = {}
    for ids in _chunks([write.about[1] for write in some]):
        query = f"SELECT Id, {parent}, CampaignId FROM CampaignMember WHERE {parent} IN ({ids})"  # noqa: S608 - as above
        for row in rows(query, "looking for campaign members that may have been made"):
            write_id = wanted.get((row[parent][:15], row["CampaignId"][:15]))
            if write_id:
                found[write_id] = row["Id"]
    return found


def _groups(writes: Sequence[Write], maps: Maps) -> Iterator[tuple[str, list[Write], str]]:
    """Creations by object and by the field through which they are found, "" where only their maker leads to them."""
    groups: dict[tuple[str, str], list[Write]] = {}
    for write in writes:
        person = write.about[0] in _PEOPLE
        if write.creates == "task":
            key = ("Task", "" if "about" not in write.fields else "WhoId" if person else "WhatId")
        elif write.creates == "campaign_member":
            key = ("CampaignMember", "LeadId" if write.about[0] == "lead" else "ContactId")
        else:
            entity_map = maps().get(write.creates)
            if entity_map is None:
                continue
            key = (entity_map.remote, "")
        groups.setdefault(key, []).append(write)
    for (name, parent), some in groups.items():
        yield name, some, parent


def _chunks(ids: Sequence[str]) -> Iterator[str]:
    """Ids quoted for a query, as many as one takes; what is no id is left out."""
    known = [one for one in dict.fromkeys(ids) if len(one) in (15, 18) and one.isascii() and one.isalnum()]
    for start in range(0, len(known), IDS_PER_QUERY):
        yield ",".join(f"'{one}'" for one in known[start : start + IDS_PER_QUERY])
