"""The sandbox Marketo: REST on loopback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.sandbox.faults import Faults
from connectors.sandbox.marketo.rest import RestApi
from connectors.sandbox.marketo.store import FIELDS, Refusal, Store
from connectors.sandbox.serving import Served
from connectors.sandbox.wording import check_conditions, one_of

CONDITIONS = {"window": "window", "daily": "daily", "used_today": "used", "page": "page", "at_once": "at_once"}


class MarketoSandbox:
    """A Marketo subscription without leads at first. ``port`` 0 takes a free one."""

    def __init__(self, clock: Callable[[], datetime], faults: Faults, port: int = 0) -> None:
        self.store = Store(clock)
        self._rest = RestApi(self.store, faults, clock, "sandbox-secret")
        self._served = Served(self._rest.app, port, "sandbox-marketo")
        self.client_id, self.client_secret = self._rest.client_id, self._rest.client_secret

    @property
    def url(self) -> str:
        """Where it answers; "" before it was started."""
        return self._served.url

    @property
    def requests(self) -> int:
        """Calls asked so far, logins not counted."""
        return self._rest.requests

    @property
    def under_way(self) -> int:
        """Requests that have come and are not answered yet."""
        return self._rest.under_way

    def start(self) -> None:
        """Serves in a thread of its own; returns once it answers. Raises OSError when the port is taken."""
        self._served.start()

    def stop(self) -> None:
        """Ends all connections."""
        self._served.stop()

    def go_down(self) -> None:
        """Answers no more, as in a restart."""
        self._served.stop()

    def come_back(self) -> None:
        """Answers again, at the same address. Raises OSError when somebody else took the port."""
        self._served.start()

    def impose(self, values: Mapping[str, Any]) -> None:
        """Lasting conditions: ``window`` (calls in 20 s), ``daily``, ``used_today``, ``page`` (log entries an answer looks at),
        ``at_once`` (requests at the same moment). Raises ValueError.
        """
        check_conditions("marketo", values, CONDITIONS)
        if values.get("page", 1) < 1:
            raise ValueError("marketo: page: an answer looks at one entry at least")
        for name, value in values.items():
            setattr(self._rest, CONDITIONS[name], int(value))

    # -- the subscription, as its people and forms handle it ------------------------------------------------------

    def create(self, values: Mapping[str, Any], user: str = "") -> str:
        """A lead fills in a form, or somebody makes it. Raises Refusal."""
        _check(values)
        return str(self.store.create(values, "Web form fillout", user).id)

    def update(self, record_id: str, values: Mapping[str, Any], user: str = "") -> None:
        """Somebody changes a lead. Raises Refusal."""
        _check(values)
        self.store.update(_number(record_id), values, "User", user)

    def delete(self, record_id: str, user: str = "") -> None:
        """Somebody deletes a lead. Raises Refusal."""
        self.store.delete(_number(record_id), user)

    def merge(self, record_id: str, others: Sequence[str], user: str = "") -> None:
        """The others are merged into the lead: they go, and it takes over what it lacks. Raises Refusal."""
        if record_id in others:
            raise ValueError(f"marketo: the lead {record_id} cannot be merged into itself")
        with self.store.lock:
            for one in (record_id, *others):
                if _number(one) not in self.store.leads:
                    raise Refusal("1004", f"Lead not found: {one}")
            for other in map(_number, others):
                kept = self.store.leads[_number(record_id)].values
                gained = {name: value for name, value in self.store.leads[other].values.items() if not kept.get(name)}
                self.store.update(_number(record_id), gained, "Merge", user)
                self.store.delete(other, user)

    def record(self, record_id: str) -> dict[str, Any] | None:
        """A lead's fields; None when it is not there."""
        lead = self.store.leads.get(int(record_id))
        return None if lead is None else dict(lead.values)

    def writes(self, record_id: str) -> dict[str, int]:
        """How often the API wrote each field."""
        lead = self.store.leads.get(int(record_id))
        return {} if lead is None else dict(lead.writes)

    def expire_tokens(self) -> None:
        """Every access token given out so far is over."""
        self._rest.expire_tokens()


def _number(record_id: str) -> int:
    """Raises Refusal for what is no lead's id."""
    if not record_id.isdecimal():
        raise Refusal("1004", f"Lead not found: {record_id!r} is no id of a lead, which is a number")
    return int(record_id)


def _check(values: Mapping[str, Any]) -> None:
    for name in values:
        if name not in FIELDS:
            raise Refusal("1006", f"Field '{name}' not found. {one_of(name, FIELDS)}")
