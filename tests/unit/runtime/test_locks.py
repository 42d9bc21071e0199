"""What a CRM locks along with the record that a write is about."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from routing.core.model import Record, Write
from routing.ledger import mirror, outbox
from routing.ledger.engine import Ledger
from routing.runtime.working_set import WorkingSet
from tests.conftest import START
from tests.unit.runtime.test_loop import OWN

ACCOUNT = "salesforce:account:001A"


def record(entity: Any, record_id: str, **values: Any) -> tuple[Record, frozenset[Any]]:
    return Record(system="salesforce", entity=entity, record_id=record_id, values=values), frozenset()


def write(entity: Any, record_id: str, kind: Any = "update", **fields: Any) -> Write:
    return Write(
        write_id="w",
        decision_id="d",
        system="salesforce",
        entity=entity,
        record_id=record_id,
        fields=fields,
        guard={},
        kind=kind,
    )


@pytest.mark.parametrize(
    ("owed", "above"),
    [
        (write("opportunity", "006A", owner="005A"), ACCOUNT),
        (write("opportunity", "006A", account="001B"), "salesforce:account:001B"),
        (write("opportunity", "006B", owner="005A"), ""),  # it names none
        (write("opportunity", "006X", owner="005A"), ""),  # nobody knows it
        (write("task", "w", "create", subject="Call", about_entity="opportunity", about="006A"), ACCOUNT),
        (write("task", "w", "create", subject="Call", about_entity="lead", about="00Q1"), ""),
        (write("account", "001A", owner="005A"), ""),
        (write("lead", "00Q1", "convert", account="001A", owner="005A"), ACCOUNT),
        (
            write("campaign_member", "w", "create", campaign="701A", about_entity="lead", about="00Q1"),
            "salesforce:campaign:701A",
        ),
    ],
)
def test_the_account_above_or_the_campaign_is_locked_too(ledger: Ledger, owed: Write, above: str) -> None:
    with ledger.write() as conn:
        known = [record("opportunity", "006A", account="001A"), record("opportunity", "006B"), record("lead", "00Q1")]
        mirror.save(conn, known)
        found = WorkingSet(conn, [], OWN).locks([owed])
    assert found == ({"w": above} if above else {})


def test_new_people_of_one_address_are_made_by_one_process_after_the_other(ledger: Ledger) -> None:
    """Marketo makes two leads of two that come at the same moment. The address itself is not filed."""
    made = {
        name: msgspec.structs.replace(write("lead", name, "create", email=email), write_id=name)
        for name, email in (("a", "Jo@X.example"), ("b", "jo@x.example "), ("c", "else@x.example"))
    }
    with ledger.write() as conn:
        found = WorkingSet(conn, [], OWN).locks(list(made.values()))
        assert found["a"] == found["b"] != found["c"]
        assert "@" not in str(found)
        first = {"a": made["a"], "c": made["c"]}
        outbox.add(conn, [(one, 0, 0) for one in first.values()], START, found)
        assert {one.write.write_id for one in outbox.claim(conn, "salesforce", 9, START, "one")} == {"a", "c"}
        outbox.add(conn, [(made["b"], 0, 0)], START, found)
        assert outbox.claim(conn, "salesforce", 9, START, "other") == []
        [sent] = [seq for seq, name in conn.exec_driver_sql("SELECT seq, write_id FROM outbox") if name == "a"]
        outbox.end(conn, [outbox.Fate(sent, "confirmed")], START, "one")
        assert [one.write.write_id for one in outbox.claim(conn, "salesforce", 9, START, "other")] == ["b"]
