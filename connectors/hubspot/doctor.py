"""What ``fingerpost doctor`` finds out about a HubSpot account."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from connectors.contract import SAME, Finding, Maps, left_out
from connectors.errors import ConnectorError, Misconfigured, RateLimited, advice
from connectors.hubspot.automation import CHECK, workflows
from connectors.hubspot.client import Answer, Client
from connectors.hubspot.journal import HubSpotJournal
from connectors.hubspot.objects import OWNERS, own_maps
from connectors.hubspot.quota import spent_at
from connectors.hubspot.reader import HubSpotReader
from routing.core.model import EntityMap

_LOGIN = "HubSpot answers and accepts the token"
_SCOPES, _OWNERS = "scopes of the token", "owners can be read"
_LIMIT = (
    "All who use this token share its requests, and all apps those of the account: Settings, Integrations, Private Apps, Logs shows ours. The "
    "day's begin anew at midnight in the account's time zone, other limits are over in seconds; the daemon goes on by itself."
)
_SKEW_LIMIT = 60.0  # seconds; webhooks older or newer than 300 are refused, so a minute is time to act
_DAILY_FLOOR = 0.1  # of the day's requests left


class _Account(msgspec.Struct, frozen=True, rename="camel"):
    portal_id: int = 0
    account_type: str = ""
    time_zone: str = ""


class _Token(msgspec.Struct, frozen=True):
    scopes: list[str] = []


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    read_only_value: bool = False


class _Property(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    type: str = ""
    calculated: bool = False
    modification_metadata: _Metadata = _Metadata()

    def writable(self) -> bool:
        return not self.calculated and not self.modification_metadata.read_only_value


class _Properties(msgspec.Struct, frozen=True):
    results: list[_Property]


class Doctor:
    """Runs the checks one after another; a check that fails does not stop the next, except when nothing answers."""

    def __init__(self, client: Client, reader: HubSpotReader, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._reader = reader
        self._maps = maps
        self._clock = clock

    def check(self) -> list[Finding]:
        """Blocks for about one request a check. Never raises ConnectorError."""
        looks = self._looks()
        try:
            answer = self._client.get("the account's details", "/account-info/v3/details")
            account = answer.decode(_Account, "the account's details")
        except ConnectorError as error:
            refused = f"Check the access token, whether its private app was deactivated, and the setting host ({self._client.settings.host})."
            failed = Finding(_LOGIN, False, str(error), self._advice(error, refused))
            return [failed, *left_out(looks, SAME), self._webhook()]
        detail = f"portal {account.portal_id} ({account.account_type or 'unknown type'})"
        findings = [Finding(_LOGIN, True, detail), *self._clock_and_limits(answer, account.time_zone)]
        left = list(looks)
        for check, look in looks.items():
            left.remove(check)
            try:
                findings += look()
            except ConnectorError as error:
                refused = "Add the scope it names to the private app, or check fields.yaml."
                findings.append(Finding(check, False, str(error), self._advice(error, refused)))
                if isinstance(error, RateLimited):
                    findings += left_out(left, SAME)
                    break
        return [*findings, self._webhook()]

    def _looks(self) -> dict[str, Callable[[], Iterable[Finding]]]:
        """What is asked of an account that lets us in, by the name of the check."""
        maps = own_maps(self._maps())
        looks: dict[str, Callable[[], Iterable[Finding]]] = {
            _SCOPES: lambda: [self._scopes(maps)],
            _OWNERS: lambda: [self._owners()],
        }
        objects = [found for found in maps.values() if found.remote != OWNERS]
        looks |= {_there(found): partial(self._object, found) for found in objects}
        return looks | {CHECK: lambda: [workflows(self._client, maps)]}

    def _advice(self, error: ConnectorError, refused: str) -> str:
        network = f"Check the setting host ({self._client.settings.host}), DNS, proxy and firewall, or try again once HubSpot is well."
        return advice(error, limit=_LIMIT, network=network, refused=refused)

    def _clock_and_limits(self, answer: Answer, time_zone: str) -> Iterator[Finding]:
        date = _moment(answer.headers.get("Date"))
        if date:
            skew = (self._clock() - date).total_seconds()
            fine = abs(skew) <= _SKEW_LIMIT
            to_do = "" if fine else "Set this machine's clock (NTP): webhooks off by more than 300 s are refused."
            yield Finding("the clocks agree", fine, f"this machine is {skew:+.0f} s from HubSpot", to_do)
        left, most = (_count(answer.headers, f"X-HubSpot-RateLimit-Daily{part}") for part in ("-Remaining", ""))
        window = _count(answer.headers, "X-HubSpot-RateLimit-Max")
        if left is not None and most:
            fine = left >= most * _DAILY_FLOOR
            to_do = "" if fine else "Find what else uses this app's quota, or ask HubSpot for a higher limit."
            yield Finding("requests are left today", fine, f"{left} of {most}, {window or '?'} in ten seconds", to_do)
            end = spent_at(most - left, most, self._clock().astimezone(_zone(time_zone)))
            if end is not None:
                to_do = "Raise search_seconds, or ask HubSpot for a higher limit."
                yield Finding("requests last for the day", False, f"at today's pace they end at {end:%H:%M %Z}", to_do)

    def _scopes(self, maps: Mapping[str, EntityMap]) -> Finding:
        what = "the token's scopes"
        body = {"tokenKey": self._client.settings.access_token}
        token = self._client.post(what, "/oauth/v2/private-apps/get/access-token-info", body).decode(_Token, what)
        wanted = {"crm.objects.owners.read"}
        for found in maps.values():
            if found.remote != OWNERS:
                scope = found.remote if found.remote.isalpha() else "custom"  # 2-123456, p_name
                wanted.add(f"crm.objects.{scope}.read")
                if set(found.fields) - found.read_only:
                    wanted.add(f"crm.objects.{scope}.write")
        missing = sorted(wanted - set(token.scopes))
        if missing:
            return Finding(_SCOPES, False, f"missing: {', '.join(missing)}", "Add them to the private app.")
        return Finding(_SCOPES, True, f"all {len(wanted)} needed are granted")

    def _owners(self) -> Finding:
        events = [event for page in self._reader.backfill(["person"]) for event in page]
        active = sum(1 for event in events if event.values.get("active"))
        if not active:
            return Finding(_OWNERS, False, "no active owner", "Give somebody a seat, or check the account.")
        return Finding(_OWNERS, True, f"{active} active, {len(events) - active} archived")

    def _object(self, found: EntityMap) -> Iterator[Finding]:
        what = f"the properties of {found.remote}"
        answer = self._client.call(what, self._client.properties.get_all, found.remote)
        there = {item.name: item for item in answer.decode(_Properties, what).results}
        missing = sorted(remote for remote in set(found.fields.values()) if remote not in there)
        to_do = (
            "Create them in HubSpot (Settings, Properties) or correct their names in fields.yaml." if missing else ""
        )
        yield Finding(
            _there(found),
            not missing,
            f"missing: {', '.join(missing)}" if missing else f"{len(found.fields)} properties",
            to_do,
        )
        locked = sorted(
            field
            for field, remote in found.fields.items()
            if field not in found.read_only and remote in there and not there[remote].writable()
        )
        if locked:
            to_do = "Mark them read_only in fields.yaml, so that nothing tries to write them."
            yield Finding(f"{found.remote}: mapped properties can be written", False, ", ".join(locked), to_do)

    def _webhook(self) -> Finding:
        check = "webhooks can be verified"
        settings = self._client.settings
        if settings.changes == "search":
            return Finding(check, True, "not used; changes are searched for")
        if settings.changes == "journal":
            return self._journal()
        try:
            settings.require_webhook()
        except Misconfigured as error:
            return Finding(check, False, str(error), "Set it, then restart.")
        if settings.public_url.startswith("http://") and "127.0.0.1" not in settings.public_url:
            return Finding(check, False, f"{settings.public_url} is not https", "HubSpot calls https addresses only.")
        return Finding(
            check, True, f"{len(settings.client_secrets)} client secret(s), signed for {settings.public_url}"
        )

    def _journal(self) -> Finding:
        check = "the webhooks journal can be read"
        try:
            found = HubSpotJournal(self._client.settings, self._maps, self._clock).try_login()
        except ConnectorError as error:
            refused = (
                "Check client_id, client_secrets and portal_id, and the app's scope developer.webhooks_journal.read."
            )
            return Finding(check, False, str(error), self._advice(error, refused))
        return Finding(check, True, found)


def _there(found: EntityMap) -> str:
    return f"{found.remote}: every mapped property is there"


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _moment(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except ValueError:
        return None  # a proxy's idea of a date; then there is nothing to compare


def _count(headers: Mapping[str, Any], name: str) -> int | None:
    text = str(headers.get(name) or "")
    return int(text) if text.isdigit() else None
