"""JSON schemas of the YAML files, for editors that complete and check while one types.

They are made from the tables that the readers of the files use, so that no key can be missing here. ``fingerpost policy
check`` stays the judge: a schema knows neither conditions nor which people and pools there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rules.extras import BANDS, CORRECTION_KEYS, FIXERS, MATCHING_KEYS, TIE_BREAKERS
from rules.fields import ENTITIES, ENTITY_KEYS, GUARDS, OPTIONS, TYPES
from rules.ladders.durations import SECONDS
from rules.ladders.effects import CAMPAIGN_KEYS, NOTIFY_KEYS, TASK_KEYS
from rules.ladders.file import KEYS, LADDER_KEYS, NOT_ROUTED
from rules.ladders.reader import DOES, HOLD_KEYS, OTHERWISE_KEYS, RUNG_KEYS
from rules.language.named import CONDITION_KEYS
from rules.policy_tests.reader import EVENT, EXPECTS, FILE_KEYS, OUTCOMES, STATES, SURROUNDINGS
from rules.pools.calendars import CALENDAR_KEYS
from rules.pools.members import MEMBER_KEYS
from rules.pools.model import METHODS
from rules.pools.reader import POINT_KEYS, POOL_KEYS, SKILL_KEYS, STICKY
from rules.sla.reader import ANSWER_KEYS, CLOCK_KEYS, SLA_KEYS
from rules.sla.steps import END_KEYS, STEP_KEYS

SYSTEMS = ("salesforce", "hubspot", "marketo")  # that this version has connectors for
_DIALECT = "http://json-schema.org/draft-07/schema#"  # the one that editors know

Schema = dict[str, Any]

_TEXT: Schema = {"type": ["string", "number", "boolean"]}
_VALUE: Schema = {"type": ["string", "number", "boolean", "null"]}
_NAME = "^[a-z][a-z0-9_]*$"


def schemas(kinds: Collection[str] = (), systems: Collection[str] = ()) -> dict[str, Schema]:
    """The schema of each file, by the file's name. ``kinds`` and ``systems`` are those of a policy beside the usual ones."""
    kinds = tuple(dict.fromkeys((*ENTITIES, *kinds)))
    systems = tuple(dict.fromkeys((*SYSTEMS, *systems)))
    made = {
        "engagement.yaml": _engagement(kinds, systems),
        "fields.yaml": _fields(kinds, systems),
        "pools.yaml": _pools(),
        "calendars.yaml": _calendars(),
        "sla.yaml": _sla(kinds),
        "conditions.yaml": _conditions(),
        "corrections.yaml": _corrections(kinds),
        "matching.yaml": _matching(),
        "tests.yaml": _tests(kinds),
    }
    return {name: {"$schema": _DIALECT, "title": f"Fingerpost: {name}", **schema} for name, schema in made.items()}


def _engagement(kinds: Collection[str], systems: Collection[str]) -> Schema:
    routed = [kind for kind in kinds if kind not in NOT_ROUTED]
    entry = _said("What lets an event in; one of them is enough", _one_or_many({"$ref": "#/definitions/condition"}))
    ladder = _said("The rungs, tried from the top", {"type": "array", "items": {"$ref": "#/definitions/rung"}})
    whole = _closed(
        KEYS,
        route=_said("The kind of record that the ladder is for; left out: lead", {"enum": routed}),
        entry=entry,
        hold=_closed(HOLD_KEYS, retry=_said("How often a record on hold is tried again", _DURATION)),
        ladder=ladder,
        ladders=_map(routed, _closed(LADDER_KEYS, required=LADDER_KEYS, entry=entry, ladder=ladder)),
        queues={"type": "object", "additionalProperties": {**_map(systems, _TEXT), "minProperties": 1}},
    )
    effects: Schema = {
        "set": _said("Fields that get a value", {"type": "object", "additionalProperties": _VALUE}),
        "task": {
            "anyOf": [_TEXT, _closed(TASK_KEYS, required=TASK_KEYS[:1], subject=_TEXT, due=_DURATION, **{"for": _TEXT})]
        },
        "notify": {
            "anyOf": [
                *_one_or_many(_TEXT)["anyOf"],
                _closed(NOTIFY_KEYS, required=("who",), message=_TEXT, who=_one_or_many(_TEXT)),
            ]
        },
        "convert": _TEXT,
        "attach": _TEXT,
        "campaign": {
            "anyOf": [_TEXT, _closed(CAMPAIGN_KEYS, required=CAMPAIGN_KEYS[:1], id=_TEXT, status=_TEXT)],
        },
        "merge": _said("older lead, or newer lead: which of the two stays", _TEXT),
    }
    does: Schema = {
        "assign": _said("pool NAME, a person, a field such as account.csm, queue NAME", _TEXT),
        "keep": _said("The field that holds who keeps it: owner", _TEXT),
        "hold": _said("Why it waits", _TEXT),
        "reject": _said("Why nobody gets it", _TEXT),
        "holdout": _said("5 %, or why it is left as it is", _TEXT),
        "lookup": _said("A table: territories.csv", _TEXT),
        "ladder": {"$ref": "#/definitions/ladder"},
    }
    rung = _closed(
        RUNG_KEYS,
        required=("rung",),
        rung=_said("The name of the rung", _TEXT),
        when_away=_said("While the person named is away: 'pool NAME', or 'hold' until they are back", _TEXT),
        when={"$ref": "#/definitions/condition"},
        **does,
        **effects,
    )
    rung["oneOf"] = [{"required": [one]} for one in DOES]
    last = _closed(
        OTHERWISE_KEYS, required=("otherwise",), otherwise=_said("What happens with all others", _TEXT), **effects
    )
    whole["anyOf"] = [{"required": ["entry", "ladder"]}, {"required": ["ladders"]}]
    whole["definitions"] = {
        # To YAML, [Is enterprise] is a list; here it is the name of a condition.
        "condition": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 1}]},
        "ladder": {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/rung"}},
        "rung": {"if": {"required": ["otherwise"]}, "then": last, "else": rung},
    }
    return whole


