"""``fields.yaml``: the typed dictionary of fields, and how a name in a condition finds its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rules.model import Entity, Facts, Field, Guard
from rules.nouns import an
from rules.source import Report, nearest
from rules.yamlfile import Block, Node, Scalar, as_block, as_flag, as_items, as_text, known_keys

ENTITIES = ("lead", "contact", "account", "opportunity", "case", "person", "task")
_RESERVED = ("event", "counterpart", "match", "custom")
REQUIRED = ("lead", "account", "person")
TYPES = ("text", "number", "money", "boolean", "date", "datetime", "choice", "list", "person", "reference")
ENTITY_KEYS = ("in", "fields", "custom", "guard")
# How a record is kept from being overwritten that somebody changed meanwhile; the second where the CRM itself can compare.
GUARDS: tuple[Guard, ...] = ("read", "conditional")
COMPARES = "salesforce"
OPTIONS = ("type", "label", "description", "choices", "to", "derived", "read_only")
_NAME = re.compile(r"[a-z][a-z0-9_]*")

# What an event tells a condition (routing.core.model.ChangeEvent).
_KINDS = ("created", "updated", "deleted", "restored", "merged", "erased", "gap", "snapshot", "tick")
# Kinds of record that stand for a person: their account is looked for, and whether the person is known already.
OF_PEOPLE = ("lead", "contact")
OFFLINE = "file"  # the system of leads that `fingerpost route` reads from files


def read_fields(root: Node | None, report: Report) -> dict[str, Entity]:
    """The entities of ``fields.yaml``; mistakes are reported and left out."""
    entities: dict[str, Entity] = {}
    block = as_block(root, report, "fields.yaml")
    if block is None:
        return entities
    for key, node in block:
        body = as_block(node, report, key.text)
        if body is None or not _is_entity(key, body, report):
            continue
        entities[key.text] = _entity(key.text, body, block, report)
    for name in REQUIRED:
        if name not in block.entries:
            report.error(
                block.place, f"fields.yaml does not describe '{name}'", f"add '{name}:' with 'in:' and 'fields:'"
            )
    return entities


def _is_entity(key: Scalar, body: Block, report: Report) -> bool:
    """Whether a record kind may be called so: one that every CRM has, or an object of the customer's own."""
    name = key.text
    if name in ENTITIES:
        return True
    own = as_flag(body.get("custom"), report, f"'custom' of {name}", False)
    meant = nearest(name, ENTITIES)
    if not _NAME.fullmatch(name) or name in _RESERVED:
        message = f"'{name}' cannot be the name of a kind of record"
        report.error(key.place, message, meant or "use small letters, digits and _")
        return False
    if meant and not own:
        message = f"fields.yaml has no setting '{name}'"
        report.error(key.place, message, f"{meant} An object of your own needs 'custom: yes'")
        return False
    return True


def _entity(name: str, block: Block, whole: Block, report: Report) -> Entity:
    known_keys(block, ENTITY_KEYS, report, name)
    remote: dict[str, str] = {}
    systems = as_block(block.get("in"), report, f"'in' of {name}")
    for system, value in systems or ():
        text = as_text(value, report, f"the name of {name} in {system.text}")
        if text is not None:
            remote[system.text] = text.text
    fields: dict[str, Field] = {}
    body = as_block(block.get("fields"), report, f"'fields' of {name}")
    if body is None:
        report.error(block.place, f"'{name}' has no fields: add 'fields:' with one line a field")
    for key, node in body or ():
        options = as_block(node, report, f"{name}.{key.text}")
        if not _NAME.fullmatch(key.text):
            report.error(key.place, f"'{key.text}' is no field name: use small letters, digits and _")
        elif options is not None:
            field = _field(name, key, options, tuple(remote), tuple(whole.entries), report)
            if field is not None:
                fields[key.text] = field
    return Entity(name, remote, fields, _guard(name, block, remote, report))


def _guard(name: str, block: Block, remote: Mapping[str, str], report: Report) -> Guard:
    text = as_text(block.get("guard"), report, f"'guard' of {name}")
    if text is None:
        return "read"
    found = next((one for one in GUARDS if one == text.text.casefold()), None)
    if found is None:
        hint = nearest(text.text, GUARDS) or "read or conditional"
        report.error(text.place, f"'{text.text}' is no way to guard what is written", hint)
    elif found == "conditional" and COMPARES not in remote:
        what = f"'guard: conditional' of {name}: only {COMPARES.capitalize()} can compare, and {name} is not in it"
        report.error(text.place, what, "leave 'guard' out")
    return found or "read"


