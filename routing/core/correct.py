"""Field corrections: what a field holds, what it should hold, and why, in words an ops admin reads.

``corrections.yaml`` says which field gets which fix. The policy always sees countries, states, e-mail addresses and
websites in normal form, corrected or not, so that a territory for "US" catches a lead from "U.S.A.".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core import normalise, person_names, phones, places
from routing.core.model import Correction, Value, Values
from rules.model import CorrectionRule

if TYPE_CHECKING:
    from rules.policy import Policy

# A fix is given the text, some the record's country code as well; it answers the right text, or None for "cannot say".
Fix = Callable[..., str | None]

FIXES: dict[str, Fix] = {
    "email": normalise.email,
    "name": person_names.person_name,
    "family name": person_names.family_name,
    "country": places.country,
    "state": places.state,
    "phone": phones.phone,
    "website": normalise.company_website,
    "text": normalise.clean_text,
}
_BY_COUNTRY = ("state", "phone")

# What the policy sees in normal form whatever corrections.yaml says.
_ALWAYS = {"country": "country", "state": "state", "email": "email", "website": "website"}

# Longer than any field a fix is for; a text like that is left alone.
_FIX_LIMIT = 32_768


class Fixer(Struct, frozen=True):
    """One field's fix within an entity. ``rule`` is None when it only serves the policy's view of the record."""

    field: str
    fix: Fix
    kind: str
    rule: CorrectionRule | None
    by_country: bool


class Fixers(Struct, frozen=True):
    """All fixes of an entity: the country first, since others read it, then in the order of corrections.yaml.

    ``view`` are those of ``others`` that matter for matching and territories: all that is asked of an account.
    """

    country: Fixer
    others: tuple[Fixer, ...]
    view: tuple[Fixer, ...]


def fixers_for(entity: str, policy: Policy) -> Fixers:
    """Raises ValueError for a fix that does not exist; the policy's own check has refused it before."""
    rules = [rule for rule in policy.corrections if rule.entity == entity]
    found: list[Fixer] = []
    for rule in rules:
        if rule.fix not in FIXES:
            raise ValueError(f"corrections.yaml: there is no fix '{rule.fix}'; known are {', '.join(sorted(FIXES))}")
        kind = "family name" if rule.fix == "name" and "last" in rule.field else rule.fix
        found.append(Fixer(rule.field, FIXES[kind], rule.fix, rule, kind in _BY_COUNTRY))
    ruled = {rule.field for rule in rules}
    found += [
        Fixer(name, FIXES[kind], kind, None, kind in _BY_COUNTRY) for name, kind in _ALWAYS.items() if name not in ruled
    ]
    country = next(fixer for fixer in found if fixer.field == "country")
    others = tuple(fixer for fixer in found if fixer is not country)
    return Fixers(country, others, tuple(fixer for fixer in others if fixer.kind in _ALWAYS.values()))


def normalised(values: Values, fixers: Fixers, view_only: bool = False) -> dict[str, str]:
    """The fields whose normal form differs from what is written, with that form."""
    out: dict[str, str] = {}
    written = values.get("country")
    code = ""
    if written:
        fixed = _fixed(fixers.country, written)
        if fixed is not None and fixed != written:
            out["country"] = fixed
        code = fixed if fixed and len(fixed) == 2 and fixers.country.kind == "country" else ""
    for fixer in fixers.view if view_only else fixers.others:
        written = values.get(fixer.field)
        if written:
            if type(written) is not str or len(written) > _FIX_LIMIT:
                continue
            fixed = fixer.fix(written, code) if fixer.by_country else fixer.fix(written)
            # An empty answer would delete what somebody wrote: for a correction that is never certain.
            if fixed and fixed != written:
                out[fixer.field] = fixed
    return out


def corrections(
    values: Values, normal: Mapping[str, str], fixers: Fixers, only: frozenset[str] | None
) -> tuple[Correction, ...]:
    """What to correct, in the order of corrections.yaml; ``only`` limits it to those fields, None means all."""
    if not normal:
        return ()
    found = []
    for fixer in (fixers.country, *fixers.others):
        rule = fixer.rule
        if rule is None or fixer.field not in normal or (only is not None and fixer.field not in only):
            continue
        old, new = values[fixer.field], normal[fixer.field]
        found.append(Correction(fixer.field, old, new, _reason(fixer.kind, old, new), rule.write))
    return tuple(found)


def _fixed(fixer: Fixer, value: Value) -> str | None:
    if type(value) is not str or len(value) > _FIX_LIMIT:
        return None
    return (fixer.fix(value, "") if fixer.by_country else fixer.fix(value)) or None


def _reason(kind: str, old: str, new: str) -> str:
    if kind == "country":
        return f"{places.country_name(new)} as its two-letter ISO code"
    if kind == "state":
        return "State written as ISO 3166-2 has it"
    if kind == "phone":
        return "Telephone number in international form (E.164)"
    if kind == "website":
        return "Website reduced to the company's domain"
    if kind == "email":
        return (
            "E-mail address in lower case"
            if old.strip().lower() == new
            else "E-mail address without what is not part of it"
        )
    if kind == "name" and old.casefold() == new.casefold():
        return "Name was written all in capitals" if old.isupper() else "Name was written all in small letters"
    return "Spaces and invisible characters removed"
