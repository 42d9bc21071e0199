"""Secrets stay hidden; generated code is current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from connectors.salesforce.client import ApiSession
from connectors.salesforce.settings import SalesforceSettings, Secret

ROOT = Path(__file__).parents[3]


def test_settings_never_show_their_secrets() -> None:
    settings = SalesforceSettings(
        login_url="https://a.example", client_id="id", client_secret=Secret("hush"), private_key=Secret("whisper")
    )
    for shown in (repr(settings), str(settings), f"{settings.client_secret}", f"{settings.private_key!r}"):
        assert "hush" not in shown
        assert "whisper" not in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


def test_a_session_does_not_show_its_token() -> None:
    session = ApiSession(token="hush", instance_url="https://a.example", org_id="00D1", user_id="0051", api=None)
    assert "hush" not in repr(session)


def test_the_generated_pubsub_code_is_current(tmp_path: Path) -> None:
    source = "connectors/salesforce/pubsub.proto"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", source],
        cwd=ROOT,
        check=True,
    )
    for name in ("pubsub_pb2.py", "pubsub_pb2.pyi"):
        made = (tmp_path / "connectors" / "salesforce" / name).read_text()
        assert (ROOT / "connectors" / "salesforce" / name).read_text() == made, f"generate {name} again, see README.md"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"topics": []}, "topics names no channel"),
        ({"daily_share": 1.5}, "from 0 to 1"),
        ({"poll_seconds": 0.1}, "from 1 to 3,600"),
    ],
)
def test_settings_that_cannot_be_say_what_they_should_be(given: dict[str, object], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert({"login_url": "https://a.example", "client_id": "id", **given}, SalesforceSettings)