def _field(
    entity: str, key: Scalar, options: Block, systems: tuple[str, ...], kinds: tuple[str, ...], report: Report
) -> Field | None:
    path = f"{entity}.{key.text}"
    known_keys(options, (*OPTIONS, *systems), report, path)
    text = {name: _option(options, name, path, report) for name in ("type", "label", "description", "to")}
    if text["type"] is None:
        report.error(key.place, f"{path} has no type", f"one of: {', '.join(TYPES)}")
        return None
    kind = text["type"].text
    if kind not in TYPES:
        report.error(text["type"].place, f"'{kind}' is no type", nearest(kind, TYPES) or f"one of: {', '.join(TYPES)}")
        return None
    remote = {name: found.text for name in systems if (found := _option(options, name, path, report)) is not None}
    derived = as_flag(options.get("derived"), report, f"'derived' of {path}", False)
    if derived and remote:
        report.error(key.place, f"{path} is derived: it cannot have a CRM field as well")
    elif not derived and not remote:
        hint = f"add '{systems[0]}: …', or 'derived: true'" if systems else "name the CRM objects under 'in' first"
        report.error(key.place, f"{path} says no CRM field that holds it", hint)
    return Field(
        name=key.text,
        type=kind,
        label=text["label"].text if text["label"] else key.text.replace("_", " ").capitalize(),
        description=text["description"].text if text["description"] else "",
        choices=_choices(options, kind, path, report),
        remote=remote,
        to=_target(text["to"], kind, key, path, kinds, report),
        read_only=derived or _is_everywhere(options.get("read_only")),
        read_only_in=tuple(remote) if derived else _read_only(options.get("read_only"), remote, path, report),
    )


def _option(options: Block, name: str, path: str, report: Report) -> Scalar | None:
    return as_text(options.get(name), report, f"'{name}' of {path}")


def _choices(options: Block, kind: str, path: str, report: Report) -> tuple[str, ...]:
    node = options.get("choices")
    if node is not None and kind not in ("choice", "list"):
        report.error(node.place, f"{path} is a {kind}: only a choice or a list has choices")
        return ()
    found = (as_text(item, report, f"a choice of {path}") for item in as_items(node, report, f"'choices' of {path}"))
    return tuple(scalar.text for scalar in found if scalar is not None)


def _target(to: Scalar | None, kind: str, key: Scalar, path: str, kinds: tuple[str, ...], report: Report) -> str:
    if kind != "reference":
        if to is not None:
            report.error(to.place, f"{path} is a {kind}: only a reference points to another record")
        return ""
    if to is None:
        report.error(key.place, f"{path} is a reference: say to what, for example 'to: account'")
        return ""
    if to.text not in ENTITIES and to.text not in kinds:
        report.error(to.place, f"'{to.text}' is no kind of record", nearest(to.text, (*ENTITIES, *kinds)))
    return to.text


