"""The sandbox Marketo: REST on loopback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.sandbox.faults import Faults
from connectors.sandbox.marketo.exports import Exports
from connectors.sandbox.marketo.kinds import DATA_VALUE, DELETE_LEAD, KINDS, MERGE, NEW_LEAD, SCORE
from connectors.sandbox.marketo.rest import RestApi
from connectors.sandbox.marketo.store import FIELDS, Refusal, Store
from connectors.sandbox.serving import Served
from connectors.sandbox.wording import check_conditions, one_of

CONDITIONS = ("window", "daily", "used_today", "at_once", "page", "merge_deletion", "other_exports")
_TOLD_OTHERWISE = (NEW_LEAD, DATA_VALUE, SCORE, MERGE, DELETE_LEAD)  # by what is done to the lead


class MarketoSandbox:
    """A Marketo subscription without leads at first. ``port`` 0 takes a free one."""

    def __init__(self, clock: Callable[[], datetime], faults: Faults, port: int = 0) -> None:
        self.store = Store(clock)
        self._rest = RestApi(self.store, faults, clock, "sandbox-secret")
        self._served = Served(self._rest.app, port, "sandbox-marketo")
        self._merge_deletion = True
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

    @property
    def exports(self) -> Exports:
        """The queue of exports."""
        return self._rest.exports

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
        ``at_once`` (requests at the same moment), ``other_exports`` (of other programs, in the queue of ten), ``merge_deletion`` (0: leads that went into others are not told as deleted, 1: they
        are). Raises ValueError.
        """
        check_conditions("marketo", values, CONDITIONS)
        if values.get("page", 1) < 1:
            raise ValueError("marketo: page: an answer looks at one entry at least")
        for name, value in values.items():
            if name == "page":
                self._rest.activities.page = int(value)
            elif name == "merge_deletion":
                self._merge_deletion = bool(value)
            elif name == "other_exports":
                self._rest.exports.others = int(value)
            else:
                setattr(self._rest, {"used_today": "used"}.get(name, name), int(value))

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
        self.store.merge(
            _number(record_id), [_number(one) for one in dict.fromkeys(others)], user, deleted=self._merge_deletion
        )

    def fill_out_form(self, record_id: str, form: str, values: Mapping[str, Any] | None = None) -> None:
        """A lead that is there fills out a form, which may change it. Raises Refusal."""
        _check(values or {})
        self.store.update(_number(record_id), values or {}, "Web form fillout")
        self.act(record_id, "Fill Out Form", form, {"Form Fields": ", ".join(values or {})})

    def act(self, record_id: str, activity: str, about: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Something happens to a lead: an activity by its name, about a form, an e-mail, a program … Raises Refusal."""
        found = next((one for one in KINDS.values() if one.name.casefold() == activity.casefold()), None)
        if found is None or found.id in _TOLD_OTHERWISE:
            there = [one.name for one in KINDS.values() if one.id not in _TOLD_OTHERWISE]
            raise Refusal("1003", f"No activity {activity!r} can be made so. {one_of(activity, there)}")
        for name in attributes or {}:
            if name not in found.attributes:
                raise Refusal("1003", f"{found.name} has no {name!r}. {one_of(name, found.attributes)}")
        self.store.happened(_number(record_id), found.id, about, attributes or {})

    def revoke(self, field: str) -> None:
        """An administrator hides or renames a field: requests that name it are refused. Raises Refusal."""
        _check({field: None})
        self.store.gone.add(field)

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
