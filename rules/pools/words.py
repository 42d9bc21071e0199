"""Pools and people in the words of their files, for playbooks and for what an edit means."""

from __future__ import annotations

from itertools import pairwise

from rules.ladders.durations import length_of
from rules.pools.model import Calendar, Cap, Hours, Member, Minutes, Person, Points, Pool, Ramp, Skill
from rules.pools.texts import DAY, DAYS

_SPANS = {"hour": "an hour", "day": "a day", "week": "a week", "month": "a month"}


def cap_words(cap: Cap) -> str:
    """``10 a day``, ``3 in any hour``, ``40 open``."""
    said = "open" if cap.per == "open" else f"in any {cap.per}" if cap.rolling else _SPANS[cap.per]
    return f"{cap.leads:,} {said}" + (f" of {cap.kind}" if cap.kind else "")


def caps_words(caps: tuple[Cap, ...]) -> str:
    """Several caps."""
    return ", ".join(map(cap_words, caps))


def ramp_words(ramp: Ramp | None) -> str:
    """``25 % for 30 days, 50 % for 28 days``."""
    steps = ramp.steps if ramp is not None else ()
    pairs = pairwise(steps)
    return ", ".join(f"{part * 100:g} % for {end - start} days" for (start, part), (end, _) in pairs)


def working_words(of: Person | Calendar) -> str:
    """``Mon-Fri 9:00-17:30; from 2027-01-01 Mon-Fri 8:00-16:00``; "" for always."""
    later = (f"from {day.isoformat()} {hours_words(hours) or 'always'}" for day, hours in of.later)
    return "; ".join(filter(None, [hours_words(of.hours), *later]))


def hours_words(hours: Hours) -> str:
    """``Mon-Fri 9:00-17:30; Sat 10:00-14:00``; "" for always."""
    groups: list[tuple[int, int, tuple[Minutes, ...]]] = []
    for day, spans in enumerate(hours):
        if groups and groups[-1][1] == day - 1 and groups[-1][2] == spans:
            groups[-1] = (groups[-1][0], day, spans)
        else:
            groups.append((day, day, spans))
    return "; ".join(f"{_days(first, last)} {_spans(spans)}" for first, last, spans in groups if spans)


def _days(first: int, last: int) -> str:
    return DAYS[first][:3] + (f"-{DAYS[last][:3]}" if last > first else "")


def _spans(spans: tuple[Minutes, ...]) -> str:
    return ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in spans)


def _clock(minute: int) -> str:
    minute = minute if minute <= DAY else minute - DAY
    return f"{minute // 60}:{minute % 60:02}"


def skill_words(skill: Skill) -> str:
    """``languages for lead.language (required for 15 minutes)``."""
    how = "required" if skill.required else "preferred"
    relaxed = f" for {length_of(skill.relax_after)}" if skill.relax_after else ""
    return f"{skill.name} for {skill.of} ({how}{relaxed})"


def points_words(points: Points) -> str:
    """``10 when person.region = lead.region``."""
    return f"{points.points.text} when {points.when.text}" if points.when is not None else points.points.text


def settings(pool: Pool) -> dict[str, str]:
    """What a pool says beside its method, members and overflow, by the name of the setting; "" where it says nothing."""
    return {
        "caps": caps_words(pool.caps),
        "member_caps": caps_words(pool.member_caps),
        "kinds": "; ".join(f"{kind.name}: {kind.when.text}" for kind in pool.kinds),
        "skills": "; ".join(map(skill_words, pool.skills)),
        "sticky": pool.sticky,
        "score": "; ".join(map(points_words, pool.score.parts)) if pool.score is not None else "",
        "balance": pool.balance,
        "value": pool.value,
        "hours": "" if pool.hours else "no",
        "time_zone": pool.time_zone,
        "catch_up": "" if pool.catch_up == 1 else f"{pool.catch_up:g}",
        "alarm": f"{pool.alarm:g}" if pool.alarm else "",
        "priority": pool.priority.text if pool.priority is not None else "",
    }


def member_settings(member: Member) -> str:
    """What is written behind a member beside the weight."""
    told = [caps_words(member.caps), ramp_words(member.ramp)]
    for column, values in sorted((member.skills or {}).items()):
        told.append(f"{column}: {', '.join(sorted(values))}")
    return "; ".join(filter(None, told))


def person_settings(person: Person) -> dict[str, str]:
    """When a person works and how much they get, by the name of the column; "" where nothing is said."""
    return {
        "hours": working_words(person),
        "holidays": ", ".join(person.holidays),
        "closed": ", ".join(f"{day.isoformat()} {name}" for day, name in person.closed.items()),
        "end_date": person.end_date,
        "manager": person.manager,
        "capacity": "" if person.capacity is None else f"{person.capacity:g}",
        "quota": "" if person.quota is None else f"{person.quota:g}",
        "caps": caps_words(person.caps),
        "ramp": ramp_words(person.ramp),
    }
