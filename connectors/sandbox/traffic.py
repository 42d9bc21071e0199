"""Makes leads come in, and now and then something else change, at the pace asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from random import Random

from msgspec import Struct

from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.leads import LeadStream, SandboxLead
from connectors.sandbox.salesforce import SalesforceSandbox
from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.world import World

_TICK = 0.005  # seconds between looks at the clock
_CHURN_EVERY = 10  # leads


class TrafficOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much traffic: ``leads`` in all (None: without end; 0 ends what is under way), ``rate`` a second (None: as fast as it goes).

    ``churn`` also changes accounts, opportunities and users a little. ``today`` (ISO date; "": what the clock shows) is when people
    touched their leads.
    """

    leads: int | None = None
    rate: float | None = 5.0
    hubspot_share: float = 0.2
    churn: bool = False
    today: str = ""

    def __post_init__(self) -> None:
        if self.leads is not None and self.leads < 0:
            raise ValueError(f"leads is {self.leads}; it cannot be negative")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"rate is {self.rate:g}; it must be above 0 leads a second")
        if not 0 <= self.hubspot_share <= 1:
            raise ValueError(f"hubspot_share is {self.hubspot_share:g}; it is a share between 0 and 1")
        if self.today:
            date.fromisoformat(self.today)


class Traffic:
    """One generator thread. Leads are numbered through all orders, so that two runs with equal orders are equal."""

    def __init__(
        self,
        world: World,
        seed: int,
        salesforce: SalesforceSandbox,
        hubspot: HubSpotSandbox,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self.created: Counter[str] = Counter()  # system -> leads
        self.refused = 0  # by the CRM itself, as too long, for instance
        self.churned = 0
        self.error = ""  # what ended the generator early
        self._world = world
        self._seed = seed
        self._salesforce = salesforce
        self._hubspot = hubspot
        self._clock = clock
        self._monotonic = monotonic
        self._next = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether leads are still being made."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def done(self) -> bool:
        """Whether an order was given and is over."""
        return self._thread is not None and not self._thread.is_alive()

    def start(self, order: TrafficOrder) -> None:
        """Begins; an order for no leads ends the one under way. Raises ValueError for any other meanwhile."""
        if order.leads == 0:
            self.stop()
        if self.running:
            raise ValueError('leads are being made already; wait until that is done, or end it with {"leads": 0}')
        self._stop.clear()
        self._thread = threading.Thread(target=self._guarded, args=(order,), name="sandbox-traffic", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the order under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def _guarded(self, order: TrafficOrder) -> None:
        try:
            self._run(order)
        except Exception as error:  # noqa: BLE001 - a thread's end must be visible; /state shows it
            self.error = f"lead {self._next} could not be made: {type(error).__name__}: {error}"

    def _run(self, order: TrafficOrder) -> None:
        stream = LeadStream(
            self._world, self._seed, order.hubspot_share, today=order.today or self._clock().date().isoformat()
        )
        started, made = self._monotonic(), 0
        while not self._stop.is_set() and (order.leads is None or made < order.leads):
            # The first one comes at once.
            due = made + 100 if order.rate is None else int((self._monotonic() - started) * order.rate) + 1
            if order.leads is not None:
                due = min(due, order.leads)
            while made < due and not self._stop.is_set():
                self._make(stream.lead(self._next))
                if order.churn and self._next % _CHURN_EVERY == _CHURN_EVERY - 1:
                    self._churn(Random(f"churn {self._seed} {self._next}"))
                self._next += 1
                made += 1
            if order.rate is not None:
                self._stop.wait(_TICK)

    def _make(self, lead: SandboxLead) -> None:
        if lead.system == "hubspot":
            self._hubspot.create("contacts", lead.fields)
        else:
            try:
                self._salesforce.create("Lead", lead.fields)
            except SaveError:
                self.refused += 1
                return
        self.created[lead.system] += 1

    def _churn(self, rng: Random) -> None:
        """One small change, by some person, of something that is not a lead."""
        user = rng.choice(self._world.users[1:])["Id"] if len(self._world.users) > 1 else ""
        chance = rng.random()
        try:
            if chance < 0.5 and self._world.accounts:
                account = rng.choice(self._world.accounts)["Id"]
                self._salesforce.update(
                    "Account", account, {"NumberOfEmployees": rng.randrange(20, 50_000)}, actor=user
                )
            elif chance < 0.98 and self._world.opportunities:
                opportunity = rng.choice(self._world.opportunities)["Id"]
                stage = rng.choice(("Qualification", "Negotiation/Review", "Closed Won", "Closed Lost"))
                self._salesforce.update("Opportunity", opportunity, {"StageName": stage}, actor=user)
            elif user:
                row = self._salesforce.record("User", user)
                self._salesforce.update("User", user, {"IsActive": not (row or {}).get("IsActive", True)}, actor=user)
            self.churned += 1
        except SaveError:
            self.refused += 1
