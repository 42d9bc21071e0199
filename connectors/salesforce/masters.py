"""Which records were merged into which. Change events tell of a merge as of a deletion; only the deleted row names who took over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event

import msgspec
import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from connectors.errors import AuthenticationFailed, ConnectorError, RateLimited, Transient
from connectors.salesforce.budget import Urgency
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.transactions import Item
from routing.core.model import ChangeEvent, EntityMap

log = structlog.get_logger(__name__)

_MERGEABLE = ("Lead", "Contact", "Account", "Case")  # nothing else can be
_IDS = 200
_TRIES, _LONGEST_WAIT = 4, 5.0  # seconds; the stream waits meanwhile


def merged_into(client: SalesforceClient, entity_map: EntityMap, ids: Sequence[str]) -> dict[str, str]:
    """Which of those deleted were merged into another, and into which. Blocks: a call for 200. Raises ConnectorError."""
    found: dict[str, str] = {}
    if entity_map.remote not in _MERGEABLE:
        return found
    for start in range(0, len(ids), _IDS):
        listed = ",".join(f"'{one}'" for one in ids[start : start + _IDS])
        query = (
            f"SELECT Id, MasterRecordId FROM {entity_map.remote} "  # noqa: S608 - ids of Salesforce's own
            f"WHERE IsDeleted = true AND MasterRecordId != null AND Id IN ({listed})"
        )
        what = "asking which deleted records were merged"
        answer = client.query(query, path="queryAll/", what=what, urgency=Urgency.NORMAL)
        found |= {row["Id"]: row["MasterRecordId"] for row in answer["records"]}
    return found


def masters_of(entity_map: EntityMap, ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What ``ask`` gives; nothing where Salesforce will not tell. Raises ConnectorError where it answers later only."""
    try:
        return ask()
    except (Transient, RateLimited, AuthenticationFailed):
        raise
    except ConnectorError as error:
        log.warning("salesforce_merges_unknown", entity=entity_map.entity, reason=str(error))
        return {}


def with_masters(
    client: SalesforceClient, maps: Mapping[str, EntityMap], items: Sequence[Item], stop: Event
) -> Sequence[Item]:
    """The items, those ``merged`` that were told as deleted. Raises ConnectorError where Salesforce answers later only (away for longer than
    some seconds, a limit, the login): what follows a merge would be lost for good. Where it will not tell, they stay deleted."""
    gone: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, ChangeEvent) and item.kind == "deleted" and item.record_id.isalnum():
            gone.setdefault(item.entity, []).append(item.record_id)
    masters: dict[tuple[str, str], str] = {}
    trying = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(_TRIES) | stop_when_event_set(stop),
        wait=wait_random_exponential(multiplier=0.25, max=_LONGEST_WAIT),
        sleep=sleep_using_event(stop),
        reraise=True,
    )
    for entity, ids in gone.items():
        if entity not in maps:
            continue
        found = masters_of(maps[entity], partial(trying, merged_into, client, maps[entity], ids))
        masters |= {(entity, one): master for one, master in found.items()}
    if not masters:
        return items
    return [
        msgspec.structs.replace(item, kind="merged", into=masters[item.entity, item.record_id])
        if isinstance(item, ChangeEvent) and item.kind == "deleted" and (item.entity, item.record_id) in masters
        else item
        for item in items
    ]
