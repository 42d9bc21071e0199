"""The SOAP door of the sandbox, with what REST does not offer: convertLead and merge, in the shapes of the partner WSDL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from xml.etree.ElementTree import Element, SubElement, tostring

from starlette.requests import Request
from starlette.responses import Response

from connectors.salesforce.soap import NotXml, parse
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.salesforce import joins
from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.salesforce.collections import by_fault
from connectors.sandbox.salesforce.sessions import Sessions
from connectors.sandbox.salesforce.store import Store
from connectors.sandbox.serving import page

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_PARTNER = "urn:partner.soap.sforce.com"
_FAULT = "urn:fault.partner.soap.sforce.com"
_MOST = {"convertLead": 100, "merge": 200}


class SoapFault(Exception):
    """The call as a whole is refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Door(Protocol):
    """What this shares with REST: the day's calls, and going silent."""

    store: Store
    sessions: Sessions
    faults: Faults
    actor: str

    @property
    def usage(self) -> tuple[int, int]: ...

    def spend(self) -> bool: ...


class SoapApi:
    """Answers calls over the store of REST. ``hang_up`` drops the connection; ``pause`` waits."""

    def __init__(
        self, door: Door, hang_up: Callable[[Request], Any], pause: Callable[[float], Any], versions: tuple[str, ...]
    ) -> None:
        self._door, self._hang_up, self._pause, self._versions = door, hang_up, pause, versions

    async def endpoint(self, request: Request) -> Response:
        """One POST to ``/services/Soap/u/NN.0``."""
        body = await request.body()
        fault: Fault | None = None
        try:
            root = self._read(request, body)
            fault = self._door.faults.take("salesforce", "soap", body)
            if fault is None or fault.kind in (
                "slow",
                "partial",
                "lock",
                "timeout_after_commit",
                "broken_after_commit",
                "nonsense",
            ):
                results = self._carry_out(root, fault)
                if fault is not None and fault.kind == "timeout_after_commit":
                    return await self._hang_up(request)  # type: ignore[no-any-return]
                if fault is not None and fault.kind == "broken_after_commit":
                    self._refuse(fault)
                if fault is not None and fault.kind == "nonsense":
                    return page()
                if fault is not None and fault.kind == "slow":
                    await self._pause(fault.seconds)
                return self._answer(results)
            if fault.kind == "page":
                return page()
            if fault.kind == "timeout":
                return await self._hang_up(request)  # type: ignore[no-any-return]
            self._refuse(fault)
            raise AssertionError("refused")
        except SoapFault as error:
            return _fault(error, fault)

    def _read(self, request: Request, body: bytes) -> Element:
        if request.path_params["version"] not in self._versions:
            raise SoapFault("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL")
        if "soapaction" not in request.headers:
            raise SoapFault("Client", "SOAPAction HTTP header missing")
        try:
            root = parse(body)
        except NotXml as error:
            raise SoapFault("Client", f"Error in parsing: {error}") from error
        if not self._door.sessions.live(root.findtext(".//{*}SessionHeader/{*}sessionId") or ""):
            raise SoapFault("INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session")
        if not self._door.spend():
            raise SoapFault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        return root

    def _refuse(self, fault: Fault) -> None:
        if fault.kind == "expired_session":
            self._door.sessions.expire()
            raise SoapFault("INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session")
        if fault.kind == "forbidden":
            raise SoapFault("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")
        if fault.kind in ("rate_limited", "daily_limit"):
            raise SoapFault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if fault.kind == "unavailable":
            raise SoapFault("SERVER_UNAVAILABLE", "Server is too busy to handle this request. Try again later.")
        raise SoapFault("UNKNOWN_EXCEPTION", "An unexpected error occurred.")

    def _carry_out(self, root: Element, fault: Fault | None) -> tuple[str, list[Mapping[str, Any]]]:
        call = next(iter(root.find(f"{{{_ENVELOPE}}}Body") or ()), None)
        name = call.tag.rpartition("}")[2] if call is not None else ""
        if call is None or name not in _MOST or call.tag != f"{{{_PARTNER}}}{name}":
            raise SoapFault("Client", f"No operation available for request {name}")
        asked = list(call)
        if len(asked) > _MOST[name]:
            raise SoapFault("EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {_MOST[name]} records")
        options = {
            "actor": self._door.actor,
            "client": root.findtext(".//{*}CallOptions/{*}client") or "",
            "origin": "com/salesforce/api/soap/66.0",
            "insists": root.findtext(".//{*}DuplicateRuleHeader/{*}allowSave") == "true",
        }
        carry_out = self._convert if name == "convertLead" else self._merge
        results: list[Mapping[str, Any]] = []
        for index, one in enumerate(asked):
            try:
                if fault is not None and fault.kind in ("partial", "lock") and fault.hits(index):
                    raise by_fault(fault, one.findtext("{*}leadId") or "")
                results.append({**carry_out(one, options), "success": "true"})
            except SaveError as error:
                results.append({"errors": error, "success": "false"})
        return name, results

    def _convert(self, asked: Element, options: Mapping[str, Any]) -> dict[str, Any]:
        given = {one.tag.rpartition("}")[2]: one.text or "" for one in asked}
        if list(given) != sorted(given):
            raise SoapFault("Client", f"Element {next(iter(given))} invalid at this location")
        if not all(row["PermissionsConvertLeads"] for row in self._door.store.rows("UserPermissionAccess").values()):
            raise SaveError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", ["leadId"])
        return joins.convert(self._door.store, given, options)

    def _merge(self, asked: Element, options: Mapping[str, Any]) -> dict[str, Any]:
        record = asked.find("{*}masterRecord")
        if record is None or asked[0] is not record:
            raise SoapFault("Client", "Element masterRecord missing, or not at the begin of the request")
        parts = [(one.tag.rpartition("}")[2], one.text or "") for one in record]
        if [name for name, _ in parts if name in ("type", "fieldsToNull", "Id")] != sorted(
            (name for name, _ in parts if name in ("type", "fieldsToNull", "Id")),
            key=("type", "fieldsToNull", "Id").index,
        ):
            raise SoapFault("Client", "type, fieldsToNull and Id of a record come in this order")
        named = dict(parts)
        kind = named.get("type", "")
        fields: dict[str, Any] = {value: None for name, value in parts if name == "fieldsToNull"}
        definition = self._door.store.objects.get(kind)
        for name, text in parts:
            if name not in ("type", "fieldsToNull", "Id"):
                field = definition.fields.get(name) if definition is not None else None
                fields[name] = _typed(field.type if field is not None else "string", text)
        if kind in self._door.store.kept:
            raise SaveError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
        losers = [one.text or "" for one in asked.findall("{*}recordToMergeIds")]
        merged, moved = joins.merge(self._door.store, kind, named.get("Id", ""), losers, fields, options)
        return {"id": named["Id"], "mergedRecordIds": merged, "updatedRelatedIds": moved}

    def _answer(self, carried_out: tuple[str, list[Mapping[str, Any]]]) -> Response:
        name, results = carried_out
        envelope = Element(f"{{{_ENVELOPE}}}Envelope")
        info = SubElement(SubElement(envelope, f"{{{_ENVELOPE}}}Header"), f"{{{_PARTNER}}}LimitInfoHeader")
        limit = SubElement(info, f"{{{_PARTNER}}}limitInfo")
        used, most = self._door.usage
        for part, text in (("current", used), ("limit", most), ("type", "API REQUESTS")):
            SubElement(limit, f"{{{_PARTNER}}}{part}").text = str(text)
        body = SubElement(SubElement(envelope, f"{{{_ENVELOPE}}}Body"), f"{{{_PARTNER}}}{name}Response")
        for result in results:
            _result(SubElement(body, f"{{{_PARTNER}}}result"), result)
        return Response(tostring(envelope, "utf-8", xml_declaration=True), media_type="text/xml;charset=utf-8")


