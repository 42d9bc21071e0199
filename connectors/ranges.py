"""What a number or a text of the settings may be, told in one way for all connectors. Each raises ValueError, with the setting's name."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def above_zero(settings: Struct, *names: str, most: float = 86_400) -> None:
    """Numbers of seconds."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value <= most:  # nan is neither
            raise ValueError(f"{name} is {value:g}; it is a number of seconds above 0, at most {most:,g}")


def part(settings: Struct, *names: str) -> None:
    """Parts of the day's calls."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value:g}; it is a part of the day's calls, from 0 to 1")


def address(settings: Struct, *names: str) -> None:
    """Addresses of a system: of the server alone, and https unless it is this machine."""
    for name in names:
        value = getattr(settings, name)
        if not value.startswith(("https://", "http://")):
            raise ValueError(f"{name} is {value!r}; it is an address and begins with https://")
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host:
            raise ValueError(
                f"{name} is {value!r}; it names no server: write https://, the server's name, and nothing else"
            )
        server = f"https://{host}" + (f":{port}" if port else "")
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise ValueError(f"{name} is {value!r}; over http:// secrets would go unencrypted: write {server!r}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(
                f"{name} is {value!r}; it names the server alone, without what stands behind it: write {server!r}"
            )


def served_path(settings: Struct, name: str) -> None:
    """Where a webhook is served."""
    value = getattr(settings, name)
    if not value.startswith("/"):
        raise ValueError(f"{name} is {value!r}; it is the path of an address and begins with /")
