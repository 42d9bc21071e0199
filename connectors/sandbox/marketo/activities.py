"""The activity log by paging token: a page looks at so many entries, whatever it shows of them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from connectors.sandbox.faults import Fault
from connectors.sandbox.marketo.answers import PAGE, Failure, Query
from connectors.sandbox.marketo.kinds import DATA_VALUE, DELETE_LEAD, KINDS, NEW_LEAD
from connectors.sandbox.marketo.leads import check
from connectors.sandbox.marketo.store import Store

_MOST_KINDS = 10  # in one question


class Activities:
    """Handlers of activities.json and what lies under it. ``page``: entries an answer looks at; few make short and empty answers."""

    def __init__(self, store: Store) -> None:
        self.page = PAGE
        self._store = store

    def types(self, _query: Query, _body: bytes, _: Fault | None) -> Any:
        """activities/types.json"""
        return {"result": [one.described() for one in KINDS.values()]}

    def activities(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """activities.json"""
        asked = {one for one in query.get("activityTypeIds", "").split(",") if one}
        unknown = sorted(one for one in asked if one not in map(str, KINDS))
        if not asked or unknown:
            raise Failure("1003", f"Invalid value for activityTypeIds: {', '.join(unknown) or 'none is given'}")
        if len(asked) > _MOST_KINDS:
            raise Failure(
                "1003", f"Too many values ({len(asked)}) specified for activityTypeIds; {_MOST_KINDS} is the most"
            )
        asked -= {str(DELETE_LEAD)}  # told by a question of its own alone
        return self._activities(query, lambda activity: str(activity["activityTypeId"]) in asked)

    def paging_token(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """activities/pagingtoken.json: the place of a time."""
        try:
            since = datetime.fromisoformat(query.get("sinceDatetime", ""))
        except ValueError:
            raise Failure("1003", "sinceDatetime is not a time") from None
        with self._store.lock:
            place = next((n for n, (at, _) in enumerate(self._store.log) if at >= since), len(self._store.log))
        return {"nextPageToken": _token(place)}

    def changes(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """activities/leadchanges.json: new leads and changed fields. Changes of scores are activities of a kind of their own."""
        names = {one for one in query.get("fields", "").split(",") if one}
        if not names:
            raise Failure("1003", "fields is missing")
        check(self._store, names)

        def shown(activity: dict[str, Any]) -> bool:
            kind = activity["activityTypeId"]
            return kind == NEW_LEAD or (kind == DATA_VALUE and activity["fields"][0]["name"] in names)

        return self._activities(query, shown)

    def deletions(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """activities/deletedleads.json"""
        return self._activities(query, lambda activity: activity["activityTypeId"] == DELETE_LEAD)

    def _activities(self, query: Query, shown: Callable[[dict[str, Any]], bool]) -> Any:
        """A page looks at so many entries of the log, whether they are shown or not: so it may be short, or empty."""
        start = _place(query.get("nextPageToken", ""))
        with self._store.lock:
            looked = self._store.log[start : start + self.page]
            more = start + len(looked) < len(self._store.log)
        result = [activity for _, activity in looked if shown(activity)]
        answer: dict[str, Any] = {"nextPageToken": _token(start + len(looked)), "moreResult": more}
        return {**answer, "result": result} if result else answer


def _token(place: int) -> str:
    return base64.b32encode(f"place {place}".encode()).decode()


def _place(token: str) -> int:
    try:
        return int(base64.b32decode(token.encode()).decode().removeprefix("place "))
    except ValueError:
        raise Failure("701", "nextPageToken is not valid") from None
