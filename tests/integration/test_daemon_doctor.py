"""``fingerpost doctor`` against both sandboxes: what is well and what is not, in plain words, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from alembic import command

from connectors.salesforce.doctor import planned
from routing.bootstrap.settings import load
from routing.ledger.check import current_revision
from routing.ledger.engine import Ledger
from routing.runtime.policies import entity_maps
from routing.runtime.policy_folder import read_folder
from rules.policy import check
from tests.integration.stage import SECRET, Stage, stage


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("doctor"), accounts=20, daemon=False) as made:
        yield made


@pytest.fixture
def crms(one_stage: Stage) -> Iterator[Stage]:
    yield one_stage
    one_stage.faults.clear()
    one_stage.salesforce.store.hidden.clear()


def examine(crms: Stage, exit_code: int, config: Path | None = None, secrets: tuple[str, ...] = ()) -> dict[str, str]:
    """What is not well, by check: detail and advice. Looks for secrets in everything that is printed, in both forms."""
    told = crms.command("doctor", "--json", exit_code=exit_code, config=config)
    shown = crms.command("doctor", exit_code=exit_code, config=config)
    for secret in (SECRET, crms.salesforce.client_secret, crms.hubspot.access_token, "!sandbox.", *secrets):
        assert secret not in told.output + shown.output
    findings = [msgspec.json.decode(line) for line in told.stdout.splitlines()]
    assert len(findings) > 3
    wrong = {
        one["check"].removeprefix("salesforce: ").removeprefix("hubspot: "): f"{one['detail']} {one['advice']}"
        for one in findings
        if not one["ok"]
    }
    assert shown.stdout.count("✗") == len(wrong)
    assert ("All is well." in shown.stderr) == (not wrong)
    return wrong


def test_all_is_well(crms: Stage) -> None:
    assert examine(crms, 0) == {}


def test_a_ledger_is_looked_at_not_changed(crms: Stage, tmp_path: Path) -> None:
    config = crms.write_settings(tmp_path)
    settings = yaml.safe_load(config.read_text("utf-8"))
    file = tmp_path / "ledger.db"
    config.write_text(yaml.safe_dump(settings | {"ledger": str(file)}), "utf-8")
    assert examine(crms, 0, config) == {}
    assert not file.exists()
    old = Ledger(f"sqlite:///{file}")
    command.upgrade(old._alembic(), "0004")
    assert "fingerpost ledger upgrade" in examine(crms, 1, config)["ledger"]
    assert current_revision(old) == "0004"
    old.upgrade()
    assert examine(crms, 0, config) == {}
    old.close()


def test_a_wrong_secret_is_said_not_shown(crms: Stage, tmp_path: Path) -> None:
    config = crms.write_settings(tmp_path, salesforce={"client_secret": "wrong-secret-of-mine"})
    wrong = examine(crms, 1, config, secrets=("wrong-secret-of-mine",))
    assert set(wrong) == {"login"}
    assert "refused the login" in wrong["login"]
    assert "Check client_id, the secret or key" in wrong["login"]
    assert "fields of Lead" in unseen(crms, config)["salesforce: left out"]


def unseen(crms: Stage, config: Path | None = None) -> dict[str, str]:
    """What could not be looked at; it is neither well nor not."""
    told = crms.command("doctor", "--json", exit_code=1, config=config).stdout
    findings = [msgspec.json.decode(line) for line in told.splitlines()]
    shown = crms.command("doctor", exit_code=1, config=config)
    found = {one["check"]: one["detail"] for one in findings if not one["looked"]}
    assert shown.stdout.count("– ") == len(found)
    assert ("Some could not be made" in shown.stderr) == bool(found)
    return found


def test_a_limit_that_is_used_up_is_no_wrong_secret_and_what_was_left_out_is_named(crms: Stage) -> None:
    crms.fault("salesforce", "rate_limited", "login", times=1)
    crms.fault("hubspot", "rate_limited", times=1, retry_after=1)
    findings = [msgspec.json.decode(line) for line in crms.command("doctor", "--json", exit_code=1).stdout.splitlines()]
    wrong = {one["check"]: one["advice"] for one in findings if not one["ok"]}
    assert set(wrong) == {"salesforce: login", "hubspot: HubSpot answers and accepts the token"}
    assert "API usage" in wrong["salesforce: login"]
    assert "begin anew at midnight" in wrong["hubspot: HubSpot answers and accepts the token"]
    assert not any("secret" in one or "token," in one for one in wrong.values())
    left = {one["check"]: one["detail"] for one in findings if not one["looked"]}
    assert "integration user, fields of Lead" in left["salesforce: left out"]
    assert "flows, workflow rules, Apex triggers" in left["salesforce: left out"]
    assert "scopes of the token, owners can be read" in left["hubspot: left out"]


def test_every_check_of_salesforce_is_among_those_that_can_be_named_as_left_out(crms: Stage) -> None:
    told = crms.command("doctor", "--json").stdout
    made = [msgspec.json.decode(line)["check"] for line in told.splitlines()]
    found = [one.removeprefix("salesforce: ") for one in made if one.startswith("salesforce: ")]
    settings = load(crms.config)
    policy, _ = check(read_folder(crms.policy))
    assert policy is not None
    assert settings.salesforce is not None
    assert found == list(planned(settings.salesforce, entity_maps(policy, "salesforce")))


def test_a_wrong_token_is_said_not_shown(crms: Stage, tmp_path: Path) -> None:
    config = crms.write_settings(tmp_path, hubspot={"access_token": "pat-of-another-account"})
    wrong = examine(crms, 1, config, secrets=("pat-of-another-account",))
    assert set(wrong) == {"HubSpot answers and accepts the token"}
    assert "refused the access token" in wrong["HubSpot answers and accepts the token"]


def test_a_field_that_may_not_be_written_is_named(crms: Stage) -> None:
    crms.salesforce.forbid("Lead", "OwnerId")
    crms.salesforce.forbid("Lead", "Phone")
    wrong = examine(crms, 1)
    assert set(wrong) == {"fields of Lead"}
    assert "cannot be written by the integration user: OwnerId, Phone" in wrong["fields of Lead"]
    assert "permission set" in wrong["fields of Lead"]


def test_a_field_that_is_not_there_is_named_in_both_systems(crms: Stage) -> None:
    city = "salesforce: City, hubspot: city}\n    postal_code: {type: text, label: Postal code, salesforce: PostalCode"
    try:
        crms.edit("fields.yaml", city, city.replace("City, hubspot: city", "Town__c, hubspot: town"))
        wrong = examine(crms, 1)
    finally:
        crms.edit("fields.yaml", city.replace("City, hubspot: city", "Town__c, hubspot: town"), city)
    assert set(wrong) == {"fields of Lead", "contacts: every mapped property is there"}
    assert "Town__c" in wrong["fields of Lead"]
    assert "town" in wrong["contacts: every mapped property is there"]


def test_servers_that_do_not_answer_are_named(crms: Stage, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{crms.port}"  # nobody listens there
    config = crms.write_settings(
        tmp_path, salesforce={"login_url": f"https://{nobody}"}, hubspot={"host": f"http://{nobody}"}
    )
    wrong = examine(crms, 1, config)
    assert set(wrong) == {"reachable", "HubSpot answers and accepts the token"}
    assert f"Check login_url (https://{nobody})" in wrong["reachable"]
    assert "could not be reached" in wrong["HubSpot answers and accepts the token"]


def test_a_stream_that_does_not_answer_is_named(crms: Stage, tmp_path: Path) -> None:
    config = crms.write_settings(tmp_path, salesforce={"pubsub_address": f"127.0.0.1:{crms.port}"})
    wrong = examine(crms, 1, config)
    assert set(wrong) == {"change events /data/ChangeEvents"}
    assert f"The Pub/Sub host is 127.0.0.1:{crms.port}" in wrong["change events /data/ChangeEvents"]


def test_a_bad_day_is_told_like_a_fault(crms: Stage) -> None:
    crms.fault("salesforce", "unavailable", "limits", times=2)
    crms.fault("hubspot", "rate_limited", "owners", times=2, retry_after=3)
    wrong = examine(crms, 1)
    assert "503" in wrong["limits"]
    assert "try again once Salesforce is well" in wrong["limits"]
    assert "rate limit" in wrong["owners can be read"]
    assert "Private Apps" in wrong["owners can be read"]


def test_a_policy_with_errors_and_a_missing_folder_are_told(crms: Stage, tmp_path: Path) -> None:
    pools = "overflow: ENT-East"
    try:
        crms.edit("pools.yaml", pools, "overflow: ENT-Easst")
        told = crms.command("doctor", exit_code=1).stdout
        assert "pools.yaml" in told
        assert "ENT-East" in told
    finally:
        crms.edit("pools.yaml", "overflow: ENT-Easst", pools)
    config = crms.write_settings(tmp_path)
    config.write_text(config.read_text("utf-8").replace(str(crms.policy), str(tmp_path / "nowhere")), "utf-8")
    told = crms.command("doctor", exit_code=1, config=config).stdout
    assert "There is no policy folder" in told
