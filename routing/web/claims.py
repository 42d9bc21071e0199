"""``POST /claims``: a rep takes the next record out of a pool's queue (``method: pull``), from whatever they work in.

    POST /claims
    Authorization: Bearer TOKEN
    {"pool": "Small leads", "by": "ben@example.com"}

``record`` asks for one record of the queue instead of the next. ``fingerpost pools claim`` does the same. The claim is durable once this
returns: 200 with the record and what was decided when that is known within two seconds, else 202; 204 when nothing waits. 409 when
they cannot claim just now (not at work, at their caps, that record does not wait), and ``reason`` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import Route

from connectors.salesforce.settings import Secret
from routing.ledger.engine import Ledger
from routing.ledger.schema import split_ref
from routing.runtime.answers import LOOK_SECONDS, WAIT_SECONDS, outcome
from routing.runtime.clock import Clock
from routing.runtime.naming import person_called
from routing.runtime.pooling import Claimed, Desk
from routing.web.posting import Wrong, came_of_it, post_route
from rules.policy import Policy
from rules.source import nearest
from rules.values import fold


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """One claim; ``by`` names a person (``routing.runtime.naming``)."""

    pool: Annotated[str, Meta(min_length=1, max_length=200)]
    by: Annotated[str, Meta(min_length=1, max_length=320)]
    record: Annotated[str, Meta(max_length=200)] = ""


_decode = msgspec.json.Decoder(Claim).decode
_EXAMPLE = '{"pool": "Small leads", "by": "ben@example.com"}'


def claims_route(
    ledger: Ledger,
    policy: Callable[[], Policy],
    clock: Clock,
    tokens: Mapping[str, Secret],
    changed: Callable[[], None],
) -> Route:
    """The route. ``tokens`` by the name of the system that has it; ``changed`` is called when a claim was written down."""

    def take(body: bytes, _source: str) -> Response:
        one = _decode(body)
        claimed = ledger.repeated(lambda conn: _claim(conn, one, policy(), clock))
        if claimed is None:
            if one.record:
                raise Wrong(409, f"{one.record} does not wait in the pool {one.pool}.")
            return Response(status_code=204)
        changed()
        system, entity, record = split_ref(claimed.ref)
        ended = outcome(ledger, claimed.event_id, WAIT_SECONDS, LOOK_SECONDS)
        return came_of_it(ended, record=record, system=system, entity=entity)

    return post_route("/claims", _EXAMPLE, tokens, take)


def _claim(conn: Connection, one: Claim, policy: Policy, clock: Clock) -> Claimed | None:
    """Takes it out of the queue. Raises Wrong and NobodyCalled."""
    pool = next((name for name in policy.pools if fold(name) == fold(one.pool)), None)
    if pool is None:
        hint = nearest(one.pool, policy.pools)
        raise Wrong(404, f"The live policy has no pool {one.pool!r}{f': {hint}' if hint else '.'}")
    person = person_called(policy, conn, one.by)
    try:
        return Desk(conn, policy, [pool], clock(), locked=True).claim(pool, person.key, one.record)
    except ValueError as error:
        raise Wrong(409, f"{error}.") from None
