"""``POST /answers``: a rep accepts a lead, or gives it back, from whatever they work in (chat, a button in the CRM).

    POST /answers
    Authorization: Bearer TOKEN
    {"record": "00Q5e00000ABCDE", "by": "ana@example.com", "answer": "rejected", "because": "speaks no German"}

``system`` names the CRM where several know a record of that id. The answer is durable once this returns, and taken up in its turn:
200 with what came of it when that is known within two seconds, else 202. 409 when it came to nothing: somebody else has the
record by now, and ``reason`` says who.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta, Struct
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.salesforce.settings import Secret
from routing.ledger.engine import Ledger, is_lost
from routing.runtime.answers import LOOK_SECONDS, WAIT_SECONDS, Outcome, Unanswerable, answer, outcome
from routing.runtime.clock import Clock
from routing.web.app import RETRY_AFTER_SECONDS, BodyTooLarge, misread, read_body, refuse
from routing.web.tokens import caller
from rules.policy import Policy

log = structlog.get_logger()


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer; ``by`` names a person (``routing.runtime.naming``). A rejection needs ``because``."""

    record: Annotated[str, Meta(min_length=1, max_length=200)]
    by: Annotated[str, Meta(min_length=1, max_length=320)]
    answer: Literal["accepted", "rejected"]
    because: Annotated[str, Meta(max_length=500)] = ""
    system: Annotated[str, Meta(max_length=64)] = ""


_decode = msgspec.json.Decoder(Answer).decode
_EXAMPLE = '{"record": "00Q5e00000ABCDE", "by": "ana@example.com", "answer": "rejected", "because": "speaks no German"}'


def answers_route(
    ledger: Ledger,
    policy: Callable[[], Policy],
    clock: Clock,
    tokens: Mapping[str, Secret],
    changed: Callable[[], None],
) -> Route:
    """The route. ``tokens`` by the name of the system that has it; ``changed`` is called when an answer was written down."""

    def take(one: Answer) -> tuple[str, Outcome]:
        event_id = answer(ledger, policy(), one.answer, one.record, one.by, one.because, one.system, clock)
        changed()
        return event_id, outcome(ledger, event_id, WAIT_SECONDS, LOOK_SECONDS)

    async def receive(request: Request) -> Response:
        if caller(request, tokens) is None:
            log.warning("an answer was refused", why="its token is wrong or missing")
            return refuse(401, "Send the header 'Authorization: Bearer TOKEN'.", www_authenticate="Bearer")
        try:
            event_id, ended = await asyncio.to_thread(take, _decode(await read_body(request)))
        except BodyTooLarge:
            return refuse(413, "The body is over 5 MB.", connection="close")
        except (TimeoutError, ClientDisconnect):
            return refuse(408, "The body did not arrive in time.", connection="close")
        except msgspec.DecodeError as error:
            return misread(error, _EXAMPLE)
        except Unanswerable as error:
            return refuse(404 if error.unknown else 400, str(error))
        except SQLAlchemyError as error:
            if not is_lost(error):
                raise
            return refuse(503, "The ledger cannot be written just now.", retry_after=RETRY_AFTER_SECONDS)
        said = {"event_id": event_id, "state": ended.state, "reason": ended.reason}
        if ended.decision is not None:
            said |= {"outcome": ended.decision.outcome, "owner": ended.decision.owner, "reason": ended.decision.reason}
        status = {"applied": 200, "skipped": 409, "parked": 409}.get(ended.state, 202)
        return JSONResponse(said, status)

    return Route("/answers", receive, methods=["POST"])
