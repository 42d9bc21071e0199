"""The two calls that Salesforce offers by SOAP alone: converting leads, and merging records.

simple-salesforce has no partner client, so the envelopes are written here. Answers come from the network: a document type, the
door to entities, is refused, and nothing outside of the answer is ever fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element, ParseError, SubElement, TreeBuilder, XMLParser, tostring

import requests

from connectors.errors import AuthenticationFailed
from connectors.salesforce.budget import SHORT
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import from_soap, malformed

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_PARTNER = "urn:partner.soap.sforce.com"
_OBJECT = "urn:sobject.partner.soap.sforce.com"
# What XML 1.0 has no way to write, not even escaped.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_EXPIRED = "INVALID_SESSION_ID"

Fill = Callable[[Element], None]


class NotXml(Exception):
    """A body that is no XML, or XML of a kind that is not read."""


class _Builder(TreeBuilder):
    def doctype(self, name: str, _pubid: str, _system: str) -> None:
        raise NotXml(f"it declares a document type {name!r}")


def parse(body: bytes) -> Element:
    """The root of a document without a document type, and so without entities of its own. Raises NotXml."""
    parser = XMLParser(target=_Builder())  # noqa: S314 - a document type ends it
    try:
        parser.feed(body)
        root: Element = parser.close()
    except (ParseError, ValueError) as error:
        raise NotXml(str(error)) from error
    return root


def part(parent: Element, name: str, text: str | bool | None = None) -> Element:
    """A new element of the partner API below ``parent``."""
    return _below(parent, f"{{{_PARTNER}}}{name}", text)


def object_part(parent: Element, name: str, text: str | bool | None = None) -> Element:
    """A new element of a record."""
    return _below(parent, f"{{{_OBJECT}}}{name}", text)


def _below(parent: Element, name: str, text: str | bool | None) -> Element:
    made = SubElement(parent, name)
    if text is not None:
        made.text = str(text).lower() if isinstance(text, bool) else _UNWRITABLE.sub("", text)
    return made


def text_of(parent: Element, name: str) -> str:
    """The text of a part of an answer; "" where it is missing or nil."""
    return parent.findtext(f"{{*}}{name}") or ""


def call(
    client: SalesforceClient, name: str, fill: Sequence[Fill], *, what: str, insists: bool, timeout: float | None = None
) -> list[Element]:
    """One SOAP call, an urgent one to the budget: one result for each of ``fill``, in order. ``insists``: despite alerts of duplicate rules.

    A session that has ended is renewed once: then nothing was done. Raises ConnectorError.
    """
    session = client.session()
    for last in (False, True):
        envelope = _envelope(session.token, client.settings.client_name, insists)
        request = part(SubElement(envelope, f"{{{_ENVELOPE}}}Body"), name)
        for one in fill:
            one(request)
        try:
            with client.hold.heeded(but=SHORT, writing=True):
                response = client.post(
                    f"{session.instance_url}/services/Soap/u/{client.settings.api_version}",
                    tostring(envelope, "utf-8", xml_declaration=True),
                    {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
                    what=what,
                    timeout=timeout,
                )
                results = _results(client, response, name, what)
        except AuthenticationFailed as error:
            if last or error.code != _EXPIRED:
                raise
            session = client.renew(session)
            continue
        if len(results) != len(fill):
            raise malformed(f"{len(results)} results for {len(fill)} requests", what, writing=True)
        return results
    raise AssertionError("returns or raises")


def _envelope(token: str, client_name: str, insists: bool) -> Element:
    envelope = Element(f"{{{_ENVELOPE}}}Envelope")
    header = SubElement(envelope, f"{{{_ENVELOPE}}}Header")
    part(part(header, "SessionHeader"), "sessionId", token)
    part(part(header, "CallOptions"), "client", client_name)
    rule = part(header, "DuplicateRuleHeader")
    part(rule, "allowSave", insists)
    part(rule, "includeRecordDetails", False)
    part(rule, "runAsCurrentUser", True)
    return envelope


def _results(client: SalesforceClient, response: requests.Response, name: str, what: str) -> list[Element]:
    retry_after = client.transport.retry_after
    try:
        root = parse(response.content)
    except NotXml as error:
        raise from_soap(response.status_code, "", str(error), what, retry_after) from error
    _hear(client, root)
    fault = root.find(".//{*}Fault")
    if fault is not None:
        # The parts of a fault itself have no namespace: sf:UNABLE_TO_LOCK_ROW.
        code = text_of(fault, "faultcode").rpartition(":")[2]
        said = text_of(fault, "faultstring").removeprefix(f"{code}: ")
        raise from_soap(response.status_code, code, said, what, retry_after)
    if response.status_code != 200:
        raise from_soap(response.status_code, "", "an answer without a fault", what, retry_after)
    return root.findall(f".//{{*}}{name}Response/{{*}}result")


def _hear(client: SalesforceClient, root: Element) -> None:
    """The day's calls, which REST tells in a header of HTTP."""
    for info in root.iterfind(".//{*}LimitInfoHeader/{*}limitInfo"):
        used, limit = text_of(info, "current"), text_of(info, "limit")
        if text_of(info, "type") == "API REQUESTS" and used.isdigit() and limit.isdigit():
            client.budget.heard(int(used), int(limit))
