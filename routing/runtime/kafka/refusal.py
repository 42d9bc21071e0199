"""Why Kafka does not do it, in the operator's words: why no broker lets us in, and what brokers refuse to whom they let in.

kafka-python and Faust only say that they found no broker, and kafka-python drops the broker's answer to a wrong password when the
broker hangs up right behind it; so the brokers are asked once more, over a connection of our own."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from routing.runtime.kafka.client import reason, ssl_context
from routing.runtime.kafka.settings import KafkaSettings

# Within what a process has for an orderly end, along with the try that went before.
ASK_SECONDS = 5.0
CLOSE_SECONDS = 1.0


def why_not(settings: KafkaSettings) -> str:
    """Asks each broker of ``bootstrap_servers`` and says which does not let us in, why, and which setting to look at; "" when one
    lets us in by now. Never shows the password. Blocks up to ``ASK_SECONDS``; not for a thread with an event loop. Raises
    KafkaMisconfigured."""
    return asyncio.run(_ask_all(settings))


async def _ask_all(settings: KafkaSettings) -> str:
    said = await asyncio.gather(*[_ask(settings, server) for server in settings.servers])
    return (
        "" if "" in said else "; ".join(f"{server} {one}" for server, one in zip(settings.servers, said, strict=True))
    )


async def _ask(settings: KafkaSettings, server: str) -> str:
    """What one broker has against us, to follow its name; "" for nothing."""
    host, _, port = server.rpartition(":")
    connection = AIOKafkaConnection(
        host.strip("[]"),
        int(port),
        client_id=settings.client_id,
        request_timeout_ms=int(ASK_SECONDS * 1000),
        ssl_context=ssl_context(settings),
        security_protocol=settings.security_protocol,
        sasl_mechanism=settings.sasl_mechanism,
        sasl_plain_username=settings.username,
        sasl_plain_password=settings.password.reveal(),
    )
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await connection.connect()
            # A broker that wants a login lets anybody ask which requests it knows, but no more.
            await connection.send(MetadataRequest([]))
    except (OSError, KafkaError) as error:
        return _in_words(settings, error)
    finally:
        closed = connection.close()
        if closed is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(closed, CLOSE_SECONDS)
    return ""


def refused(settings: KafkaSettings, error: BaseException, topic: str, right: str) -> str:
    """What to do about an error that stays until somebody changes something, "" for any other. ``topic`` is what was to be used, and
    ``right`` what that takes beside Describe. Errors of both libraries; the numbers are Kafka's own (its protocol's error codes)."""
    number, us = getattr(error, "errno", 0), settings.username or "the user of our certificate"
    group = f"the group {settings.group!r}"
    if number == 29:  # TOPIC_AUTHORIZATION_FAILED
        return f"the brokers refuse {us} the topic {topic!r}: grant Describe and {right} on it, or correct the topic's name"
    # CLUSTER_AUTHORIZATION_FAILED, which kafka-python wraps. For a producer: brokers since 2.8 want any topic that it may write to
    # (KIP-679), those before a right of its own.
    if number == 31 or "ClusterAuthorizationFailed" in str(error):
        return (
            f"the brokers refuse {us} the topic {topic!r}: grant Describe and {right} on it (to brokers before 2.8 also "
            "IdempotentWrite on the cluster)"
        )
    if number == 30:  # GROUP_AUTHORIZATION_FAILED
        return f"the brokers refuse {us} {group}: grant Read on it, or correct kafka.group"
    if number == 23:  # INCONSISTENT_GROUP_PROTOCOL
        return f"{group} has members that are no workers of Fingerpost: set kafka.group to a name that no other program uses"
    if number == 24:  # INVALID_GROUP_ID
        return f"the brokers take no group of that name: correct kafka.group, which is {settings.group!r}"
    if number == 26:  # INVALID_SESSION_TIMEOUT
        return (
            f"the brokers refuse kafka.session_timeout_seconds ({settings.session_timeout_seconds:g}): it must be within their "
            "group.min.session.timeout.ms and group.max.session.timeout.ms"
        )
    if number == 81:  # GROUP_MAX_SIZE_REACHED
        return f"{group} has as many members as the brokers allow: stop some workers, or raise their group.max.size"
    return ""


def _in_words(settings: KafkaSettings, error: BaseException) -> str:
    # aiokafka keeps what really broke a connection as the cause.
    cause = error.__cause__ if isinstance(error, KafkaConnectionError) and error.__cause__ else error
    if isinstance(cause, SaslAuthenticationFailed):
        return (
            f"refuses the login of {settings.username!r} by {settings.sasl_mechanism} ({_last_words(cause)}): look at "
            "kafka.username and kafka.password"
        )
    if isinstance(cause, UnsupportedSaslMechanismError):
        return f"does not know {settings.sasl_mechanism}: look at kafka.sasl_mechanism"
    if isinstance(cause, IllegalSaslStateError):
        return f"takes no login: it expects another kafka.security_protocol than {settings.security_protocol}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not to be trusted ({cause.verify_message}): look at kafka.ca_file"
    if isinstance(cause, ssl.SSLError):
        return f"breaks TLS off ({reason(cause)}): look at kafka.cert_file, key_file and security_protocol"
    if isinstance(cause, TimeoutError):
        return f"does not answer within {ASK_SECONDS:g} s: look at kafka.bootstrap_servers and kafka.security_protocol"
    if isinstance(cause, EOFError | KafkaConnectionError | ConnectionResetError | BrokenPipeError):
        return f"hangs up when {settings.security_protocol} is spoken: it may expect another kafka.security_protocol"
    return f"cannot be reached ({reason(cause)}): does the broker run, and is kafka.bootstrap_servers right?"


def _last_words(error: KafkaError) -> str:
    return str(error.args[0]) if error.args and error.args[0] else "it does not say why"
