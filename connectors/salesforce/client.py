"""Calls to Salesforce REST through simple-salesforce, with the session kept alive by us.

simple-salesforce logs in again by itself on a 401, but then sends the request again *without* its extra headers: the
guard and Sforce-Auto-Assign would vanish. So it is given a session id and never a password, and renewal is done here.
"""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt
import msgspec
import requests
import structlog
from msgspec import Struct
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError, SalesforceExpiredSession
from simple_salesforce.login import token_login
from simple_salesforce.util import call_salesforce
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from connectors.errors import ConnectorError, Misconfigured
from connectors.patience import Hold
from connectors.salesforce.budget import SHORT, ApiBudget, Urgency
from connectors.salesforce.errors import SYSTEM, from_network, from_response, login_error, malformed, no_api, no_login
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.transport import Transport, make_session

log = structlog.get_logger(__name__)

_JWT_LIFE = timedelta(minutes=3)  # the longest Salesforce accepts


class ApiSession(Struct, frozen=True, eq=False):
    """A live session. ``org_id`` and ``user_id`` are 18 characters."""

    token: str
    instance_url: str
    org_id: str
    user_id: str
    api: Any  # simple_salesforce.Salesforce

    def __repr__(self) -> str:
        return f"ApiSession({self.instance_url!r}, org {self.org_id}, user {self.user_id})"


class _Version(Struct):
    version: str


