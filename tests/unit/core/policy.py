"""A small policy and small builders for the tests of the core."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from routing.core.directory import Directory
from routing.core.model import ChangeEvent, Record
from routing.core.view import AccountView, View
from rules.policy import Policy, compile_policy

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)

FIELDS = """
lead:
  in: {salesforce: Lead, hubspot: contacts}
  fields:
    email: {type: text, salesforce: Email, hubspot: email}
    first_name: {type: text, salesforce: FirstName, hubspot: firstname}
    last_name: {type: text, salesforce: LastName, hubspot: lastname}
    company: {type: text, salesforce: Company, hubspot: company}
    website: {type: text, salesforce: Website, hubspot: website}
    phone: {type: text, salesforce: Phone, hubspot: phone}
    country: {type: text, salesforce: Country, hubspot: country}
    state: {type: text, salesforce: State}
    employees: {type: number, salesforce: NumberOfEmployees}
    status: {type: text, salesforce: Status}
    created_at: {type: datetime, salesforce: CreatedDate, read_only: true}
    owner: {type: person, salesforce: OwnerId, hubspot: hubspot_owner_id}
    domain: {type: text, derived: true}
    free_email: {type: boolean, derived: true}
account:
  in: {salesforce: Account}
  fields:
    name: {type: text, salesforce: Name}
    website: {type: text, salesforce: Website}
    country: {type: text, salesforce: BillingCountry}
    type: {type: text, salesforce: Type}
    parent: {type: reference, to: account, salesforce: ParentId}
    owner: {type: person, salesforce: OwnerId}
    csm: {type: person, salesforce: CSM__c}
    open_opportunities: {type: number, derived: true}
    opportunity_owner: {type: person, derived: true}
contact:
  in: {salesforce: Contact}
  fields:
    email: {type: text, salesforce: Email}
    owner: {type: person, salesforce: OwnerId}
opportunity:
  in: {salesforce: Opportunity}
  fields:
    account: {type: reference, to: account, salesforce: AccountId}
person:
  in: {salesforce: User, hubspot: owners}
  fields:
    name: {type: text, salesforce: Name}
    email: {type: text, salesforce: Email, hubspot: email}
    active: {type: boolean, salesforce: IsActive}
"""

ENGAGEMENT = """
route: lead
entry: ['event.kind in ("created", "restored")', 'event.changed contains "status"']
hold: {retry: 5 minutes}
ladder:
  - rung: Spam
    when: lead.company = "Spam"
    reject: nobody wants it
  - rung: Legal
    when: lead.country = "CU"
    hold: ask Legal
  - rung: Customer
    when: account.type = "Customer"
    assign: account.csm
  - rung: Parent
    when: account.parent.type = "Customer"
    assign: account.parent.owner
  - rung: Deal
    when: account.open_opportunities > 0
    assign: account.opportunity_owner
  - rung: Same person
    when: counterpart.owner is active
    assign: counterpart.owner
  - rung: Known
    when: lead.owner is active
    keep: owner
  - rung: Big
    when: lead.employees >= 1000
    assign: pool Big
  - rung: Britain
    when: lead.country = "GB"
    assign: person Bo Li
  - otherwise: pool Small
"""

PEOPLE = """name,email,start_date,active,salesforce_id
Ana Diaz,ana@example.com,,yes,005000000000001
Bo Li,bo@example.com,,yes,
Cem Kaya,cem@example.com,,no,
Dana Fox,dana@example.com,2027-01-01,yes,
"""

POOLS = """
Big: {method: weighted, members: {Cem Kaya: 1, Dana Fox: 1}, overflow: Small}
Small: {method: weighted, members: {Ana Diaz: 2, Bo Li: 1}}
Nobody: {method: round robin, members: [Cem Kaya, Dana Fox]}
"""

CORRECTIONS = """
lead:
  email: email
  first_name: name
  last_name: name
  company: text
  website: website
  phone: phone
  country: country
  state: state
account:
  country: {fix: country, write: no}
"""

MATCHING = "free_domains: [alumni.example]\nnot_free_domains: [qq.com]\n"


def policy(**files: str) -> Policy:
    """The policy, with some files replaced (``engagement="…"``)."""
    written = {
        "fields.yaml": FIELDS,
        "engagement.yaml": ENGAGEMENT,
        "people.csv": PEOPLE,
        "pools.yaml": POOLS,
        "corrections.yaml": CORRECTIONS,
        "matching.yaml": MATCHING,
    }
    for name, text in files.items():
        written[f"{name}.csv" if name == "people" else f"{name}.yaml"] = text
    return compile_policy({name: text.encode() for name, text in written.items()})


def person(system: str, crm_id: str, email: str, name: str = "", active: bool = True) -> Record:
    return Record(
        system=system, entity="person", record_id=crm_id, values={"email": email, "name": name, "active": active}
    )


USERS = (
    person("salesforce", "005BO", "Bo@Example.com", "Bo Li"),
    person("salesforce", "005CEM", "cem@example.com", "Cem Kaya"),
    person("salesforce", "005DANA", "dana@example.com", "Dana Fox"),
    person("salesforce", "005EXT", "ext@elsewhere.example", "Ext Ernal"),
    person("hubspot", "77", "ana@example.com", "Ana D."),
)

ANA_ID = "005000000000001AAA"
QUEUE = "00G000000000001AAA"


def directory(of: Policy, *more: Record) -> Directory:
    return Directory.build(of, (*USERS, *more))


def lead(record_id: str = "00Q1", system: str = "salesforce", **values: Any) -> Record:
    return Record(system=system, entity="lead", record_id=record_id, values=values)


def account(record_id: str, **values: Any) -> Record:
    return Record(system="salesforce", entity="account", record_id=record_id, values=values)


def seen(*records: Record | AccountView) -> tuple[AccountView, ...]:
    return tuple(one if isinstance(one, AccountView) else AccountView(one) for one in records)


def event(of: Record, kind: str = "created", **more: Any) -> ChangeEvent:
    given: dict[str, Any] = {
        "event_id": f"e-{of.record_id}-{kind}",
        "system": of.system,
        "entity": of.entity,
        "record_id": of.record_id,
        "kind": kind,
        "occurred_at": NOW,
        "observed_at": NOW,
        "values": of.values,
    }
    return ChangeEvent(**(given | more))


def view(record: Record, *accounts: Record | AccountView, counterpart: Record | None = None) -> View:
    return View(record, seen(*accounts), counterpart)
