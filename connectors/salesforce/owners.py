"""Who may own a record: active users, and queues that take its kind. Asked before writing; that they may is remembered for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Lock

from connectors.errors import ConnectorError, OwnerRefused
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import SYSTEM

# A user deactivated within this time is still found by Salesforce itself, which then refuses that one record. That somebody may
# not own a record is never remembered: whoever is activated, and whatever is corrected in Setup, counts at once.
REMEMBER = timedelta(minutes=10)
IDS_PER_QUERY = 200
_QUEUE = "00G"
_NEVER = datetime.min.replace(tzinfo=UTC)

Pair = tuple[str, str]  # an object, and the id of an owner


class Owners:
    """Knows which owners Salesforce would refuse. One query for the users not known to be fine, one or two for such queues, none otherwise."""

    def __init__(self, client: SalesforceClient, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._lock = Lock()
        self._fine: dict[Pair, datetime] = {}  # since when it is known

    def refused(self, wanted: Iterable[Pair]) -> dict[Pair, ConnectorError]:
        """Of (object, owner id) pairs those that would be refused, each with why. Ids nobody has are left to Salesforce.

        Blocks for a query when some are not known to be fine. Raises ConnectorError.
        """
        now = self._clock()
        with self._lock:
            unsure = [
                (name, owner)
                for name, owner in wanted
                if is_id(owner)
                if now - self._fine.get(_key(name, owner), _NEVER) > REMEMBER
            ]
            found = self._users([pair for pair in unsure if not is_queue(pair[1])])
            found |= self._queues([pair for pair in unsure if is_queue(pair[1])])
            self._fine |= {_key(*pair): now for pair in unsure if pair not in found}
        return found

    def _users(self, pairs: list[Pair]) -> dict[Pair, ConnectorError]:
        active: dict[str, object] = {}
        for some in _chunks({owner[:15] for _, owner in pairs}):
            query = f"SELECT Id, IsActive FROM User WHERE Id IN ({some})"  # noqa: S608 - ids, checked above
            active |= {row["Id"][:15]: row["IsActive"] for row in self._rows(query, "asking which owners are active")}
        return {(name, owner): _inactive(owner) for name, owner in pairs if not active.get(owner[:15], True)}

    def _queues(self, pairs: list[Pair]) -> dict[Pair, ConnectorError]:
        takes = self.taken_by([owner for _, owner in pairs])
        return {
            (name, owner): _queue_refused(name, owner, takes.get(owner[:15]))
            for name, owner in pairs
            if name not in takes.get(owner[:15], ())
        }

    def taken_by(self, queues: Iterable[str]) -> dict[str, set[str]]:
        """The objects that those queues take, by the first 15 characters of their ids; one that is not there is left out.

        Blocks for a query for 200 queues, and another where some of them seem to take nothing. Raises ConnectorError.
        """
        keys = {queue[:15] for queue in queues if is_id(queue)}
        takes: dict[str, set[str]] = {}
        for some in _chunks(keys):
            query = f"SELECT QueueId, SobjectType FROM QueueSobject WHERE QueueId IN ({some})"  # noqa: S608 - as above
            for row in self._rows(query, "asking what the queues take"):
                takes.setdefault(row["QueueId"][:15], set()).add(row["SobjectType"])
        for some in _chunks(keys - takes.keys()):
            query = f"SELECT Id FROM Group WHERE Type = 'Queue' AND Id IN ({some})"  # noqa: S608 - as above
            takes |= {row["Id"][:15]: set() for row in self._rows(query, "asking which queues there are")}
        return takes

    def _rows(self, query: str, what: str) -> list[dict[str, str]]:
        return list(self._client.query(query, what=what)["records"])


def is_id(text: str) -> bool:
    """Whether it looks like an id of Salesforce, and can be asked for."""
    return len(text) in (15, 18) and text.isascii() and text.isalnum()


def is_queue(owner: str) -> bool:
    """Whether the id is that of a queue."""
    return owner.startswith(_QUEUE)


def _key(name: str, owner: str) -> Pair:
    """What a queue takes it takes by kind; a user that is active may own anything."""
    return (name if is_queue(owner) else "", owner[:15])


def _chunks(keys: set[str]) -> Iterator[str]:
    """Ids quoted for a query, as many as one takes."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), IDS_PER_QUERY):
        yield ",".join(f"'{key}'" for key in ordered[start : start + IDS_PER_QUERY])


def _inactive(owner: str) -> ConnectorError:
    return OwnerRefused(
        f"The owner {owner} is not active in Salesforce, so nothing was sent. Take people who left out of people.csv, or activate the "
        "user in Setup; a write that is parked for it can be retried then.",
        system=SYSTEM,
        code="INACTIVE_OWNER_OR_USER",
    )


def _queue_refused(name: str, queue: str, takes: set[str] | None) -> ConnectorError:
    if takes is None:
        text = (
            f"Salesforce has no queue {queue}, so nothing was sent. Correct its id in engagement.yaml (Setup, Queues shows it in the "
            "address of the queue's page), then retry the parked write: the record is routed again."
        )
    else:
        text = (
            f"The queue {queue} takes no {name} (it takes {', '.join(sorted(takes)) or 'nothing'}), so nothing was sent. Add {name} to the "
            "queue's supported objects in Setup, or give another queue's id in engagement.yaml; then retry the parked write."
        )
    return OwnerRefused(text, system=SYSTEM, code="INVALID_CROSS_REFERENCE_KEY")
