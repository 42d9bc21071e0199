"""Which mapped fields the integration user can see: field-level security can hide one from one moment to the next, and a query that
names it is then refused as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from connectors.errors import Misconfigured
from connectors.salesforce.client import SalesforceClient
from routing.core.model import EntityMap

log = structlog.get_logger(__name__)

T = TypeVar("T")
_NO_FIELD = "INVALID_FIELD"


class Visible:
    """What is hidden is known from a refusal on, and looked at again before each later question that would name it: one call more, but what
    comes back is noticed at once. Several threads may use it."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client
        self._hidden: dict[str, frozenset[str]] = {}  # object -> its fields

    def hidden(self, entity_map: EntityMap) -> list[str]:
        """The canonical fields that were left out when it was asked last."""
        hidden = self._hidden.get(entity_map.remote, frozenset())
        return sorted(name for name, remote in entity_map.fields.items() if remote in hidden)

    def asked(self, entity_map: EntityMap, fields: Sequence[str], ask: Callable[[Sequence[str]], T]) -> T:
        """What ``ask`` answers for the canonical fields that can be seen; once more without those that it is refused for. Raises
        ConnectorError."""
        if self._hidden.get(entity_map.remote, frozenset()) & {entity_map.fields[name] for name in fields}:
            self._look(entity_map)
        shown = self._shown(entity_map, fields)
        try:
            return ask(shown)
        except Misconfigured as error:
            if error.code != _NO_FIELD:
                raise
            self._look(entity_map)
            left = self._shown(entity_map, fields)
            if len(left) == len(shown):
                raise
            return ask(left)

    def _shown(self, entity_map: EntityMap, fields: Sequence[str]) -> list[str]:
        hidden = self._hidden.get(entity_map.remote, frozenset())
        return [name for name in fields if entity_map.fields[name] not in hidden]

    def _look(self, entity_map: EntityMap) -> None:
        remote = entity_map.remote
        described = self._client.call("GET", f"sobjects/{remote}/describe", what=f"the description of {remote}")
        hidden = frozenset(entity_map.fields.values()) - {field["name"] for field in described["fields"]}
        before = self._hidden.get(remote, frozenset())
        if new := sorted(hidden - before):
            log.error(
                "salesforce_fields_hidden",
                entity=entity_map.entity,
                fields=new,
                advice="They are left out of what is read, and what was known of them stays. Give read access in the permission set, or "
                "correct fields.yaml.",
            )
        if back := sorted(before - hidden):
            log.info("salesforce_fields_seen_again", entity=entity_map.entity, fields=back)
        self._hidden = {**self._hidden, remote: hidden}
