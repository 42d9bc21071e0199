"""An address that is not the CRM's: doctor says what answered there, and what to write instead."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.contract import Connection, Finding
from connectors.hubspot.connection import HubSpotConnection
from connectors.hubspot.settings import HubSpotSettings
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.settings import SalesforceSettings, Secret
from connectors.sandbox.salesforce.tls import make_certificate
from routing.runtime.clock import utcnow

PAGE = b"<!DOCTYPE html><html><title>Log in</title></html>"


class Server(ThreadingHTTPServer):
    """Answers with ``status`` and ``body``, a POST with ``login``; ``leads_to`` is where a GET is sent on to."""

    daemon_threads, block_on_close = True, False
    status, body, login, leads_to = 200, PAGE, PAGE, ""

    def address(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(302 if self.server.leads_to and self.path != "/login" else self.server.status, self.server.body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.server.status, self.server.login)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{self.server.leads_to}/login")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def served(tls: tuple[Path, Path] | None) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answers) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def plain() -> Iterator[Server]:
    yield from served(None)


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[Server]:
    yield from served(certificate)


@pytest.fixture
def elsewhere(certificate: tuple[Path, Path]) -> Iterator[Server]:
    yield from served(certificate)


def found(connection: Connection) -> Finding:
    """The one thing that is wrong; what depends on it is left out."""
    [first, *_] = wrong = [finding for finding in connection.check() if not finding.ok]
    connection.close()
    assert "hush-hush" not in str(wrong)
    return first


def salesforce(url: str, ca_file: str = "") -> Finding:
    settings = SalesforceSettings(login_url=url, client_id="app", client_secret=Secret("hush-hush"), ca_file=ca_file)
    return found(SalesforceConnection(settings, dict, utcnow))


def hubspot(url: str) -> Finding:
    settings = HubSpotSettings(access_token="hush-hush", host=url, changes="search")
    return found(HubSpotConnection(settings, dict, utcnow))


def test_a_server_whose_name_nobody_knows() -> None:
    told = salesforce("https://acme-typo.my.salesforce.invalid")
    assert told.check == "reachable"
    assert "The name of the server acme-typo.my.salesforce.invalid is not known (DNS)" in told.detail
    told = hubspot("https://api.hubapi.invalid")
    assert "the name of its server is not known (DNS): check the setting host" in told.detail
    assert "https://api.hubapi.invalid" in told.advice


def test_a_server_that_does_not_speak_tls(plain: Server) -> None:
    told = salesforce(plain.address("https"))
    assert f"What answers at 127.0.0.1:{plain.server_port} does not speak TLS" in told.detail
    assert "certificate" not in told.detail
    assert "what answers there does not speak TLS" in hubspot(plain.address("https")).detail


def test_the_page_of_a_browser_instead_of_an_api(
    secure: Server, elsewhere: Server, plain: Server, certificate: tuple[Path, Path]
) -> None:
    secure.leads_to = elsewhere.address("https")
    told = salesforce(secure.address("https"), str(certificate[0]))
    assert told.check == "reachable"
    led = f"127.0.0.1:{secure.server_port} led on to 127.0.0.1:{elsewhere.server_port}, which answered with a web page"
    assert led in told.detail
    assert "https://NAME.my.salesforce.com" in told.detail
    for plain.status in (200, 403, 404):
        told = hubspot(plain.address("http"))
        assert "a web page came. That is not HubSpot's API: check the setting host" in told.detail, plain.status


def test_another_server_instead_of_salesforce(secure: Server, certificate: tuple[Path, Path]) -> None:
    secure.status, secure.body = 404, b'{"detail": "Not Found"}'
    told = salesforce(secure.address("https"), str(certificate[0]))
    assert f"127.0.0.1:{secure.server_port} answered 404, and not as Salesforce does, to" in told.detail
    secure.status, secure.body = 503, b"upstream is away"
    told = salesforce(secure.address("https"), str(certificate[0]))
    assert "answered 503" in told.detail
    assert "It is tried again by itself" in told.detail


@pytest.mark.parametrize(
    ("login", "words"),
    [
        (PAGE, "A web page (200) came in answer to the login"),
        (b"{}", "Something came in answer to the login that Salesforce does not say"),
        (b"[]", "Something came in answer to the login that Salesforce does not say"),
    ],
)
def test_a_login_that_is_answered_by_somebody_else(
    secure: Server, certificate: tuple[Path, Path], login: bytes, words: str
) -> None:
    secure.body, secure.login = b'[{"label": "", "url": "", "version": "66.0"}]', login
    told = salesforce(secure.address("https"), str(certificate[0]))
    assert told.check == "login"
    assert words in told.detail
    assert "https://NAME.my.salesforce.com" in told.detail
    assert "<html" not in told.detail


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("acme.my.salesforce.com", "begins with https://"),
        ("http://acme.my.salesforce.com", "write 'https://acme.my.salesforce.com'"),
        ("http://127.0.0.1:1", "over https:// alone"),
        ("https://acme.my.salesforce.com/lightning/page/home", "write 'https://acme.my.salesforce.com'"),
        ("https:///services", "it names no server"),
        ("https://acme.my.salesforce.com:x", "it names no server"),
    ],
)
def test_what_cannot_be_an_address_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match="login_url is ") as refused:
        SalesforceSettings(login_url=url, client_id="app")
    assert words in str(refused.value)


def test_a_token_is_not_sent_unencrypted() -> None:
    with pytest.raises(ValueError, match="over http:// secrets would go unencrypted"):
        HubSpotSettings(access_token="hush-hush", host="http://api.hubapi.com")
