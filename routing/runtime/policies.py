"""The policy that is live, and how a changed folder becomes it: compiled beside the old one, swapped whole, or refused."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import structlog

from routing.core.model import EntityMap
from routing.ledger import policies, timers
from routing.ledger.engine import Ledger
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed
from routing.runtime.policy_folder import PolicyFolderError, read_folder
from rules.model import PolicyError
from rules.policy import Policy, compile_policy
from rules.source import render

log = structlog.get_logger()
LOOK_SECONDS = 1.0


class Policies:
    """Holds the live policy of a folder. ``current`` never changes under a batch: the loop takes it once a batch."""

    def __init__(self, folder: Path, ledger: Ledger, clock: Clock, feed: Feed) -> None:
        """Compiles the folder. Raises PolicyError or PolicyFolderError: a daemon does not start on a broken policy."""
        self.folder = folder
        self._ledger, self._clock, self._feed = ledger, clock, feed
        self._seen = read_folder(folder)
        self.current: Policy = compile_policy(self._seen)
        self._maps: dict[str, tuple[Policy, dict[str, EntityMap]]] = {}
        self.refused = ""  # why the folder as it is now is not live, "" when it is
        if self._keep(self.current, self._seen):
            self._hurry()

    def maps(self, system: str) -> Mapping[str, EntityMap]:
        """How the live policy's entities are spelled in a system."""
        policy = self.current
        known = self._maps.get(system)
        if known is None or known[0] is not policy:
            known = self._maps[system] = (policy, entity_maps(policy, system))
        return known[1]

    def refresh(self) -> bool:
        """Looks at the folder; compiles and swaps when it changed. A policy with errors is refused and said once; the
        last good one stays live. Returns whether another policy is live now."""
        try:
            files = read_folder(self.folder)
            if files == self._seen:
                return False
            self._seen = files
            fresh = compile_policy(files)
        except PolicyError as error:
            self._refuse(render(error.problems))
            return False
        except PolicyFolderError as error:
            self._seen = {}  # once it can be read again it is looked at anew, changed or not
            if str(error) != self.refused:
                self._refuse(str(error))
            return False
        except Exception as error:
            # Our compiler's fault, not the ops admin's; the daemon goes on with what it has all the same.
            log.exception("compiling the changed policy failed")
            self._refuse(f"Compiling it failed: {type(error).__name__}. Please report it with the policy's files.")
            return False
        mended, self.refused = bool(self.refused), ""
        if fresh.digest == self.current.digest:
            if mended:
                log.info("the policy is mended; it is the one that is live", live=fresh.digest[:12])
                self._feed.tell("policy", 1, f"The policy is mended: it is the one that is live ({fresh.digest[:12]}).")
            return False
        self._keep(fresh, files)
        self.current = fresh
        self._hurry()
        log.info("a new policy is live", policy=fresh.digest[:12])
        self._feed.tell("policy", 1, f"A new policy is live ({fresh.digest[:12]}).")
        return True

    def _refuse(self, why: str) -> None:
        self.refused = why
        log.error("the changed policy is refused; the last good one stays live", live=self.current.digest[:12], why=why)
        self._feed.tell("policy", 1, f"The changed policy is refused; {self.current.digest[:12]} stays live.\n{why}")

    def _keep(self, policy: Policy, files: Mapping[str, bytes]) -> bool:
        """Stores the policy; whether it was never live before."""
        now = self._clock()
        with self._ledger.write() as conn:
            return policies.save(conn, policy.digest, files, now)

    def _hurry(self) -> None:
        """Who waits is looked at with the new policy: after it went live, or a tick could still be decided by the old one."""
        with self._ledger.write() as conn:
            timers.hurry(conn, "hold", self._clock())

    def run(self, stop: threading.Event) -> None:
        """Looks once a second until ``stop``."""
        while not stop.wait(LOOK_SECONDS):
            self.refresh()


def entity_maps(policy: Policy, system: str) -> dict[str, EntityMap]:
    """The policy's dictionary of fields as connectors need it. Entities that a system does not have are left out."""
    maps = {}
    for name, entity in policy.entities.items():
        if system not in entity.remote:
            continue
        here = {field.name: field for field in entity.fields.values() if system in field.remote}
        maps[name] = EntityMap(
            system=system,
            entity=name,  # type: ignore[arg-type]  # checked by the policy's compiler
            remote=entity.remote[system],
            fields={n: field.remote[system] for n, field in here.items()},
            types={n: field.type for n, field in here.items()},
            read_only=frozenset(n for n, f in here.items() if f.read_only or system in f.read_only_in),
        )
    return maps
