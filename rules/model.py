"""What a compiled policy is made of, and what walking its ladder answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

# "lead", "account", "counterpart", "match", "event" -> field values, or None where there is none
Facts = Mapping[str, Any]
WhyNot = Callable[[str], str | None]  # person key -> why this person cannot receive a lead now; None when they can

Guard = Literal["read", "conditional"]
ActionKind = Literal["person", "field", "pool", "queue", "keep", "hold", "reject", "holdout"]
EffectKind = Literal["set", "task", "notify", "convert", "attach", "merge", "campaign"]


class Problem(Struct, frozen=True, order=True):
    """One thing wrong with a policy, where it is, and what to do. ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    message: str
    severity: Literal["error", "warning"] = "error"
    excerpt: str = ""  # the line as written
    length: int = 1  # how many characters of it are meant
    hint: str = ""  # "did you mean 'country'?"


class PolicyError(Exception):
    """A policy that does not compile; ``problems`` holds all of them, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{first.file}:{first.line}:{first.column}: {first.message}{more}")
        self.problems = problems


class Field(Struct, frozen=True):
    """One field of ``fields.yaml``. ``remote`` maps a system to the field's name there; none for a derived field.

    ``read_only`` means never written anywhere; ``read_only_in`` names the systems in which it is never written.
    """

    name: str
    type: str
    label: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()
    remote: dict[str, str] = {}
    to: str = ""  # the entity a reference points to
    read_only: bool = False
    read_only_in: tuple[str, ...] = ()


class Entity(Struct, frozen=True):
    """One entity of ``fields.yaml``: its name in each system, and its fields by canonical name.

    ``guard``: a record is looked at a moment before it is written (``read``), or the CRM compares as well (``conditional``).
    """

    name: str
    remote: dict[str, str]
    fields: dict[str, Field]
    guard: Guard = "read"


class Action(Struct, frozen=True):
    """What a rung does. ``value`` is a person key, a field path, the name of a pool or queue, or a reason, by ``kind``.

    ``holdout`` takes the record out of routing: it is left as it is, for the reason in ``value``. ``away`` is what is done instead
    while the person is off or not at work (a pool, or a hold until they are back); None: they get it all the same.
    """

    kind: ActionKind
    value: str = ""
    away: Action | None = None


class Effect(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a rung does beside choosing the owner, with its values filled in.

    ``target`` is a field's path for ``set``; the entity to go to (``account``) for ``convert`` and ``attach``; which of the two stays
    (``older``, ``newer``) for ``merge``; the id of the campaign for ``campaign``; and for ``task`` and ``notify`` whom it is for: a person's key, or ``owner`` for whoever gets
    the record. ``value`` is what the field gets, the subject of the task, the message, the id of the record of the same person, of ``convert``
    whether an opportunity is made, or of ``campaign`` the status in it.
    ``due`` is in how many seconds a task is due, 0 when nothing is said.
    """

    kind: EffectKind
    target: str
    value: Any = None
    due: int = 0


class CorrectionRule(Struct, frozen=True):
    """One line of ``corrections.yaml``: ``fix`` names a fixer of ``routing.core.correct``; ``write`` sends it to the CRM."""

    entity: str
    field: str
    fix: str
    write: bool = True


class Bands(Struct, frozen=True):
    """From which probability on (0 to 1) something is a match, and from which on a person is asked."""

    match: float
    ask: float


class Matching(Struct, frozen=True):
    """How records find their account. The three lists of domains go before the shipped ones, ``not_free_domains`` first.

    ``tie_breakers`` decide, in this order, between accounts that fit equally well (words of ``rules.extras.TIE_BREAKERS``).
    ``weights`` names the file with the weights of the evidence, whose bytes are ``weights_file``; "" are those that are shipped.
    ``duplicates`` are the bands for persons; None: nobody looks for duplicates.
    """

    free_domains: frozenset[str] = frozenset()
    not_free_domains: frozenset[str] = frozenset()
    disposable_domains: frozenset[str] = frozenset()
    bands: Bands = Bands(0.9, 0.5)
    tie_breakers: tuple[str, ...] = ("customer", "open opportunity", "same country", "active owner")
    weights: str = ""
    weights_file: bytes = b""
    duplicates: Bands | None = Bands(0.9, 0.6)


class WalkStep(Struct, frozen=True, gc=False):
    """One rung tried. ``values`` holds what each field of the condition or table held; ``note`` is a sentence."""

    rung: str
    held: bool
    condition: str = ""
    values: dict[str, Any] = {}
    rule: str = ""
    note: str = ""


class Walk(Struct, frozen=True):
    """Where a lead came out of the ladder: the action of the rung that held, and every rung tried on the way.

    ``person`` is the key when the action names a person (directly or by field). ``action`` is ``hold`` when nothing caught it.
    ``effects`` are what the rung does besides.
    """

    action: Action
    rung: str
    rule: str
    person: str
    steps: tuple[WalkStep, ...]
    effects: tuple[Effect, ...] = ()
