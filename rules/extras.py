"""``corrections.yaml`` and ``matching.yaml``, both optional."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from rules.model import Bands, CorrectionRule, Entity, Matching
from rules.source import Report, nearest
from rules.yamlfile import Block, Node, Scalar, as_block, as_flag, as_items, as_text, known_keys

FIXERS = ("email", "name", "country", "state", "phone", "website", "text")  # routing.core.correct
CORRECTION_KEYS = ("fix", "write")
MATCHING_KEYS = (
    "bands", "tie_breakers", "duplicates", "weights", "free_domains", "disposable_domains", "not_free_domains",
)  # fmt: skip
BANDS = ("match", "ask")
# What decides between accounts that fit equally well, and the field of the account that it reads ("": the daemon counts opportunities).
TIE_BREAKERS = {
    "customer": "type",
    "open opportunity": "",
    "same country": "country",
    "parent": "parent",
    "subsidiary": "parent",
    "most recent activity": "last_activity",
    "oldest": "created_at",
    "active owner": "owner",
}
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")
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


def read_matching(
    root: Node | None, entities: Mapping[str, Entity], files: Mapping[str, bytes], report: Report
) -> Matching:
    """What ``matching.yaml`` says; mistakes are reported. ``files`` are those of the folder, for the weights."""
    block = as_block(root, report, "matching.yaml")
    usual = Matching()
    if block is None:
        return usual
    known_keys(block, MATCHING_KEYS, report, "matching.yaml")
    weights = as_text(block.get("weights"), report, "'weights'")
    name = weights.text.strip() if weights is not None else ""
    return Matching(
        _domains(block, "free_domains", report),
        _domains(block, "not_free_domains", report),
        _domains(block, "disposable_domains", report),
        _bands(block.get("bands"), "bands", usual.bands, report),
        _tie_breakers(block, entities, report) if block.get("tie_breakers") is not None else usual.tie_breakers,
        name,
        _weights(weights, files.get(name), files, report) if weights is not None else b"",
        _duplicates(block.get("duplicates"), usual, report),
    )


def _bands(node: Node | None, what: str, usual: Bands, report: Report) -> Bands:
    block = as_block(node, report, f"'{what}'")
    if block is None:
        return usual
    known_keys(block, BANDS, report, f"'{what}'")
    found = Bands(*(_share(block.get(name), f"'{name}' of {what}", getattr(usual, name), report) for name in BANDS))
    if found.ask > found.match:
        message = (
            f"'{what}': a person is asked from {found.ask:.4g} on, and it is a match from {found.match:.4g} on already"
        )
        report.error(block.place, message, "'ask' is not above 'match'; make them equal to ask nobody")
    return found


def _share(node: Node | None, what: str, usual: float, report: Report) -> float:
    """A probability, written as a percentage: 95%."""
    text = as_text(node, report, what)
    if text is None:
        return usual
    found = _PERCENT.fullmatch(text.text.strip())
    number = float(found[1]) if found is not None else 0.0
    if not 0 < number <= 100:
        report.error(text.place, f"{what} is '{text.text}', and no percentage above 0", "write it as 95%")
        return usual
    return number / 100


def _duplicates(node: Node | None, usual: Matching, report: Report) -> Bands | None:
    if isinstance(node, Scalar):
        wanted = as_flag(node, report, "'duplicates'", True)
        return usual.duplicates if wanted else None
    return _bands(node, "duplicates", usual.duplicates or usual.bands, report)


def _tie_breakers(block: Block, entities: Mapping[str, Entity], report: Report) -> tuple[str, ...]:
    known = entities["account"].fields if "account" in entities else None
    found: dict[str, None] = {}
    for item in as_items(block.get("tie_breakers"), report, "tie_breakers"):
        text = as_text(item, report, "a tie-breaker")
        if text is None:
            continue
        word = " ".join(text.text.casefold().split())
        field = TIE_BREAKERS.get(word)
        if field is None:
            hint = nearest(word, TIE_BREAKERS) or f"one of: {', '.join(TIE_BREAKERS)}"
            report.error(text.place, f"there is no tie-breaker '{text.text}'", hint)
        elif word in found:
            report.error(text.place, f"the tie-breaker '{word}' is there twice")
        elif {word, *found} >= {"parent", "subsidiary"}:
            report.error(text.place, "either the parent or the subsidiary goes before the other: name one of them")
        elif field and known is not None and field not in known:
            hint = f"describe it in fields.yaml: {field}: {{type: …, salesforce: …}}"
            report.error(
                text.place, f"the tie-breaker '{word}' reads account.{field}, which fields.yaml does not have", hint
            )
        else:
            found[word] = None
    return tuple(found)


def _weights(name: Scalar, data: bytes | None, files: Mapping[str, bytes], report: Report) -> bytes:
    """The bytes of the weights file. What is in it is judged by whoever weighs (``routing.core.matching``)."""
    hint = "`fingerpost match tune` writes one"
    if data is None:
        found = nearest(name.text.strip(), [one for one in files if one.endswith(".json")])
        report.error(name.place, f"the policy has no file {name.text}", found or hint)
        return b""
    try:
        msgspec.json.decode(data, type=dict)
    except msgspec.MsgspecError as error:
        report.error(name.place, f"{name.text} is no file of weights: {error}", hint)
    return data


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
