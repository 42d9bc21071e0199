"""A scenario: what happens to a running sandbox, step by step, out of a YAML file.

    scenario: A bad morning
    steps:
      - at: 0                 # seconds after the start
        says: leads come in
        traffic: {leads: 200, rate: 20}
      - at: 2
        faults:
          - {system: hubspot, operation: batch_update, kind: unavailable, times: 10}
        webhook: {mischief: {duplicate_every: 3, reorder: true}}
      - at: 5
        deeds:
          - {system: hubspot, do: update, with: {kind: contacts, record_id: newest, properties: {city: Rome}}}
          - {system: salesforce, do: revoke, with: {name: Lead, field: Phone}}
      - at: 20
        clear_faults: true

``record_id: newest`` (or ``oldest``) stands for a record of that object at that moment. What deeds there are, and what they take, are
the methods of the sandboxes named in ``DEEDS``.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import structlog
import yaml
from msgspec import Struct

import connectors.sandbox.hubspot.server as hubspot
import connectors.sandbox.marketo.server as marketo
import connectors.sandbox.salesforce.server as salesforce
from connectors.sandbox.faults import Fault
from connectors.sandbox.faults import check as check_fault
from connectors.sandbox.hubspot.webhooks import Mischief
from connectors.sandbox.traffic import TrafficOrder
from connectors.sandbox.wording import check_conditions, one_of, take

log = structlog.get_logger(__name__)

_RESTART = ("go_down", "come_back")
DEEDS: dict[str, tuple[str, ...]] = {
    "hubspot": (
        *("create", "update", "delete", "restore", "erase", "merge", "revoke", "withdraw", "grant", "add_workflow"),
        *("impose", "forget_journal", *_RESTART),
    ),
    "salesforce": (
        *("create", "update", "delete", "undelete", "erase", "together", "merge", "convert", "lock"),
        *(
            "forbid",
            "forbid_conversions",
            "forbid_creations",
            "forbid_deletions",
            "revoke",
            "add_object",
            "add_field",
            "change_type",
            "delete_field",
            "add_queue",
            "add_duplicate_rule",
            "add_flow",
            "deselect",
            "select",
            "allow",
            "use_up",
        ),
        *("impose", "gap", "expire_events", "break_streams", "expire_sessions", "spoil_next", *_RESTART),
    ),
    "marketo": (
        *("create", "update", "delete", "merge", "fill_out_form", "act"),
        *("revoke", "impose", "expire_tokens", *_RESTART),
    ),
}
SANDBOXES: dict[str, tuple[type, Collection[str]]] = {
    "hubspot": (hubspot.HubSpotSandbox, hubspot.CONDITIONS),
    "salesforce": (salesforce.SalesforceSandbox, salesforce.CONDITIONS),
    "marketo": (marketo.MarketoSandbox, marketo.CONDITIONS),
}
_AT_ONCE = ("newest", "oldest")
_USUAL = {"hubspot": "contacts", "salesforce": "Lead", "marketo": "leads"}


class WebhookOrder(Struct, forbid_unknown_fields=True):
    """Where webhooks go from now on, and what goes wrong with them."""

    url: str | None = None
    mischief: Mischief | None = None
    object_names: bool | None = None  # events in the newer form: object.creation, with an objectTypeId
    drop_refused: bool | None = None  # what is answered with 4xx is not tried again, as there

    def __post_init__(self) -> None:
        parts = urlsplit(self.url or "")
        if self.url and (parts.scheme != "http" or not parts.hostname):
            raise ValueError(f"url: {self.url!r} is no address like http://127.0.0.1:8080/hooks/hubspot")


class Deed(Struct, frozen=True, forbid_unknown_fields=True, rename={"given": "with"}):
    """Something a person, or an administrator, does in a CRM: a method of its sandbox, and what it is called with."""

    system: str
    do: str
    given: dict[str, Any] = {}


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens ``at`` that many seconds after the start, in the order of these lines."""

    at: float = 0.0
    says: str = ""
    clear_faults: bool = False
    faults: list[Fault] = []
    webhook: WebhookOrder | None = None
    traffic: TrafficOrder | None = None
    deeds: list[Deed] = []


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """Steps in the order of their times. Raises ValueError when they are not."""

    scenario: str
    steps: list[Step]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps: a scenario has at least one")
        for number, (before, step) in enumerate(zip([Step(), *self.steps], self.steps, strict=False), 1):
            if step.at < before.at:
                raise ValueError(f"step {number} is at {step.at:g} s, before the one above it at {before.at:g} s")
            try:
                for fault in step.faults:
                    check_fault(fault)
                for deed in step.deeds:
                    check(deed)
            except ValueError as error:
                raise ValueError(f"step {number} at {step.at:g} s: {error}") from None


# The form of what stands below each name of an order.
FORMS: dict[str, type[Struct]] = {
    **{"": Scenario, "steps": Step, "step": Step, "faults": Fault, "webhook": WebhookOrder, "mischief": Mischief},
    **{"traffic": TrafficOrder, "deeds": Deed},
}


