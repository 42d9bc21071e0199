"""The kinds of activities of the sandbox subscription, as activities/types.json tells them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

NEW_LEAD, DATA_VALUE, SCORE, MERGE, DELETE_LEAD = 12, 13, 22, 32, 37


class ActivityKind(Struct, frozen=True):
    """One kind. ``about`` is its primary attribute: what each activity of it is about."""

    id: int
    name: str
    about: str
    attributes: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.name,
            "primaryAttribute": {"name": self.about, "dataType": "integer"},
            "attributes": [{"name": one, "dataType": "string"} for one in self.attributes],
        }


_VISITOR = ("Client IP Address", "Query Parameters", "Referrer URL", "User Agent")
# By number; 100001 is one of the subscription's own.
KINDS = {
    one.id: one
    for one in (
        ActivityKind(1, "Visit Webpage", "Webpage ID", (*_VISITOR, "Webpage URL")),
        ActivityKind(2, "Fill Out Form", "Webform ID", (*_VISITOR, "Form Fields", "Webpage ID")),
        ActivityKind(3, "Click Link", "Link ID", (*_VISITOR, "Webpage ID")),
        ActivityKind(11, "Click Email", "Mailing ID", ("Campaign Run ID", "Link")),
        ActivityKind(NEW_LEAD, "New Lead", "Lead ID", ("Created Date", "Source Type")),
        ActivityKind(DATA_VALUE, "Change Data Value", "Attribute Name", ("New Value", "Old Value", "Reason", "Source")),
        ActivityKind(SCORE, "Change Score", "Score Name", ("Change Value", "New Value", "Old Value", "Reason")),
        ActivityKind(
            MERGE,
            "Merge Leads",
            "Lead ID",
            ("Master Updated", "Merge Fields", "Merge IDs", "Merge Source", "Merged in Sales"),
        ),
        ActivityKind(DELETE_LEAD, "Delete Lead", "Lead ID"),
        ActivityKind(46, "Interesting Moment", "Description", ("Date", "Source", "Type")),
        ActivityKind(
            104, "Change Status in Progression", "Program ID", ("Acquired By", "New Status", "Old Status", "Success")
        ),
        ActivityKind(100001, "Attend Conference", "Conference Name", ("Conference Date", "Number of Attendees")),
    )
}
