"""HubSpot's signatures. Version 3: HMAC-SHA256 over method, address, body and time; versions 1 and 2: SHA-256 of a text that
begins with the secret, without a time.

The library's own check is not used: it accepts time stamps of the future, and wants the body as text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from connectors.errors import SignatureRefused

SIGNATURE_HEADER = "x-hubspot-signature-v3"
TIMESTAMP_HEADER = "x-hubspot-request-timestamp"
OLD_SIGNATURE_HEADER = "x-hubspot-signature"
OLD_VERSION_HEADER = "x-hubspot-signature-version"
VERSIONS = ("v1", "v2", "v3")
TOLERANCE = 300.0  # seconds, to both sides; the vendor's limit for the past

# What HubSpot writes plainly in the address before it signs it; everything else stays percent-encoded.
_PLAIN = {f"%{ord(letter):02X}": letter for letter in ":/?@!$'()*,;"}
_ENCODED = re.compile("|".join(_PLAIN), re.IGNORECASE)


def called_uri(public_url: str, query: str) -> str:
    """The address that HubSpot called: the public one, not what a proxy made of it."""
    return f"{public_url}?{query}" if query and "?" not in public_url else public_url


def signed_uri(uri: str) -> str:
    """The same as version 3 signs it; version 2 signs it as it is."""
    return _ENCODED.sub(lambda found: _PLAIN[found[0].upper()], uri)


def sign(secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """The signature header's value."""
    source = b"".join((method.encode(), uri.encode(), body, timestamp.encode()))
    return base64.b64encode(hmac.new(secret.encode(), source, hashlib.sha256).digest()).decode()


def sign_v1(secret: str, body: bytes) -> str:
    """The older header's value, version 1."""
    return hashlib.sha256(secret.encode() + body).hexdigest()


def sign_v2(secret: str, method: str, uri: str, body: bytes) -> str:
    """The older header's value, version 2."""
    return hashlib.sha256(b"".join((secret.encode(), method.encode(), uri.encode(), body))).hexdigest()


def verify(
    secrets: Sequence[str],
    method: str,
    uri: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    oldest: str = "v3",
) -> None:
    """Raises SignatureRefused unless one of ``secrets`` signed this request, by version 3 within 300 s of ``now``.

    ``uri`` is the address called. A request without version 3 may be signed by an older one, down to ``oldest``.
    """
    given = headers.get(SIGNATURE_HEADER)
    if not given and OLD_SIGNATURE_HEADER in headers:
        _verify_older(secrets, method, uri, headers, body, oldest)
        return
    timestamp = headers.get(TIMESTAMP_HEADER)
    if not given or not timestamp:
        missing = SIGNATURE_HEADER if not given else TIMESTAMP_HEADER
        raise SignatureRefused(f"the header {missing} is missing: this request did not come from HubSpot")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        raise SignatureRefused(f"the header {TIMESTAMP_HEADER} is not a number of milliseconds")
    age = now.timestamp() - int(timestamp) / 1000
    if age > TOLERANCE:
        raise SignatureRefused(f"the request was signed {age:.0f} s ago; more than {TOLERANCE:.0f} s is refused")
    if age < -TOLERANCE:
        raise SignatureRefused(f"the request was signed {-age:.0f} s in the future: check this machine's clock")
    offered, plain = given.encode(), signed_uri(uri)
    matches = [
        hmac.compare_digest(sign(secret, method, plain, body, timestamp).encode(), offered) for secret in secrets
    ]
    if not any(matches):
        raise SignatureRefused("the signature is wrong: check the client secret and public_url against the HubSpot app")


def _verify_older(
    secrets: Sequence[str], method: str, uri: str, headers: Mapping[str, str], body: bytes, oldest: str
) -> None:
    version = headers.get(OLD_VERSION_HEADER, "v1").lower()
    if version not in VERSIONS[:2]:
        raise SignatureRefused(f"the header {OLD_VERSION_HEADER} names a version that HubSpot does not have")
    if VERSIONS.index(version) < VERSIONS.index(oldest):
        raise SignatureRefused(
            f"the request is signed by version {version[1:]} only; the setting oldest_signature allows {oldest} and newer"
        )
    offered = headers[OLD_SIGNATURE_HEADER].encode()
    made = [sign_v1(one, body) if version == "v1" else sign_v2(one, method, uri, body) for one in secrets]
    matches = [hmac.compare_digest(one.encode(), offered) for one in made]
    if not any(matches):
        raise SignatureRefused("the signature is wrong: check the client secret and public_url against the HubSpot app")
