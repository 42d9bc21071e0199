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
        ("9000", "many", "intake: .*int"),
        ("{file: secret.txt}", "s3cret-one", "is a secret and does not belong in this file"),
        ("[{env: HS_SECRET}]", "[s3cret-three]", "is a secret and does not belong in this file"),
        ("{env: SF_ID}", "{env: SF_NOT_SET}", "SF_NOT_SET, which is not set"),
        ("secret.txt", "nowhere.txt", "nowhere.txt, which cannot be read"),
        ("{port: 9000}", "{port: 9000", "line 5, column"),
        ("login_url: https://acme.my.salesforce.com", "", "login_url"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(write(folder, GOOD.replace(old, new, 1)))
    assert "s3cret" not in str(caught.value)


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
