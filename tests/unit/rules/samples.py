"""A small policy that tests change file by file, and helpers that read what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rules.actions import Targets
from rules.fields import Scope, read_fields
from rules.model import Problem, Walk
from rules.policy import Policy, check, compile_policy
from rules.pools.people import read_people
from rules.pools.reader import read_pools
from rules.source import Report, Source
from rules.tables.csvfile import read_csv
from rules.tables.reader import TableReader
from rules.yamlfile import read_yaml

EXAMPLE = Path(__file__).parents[3] / "rules" / "examples" / "inbound"
NOW = datetime(2025, 11, 22, 12, 0, tzinfo=UTC)

FIELDS = """\
lead:
  in: {salesforce: Lead, hubspot: contacts}
  fields:
    email: {type: text, salesforce: Email, hubspot: email}
    company: {type: text, label: Company, salesforce: Company}
    country: {type: text, salesforce: Country, hubspot: country}
    postal_code: {type: text, salesforce: PostalCode}
    status: {type: choice, choices: [Open, Working, Closed], salesforce: Status}
    employees: {type: number, salesforce: NumberOfEmployees}
    score: {type: money, salesforce: Score__c}
    created_at: {type: datetime, salesforce: CreatedDate, read_only: true}
    birthday: {type: date, salesforce: Birthday__c}
    tags: {type: list, salesforce: Tags__c}
    owner: {type: person, salesforce: OwnerId, hubspot: hubspot_owner_id}
    free_email: {type: boolean, derived: true}
account:
  in: {salesforce: Account}
  fields:
    name: {type: text, salesforce: Name}
    country: {type: text, salesforce: BillingCountry}
    employees: {type: number, salesforce: NumberOfEmployees}
    owner: {type: person, salesforce: OwnerId}
    parent: {type: reference, to: account, salesforce: ParentId}
person:
  in: {salesforce: User}
  fields:
    name: {type: text, salesforce: Name}
"""
ENGAGEMENT = """\
entry:
  - event.kind = "created"
ladder:
  - rung: The rung
    when: lead.country = "DE"
    assign: Ana Diaz
  - otherwise: pool Everyone
"""
PEOPLE = """\
name,email,active
Ana Diaz,ana.diaz@example.com,yes
Ben Okafor,ben.okafor@example.com,yes
Cora Lang,cora.lang@example.com,no
"""
POOLS = """\
Everyone:
  members: [Ana Diaz, Ben Okafor]
"""


def policy_files(**changed: str | bytes) -> dict[str, bytes]:
    """The small policy; ``engagement=…`` replaces engagement.yaml, ``table=…`` adds table.csv, and so on."""
    names = {"people": "people.csv", "table": "table.csv", "other": "other.csv"}
    texts: dict[str, str | bytes] = {"fields": FIELDS, "engagement": ENGAGEMENT, "people": PEOPLE, "pools": POOLS}
    texts |= changed
    return {
        names.get(key, f"{key}.yaml"): text if isinstance(text, bytes) else text.encode() for key, text in texts.items()
    }


def reader(report: Report) -> TableReader:
    """A reader of tables for the small policy."""
    quiet = Report()
    found: list[Any] = [
        read_fields(read_yaml(Source("fields.yaml", FIELDS), quiet), quiet),
        read_csv(Source("people.csv", PEOPLE), quiet),
    ]
    people = read_people(found[1], ("salesforce", "hubspot"), quiet)
    pools = read_pools(read_yaml(Source("pools.yaml", POOLS), quiet), people, quiet)
    scope = Scope(found[0])
    return TableReader(scope, people, Targets(scope, people, pools), report)


def ladder(*rungs: str, entry: str = 'event.kind = "created"') -> str:
    """An engagement.yaml of these rungs, each given as its YAML lines."""
    lines = ["entry:", f"  - {entry}", "ladder:"]
    for rung in rungs:
        first, *rest = rung.strip("\n").split("\n")
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def when(condition: str) -> str:
    """An engagement.yaml with one rung of that condition; the condition stands on line 5 from column 11."""
    return ladder(f"rung: The rung\nwhen: {condition}\nhold: it holds", "otherwise: hold nothing caught it")


def problems(**changed: str | bytes) -> list[Problem]:
    """The problems of the small policy with these changes."""
    return check(policy_files(**changed))[1]


def errors(**changed: str | bytes) -> list[str]:
    """The errors alone, as ``file:line:column sentence | hint``."""
    found = [one for one in problems(**changed) if one.severity == "error"]
    return [f"{p.file}:{p.line}:{p.column} {p.message}" + (f" | {p.hint}" if p.hint else "") for p in found]


def warnings(**changed: str | bytes) -> list[str]:
    """The warnings alone, as ``file:line:column sentence``."""
    found = [one for one in problems(**changed) if one.severity == "warning"]
    return [f"{p.file}:{p.line}:{p.column} {p.message}" for p in found]


def facts(
    lead: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    counterpart: dict[str, Any] | None = None,
    **event: Any,
) -> dict[str, Any]:
    """Facts of a lead; ``event`` overrides a creation in Salesforce."""
    told = {"kind": "created", "system": "salesforce", "changed": []} | event
    return {"lead": lead or {}, "account": account, "counterpart": counterpart, "event": told}


def can_receive(_: str) -> str | None:
    """Everybody can."""
    return None


def walk(policy: Policy, given: dict[str, Any], why_not: Any = can_receive) -> Walk:
    return policy.walk(given, why_not, NOW)


def holds(condition: str, given: dict[str, Any], why_not: Any = can_receive) -> bool:
    """Whether a condition holds for these facts."""
    policy = compile_policy(policy_files(engagement=when(condition)))
    return policy.walk(given, why_not, NOW).steps[0].held


def shared_example() -> dict[str, bytes]:
    """The files of the example policy."""
    return {path.name: path.read_bytes() for path in sorted(EXAMPLE.iterdir())}
