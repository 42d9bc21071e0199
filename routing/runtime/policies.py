"""The policy that is live, and how a changed folder becomes it: compiled beside the old one, swapped whole, or refused."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import structlog

from routing.core.distribution.workload import rule_of
from routing.core.model import EntityMap
from routing.core.sla.retiming import retimed
from routing.ledger import clocks, open_records, policies, shares, timers
from routing.ledger.engine import Ledger
from routing.ledger.seats import Seat
from routing.ledger.sql import chunks
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed
from routing.runtime.going_live import go_live
from routing.runtime.policy_folder import PolicyFolderError, read_folder
from routing.runtime.policy_tests import compile_tested, problems_of, run_tests
from rules.analysis.queues import queues_of
from rules.ladders.engagement import all_rungs
from rules.model import PolicyError
from rules.policy import Policy, compile_policy, digest
from rules.source import render

log = structlog.get_logger()
LOOK_SECONDS = 1.0
SAVING_SECONDS = 0.2  # an editor that saves in place shows an empty or half a file for some milliseconds
SWITCH_SECONDS = 0.0005


@contextmanager
def beside_events() -> Iterator[None]:
    """For a long computation beside the threads that settle events: it makes none of them wait for more than some milliseconds.

    What is made within stays until it is let go of: the garbage collector neither looks through it now nor later (each look
    holds everybody up for as long as there are objects). Waiting threads get their turn ten times as soon as usual, as one event
    takes many turns.
    """
    usual = sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
        gc.freeze()
        gc.enable()


class Policies:
    """Holds the live policy. ``current`` never changes under a batch: the loop takes it once a batch.

    Alone on a ledger, the live policy is that of the folder. Of several processes each follows the ledger (``follow``), where
    `fingerpost policy publish` puts a new one; one of them also watches its folder and publishes what is new there.
    """

    def __init__(self, folder: Path | None, ledger: Ledger, clock: Clock, feed: Feed, follow: bool = False) -> None:
        """Compiles the live policy. Raises PolicyError or PolicyFolderError: a daemon does not start on a broken policy; on one
        whose tests fail it stays with the policy that was live before."""
        self._folder, self._follow = folder, follow
        self._ledger, self._clock, self._feed = ledger, clock, feed
        self._maps: dict[str, tuple[str, dict[str, EntityMap]]] = {}
        self._former: list[tuple[weakref.ref[Policy], list[object]]] = []
        self._seat = Seat(ledger, "policy")
        self._seen: dict[str, bytes] = {}  # the folder's files when they were last looked at
        self._pause: Callable[[float], object] = lambda _: None
        self.refused = ""  # why the folder as it is now is not live, "" when it is
        self._unusable = ""  # the ledger's live policy when it does not compile here
        files = self._published() if follow else None
        if files is not None:
            self.current: Policy = compile_policy(files)
            self._count_open_work()
            self._retime()
            return
        self._seen = read_folder(self.folder)
        self.current = self._at_start(self._seen)
        if not self.refused and self._publish(self.current, self._seen):
            self._hurry()
        self._count_open_work()
        self._retime()

    def _at_start(self, files: Mapping[str, bytes]) -> Policy:
        """The folder's policy. One whose tests fail does not go live by a restart either: the ledger's stays. Where there is no
        other, or it is that one, stopping would help nobody: time alone can make a test fail. Raises PolicyError."""
        fresh = compile_policy(files)
        failed = problems_of(run_tests(fresh, self._clock()))
        if not failed:
            return fresh
        before = self._published()
        if before is not None and digest(before) != fresh.digest:
            try:
                self.current = compile_policy(before)
            except PolicyError:
                log.warning("the policy that was live cannot be used any more", policy=digest(before)[:12])
            else:
                self._refuse(render(failed))
                return self.current
        log.error("tests of the policy fail; it is live all the same", live=fresh.digest[:12], why=render(failed))
        self._feed.tell("policy", 1, f"Tests of the policy ({fresh.digest[:12]}) fail:\n{render(failed)}")
        return fresh

    @property
    def folder(self) -> Path:
        """The folder of the settings. Raises PolicyFolderError when they name none."""
        if self._folder is None:
            raise PolicyFolderError(
                "No policy is live in this ledger yet. Publish one with `fingerpost policy publish DIR`, or name its folder "
                "under 'policy' in the settings."
            )
        return self._folder

    def maps(self, system: str) -> Mapping[str, EntityMap]:
        """How the live policy's entities are spelled in a system."""
        policy = self.current
        known = self._maps.get(system)
        if known is None or known[0] != policy.digest:
            known = self._maps[system] = (policy.digest, entity_maps(policy, system))
        return known[1]

    def refresh(self) -> bool:
        """Looks whether there is another policy; compiles and swaps it. One with errors is refused and said once; the last good
        one stays live. Returns whether another policy is live now. Raises SQLAlchemyError when the ledger is lost."""
        self._let_go()
        if not self._follow:
            return self._look_at_folder()
        if self._folder is not None and self._seat.take():
            self._look_at_folder()
        return self._look_at_ledger()

    def _look_at_folder(self) -> bool:
        try:
            files = read_folder(self.folder)
        except PolicyFolderError as error:
            self._seen = {}  # once it can be read again it is looked at anew, changed or not
            if str(error) != self.refused:
                self._refuse(str(error))
            return False
        if files == self._seen or self._being_saved(files):
            return False
        fresh = self._compiled(files, tested=True)
        if fresh is None:
            self._seen = files
            return False
        swapped = False
        if fresh.digest == self.current.digest:
            self._mended()
        elif not self._follow:
            self._publish(fresh, files)
            self._swap(fresh)
            swapped = True
        elif not self._was_live(fresh.digest):
            # A folder that was live once is an old one: what was published since is not taken back by a restart.
            self._publish(fresh, files)
        elif self._seen:
            self._publish(fresh, files)  # it was changed back under our eyes
        self.refused, self._seen = "", files
        return swapped

    def _being_saved(self, files: Mapping[str, bytes]) -> bool:
        """Whether the folder changes under our eyes. Half a file may well compile: a list of people without its end."""
        self._pause(SAVING_SECONDS)
        try:
            return read_folder(self.folder) != files
        except PolicyFolderError:
            return True

    def _look_at_ledger(self) -> bool:
        with self._ledger.read() as conn:
            digest = policies.live(conn)
        if digest is None or digest in (self.current.digest, self._unusable):
            return False
        files = self._published()
        fresh = self._compiled(files) if files is not None else None
        if fresh is None:
            self._unusable = digest
            return False
        self._unusable = ""
        if self._folder is None:
            self.refused = ""
        self._swap(fresh)
        return True

    def _compiled(self, files: Mapping[str, bytes], tested: bool = False) -> Policy | None:
        """None when it is refused. ``tested``: also where one of its own tests fails."""
        try:
            with beside_events():
                return compile_tested(files, self._clock()) if tested else compile_policy(files)
        except PolicyError as error:
            self._refuse(render(error.problems))
        except Exception as error:
            # Our compiler's fault, not the ops admin's; the daemon goes on with what it has all the same.
            log.exception("compiling the changed policy failed")
            self._refuse(f"Compiling it failed: {type(error).__name__}. Please report it with the policy's files.")
        return None

    def _swap(self, fresh: Policy) -> None:
        self._former.append((weakref.ref(self.current), self.current.pieces()))
        counts_otherwise = rule_of(self.current) != rule_of(fresh)
        self.current = fresh
        self._count_open_work(again=counts_otherwise)
        self._retime()
        self._hurry()
        log.info("a new policy is live", policy=fresh.digest[:12])
        self._feed.tell("policy", 1, f"A new policy is live ({fresh.digest[:12]}).")

    def _let_go(self) -> None:
        """Frees the policies that nobody uses any more. A large one at once would hold everybody up for 70 ms."""
        for policy, pieces in self._former:
            while pieces and policy() is None:
                pieces.pop()
        self._former = [one for one in self._former if one[1]]

    def _mended(self) -> None:
        if self.refused:
            digest = self.current.digest[:12]
            log.info("the policy is mended; it is the one that is live", live=digest)
            self._feed.tell("policy", 1, f"The policy is mended: it is the one that is live ({digest}).")

    def _refuse(self, why: str) -> None:
        self.refused = why
        log.error("the changed policy is refused; the last good one stays live", live=self.current.digest[:12], why=why)
        self._feed.tell("policy", 1, f"The changed policy is refused; {self.current.digest[:12]} stays live.\n{why}")

    def _publish(self, policy: Policy, files: Mapping[str, bytes]) -> bool:
        """Stores the policy as the live one; whether another was live before."""
        now = self._clock()
        live = self._ledger.repeated(lambda conn: go_live(conn, policy, files, now))
        for said in live.said:
            log.info("a person in the new policy", said=said)
            self._feed.tell("policy", 1, said)
        return live.changed

    def _published(self) -> dict[str, bytes] | None:
        with self._ledger.read() as conn:
            digest = policies.live(conn)
            return None if digest is None else policies.load(conn, digest)

    def _was_live(self, digest: str) -> bool:
        with self._ledger.read() as conn:
            return policies.load(conn, digest) is not None

    def _hurry(self) -> None:
        """Who waits is looked at with the new policy: after it went live, or a tick could still be decided by the old one. Of
        several processes each says so when it has swapped: until the last has, a tick could still meet the old one."""
        with self._ledger.write() as conn:
            timers.hurry(conn, "hold", self._clock())

    def _retime(self) -> None:
        """Times the clocks that run by the policy that is live. Some at a time, as of open work. Also at a start: it may have gone
        live while nobody ran. Of several processes each does so when it has swapped, for what was settled by the old one since."""
        with self._ledger.read() as conn:
            if policies.live(conn) != self.current.digest:
                return
            by_policy = partial(retimed, policy=self.current, now=self._clock())
            found = clocks.to_change(conn, by_policy)
        for some in chunks(found):
            with self._ledger.write() as conn:
                shares.hold_all(conn)
                clocks.change(conn, some, by_policy)
        if found:
            log.info("clocks are timed by the new policy", clocks=len(found))

    def _count_open_work(self, again: bool = False) -> None:
        """Judges every lead anew where the policy says otherwise than before which are open. A thousand at a time, as it may be many:
        until the last is done the others count as before. ``again``: also where another process has done so, for what this one
        has stored since by the policy that it had."""
        with self._ledger.read() as conn:
            counted = open_records.counted_by(conn, self.current) and not again
            if counted or policies.live(conn) != self.current.digest:
                return
        behind, begun = "", False
        while behind or not begun:
            begun = True
            with self._ledger.write() as conn:
                shares.hold_all(conn)
                behind = open_records.count_again(conn, self.current, behind)
        log.info("open work is counted by the new policy")

    def run(self, stop: threading.Event) -> None:
        """Looks once a second until ``stop``. A folder that changed is taken once it holds still."""
        self._pause = stop.wait
        try:
            while not stop.wait(LOOK_SECONDS):
                self.refresh()
        finally:
            self._seat.leave()


