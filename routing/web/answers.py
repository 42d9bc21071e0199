"""``POST /answers``: a rep accepts a lead, or gives it back, from whatever they work in (chat, a button in the CRM).

    POST /answers
    Authorization: Bearer TOKEN
    {"record": "00Q5e00000ABCDE", "by": "ana@example.com", "answer": "rejected", "because": "speaks no German"}

``by`` is a name, an e-mail address or the id of a CRM user, as everywhere. ``system`` names the CRM where several know a record of that id. The answer is durable once this returns, and taken up in its turn:
200 with what came of it when that is known within two seconds, else 202. 409 when it came to nothing: somebody else has the
record by now, and ``reason`` says who.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response
from starlette.routing import Route

from connectors.salesforce.settings import Secret
from routing.ledger.engine import Ledger
from routing.runtime.answers import LOOK_SECONDS, WAIT_SECONDS, Unanswerable, answer, outcome
from routing.runtime.clock import Clock
from routing.web.posting import Wrong, came_of_it, post_route
from rules.policy import Policy


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

    def take(body: bytes, _source: str) -> Response:
        one = _decode(body)
        try:
            event_id = answer(ledger, policy(), one.answer, one.record, one.by, one.because, one.system, clock)
        except Unanswerable as error:
            raise Wrong(404 if error.unknown else 400, str(error)) from None
        changed()
        return came_of_it(outcome(ledger, event_id, WAIT_SECONDS, LOOK_SECONDS), event_id=event_id)

    return post_route("/answers", _EXAMPLE, tokens, take)