def check(deed: Deed) -> None:
    """Raises ValueError for what no sandbox can do, or not with this."""
    known = DEEDS.get(deed.system)
    if known is None:
        raise ValueError(f"no sandbox is called {deed.system!r}; {one_of(deed.system, DEEDS)}")
    if deed.do not in known:
        raise ValueError(f"{deed.system} has no deed {deed.do!r}; {one_of(deed.do, known)}")
    sandbox, conditions = SANDBOXES[deed.system]
    method = getattr(sandbox, deed.do)
    takes = list(inspect.signature(method).parameters)[1:]
    try:
        inspect.signature(method).bind(None, **deed.given)
    except TypeError as error:
        raise ValueError(f"{deed.system} {deed.do}: {error}; it takes: {', '.join(takes) or 'nothing'}") from None
    hints = get_type_hints(method)
    for name, value in deed.given.items():
        kind = list[str] if hints[name] == Iterable[str] else hints[name]
        try:
            _fit(value, kind)
        except ValueError as error:
            raise ValueError(f"{deed.system} {deed.do}: {name}: {error}") from None
    if deed.do == "impose":
        check_conditions(deed.system, deed.given["values"], conditions)


def _fit(value: Any, kind: Any) -> None:
    """Raises ValueError for what is no value of that kind."""
    if get_origin(kind) is Mapping and isinstance(value, dict):
        for one in value.values():
            _fit(one, get_args(kind)[1])
    options = get_args(kind) if get_origin(kind) is Literal else ()
    try:
        take(value, kind, {})
    except ValueError as error:
        raise ValueError(f"there is no {value!r}; {one_of(str(value), options)}" if options else str(error)) from None


def read_scenario(path: Path) -> Scenario:
    """Reads a scenario file. Raises ValueError, with the file and the place in it; OSError when it cannot be read."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ValueError(f"{path}{where}: this is not YAML: {getattr(error, 'problem', 'bad encoding')}") from None
    return decode(raw, str(path))


def decode(raw: Any, name: str) -> Scenario:
    """A scenario out of plain values. Raises ValueError."""
    if raw is None:
        raise ValueError(f"{name}: it is empty; a scenario has a name (scenario: …) and steps")
    try:
        scenario: Scenario = take(raw, Scenario, FORMS)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return scenario


def carry_out(deed: Deed, sandboxes: Mapping[str, Any], newest: Callable[[str, str, str], str]) -> Any:
    """Does it, and returns what it gave (the id of a new record).

    ``newest`` finds the record for ``newest`` and ``oldest`` of a system's object. Raises ValueError with what is wrong with the deed;
    what the CRM itself refuses is raised as the sandbox says it.
    """
    check(deed)
    sandbox = sandboxes.get(deed.system)
    if sandbox is None:
        raise ValueError(f"{deed.system} is no part of this sandbox")
    method = getattr(sandbox, deed.do)
    given = dict(deed.given)
    name = str(given.get("kind") or given.get("name") or _USUAL[deed.system])
    if given.get("record_id") in _AT_ONCE:
        given["record_id"] = newest(deed.system, name, given["record_id"])
    if isinstance(others := given.get("others"), list):
        given["others"] = [newest(deed.system, name, one) if one in _AT_ONCE else one for one in others]
    return method(**given)


class Player:
    """Plays one scenario at a time, in a thread of its own."""

    def __init__(self, act: Callable[[Step], None]) -> None:
        self._act = act
        self._scenario: Scenario | None = None
        self._done = 0
        self._error = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, scenario: Scenario) -> None:
        """Begins. Raises ValueError while another one is playing."""
        if self._thread is not None and self._thread.is_alive():
            raise ValueError("a scenario is playing already; wait until it is done")
        self._scenario, self._done, self._error = scenario, 0, ""
        self._thread = threading.Thread(target=self._play, args=(scenario,), name="sandbox-scenario", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends what is playing after the step under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def state(self) -> dict[str, Any] | None:
        """How far it is; None when none was ever started."""
        if self._scenario is None or self._thread is None:
            return None
        return {
            "scenario": self._scenario.scenario,
            "steps": len(self._scenario.steps),
            "steps_done": self._done,
            "playing": self._thread.is_alive(),
            "error": self._error,
        }

    def _play(self, scenario: Scenario) -> None:
        now = 0.0
        for number, step in enumerate(scenario.steps, 1):
            if self._stop.wait(step.at - now):
                return
            now = step.at
            try:
                self._act(step)
            except Exception as error:  # noqa: BLE001 - a thread's end must be visible; /state shows it
                self._error = f"step {number} at {step.at:g} s: {error or type(error).__name__}"
                log.error("sandbox_scenario_ended", error=self._error)  # noqa: TRY400 - the step and its reason say it all
                return
            self._done = number
