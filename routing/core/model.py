"""The canonical model: the values that travel through Fingerpost, whatever system they came from.

Everything here is a msgspec Struct of JSON-native values, so that what is stored is what was decided on.

Field *values* are one of: ``str``, ``int``, ``float``, ``bool``, ``None``, ``list[str]``. Dates are ISO-8601 text
(``2026-11-22``), instants are ISO-8601 text in UTC with milliseconds (``2026-11-22T18:55:03.120Z``), so they sort as text.
Field *names* are the canonical names of ``fields.yaml`` (``lead.country`` is ``country`` inside a lead).
A field that names a person holds that person's id *in the system the record lives in* (a Salesforce user id, a HubSpot
owner id); ``routing.core.directory`` turns it into the person's key, the lower-case e-mail address.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from hashlib import sha1
from typing import Any, Literal

from msgspec import Struct

from rules.model import Effect, Guard

# Structs with gc=False hold nothing that could point back at them: the collector need not follow them.

Value = Any  # JSON-native, see the module's text
Values = dict[str, Value]

System = str  # "salesforce", "hubspot", …
Entity = str  # "lead", "contact", "account", …, or an object of the customer's own that fields.yaml describes
Kind = Literal[
    "created",
    "updated",
    "deleted",
    "restored",
    "merged",
    "erased",
    "gap",
    "snapshot",
    "tick",
    "accepted",
    "rejected",
    "refused",
    "replaced",
]
# Kinds that no source told: a timer is due, a person answered the assignment, the CRM refused whom we gave the record as its owner, a
# write of ours replaced what somebody had just set (so is its echo taken, or their change where that is told later). They carry no values of the record.
OURS = frozenset({"tick", "accepted", "rejected", "refused", "replaced"})
Outcome = Literal["assign", "keep", "hold", "reject", "none"]

# Ids are uuid5 below this name: the same input has the same id on every machine, which makes a redelivery a no-op.
NAMESPACE = uuid.UUID("5f1a3a4e-6f0e-5c0e-9c44-0f1e9e7a9057")
_NAMED = sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_id(*parts: str) -> str:
    """The uuid5 text of ``parts``; the same parts give the same id everywhere. Parts are joined by U+001F."""
    named = _NAMED.copy()
    named.update("\x1f".join(parts).encode("utf-8", "surrogatepass"))
    digest = named.hexdigest()
    # What str(uuid.uuid5(…)) gives, at a third of its price: an event needs several.
    variant = _VARIANT[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


class ChangeEvent(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One change of one record in one system, as a source saw it.

    ``event_id`` is ``derived_id(system, source position, record_id)``: a redelivery has the same id.
    ``changed`` names the canonical fields this change touched; ``values`` holds values after the change, of at
    least those fields. ``complete`` is False where the source told *that* a record changed but not what it now
    holds (a HubSpot creation, a Salesforce gap): its values are read back from the CRM before it is decided on.
    ``actor`` is the CRM id of who did it, ``origin`` what the system says of the client that did it.
    ``cursor`` is the source's position in words, for people; positions that sources resume from are kept apart. Of a snapshot it is the
    place behind it, where reading all records goes on.
    ``sequence`` orders changes of one record that carry the same ``occurred_at``. ``into`` is the id of the record that a merged one went
    into, "" where the source does not say. ``continues`` are the ids of those that were merged into this one, be it made for that
    (HubSpot) or one of them (Marketo), the one that counted more first: it goes on where they were, however often, and by which event,
    that is told.
    """

    event_id: str
    system: System
    entity: Entity
    record_id: str
    kind: Kind
    occurred_at: datetime
    observed_at: datetime
    changed: tuple[str, ...] = ()
    values: Values = {}
    actor: str = ""
    origin: str = ""
    cursor: str = ""
    sequence: int = 0
    complete: bool = True
    into: str = ""
    continues: tuple[str, ...] = ()


class Unreadable(Struct, frozen=True, kw_only=True):
    """Something a source delivered that could not be read. It is kept, parked, with its bytes; nothing is dropped.

    ``error`` is one sentence for the operator: what is wrong and what to do. ``raw`` is what
    ``Source.reread`` needs to try again (for example after ``fields.yaml`` learned the object type).
    """

    event_id: str
    system: System
    error: str
    raw: bytes
    observed_at: datetime
    entity: str = ""
    record_id: str = ""


