"""The sandbox HubSpot: REST on loopback, webhooks to wherever it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot.journal import Journal
from connectors.sandbox.hubspot.limits import Limits
from connectors.sandbox.hubspot.properties import PROPERTIES, Refusal
from connectors.sandbox.hubspot.rest import RestApi
from connectors.sandbox.hubspot.store import OWNER, Entry, Event, Item, Source, Store
from connectors.sandbox.hubspot.webhooks import WebhookSender
from connectors.sandbox.hubspot.workflows import Workflows, setting
from connectors.sandbox.serving import Served
from connectors.sandbox.wording import one_of
from connectors.sandbox.world import World

CONDITIONS = ("search_lag", "ten_seconds", "daily", "used_today", "searches", "merge_creation")
Kind = Literal["contacts", "companies", "tasks", "leads"]


class HubSpotSandbox:
    """A HubSpot account with the world's companies, contacts and owners.

    ``port`` 0 takes a free one. ``webhook_url`` "" sends no webhooks until the attribute of the same name is set.
    ``ten_seconds`` and ``daily`` are the account's limits.
    """

    def __init__(
        self,
        world: World,
        clock: Callable[[], datetime],
        faults: Faults,
        webhook_url: str,
        webhook_secret: str,
        port: int = 0,
        *,
        ten_seconds: int = 190,
        daily: int = 650_000,
    ) -> None:
        self.store = Store(clock)
        self.store.load("companies", world.companies)
        self.store.load("contacts", world.contacts_hubspot)
        self.webhooks = WebhookSender(clock, webhook_url, webhook_secret)
        self.journal = Journal(clock, webhook_secret)
        self.store.announce = self._announce
        self.limits = Limits(clock, ten_seconds, daily)
        self._rest = RestApi(self.store, world.owners, faults, self.limits, clock, self.journal)
        self._user_ids = {owner["email"].lower(): owner["userId"] for owner in world.owners}
        self._owners = {owner["id"] for owner in world.owners}
        self._served = Served(self._rest.app, port, "sandbox-hubspot")

    def _announce(self, events: list[Event]) -> None:
        self.webhooks.enqueue(events)
        self.journal.write(events)

    def forget_journal(self) -> None:
        """The webhooks journal loses its files so far, as after three days."""
        self.journal.forget()

    @property
    def access_token(self) -> str:
        """What a client must present."""
        return self._rest.access_token

    @property
    def webhook_url(self) -> str:
        """Where webhooks go; may be set while it runs."""
        return self.webhooks.url

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self.webhooks.url = url

    def impose(self, values: Mapping[str, Any]) -> None:
        """Lasting conditions: ``search_lag`` (seconds until the search shows a change), ``ten_seconds``, ``daily``, ``searches`` (a second;
        limits), ``used_today`` (requests that somebody else made), ``merge_creation`` (whether what a merge makes is told as a creation, too:
        0 no, 1 before the merge, 2 after it). Raises ValueError."""
        for name, value in values.items():
            if name not in CONDITIONS or isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(
                    f"hubspot: {name}: {value!r} is no condition; there are {', '.join(CONDITIONS)}, numbers"
                )
        for name, value in values.items():
            if name == "search_lag":
                self._rest.records.search_lag = timedelta(seconds=value)
            elif name == "merge_creation":
                self.store.merge_creation = int(value)
            elif name == "used_today":
                self.limits.use(int(value))
            else:
                setattr(self.limits, name, int(value))

    @property
    def requests(self) -> int:
        """REST calls asked so far."""
        return self._rest.requests

    def start(self) -> None:
        """Serves in threads of its own; returns once it answers. Raises OSError when the port is taken."""
        self._served.start()
        self.webhooks.start()

    @property
    def url(self) -> str:
        """Where it answers; "" before it was started."""
        return self._served.url

    def stop(self) -> None:
        """Ends all connections; webhooks not yet delivered stay unsent."""
        self.webhooks.stop()
        self._served.stop()

    def go_down(self) -> None:
        """Answers no more, as in a restart; what people do goes on, and so do the webhooks."""
        self._served.stop()

    def come_back(self) -> None:
        """Answers again, at the same address. Raises OSError when somebody else took the port."""
        self._served.start()

    # -- the account, as its people and forms handle it -----------------------------------------------------------

    def create(self, kind: Kind, properties: Mapping[str, str], change_source: str = "FORM", user: str = "") -> str:
        """Makes a record and returns its id. ``user`` is the e-mail of the person who does it. Raises Refusal, ValueError."""
        self._check(kind, properties)
        return self.store.create(kind, properties, self._source(change_source, user)).id

    def update(
        self, kind: Kind, record_id: str, properties: Mapping[str, str], change_source: str = "CRM_UI", user: str = ""
    ) -> None:
        """Changes a record. Raises Refusal, ValueError."""
        self._check(kind, properties)
        self.store.update(kind, record_id, properties, self._source(change_source, user))

    def delete(self, kind: Kind, record_id: str, user: str = "") -> None:
        """Puts a record into the recycling bin."""
        self.store.end(kind, record_id, "deletion", self._source("CRM_UI", user))

    def restore(self, kind: Kind, record_id: str, user: str = "") -> None:
        """Takes it out again."""
        self.store.end(kind, record_id, "restore", self._source("CRM_UI", user))

    def erase(self, record_id: str, user: str = "") -> None:
        """Erases a contact for good, as a data subject may demand, with those that were merged into it; the bin does not keep it."""
        self.store.erase("contacts", record_id, self._source("CRM_UI", user))

    def merge(self, kind: Kind, primary: str, others: Iterable[str], user: str = "") -> str:
        """Merges ``others`` and ``primary`` into a new record; its id."""
        return self.store.merge(kind, primary, others, self._source("CRM_UI", user))

    # Settings, as an administrator changes them

    def revoke(self, name: Kind, field: str) -> None:
        """Archives a property: answers leave it out, writes of it are refused. Raises ValueError."""
        if field not in PROPERTIES.get(name, {}):
            raise ValueError(f"hubspot: {name} has no property {field!r}")
        self.store.archived[name].add(field)

    def withdraw(self, scope: str) -> None:
        """Takes a scope from the private app: what needs it is answered with 403. Raises ValueError."""
        if scope not in self._rest.scopes:
            raise ValueError(
                f"hubspot: {scope!r} is no scope of the app; it has {', '.join(sorted(self._rest.scopes))}"
            )
        self._rest.scopes.discard(scope)

    def grant(self, scope: str) -> None:
        """Gives it back."""
        self._rest.scopes.add(scope)

    def add_workflow(self, owner: str) -> None:
        """A workflow that gives each record to ``owner`` a moment after the API gave it to somebody; "" switches it off."""
        if owner and owner not in self._owners:
            raise ValueError(f"hubspot has no owner {owner!r} to whom a workflow could give records")
        self.store.workflow_owner = owner
        self.workflows.hide("Give records back")
        if owner:
            self.workflows.show("Give records back", "contacts", setting(OWNER, owner))

    @property
    def workflows(self) -> Workflows:
        """What Automation, Workflows shows."""
        return self._rest.workflows

    def record(self, kind: Kind, record_id: str) -> dict[str, str] | None:
        """A live record's properties; None when it is not there."""
        item = self.store.get(kind, record_id)
        return None if item is None else dict(item.properties)

    def history(self, kind: Kind, record_id: str, name: str) -> list[Entry]:
        """Every value of one property, newest first."""
        item = self.store.get(kind, record_id)
        return [] if item is None else item.history(name)

    def writes(self, kind: Kind, record_id: str) -> dict[str, int]:
        """How often the API wrote each property of a record, the same value again included."""
        item = self.store.get(kind, record_id)
        return {} if item is None else dict(item.writes)

    def items(self, kind: Kind) -> Iterator[Item]:
        """All live records by id."""
        found, _ = self.store.page(kind, 0, 10**9)
        yield from found

    @staticmethod
    def _check(kind: Kind, properties: Mapping[str, str]) -> None:
        for name in properties:
            if name not in PROPERTIES[kind]:
                raise Refusal(
                    "VALIDATION_ERROR",
                    "PROPERTY_DOESNT_EXIST",
                    f'Property "{name}" does not exist. {one_of(name, sorted(PROPERTIES[kind]))}',
                )

    def _source(self, change_source: str, user: str) -> Source:
        user_id: int | None = self._user_ids.get(user.lower())
        if user and user_id is None:
            raise ValueError(f"hubspot has no user {user!r}")
        return Source(change_source, f"userId:{user_id}" if user_id is not None else "", user_id)


def summary(sandbox: HubSpotSandbox) -> dict[str, Any]:
    """Figures for whoever watches."""
    hooks = sandbox.webhooks
    return {
        "contacts_created": sandbox.store.count("contacts"),
        "requests": sandbox.requests,
        "webhooks_pending": hooks.pending,
        "webhooks_delivered": hooks.delivered,
        "webhooks_dropped": hooks.dropped,
        "webhooks_lost": hooks.lost,
        "webhook_answers": dict(hooks.answers),
    }
