"""A policy goes live in the ledger, and people whose e-mail address it changes go on as they were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.readdressed import readdressed
from routing.ledger import policies, readdress
from rules.model import PolicyError
from rules.policy import PEOPLE, Policy, compile_policy


class Live(Struct, frozen=True):
    """Whether it was not the live one already, and what is to be said of its people, a sentence each."""

    changed: bool
    said: tuple[str, ...] = ()


def go_live(conn: Connection, policy: Policy, files: Mapping[str, bytes], now: datetime) -> Live:
    """Makes a policy the live one, within the caller's transaction. Compiles the one before where their people differ."""
    former = policies.live(conn)
    before = policies.load(conn, former) if former is not None else None
    if not policies.publish(conn, policy.digest, files, now):
        return Live(changed=False)
    if before is None or before.get(PEOPLE) == files.get(PEOPLE):
        return Live(changed=True)
    try:
        found = readdressed(compile_policy(before).people, policy.people)
    except PolicyError:  # of an earlier version, in words that are none any more
        return Live(True, ("The policy before cannot be read any more: whose e-mail address changed is not known.",))
    readdress.follow(conn, found.now, now)
    return Live(True, found.said)
