"""What ``fingerpost doctor`` asks of a Salesforce org. Each check says what it found and, where it is not well, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import grpc

from connectors.contract import SAME, Finding, left_out
from connectors.errors import ConnectorError, Misconfigured, advice
from connectors.salesforce.automation import AUTOMATION, TOOLING, automation, looked, rows
from connectors.salesforce.creations import MEMBER_FIELDS, TASK_FIELDS
from connectors.salesforce.errors import from_rpc
from connectors.salesforce.owners import Owners
from routing.core.model import EntityMap

if TYPE_CHECKING:
    from connectors.salesforce.connection import SalesforceConnection
    from connectors.salesforce.settings import SalesforceSettings

MOST_SKEW_SECONDS = 60  # a JWT lives three minutes, and decisions are compared with the CRM's times
LITTLE_LEFT = 0.1  # of the daily limit

Maps = Mapping[str, EntityMap]


def examine(connection: SalesforceConnection, maps: Maps, clock: Callable[[], datetime]) -> list[Finding]:
    """Runs all checks; those that depend on a failed one are named as left out. Never raises ConnectorError."""
    findings: list[Finding] = []
    left = list(planned(connection.settings, maps))
    try:
        for finding in _checks(connection, maps, clock):
            findings.append(finding)
            left = left[left.index(finding.check) + 1 :] if finding.check in left else left
    except ConnectorError as error:
        # The first of those that are left has failed so.
        refused = "See the message, and the integration user's permission set."
        findings.append(Finding(left.pop(0), False, str(error), _advice(connection, error, refused)))
    if findings and not findings[-1].ok:
        findings += left_out(left, SAME)
    return findings


def planned(settings: SalesforceSettings, maps: Maps) -> Iterator[str]:
    """The names of all checks, in their order; a few are of what not every org has."""
    yield from ("reachable", "clock", "API version", "login", "integration user")
    for entity_map in maps.values():
        yield f"fields of {entity_map.remote}"
        if "convert" in entity_map.does:
            yield "conversions"
    yield from (f"creating {remote} records" for remote in _made(maps))
    if settings.changes == "stream":
        yield from (f"change events {name}" for name in dict.fromkeys(settings.topics))
        yield "change events selected"
    yield "limits"
    if settings.changes == "stream":
        yield "event deliveries"
    yield from AUTOMATION


def _advice(connection: SalesforceConnection, error: ConnectorError, refused: str) -> str:
    return advice(
        error,
        limit="Setup, Company Information, API usage shows who uses the org's calls (those of the last 24 hours count, so they free themselves bit "
        "by bit); too many logins are over within an hour. The daemon goes on by itself.",
        network=f"Check login_url ({connection.settings.login_url}), DNS, proxy and firewall, or try again once Salesforce is well.",
        refused=refused,
    )


def _checks(connection: SalesforceConnection, maps: Maps, clock: Callable[[], datetime]) -> Iterator[Finding]:
    settings = connection.settings
    try:
        versions = connection.client.versions()
    except ConnectorError as error:
        refused = f"Check login_url ({settings.login_url}), DNS, proxy and firewall."
        yield Finding("reachable", False, str(error), _advice(connection, error, refused))
        return
    yield Finding("reachable", True, f"{settings.login_url} answers")
    yield _clock_skew(connection.client.transport.date, clock())
    yield _version(settings.api_version, versions)
    try:
        session = connection.client.session()
    except ConnectorError as error:
        refused = "Check client_id, the secret or key, and the connected app's policies."
        yield Finding("login", False, str(error), _advice(connection, error, refused))
        return
    yield Finding("login", True, f"logged in to org {session.org_id}")
    yield _integration_user(connection)
    for entity_map in maps.values():
        yield _permissions(connection, entity_map)
        if "convert" in entity_map.does:
            yield looked("conversions", lambda: _conversion(connection))
    for remote, fields in _made(maps).items():
        yield _creation(connection, remote, fields)
    if any(one.queues for one in maps.values()):
        yield looked("queues", lambda: _queues(Owners(connection.client, clock), maps))
    if settings.changes == "stream":
        yield from _topics(connection)
        yield looked("change events selected", lambda: _selections(connection, maps))
    yield from _limits(connection)
    yield from automation(connection, maps)


def _clock_skew(header: str, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return Finding("clock", True, "Salesforce sent no time to compare with")
    skew = (now - theirs).total_seconds()
    detail = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Salesforce"
    if abs(skew) > MOST_SKEW_SECONDS:
        return Finding("clock", False, detail, "Switch on time synchronisation (NTP) on this machine.")
    return Finding("clock", True, detail)


def _version(wanted: str, versions: list[str]) -> Finding:
    if wanted in versions:
        return Finding("API version", True, f"v{wanted} is offered")
    newest = versions[-1] if versions else "none"
    return Finding(
        "API version",
        False,
        f"v{wanted} is not offered by the org; the newest is v{newest}",
        f"Set api_version: '{newest}'.",
    )


def _integration_user(connection: SalesforceConnection) -> Finding:
    user_id = connection.user_id
    query = f"SELECT Id, Username, IsActive FROM User WHERE Id = '{user_id}'"  # noqa: S608 - the id is Salesforce's own
    users = rows(connection, query)
    if not users or not users[0]["IsActive"]:
        return Finding(
            "integration user",
            False,
            f"user {user_id} is not active or cannot see itself",
            "Activate the user in Setup.",
        )
    return Finding(
        "integration user",
        True,
        f"writes are made by {users[0]['Username']} ({user_id})",
        "Use this user for nothing else.",
    )


def _permissions(connection: SalesforceConnection, entity_map: EntityMap) -> Finding:
    check = f"fields of {entity_map.remote}"
    try:
        described: dict[str, Any] = connection.client.call(
            "GET", f"sobjects/{entity_map.remote}/describe", what=f"the description of {entity_map.remote}"
        )
    except Misconfigured:
        return Finding(
            check,
            False,
            f"there is no object {entity_map.remote}, or the integration user may not see it",
            f"Correct the object of '{entity_map.entity}' in fields.yaml, or give access in the permission set.",
        )
    known = {field["name"]: field for field in described["fields"]}
    missing = sorted({remote for remote in entity_map.fields.values() if remote not in known})
    writable = {remote for name, remote in entity_map.fields.items() if name not in entity_map.read_only}
    locked = sorted(remote for remote in writable if remote in known and not known[remote]["updateable"])
    if missing:
        return Finding(
            check,
            False,
            f"not there, or not visible to the integration user: {', '.join(missing)}",
            "Correct the names in fields.yaml, or give read access in the permission set.",
        )
    if locked:
        return Finding(
            check,
            False,
            f"cannot be written by the integration user: {', '.join(locked)}",
            "Give edit access in the permission set, or mark them read only in fields.yaml.",
        )
    if "merge" in entity_map.does and not described["deletable"]:
        return Finding(
            check,
            False,
            f"the policy merges {entity_map.remote} records, and the integration user may not delete them",
            "Give Delete on the object in the permission set, or take 'merge' out of the rungs.",
        )
    return Finding(check, True, f"{len(entity_map.fields)} mapped fields can be read, {len(writable)} written")


def _conversion(connection: SalesforceConnection) -> Finding:
    found = rows(connection, "SELECT PermissionsConvertLeads FROM UserPermissionAccess")
    if found and not found[0]["PermissionsConvertLeads"]:
        return Finding(
            "conversions",
            False,
            "the policy converts leads, and the integration user may not",
            "Give 'Convert Leads' in the permission set, or take 'convert' out of the rungs.",
        )
    if not found:
        return Finding("conversions", True, "not looked at: the org does not tell", looked=False)
    return Finding("conversions", True, "leads can be converted")


def _made(maps: Maps) -> dict[str, tuple[str, ...]]:
    """What the policy has us create, and by which fields."""
    does = {one for entity_map in maps.values() for one in entity_map.does}
    made: dict[str, tuple[str, ...]] = {}
    if "opportunity" in does:
        made["Opportunity"] = ("Name", "OwnerId")
    if "task" in does:
        made["Task"] = TASK_FIELDS
    if "campaign_member" in does:
        made["CampaignMember"] = MEMBER_FIELDS
    return made


def _creation(connection: SalesforceConnection, remote: str, fields: Sequence[str]) -> Finding:
    check, what = f"creating {remote} records", f"the description of {remote}"
    try:
        described = connection.client.call("GET", f"sobjects/{remote}/describe", what=what)
    except Misconfigured:
        described = {"createable": False, "fields": []}
    to_do = "Give Create on the object and edit access to its fields in the permission set, or take what makes them out of the policy."
    if not described["createable"]:
        return Finding(check, False, f"the policy has {remote} records made, and the integration user may not", to_do)
    can = {field["name"] for field in described["fields"] if field["createable"]}
    locked = sorted(set(fields) - can)
    if locked:
        return Finding(check, False, f"cannot be filled in by the integration user: {', '.join(locked)}", to_do)
    return Finding(check, True, "the integration user may make them")


def _queues(owners: Owners, maps: Maps) -> Finding:
    """Whether each queue that the policy sends records to is there, and takes every kind of record that is sent there."""
    named = {queue: name for one in maps.values() for name, queue in one.queues.items()}
    takes = owners.taken_by(named)
    wrong = [f"{name} ({queue}) is no queue of this org" for queue, name in named.items() if queue[:15] not in takes]
    for queue, name in named.items():
        sent = {one.remote for one in maps.values() if queue in one.queues.values()}
        there = takes.get(queue[:15], sent)
        if missing := sorted(sent - there):
            taken = ", ".join(sorted(there)) or "nothing"
            wrong.append(
                f"{name} ({queue}) takes {taken}, and no {' and no '.join(missing)}, which the policy sends there"
            )
    if wrong:
        advice = "Correct the ids under 'queues' in engagement.yaml or what is sent there, or add the object to the queue's supported objects in Setup."
        return Finding("queues", False, "; ".join(wrong), advice)
    return Finding("queues", True, f"{', '.join(named.values())}: there, and may own what is routed")


def _topics(connection: SalesforceConnection) -> Iterator[Finding]:
    to_do = (
        "In Setup, open Change Data Capture and select the mapped objects; give the integration user 'View All' on them. "
        f"The Pub/Sub host is {connection.settings.pubsub_address}."
    )
    names = list(dict.fromkeys(connection.settings.topics))
    for place, name in enumerate(names, 1):
        try:
            info = connection.pubsub().topic(name, connection.client.session())
        except grpc.RpcError as error:
            yield Finding(f"change events {name}", False, str(from_rpc(error, f"the topic {name}")), to_do)
            yield from left_out((f"change events {one}" for one in names[place:]), SAME)
            return
        if not info.can_subscribe:
            yield Finding(f"change events {name}", False, "the integration user may not subscribe", to_do)
        else:
            yield Finding(f"change events {name}", True, "can be subscribed to")


def _selections(connection: SalesforceConnection, maps: Maps) -> Finding:
    """Whether each mapped object is selected for the channels listened to: one that is not never changes, as far as we hear."""
    check = "change events selected"
    channels = {topic.removeprefix("/data/") for topic in connection.settings.topics}
    query = "SELECT EventChannel, SelectedEntity FROM PlatformEventChannelMember"
    members = rows(connection, query, TOOLING)
    selected = {row["SelectedEntity"] for row in members if row["EventChannel"] in channels} | channels
    missing = sorted(one.remote for one in maps.values() if event_name(one.remote) not in selected)
    if missing:
        return Finding(
            check,
            False,
            f"nothing is heard of {', '.join(missing)}",
            "In Setup, open Change Data Capture and select them, or add their channel to topics.",
        )
    return Finding(check, True, f"all {len(maps)} mapped objects are selected")


def event_name(remote: str) -> str:
    """The change event of an object: LeadChangeEvent, and Deal__ChangeEvent of Deal__c."""
    return f"{remote.removesuffix('c')}ChangeEvent" if remote.endswith("__c") else f"{remote}ChangeEvent"


def _limits(connection: SalesforceConnection) -> Iterator[Finding]:
    answer = connection.client.call("GET", "limits/", what="the org's limits")
    daily = answer.get("DailyApiRequests", {})
    most, left = int(daily.get("Max", 0)), int(daily.get("Remaining", 0))
    settings, spent = connection.settings, connection.spent
    detail = f"{left:,} of {most:,} API calls are left for the next 24 hours"
    if spent is not None:
        # How many of ours are made, and until when they will do, the daemon knows: it says so in its log (salesforce_calls_run_out).
        detail += (
            f"; {spent.share:,} of a day's are ours at most, and the last {settings.reserve:.0%} are never touched"
        )
    if most and left < most * max(LITTLE_LEFT, settings.reserve):
        yield Finding("limits", False, detail, "Find out who uses them: Setup, Company Information, API usage.")
    else:
        yield Finding("limits", True, detail)
    # Shared by all subscribers of the org's platform and change events; it cannot be exceeded without an add-on licence.
    events = answer.get("DailyDeliveredPlatformEvents", {})
    most, left = int(events.get("Max", 0)), int(events.get("Remaining", 0))
    if settings.changes == "stream" and not most:
        yield Finding("event deliveries", True, "not looked at: the org does not tell", looked=False)
    elif settings.changes == "stream":
        detail = f"{left:,} of {most:,} events can be delivered in the next 24 hours, to all who listen"
        well = left >= most * LITTLE_LEFT
        to_do = "Then nothing is heard until some are free again. Select fewer objects for Change Data Capture, or set changes: poll."
        yield Finding("event deliveries", well, detail, "" if well else to_do)
