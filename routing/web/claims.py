"""``POST /claims``: a rep takes the next record out of a pool's queue (``method: pull``), from whatever they work in.

    POST /claims
    Authorization: Bearer TOKEN
    {"pool": "Small leads", "by": "ben@example.com"}

``record`` asks for one record of the queue instead of the next. ``fingerpost pools claim`` does the same. The claim is durable once this
returns: 200 with the record and what was decided when that is known within two seconds, else 202; 204 when nothing waits. 409 when
they cannot claim just now (not at work, at their caps, that record does not wait), and ``reason`` says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Struct
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.salesforce.settings import Secret
from routing.ledger.engine import Ledger, is_lost
from routing.ledger.schema import split_ref
from routing.runtime.answers import LOOK_SECONDS, WAIT_SECONDS, outcome
from routing.runtime.clock import Clock
from routing.runtime.naming import NobodyCalled, person_called
from routing.runtime.pooling import Claimed, Desk
from routing.web.app import RETRY_AFTER_SECONDS, BodyTooLarge, misread, read_body, refuse
from routing.web.tokens import caller
from rules.policy import Policy
from rules.source import nearest
from rules.values import fold

log = structlog.get_logger()


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """One claim; ``by`` names a person (``routing.runtime.naming``)."""

    pool: Annotated[str, Meta(min_length=1, max_length=200)]
    by: Annotated[str, Meta(min_length=1, max_length=320)]
    record: Annotated[str, Meta(max_length=200)] = ""


class _Wrong(Exception):
    """A claim that cannot be taken: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


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

    def take(one: Claim) -> Response:
        claimed = ledger.repeated(lambda conn: _claim(conn, one, policy(), clock))
        if claimed is None:
            if one.record:
                raise _Wrong(409, f"{one.record} does not wait in the pool {one.pool}.")
            return Response(status_code=204)
        changed()
        ended = outcome(ledger, claimed.event_id, WAIT_SECONDS, LOOK_SECONDS)
        system, entity, record = split_ref(claimed.ref)
        said = {"record": record, "system": system, "entity": entity, "state": ended.state, "reason": ended.reason}
        if ended.decision is not None:
            said |= {"outcome": ended.decision.outcome, "owner": ended.decision.owner, "reason": ended.decision.reason}
        return JSONResponse(said, {"applied": 200, "skipped": 409, "parked": 409}.get(ended.state, 202))

    async def receive(request: Request) -> Response:
        if caller(request, tokens) is None:
            log.warning("a claim was refused", why="its token is wrong or missing")
            return refuse(401, "Send the header 'Authorization: Bearer TOKEN'.", www_authenticate="Bearer")
        try:
            return await asyncio.to_thread(take, _decode(await read_body(request)))
        except BodyTooLarge:
            return refuse(413, "The body is over 5 MB.", connection="close")
        except (TimeoutError, ClientDisconnect):
            return refuse(408, "The body did not arrive in time.", connection="close")
        except msgspec.DecodeError as error:
            return misread(error, _EXAMPLE)
        except _Wrong as wrong:
            return refuse(wrong.status, str(wrong))
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise
            return refuse(503, "The ledger cannot be written just now.", retry_after=RETRY_AFTER_SECONDS)

    return Route("/claims", receive, methods=["POST"])


def _claim(conn: Connection, one: Claim, policy: Policy, clock: Clock) -> Claimed | None:
    """Takes it out of the queue. Raises _Wrong."""
    pool = next((name for name in policy.pools if fold(name) == fold(one.pool)), None)
    if pool is None:
        hint = nearest(one.pool, policy.pools)
        raise _Wrong(404, f"The live policy has no pool {one.pool!r}{f': {hint}' if hint else '.'}")
    try:
        person = person_called(policy, conn, one.by)
        return Desk(conn, policy, [pool], clock(), locked=True).claim(pool, person.key, one.record)
    except NobodyCalled as error:
        raise _Wrong(404, str(error)) from None
    except ValueError as error:
        raise _Wrong(409, f"{error}.") from None
