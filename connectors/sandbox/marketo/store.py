"""The leads of the sandbox subscription, and the log of what happened to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import RLock
from typing import Any

from msgspec import Struct

from connectors.sandbox.marketo.kinds import DATA_VALUE, DELETE_LEAD, MERGE, NEW_LEAD, SCORE

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
NUMBERS = {name: number for number, name in enumerate(FIELDS, 1)}  # by which activities name fields


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

    @property
    def name(self) -> str:
        """As people read it."""
        return " ".join(filter(None, (self.values.get("firstName"), self.values.get("lastName")))) or "[unnamed]"

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
        self.gone: set[str] = set()  # fields that an administrator hid or renamed
        self.log: list[tuple[datetime, dict[str, Any]]] = []  # activities, oldest first
        self._clock = clock
        self._made = 0
        self._abouts: dict[tuple[int, str], int] = {}  # forms, e-mails, programs: kind and name -> number

    def create(self, values: Mapping[str, Any], source: str, user: str = "") -> Lead:
        """Makes a lead."""
        with self.lock:
            self._made += 1
            now = self._clock()
            kept = {name: value for name, value in values.items() if value not in (None, "")}
            lead = self.leads[1000 + self._made] = Lead(1000 + self._made, kept, now, now)
            said = {"Source": source, "Source Type": source, "Created Date": text(now)[:10], "Modifying User": user}
            self._log(NEW_LEAD, lead.id, (lead.id, lead.name), said)
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
                self._changed(lead_id, name, shown(before), shown(after), {"Source": source, "Modifying User": user})
            return lead

    def delete(self, lead_id: int, user: str = "") -> None:
        """Deletes a lead. Raises Refusal."""
        with self.lock:
            lead = self.leads.pop(lead_id, None)
            if lead is None:
                raise Refusal("1004", "Lead not found")
            self._log(DELETE_LEAD, lead_id, (lead_id, lead.name), {"Modifying User": user})

    def merge(self, lead_id: int, others: Sequence[int], user: str = "", *, deleted: bool = False) -> None:
        """The others go into the lead, which takes over what it lacks. ``deleted``: that they are gone is told as deletions, too.
        Raises Refusal, and has done nothing then."""
        with self.lock:
            for one in (lead_id, *others):
                if one not in self.leads:
                    raise Refusal("1004", f"Lead not found: {one}")
            kept = self.leads[lead_id]
            before = dict(kept.values)
            for other in others:
                lacking = {name: value for name, value in self.leads[other].values.items() if not kept.values.get(name)}
                self.update(lead_id, lacking, "Merge Leads", user)
                if deleted:
                    self.delete(other, user)
                else:
                    del self.leads[other]
            gained = [name for name, value in kept.values.items() if value != before.get(name)]
            said: dict[str, Any] = {
                "Merge IDs": str(list(others)),
                "Merge Fields": ", ".join(gained),
                "Merge Source": "Merge People",
            }
            said |= {"Master Updated": bool(gained), "Merged in Sales": False, "Modifying User": user}
            self._log(MERGE, lead_id, (lead_id, kept.name), said)

    def happened(self, lead_id: int, kind: int, about: str, attributes: Mapping[str, Any]) -> None:
        """An activity of a lead that is no change of it: a form, a click, a moment. Raises Refusal."""
        with self.lock:
            if lead_id not in self.leads:
                raise Refusal("1004", f"Lead not found: {lead_id}")
            number = self._abouts.setdefault((kind, about), len(self._abouts) + 1)
            self._log(kind, lead_id, (number, about), attributes)

    def by_email(self, email: str) -> list[Lead]:
        """Leads with that address; there may be several."""
        with self.lock:
            return [one for one in self.leads.values() if str(one.values.get("email") or "").lower() == email.lower()]

    def _changed(self, lead_id: int, name: str, before: Any, after: Any, said: Mapping[str, Any]) -> None:
        """Changes of scores are told as such, all others with the field."""
        field = (NUMBERS[name], name)
        if FIELDS[name][0] == "score":
            told = {"Old Value": before, "New Value": after, "Reason": "Changed by a flow step"}
            self._log(SCORE, lead_id, field, {**told, **said})
        else:
            change = {"id": field[0], "name": name, "newValue": after, "oldValue": before}
            self._log(DATA_VALUE, lead_id, field, {**said, "Lead ID": lead_id}, [change])

    def _log(
        self,
        kind: int,
        lead_id: int,
        about: tuple[int, str],
        attributes: Mapping[str, Any],
        fields: list[dict[str, Any]] | None = None,
    ) -> None:
        number, now = len(self.log) + 1, self._clock()
        activity: dict[str, Any] = {
            "id": number,
            "marketoGUID": f"{number:08d}-sandbox",
            "leadId": lead_id,
            "activityDate": text(now),
            "activityTypeId": kind,
            # What is empty is left out.
            "attributes": [
                {"name": name, "value": value} for name, value in attributes.items() if value not in (None, "")
            ],
        }
        # Changes of fields come without, as they are told by a question of their own.
        activity |= (
            {"fields": fields} if fields else {"primaryAttributeValueId": about[0], "primaryAttributeValue": about[1]}
        )
        self.log.append((now, activity))


def text(at: datetime) -> str:
    """Whole seconds only, as Marketo writes times."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(value: Any) -> str | None:
    """A value as activities tell it: always text."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
