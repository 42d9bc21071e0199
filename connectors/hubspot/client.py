"""One place where requests to HubSpot are made, counted, timed out and their failures translated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import hubspot
import msgspec
import urllib3.exceptions
from hubspot.crm.objects.exceptions import ApiException as ObjectsException
from hubspot.crm.owners.exceptions import ApiException as OwnersException
from hubspot.crm.properties.exceptions import ApiException as PropertiesException

from connectors.errors import ConnectorBug, MalformedAnswer, is_page
from connectors.hubspot import errors
from connectors.hubspot.quota import Quota
from connectors.hubspot.settings import SYSTEM, HubSpotSettings
from connectors.patience import Hold

T = TypeVar("T")

# Every generated package of the library has an ApiException of its own, without a common base.
_API_ERRORS = (ObjectsException, OwnersException, PropertiesException)


class Answer(msgspec.Struct, frozen=True):
    """A successful answer: 200, 201, 204 or 207."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def decode(self, shape: type[T], what: str, *, writing: bool = False) -> T:
        """The body in that shape. Raises MalformedAnswer when it is no JSON, or after a write has another; else ConnectorBug."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except msgspec.DecodeError as error:
            said = f"HubSpot's answer to {what} has an unexpected shape ({error}); a newer version of the connector may be needed"
            if is_page(self.body):
                said = f"{what}: a web page came. {errors.NO_API}"
            if isinstance(error, msgspec.ValidationError) and not writing:
                raise ConnectorBug(said, system=SYSTEM) from error
            raise MalformedAnswer(said, system=SYSTEM, outcome_unknown=writing) from error


class Client:
    """The library's API objects, made once: each access through ``HubSpot`` would build a new connection pool.

    The library's models are passed by: they take ten times as long as decoding the answer ourselves, and convert types we
    would have to convert back. Safe to use from several threads.
    """

    def __init__(self, settings: HubSpotSettings, clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.quota = Quota(clock, settings.daily_reserve)
        self.hold, self.search_hold = Hold(SYSTEM, clock), Hold(SYSTEM, clock, "searches")
        self.spare_hold = Hold(SYSTEM, clock, "requests that can wait")
        # retry=False: urllib3 would otherwise repeat GETs by itself; repeating is decided in one place, elsewhere.
        crm = hubspot.HubSpot(access_token=settings.access_token, host=settings.host.rstrip("/"), retry=False).crm
        self.batch = crm.objects.batch_api
        self.objects = crm.objects.basic_api
        self.search = crm.objects.search_api
        self.owners = crm.owners.owners_api
        self.properties = crm.properties.core_api
        self.calls = 0
        self._lock, self._closed = threading.Lock(), threading.Event()

    def call(
        self,
        what: str,
        function: Callable[..., Any],
        *args: Any,
        writing: bool = False,
        urgent: bool = True,
        **options: Any,
    ) -> Answer:
        """Makes one request, in its turn (``quota``), and blocks until it is answered or timed out. Never repeats it.

        ``what`` names it for the operator; what is not ``urgent`` leaves the day's last requests to others. Raises ConnectorError.
        """
        if urgent:
            self.quota.check(urgent=True)
        else:
            with self.spare_hold.noticed():
                self.quota.check(urgent=False)
        searches = function == self.search.do_search  # they have a limit of their own
        if not searches:
            self._closed.wait(self.quota.turn())
        with (self.search_hold if searches else self.hold).heeded(writing=writing):
            return self._exchange(what, function, *args, writing=writing, **options)

    def _exchange(self, what: str, function: Callable[..., Any], *args: Any, writing: bool, **options: Any) -> Answer:
        with self._lock:
            self.calls += 1
        try:
            response = function(
                *args,
                _preload_content=False,
                _request_timeout=(self.settings.connect_timeout, self.settings.read_timeout),
                **options,
            )
            self.quota.note(response.headers)
            return Answer(response.status, response.headers, response.data)
        except _API_ERRORS as error:
            self.quota.note(error.headers or {})
            raise errors.of_status(error.status, error.body, error.headers, what, writing=writing) from error
        except urllib3.exceptions.HTTPError as error:
            raise errors.of_network(error, what, writing=writing) from error
        except (AttributeError, UnicodeDecodeError) as error:
            # The library decodes the body of every failure as UTF-8 text: a TLS failure has none (AttributeError), a
            # proxy's page may be in another encoding.
            failed = error.__context__
            if not isinstance(failed, _API_ERRORS):
                raise
            if not failed.status:
                raise errors.of_network(
                    urllib3.exceptions.SSLError(str(failed.reason)), what, writing=writing
                ) from failed
            raise errors.of_status(failed.status, None, failed.headers, what, writing=writing) from failed

    def get(self, what: str, path: str) -> Answer:
        """GET of an address the library has no method for."""
        return self.call(what, self.objects.api_client.call_api, path, "GET", auth_settings=["oauth2"])

    def post(self, what: str, path: str, body: object, *, writing: bool = False) -> Answer:
        """POST to an address the library has no method for."""
        headers = {"Content-Type": "application/json"}
        return self.call(
            what,
            self.objects.api_client.call_api,
            path,
            "POST",
            header_params=headers,
            body=body,
            auth_settings=["oauth2"],
            writing=writing,
        )

    def close(self) -> None:
        """Lets go of the connections, and of whoever waits for a turn."""
        self._closed.set()
        for api in (self.batch, self.objects, self.search, self.owners, self.properties):
            api.api_client.rest_client.pool_manager.clear()
            api.api_client.close()
