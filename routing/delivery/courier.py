"""The courier takes what is owed to one system out of the outbox and brings it there: batched, guarded, once.

Each works in a thread of its own, several processes may have one for the same system: a write is claimed by one of them, and no write
of a record is claimed while an older one is under way. A courier holds a seat; when its process dies the others see it vacant, and take
over what it had claimed.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import structlog
from sqlalchemy import Connection as LedgerConnection
from sqlalchemy.exc import SQLAlchemyError
from tenacity import wait_random_exponential

from connectors.contract import Connection, WriteResult
from connectors.errors import Conflict, ConnectorError, MalformedAnswer, OwnerRefused, Transient
from routing.core.model import Write
from routing.delivery.guard import Checked
from routing.delivery.keeping import Keeper
from routing.delivery.look import GONE, Looks
from routing.delivery.news import news_of, poisonous
from routing.delivery.parts import Parts, Suspects
from routing.delivery.retrying import LATE_SECONDS, as_bug, patiently
from routing.delivery.verdicts import Verdict, verdict
from routing.ledger import decisions, journal, outbox
from routing.ledger.engine import Ledger
from routing.ledger.outbox import Fate, Owed
from routing.ledger.schema import to_ms
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed
from routing.runtime.pause_board import PauseBoard
from routing.runtime.waits import after_tries

log = structlog.get_logger()

# A write waits this long for company, so that a trickle of leads does not cost one call each …
LINGER_MS = 100
# … and at most this long while so many come that a batch will fill, or many events wait to be decided: a burst then goes
# out in full batches.
LINGER_FLOOD_MS = 800
FILLS_MS = 600
FLOOD = 50
# After locked records batches are halved, down to this, and grow again.
SMALLEST = 10
# Writes that wait for another try come due without anybody saying so.
LOOK_SECONDS = 0.25
_DONE = {"create": "created as", "convert": "converted to the contact", "merge": "merged into"}


class Courier:
    """Delivers to one system until stopped."""

    def __init__(self, connection: Connection, ledger: Ledger, clock: Clock, feed: Feed) -> None:
        self._connection, self._ledger, self._clock, self._feed = connection, ledger, clock, feed
        self._keeper = Keeper(ledger, clock, connection.system)
        self._seat = self._keeper.seat
        self._board = PauseBoard(ledger)
        self._looks = Looks(connection, self._claimed)
        self._suspects = Suspects()
        self._halved = 0  # how often batches were halved because of locked records
        self._met_a_lock = False
        self._sent = False  # whether the try at hand came as far as writing
        self._soon_ms = 0  # when something that is due should be looked at again; 0: nothing is
        self._jitter = wait_random_exponential(multiplier=0.2, max=300)

    def run(self, owing: threading.Event, stop: threading.Event) -> None:
        """Delivers whatever is owed until ``stop``; the batch at hand is finished or given back."""
        with self._keeper.on_duty():
            while not stop.is_set():
                owing.clear()
                self._keeper.take_over()
                if self.deliver_some(stop):
                    continue
                if self._soon_ms:
                    stop.wait(self._soon_ms / 1000)
                else:
                    owing.wait(LOOK_SECONDS)

    def _claimed(self, seqs: Collection[int]) -> dict[int, Write]:
        with self._ledger.read() as conn:
            return outbox.claimed(conn, seqs, self._seat.name)

    def deliver_some(self, stop: threading.Event) -> int:
        """Delivers one batch when one is ready. Returns how many writes it held; 0 when nothing is due yet."""
        if not self._ready() or not self._seat.take():
            return 0
        at_once = self._size * max(1, self._connection.look_size // self._connection.batch_size)
        with self._ledger.write() as conn:
            owed = outbox.claim(conn, self._connection.system, at_once, self._clock(), self._seat.name)
        self._deliver_in_batches(owed, stop)
        return len(owed)

    @property
    def _size(self) -> int:
        most = self._connection.batch_size
        return max(min(SMALLEST, most), most >> self._halved)

    def _deliver_in_batches(self, ahead: list[Owed], stop: threading.Event) -> None:
        """One after another: two at once could lock the same parents. What is left when we are to stop, or may have been taken for dead,
        is given back. What failed alone goes last, alone: by then others got through, or it is not to blame."""
        ahead = sorted(ahead, key=lambda owed: owed.seq in self._suspects)
        doubtful, began = {owed.seq for owed in ahead if owed.doubtful}, False
        self._looks.forget()  # what is tried once more is looked at once more
        while ahead:
            if began and (stop.is_set() or not self._seat.held()):
                self._give_back(ahead, doubtful, "it was not sent yet")
                return
            size, began, self._met_a_lock = self._size, True, False
            batch = self._suspects.part(ahead, size)
            self._deliver(batch, ahead, doubtful, stop)
            # A large batch holds many locks for long and meets those of others; a small one slips through.
            self._halved = self._halved + int(size > SMALLEST) if self._met_a_lock else max(0, self._halved - 1)
            ahead = ahead[len(batch) :]

    def _ready(self) -> bool:
        full = self._connection.batch_size
        with self._ledger.read() as conn:
            n, oldest_ms = outbox.waiting(conn, self._connection.system, self._clock())
            self._soon_ms = 0
            if n == 0:
                return False
            flood = n * FILLS_MS >= full * oldest_ms or journal.at_least(conn, FLOOD)
        linger = LINGER_FLOOD_MS if flood and oldest_ms else LINGER_MS
        if n >= full or oldest_ms >= linger:
            return True
        # Looked at again before the linger is over: a batch may fill, or a flood end, sooner.
        self._soon_ms = min(50, max(5, linger - oldest_ms))
        return False

    def _deliver(self, batch: list[Owed], ahead: list[Owed], doubtful: set[int], stop: threading.Event) -> None:
        """``ahead``: the batch, and what will be sent right after it. ``doubtful`` holds the numbers of the writes that may have happened
        already; it grows with every lost answer.

        What a CRM fails on, or something on the way answers in its place, is waited out like an outage, and meanwhile less and less is sent at
        once: it may be about one of the writes, which in the end stands alone and is set aside for later (``Parts``).
        """
        parts = Parts(batch, self._suspects)
        try:
            while parts.left:
                self._deliver_part(parts, ahead, doubtful, stop)
        except ConnectorError as error:
            if len(ahead) > len(parts.left) and verdict(error) is Verdict.PARK and not stop.is_set():
                self._deliver(parts.left, parts.left, doubtful, stop)  # it may have been about what comes after it
            elif parts.left:
                self._failed_whole(parts.left, doubtful, error, stop)
        except SQLAlchemyError:
            raise
        except Exception as error:
            # One write that our own code fails on must not stop all the others for ever.
            log.exception("writing failed", records=[owed.write.record_id for owed in parts.left])
            doubtful.update(owed.seq for owed in parts.left)
            self._looks.forget()
            self._failed_whole(parts.left, doubtful, as_bug(error, self._connection.system, "writing"), stop)

    def _deliver_part(self, parts: Parts, ahead: list[Owed], doubtful: set[int], stop: threading.Event) -> None:
        """Until a part of what is left got through, or was set aside: what comes after it is waited for anew."""
        for attempt in patiently(stop, self._feed, f"writing {len(parts.left)} record(s)", self._board):
            with attempt:
                part, self._sent = parts.next(), False
                try:
                    self._try(part, part if parts.failed else ahead, doubtful)
                except Transient as error:
                    # A look that failed says nothing of what was to be written.
                    if self._sent and self._set_aside(parts, part, error, doubtful):
                        return
                    raise
                parts.went(part)

    def _set_aside(self, parts: Parts, part: list[Owed], error: Transient, doubtful: set[int]) -> bool:
        """Ends what is to blame itself, or should let others go first. Returns whether nothing is to be waited for then."""
        if parts.fell(part, error):
            parts.drop()
            if self._suspects.strikes(part[0].seq) == 1:
                record = part[0].write.record_id
                log.warning("a record is failed on alone; others go on", record=record, why=str(error))
            self._end(part, [self._failed(part[0], error, doubtful=part[0].seq in doubtful)])
            return not parts.left or not isinstance(error, MalformedAnswer)
        if parts.weary and self._others_are_due():
            self._give_back(parts.left, doubtful, str(error))
            parts.left = []
            return True
        return False

    def _others_are_due(self) -> bool:
        with self._ledger.read() as conn:
            return outbox.waiting(conn, self._connection.system, self._clock())[0] > 0

    def _try(self, batch: list[Owed], ahead: list[Owed], doubtful: set[int]) -> None:
        """One try of the whole batch. Raises ConnectorError when the call as a whole failed; ``doubtful`` then remembers
        that its writes may have happened."""
        checked = self._looks.at(batch, ahead, doubtful)
        fates = [
            Fate(o.seq, c.state, c.detail, doubtful=o.seq in doubtful, sent=None if o.seq in doubtful else ())
            for o, c in zip(batch, checked, strict=True)
            if c.write is None and c is not GONE
        ]
        going = [(o, c) for o, c in zip(batch, checked, strict=True) if c.write is not None]
        if going:
            self._sent = True
            try:
                results = self._connection.write([c.write for _, c in going if c.write is not None])
            except ConnectorError as error:
                self._looks.forget()
                if error.outcome_unknown:
                    doubtful.update(owed.seq for owed, _ in going)
                raise
            through = [o.seq for (o, _), result in zip(going, results, strict=True) if result.error is None]
            if through:
                self._suspects.went(through)
            for (o, _), result in zip(going, results, strict=True):
                if isinstance(result.error, Transient):
                    self._suspects.blamed(o, alone=len(going) == 1)
            fates += [
                self._fate(o, c, result, o.seq in doubtful) for (o, c), result in zip(going, results, strict=True)
            ]
        self._end(batch, fates)

    def _fate(self, owed: Owed, checked: Checked, result: WriteResult, doubtful: bool) -> Fate:
        error = result.error
        if result.overtaken:
            return Fate(owed.seq, "superseded", result.overtaken, doubtful=doubtful, sent=None if doubtful else ())
        if error is None:
            sent = None if doubtful or checked.write is None else tuple(checked.write.fields)
            detail = f"{_DONE[owed.write.kind]} {result.record_id}" if owed.write.kind in _DONE else checked.detail
            return Fate(owed.seq, "confirmed", detail, doubtful=doubtful, sent=sent)
        return self._failed(owed, error, doubtful=doubtful or error.outcome_unknown)

    def _failed(self, owed: Owed, error: ConnectorError, *, doubtful: bool) -> Fate:
        """One write failed by itself: it is tried again later, or given up."""
        if verdict(error, owed.attempts, self._suspects.strikes(owed.seq)) is Verdict.PARK:
            return self._given_up(owed, error, doubtful=doubtful)
        self._met_a_lock = self._met_a_lock or isinstance(error, Conflict)
        late = LATE_SECONDS if error.outcome_unknown else 0.0
        wait = max(self._jitter(after_tries(owed.attempts)), error.retry_after or 0.0, late)
        return Fate(owed.seq, "pending", str(error), self._in_ms(wait), doubtful)

    def _given_up(self, owed: Owed, error: ConnectorError, *, doubtful: bool) -> Fate:
        """Parked for the operator; but somebody who may not own the record is nothing to wait for: it is routed once more.

        Instead of a queue there is nobody else; once it was parked for that, the policy may name another.
        """
        write = owed.write
        if isinstance(error, MalformedAnswer):
            said = f"tried {owed.attempts} times: {str(error).rstrip('.')}. When that is mended, `fingerpost parked retry` looks what became of it first"
            return Fate(owed.seq, "parked", said, doubtful=doubtful)
        if isinstance(error, Transient):
            return Fate(
                owed.seq, "parked", poisonous(owed.write, error, self._suspects.strikes(owed.seq)), doubtful=doubtful
            )
        if not isinstance(error, OwnerRefused) or write.kind != "update" or "owner" not in write.fields:
            return Fate(owed.seq, "parked", str(error), doubtful=doubtful)
        with self._ledger.read() as conn:
            person = decisions.owner_of(conn, write.decision_id)
        if not person and not owed.again:
            return Fate(owed.seq, "parked", str(error), doubtful=doubtful)
        return Fate(
            owed.seq, "superseded", str(error), doubtful=doubtful, sent=None if doubtful else (), refused=person
        )

    def _in_ms(self, seconds: float) -> int:
        return to_ms(self._clock()) + round(seconds * 1000)

    def _failed_whole(
        self, batch: list[Owed], doubtful: set[int], error: ConnectorError, stop: threading.Event
    ) -> None:
        """The call failed for good, or we are stopping (the writes are given back).

        One bad record can make a CRM refuse its whole batch: the halves are tried, until the bad one stands alone and is
        parked.
        """
        if verdict(error, batch[0].attempts) is Verdict.PARK:
            if len(batch) > 1 and not stop.is_set():
                middle = len(batch) // 2
                for half in (batch[:middle], batch[middle:]):
                    self._deliver(half, half, doubtful, stop)
                return
            self._end(batch, [self._given_up(o, error, doubtful=o.seq in doubtful) for o in batch])
            return
        self._give_back(batch, doubtful, str(error))

    def _give_back(self, batch: Sequence[Owed], doubtful: Collection[int], why: str) -> None:
        soon = self._in_ms(LATE_SECONDS)
        self._end(batch, [Fate(o.seq, "pending", why, soon, o.seq in doubtful) for o in batch])

    def _end(self, batch: Sequence[Owed], fates: list[Fate]) -> None:
        now = self._clock()
        # Begun anew, the courier would have to ask the CRM what became of them.
        by_seq = {owed.seq: owed for owed in batch}
        news = [one for fate in fates if (one := news_of(by_seq[fate.seq].write, fate, now)) is not None]

        def end(conn: LedgerConnection) -> None:
            outbox.end(conn, fates, now, self._seat.name)
            journal.accept(conn, news, now)

        self._ledger.repeated(end)
        self._suspects.forget([fate.seq for fate in fates if fate.state != "pending"])
        for fate in fates:
            owed = by_seq[fate.seq]
            what = "retried" if fate.state == "pending" else fate.state
            if fate.refused is not None:
                log.warning(
                    "an owner is refused; the record is routed again", record=owed.write.record_id, why=fate.detail
                )
            if fate.state == "parked":
                log.error(
                    "a write is parked", write_id=owed.write.write_id, record=owed.write.record_id, why=fate.detail
                )
            self._feed.tell(what, 1, (owed, fate, to_ms(now)))
