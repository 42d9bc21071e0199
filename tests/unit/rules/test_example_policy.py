"""The example policy sends leads where a sales team would expect them."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import pytest

from routing.runtime.policy_tests import compile_tested
from rules.model import Walk
from rules.policy import Policy, check, compile_policy
from tests.unit.rules.samples import EXAMPLE, facts, shared_example, walk


@cache
def policy() -> Policy:
    return compile_policy(shared_example())


def routed(
    lead: dict[str, Any] | None = None, account: dict[str, Any] | None = None, system: str = "salesforce", **more: Any
) -> Walk:
    return walk(policy(), facts(lead, account, system=system, **more))


@pytest.mark.parametrize(
    ("lead", "account", "rule", "pool"),
    [
        ({"country": "US", "state": "CA", "employees": 1000}, None, "Enterprise West", "ENT-West"),
        ({"country": "US", "state": "CA", "employees": 999}, None, "Mid-market West", "MM-West"),
        ({"country": "US", "state": "CA"}, {"employees": 5000}, "Enterprise West", "ENT-West"),
        ({"country": "US", "employees": 5000}, None, "Enterprise East", "ENT-East"),
        ({"country": "US"}, None, "Mid-market East", "MM-East"),
        ({"country": "CA", "state": "BC"}, None, "Mid-market Western Canada", "MM-West"),
        ({"country": "BR", "employees": 30}, None, "Latin America", "LATAM"),
        ({"country": "de"}, None, "DACH", "MM-DACH"),
        ({}, {"country": "AT", "employees": 2000}, "Enterprise DACH", "ENT-EMEA"),
        ({"country": "FR"}, None, "France and Benelux", "MM-South"),
        ({"country": "SE"}, None, "Nordics and Baltics", "MM-North"),
        ({"country": "JP", "industry": "banking", "employees": 10}, None, "Banks in Asia", "ENT-APAC"),
        ({"country": "AU"}, None, "Asia-Pacific", "MM-APAC"),
    ],
)
def test_territories(lead: dict[str, Any], account: dict[str, Any] | None, rule: str, pool: str) -> None:
    found = routed(lead, account)
    assert (found.rung, found.action.kind, found.action.value) == ("Territory", "pool", pool)
    assert found.rule.endswith(f": {rule}")


def test_what_no_territory_covers_goes_to_inbound() -> None:
    for lead in ({"country": "AQ"}, {}, {"country": "Atlantis"}):
        assert (routed(lead).rung, routed(lead).action.value) == ("Otherwise", "Inbound")


def test_an_embargoed_country_is_on_hold() -> None:
    assert routed({"country": "KP"}).action.kind == "hold"


def test_the_ladder_in_its_order() -> None:
    csm, seller, other = "sven.hoffmann@example.com", "ana.diaz@example.com", "yuki.tanaka@example.com"
    account = {"type": "Customer", "csm": csm, "open_opportunities": 1, "opportunity_owner": seller}
    lead = {"domain": "acme-robotics.example", "owner": seller, "last_touch": "2025-11-10"}
    assert routed(lead, account, counterpart={"owner": other}).person == csm
    account["type"] = "Prospect"
    assert routed(lead, account, counterpart={"owner": other}).rung == "An open opportunity keeps its owner"
    account["open_opportunities"] = 0
    assert routed(lead, account, counterpart={"owner": other}).person == other
    kept = routed(lead, account)
    assert (kept.action.kind, kept.person) == ("keep", seller)
    lead["last_touch"] = "2025-10-01"
    assert routed(lead, account, "hubspot").rung == "Named account"
    lead["domain"] = "somebody.example"
    assert routed(lead, account, "hubspot").action.value == "Marketing desk"
    assert routed(lead, account).action.value == "Inbound"


def test_only_the_marketing_desk_and_named_people_get_leads_from_hubspot() -> None:
    countries = ("US", "DE", "JP", "BR", "AQ", "KP", None)
    assert {routed({"country": country}, system="hubspot").action.value for country in countries} == {"Marketing desk"}


def test_creations_enter_and_updates_do_not() -> None:
    assert policy().enters(facts()).held
    assert not policy().enters(facts(kind="updated", changed=["country"])).held


@pytest.mark.parametrize("at", ["2026-11-22T03:00:00+00:00", "2026-12-25T11:00:00+00:00"])
def test_the_example_with_hours_passes_its_own_tests_whatever_the_time(at: str) -> None:
    files = {path.name: path.read_bytes() for path in (EXAMPLE.parent / "hours").iterdir()}
    assert check(files)[1] == []
    assert len(compile_tested(files, datetime.fromisoformat(at)).tests) == 6
