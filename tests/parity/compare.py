"""What two runs over the same events must agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from routing.core.evidence import Evidence
from routing.core.keys import address_of
from routing.core.model import ChangeEvent, Decision, Record, Write
from routing.ledger.schema import ref_of
from routing.runtime.kafka.messages import ref_of_event
from routing.runtime.replay import first_difference
from tests.parity.runs import Made
from tests.parity.stream import Event, Stream

_OF_DUPLICATES = ("person", "duplicate", "duplicate_of", "contact")
_evidence = msgspec.json.Decoder(Evidence).decode


def assert_identical(one: Made, other: Made) -> None:
    """Byte for byte: the same order of arrival, and a clock that stands still."""
    assert list(other.ends) == list(one.ends), "the events were written down in another order"
    assert list(other.bodies) == list(one.bodies), "the decisions were made in another order"
    for what in ("ends", "bodies", "mirror", "writes", "timers", "pools"):
        _assert_equal(what, getattr(one, what), getattr(other, what))
    _assert_equal("evidence", _read(one.evidence), _read(other.evidence))


def assert_same_but_for_turns(one: Made, other: Made, events: Sequence[Event]) -> None:
    """Whatever the order between partitions: the same decisions, save whose turn it was in a pool, and what follows from it: what
    becomes of a lead that comes back after somebody had it, and of the same person's lead in the other CRM."""
    entangled = {ref for refs in _people_in_both(events).values() for ref in refs}
    entangled |= {
        ref_of_event(event) for event in events if isinstance(event, ChangeEvent) and event.kind == "restored"
    }
    for what in ("ends", "decisions", "mirror", "writes", "timers"):
        _assert_equal(what, *(_without_turns(what, made, entangled) for made in (one, other)))
    assert _leads_by_pool(one, entangled) == _leads_by_pool(other, entangled)


def assert_one_owner(made: Made, stream: Stream) -> int:
    """Of a person who is a lead in both CRMs, whichever was decided second knew of the first, and of the owner it had. Returns how
    many there are."""
    first: dict[str, Decision] = {}
    owners = _owners_by_hand(stream)
    for decision in made.decisions.values():
        first.setdefault(_ref(decision), decision)
        owners.setdefault(_ref(decision), set()).add(decision.owner)
    both = _people_in_both(stream.events, gone=False)
    for refs in both.values():
        for ref in refs:
            others = [other for other in refs if other.split(":")[0] != ref.split(":")[0]]
            if not _knew_a_lead(made, first[ref]):
                assert all(_knew_a_lead(made, first[other]) for other in others), f"{refs}: neither knew of the other"
                continue
            known = first[ref].facts["counterpart"]["owner"]
            if known:
                assert known in set().union(*(owners[other] for other in others)), f"{ref}: a wrong owner"
            if first[ref].rung == "One person, one owner":
                assert first[ref].owner == known
    return len(both)


def _knew_a_lead(made: Made, decision: Decision) -> bool:
    """Whether the same person's record in the other CRM was known, and was a lead."""
    known = _evidence(made.evidence[decision.decision_id]).counterpart
    return known is not None and known.entity == "lead"


def _owners_by_hand(stream: Stream) -> dict[str, set[str]]:
    """Whom the CRMs told to be the owner of each lead, by their addresses."""
    people = {(one.system, one.record_id): one.values["email"] for one in stream.stage if one.entity == "person"}
    found: dict[str, set[str]] = {}
    for event in stream.events:
        if isinstance(event, ChangeEvent) and event.values.get("owner"):
            ref = ref_of_event(event)
            found.setdefault(ref, set()).add(people[event.system, event.values["owner"]])
    return found


def _read(evidence: dict[str, bytes]) -> dict[str, Evidence | None]:
    """Erased evidence is None."""
    return {decision_id: _evidence(body) if body else None for decision_id, body in evidence.items()}


def _people_in_both(events: Iterable[Event], gone: bool = True) -> dict[str, set[str]]:
    """The leads of each person who is one in both CRMs, by address. Without ``gone``, of those only of whom none was removed."""
    found: dict[str, set[str]] = {}
    removed: set[str] = set()
    for event in events:
        if isinstance(event, ChangeEvent) and event.entity == "lead":
            ref = ref_of_event(event)
            address = address_of(event.values.get("email"))
            if address:
                found.setdefault(address, set()).add(ref)
            if event.kind in ("deleted", "erased"):
                removed.add(ref)
    return {
        address: refs
        for address, refs in found.items()
        if len({ref.split(":")[0] for ref in refs}) > 1 and (gone or not refs & removed)
    }


def _without_turns(what: str, made: Made, entangled: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = getattr(made, what)
    if what == "decisions":
        return {event_id: _bare(one) for event_id, one in found.items() if _ref(one) not in entangled}
    if what == "ends":
        # A lead of somebody in both CRMs may wait in one run only, and so have ticks there.
        return {event_id: end for event_id, end in found.items() if end[0] != "tick"}
    if what == "writes":
        writes = [msgspec.json.decode(body, type=Write) for body in found.values()]
        return {one.write_id: one.fields | {"owner": None} for one in writes if _ref(one) not in entangled}
    if what == "mirror":
        records = {ref: msgspec.json.decode(body, type=Record) for ref, body in found.items() if ref not in entangled}
        return {ref: msgspec.structs.replace(one, decided_owner="", turns=()) for ref, one in records.items()}
    return {ref: value for ref, value in found.items() if ref not in entangled}


def _bare(decision: Decision) -> Decision:
    # Which of two records of a person in one CRM knew of the other is a matter of the order, too.
    steps = tuple(step for step in decision.trace if (step.stage, step.name) != ("match", "Person"))
    facts = dict(decision.facts)
    if facts.get("match"):  # it is gone where the record was erased
        facts["match"] = {name: value for name, value in facts["match"].items() if name not in _OF_DUPLICATES}
    decision = msgspec.structs.replace(decision, facts=facts, trace=steps)
    if not decision.pool:
        return decision
    steps = tuple(step for step in decision.trace if step.stage != "distribute")
    return msgspec.structs.replace(decision, owner="", members=(), trace=steps, reason="")


def _leads_by_pool(made: Made, entangled: set[str]) -> Counter[str]:
    found = made.decisions.values()
    return Counter(one.pool for one in found if one.outcome == "assign" and _ref(one) not in entangled)


def _ref(one: Decision | Write | Record) -> str:
    return ref_of(one.system, one.entity, one.record_id)


def _assert_equal(what: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert other.keys() == one.keys(), f"{what}: not of the same"
    for name, value in one.items():
        assert other[name] == value, f"{what} of {name} differ: {_difference(value, other[name])}"


def _difference(one: Any, other: Any) -> str:
    if isinstance(one, Decision) and isinstance(other, Decision):
        return f"{_ref(one)}: {first_difference(one, other)}"
    return f"{one!r}\n{other!r}"
