"""``engagement.yaml`` as a whole: one ladder under ``ladder``, or several under ``ladders``, one for each kind of record."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rules.fields import Scope
from rules.ladders.engagement import Engagement
from rules.ladders.reader import LadderReader, read_retry
from rules.model import Entity
from rules.source import Report, nearest
from rules.yamlfile import Block, as_block, as_text, known_keys

NOT_ROUTED = ("person", "task")
KEYS = ("route", "entry", "hold", "ladder", "ladders", "queues")
LADDER_KEYS = ("entry", "ladder")

Queues = dict[str, dict[str, str]]  # name -> system -> the queue's id there


def read_queues(block: Block, systems: set[str], report: Report) -> Queues:
    """The CRM queues that rungs may assign to; mistakes are reported."""
    queues: Queues = {}
    for key, node in as_block(block.get("queues"), report, "queues") or ():
        ids: dict[str, str] = {}
        for system, value in as_block(node, report, f"the queue '{key.text}'") or ():
            text = as_text(value, report, f"the id of '{key.text}' in {system.text}")
            if system.text not in systems:
                hint = nearest(system.text, systems) or f"one of: {', '.join(sorted(systems))}"
                report.error(system.place, f"there is no system '{system.text}'", hint)
            elif text is not None:
                ids[system.text] = text.text.strip()
        if not ids:
            hint = "add its id, for example {salesforce: 00G…}"
            report.error(key.place, f"the queue '{key.text}' is in no system", hint)
        queues[key.text] = ids
    return queues


def read_engagement(
    block: Block, entities: Mapping[str, Entity], reader: Callable[[Scope], LadderReader], report: Report
) -> dict[str, Engagement]:
    """The compiled ladders by kind of record, the first being the one that ``route`` names or that is written first."""
    known_keys(block, KEYS, report, "engagement.yaml")
    retry = read_retry(block, report)
    found: dict[str, Engagement] = {}
    several = as_block(block.get("ladders"), report, "ladders")
    if several is None or "ladder" in block.entries:
        routes = _routes(block, entities, report)
        found[routes] = reader(Scope(entities, routes)).read(block, retry)
    elif "entry" in block.entries:
        where = block.entries["entry"][0].place
        report.error(where, "with 'ladders', each kind of record has its own 'entry'", "move it below its ladder")
    for key, node in several or ():
        body = as_block(node, report, f"the ladder of {key.text}")
        if not _can_be_routed(key.text, entities):
            report.error(key.place, *_not_routed(key.text, entities))
        elif key.text in found:
            report.error(key.place, f"there are two ladders for the {key.text}", "keep one of them")
        elif body is not None:
            known_keys(body, LADDER_KEYS, report, f"the ladder of {key.text}")
            found[key.text] = reader(Scope(entities, key.text)).read(body, retry)
    if several is not None and not found and not several.entries:
        report.error(several.place, "'ladders' names no kind of record", "add 'lead:' with its entry and ladder")
    return found


def _routes(block: Block, entities: Mapping[str, Entity], report: Report) -> str:
    text = as_text(block.get("route"), report, "'route'")
    if text is None or text.text == "lead":
        return "lead"
    if not _can_be_routed(text.text, entities):
        report.error(text.place, *_not_routed(text.text, entities))
        return "lead"
    return text.text


def _can_be_routed(name: str, entities: Mapping[str, Entity]) -> bool:
    return name in entities and name not in NOT_ROUTED and "owner" in entities[name].fields


def _not_routed(name: str, entities: Mapping[str, Entity]) -> tuple[str, str]:
    if name in entities and name not in NOT_ROUTED:
        return f"'{name}' cannot be routed: it has no field 'owner'", "add one of type person to fields.yaml"
    known = [one for one in entities if _can_be_routed(one, entities)]
    return f"'{name}' cannot be routed", nearest(name, known) or f"one of: {', '.join(known)}"
