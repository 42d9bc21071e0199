"""What of a system cannot be asked for at present, while everything else of it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from connectors.errors import AuthenticationFailed, ConnectorError, RateLimited, Transient

log = structlog.get_logger(__name__)

_OF_ALL = (Transient, RateLimited, AuthenticationFailed)  # what keeps one question waiting keeps them all


class Aside:
    """The kinds of records that a source which asks is refused for now: they are passed over, told once, and asked for each time again.
    And the fields that others are read without.

    ``why`` has them by entity, and by ``entity.field``. Written by the thread of the source, read by any.
    """

    def __init__(self, system: str) -> None:
        self._system = system
        self.why: dict[str, str] = {}

    @contextmanager
    def of(self, entity: str) -> Iterator[None]:
        """Around all that is asked about an entity. Goes on after a refusal; raises what is about the system as a whole."""
        try:
            yield
        except _OF_ALL:
            raise
        except ConnectorError as error:
            said = str(error)
            if self.why.get(entity) != said:
                self.why = {**self.why, entity: said}
                log.error(  # noqa: TRY400 - said in words
                    "a kind of record is not read for now",
                    system=self._system,
                    entity=entity,
                    reason=said,
                    advice="No change of it is heard of until then; it is asked for again, and nothing is lost. Everything else goes on.",
                )
        else:
            if entity in self.why:
                self.why = {one: said for one, said in self.why.items() if one != entity}
                log.info("a kind of record is read again", system=self._system, entity=entity)

    def keep(self, entities: list[str]) -> None:
        """Forgets all but those: what is not mapped any more is not asked for."""
        self.why = {one: said for one, said in self.why.items() if one.partition(".")[0] in entities}

    def without(self, entity: str, fields: Mapping[str, str]) -> None:
        """The fields, each with why, that are left out at present of what is read of an entity."""
        others = {one: said for one, said in self.why.items() if not one.startswith(f"{entity}.")}
        self.why = others | {f"{entity}.{field}": said for field, said in fields.items()}