def _is_everywhere(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.text.casefold() in ("yes", "true")


def _read_only(node: Node | None, remote: Mapping[str, str], path: str, report: Report) -> tuple[str, ...]:
    if node is None or (isinstance(node, Scalar) and node.text.casefold() in ("no", "false")):
        return ()
    if _is_everywhere(node):
        return tuple(remote)
    names: list[str] = []
    for item in [node] if isinstance(node, Scalar) else as_items(node, report, f"'read_only' of {path}"):
        system = as_text(item, report, f"'read_only' of {path}")
        if system is not None and system.text not in remote:
            report.error(system.place, f"{path} has no field in '{system.text}'", nearest(system.text, remote))
        elif system is not None:
            names.append(system.text)
    return tuple(names)


Getter = Callable[[Facts], Any]


@dataclass(frozen=True, slots=True)
class Path:
    """A field as a condition names it: ``text`` in full (``lead.country``), its field, and how to read it from facts."""

    text: str
    field: Field
    get: Getter


class Scope:
    """The names that conditions, tables and actions may use. A bare name is a field of the routed record.

    ``person`` describes the columns of people.csv, where somebody of a pool is asked about.
    """

    def __init__(self, entities: Mapping[str, Entity], routes: str = "lead", person: Entity | None = None) -> None:
        empty = Entity("", {}, {})
        self.routes = routes
        self._entities = entities
        routed = entities.get(routes, empty)
        self._spaces = {
            routes: routed,
            "account": entities.get("account", empty),
            "counterpart": routed,
            "match": MATCH if routes in OF_PEOPLE else empty,
            "event": _event(routed),
        }
        if person is not None:
            self._spaces["person"] = person
        self._found: dict[str, Path | None] = {}

    def resolve(self, name: str) -> Path | None:
        """The field ``name`` stands for (``country``, ``account.parent.owner``), or None. Case does not matter."""
        key = name.strip().casefold()
        if key not in self._found:
            self._found[key] = self._resolve(key)
        return self._found[key]

    def _resolve(self, name: str) -> Path | None:
        parts = name.split(".")
        if len(parts) == 1:
            parts = [self.routes, *parts]
        space, *rest = parts
        if parts[:2] == ["event", "before"] and len(parts) == 3:
            was = self._spaces[self.routes].fields.get(parts[2])
            return Path(name, was, _nested_getter("event", "before", parts[2])) if was and was.remote else None
        entity = self._spaces.get(space)
        if entity is None or not 1 <= len(rest) <= 2:
            return None
        field = entity.fields.get(rest[0])
        if field is None:
            return None
        if len(rest) == 1:
            return Path(f"{space}.{rest[0]}", field, _getter(space, rest[0]))
        # Only the matched account comes with the record it refers to (its parent).
        if space != "account" or field.type != "reference" or field.to not in self._entities:
            return None
        last = self._entities[field.to].fields.get(rest[1])
        return Path(f"{space}.{rest[0]}.{rest[1]}", last, _nested_getter(space, rest[0], rest[1])) if last else None

    def remote(self, space: str) -> Mapping[str, str]:
        """What that kind of record is called in each system."""
        return self._spaces[space].remote

    def names(self) -> list[str]:
        """Every name that resolves, for hints: bare ones first."""
        bare = list(self._spaces[self.routes].fields)
        full = [f"{space}.{name}" for space, entity in self._spaces.items() for name in entity.fields]
        nested = [
            f"account.{name}.{last}"
            for name, field in self._spaces["account"].fields.items()
            if field.type == "reference" and field.to in self._entities
            for last in self._entities[field.to].fields
        ]
        return bare + full + nested

    def unknown(self, name: str) -> tuple[str, str]:
        """The sentence and the hint for a name that does not resolve."""
        space, dot, last = name.strip().partition(".")
        if not dot:
            others = [place for place, entity in self._spaces.items() if space.casefold() in entity.fields]
            if others:
                return f"the {self.routes} has no field '{name}'", f"did you mean '{others[0]}.{space.casefold()}'?"
            return f"there is no field '{name}'", nearest(name, self.names())
        if space.casefold() not in self._spaces:
            spaces = [name for name, entity in self._spaces.items() if entity.fields]
            hint = nearest(space, spaces) or f"one of: {', '.join(spaces)}"
            if space.casefold() in self._entities:
                return f"{an(self.routes)} comes without '{space}'", hint
            return f"there is nothing called '{space}'", hint
        fields = self._spaces[space.casefold()].fields
        first, _, rest = last.partition(".")
        if space.casefold() == "event" and first.casefold() == "before":
            was = {f"{space}.before.{one.name}" for one in self._spaces[self.routes].fields.values() if one.remote}
            return f"'{rest}' is no field that an event changes", nearest(name, was)
        if rest and first.casefold() in fields and (space.casefold() != "account" or "." in rest):
            return (
                f"'{name}' cannot be followed: only the account comes with its parent",
                "at most: account.parent.owner",
            )
        return f"{space} has no field '{last}'", nearest(name, self.names())


def _event(routed: Entity) -> Entity:
    systems = (*routed.remote, OFFLINE)
    fields = (
        Field("kind", "choice", "What happened", choices=_KINDS),
        Field("system", "choice", "The system it happened in", choices=systems),
        Field("changed", "list", "The fields that changed", choices=tuple(routed.fields)),
        Field("record_id", "text", "The id of the record in that system"),
    )
    return Entity("event", {}, {field.name: field for field in fields})


def _match() -> Entity:
    fields = (
        Field("band", "choice", "Whether its account was found", choices=("match", "ask", "none")),
        Field("probability", "number", "How sure that is, 0 to 1"),
        Field("candidate", "text", "The account that fits best, also where a person is asked"),
        Field("corrected", "boolean", "A person said so"),
        Field("free_email", "boolean", "The address is of a free-mail provider"),
        Field("disposable_email", "boolean", "The address is a throw-away one"),
        Field("person", "choice", "Whether the person is known", choices=("new", "link", "duplicate", "ask")),
        Field("duplicate", "boolean", "There is a lead of the same person"),
        Field("duplicate_of", "text", "The id of that lead"),
        Field("contact", "text", "The id of the contact that is the same person"),
    )
    return Entity("match", {}, {field.name: field for field in fields})


MATCH = _match()


def _getter(space: str, name: str) -> Getter:
    def get(facts: Facts) -> Any:
        record = facts.get(space)
        return record.get(name) if record else None

    return get


def _nested_getter(space: str, reference: str, name: str) -> Getter:
    def get(facts: Facts) -> Any:
        record = facts.get(space)
        other = record.get(reference) if record else None
        return other.get(name) if type(other) is dict else None

    return get
