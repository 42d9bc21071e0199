"""Several deeds as one: all are done, or none. Nobody sees anything of them before that is settled."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.marketo import MarketoSandbox
from connectors.sandbox.salesforce import SalesforceSandbox

# What others notice at once, and nobody could take back: it goes alone.
ALONE = frozenset(
    {
        *("go_down", "come_back", "break_streams", "expire_sessions", "expire_tokens", "forget_journal"),
        *("impose", "use_up", "withdraw", "grant", "add_object"),
    }
)
# Of a store or a bus: what is no part of what it holds.
_APART = ("lock", "changed", "announce", "_clock", "objects")


def check_together(deeds: Sequence[Any]) -> None:
    """Raises ValueError for deeds (``scenario.Deed``) that cannot be done as one."""
    for number, deed in enumerate(deeds, 1):
        if len(deeds) > 1 and deed.do in ALONE:
            raise ValueError(f"deed {number}, {deed.do} in {deed.system}, goes alone: nothing could take it back")


@contextmanager
def whole(salesforce: SalesforceSandbox, hubspot: HubSpotSandbox, marketo: MarketoSandbox) -> Iterator[None]:
    """What is done within is undone where it ends with an exception, which goes through. All else waits meanwhile."""
    stores, bus = (salesforce.store, hubspot.store, marketo.store), salesforce.bus
    with ExitStack() as held:
        locks: list[AbstractContextManager[Any]] = [*(store.lock for store in stores), bus.changed]
        for lock in locks:
            held.enter_context(lock)
        kept = [(store, copy.deepcopy(_held(store))) for store in stores]
        events, objects = {name: copy.copy(value) for name, value in _held(bus).items()}, dict(bus.objects)
        told: list[Any] = []
        announce, hubspot.store.announce = hubspot.store.announce, told.append
        try:
            yield
        except BaseException:
            for part, values in (*kept, (bus, events)):
                vars(part).update(values)
            salesforce.store.objects.update(objects)
            raise
        finally:
            hubspot.store.announce = announce
        for some in told:
            announce(some)


def _held(part: object) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if name not in _APART}
