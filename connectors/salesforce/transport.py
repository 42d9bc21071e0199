"""The HTTP session below simple-salesforce: time-outs on every request, our TLS root, and what the headers tell."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from connectors.patience import wait_asked
from connectors.salesforce.errors import SYSTEM
from connectors.salesforce.settings import SalesforceSettings

_USAGE = re.compile(r"(?<!-)api-usage=(\d+)/(\d+)")
_LOOPBACK = ("https://127.0.0.1", "https://localhost")


class Transport(HTTPAdapter):
    """Sends requests. ``calls`` counts them; ``heard`` is told the org's calls of the day and their limit, as answers tell."""

    def __init__(self, settings: SalesforceSettings, heard: Callable[[int, int], None]) -> None:
        super().__init__(pool_connections=2, pool_maxsize=4)  # delivery, reading and the pages, side by side
        self._timeout = (settings.connect_timeout_seconds, settings.timeout_seconds)
        self._ca_file = settings.ca_file
        self._lock = threading.Lock()
        self._last = threading.local()
        self.calls = 0
        self._heard = heard

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """As HTTPAdapter.send. simple-salesforce passes no time-out, so ours holds; the root given in the settings
        wins over the environment's, and loopback is never asked of a proxy."""
        self._last.retry_after = None
        with self._lock:
            self.calls += 1
        if (request.url or "").startswith(_LOOPBACK):
            proxies = {}
        response = super().send(request, stream, timeout or self._timeout, self._ca_file or verify, cert, proxies)
        if found := _USAGE.search(response.headers.get("Sforce-Limit-Info", "")):
            self._heard(int(found[1]), int(found[2]))
        self._last.retry_after = wait_asked(response.headers, SYSTEM)
        self._last.date = response.headers.get("Date", "")
        return response

    @property
    def retry_after(self) -> float | None:
        """How long the last answer to this thread asked to wait, in seconds."""
        return getattr(self._last, "retry_after", None)

    @property
    def date(self) -> str:
        """The Date header of the last answer to this thread."""
        return getattr(self._last, "date", "")


def make_session(transport: Transport) -> requests.Session:
    """A session over the transport that keeps no cookies and takes no passwords from ~/.netrc."""
    session = requests.Session()
    session.mount("https://", transport)
    session.auth = _leave_alone
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The Authorization header is set by the caller; without this, requests would replace it from ~/.netrc."""
    return request
