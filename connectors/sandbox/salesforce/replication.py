"""getUpdated and getDeleted of the sandbox: what changed between two minutes, as far as the org still knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.salesforce.store import Store, rest_instant

MOST_IDS = 600_000
_UPDATED_DAYS, _DELETED_DAYS = 30, 15


class Replication:
    """Answers over a Store. ``busy_since``: a transaction that began then and is not over; nothing later is covered.

    ``purged``: the delete log holds nothing from before then. ``most_ids`` can be made small to see EXCEEDED_ID_LIMIT.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.busy_since: datetime | None = None
        self.purged: datetime | None = None
        self.most_ids = MOST_IDS

    def updated(self, name: str, start: str, end: str, now: datetime) -> dict[str, Any]:
        """The ids of records created or changed in the window. Raises SaveError."""
        first, last = _window(start, end)
        if first < now - timedelta(days=_UPDATED_DAYS):
            raise SaveError("INVALID_REPLICATION_DATE", f"startDate cannot be more than {_UPDATED_DAYS} days ago")
        ids = [row["Id"] for row in self._changed(name, first, last) if not row["IsDeleted"]]
        return {"ids": self._few(ids), "latestDateCovered": rest_instant(min(last, self.busy_since or last))}

    def deleted(self, name: str, start: str, end: str, now: datetime) -> dict[str, Any]:
        """The records deleted in the window. Raises SaveError."""
        first, last = _window(start, end)
        known = max(self.purged or first, now - timedelta(days=_DELETED_DAYS))
        if first < known:
            raise SaveError(
                "INVALID_REPLICATION_DATE",
                f"startDate before org replication enabled date, which is {rest_instant(known)}",
            )
        gone = {row["Id"]: row["SystemModstamp"] for row in self._changed(name, first, last) if row["IsDeleted"]}
        # The delete log knows ids for as long as ever, whether or not the recycle bin was emptied.
        gone |= {one: at for one, at in self._store.erased(name).items() if _within(at, first, last)}
        found = [{"id": one, "deletedDate": at} for one, at in gone.items()]
        return {
            "deletedRecords": self._few(found),
            "earliestDateAvailable": rest_instant(known),
            "latestDateCovered": rest_instant(min(last, self.busy_since or last)),
        }

    def _changed(self, name: str, first: datetime, last: datetime) -> list[dict[str, Any]]:
        with self._store.lock:
            rows = [row.copy() for row in self._store.rows(name).values()]
        return [row for row in rows if _within(row["SystemModstamp"], first, last)]

    def _few(self, found: list[Any]) -> list[Any]:
        if len(found) > self.most_ids:
            raise SaveError("EXCEEDED_ID_LIMIT", f"{len(found)} ids; the limit is {self.most_ids}")
        return found


_MINUTE = timedelta(minutes=1)


def _within(stamp: str, first: datetime, last: datetime) -> bool:
    return first <= datetime.fromisoformat(stamp) < last + _MINUTE


def _window(start: str, end: str) -> tuple[datetime, datetime]:
    """The seconds are cut off, and both minutes belong to the window."""
    try:
        first, last = (
            datetime.fromisoformat(text).astimezone(UTC).replace(second=0, microsecond=0) for text in (start, end)
        )
    except ValueError as error:
        raise SaveError("INVALID_REPLICATION_DATE", f"not a date and time: {error}") from error
    if first >= last:
        raise SaveError("INVALID_REPLICATION_DATE", "startDate must be before endDate by more than one minute")
    return first, last
