"""The recorded events of the parity tests: what two CRMs tell of a few days, the same for the same size.

It comes in scenes. Within one, events of different records may be settled in any order without a difference, save whose turn it is in
a pool and which of two leads of one person comes first; what else a decision hangs on (accounts, opportunities, the people) changes
between the scenes. Each ends when everything is settled, timers included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from connectors.sandbox.leads import LeadStream
from connectors.sandbox.people import read_people
from connectors.sandbox.world import World
from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.runtime.policies import entity_maps
from routing.runtime.policy_folder import read_folder
from rules.policy import compile_policy
from tests.conftest import START
from tests.processes import POLICY

Event = ChangeEvent | Unreadable

SEED = 23
HUBSPOT_SHARE = 0.25
# All members of one pool: while they are away its leads wait, and timers bring them back.
DACH = ("jonas.keller@example.com", "miriam.vogel@example.com")
ENTITY_OF = {"Account": "account", "Contact": "contact", "Opportunity": "opportunity", "User": "person", "Lead": "lead"}


class Scene(Struct):
    """Events to be settled together. ``wait``: afterwards so much time passes that everything on hold is tried again."""

    events: list[Event]
    wait: bool = False


class Stream:
    """Makes the scenes."""

    def __init__(self, leads: int, scenes: int, accounts: int) -> None:
        """So many events of leads in so many scenes, at companies some of which are among the accounts."""
        self._world = World(SEED, read_people(POLICY / "people.csv"), accounts)
        self._leads = LeadStream(self._world, SEED, HUBSPOT_SHARE, today=START.date().isoformat())
        policy = compile_policy(read_folder(POLICY))
        self._fields = {system: entity_maps(policy, system) for system in ("salesforce", "hubspot")}
        self._random = Random(f"parity {SEED}")
        self._told = self._made = 0
        self._known: list[ChangeEvent] = []  # creations of leads, as long as the lead is there
        self.stage = self._stage()
        self.scenes: list[Scene] = []
        for n in range(scenes):
            self.scenes += _apart(self._churn(n))
            self.scenes.append(Scene(list(self._some(leads // scenes))))
        self.scenes += _apart(self._people(dict.fromkeys(DACH, True)))

    @property
    def events(self) -> list[Event]:
        return [event for scene in self.scenes for event in scene.events]

    # -- the stage ----------------------------------------------------------------------------------------------------

    def _stage(self) -> list[ChangeEvent]:
        """What the CRMs held before, as the first fill reads it: people, companies, contacts and opportunities."""
        world, made = self._world, list[ChangeEvent]()
        rows = {"User": world.users, "Account": world.accounts, "Contact": world.contacts}
        for remote, found in (rows | {"Opportunity": world.opportunities}).items():
            made += [self._tell("salesforce", ENTITY_OF[remote], row["Id"], "snapshot", row) for row in found]
        for owner in world.owners:
            told = {"email": owner["email"], "active": not owner["archived"], "name": owner["firstName"]}
            made.append(self._tell("hubspot", "person", owner["id"], "snapshot", told))
        for company in world.companies:
            made.append(self._tell("hubspot", "account", company["id"], "snapshot", company["properties"]))
        return made

    def _churn(self, scene: int) -> list[Event]:
        """Between scenes: accounts grow, deals close, people go and come back, somebody wants to be forgotten."""
        world, rng, made = self._world, self._random, list[Event]()
        for row in rng.sample(world.accounts, 6):
            more = {"NumberOfEmployees": rng.randrange(20, 50_000), "Type": rng.choice(("Customer", "Prospect"))}
            made.append(self._tell("salesforce", "account", row["Id"], "updated", more))
        for row in rng.sample(world.opportunities, 4):
            closed = rng.random() < 0.5
            more = {"StageName": "Closed Won" if closed else "Negotiation/Review", "IsClosed": closed}
            made.append(self._tell("salesforce", "opportunity", row["Id"], "updated", more))
        made += self._people(dict.fromkeys(DACH, scene % 3 != 1))
        made += self._people({rng.choice(world.people).email: rng.random() < 0.7 for _ in range(2)})
        if self._known:
            gone = self._known.pop(rng.randrange(len(self._known)))
            made.append(self._tell(gone.system, "lead", gone.record_id, "erased", {}))
        return made

    def _people(self, active: dict[str, bool]) -> list[Event]:
        user_id = self._world.user_id
        return [
            self._tell("salesforce", "person", user_id(address), "updated", {"IsActive": here})
            for address, here in active.items()
        ]

    # -- leads --------------------------------------------------------------------------------------------------------

    def _some(self, size: int) -> Iterator[Event]:
        rng, told = self._random, list[Event]()
        while len(told) < size:
            chance = rng.random()
            if chance < 0.06 and told:
                event: Event = rng.choice(told[-200:])  # delivered once more
            elif chance < 0.10 and self._known:
                event = self._other_side(rng.choice(self._known[-100:]))
            elif chance < 0.22 and self._known:
                event = self._change(rng.choice(self._known))
            elif chance < 0.23:
                event = self._garbage()
            else:
                event = self._new_lead()
            told.append(event)
            yield event

    def _new_lead(self) -> ChangeEvent:
        lead = next(self._leads)
        self._made += 1
        record = f"00Q{self._made:012}AAA" if lead.system == "salesforce" else str(900_000 + self._made)
        event = self._tell(lead.system, "lead", record, "created", lead.fields)
        if self._random.random() < 0.01:
            event = self._with(event, country="CU")  # nobody gets it until Legal says so
        self._known.append(event)
        return event

    def _other_side(self, known: ChangeEvent) -> ChangeEvent:
        """The same person comes in at the other CRM too."""
        self._made += 1
        system = "hubspot" if known.system == "salesforce" else "salesforce"
        record = str(900_000 + self._made) if system == "hubspot" else f"00Q{self._made:012}AAA"
        values = {name: value for name, value in known.values.items() if name not in ("owner", "last_touch")}
        self._known.append(self._event(system, "lead", record, "created", values))
        return self._known[-1]

    def _change(self, known: ChangeEvent) -> ChangeEvent:
        rng, chance = self._random, self._random.random()
        if chance < 0.08:
            return self._tell(known.system, "lead", known.record_id, "deleted", {})
        if chance < 0.2:
            return self._event(known.system, "lead", known.record_id, "restored", dict(known.values))
        if chance < 0.4:
            somebody = rng.choice([person for person in self._world.people if person.active]).email
            world = self._world
            owner = world.user_id(somebody) if known.system == "salesforce" else world.owner_id(somebody)
            return self._event(known.system, "lead", known.record_id, "updated", {"owner": owner})
        change = rng.choice(({"title": "ceo"}, {"country": "Deutschland"}, {"phone": "call me"}, {"city": " paris "}))
        return self._event(known.system, "lead", known.record_id, "updated", change)

    def _garbage(self) -> Unreadable:
        self._told += 1
        return Unreadable(
            event_id=derived_id("parity", str(self._told)),
            system="hubspot",
            error="it cannot be read",
            raw=b"{",
            observed_at=START,
            entity="lead",
            record_id=str(self._told),
        )

    # -- events -------------------------------------------------------------------------------------------------------

    def _tell(self, system: str, entity: str, record: str, kind: str, row: dict[str, Any]) -> ChangeEvent:
        """An event from a row with the system's own names."""
        fields = self._fields[system][entity]
        values = {}
        for name, remote in fields.fields.items():
            if remote in row:
                number = fields.types[name] in ("number", "money") and isinstance(row[remote], str)
                values[name] = int(row[remote]) if number else row[remote]
        return self._event(system, entity, record, kind, values)

    def _event(self, system: str, entity: str, record: str, kind: str, values: dict[str, Any]) -> ChangeEvent:
        self._told += 1
        return ChangeEvent(
            event_id=derived_id("parity", str(self._told)),
            system=system,
            entity=entity,
            record_id=record,
            kind=kind,  # type: ignore[arg-type]
            occurred_at=START + timedelta(milliseconds=self._told),
            observed_at=START + timedelta(milliseconds=self._told + 5),
            changed=tuple(values),
            values=values,
        )

    @staticmethod
    def _with(event: ChangeEvent, **values: Any) -> ChangeEvent:
        changed = tuple(dict.fromkeys((*event.changed, *values)))
        return msgspec.structs.replace(event, values=event.values | values, changed=changed)


def _apart(events: Sequence[Event]) -> list[Scene]:
    """Each person's change in a scene of its own, then time for what waits: whoever comes back is given what waits for them at once, and
    that depends on who else is back by then."""
    people = [one for one in events if isinstance(one, ChangeEvent) and one.entity == "person"]
    others = [one for one in events if one not in people]
    scenes = [Scene(others)] if others else []
    scenes += [Scene([one]) for one in people]
    scenes[-1].wait = True
    return scenes


def portions(events: Sequence[Event], size: int = 500) -> Iterator[Sequence[Event]]:
    """As sources deliver them."""
    for at in range(0, len(events), size):
        yield events[at : at + size]