class Record(Struct, kw_only=True, omit_defaults=True):
    """What the mirror knows of one CRM record. ``changed_at`` maps a field to the ISO instant of its last change.

    ``sequences`` holds the source sequence of that change where there was one; it orders changes within one instant.
    """

    system: System
    entity: Entity
    record_id: str
    values: Values = {}
    changed_at: dict[str, str] = {}
    sequences: dict[str, int] = {}
    deleted: bool = False
    # The person we last chose for it, until the CRM shows any owner change after that.
    decided_owner: str = ""
    decided_at: str = ""
    on_hold: bool = False
    held_since: str = ""
    # The turns that the last decision took: pool, kind and member, from the outer pool to those within it.
    turns: tuple[tuple[str, str, str], ...] = ()
    # When these were given, and by which decision; "" where that was not kept (a record of an older version).
    given_at: str = ""
    given_by: str = ""
    # Whoever had these turns has them again: they gave the record back, and nobody else has it yet.
    gave_back: bool = False
    # The fields that hold something else since it was last routed, or since a condition began a clock of its, sorted: what was not known
    # then. None before that, and where it was not kept (a record of an older version).
    changed_since: tuple[str, ...] | None = None
    # While it was on hold, the CRM showed a new owner who is somebody: nothing is left for us to decide.
    taken: bool = False
    # Its creation was told, or it was there before we began to watch: being told of it once more is no news.
    announced: bool = False
    # Who had it since it was last routed anew, and gave it back or had it taken away: nobody gets it a second time.
    passed: tuple[str, ...] = ()
    # Those of them who never had it: the CRM refused them as its owner.
    never_had: tuple[str, ...] = ()
    # What its clocks have added to its priority among those who wait.
    priority: float = 0.0
    # The name of the clock that came to its end and holds it: it waits for a person, no pool is asked again.
    held_by: str = ""
    # Which clock sent it past the ladder, and where: "pool" or "queue", and its name. Empty where the ladder says who gets it.
    sent: tuple[str, ...] = ()
    # The ids of the records that it was merged into, sorted: where a merge of merged records is told of each of them, there are several.
    into: tuple[str, ...] = ()
    # Those in whose place it goes on: what hung on them was handed over to it.
    took_over: tuple[str, ...] = ()


class Correction(Struct, frozen=True, gc=False, omit_defaults=True):
    """A field found wrong: what it held, what it should hold, and why, in words an ops admin reads."""

    field: str
    old: Value
    new: Value
    reason: str
    write: bool = True


class Replaced(Struct, frozen=True, array_like=True):
    """A field whose value ``theirs``, set by somebody ``at``, a write of ours replaced unseen at ``ours_at`` (ISO instants). ``back``: it is to
    be put back, as nothing else was decided on it."""

    field: str
    theirs: Value
    at: str
    ours_at: str
    back: bool


class Candidate(Struct, frozen=True, gc=False, omit_defaults=True):
    """An account considered for a lead: the ``evidence`` for and against it, and why it was ``passed_over`` ("" for the chosen one)."""

    account_id: str
    name: str
    evidence: tuple[str, ...] = ()
    passed_over: str = ""
    probability: float = 0.0


class MemberView(Struct, frozen=True, gc=False, omit_defaults=True):
    """One pool member at the moment of a pick: a person's key, or ``pool NAME``. ``ideal`` and ``assigned`` count leads;
    ``unavailable`` says why not. ``load`` is what a load balanced pool goes by, before this lead: open leads, or the sum of a field."""

    person: str
    weight: float
    ideal: float
    assigned: int
    unavailable: str = ""
    load: float | None = None


