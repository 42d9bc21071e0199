from __future__ import annotations

from pathlib import Path

import pytest

from routing.bootstrap.settings import SettingsError, load

GOOD = """
policy: rules
ledger: var/ledger.db
intake: {port: 9000}
salesforce:
  login_url: https://acme.my.salesforce.com
  client_id: {env: SF_ID}
  client_secret: {file: secret.txt}
hubspot:
  access_token: {env: HS_TOKEN}
  client_secrets: [{env: HS_SECRET}]
  public_url: https://leads.example.com/hooks/hubspot
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "secret.txt").write_text("s3cret-one\n")
    for name, value in {"SF_ID": "id-1", "HS_TOKEN": "s3cret-two", "HS_SECRET": "s3cret-three"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "fingerpost.yaml"
    path.write_text(text)
    return path


def test_secrets_come_from_the_environment_and_from_files_and_are_never_shown(folder: Path) -> None:
    settings = load(write(folder, GOOD))
    assert settings.policy == folder / "rules"
    assert settings.ledger == f"sqlite:///{folder / 'var/ledger.db'}"
    assert settings.intake.port == 9000
    assert settings.salesforce is not None
    assert settings.salesforce.client_secret.reveal() == "s3cret-one"
    assert settings.hubspot is not None
    assert settings.hubspot.client_secrets == ("s3cret-three",)
    assert "s3cret" not in repr(settings)


def test_tokens_of_the_api_are_secrets_too(folder: Path) -> None:
    settings = load(write(folder, GOOD + "api: {tokens: {telephony: {env: HS_TOKEN}, chat: {file: secret.txt}}}\n"))
    assert {name: token.reveal() for name, token in settings.api.tokens.items()} == {
        "telephony": "s3cret-two",
        "chat": "s3cret-one",
    }
    assert "s3cret" not in repr(settings)
    assert load(write(folder, GOOD)).api.tokens == {}


@pytest.mark.parametrize(
    ("api", "message"),
    [
        ("{tokens: {telephony: s3cret-one}}", "api.tokens.telephony is a secret and does not belong in this file"),
        ("{tokens: {telephony: {env: SF_NOT_SET}}}", "SF_NOT_SET, which is not set"),
        ("{token: {env: HS_TOKEN}}", "api: expected 'tokens:'"),
        ("{tokens: [chat]}", "api: expected 'tokens:'"),
        ("yes", "api: expected 'tokens:'"),
    ],
)
def test_what_is_wrong_with_the_api_is_told_without_the_token(folder: Path, api: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(write(folder, GOOD + f"api: {api}\n"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("policy: rules", "", "'policy' is missing"),
        ("intake:", "intak:", "no setting 'intak'"),
        ("{port: 9000}", "{prot: 9000}", "no setting 'prot'; there are host, port"),
        ("9000", "many", "intake.port: expected a whole number, found text, such as 8710"),
        ("{file: secret.txt}", "s3cret-one", "is a secret and does not belong in this file"),
        ("[{env: HS_SECRET}]", "[s3cret-three]", "is a secret and does not belong in this file"),
        ("{env: SF_ID}", "{env: SF_NOT_SET}", "SF_NOT_SET, which is not set"),
        ("secret.txt", "nowhere.txt", "nowhere.txt, which cannot be read"),
        ("{port: 9000}", "{port: 9000", "line 5, column"),
        ("login_url: https://acme.my.salesforce.com", "", "login_url"),
        ("login_url:", "guard: conditional\n  login_url:", "beside 'fields:' of each kind of record in fields.yaml"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(write(folder, GOOD.replace(old, new, 1)))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("kafka: {}", "kafka.bootstrap_servers is missing, and must be given"),
        (
            "kafka: {bootstrap_servers: 'b:1', sasl_mechanism: GSSAPI}",
            "'GSSAPI'; it must be one of PLAIN, SCRAM-SHA-256",
        ),
        (
            "kafka: {bootstrap_servers: 'b:1', partitions: twelve}",
            "kafka.partitions: expected a whole number, found text, ",
        ),
        ("kafka: {bootstrap_servers: 'b:1', min_insync_replicas: -1}", "min_insync_replicas must be at least 1"),
        (
            "kafka: {bootstrap_servers: 'b:1', changes_retention_hours: .inf}",
            "changes_retention_hours .* at most 1,000,000",
        ),
        (
            "kafka: {bootstrap_servers: 'b:1', decisions_retention_hours: .nan}",
            "decisions_retention_hours must be above 0",
        ),
        (
            "kafka: {bootstrap_servers: 'b:1', session_timeout_seconds: 1}",
            "session_timeout_seconds must be from 6 to 90",
        ),
        (
            "kafka: {bootstrap_servers: 'b:1', session_timeout_seconds: 91}",
            "session_timeout_seconds must be from 6 to 90",
        ),
        (
            "kafka: {bootstrap_servers: 'b:1', delivery_timeout_seconds: .inf}",
            "delivery_timeout_seconds must be from 1",
        ),
        (
            "kafka: {bootstrap_servers: 'b:1', changes_topic: 'my topic/ä'}",
            "Kafka takes no topic of the name 'my topic/ä'",
        ),
        ("kafka: {bootstrap_servers: 'b:1', group: ''}", "client_id and group must not be empty"),
        ("most_owed: 0", "most_owed: expected a whole number of writes, such as 200000"),
        ("most_owed: 1e5", "most_owed: expected a whole number of writes"),
        ("worker: {most_owed: 5}", "worker: 'most_owed' is a setting of all forms now: write it at the left margin"),
        ("worker: {port: 99999}", "worker.port: expected a whole number of at most 65535"),
        ("delivery: 8712", "delivery: expected settings below it"),
    ],
)
def test_what_a_setting_may_be_is_told_in_words(folder: Path, section: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(write(folder, f"policy: rules\n{section}\n"))


MARKETO = "marketo: {host: 'https://x.mktorest.com', client_id: a, client_secret: {env: HS_SECRET}, %s}"
HUBSPOT = "hubspot: {access_token: {env: HS_TOKEN}, %s}"
SALESFORCE = "salesforce: {login_url: 'https://x.my.salesforce.com', client_id: {env: SF_ID}, %s}"


@pytest.mark.parametrize(
    ("section", "setting", "said"),
    [
        (MARKETO, "poll_seconds: 0", "poll_seconds is 0; it is a number of seconds above 0"),
        (MARKETO, "poll_seconds: -1", "poll_seconds is -1"),
        (MARKETO, "poll_seconds: .nan", "poll_seconds is nan"),
        (MARKETO, "daily_calls: 0", "daily_calls is 0"),
        (MARKETO, "daily_reserve: 2", "daily_reserve is 2; it is a part of the day's calls, from 0 to 1"),
        (MARKETO, "first_lead: yesterday", "first_lead is 'yesterday'; it is a date"),
        (MARKETO, "webhook_header: ''", "webhook_header is ''"),
        (MARKETO, "path: x", "path is 'x'; .* begins with /"),
        (MARKETO, "export_look_seconds: 0", "export_look_seconds is 0"),
        (HUBSPOT, "search_seconds: 0", "search_seconds is 0"),
        (HUBSPOT, "journal_seconds: 0", "journal_seconds is 0"),
        (HUBSPOT, "deletions_seconds: 0", "deletions_seconds is 0"),
        (HUBSPOT, "index_lag_seconds: -1", "index_lag_seconds is -1"),
        (HUBSPOT, "daily_reserve: 3", "daily_reserve is 3"),
        (HUBSPOT, "read_timeout: 0", "read_timeout is 0"),
        (HUBSPOT, "path: hooks", "path is 'hooks'"),
        (HUBSPOT, "host: api.hubapi.com", "host is 'api.hubapi.com'; it is an address and begins with https://"),
        (SALESFORCE, "timeout_seconds: -1", "timeout_seconds is -1"),
        (SALESFORCE, "silence_seconds: 0", "silence_seconds is 0"),
        (SALESFORCE, "topics: [/data/A, /data/A]", "names a channel twice"),
        (SALESFORCE, "auth: jwt", "auth jwt needs username and private_key"),
        (SALESFORCE, 'client_name: "a,b"', "client_name is 'a,b'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told_with_what_it_may_be(
    folder: Path, section: str, setting: str, said: str
) -> None:
    text = f"policy: rules\n{section % setting}\n"
    load(write(folder, text.replace(setting, "")))
    with pytest.raises(SettingsError, match=said):
        load(write(folder, text))


def test_a_file_that_is_not_there_or_not_settings(folder: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(folder / "nothing.yaml")
    with pytest.raises(SettingsError, match="expected settings"):
        load(write(folder, "- a\n- b\n"))
    with pytest.raises(SettingsError, match="not YAML"):
        (folder / "fingerpost.yaml").write_bytes(b"\xff\xfe\x00policy")
        load(folder / "fingerpost.yaml")


def test_files_are_named_relative_to_the_settings_wherever_the_process_was_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "fingerpost.yaml"
    file.write_text(
        "policy: policy\nkafka: {bootstrap_servers: 'broker:9092', ca_file: roots.pem, cert_file: /etc/us.pem, key_file: us.key}\n"
    )
    monkeypatch.chdir("/")

    kafka = load(file).kafka

    assert kafka is not None
    assert kafka.ca_file == str(folder / "roots.pem")
    assert (kafka.cert_file, kafka.key_file) == ("/etc/us.pem", str(folder / "us.key"))
