"""How the JSON API is called: a POST with a bearer token and a JSON body; and what is answered where either is wrong."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.salesforce.settings import Secret
from routing.ledger.engine import is_lost
from routing.runtime.answers import Outcome
from routing.runtime.naming import NobodyCalled
from routing.web.app import RETRY_AFTER_SECONDS, BodyTooLarge, misread, read_body, refuse

log = structlog.get_logger()


class Wrong(Exception):
    """A request that cannot be taken: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def post_route(path: str, example: str, tokens: Mapping[str, Secret], take: Callable[[bytes, str], Response]) -> Route:
    """The route. ``take`` is given the body and the name of whoever sent it (``tokens`` by that name), in a thread of its own. What it
    raises is answered: msgspec.DecodeError with 400 and the ``example``, Wrong, NobodyCalled with 404, a lost ledger with 503.
    """

    async def receive(request: Request) -> Response:
        source = caller(request, tokens)
        if source is None:
            log.warning("a call of the API was refused", path=path, why="its token is wrong or missing")
            return refuse(401, "Send the header 'Authorization: Bearer TOKEN'.", www_authenticate="Bearer")
        try:
            return await asyncio.to_thread(take, await read_body(request), source)
        except BodyTooLarge:
            return refuse(413, "The body is over 5 MB.", connection="close")
        except (TimeoutError, ClientDisconnect):
            return refuse(408, "The body did not arrive in time.", connection="close")
        except msgspec.DecodeError as error:
            return misread(error, example)
        except NobodyCalled as error:
            return refuse(404, str(error))
        except Wrong as wrong:
            return refuse(wrong.status, str(wrong))
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise
            return refuse(503, "The ledger cannot be written just now.", retry_after=RETRY_AFTER_SECONDS)

    return Route(path, receive, methods=["POST"])


def came_of_it(ended: Outcome, **more: Any) -> Response:
    """What became of something that was written down for the daemon: 200; 409 when it came to nothing; 202 while that is not known."""
    said = {**more, "state": ended.state, "reason": ended.reason}
    if ended.decision is not None:
        said |= {"outcome": ended.decision.outcome, "owner": ended.decision.owner, "reason": ended.decision.reason}
    return JSONResponse(said, {"applied": 200, "skipped": 409, "parked": 409}.get(ended.state, 202))


def caller(request: Request, tokens: Mapping[str, Secret]) -> str | None:
    """The name of whoever sent the request, by its bearer token; None for a wrong one. Takes as long whichever is sent."""
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    found = None
    for name, token in tokens.items():
        same = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), token.reveal().encode())
        if same and token and scheme.lower() == "bearer":
            found = name
    return found
