"""One place where requests to Marketo are made, counted, timed out and their failures translated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
import requests

from connectors.errors import AuthenticationFailed, ConnectorBug, MalformedAnswer, is_gateways
from connectors.marketo import errors
from connectors.marketo.errors import TOKEN_CODES, Said
from connectors.marketo.settings import SYSTEM, MarketoSettings
from connectors.patience import Hold, wait_asked

T = TypeVar("T")
_LONGEST_QUERY = 7_000  # bytes; addresses over 8 KB are refused, and those of GETs can be sent as a form
_EXPORTS = ("/create.json", "/enqueue.json")  # what new exports go by
_EARLY = timedelta(seconds=60)  # a token is renewed before it expires on the way


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: int = 3600


class _Head(msgspec.Struct, frozen=True):
    """What every answer has, apart from its result."""

    success: bool
    errors: list[Said] = []


class Client:
    """Safe to use from several threads. Never repeats a request, but for one with an expired token, which Marketo did not carry out."""

    def __init__(self, settings: MarketoSettings, clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.calls = 0
        self.date = ""  # of the last answer, as the header has it
        self._clock = clock
        self.hold, self.export_hold = Hold(SYSTEM, clock), Hold(SYSTEM, clock, "exports")
        self._http = requests.Session()
        self._host = settings.host.rstrip("/")
        self._lock = threading.Lock()
        self._token = ""
        self._until: datetime | None = None

    def get(self, what: str, path: str, shape: type[T], query: Mapping[str, str] | None = None) -> T:
        """A request that changes nothing. Raises ConnectorError."""
        text = urlencode(query or {})
        if len(text) > _LONGEST_QUERY:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._decode(
                what, self._send(what, "POST", f"{path}?_method=GET", text.encode(), form, False), shape
            )
        return self._decode(what, self._send(what, "GET", f"{path}?{text}" if text else path, None, {}, False), shape)

    def post(self, what: str, path: str, body: object, shape: type[T]) -> T:
        """A request that may change something; ``outcome_unknown`` of what it raises tells whether it did. Raises ConnectorError."""
        content = {"Content-Type": "application/json"}
        raw = self._send(what, "POST", path, msgspec.json.encode(body), content, True)
        return self._decode(what, raw, shape, writing=True)

    def file(self, what: str, path: str) -> bytes:
        """A file of a bulk export: no envelope around it, unless it is refused. Raises ConnectorError."""
        return self._send(what, "GET", path, None, {}, False, envelope=False)

    def login(self) -> None:
        """Fetches a token unless there is one that lasts. Raises ConnectorError."""
        with self._lock:
            self._renew_token("")

    def close(self) -> None:
        """Lets go of the connections."""
        self._http.close()

    # -- requests -------------------------------------------------------------------------------------------------

    def _send(
        self,
        what: str,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        writing: bool,
        *,
        envelope: bool = True,
    ) -> bytes:
        # Where no more can be exported, all else goes on, and so do the exports that are under way.
        exports = self.export_hold.heeded() if path.endswith(_EXPORTS) else nullcontext()
        with exports, self.hold.heeded(but=errors.NO_EXPORTS, writing=writing):
            return self._until_answered(what, method, path, body, headers, writing, envelope=envelope)

    def _until_answered(
        self,
        what: str,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        writing: bool,
        *,
        envelope: bool,
    ) -> bytes:
        refused = ""
        while True:
            with self._lock:
                token = self._renew_token(refused)
            bearer = {**headers, "Authorization": f"Bearer {token}"}
            raw, retry_after = self._exchange(what, method, path, body, bearer, writing=writing)
            # A file that cannot be had comes as a refusal in its place; the first line of a real one names fields.
            refusal = envelope or raw.startswith(b"{")
            head = self._decode(what, raw, _Head, writing=writing) if refusal else None
            if head is None or head.success:
                return raw
            said = head.errors[0] if head.errors else Said()
            if str(said.code) in TOKEN_CODES and not refused:
                refused = token
                continue
            raise errors.of_code(said, what, writing=writing, retry_after=retry_after)

    def _exchange(
        self, what: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, writing: bool
    ) -> tuple[bytes, float | None]:
        with self._lock:
            self.calls += 1
        settings = self.settings
        try:
            answer = self._http.request(
                method,
                self._host + path,
                data=body,
                headers=dict(headers),
                timeout=(settings.connect_timeout, settings.read_timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise errors.of_network(error, what, writing=writing) from error
        self.date = answer.headers.get("Date", "")
        if is_gateways(answer.status_code, answer.content):
            raise errors.of_page(what, writing=writing)
        if answer.status_code != 200:
            raise errors.of_status(answer.status_code, answer.headers, what, writing=writing) from None
        # Marketo itself does not say how long to wait, but gateways before it may.
        return answer.content, wait_asked(answer.headers, SYSTEM)

    def _renew_token(self, refused: str) -> str:
        """The token in use; another one when there is none, it is about to expire, or it is the ``refused`` one."""
        if self._token and self._token != refused and self._until is not None and self._clock() < self._until - _EARLY:
            return self._token
        settings = self.settings
        form = {"grant_type": "client_credentials"}
        form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        try:
            answer = self._http.post(  # a form, so that the secret stands in no address
                f"{self._host}/identity/oauth/token",
                data=form,
                timeout=(settings.connect_timeout, settings.read_timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise errors.of_network(error, "logging in", writing=False) from None
        if answer.status_code != 200:
            raise errors.of_status(answer.status_code, answer.headers, "logging in", writing=False)
        try:
            token = msgspec.json.decode(answer.content, type=_Token)
        except msgspec.DecodeError:
            raise AuthenticationFailed("logging in: Marketo's answer holds no access token", system=SYSTEM) from None
        self._token, self._until = token.access_token, self._clock() + timedelta(seconds=token.expires_in)
        return self._token

    @staticmethod
    def _decode(what: str, raw: bytes, shape: type[T], *, writing: bool = False) -> T:
        try:
            return msgspec.json.decode(raw, type=shape)
        except msgspec.DecodeError as error:
            said = f"Marketo's answer to {what} has an unexpected shape ({error}); a newer version of the connector may be needed"
            if isinstance(error, msgspec.ValidationError) and not writing:
                raise ConnectorBug(said, system=SYSTEM) from error
            raise MalformedAnswer(said, system=SYSTEM, outcome_unknown=writing) from error