def _fields(kinds: Collection[str], systems: Collection[str]) -> Schema:
    options: Schema = {
        "type": {"enum": list(TYPES)},
        "label": _said("What people call it", _TEXT),
        "description": _TEXT,
        "choices": {"type": "array", "items": _TEXT},
        "to": _said("The kind of record that it points to", _TEXT),
        "derived": _said("Worked out by the daemon, in no CRM", _FLAG),
        "read_only": _said("Never written; or in which systems", {"anyOf": [_FLAG, *_one_or_many(_TEXT)["anyOf"]]}),
    }
    remote: Schema = {one: _said(f"Its name in {one}", _TEXT) for one in systems}
    field = _closed((*OPTIONS, *systems), required=("type",), **options, **remote)
    entity = _closed(
        ENTITY_KEYS,
        required=("fields",),
        **{"in": _said("What the kind is called in each system", _map(systems, _TEXT))},
        fields={"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": field},
        custom=_said("Yes: an object of your own", _FLAG),
        guard=_said(
            "conditional: Salesforce compares, too, before it changes a record; left out: read", {"enum": list(GUARDS)}
        ),
    )
    # Objects of one's own have any name.
    own: Schema = {"additionalProperties": {"$ref": "#/definitions/kind"}, "propertyNames": {"pattern": _NAME}}
    return {**_map(kinds, {"$ref": "#/definitions/kind"}), **own, "definitions": {"kind": entity}}


def _pools() -> Schema:
    member = _closed(
        MEMBER_KEYS,
        weight=_NUMBER,
        caps=_CAPS,
        ramp=_RAMP,
        skills={"type": "object", "additionalProperties": _one_or_many(_TEXT)},
    )
    members = {"type": "object", "additionalProperties": {"anyOf": [_NUMBER, member]}}
    skill = _closed(
        SKILL_KEYS,
        required=SKILL_KEYS[:2],
        skill=_said("A column of people.csv", _TEXT),
        of=_said("The field whose content must be in it: lead.language", _TEXT),
        preferred=_said("Yes: who has it goes first, and nobody is kept out", _FLAG),
        relax_after=_said("After so long it is asked for no longer", _DURATION),
    )
    points = _closed(POINT_KEYS, required=POINT_KEYS[:1], points=_TEXT, when=_TEXT)
    pool = _closed(
        POOL_KEYS,
        required=("members",),
        method=_said("Left out: round robin", _one_of(METHODS)),
        members=_said("Names, or 'pool NAME'; 'name: weight' lines, or more about one", {"anyOf": [_LIST, members]}),
        weights=_said("The column of people.csv that holds them: quota", _TEXT),
        overflow=_said("The pool, or 'queue NAME', that takes the leads when nobody here can", _TEXT),
        caps=_said("Of the pool as a whole", _CAPS),
        member_caps=_said("Of each member that has none of its own", _CAPS),
        ramp=_said("How the weight of new hires grows", _RAMP),
        kinds=_said("Kinds of lead with a rotation of their own", {"type": "object", "additionalProperties": _TEXT}),
        skills={"anyOf": [{"type": "object", "additionalProperties": _TEXT}, {"type": "array", "items": skill}]},
        sticky=_said("What stays with the same person", _one_of(STICKY)),
        score=_said(
            "Of a person for a lead; the highest gets it", {"anyOf": [_TEXT, {"type": "array", "items": points}]}
        ),
        balance=_said("The field whose sum over open leads is evened out; left out: their number", _TEXT),
        value=_said("The field that holds what a lead is worth", _TEXT),
        hours=_said("No: members get leads around the clock", _FLAG),
        time_zone=_said("Whose days, weeks and months the pool's own caps go by; left out: UTC", _TEXT),
        catch_up=_said("The most leads that are made up after an absence", _NUMBER),
        alarm=_said("The deviation from the fair share, in leads, that is told", _NUMBER),
        priority=_said("Of those who wait, the highest goes first: lead.score", _TEXT),
    )
    # Written with a blank it says the same.
    setting = {"^open[ _]when$": _said('Which leads count as open: lead.status != "Nurture"', _TEXT)}
    return {"type": "object", "patternProperties": setting, "additionalProperties": pool}


