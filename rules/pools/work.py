"""``open_when`` of ``pools.yaml``: which records are open work, for load balanced pools, for caps on open leads, and for clocks."""

from __future__ import annotations

from rules.language.condition import Question
from rules.language.syntax import paths, tests
from rules.pools.asking import Asker
from rules.source import Report
from rules.yamlfile import Block, Node, Scalar, as_text

# Of these a rep has many at a time; what else may have a ladder is not worked off.
COUNTED = ("lead", "contact")
_OPEN_WHEN = "open when"
_BY_TIME_OR_PEOPLE = ("within", "within last", "within next", "is active", "is not active")


def is_setting(key: Scalar) -> bool:
    """Whether that key of ``pools.yaml`` is the setting, not the name of a pool."""
    return " ".join(key.text.replace("_", " ").lower().split()) == _OPEN_WHEN


def read_open_when(root: Node | None, asker: Asker, report: Report) -> Question | None:
    """The condition under which a record counts; None where nothing is said, or where it has a mistake, which is reported.

    It is asked when a record changes, and only then. So it may ask for the record's own fields alone, and not for the time.
    """
    said = [(key, node) for key, node in root if is_setting(key)] if isinstance(root, Block) else []
    if len(said) > 1:
        report.error(said[1][0].place, "'open_when' is there twice")
    text = as_text(said[0][1], report, "'open_when'") if said else None
    asked = asker.condition(text) if text is not None else None
    if text is None or asked is None:
        return None
    return asked if _asks_of_itself(text, asked, report) else None


def _asks_of_itself(text: Scalar, asked: Question, report: Report) -> bool:
    if not any(kind in asked.of for kind in COUNTED):
        report.error(text.place, "'open_when' is asked of leads and contacts: nothing else is counted")
        return False
    for kind, condition in asked.of.items():
        foreign = next((path for path in paths(condition.tree) if path.split(".")[0] != kind), None)
        if foreign is not None:
            message = f"'open_when' can ask for fields of the {kind} itself only, not for {foreign}"
            report.error(text.place, message, f"write it with {kind}.status, or another field of its own")
            return False
        timed = next((one.operator for one in tests(condition.tree) if one.operator in _BY_TIME_OR_PEOPLE), None)
        if timed is not None:
            message = f"'open_when' is asked when a record changes, so it cannot ask '{timed}'"
            report.error(text.place, message, "compare a field of the record with a value")
            return False
    return True