class SalesforceClient:
    """REST calls of one org. Safe to use from several threads; every call blocks, at most for the time-outs of the settings.

    Nothing is tried again, except once after a renewed session: a 401 says that nothing was done. A call that the ``budget``
    does not allow is not made.
    """

    def __init__(self, settings: SalesforceSettings, clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self._clock = clock
        self.budget = ApiBudget(settings.daily_share, settings.reserve, clock)
        self.hold = Hold(SYSTEM, clock)
        self.transport = Transport(settings, self.budget.heard)
        self._http = make_session(self.transport)
        self._lock = threading.Lock()
        self._session: ApiSession | None = None

    def session(self) -> ApiSession:
        """The live session; logs in when there is none. Raises ConnectorError."""
        with self._lock:
            if self._session is None:
                self._session = self._log_in()
            return self._session

    def renew(self, stale: ApiSession) -> ApiSession:
        """A session in place of one that was refused; several callers at once cause one login. Raises ConnectorError."""
        with self._lock:
            if self._session is None or self._session is stale:
                self._session = None
                self._session = self._log_in(stale)
                log.info("salesforce_session_renewed", org=self._session.org_id)
            return self._session

    def call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        urgency: Urgency = Urgency.URGENT,
        reading: bool = False,
    ) -> Any:
        """One REST call below ``/services/data/vNN.0/``; ``what`` names it in errors. ``reading``: it changes nothing, as no GET does.

        Raises ConnectorError.
        """
        content = {} if body is None else {"data": msgspec.json.encode(body)}
        writing = method != "GET" and not reading
        read = lambda r: r.json() if r.content else None  # noqa: E731 - as short as the one below
        return self._exchange(method, path, what, urgency, headers, read, writing, params=params, **content)

    def query(
        self, query: str, *, what: str, path: str = "query/", urgency: Urgency = Urgency.URGENT
    ) -> dict[str, Any]:
        """The first answer to a query; it has ``records``, and ``done``. Raises ConnectorError."""
        return _with_records(self.call("GET", path, params={"q": query}, what=what, urgency=urgency), what)

    def pages(self, query: str, *, what: str) -> Iterator[list[dict[str, Any]]]:
        """All rows of a query, as they come: a call for each page. Raises ConnectorError."""
        answer = self.query(query, what=what)
        for page in itertools.count(2):
            yield answer["records"]
            if answer["done"]:
                return
            # .../services/data/v66.0/query/01g…-2000: the part below the version is ours to ask for
            rest = str(answer["nextRecordsUrl"]).partition(f"/v{self.settings.api_version}/")[2]
            answer = _with_records(self.call("GET", rest, what=f"{what} (page {page})"), what)

    def text(
        self, path: str, *, what: str, params: Mapping[str, str], urgency: Urgency
    ) -> tuple[str, Mapping[str, str]]:
        """A GET that is answered with CSV: the text, and the headers of the answer. Raises ConnectorError."""
        accept = {"Accept": "text/csv"}
        read = lambda r: (r.content.decode("utf-8"), r.headers)  # noqa: E731 - as short as the one above
        text, told = self._exchange("GET", path, what, urgency, accept, read, False, params=params)
        return text, told

    def _exchange(
        self,
        method: str,
        path: str,
        what: str,
        urgency: Urgency,
        headers: Mapping[str, str] | None,
        read: Callable[[requests.Response], Any],
        writing: bool,
        **content: Any,
    ) -> Any:
        with self.hold.heeded(but=SHORT, writing=writing):  # also a login is a request
            session = self.session()
            self.budget.spend(urgency)
            return self._answered(session, method, path, what, headers, read, writing, **content)

    def _answered(
        self,
        session: ApiSession,
        method: str,
        path: str,
        what: str,
        headers: Mapping[str, str] | None,
        read: Callable[[requests.Response], Any],
        writing: bool,
        **content: Any,
    ) -> Any:
        # X-PrettyPrint is on in simple-salesforce: a third more bytes for nobody.
        own_headers = {
            "X-PrettyPrint": "0",
            "Sforce-Call-Options": f"client={self.settings.client_name}",
            **(headers or {}),
        }
        renewing = Retrying(
            stop=stop_after_attempt(2), retry=retry_if_exception_type(SalesforceExpiredSession), reraise=True
        )
        try:
            for attempt in renewing:
                with attempt:
                    if attempt.retry_state.attempt_number > 1:
                        session = self.renew(session)
                    all_headers = {**session.api.headers, **own_headers}
                    return read(
                        call_salesforce(session.api.base_url + path, method, self._http, all_headers, **content)
                    )
        except SalesforceError as error:
            raise from_response(error, what, writing=writing, retry_after=self.transport.retry_after) from error
        except requests.RequestException as error:
            raise from_network(error, what, writing=writing) from error
        except UnicodeDecodeError as error:
            raise malformed("text that is not UTF-8", what) from error
        raise AssertionError("tenacity returns or raises")

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, what: str, timeout: float | None = None
    ) -> requests.Response:
        """One urgent call outside of REST, whatever it answers; whoever asks looks after the session. Raises ConnectorError."""
        self.budget.spend(Urgency.URGENT)
        try:
            return self._http.post(url, body, headers=dict(headers), timeout=timeout)
        except requests.RequestException as error:
            raise from_network(error, what, writing=True) from error

    def versions(self) -> list[str]:
        """The API versions the org offers; needs no login. Raises ConnectorError."""
        url, what = f"{self.settings.login_url.rstrip('/')}/services/data/", "the list of API versions"
        try:
            response = self._http.get(url)
        except requests.RequestException as error:
            raise from_network(error, what, writing=False) from error
        try:
            return [one.version for one in msgspec.json.decode(response.content, type=list[_Version])]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise no_api(response, what) from error

    def close(self) -> None:
        """Closes idle connections; a later call opens new ones."""
        self._http.close()

    def _log_in(self, before: ApiSession | None = None) -> ApiSession:
        settings = self.settings
        form, headers = self._credentials()
        url = f"{settings.login_url.rstrip('/')}/services/oauth2/token"
        try:
            token, host = token_login(url, form, "", settings.client_id, headers, None, self._http)
            api = Salesforce(
                instance_url=f"https://{host}",
                session_id=token,
                session=self._http,
                version=settings.api_version,
                object_pairs_hook=None,
            )
            who = {"organization_id": before.org_id, "user_id": before.user_id} if before else api.oauth2("userinfo")
        except SalesforceAuthenticationFailed as error:
            raise login_error(str(error.code), error.auth_message) from error
        except SalesforceError as error:
            raise from_response(error, "the login", writing=False, retry_after=self.transport.retry_after) from error
        except requests.RequestException as error:
            raise from_network(error, "the login", writing=False) from error
        except (AttributeError, TypeError) as error:  # JSON, but not as Salesforce's: the library does not look
            raise no_login() from error
        return ApiSession(token, f"https://{host}", str(who["organization_id"]), str(who["user_id"]), api)

    def _credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """Form and headers of a token request."""
        settings = self.settings
        if settings.auth == "password":
            form = {"grant_type": "password", "client_id": settings.client_id, "username": settings.username}
            # The security token stands behind the password, without a space.
            form["password"] = settings.password.reveal() + settings.security_token.reveal()
            return form | {"client_secret": settings.client_secret.reveal()}, {}
        if settings.auth == "client_credentials":
            pair = f"{settings.client_id}:{settings.client_secret.reveal()}"
            encoded = base64.b64encode(pair.encode()).decode()
            return {"grant_type": "client_credentials"}, {"Authorization": f"Basic {encoded}"}
        expires = self._clock() + _JWT_LIFE
        claims = {
            "iss": settings.client_id,
            "sub": settings.username,
            "aud": settings.audience,
            "exp": int(expires.timestamp()),
        }
        try:
            assertion = jwt.encode(claims, settings.private_key.reveal(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise _unusable_key() from error
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}, {}


def _with_records(answer: Any, what: str) -> dict[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("records"), list):
        raise malformed("an answer without records", what)
    return answer


def _unusable_key() -> ConnectorError:
    return Misconfigured(
        "The private key for the Salesforce login cannot be read. It must be PEM text that begins with "
        "'-----BEGIN PRIVATE KEY-----', RSA, without a password.",
        system=SYSTEM,
        code="private_key",
    )