def _calendars() -> Schema:
    hours = {"anyOf": [_TEXT, {"type": "object", "additionalProperties": _TEXT}]}
    calendar = _closed(
        CALENDAR_KEYS,
        required=CALENDAR_KEYS[:1],
        hours=_said("Mon-Fri 9:00-17:30; Sat 10:00-14:00", hours),
        time_zone=_said("Europe/Berlin", _TEXT),
        holidays=_said("DE, DE-BY, US-CA", _one_or_many(_TEXT)),
        closed=_said("2026-12-24, 2026-12-28..2026-12-31 Between the years", _one_or_many(_TEXT)),
    )
    later = {"^hours from [0-9]{4}-[0-9]{2}-[0-9]{2}$": _said("Other hours from that day on", hours)}
    return {"type": "object", "additionalProperties": {**calendar, "patternProperties": later}}


def _sla(kinds: Collection[str]) -> Schema:
    routed = [kind for kind in kinds if kind not in NOT_ROUTED]
    step = _closed(
        STEP_KEYS,
        required=STEP_KEYS[:1],
        at=_said("50 % of the time, or 2 hours", {"type": "string"}),
        remind=_said("Whom: owner, manager, a name", _one_or_many(_TEXT)),
        notify=_said("Whom: owner, manager, a name", _one_or_many(_TEXT)),
        reassign=_said(
            "Yes, or 'pool NAME': somebody who has not had it", {"anyOf": [{"enum": [True]}, {"type": "string"}]}
        ),
        escalate=_said("queue NAME", {"type": "string"}),
        priority=_said("What is added to its priority", _NUMBER),
        text=_said("What they read", _TEXT),
    )
    step["anyOf"] = [{"required": [one]} for one in STEP_KEYS[1:-1]]
    clock = _closed(
        CLOCK_KEYS,
        required=("start", "stop", "within"),
        of=_said("The kind of record; left out: the first that is routed", {"enum": routed}),
        description=_TEXT,
        start=_said("assigned, created, or a condition", _TEXT),
        stop=_said("first touch, accepted, rejected, conditions; one of them is enough", _one_or_many(_TEXT)),
        within=_said("How much time there is", _DURATION),
        time=_said("Whose hours count: rep, always, team NAME, calendar NAME", {"type": "string"}),
        pauses_on_hold=_said("No: it runs on while the record is on hold", _FLAG),
        steps={"type": "array", "items": step},
        reassignments=_said("How often it is taken from somebody at most", {"type": "number"}),
        then=_said(
            "What happens after that: stay, hold, queue NAME, notify NAME",
            {"anyOf": [{"type": "string"}, _closed(END_KEYS, required=END_KEYS[:1], notify=_TEXT, text=_TEXT)]},
        ),
    )
    answer = _closed(
        ANSWER_KEYS,
        accepted=_said("The condition that shows it in the CRM", _TEXT),
        rejected=_said("The condition that shows it in the CRM", _TEXT),
        reason=_said("The field with the reason", _TEXT),
    )
    return _closed(
        SLA_KEYS,
        clocks={"type": "object", "additionalProperties": clock},
        answers={"anyOf": [answer, _map(routed, answer)]},
    )


def _conditions() -> Schema:
    told = _closed(CONDITION_KEYS, required=("when",), when=_TEXT, description=_TEXT)
    return {"type": "object", "additionalProperties": {"anyOf": [_TEXT, told]}}


