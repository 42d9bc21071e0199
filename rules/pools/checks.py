"""What holds of all pools together: no circles, somebody who can take leads, nobody counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rules.pools.model import Member, Pool
from rules.pools.people import People
from rules.source import Report
from rules.yamlfile import Block, Scalar

MAX_NESTING = 3  # pools within pools


def check_pools(
    pools: Mapping[str, Pool], written: Mapping[str, tuple[Scalar, Block]], people: People, report: Report
) -> None:
    """Reports circles of overflow and of pools within pools, pools that nobody serves, and people who are in one twice over."""
    nested = {
        name: [one.who for one in pool.members if one.is_pool and one.who in pools] for name, pool in pools.items()
    }
    overflow = {name: [pool.overflow] if pool.overflow in pools else [] for name, pool in pools.items()}
    sound = True
    for name, (key, body) in written.items():
        node = body.get("overflow")
        if (chain := _circle(name, overflow)) and node is not None:
            report.error(node.place, f"overflow runs in a circle: {' → '.join(chain)}")
        if chain := _circle(name, nested):
            report.error(key.place, f"pools are within each other in a circle: {' → '.join(chain)}")
            sound = False
        elif (deep := _depth(name, nested)) > MAX_NESTING:
            report.error(key.place, f"pools are nested {deep} deep; at most {MAX_NESTING}")
            sound = False
        for inner in nested[name]:
            if pools[inner].method == "pull":
                message = f"'{inner}' is a pull pool, whose leads are claimed: it cannot be within another"
                report.error(key.place, message)
    if sound:
        for name, (key, _) in written.items():
            _warn_if_idle(pools[name], pools, people, key, report)
            _warn_if_twice(pools[name], pools, people, key, report)


def people_of(pool: Pool, pools: Mapping[str, Pool]) -> Iterator[tuple[str, float]]:
    """Everybody who may get leads of a pool, with their own weight; those of pools within it too. Nobody where one is in a circle."""
    for member, weight in _within(pool, pools, 0):
        yield member.who, weight


def pools_asked(pools: Mapping[str, Pool], names: Iterable[str]) -> set[str]:
    """Every pool that may be asked for a lead of these: those within them too, and what these overflow into."""
    found: set[str] = set()
    left = [name for name in names if name in pools]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            for inner in (member.who for member in pools[name].members if member.is_pool):
                chain: list[str] = []
                while inner in pools and inner not in chain:
                    chain.append(inner)
                    inner = pools[inner].overflow
                left += chain
    return found


def _within(pool: Pool, pools: Mapping[str, Pool], depth: int) -> Iterator[tuple[Member, float]]:
    for member in pool.members:
        if not member.is_pool:
            yield member, member.weight
        elif depth < MAX_NESTING and member.who in pools:
            for one, weight in _within(pools[member.who], pools, depth + 1):
                yield one, weight if member.weight > 0 else 0.0


def _circle(name: str, following: Mapping[str, list[str]]) -> list[str]:
    """The way from a pool back to itself; [] where there is none."""
    seen: set[str] = set()
    waiting = [[name]]
    while waiting:
        way = waiting.pop()
        for other in following[way[-1]]:
            if other == name:
                return [*way, name]
            if other not in seen:
                seen.add(other)
                waiting.append([*way, other])
    return []


def _depth(name: str, nested: Mapping[str, list[str]], depth: int = 0) -> int:
    if depth > MAX_NESTING:
        return depth
    return max((_depth(one, nested, depth + 1) for one in nested[name]), default=depth)


def _warn_if_idle(pool: Pool, pools: Mapping[str, Pool], people: People, key: Scalar, report: Report) -> None:
    known = [people.by_key.get(who) for who, weight in people_of(pool, pools) if weight > 0]
    if any(person is None or person.active for person in known):
        return
    why = "has no members" if not pool.members else "has no active member with a weight above 0"
    then = "its leads will be on hold"
    if pool.overflow or pool.overflow_queue:
        then = f"its leads go to '{pool.overflow or pool.overflow_queue}'"
    report.warn(key.place, f"the pool '{pool.name}' {why}: {then}")


def _warn_if_twice(pool: Pool, pools: Mapping[str, Pool], people: People, key: Scalar, report: Report) -> None:
    if not any(member.is_pool for member in pool.members):
        return
    seen: set[str] = set()
    for who, _ in people_of(pool, pools):
        if who in seen:
            name = people.by_key[who].name if who in people.by_key else who
            report.warn(
                key.place,
                f"{name} is in the pool '{pool.name}' more than once, by the pools within it: gets a share of each",
            )
        seen.add(who)
