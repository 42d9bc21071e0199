"""Who may own a record: active users, and queues that take its kind. Asked before writing, and remembered for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from threading import Lock

from connectors.errors import ConnectorError, OwnerRefused
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import SYSTEM

# A user deactivated within this time is still found by Salesforce itself, which then refuses that one record.
REMEMBER = timedelta(minutes=10)
IDS_PER_QUERY = 200
_QUEUE = "00G"


class Owners:
    """Knows which owners Salesforce would refuse. One query for those not heard of lately, none otherwise."""

    def __init__(self, client: SalesforceClient, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._lock = Lock()
        self._users: dict[str, tuple[datetime, bool]] = {}  # active, by the first 15 characters of the id
        self._queues: dict[str, tuple[datetime, frozenset[str]]] = {}  # the objects a queue takes

    def refused(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], ConnectorError]:
        """Of (object, owner id) pairs those that would be refused, each with why. Ids nobody has are left to Salesforce.

        Blocks for a query when some are not known. Raises ConnectorError.
        """
        pairs = [
            (name, owner) for name, owner in wanted if len(owner) in (15, 18) and owner.isascii() and owner.isalnum()
        ]
        self._learn({owner[:15] for _, owner in pairs})
        found: dict[tuple[str, str], ConnectorError] = {}
        for name, owner in pairs:
            key = owner[:15]
            if owner.startswith(_QUEUE):
                taken = self._queues[key][1]
                if name not in taken:
                    found[name, owner] = _queue_refused(name, owner, taken)
            elif key in self._users and not self._users[key][1]:
                found[name, owner] = _inactive(owner)
        return found

    def _learn(self, keys: set[str]) -> None:
        now = self._clock()
        with self._lock:
            known = self._users | self._queues
            new = sorted(key for key in keys if key not in known or now - known[key][0] > REMEMBER)
            for start in range(0, len(new), IDS_PER_QUERY):
                chunk = new[start : start + IDS_PER_QUERY]
                self._ask_users([key for key in chunk if not key.startswith(_QUEUE)], now)
                self._ask_queues([key for key in chunk if key.startswith(_QUEUE)], now)

    def _ask_users(self, keys: list[str], now: datetime) -> None:
        if not keys:
            return
        query = f"SELECT Id, IsActive FROM User WHERE Id IN ({_listed(keys)})"  # noqa: S608 - ids, checked above
        rows = self._rows(query, "asking which owners are active")
        self._users |= dict.fromkeys(keys, (now, True))  # one that nobody has is left to Salesforce
        self._users |= {row["Id"][:15]: (now, bool(row["IsActive"])) for row in rows}

    def _ask_queues(self, keys: list[str], now: datetime) -> None:
        if not keys:
            return
        query = f"SELECT QueueId, SobjectType FROM QueueSobject WHERE QueueId IN ({_listed(keys)})"  # noqa: S608 - ids, checked above
        taken: dict[str, set[str]] = {key: set() for key in keys}
        for row in self._rows(query, "asking what the queues take"):
            taken[row["QueueId"][:15]].add(row["SobjectType"])
        self._queues |= {key: (now, frozenset(names)) for key, names in taken.items()}

    def _rows(self, query: str, what: str) -> list[dict[str, str]]:
        answer = self._client.call("GET", "query/", params={"q": query}, what=what)
        return list(answer["records"])


def _listed(keys: list[str]) -> str:
    return ",".join(f"'{key}'" for key in keys)


def _inactive(owner: str) -> ConnectorError:
    return OwnerRefused(
        f"The owner {owner} is not active in Salesforce, so nothing was sent. Take people who left out of people.csv, or activate the "
        "user in Setup; a write that is parked for it can be retried then.",
        system=SYSTEM,
        code="INACTIVE_OWNER_OR_USER",
    )


def _queue_refused(name: str, queue: str, taken: frozenset[str]) -> ConnectorError:
    takes = f"it takes {', '.join(sorted(taken))}" if taken else "it is no queue, or takes nothing"
    return OwnerRefused(
        f"The queue {queue} takes no {name} ({takes}), so nothing was sent. Add {name} to the queue's supported objects in "
        "Setup, then retry the parked write.",
        system=SYSTEM,
        code="INVALID_CROSS_REFERENCE_KEY",
    )
