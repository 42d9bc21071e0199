"""``fingerpost.yaml``: what the daemon is told about its surroundings. Secrets come from the environment or from files.

    policy: policy                      # the folder with the rules
    ledger: sqlite:///fingerpost.db     # an SQLAlchemy URL
    intake: {host: 127.0.0.1, port: 8710}
    salesforce:
      login_url: https://example.my.salesforce.com
      client_id: {env: SALESFORCE_CLIENT_ID}
      client_secret: {file: /run/secrets/salesforce}
    hubspot:
      access_token: {env: HUBSPOT_ACCESS_TOKEN}
      client_secrets: [{env: HUBSPOT_CLIENT_SECRET}]
      public_url: https://leads.example.com/hooks/hubspot
    marketo:
      host: https://123-ABC-456.mktorest.com
      client_id: {env: MARKETO_CLIENT_ID}
      client_secret: {env: MARKETO_CLIENT_SECRET}
    api:
      tokens: {telephony: {env: TELEPHONY_TOKEN}}   # who may report presence

Relative paths are relative to the file. ``python -m pydoc connectors.salesforce.settings`` lists what each section takes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
import yaml
from msgspec import Meta, Struct

from connectors.hubspot.settings import HubSpotSettings
from connectors.marketo.settings import MarketoSettings
from connectors.salesforce.settings import SalesforceSettings, Secret
from routing.runtime.bound import MOST_OWED
from routing.runtime.housekeeping import EVIDENCE_DAYS
from routing.runtime.kafka.settings import KafkaSettings
from routing.runtime.services import PATIENCE_SECONDS

T = TypeVar("T")
Port = Annotated[int, Meta(ge=0, le=65535)]

# A value under these names is never written into the file itself, where backups and screens would show it.
SECRETS = frozenset(
    {"client_secret", "client_secrets", "access_token", "private_key", "password", "security_token"}
) | {"webhook_secret"}
DEFAULT_LEDGER = "sqlite:///fingerpost.db"
MOST_BYTES = 1024 * 1024
_HIDE = (
    "{path}: {name} is a secret and does not belong in this file. Write {{env: NAME}} to take it from the environment, or "
    "{{file: PATH}} to read it from a file."
)


class SettingsError(Exception):
    """A settings file that cannot be used; says which setting, and what it should be."""


class IntakeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the daemon listens for webhooks. Keep it on loopback behind a proxy that speaks TLS."""

    host: str = "127.0.0.1"
    port: Port = 8710


class ApiSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON API, served where webhooks are. ``tokens`` by the name of the system that has it; without one there is no API."""

    tokens: dict[str, Secret] = {}


class WorkerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The role worker. ``port`` 0: no ``/healthz`` and ``/metrics``."""

    host: str = "127.0.0.1"
    port: Port = 8711


class DeliverySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The role delivery. ``port`` 0: no ``/healthz`` and ``/metrics``."""

    host: str = "127.0.0.1"
    port: Port = 8712


class Settings(Struct, frozen=True, kw_only=True):
    """Everything in ``fingerpost.yaml``. A system without a section is not connected."""

    policy: Path
    ledger: str
    # How long a ledger that cannot be written is waited for, in seconds, before the process ends.
    ledger_patience_seconds: float = PATIENCE_SECONDS
    # For how long decisions can be made again (`fingerpost replay`), in days; 0: for ever. The decisions themselves stay.
    keep_evidence_days: float = EVIDENCE_DAYS
    # With so many writes waiting for the CRMs nothing more is decided until they took some.
    most_owed: int = MOST_OWED
    intake: IntakeSettings = IntakeSettings()
    api: ApiSettings = ApiSettings()
    worker: WorkerSettings = WorkerSettings()
    delivery: DeliverySettings = DeliverySettings()
    salesforce: SalesforceSettings | None = None
    hubspot: HubSpotSettings | None = None
    marketo: MarketoSettings | None = None
    kafka: KafkaSettings | None = None


def load(path: Path) -> Settings:
    """Reads a settings file. Raises SettingsError; the message never holds a secret."""
    raw = _read(path)
    known = set(Settings.__struct_fields__)
    for name in raw:
        if name not in known:
            raise SettingsError(f"{path}: there is no setting {name!r}; there are {', '.join(sorted(known))}.")
    if "policy" not in raw:
        raise SettingsError(f"{path}: the setting 'policy' is missing: name the folder that holds the rules.")
    base = path.resolve().parent
    return Settings(
        policy=base / str(raw["policy"]),
        ledger=_ledger_url(raw.get("ledger", DEFAULT_LEDGER), base, path),
        ledger_patience_seconds=_number(path, "ledger_patience_seconds", "seconds", raw, PATIENCE_SECONDS),
        keep_evidence_days=_number(path, "keep_evidence_days", "days", raw, EVIDENCE_DAYS),
        most_owed=_most_owed(path, raw.get("most_owed", MOST_OWED)),
        intake=_section(path, "intake", raw.get("intake") or {}, IntakeSettings),
        api=_api(path, raw.get("api") or {}, base),
        worker=_section(path, "worker", raw.get("worker") or {}, WorkerSettings),
        delivery=_section(path, "delivery", raw.get("delivery") or {}, DeliverySettings),
        salesforce=_optional(path, "salesforce", raw, SalesforceSettings, base),
        hubspot=_optional(path, "hubspot", raw, HubSpotSettings, base),
        marketo=_optional(path, "marketo", raw, MarketoSettings, base),
        kafka=_optional(path, "kafka", raw, KafkaSettings, base),
    )


def ledger_of(path: Path) -> str:
    """The ledger's URL alone, for commands that need no more: the other secrets may be readable by the daemon only.

    Raises SettingsError.
    """
    return _ledger_url(_read(path).get("ledger", DEFAULT_LEDGER), path.resolve().parent, path)


def kafka_of(path: Path) -> KafkaSettings | None:
    """The section kafka alone, None without one. Raises SettingsError."""
    return _optional(path, "kafka", _read(path), KafkaSettings, path.resolve().parent)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    if len(text) > MOST_BYTES:
        raise SettingsError(f"{path} is over 1 MB; that is not a settings file.")
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SettingsError(
            f"{path}: {where}this is not YAML: {getattr(error, 'problem', None) or 'bad encoding'}."
        ) from None
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: expected settings such as 'policy: policy', one a line.")
    return raw


def _number(path: Path, name: str, unit: str, raw: dict[str, Any], default: float) -> float:
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise SettingsError(f"{path}: {name}: expected a number of {unit}, such as {default:g}.")
    return float(value)


def _most_owed(path: Path, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{path}: most_owed: expected a whole number of writes, such as {MOST_OWED}.")
    return value


def _ledger_url(value: Any, base: Path, path: Path) -> str:
    url = str(_resolve(path, "ledger", value, base))
    prefix = "sqlite:///"
    if "://" not in url:
        url = prefix + url
    if url.startswith(prefix) and not url.startswith("sqlite:////"):
        return f"{prefix}{base / url.removeprefix(prefix)}"
    return url


def _api(path: Path, values: Any, base: Path) -> ApiSettings:
    tokens = values.get("tokens") or {} if isinstance(values, dict) else None
    if not isinstance(tokens, dict) or values.keys() - {"tokens"}:
        raise SettingsError(
            f"{path}: api: expected 'tokens:', and below it one a line, such as 'telephony: {{env: NAME}}'."
        )
    found = {}
    for name, value in tokens.items():
        if not isinstance(value, dict):
            raise SettingsError(_HIDE.format(path=path, name=f"api.tokens.{name}"))
        found[str(name)] = Secret(str(_resolve(path, f"api.tokens.{name}", value, base)))
    return ApiSettings(found)


def _optional(path: Path, name: str, raw: dict[str, Any], shape: type[T], base: Path) -> T | None:
    values = raw.get(name)
    if values is None:
        return None
    if not isinstance(values, dict):
        return _section(path, name, values, shape)
    given = {key: _resolve(path, f"{name}.{key}", value, base) for key, value in values.items()}
    # A file that is named is looked for beside the settings, wherever the process was started.
    given |= {key: str(base / str(v)) for key, v in given.items() if key.endswith("_file") and v}
    return _section(path, name, given, shape)


# Settings that were, and what to write instead.
_MOVED = {
    (
        "worker",
        "most_owed",
    ): "'most_owed' is a setting of all forms now: write it at the left margin, and take it out here",
    (
        "salesforce",
        "guard",
    ): "'guard' is said by the policy: write 'guard: conditional' beside 'fields:' of each kind of record in fields.yaml "
    "that Salesforce is to compare, and take it out here",
}


def _section(path: Path, name: str, values: dict[str, Any], shape: type[T]) -> T:
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: {name}: expected settings below it, one a line.")
    known = msgspec.structs.fields(shape)  # type: ignore[arg-type]  # all shapes here are Structs
    names = {field.name for field in known}
    for key in values:
        if key not in names and (name, key) in _MOVED:
            raise SettingsError(f"{path}: {name}: {_MOVED[name, key]}.")
        if key not in names:
            raise SettingsError(f"{path}: {name}: there is no setting {key!r}; there are {', '.join(sorted(names))}.")
    hidden = {field.name for field in known if field.type is Secret}
    try:
        return msgspec.convert({key: Secret(v) if key in hidden else v for key, v in values.items()}, shape)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {name}{_in_words(str(error), known)}.") from None


# What msgspec calls them, and what people do.
_TYPES = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list"} | {
    "object": "settings below it",
    "null": "nothing",
}
_COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<type>\w+)(?: \| null)?`(?P<range> [<>]=? \S+)?(?:, got `(?P<got>\w+)`)?")


def _in_words(complaint: str, known: Sequence[msgspec.structs.FieldInfo]) -> str:
    """What msgspec says of a section, to follow the section's name."""
    found = _COMPLAINT.fullmatch(complaint)
    what, where = (found["what"], found["where"] or "") if found else (complaint, "")
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f".{missing[1]} is missing, and must be given"
    field = next((one for one in known if one.name == where.split("[")[0]), None)
    if field is None:
        return f": {what}"
    if what.startswith("Invalid enum value"):
        one_of = ", ".join(str(value) for value in get_args(field.type))
        return f".{where} is {what.removeprefix('Invalid enum value ')}; it must be one of {one_of}"
    expected = _EXPECTED.fullmatch(what)
    if expected:
        within = (expected["range"] or "").replace(">=", "of at least").replace("<=", "of at most")
        what = f"expected {_TYPES.get(expected['type'], expected['type'])}{within}"
        what += f", found {_TYPES.get(expected['got'], expected['got'])}" if expected["got"] else ""
    usual = field.default
    such_as = f", such as {usual}" if usual and isinstance(usual, int | float | str) and usual is not True else ""
    return f".{where}: {what}{such_as}"


def _resolve(path: Path, name: str, value: Any, base: Path) -> Any:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("env", "file"):
        return (
            _from_env(path, name, str(value["env"])) if "env" in value else _from_file(path, name, base, value["file"])
        )
    if isinstance(value, list):
        return [_resolve(path, name, item, base) for item in value]
    if name.rsplit(".", 1)[-1] in SECRETS:
        raise SettingsError(_HIDE.format(path=path, name=name))
    return value


def _from_env(path: Path, name: str, variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise SettingsError(f"{path}: {name} is to come from the environment variable {variable}, which is not set.")
    return value


def _from_file(path: Path, name: str, base: Path, where: object) -> str:
    file = base / str(where)
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: {name} is to come from the file {file}, which cannot be read: {error}."
        ) from error
