"""The roles of the distributed runtime, each alone in a process or all in one:

- **gateway** brings things in: webhooks at every gateway; sources, first fill, completer and people at one gateway a system;
- **worker** decides and settles, fires timers;
- **delivery** takes writes to the CRMs, and tells other programs of decisions.

All work on one ledger and one Kafka, and any number of each may run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from connectors.contract import Webhook
from routing.bootstrap.process import Process
from routing.bootstrap.reading import Reading, System, Tenure
from routing.bootstrap.settings import Settings, SettingsError
from routing.runtime.clock import Clock, utcnow
from routing.runtime.policies import Policies

if TYPE_CHECKING:
    from routing.bootstrap.deciding import Deciding
    from routing.runtime.kafka.announcer import Announcer

log = structlog.get_logger()

GATEWAY, WORKER, DELIVERY = "gateway", "worker", "delivery"
EVERY_ROLE = (GATEWAY, WORKER, DELIVERY)
# What the completer is to complete is written down by workers, in other processes.
COMPLETER_SECONDS = 0.2


class Roles(Process):
    """One process of the distributed runtime."""

    def __init__(
        self,
        settings: Settings,
        systems: Callable[[Policies], Sequence[System]],
        roles: Collection[str] = EVERY_ROLE,
        clock: Clock = utcnow,
    ) -> None:
        """As ``Process``; nothing runs yet, and Kafka is not asked. Raises SettingsError too, and KafkaMisconfigured."""
        if settings.kafka is None:
            raise SettingsError(
                "No Kafka is configured: add a section 'kafka' with its 'bootstrap_servers' to the settings."
            )
        if set(roles) != set(EVERY_ROLE) and settings.ledger.startswith("sqlite"):
            raise SettingsError(
                "Roles in processes of their own share a ledger on PostgreSQL: name one under 'ledger' in the settings, or run all "
                "of them in one process with `fingerpost run --runtime kafka`."
            )
        super().__init__(
            settings.ledger,
            settings.policy,
            systems,
            clock,
            alone=False,
            patience=settings.ledger_patience_seconds,
            keep_evidence_days=settings.keep_evidence_days,
            most_owed=settings.most_owed,
        )
        self.roles = [role for role in EVERY_ROLE if role in roles]
        self._tenures: dict[str, Tenure] = {}
        self.deciding: Deciding | None = None
        self._announcer: Announcer | None = None
        # What a role needs is loaded with it: a courier has no use for Faust.
        if GATEWAY in roles:
            from routing.runtime.kafka.intake import KafkaIntake

            self.intake = KafkaIntake(settings.kafka, self.ledger, clock, self.feed)
            for system in self.systems.values():
                reading = Reading(
                    system, self.ledger, self.policies, clock, self.feed, self.intake, look_seconds=COMPLETER_SECONDS
                )
                self._tenures[system.name] = Tenure(reading, self.ledger, self.services)
        if WORKER in roles:
            from routing.bootstrap.deciding import Deciding

            self.deciding = Deciding(self, settings.kafka)
        if DELIVERY in roles:
            from routing.runtime.kafka.announcer import Announcer

            self._announcer = Announcer(settings.kafka, self.ledger)

    @property
    def webhooks(self) -> list[Webhook]:
        """The webhooks that this process serves: none, unless it is a gateway."""
        return super().webhooks if self.intake is not None else []

    def start(self) -> None:
        """Starts the roles and returns; ``ready`` is set once they work (a worker first waits for the first fills)."""
        self.keep_place()
        self.keep_tallies()
        self.services.start("deciding", "policy watcher", self.policies.run)
        if self.intake is not None:
            self.services.start("intake", "intake", self.intake.run)
            for name, tenure in self._tenures.items():
                self.services.start("sources", f"{name} reader", tenure.run)
        if self._announcer is not None:
            self.start_couriers()
            self.services.start("delivery", "announcer", self._announcer.run)
        if self.deciding is not None:
            self.services.start("deciding", "start-up", self.deciding.open)
        else:
            self.ready.set()
            log.info("ready", roles=self.roles, systems=sorted(self.systems))

    @property
    def needs_ledger(self) -> bool:
        """Not a gateway: webhooks go to Kafka meanwhile, and a load balancer must not turn them away."""
        return self.roles != [GATEWAY]

    def health(self) -> Mapping[str, object]:
        """What ``/healthz`` shows: as any process, and what the roles are at."""
        shown = {**super().health(), "roles": self.roles}
        if self._tenures:
            shown["reads"] = sorted(name for name, tenure in self._tenures.items() if tenure.seated)
        if self.deciding is not None:
            shown["log"] = self.deciding.health()
            shown["ok"] = shown["ok"] and not self.deciding.cut_off
        if self._announcer is not None:
            shown["not_announced"] = self._announcer.unwell  # writes go on, and so ``ok`` stays
        return shown
