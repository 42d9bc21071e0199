"""What a rung or a table row does with a lead, as an admin writes it: ``pool DACH``, ``Ana Diaz``, ``account.csm``, ``hold …``."""

from __future__ import annotations

from collections.abc import Iterable

from rules.fields import Scope
from rules.model import Action
from rules.pools.people import ACTIONS, People
from rules.source import Place, Report, nearest
from rules.values import fold


class Targets:
    """Reads actions against the pools, the roster and the fields of one policy.

    ``pools`` are their names, None where ``pools.yaml`` could not be read: then any pool is taken as known.
    """

    def __init__(self, scope: Scope, people: People, pools: Iterable[str] | None, queues: Iterable[str] = ()) -> None:
        self._queues = {fold(name): name for name in queues}
        self._scope = scope
        self._people = people
        self._complete = pools is not None
        self._pools = {fold(name): name for name in pools or ()}

    def read(self, text: str, place: Place, report: Report) -> Action | None:
        """The action of ``text``, or None with the mistake reported at ``place``."""
        text = " ".join(text.split())
        word, _, rest = text.partition(" ")
        kind = word.casefold()
        if kind == "pool":
            return self._pool(rest, place, report)
        if kind == "queue":
            return self._queue(rest, place, report)
        if kind in ("hold", "reject"):
            return self.outcome(kind, rest)
        if kind == "keep":
            return self.keep(rest, place, report)
        if kind == "person":
            return self._person(rest, place, report)
        if (path := self._scope.resolve(text)) is not None:
            if path.field.type == "person":
                return Action("field", path.text)
            report.error(place, f"{path.text} is a {path.field.type}: records are assigned to a person or a pool")
            return None
        if self._people.find(text) is None and fold(text) in self._pools:
            report.error(place, f"'{text}' is a pool", f"write 'pool {self._pools[fold(text)]}'")
            return None
        return self._person(text, place, report)

    def _pool(self, name: str, place: Place, report: Report) -> Action | None:
        found = self._pools.get(fold(name))
        if found is None and name and not self._complete:
            return Action("pool", name)
        if found is None:
            message = f"there is no pool '{name}'" if name else "which pool? Its name is missing"
            report.error(place, message, nearest(name, self._pools.values()))
            return None
        return Action("pool", found)

    def _queue(self, name: str, place: Place, report: Report) -> Action | None:
        found = self._queues.get(fold(name))
        if found is None:
            message = f"there is no queue '{name}'" if name else "which queue? Its name is missing"
            hint = nearest(name, self._queues.values()) or "name it under 'queues:' of engagement.yaml"
            report.error(place, message, hint)
            return None
        return Action("queue", found)

    def _person(self, text: str, place: Place, report: Report) -> Action | None:
        person = self._people.find(text)
        if person is None:
            message, hint = self._people.unknown(text)
            if not hint:
                words = [*(f"pool {name}" for name in self._pools.values()), *self._scope.names(), *ACTIONS]
                hint = (
                    nearest(text, words)
                    or "write a person's name or e-mail, a field such as account.csm, or 'pool NAME'"
                )
            if "." in text and " " not in text and "@" not in text:
                message, hint = self._scope.unknown(text)
            report.error(place, message if text else "to whom? The name is missing", hint)
            return None
        if not person.active:
            report.warn(place, f"{person.name} is inactive in people.csv and will get nothing from here")
        return Action("person", person.key)

    def keep(self, text: str, place: Place, report: Report) -> Action | None:
        """``keep: owner``: the person whom that field of the lead names keeps it."""
        path = self._scope.resolve(text or "owner")
        if path is None and (person := self._people.find(text)) is not None:
            report.error(place, f"'{text}' is a person, not a field that names one", f"write 'assign: {person.name}'")
            return None
        if path is None:
            report.error(place, *self._scope.unknown(text))
            return None
        if path.field.type != "person":
            message = f"{path.text} is a {path.field.type}: only a person keeps a record"
            report.error(place, message, "write 'keep: owner'")
            return None
        return Action("keep", path.text)

    def outcome(self, kind: str, reason: str) -> Action:
        """``hold …`` and ``reject …`` with the reason that reps and admins read."""
        if kind == "hold":
            return Action("hold", reason or "held by the policy")
        return Action("reject", reason or "rejected by the policy")