def entity_maps(policy: Policy, system: str) -> dict[str, EntityMap]:
    """The policy's dictionary of fields as connectors need it. Entities that a system does not have are left out."""
    maps = {}
    for name, entity in policy.entities.items():
        if system not in entity.remote:
            continue
        here = {field.name: field for field in entity.fields.values() if system in field.remote}
        maps[name] = EntityMap(
            system=system,
            entity=name,
            remote=entity.remote[system],
            fields={n: field.remote[system] for n, field in here.items()},
            types={n: field.type for n, field in here.items()},
            read_only=frozenset(n for n, f in here.items() if f.read_only or system in f.read_only_in),
            does=frozenset(_done(policy, name)),
            guard=entity.guard,
            queues={n: policy.queues[n][system] for n in sorted(queues_of(policy, name)) if system in policy.queues[n]},
        )
    return maps


def _done(policy: Policy, entity: str) -> Iterator[str]:
    """What the policy does with such records beside changing fields, as ``EntityMap.does`` calls it."""
    for rung in all_rungs(policy.ladders[entity].rungs) if entity in policy.ladders else ():
        for doing in rung.doing:
            if doing.kind in ("convert", "merge"):
                yield doing.kind
            if doing.kind in ("task", "notify"):
                yield "task"
            if doing.kind == "campaign":
                yield "campaign_member"
            if doing.kind == "convert" and doing.value:
                yield "opportunity"
    if any(clock.entity == entity and clock.steps for clock in policy.clocks.values()):
        yield "task"
