"""The objects of the sandbox org: their fields as REST names them, and as Change Data Capture spells them in Avro."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import fastavro
from msgspec import Struct

from connectors.sandbox.salesforce.standard import AUDIT, OBJECTS

_PERSON_PARTS = ("Salutation", "FirstName", "LastName", "MiddleName", "InformalName", "Suffix")
_ADDRESS_PARTS = (
    ("Street", "textarea"),
    ("City", "string"),
    ("State", "string"),
    ("PostalCode", "string"),
    ("Country", "string"),
    ("StateCode", "picklist"),
    ("CountryCode", "picklist"),
    ("Latitude", "double"),
    ("Longitude", "double"),
    ("Xyz", "string"),
    ("GeocodeAccuracy", "picklist"),
)
_AVRO = {
    "boolean": "boolean",
    "int": "int",
    "double": "double",
    "currency": "double",
    "date": "long",
    "datetime": "long",
}
CUSTOM = "Name string\nOwnerId reference\n"  # what each object of the customer's own has
_GUESSED = {bool: "boolean", int: "int", float: "double", list: "multipicklist"}
FieldKind = Literal[
    "string",
    "textarea",
    "picklist",
    "multipicklist",
    "email",
    "phone",
    "url",
    "reference",
    "boolean",
    "int",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
]
_CHANGE_TYPES = ["CREATE", "UPDATE", "DELETE", "UNDELETE"]
CHANGE_TYPES = [*_CHANGE_TYPES, *(f"GAP_{kind}" for kind in _CHANGE_TYPES), "GAP_OVERFLOW", "SNAPSHOT"]


class SandboxField(Struct, frozen=True):
    """One REST field. ``place`` is where change events carry it: (position,) or (position, position inside), or ()."""

    name: str
    type: str
    read_only: bool = False
    required: bool = False
    place: tuple[int, ...] = ()
    avro_name: str = ""  # the top-level name in the Avro schema
    avro_part: str = ""  # the name inside a compound


class SandboxObject:
    """One object: its REST fields, and its change event schema with an id."""

    def __init__(self, name: str, prefix: str, lines: list[list[str]]) -> None:
        self.name = name
        self.prefix = prefix
        self.lines = lines
        # A custom object Deal__c tells its changes as Deal__ChangeEvent.
        self.event = f"{name.removesuffix('c')}ChangeEvent" if name.endswith("__c") else f"{name}ChangeEvent"
        self.fields: dict[str, SandboxField] = {"Id": SandboxField("Id", "id", read_only=True)}
        self.composed = False  # whether Name is put together from parts
        self._avro: list[dict[str, Any]] = [{"name": "ChangeEventHeader", "type": _header()}]
        self._named: set[str] = set()
        for field_name, kind, *flags in lines:
            self._add(field_name, kind, flags)
        self.schema_json = json.dumps(
            {"name": self.event, "namespace": "com.sforce.eventbus", "type": "record", "fields": self._avro}
        )
        self.schema_id = hashlib.sha256(self.schema_json.encode()).hexdigest()[:22]
        self.schema: Any = fastavro.parse_schema(json.loads(self.schema_json))

    def _add(self, name: str, kind: str, flags: list[str]) -> None:
        place = len(self._avro)
        locked, required = "ro" in flags, "req" in flags
        if kind == "person":
            self.composed = True
            self.fields[name] = SandboxField(name, "string", read_only=True)
            parts = [(part, part, "string") for part in _PERSON_PARTS]
            self._add_compound(name, "PersonName", ["null"], parts)
        elif kind == "address":
            prefix = name.removesuffix("Address")
            # Xyz is in the Avro schema only: REST has no such field.
            parts = [("" if part == "Xyz" else prefix + part, part, kind) for part, kind in _ADDRESS_PARTS]
            self._add_compound(name, "Address", ["null"], parts)
        elif kind == "account_name":
            # A business account sends text here, a person account the compound.
            union = ["null", "string"]
            self._add_compound(name, "Switchable_PersonName", union, [("", part, "string") for part in _PERSON_PARTS])
            self.fields[name] = SandboxField(name, "string", locked, required, (place,), name)
        elif "rest" in flags:
            self.fields[name] = SandboxField(name, kind, locked, required)
        else:
            self.fields[name] = SandboxField(name, kind, locked, required, (place,), name)
            self._avro.append(_avro_field(name, kind))

    def _add_compound(self, name: str, record: str, union: list[Any], parts: list[tuple[str, str, str]]) -> None:
        place = len(self._avro)
        body: Any = record
        if record not in self._named:  # Avro defines a named type once and refers to it afterwards
            body = {"type": "record", "name": record, "fields": [_avro_field(part, kind) for _, part, kind in parts]}
            self._named.add(record)
        self._avro.append({"name": name, "type": [*union, body], "default": None})
        for inside, (rest_name, part, kind) in enumerate(parts):
            if rest_name:
                required = record == "PersonName" and part == "LastName"
                self.fields[rest_name] = SandboxField(rest_name, kind, False, required, (place, inside), name, part)

    def with_field(self, name: str, kind: str) -> SandboxObject:
        """The object after an administrator added a field: another schema, in which later fields have moved up a bit."""
        audit = next(position for position, line in enumerate(self.lines) if line[0] == "CreatedDate")
        return SandboxObject(self.name, self.prefix, [*self.lines[:audit], [name, kind], *self.lines[audit:]])

    def without_field(self, name: str) -> SandboxObject:
        """The object after an administrator deleted a field: later ones have moved down a bit."""
        return SandboxObject(self.name, self.prefix, [line for line in self.lines if line[0] != name])

    def with_type(self, name: str, kind: str) -> SandboxObject:
        """The object after an administrator gave a field another type."""
        lines = [[name, kind, *line[2:]] if line[0] == name else line for line in self.lines]
        return SandboxObject(self.name, self.prefix, lines)

    def describe(
        self, hidden: frozenset[str], invisible: frozenset[str], deletable: bool, createable: bool
    ) -> dict[str, Any]:
        """The answer of ``describe``; ``hidden`` fields are not updateable for the integration user, ``invisible`` not there."""
        return {
            "name": self.name,
            "label": self.name,
            "keyPrefix": self.prefix,
            "queryable": True,
            "createable": createable,
            "updateable": True,
            "deletable": deletable,
            "replicateable": True,
            "fields": [
                {
                    "name": field.name,
                    "label": field.name,
                    "type": field.type,
                    "nillable": not field.required,
                    "createable": not field.read_only and field.name not in hidden,
                    "updateable": not field.read_only and field.name not in hidden,
                    "length": 0 if field.type in _AVRO else 255,
                    "referenceTo": ["User"] if field.name == "OwnerId" else [],
                    "custom": field.name.endswith("__c"),
                }
                for field in self.fields.values()
                if field.name not in invisible
            ],
        }


def _avro_field(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", _AVRO.get(kind, "string")], "doc": f"Data:{kind}", "default": None}


def _header() -> dict[str, Any]:
    text_list = {"type": "array", "items": "string"}
    change_type = {"type": "enum", "name": "ChangeType", "symbols": CHANGE_TYPES}
    parts: list[tuple[str, Any]] = [
        ("entityName", "string"),
        ("recordIds", text_list),
        ("changeType", change_type),
        ("changeOrigin", "string"),
        ("transactionKey", "string"),
        ("sequenceNumber", "int"),
        ("commitTimestamp", "long"),
        ("commitNumber", "long"),
        ("commitUser", "string"),
        ("nulledFields", text_list),
        ("diffFields", text_list),
        ("changedFields", text_list),
    ]
    return {
        "type": "record",
        "name": "ChangeEventHeader",
        "fields": [{"name": name, "type": kind} for name, kind in parts],
    }


def custom_object(name: str, known: Mapping[str, SandboxObject], fields: Mapping[str, str]) -> SandboxObject:
    """An object of the customer's own: a name, an owner, and those fields with their types."""
    taken = {one.prefix for one in known.values()}
    prefix = next(one for number in range(100) if (one := f"a{number:02d}") not in taken)
    own = [[field, kind] for field, kind in fields.items()]
    return SandboxObject(name, prefix, [*_lines(CUSTOM), *own, *_lines(AUDIT)])


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines() if line.strip()]


def build_objects(seed: Mapping[str, list[dict[str, Any]]]) -> dict[str, SandboxObject]:
    """All objects. A field of the seed that is no standard field becomes a custom one, typed by its first value, and so does an
    object (``Deal__c``)."""
    objects = {}
    custom_objects = {name: (f"a{number:02d}", CUSTOM) for number, name in enumerate(sorted(set(seed) - set(OBJECTS)))}
    for name, (prefix, text) in {**OBJECTS, **custom_objects}.items():
        lines = _lines(text + AUDIT)
        known = set(SandboxObject(name, prefix, lines).fields)
        custom: dict[str, str] = {}
        for row in seed.get(name, ()):
            for field_name, value in row.items():
                if field_name not in known and (field_name not in custom or custom[field_name] == ""):
                    custom[field_name] = "" if value is None else _GUESSED.get(type(value), "string")
        lines += [[field_name, kind or "string"] for field_name, kind in sorted(custom.items())]
        objects[name] = SandboxObject(name, prefix, lines)
    return objects