def _result(element: Element, result: Mapping[str, Any]) -> None:
    for name, value in sorted(result.items()):
        if isinstance(value, SaveError):
            error = SubElement(element, f"{{{_PARTNER}}}{name}")
            for field in value.fields:
                SubElement(error, f"{{{_PARTNER}}}fields").text = field
            SubElement(error, f"{{{_PARTNER}}}message").text = value.message
            SubElement(error, f"{{{_PARTNER}}}statusCode").text = value.code
            continue
        for text in value if isinstance(value, list) else [value]:
            SubElement(element, f"{{{_PARTNER}}}{name}").text = text


def _typed(kind: str, text: str) -> Any:
    if kind == "boolean":
        return text == "true"
    if kind in ("int", "currency", "double"):
        return int(text) if kind == "int" else float(text)
    return text


def _fault(error: SoapFault, fault: Fault | None) -> Response:
    """As Salesforce answers: HTTP 500, the code in front of the words; ``Client`` is what SOAP itself says of a bad request."""
    envelope = Element(f"{{{_ENVELOPE}}}Envelope")
    body = SubElement(SubElement(envelope, f"{{{_ENVELOPE}}}Body"), f"{{{_ENVELOPE}}}Fault")
    prefix = "soapenv" if error.code == "Client" else "sf"
    body.set(f"xmlns:{prefix}", _ENVELOPE if prefix == "soapenv" else _FAULT)
    SubElement(body, "faultcode").text = f"{prefix}:{error.code}"
    SubElement(body, "faultstring").text = str(error) if prefix == "soapenv" else f"{error.code}: {error}"
    headers = {}
    if fault is not None and fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    text = tostring(envelope, "utf-8", xml_declaration=True)
    return Response(text, 500, headers=headers, media_type="text/xml;charset=utf-8")
