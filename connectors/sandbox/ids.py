"""Ids that look and check like the real ones, made from a number."""

from __future__ import annotations

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_INSTANCE = "Fp"  # characters 4 and 5 name the pod an organisation lives on; this one exists nowhere


def salesforce_id(prefix: str, n: int) -> str:
    """The 18-character id of the ``n``-th record of an object (``prefix``: 00Q Lead, 001 Account, 003 Contact, …).

    The last three characters are Salesforce's checksum of upper and lower case, so ids survive tools that fold case.
    Raises ValueError for a prefix that is not three characters, or a number that does not fit.
    """
    if len(prefix) != 3 or not 0 <= n < 62**10:
        raise ValueError(f"no Salesforce id for prefix {prefix!r} and number {n}")
    digits = []
    while n:
        n, rest = divmod(n, 62)
        digits.append(_BASE62[rest])
    short = prefix + _INSTANCE + "".join(reversed(digits)).rjust(10, "0")
    return short + checksum(short)


def checksum(short: str) -> str:
    """The three characters that turn a 15-character id into one of 18: one bit for each upper-case letter."""
    return "".join(
        _CHECK[sum(1 << place for place, letter in enumerate(short[start : start + 5]) if "A" <= letter <= "Z")]
        for start in (0, 5, 10)
    )


def hubspot_id(n: int, start: int = 100_000_000) -> str:
    """The ``n``-th HubSpot object id counted from ``start``: digits only, no checksum."""
    return str(start + n)
