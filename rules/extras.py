"""``corrections.yaml`` and ``matching.yaml``, both optional."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rules.model import CorrectionRule, Entity, Matching
from rules.source import Report, nearest
from rules.yamlfile import Block, Node, Scalar, as_block, as_flag, as_items, as_text, known_keys

FIXERS = ("email", "name", "country", "state", "phone", "website", "text")  # routing.core.correct
CORRECTION_KEYS = ("fix", "write")
MATCHING_KEYS = ("free_domains", "not_free_domains")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


def read_corrections(root: Node | None, entities: Mapping[str, Entity], report: Report) -> tuple[CorrectionRule, ...]:
    """The corrections in the order written; mistakes are reported and left out."""
    rules: list[CorrectionRule] = []
    block = as_block(root, report, "corrections.yaml")
    for key, node in block or ():
        entity = entities.get(key.text)
        if entity is None:
            report.error(key.place, f"'{key.text}' is not in fields.yaml", nearest(key.text, entities))
            continue
        for field, fix in as_block(node, report, f"the corrections of {key.text}") or ():
            rule = _correction(entity, field, fix, report)
            if rule is not None:
                rules.append(rule)
    return tuple(rules)


def _correction(entity: Entity, key: Scalar, node: Node, report: Report) -> CorrectionRule | None:
    path = f"{entity.name}.{key.text}"
    field = entity.fields.get(key.text)
    if field is None:
        report.error(key.place, f"{entity.name} has no field '{key.text}'", nearest(key.text, entity.fields))
        return None
    if field.type not in ("text", "choice") or not field.remote:
        what = "derived" if not field.remote else f"a {field.type}"
        report.error(key.place, f"{path} is {what}: only texts that a CRM holds are corrected")
        return None
    write = True
    if isinstance(node, Block):
        known_keys(node, CORRECTION_KEYS, report, f"the correction of {path}")
        write = as_flag(node.get("write"), report, f"'write' of {path}", True)
        if node.get("fix") is None:
            report.error(key.place, f"the correction of {path} does not say how", f"add 'fix: {FIXERS[0]}'")
        node = node.get("fix") or Scalar("", key.place, True, 0, 0)
    fix = as_text(node, report, f"the correction of {path}") if not isinstance(node, Scalar) or node.text else None
    if fix is None:
        return None
    if fix.text not in FIXERS:
        hint = nearest(fix.text, FIXERS) or f"one of: {', '.join(FIXERS)}"
        report.error(fix.place, f"there is no correction '{fix.text}'", hint)
        return None
    return CorrectionRule(entity.name, key.text, fix.text, write)


def read_matching(root: Node | None, report: Report) -> Matching:
    """The lists of free-mail domains; mistakes are reported."""
    block = as_block(root, report, "matching.yaml")
    if block is None:
        return Matching()
    known_keys(block, MATCHING_KEYS, report, "matching.yaml")
    return Matching(_domains(block, "free_domains", report), _domains(block, "not_free_domains", report))


def _domains(block: Block, name: str, report: Report) -> frozenset[str]:
    found: set[str] = set()
    for item in as_items(block.get(name), report, name):
        text = as_text(item, report, "a domain")
        if text is None:
            continue
        domain = text.text.strip().lower().removeprefix("@")
        if not domain.isascii() or not _DOMAIN.fullmatch(domain):
            report.error(text.place, f"'{text.text}' is no domain", "write it as gmail.com")
        else:
            found.add(domain)
    return frozenset(found)
