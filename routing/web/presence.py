"""``POST /presence``: systems that see people come and go (telephony, chat) say who can be given work.

    POST /presence
    Authorization: Bearer TOKEN
    {"person": "ana@example.com", "available": false, "status": "in a meeting", "until": "2026-12-24T15:00:00Z"}

Or a list of such reports, all of which are taken or none. ``person`` is named as everywhere (``routing.runtime.naming``); ``at``, when it
was seen, is now when left out. A report that somebody is not available holds until ``until``, or for 12 hours, so that nobody is kept
out for good by a system that falls silent. The token says which system it is (``api: tokens:`` in the settings).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
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
from routing.core.availability.calendars import pools_served_by
from routing.ledger import holding, people
from routing.ledger.engine import Ledger, is_lost
from routing.runtime.clock import Clock
from routing.runtime.naming import NobodyCalled, person_called
from routing.web.app import RETRY_AFTER_SECONDS, BodyTooLarge, misread, read_body, refuse
from routing.web.tokens import caller
from rules.policy import Policy

log = structlog.get_logger()

HOLDS = timedelta(hours=12)
LONGEST = timedelta(days=7)
MOST = 1_000  # reports at once


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """One report. The moments need an offset, or ``Z``."""

    person: Annotated[str, Meta(max_length=320)]
    available: bool
    status: Annotated[str, Meta(max_length=200)] = ""
    until: Annotated[datetime, Meta(tz=True)] | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None


_decode = msgspec.json.Decoder(Report | list[Report]).decode
_EXAMPLE = '{"person": "ana@example.com", "available": false, "until": "2026-12-24T15:00:00Z"}, or a list of such'


class _Wrong(Exception):
    """A request that cannot be taken: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def presence_route(
    ledger: Ledger,
    policy: Callable[[], Policy],
    clock: Clock,
    tokens: Mapping[str, Secret],
    changed: Callable[[], None],
) -> Route:
    """The route. ``tokens`` by the name of the system that has it; ``changed`` is called when something new was stored."""

    async def receive(request: Request) -> Response:
        source = caller(request, tokens)
        if source is None:
            log.warning("a report of presence was refused", why="its token is wrong or missing")
            return refuse(401, "Send the header 'Authorization: Bearer TOKEN'.", www_authenticate="Bearer")
        try:
            live, now = policy(), clock()
            reports = _read(await read_body(request))
            stored = await asyncio.to_thread(ledger.repeated, lambda conn: _store(conn, reports, source, live, now))
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
        if stored:
            changed()
        return JSONResponse({"reports": len(reports), "new": stored})

    return Route("/presence", receive, methods=["POST"])


def _read(body: bytes) -> list[Report]:
    """Raises msgspec.DecodeError and _Wrong."""
    found = _decode(body)
    reports = found if isinstance(found, list) else [found]
    if len(reports) > MOST:
        raise _Wrong(413, f"At most {MOST:,} reports at once.")
    return reports


def _checked(one: Report, policy: Policy, conn: Connection, now: datetime) -> Report:
    """The report with the person's key, and with the moments filled in."""
    try:
        person = person_called(policy, conn, one.person)
    except NobodyCalled as error:
        raise _Wrong(404, str(error)) from None
    until = None
    if not one.available:
        until = one.until or (one.at or now) + HOLDS
        if until > now + LONGEST:
            raise _Wrong(
                400, f"'until' is more than {LONGEST.days} days ahead: that is time off (`fingerpost people off`)."
            )
    return Report(person.key, one.available, one.status, until, min(one.at or now, now))


def _store(conn: Connection, reports: list[Report], source: str, policy: Policy, now: datetime) -> int:
    stored, back = 0, set[str]()
    for one in [_checked(report, policy, conn, now) for report in reports]:
        assert one.at is not None
        if people.report(conn, one.person, one.available, one.status, one.until, source, one.at):
            stored += 1
            if one.available:
                back.add(one.person)
    if back:
        holding.hurry(conn, pools_served_by(policy, back), now)
    return stored
