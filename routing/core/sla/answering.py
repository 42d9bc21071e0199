"""What a rep's accepting or rejecting comes to, and that a CRM refuses whom it was given as the owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routing.core.directory import Directory
from routing.core.model import Record, Step
from routing.core.sla.ending import ended, moves, of_record
from routing.core.sla.model import ClockState
from routing.core.sla.turn import STAGE, Turn, had_by, once_more
from rules.nouns import system_name

if TYPE_CHECKING:
    from rules.policy import Policy


def on_answer(
    kind: str,
    by: str,
    because: str,
    record: Record,
    owner: str,
    clocks: Sequence[ClockState],
    policy: Policy,
    directory: Directory,
    actor: str = "",
) -> Turn:
    """What a rep's accepting or rejecting comes to. Who no longer has the record has nothing to answer: what was first counts.
    ``actor`` is who said it for them, where that is known and somebody else."""
    name = directory.name(by)
    if owner != by or not by:
        has = f"{directory.name(owner)} has it" if owner else "nobody has it"
        return Turn(skipped=f"{name or 'nobody'} cannot answer for it: {has} by now")
    if kind == "rejected" and record.on_hold and by in record.passed:
        return Turn(skipped=f"it was taken from {name} already: it is on hold, and waits for somebody else")
    who, whose = (directory.name(actor), f" for {name}") if actor not in ("", by) else (name, "")
    says, back = f"{who} {kind} it{whose}", f"{who} gave it back{whose}"
    # The reason is free text: it stands in the trace, whose notes an erasure takes away.
    step = Step(STAGE, "Answer", True, note=f"{says}: {because}" if because else says)
    if kind == "accepted":
        return Turn(says=says, steps=(step,), keeps=True)
    for clock in of_record(record.entity, clocks, policy):
        if moves(record) >= clock.reassignments:
            turn = ended(clock, record, by, policy, says)
            return replace(turn, refused=back, steps=(step, *turn.steps))
    passed = had_by(record, by)
    if record.decided_owner != by:
        return Turn(again=True, passed=passed, refused=back, steps=(step,))  # they had it from a person's hand
    return once_more(record, policy, passed=passed, refused=back, steps=(step,))


def on_refusal(by: str, because: str, record: Record, owner: str, policy: Policy, directory: Directory) -> Turn:
    """What it comes to that the CRM refused whom the record was given as its owner: somebody else is found, as if it had never been given.
    It was not moved: that counts for no limit."""
    says = directory.had_it(by, record.system, never=True)
    if owner != by or record.on_hold:
        return Turn(skipped=f"{says}, but it was decided otherwise since")
    step = Step(STAGE, "Owner", True, note=f"{says}: {because}")
    return once_more(record, policy, passed=had_by(record, by), refused=says, steps=(step,))


def on_refused_queue(because: str, record: Record, policy: Policy) -> Turn:
    """The same of a queue, once the operator has it tried again: the policy may name another by now."""
    says = f"{system_name(record.system)} refused the queue as the owner"
    if record.decided_owner or record.on_hold:
        return Turn(skipped=f"{says}, but it was decided otherwise since")
    step = Step(STAGE, "Owner", True, note=f"{says}: {because}")
    return once_more(record, policy, passed=record.passed, steps=(step,))
