"""``POST /presence``: systems that see people come and go (telephony, chat) say who can be given work.

    POST /presence
    Authorization: Bearer TOKEN
    {"person": "ana@example.com", "available": false, "status": "in a meeting", "until": "2026-12-24T15:00:00Z"}

Or a list of such reports, all of which are taken or none. ``person`` is named as everywhere (``routing.runtime.naming``); ``at``, when it
was seen, is now when left out. A report that somebody is not available holds until ``until``, or for 12 hours, so that nobody is kept
out for good by a system that falls silent. The token says which system it is (``api: tokens:`` in the settings).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.salesforce.settings import Secret
from routing.core.availability.calendars import pools_served_by
from routing.ledger import holding, people
from routing.ledger.engine import Ledger
from routing.runtime.clock import Clock
from routing.runtime.naming import person_called
from routing.web.posting import Wrong, post_route
from rules.policy import Policy

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


def presence_route(
    ledger: Ledger,
    policy: Callable[[], Policy],
    clock: Clock,
    tokens: Mapping[str, Secret],
    changed: Callable[[], None],
) -> Route:
    """The route. ``tokens`` by the name of the system that has it; ``changed`` is called when something new was stored."""

    def take(body: bytes, source: str) -> Response:
        reports = _read(body)
        stored = ledger.repeated(lambda conn: _store(conn, reports, source, policy(), clock()))
        if stored:
            changed()
        return JSONResponse({"reports": len(reports), "new": stored})

    return post_route("/presence", _EXAMPLE, tokens, take)


def _read(body: bytes) -> list[Report]:
    """Raises msgspec.DecodeError and Wrong."""
    found = _decode(body)
    reports = found if isinstance(found, list) else [found]
    if len(reports) > MOST:
        raise Wrong(413, f"At most {MOST:,} reports at once.")
    return reports


def _checked(one: Report, policy: Policy, conn: Connection, now: datetime) -> Report:
    """The report with the person's key, and with the moments filled in. Raises Wrong and NobodyCalled."""
    person = person_called(policy, conn, one.person)
    until = None
    if not one.available:
        until = one.until or (one.at or now) + HOLDS
        if until > now + LONGEST:
            raise Wrong(
                400, f"'until' is more than {LONGEST.days} days ahead: that is time off (`fingerpost people off`)."
            )
    return Report(person.key, one.available, one.status, until, min(one.at or now, now))


def _store(conn: Connection, reports: list[Report], source: str, policy: Policy, now: datetime) -> int:
    stored, back = 0, set[str]()
    for one in [_checked(report, policy, conn, now) for report in reports]:
        assert one.at is not None
        if people.report(conn, one.person, one.available, one.status, one.until, source, one.at, now):
            stored += 1
            if one.available:
                back.add(one.person)
    if back:
        holding.hurry(conn, pools_served_by(policy, back), now, back)
    return stored