def _corrections(kinds: Collection[str]) -> Schema:
    fix: Schema = {"enum": list(FIXERS)}
    write = _said("No: only for the decision, the CRM stays as it is", _FLAG)
    one = {"anyOf": [fix, _closed(CORRECTION_KEYS, required=("fix",), fix=fix, write=write)]}
    kind: Schema = {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": one}
    return {**_map(kinds, {"$ref": "#/definitions/kind"}), "definitions": {"kind": kind}}


def _matching() -> Schema:
    domains: Schema = {"type": "array", "items": {"type": "string", "pattern": r"^@?[^@\s]+\.[^@\s]+$"}}
    share: Schema = {"type": "string", "pattern": r"^\s*\d{1,3}(\.\d+)?\s*%\s*$"}
    bands = _closed(
        BANDS,
        match=_said("From here on it is a match", share),
        ask=_said("From here on a person is asked; below, nothing is found", share),
    )
    return _closed(
        MATCHING_KEYS,
        bands=_said("How sure it must be that a record belongs to an account", bands),
        tie_breakers=_said(
            "What decides between accounts that fit equally well, the first first",
            {"type": "array", "items": {"enum": list(TIE_BREAKERS)}},
        ),
        duplicates=_said(
            "How sure it must be that two records are one person; no: not asked", {"anyOf": [_FLAG, bands]}
        ),
        weights=_said("The file that `fingerpost match tune` wrote; left out: the shipped weights", _TEXT),
        free_domains=_said("Mail providers that the daemon does not know", domains),
        disposable_domains=_said("Providers of throw-away addresses that the daemon does not know", domains),
        not_free_domains=_said("Domains of companies that it wrongly takes for one of these", domains),
    )


def _tests(kinds: Collection[str]) -> Schema:
    routed = [kind for kind in kinds if kind not in (*NOT_ROUTED, *SURROUNDINGS)]
    values: Schema = {"anyOf": [_VALUE, {"type": "array", "items": _TEXT}, {"$ref": "#/definitions/record"}]}
    record: Schema = {"$ref": "#/definitions/record"}
    given = {kind: _said(f"The {kind} that is routed", record) for kind in routed}
    surroundings: Schema = {
        "account": _said("The account that it belongs to", record),
        "counterpart": _said("The same person's record in the other system", record),
        "duplicate_of": _said("The same person's earlier record; what is not given is as in this one", record),
        "event": _closed(EVENT, kind=_TEXT, system=_TEXT, changed=_one_or_many(_TEXT), before=record),
        "roster": {"type": "object", "additionalProperties": _one_of(STATES)},
        "at": _said("When it plays: 2026-11-23T09:00:00Z", _TEXT),
    }
    texts: Schema = {name: _TEXT for name in EXPECTS if name not in ("corrections", "sets", "outcome")}
    fields: Schema = {"anyOf": [{"enum": ["none"]}, record]}
    expect = _closed(EXPECTS, outcome=_one_of(OUTCOMES), corrections=fields, sets=fields, **texts)
    test = _closed(
        ("test", *routed, *SURROUNDINGS, "expect"),
        required=("test", "expect"),
        test=_said("What the test is called", _TEXT),
        expect={**expect, "minProperties": 1},
        **given,
        **surroundings,
    )
    whole = _closed(FILE_KEYS, required=("tests",), at=surroundings["at"], tests={"type": "array", "items": test})
    whole["definitions"] = {
        "record": {"type": ["object", "null"], "propertyNames": {"pattern": _NAME}, "additionalProperties": values}
    }
    return whole


# Parts


def _closed(keys: Iterable[str], *, required: Iterable[str] = (), **properties: Schema) -> Schema:
    """An object with these keys and no others. Every key that the reader knows must be described."""
    assert set(keys) == set(properties), set(keys) ^ set(properties)
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _map(keys: Iterable[str], values: Schema) -> Schema:
    return {"type": "object", "properties": dict.fromkeys(keys, values), "additionalProperties": False}


def _said(description: str, schema: Schema) -> Schema:
    return {"description": description, **schema}


def _one_or_many(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _one_of(words: Iterable[str]) -> Schema:
    """Words that are offered as they stand, and taken in any case."""
    words = list(words)
    return {
        "anyOf": [{"enum": words}, {"type": "string", "pattern": f"^({'|'.join(_any_case(word) for word in words)})$"}]
    }


def _any_case(word: str) -> str:
    return "".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word)


_LIST: Schema = {"type": "array", "items": _TEXT}
_NUMBER: Schema = {"type": ["number", "string"]}
_CAPS = _said("10 a day, 3 in any hour, 40 open", _one_or_many({"type": "string"}))
_RAMP = _said("25 % for 30 days, 50 % for 4 weeks", {"type": "string"})
_FLAG: Schema = {"anyOf": [{"type": "boolean"}, _one_of(("yes", "no"))]}
_DURATION: Schema = {
    "type": "string",
    "pattern": rf"^\s*\d{{1,6}}\s*({'|'.join(_any_case(unit) for unit in SECONDS)})[sS]?\s*$",
}
