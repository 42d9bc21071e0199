"""The leads of the sandbox subscription, and the log of what happened to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from threading import RLock
from typing import Any

from msgspec import Struct

NEW_LEAD, DATA_VALUE, DELETE_LEAD = 12, 13, 37

# REST name -> type and whether it is read only, as leads/describe.json tells.
FIELDS: dict[str, tuple[str, bool]] = {
    **dict.fromkeys(("id",), ("integer", True)),
    **dict.fromkeys(("createdAt", "updatedAt"), ("datetime", True)),
    **dict.fromkeys(
        ("firstName", "lastName", "company", "city", "country", "state", "title", "industry", "phone", "website"),
        ("string", False),
    ),
    "email": ("email", False),
    "numberOfEmployees": ("integer", False),
    "leadScore": ("score", False),
    "leadOwner": ("string", False),
}


class Refusal(Exception):
    """One record refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Lead(Struct):
    """One lead. ``writes``: field -> how often the API wrote it, the same value again included."""

    id: int
    values: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    writes: dict[str, int] = {}

    def value(self, name: str) -> Any:
        """A field as the API shows it."""
        if name == "id":
            return self.id
        if name in ("createdAt", "updatedAt"):
            return text(self.created_at if name == "createdAt" else self.updated_at)
        return self.values.get(name)


class Store:
    """Leads in memory. Every public method takes the lock."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.lock = RLock()
        self.leads: dict[int, Lead] = {}
        self.log: list[tuple[datetime, dict[str, Any]]] = []  # activities, oldest first
        self._clock = clock
        self._made = 0

    def create(self, values: Mapping[str, Any], source: str, user: str = "") -> Lead:
        """Makes a lead."""
        with self.lock:
            self._made += 1
            now = self._clock()
            kept = {name: value for name, value in values.items() if value not in (None, "")}
            lead = self.leads[1000 + self._made] = Lead(1000 + self._made, kept, now, now)
            self._happened(lead.id, NEW_LEAD, now, source, user)
            return lead

    def update(
        self, lead_id: int, values: Mapping[str, Any], source: str, user: str = "", *, api: bool = False
    ) -> Lead:
        """Changes a lead: one activity for each changed field. Raises Refusal."""
        with self.lock:
            lead = self.leads.get(lead_id)
            if lead is None:
                raise Refusal("1004", "Lead not found")
            now = self._clock()
            for name, value in values.items():
                if api:
                    lead.writes[name] = lead.writes.get(name, 0) + 1
                before = lead.values.get(name)
                after = None if value == "" else value
                if before == after:
                    continue
                lead.values[name] = after
                lead.updated_at = now
                change = {"id": 0, "name": name, "newValue": shown(after), "oldValue": shown(before)}
                self._happened(lead_id, DATA_VALUE, now, source, user, [change])
            return lead

    def delete(self, lead_id: int, user: str = "") -> None:
        """Deletes a lead. Raises Refusal."""
        with self.lock:
            if self.leads.pop(lead_id, None) is None:
                raise Refusal("1004", "Lead not found")
            self._happened(lead_id, DELETE_LEAD, self._clock(), "User", user)

    def by_email(self, email: str) -> list[Lead]:
        """Leads with that address; there may be several."""
        with self.lock:
            return [one for one in self.leads.values() if str(one.values.get("email") or "").lower() == email.lower()]

    def _happened(
        self,
        lead_id: int,
        kind: int,
        now: datetime,
        source: str,
        user: str,
        fields: list[dict[str, Any]] | None = None,
    ) -> None:
        number = len(self.log) + 1
        attributes = [{"name": "Source", "value": source}]
        if user:
            attributes.append({"name": "Modifying User", "value": user})
        activity = {
            "id": number,
            "marketoGUID": f"{number:08d}-sandbox",
            "leadId": lead_id,
            "activityDate": text(now),
            "activityTypeId": kind,
            "attributes": attributes,
        }
        if fields is not None:
            activity["fields"] = fields
        self.log.append((now, activity))


def text(at: datetime) -> str:
    """Whole seconds only, as Marketo writes times."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(value: Any) -> str | None:
    """A value as activities tell it: always text."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
