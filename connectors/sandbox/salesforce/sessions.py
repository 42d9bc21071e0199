"""Who may call the sandbox: the connected app, its two OAuth flows, and sessions that end on demand."""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import jwt


class OAuthError(Exception):
    """A refused token request; ``error`` and the text are what the token endpoint answers."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


class Sessions:
    """Issues and checks access tokens for one integration user."""

    def __init__(
        self,
        org_id: str,
        user_id: str,
        client_id: str,
        client_secret: str,
        username: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._org_id = org_id
        self._user_id = user_id
        self._client_id = client_id
        self._client_secret = client_secret
        self._username = username
        self._public_key = ""
        self.password = "sandbox-passwordSECURITYTOKEN"  # noqa: S105 - as a client sends it: the token behind the password
        self._lock = Lock()
        self._live: dict[str, datetime] = {}  # since when
        self.minutes = 0.0  # a session ends after so long; 0: only on demand
        self._numbers = itertools.count(1)
        self.logins = 0

    def trust_key(self, public_key_pem: str) -> None:
        """Registers the certificate that JWT assertions are signed with."""
        self._public_key = public_key_pem

    def grant(self, form: Mapping[str, str], authorization: str, base_url: str, now: datetime) -> dict[str, Any]:
        """Answers a token request. Raises OAuthError."""
        flow = form.get("grant_type", "")
        if flow == "client_credentials":
            self._check_client(form, authorization)
        elif flow == "password":
            self._check_client(form, authorization)
            if (form.get("username"), form.get("password")) != (self._username, self.password):
                raise OAuthError("invalid_grant", "authentication failure")
        elif flow == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            self._check_assertion(form.get("assertion", ""), now)
        else:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        with self._lock:
            token = f"{self._org_id[:15]}!sandbox.{next(self._numbers):08d}"
            self._live[token] = now
            self.logins += 1
        return {
            "access_token": token,
            "signature": "sandbox",
            "scope": "api",
            "instance_url": base_url,
            "id": f"{base_url}/id/{self._org_id}/{self._user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(now.timestamp() * 1000)),
        }

    def _check_client(self, form: Mapping[str, str], authorization: str) -> None:
        given = (form.get("client_id", ""), form.get("client_secret", ""))
        if authorization.startswith("Basic "):
            try:
                name, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise OAuthError("invalid_client", "invalid client credentials") from error
            given = (name, secret)
        if given[0] != self._client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if given[1] != self._client_secret:
            raise OAuthError("invalid_client", "invalid client credentials")

    def _check_assertion(self, assertion: str, now: datetime) -> None:
        if not self._public_key:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        try:
            # The expiry is checked against the sandbox's clock, which need not be the machine's.
            options: Any = {"verify_exp": False, "verify_aud": False, "require": ["iss", "sub", "aud", "exp"]}
            claims = jwt.decode(assertion, self._public_key, algorithms=["RS256"], options=options)
        except jwt.PyJWTError as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        if claims["iss"] != self._client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if claims["sub"] != self._username:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        if not 0 < float(claims["exp"]) - now.timestamp() <= 300:
            raise OAuthError("invalid_grant", "assertion expired, or expires too late")

    def live(self, token: str) -> bool:
        """Whether a token is a session that has not ended."""
        since = self._live.get(token)
        return since is not None and not (self.minutes and self._clock() - since > timedelta(minutes=self.minutes))

    def expire(self) -> None:
        """Ends every session."""
        with self._lock:
            self._live.clear()
