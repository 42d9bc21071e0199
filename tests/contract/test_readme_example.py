"""The connector that connectors/README.md shows, word for word, against a system as unpleasant as the suites want it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.faults import OPERATIONS, Fault, Faults
from connectors.sandbox.serving import Served, break_off, page
from routing.core.model import EntityMap, Values
from routing.runtime.clock import utcnow
from tests.contract.delivering import DeliverySuite, post  # noqa: F401 - a fixture
from tests.contract.listening import SourceSuite
from tests.contract.suites import ReaderSuite, SinkSuite

README = Path(__file__).parents[2] / "connectors" / "README.md"
NAMES = ("company", "city", "owner")
LEAD = EntityMap(
    system="parrot", entity="lead", remote="perches", fields=dict(zip(NAMES, NAMES, strict=True)), types={}
)
STATUS = {
    **{"unavailable": 503, "broken": 500, "broken_after_commit": 500, "rate_limited": 429, "daily_limit": 429},
    **{"expired_session": 401, "forbidden": 403},
}


def example() -> dict[str, Any]:
    """What the page defines."""
    [code] = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    found: dict[str, Any] = {"__name__": "parrot"}
    exec(compile(code, str(README), "exec"), found)
    return found


class Parrot:
    """The system. ``log`` is what happened, ``twice`` whether the next of it is told again."""

    def __init__(self, faults: Faults) -> None:
        self.faults, self.twice = faults, False
        self.rows: dict[str, dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []
        self.written: dict[str, int] = {}
        told: dict[str, Callable[..., Any]] = {
            "/perches": self.some,
            "/perches/behind": self.behind,
            "/log/end": self.end,
            "/log/{after}": self.happened,
        }
        routes = [Route(path, self.door("log" if "log" in path else "read", get)) for path, get in told.items()]
        routes.append(Route("/perches", self.door("write", self.write), methods=["POST"]))
        self.served = Served(Starlette(routes=routes), 0, "parrot")

    def door(self, operation: str, handle: Callable[..., Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            fault = self.faults.take("parrot", operation, body)
            kind = fault.kind if fault is not None else ""
            if kind == "broken_after_commit":
                handle(request, body, None)
            if fault is not None and kind in STATUS:
                wait = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                return Response(b"{}", STATUS[kind], headers=wait)
            if fault is not None and kind == "slow":
                await asyncio.sleep(fault.seconds)
            answer = b"" if kind in ("timeout", "page") else msgspec.json.encode(handle(request, body, fault))
            if kind.startswith("timeout"):
                await break_off(request)
            if kind in ("nonsense", "page"):
                return page()
            return Response(answer, media_type="application/json")

        return endpoint

    def some(self, request: Request, *_: Any) -> list[Values]:
        return [self.rows[one] for one in request.query_params["ids"].split(",") if one in self.rows]

    def behind(self, request: Request, *_: Any) -> list[Values]:
        return [self.rows[one] for one in sorted(self.rows) if one > request.query_params["id"]][:200]

    def end(self, *_: Any) -> Values:
        return {"rows": [], "next": len(self.log)}

    def happened(self, request: Request, *_: Any) -> Values:
        rows = self.log[int(request.path_params["after"]) :]
        return {"rows": rows, "next": len(self.log) if not rows else int(request.path_params["after"]) + len(rows)}

    def write(self, _: Request, body: bytes, fault: Fault | None) -> list[str]:
        return [
            self.take(one, fault if fault is not None and fault.hits(n) else None)
            for n, one in enumerate(msgspec.json.decode(body))
        ]

    def take(self, row: Values, fault: Fault | None) -> str:
        if row["id"] not in self.rows:
            return "no such perch"
        if fault is not None and fault.kind == "lock":
            return "locked"
        if fault is not None and fault.kind == "partial":
            return "the sandbox said no"
        if fault is not None and fault.kind == "person_edits":
            self.put(row["id"], dict.fromkeys(row["values"], "by hand"))
        self.put(row["id"], row["values"], by="us")
        self.written[row["id"]] = self.written.get(row["id"], 0) + 1
        return "fine"

    def put(self, record_id: str, values: Values, kind: str = "updated", by: str = "somebody") -> None:
        row = self.rows.setdefault(record_id, {"id": record_id, "values": {}})
        row |= {"values": row["values"] | values, "at": utcnow().isoformat(), "by": by}
        self.tell({**row, "kind": kind, "values": values})

    def tell(self, row: Values) -> None:
        self.log += [{**row, "n": len(self.log)}] * (2 if self.twice else 1)
        self.twice = False


class ParrotStand:
    """See ``heard.SourceStand``."""

    system, entity, text_field, other_field, owner_field = "parrot", "lead", *NAMES
    owners = ("ana", "ben")
    write_operation, read_operation, create_operation, follow_operation = "write", "read", "write", "log"
    departed, person, secrets = "", "somebody", ("a key",)
    exempt: Mapping[str, str] = {
        "forget": "Parrot keeps its log for ever",
        "departed": "Parrot lets anybody own a perch",
        "creation": "Parrot makes no perches for others",
        "lose": "Parrot's perches hold whatever they are given: there is no field to take away",
        "retype": "Parrot's fields have no types",
    }

    def __init__(self, parrot: Parrot, code: dict[str, Any]) -> None:
        self.parrot, self.faults = parrot, parrot.faults
        client = code["Client"](parrot.served.url, "a key")
        self.connection = code["ParrotConnection"](client, lambda: {"lead": LEAD}, utcnow)
        self.source = code["ParrotSource"](client, lambda: {"lead": LEAD}, utcnow, seconds=0.02)

    def create(self, values: Values) -> str:
        record_id = f"{len(self.parrot.log):09}"
        self.parrot.put(record_id, values, "created")
        return record_id

    def change(self, record_id: str, values: Values) -> None:
        self.parrot.put(record_id, values)

    def delete(self, record_id: str) -> None:
        self.parrot.tell({**self.parrot.rows.pop(record_id), "kind": "deleted", "values": {}})

    def held(self, record_id: str) -> Values:
        held: Values = self.parrot.rows[record_id]["values"]
        return held

    def times_written(self, record_id: str) -> int:
        return self.parrot.written.get(record_id, 0)

    def missing_id(self) -> str:
        return "999999999"

    def lose(self, field: str) -> NoReturn:
        raise NotImplementedError

    def regain(self, field: str) -> NoReturn:
        raise NotImplementedError

    def retype(self, record_id: str) -> NoReturn:
        raise NotImplementedError

    def creation(self, email: str) -> NoReturn:
        raise NotImplementedError

    def with_email(self, email: str) -> NoReturn:
        raise NotImplementedError

    def break_streams(self) -> None:
        self.faults.add(Fault(system="parrot", operation="log", kind="unavailable", times=2))

    def deliver_twice(self) -> None:
        self.parrot.twice = True

    def deliver_garbage(self) -> None:
        self.parrot.log.append({"what": "a squawk"})

    @contextmanager
    def reordering(self) -> Iterator[None]:
        log, self.parrot.log = self.parrot.log, []
        yield
        happened, self.parrot.log = self.parrot.log, log
        log += reversed(happened)

    def forget(self, position: bytes) -> NoReturn:
        raise NotImplementedError


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    OPERATIONS["parrot"] = ("read", "write", "log")
    made = Parrot(Faults())
    made.served.start()
    yield made
    made.served.stop()
    del OPERATIONS["parrot"]


@pytest.fixture(scope="module")
def code() -> dict[str, Any]:
    return example()


@pytest.fixture
def stand(parrot: Parrot, code: dict[str, Any]) -> Iterator[ParrotStand]:
    parrot.faults.clear()
    stand = ParrotStand(parrot, code)
    yield stand
    stand.connection.close()


def test_the_places_that_the_page_names_are_there() -> None:
    section = README.read_text("utf-8").partition("## To add a system")[2].partition("```python")[0]
    files = [name for name in re.findall(r"`([^` ]+/[^` ]*\.\w+)`", section) if "NAME" not in name]
    assert len(files) > 8
    assert [name for name in files if not (README.parents[1] / name).is_file()] == []
    for name, file in re.findall(r"`([A-Z]+)`(?: and `[A-Z]+`)? (?:in|of) `([^`]+)`", section):
        assert re.search(rf"^{name}\b", (README.parents[1] / file).read_text("utf-8"), re.MULTILINE), (name, file)


class TestReader(ReaderSuite):
    def test_a_fill_goes_on_behind_what_was_stored(self, stand: ParrotStand) -> None:
        made = [stand.create({"company": "a"}) for _ in range(3)]
        [page] = stand.connection.backfill(["lead"], {"lead": made[0]})
        assert [event.cursor for event in page] == made[1:]


class TestSink(SinkSuite):
    def test_doctor_is_told_whether_it_answers(self, stand: ParrotStand) -> None:
        assert [one.ok for one in stand.connection.check()] == [True]
        stand.faults.add(Fault(system="parrot", operation="read", kind="unavailable"))
        assert [one.ok for one in stand.connection.check()] == [False]


class TestDelivery(DeliverySuite):
    pass


class TestSource(SourceSuite):
    pass
