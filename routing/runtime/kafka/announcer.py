"""Tells other programs of decisions, on a topic of their own. ``README.md`` beside this file is what their authors read."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta, Struct

from routing.core.model import Entity, Outcome
from routing.ledger import announcements
from routing.ledger.engine import Ledger
from routing.ledger.seats import seated
from routing.runtime.kafka.sender import Outgoing, Sender, TooLargeForTopic
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell

log = structlog.get_logger()

BATCH = 500
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 1.0
SEAT = "announcer"


class FieldCorrection(Struct, frozen=True):
    """A field that was found wrong."""

    field: Annotated[str, Meta(description="canonical name of the field")]
    old: Annotated[Any, Meta(description="what it held")]
    new: Annotated[Any, Meta(description="what it should hold")]
    reason: str
    write: Annotated[
        bool, Meta(description="whether the CRM is to be changed; else only the decision was made with it")
    ] = True


class DecisionMessage(Struct, frozen=True, kw_only=True):
    """One decision. What it was made from (facts, candidates, the pool's members) stays in the ledger."""

    v: Annotated[int, Meta(description="version of this message; grows only when a field changes its meaning")] = 1
    decision_id: Annotated[str, Meta(description="UUID; the same decision always has the same: take each once")]
    event_id: Annotated[str, Meta(description="UUID of the change that was decided on")]
    seq: Annotated[int, Meta(description="grows from decision to decision of one record")] = 0
    system: Annotated[str, Meta(description="the CRM: salesforce, hubspot, …")]
    entity: Entity
    record_id: Annotated[str, Meta(description="the record's id in that CRM")]
    outcome: Outcome
    owner: Annotated[str, Meta(description="the person's e-mail address; empty for nobody")]
    pool: Annotated[str, Meta(description="the pool the owner was picked from; empty for none")]
    rung: Annotated[str, Meta(description="the rung of the ladder that held")]
    rule: Annotated[str, Meta(description="the rule within it, by file and place")]
    reason: Annotated[str, Meta(description="why, in a sentence for people")]
    account_id: Annotated[str, Meta(description="the matched account; empty for none")]
    corrections: tuple[FieldCorrection, ...] = ()
    policy: Annotated[str, Meta(description="digest of the policy that decided")]
    decided_at: Annotated[datetime, Meta(tz=True)]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DecisionMessage).decode  # what a stored decision has beyond this is passed over


def message_of(decision: announcements.Announced) -> Outgoing:
    """The message that tells of a stored decision."""
    told = msgspec.structs.replace(_decode(decision.body), seq=decision.seq)
    return Outgoing(decision.ref, _encode(told), (("decision_id", decision.decision_id.encode()),))


class Announcer:
    """Takes announcements out of the ledger once the brokers have them. Any number may run; one at a time works, so that the
    decisions of one record are told in their order. At least once: what was told and not yet taken out is told again."""

    def __init__(self, settings: KafkaSettings, ledger: Ledger) -> None:
        """Raises KafkaMisconfigured."""
        self._ledger = ledger
        self._sender = Sender(settings, settings.decisions_topic)
        self.unwell = ""  # why Kafka does not take announcements, "" while it does
        self._too_large: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Announces until ``stop``. Waits as long as Kafka is unwell; raises SQLAlchemyError when the ledger is."""
        try:
            while not stop.is_set():
                with seated(self._ledger, SEAT, stop) as seat:
                    while seat is not None and not stop.is_set() and seat.held():
                        self._announce(stop)
        finally:
            self._sender.close()

    def _announce(self, stop: threading.Event) -> None:
        try:
            told = self.announce_some()
        except KafkaUnwell as unwell:
            if not self.unwell:
                log.warning("decisions cannot be announced; they wait in the ledger", why=str(unwell))
            self.unwell = str(unwell)
            stop.wait(AGAIN_SECONDS)
            return
        if self.unwell:
            log.info("decisions are announced again")
            self.unwell = ""
        if not told:
            stop.wait(LOOK_SECONDS)

    def announce_some(self) -> int:
        """Tells of the oldest decisions. Returns of how many. Raises KafkaUnwell when Kafka did not take all of them."""
        # Not held while Kafka is waited for: the seat keeps others away, and SQLite has one writer for everything.
        with self._ledger.write() as conn:
            found = announcements.claim(conn, BATCH + len(self._too_large))
        found = [one for one in found if one.decision_id not in self._too_large]
        if not found:
            return 0
        self._sender.connect()
        answers = self._sender.write([message_of(one) for one in found])
        told = [one.decision_id for one, answer in zip(found, answers, strict=True) if answer is None]
        if told:
            with self._ledger.write() as conn:
                announcements.remove(conn, told)
        for one, answer in zip(found, answers, strict=True):
            if isinstance(answer, TooLargeForTopic):
                self._too_large.add(one.decision_id)
                log.error(
                    "a decision is too large for its topic; it waits, the others go on",
                    decision_id=one.decision_id,
                    advice="see `fingerpost topics check` for the topic's max.message.bytes, then restart the delivery processes",
                )
        failed = next((answer for answer in answers if isinstance(answer, KafkaUnwell)), None)
        if failed is not None:
            raise failed
        return len(told)
