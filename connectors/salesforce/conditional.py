"""Changes that Salesforce itself guards: each row is changed only if nobody changed it since we looked.

Collections know no conditions, so each row is a request of its own, 25 of them in one Composite call. Salesforce compares whole seconds
(If-Unmodified-Since with LastModifiedDate): a change within the second of the last one is not seen. Subrequests inherit no header but
who we are: what the org's rules must not do is said in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import format_datetime
from typing import Any

from connectors.contract import WriteResult
from connectors.errors import ConnectorError
from connectors.salesforce.errors import CONVERTED, malformed, row_error
from routing.core.model import Write

ROWS = 25  # subrequests a Composite call takes

Row = dict[str, Any]


def body(writes: Sequence[Write], rows: Sequence[Row], headers: Mapping[str, str], version: str) -> Row:
    """The Composite call that changes ``rows`` (as Collections take them); each write says since when its row must be unchanged."""
    requests = []
    for number, (write, row) in enumerate(zip(writes, rows, strict=True)):
        assert write.seen_at is not None
        fields = {name: value for name, value in row.items() if name not in ("attributes", "id")}
        requests.append(
            {
                "method": "PATCH",
                "url": f"/services/data/v{version}/sobjects/{row['attributes']['type']}/{row['id']}",
                "referenceId": f"row{number}",
                "httpHeaders": {**headers, "If-Unmodified-Since": format_datetime(write.seen_at, usegmt=True)},
                "body": fields,
            }
        )
    return {"allOrNone": False, "compositeRequest": requests}


def judged(writes: Sequence[Write], answer: Any) -> list[WriteResult]:
    """One result a write. Raises MalformedAnswer where the answer does not fit what was asked."""
    results = answer.get("compositeResponse") if isinstance(answer, dict) else None
    said = {one.get("referenceId"): one for one in results or ()}
    if len(said) != len(writes):
        raise malformed(f"{len(said)} results", f"a guarded write of {len(writes)} records", writing=True)
    return [_judged(write, said[f"row{number}"]) for number, write in enumerate(writes)]


def _judged(write: Write, said: Row) -> WriteResult:
    status = int(said["httpStatusCode"])
    if status < 300:
        return WriteResult(write.write_id)
    return refused(write, row_error(write.record_id, write.entity, status, said.get("body")))


def refused(write: Write, error: ConnectorError | None) -> WriteResult:
    """What an error of one row means to its write. Whoever converted a lead meanwhile was faster: nobody could correct that and retry."""
    if error is not None and error.code == CONVERTED:
        return WriteResult(write.write_id, overtaken=f"the {write.entity} was converted meanwhile")
    return WriteResult(write.write_id, error)