class Step(Struct, frozen=True, gc=False, omit_defaults=True):
    """One step of a trace. ``stage`` is entry, match, ladder, distribute or hold; ``held`` whether it decided.

    ``name`` is the rung, pool or check; ``condition`` its text as the admin wrote it; ``values`` what the fields in it
    held; ``rule`` the table row that matched; ``note`` a sentence.
    """

    stage: str
    name: str
    held: bool
    condition: str = ""
    values: dict[str, Value] = {}
    rule: str = ""
    note: str = ""


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided for one event, and everything needed to explain it and to decide it again.

    ``owner`` is the person's key (e-mail), "" when nobody. ``facts`` holds the normalised values it was made from;
    ``members`` the pool as it stood when the pick was made. ``policy`` is the digest of the policy that decided.
    ``effects`` is what the rung does beside choosing an owner (fields to set, a task, …).
    """

    decision_id: str
    event_id: str
    system: System
    entity: Entity
    record_id: str
    outcome: Outcome
    owner: str
    pool: str
    rung: str
    rule: str
    reason: str
    account_id: str
    corrections: tuple[Correction, ...]
    candidates: tuple[Candidate, ...]
    trace: tuple[Step, ...]
    members: tuple[MemberView, ...]
    facts: dict[str, Any]
    policy: str
    decided_at: datetime
    effects: tuple[Effect, ...] = ()


class Write(Struct, frozen=True, kw_only=True):
    """A change we owe a CRM. ``fields`` are canonical names and the values to set, in that system's own ids.

    ``guard`` maps each field to the value it must still hold (compare-and-set per field). ``ours`` maps those that an earlier
    write of ours, still under way, changes to what that one sets: it is as good as the guard's value. ``still`` are other fields
    that must hold what they did, or nothing is sent: the record is taken from somebody who may just be doing what was waited for.
    ``seen_at`` is since when the record must be unchanged: set for a connector by the look before, where the CRM told it.
    ``given_up`` maps each field that is not to be sent any more to why, in a sentence: it was heard to have been changed since.

    ``kind`` create: makes a new record; ``record_id`` is then the write's own id, ``guard`` and ``ours`` are empty. Its ``fields``
    ``about_entity`` and ``about`` name the record that it is about, where there is one: ``still`` is asked of that one. A task has
    ``subject`` (at most 255 letters), ``owner``, and, where they are known, ``note``, ``due`` (an instant) and ``priority`` ("high").

    ``kind`` convert: the lead becomes a contact of ``account``: of the record ``contact`` where it is in the fields, else a new one,
    of ``owner``; with ``opportunity`` one is made, too. ``kind`` merge: the records ``merged`` (one or two ids) go into this one, or this one ``into`` another; the one that
    stays keeps its values but for the other fields named, and gets what only the others have. ``seen`` lists by field what the others may
    hold: a person who changed one was faster. Both are done when the CRM shows them done: ``guard`` and ``ours`` are empty.
    """

    write_id: str
    decision_id: str
    system: System
    entity: Entity
    record_id: str
    fields: Values
    guard: Values
    seen_at: datetime | None = None
    ours: Values = {}
    still: Values = {}
    given_up: dict[str, str] = {}
    kind: Literal["update", "create", "convert", "merge"] = "update"

    @property
    def about(self) -> tuple[Entity, str]:
        """The record that it changes, or that what it makes is about."""
        if self.kind != "create" or "about" not in self.fields:
            return self.entity, self.record_id
        return self.fields["about_entity"], self.fields["about"]

    @property
    def creates(self) -> Entity:
        """What it makes; "" where it changes what is there."""
        return self.entity if self.kind == "create" else ""


class Timer(Struct, frozen=True, kw_only=True):
    """Something to look at again: at ``due_at`` a ``tick`` event for the record enters the log.

    Of those due together the highest ``rank`` comes first, then who waits longest (``since``).
    """

    timer_id: str
    purpose: str
    system: System
    entity: Entity
    record_id: str
    due_at: datetime
    rank: float = 0.0
    since: datetime | None = None


class Holding(Struct, frozen=True):
    """A record that waits for somebody of a pool, or for the ``person`` that a rung names ("" for neither). The highest ``rank`` is taken
    up first, among equals the longest waiting."""

    system: System
    entity: Entity
    record_id: str
    pool: str
    rank: float
    since: datetime
    person: str = ""


class EntityMap(Struct, frozen=True):
    """How one canonical entity is spelled in one system: ``remote`` is its name there (``Lead``, ``contacts``).

    ``fields`` maps canonical field names to remote ones; ``types`` to the type of ``fields.yaml``
    (text, number, money, boolean, date, datetime, choice, list, person, reference).
    ``read_only`` names the fields that are never written. ``does`` is what the policy does with them beside changing fields: ``convert``
    (``opportunity``: with one), ``merge``, ``task``, ``campaign_member``. ``guard`` as in ``rules.model.Entity``. ``queues`` are the ids of
    the queues that the policy may give such records to, by name.
    """

    system: System
    entity: Entity
    remote: str
    fields: dict[str, str]
    types: dict[str, str]
    read_only: frozenset[str] = frozenset()
    does: frozenset[str] = frozenset()
    guard: Guard = "read"
    queues: dict[str, str] = {}
