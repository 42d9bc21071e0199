"""Decisions are made again from what was kept of them, byte for byte; and whatever was changed since is found."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from routing.cli.app import app
from routing.ledger import evidence, journal, mirror, policies
from routing.ledger.engine import Ledger
from routing.runtime import crediting, pooling
from routing.runtime.housekeeping import Housekeeping
from routing.runtime.replay import Replay, Replayed, Span
from tests.conftest import ManualClock
from tests.integration.recorded import load
from tests.processes import POLICY as INBOUND
from tests.unit.core import policy as example
from tests.unit.core.policy import POOLS, policy
from tests.unit.runtime.test_loop import Desk


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock) -> Desk:
    made = Desk(ledger, clock)
    publish(made, {})
    return made


def publish(desk: Desk, changed: dict[str, str]) -> None:
    """The example policy goes live, some of its files replaced."""
    fresh = policy(**changed)
    files = {name: text.encode() for name, text in files_of(changed).items()}
    with desk.ledger.write() as conn:
        policies.publish(conn, fresh.digest, files, desk.clock())
    desk.loop._policies.current = fresh  # type: ignore[misc]


def files_of(changed: dict[str, str]) -> dict[str, str]:
    named = {
        "fields": example.FIELDS,
        "engagement": example.ENGAGEMENT,
        "people": example.PEOPLE,
        "pools": example.POOLS,
        "corrections": example.CORRECTIONS,
        "matching": example.MATCHING,
    } | changed
    return {f"{name}.{'csv' if name == 'people' else 'yaml'}": text for name, text in named.items()}


def again(ledger: Ledger, span: Span | None = None, **more: Any) -> list[Replayed]:
    return list(Replay(ledger, **more).run(span or Span()))


def verdicts(ledger: Ledger, **more: Any) -> list[str]:
    return [one.verdict for one in again(ledger, **more)]


# What was decided and what it was decided from


def test_every_kind_of_decision_is_made_again(desk: Desk) -> None:
    account = desk.event("created", "001A", website="acme.example", type="Customer", csm="005BO", parent="001B")
    desk.play(example_of(account, "account"))
    other = desk.event("created", "9", email="kim@acme.example", owner="77", first_name="KIM")
    desk.play(example_of(other, "lead", "hubspot"))
    desk.play(
        desk.event("created", email="kim@acme.example", country="Deutschland"),
        desk.event("created", "00Q2", email="pat@gmail.com", employees=5000.0),
        desk.event("created", "00Q3", company="Spam"),
        desk.event("created", "00Q4", country="CU"),
        desk.event("updated", seconds=5, phone="0171 5550123"),
        desk.event("created", seconds=9, email="kim@acme.example", status="New"),
    )
    desk.tick()
    desk.work()
    made = {one.recorded.ref.split(":")[2] for one in again(desk.ledger)}
    assert made >= {"9", "00Q1", "00Q2", "00Q3", "00Q4"}
    assert set(verdicts(desk.ledger)) == {"identical"}


def example_of(event: Any, entity: str, system: str = "salesforce") -> Any:
    import msgspec

    return msgspec.structs.replace(event, entity=entity, system=system)


def test_the_same_after_the_policy_and_the_people_changed(desk: Desk) -> None:
    desk.play(desk.event("created", country="FR"))
    publish(desk, {"pools": POOLS.replace("Bo Li: 1", "Bo Li: 5")})
    desk.play(desk.event("created", "00Q2", country="FR"))
    desk.play(example_of(desk.event("updated", "005BO", active=False), "person"))
    desk.play(desk.event("created", "00Q3", country="GB"))
    assert verdicts(desk.ledger) == ["identical"] * 3
    assert len({one.recorded.policy for one in again(desk.ledger)}) == 2
    assert len({one.recorded.roster for one in again(desk.ledger)}) == 2


def test_an_event_that_was_parked_and_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as patched:
        patched.setattr("routing.runtime.taking.plan", broken)
        desk.play(desk.event("created", country="FR"))
    desk.play(desk.event("created", "00Q2", country="FR"))
    with desk.ledger.write() as conn:
        assert journal.retry_parked(conn, None) == 1
        journal.complete(conn, [(e.seq, e.event) for e in journal.next_entries(conn, "incomplete", 10)])
    desk.work()
    assert verdicts(desk.ledger) == ["identical"] * 2


# People who are erased


def test_of_an_erased_person_nothing_is_left_to_decide_on(desk: Desk) -> None:
    desk.play(example_of(desk.event("created", "9", email="kim@acme.example", last_name="Erasable"), "lead", "hubspot"))
    desk.play(desk.event("created", email="kim@acme.example"))
    # The other record has another address by now: it is found all the same.
    desk.play(desk.event("updated", seconds=5, email="new@beta.example"))
    desk.play(example_of(desk.event("erased", "9", seconds=9), "lead", "hubspot"))
    assert set(verdicts(desk.ledger)) == {"erased"}
    with desk.ledger.read() as conn:
        kept = conn.exec_driver_sql("SELECT evidence FROM decision").scalars().all()
        stored = conn.exec_driver_sql("SELECT body FROM decision").scalars().all()
    assert b"Erasable" not in b"".join(bytes(body) for body in kept)
    assert "Erasable" not in "".join(stored)


def test_a_decision_that_forgot_what_it_borrowed_from_another_of_the_same_address_is_not_called_different(
    desk: Desk,
) -> None:
    desk.play(example_of(desk.event("created", "9", email="kim@acme.example"), "lead", "hubspot"))
    desk.play(desk.event("created", email="kim@acme.example"))
    desk.play(example_of(desk.event("created", "91", email="kim@acme.example"), "lead", "hubspot"))
    desk.play(example_of(desk.event("erased", "91", seconds=9), "lead", "hubspot"))
    assert "different" not in verdicts(desk.ledger)


def test_an_erased_colleague_leaves_every_roster(desk: Desk) -> None:
    desk.play(desk.event("created", country="GB"))
    desk.play(desk.event("created", "00Q2", owner="005EXT"))
    desk.play(example_of(desk.event("erased", "005EXT", seconds=5), "person"))
    assert "different" not in verdicts(desk.ledger)
    with desk.ledger.read() as conn:
        for digest in conn.exec_driver_sql("SELECT digest FROM roster").scalars().all():
            roster = evidence.load_roster(conn, digest)
            assert roster is not None
            assert "ext@elsewhere.example" not in str(roster)


def test_evidence_is_forgotten_after_a_time_with_its_people(desk: Desk) -> None:
    desk.play(desk.event("created", country="GB"))
    desk.clock.advance(100)
    desk.play(desk.event("created", "00Q2", country="GB"))
    stop = threading.Event()
    keeping = Housekeeping(desk.ledger, desk.clock, keep_evidence_days=50 / 86_400)
    assert keeping.sweep(stop) == 1
    assert verdicts(desk.ledger) == ["unproven", "identical"]
    desk.clock.advance(100)
    desk.play(desk.event("created", "00Q3", country="GB"))
    assert keeping.sweep(stop) == 1
    assert keeping.sweep(stop) == 0
    assert verdicts(desk.ledger) == ["unproven", "unproven", "identical"]
    desk.clock.advance(86_400)
    assert keeping.sweep(stop) == 1
    with desk.ledger.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM roster").scalar() == 0


# Another policy

ALL_SMALL = "route: lead\nentry: ['event.kind = \"created\"']\nladder:\n  - otherwise: pool Small\n"


def test_what_another_policy_would_have_decided(desk: Desk) -> None:
    desk.play(*(desk.event("created", f"00Q{n}", country="GB" if n % 2 else "FR") for n in range(6)))
    ladder = example.ENGAGEMENT.replace("assign: person Bo Li", "assign: pool Small")
    found = again(desk.ledger, policy=policy(engagement=ladder))
    assert [one.verdict == "different" for one in found] == [bool(n % 2) for n in range(6)]
    assert "assign to ana@example.com out of the pool Small" in " ".join(one.said for one in found)
    # The turns are those of a pool that was given six leads: two in three are Ana's.
    owners = [one.after.owner for one in found if one.after is not None]
    assert owners.count("ana@example.com") == 4


def test_the_same_rules_under_another_name_change_nothing(desk: Desk) -> None:
    desk.play(*(desk.event("created", f"00Q{n}", country="FR") for n in range(5)))
    assert verdicts(desk.ledger, policy=policy(pools=POOLS + "# a remark\n")) == ["identical"] * 5


def test_a_policy_that_would_not_have_routed_it(desk: Desk) -> None:
    desk.play(desk.event("created", country="FR"))
    closed = example.ENGAGEMENT.replace('event.kind in ("created", "restored")', 'event.kind = "restored"')
    (one,) = again(desk.ledger, policy=policy(engagement=closed))
    assert (one.verdict, one.said) == ("different", "nothing would have been decided: the entry criteria keep it out")


REMARK = "# a remark\n"  # the same rules, and another policy by its digest
CAPPED = "Small: {method: round robin, members: [Ana Diaz, Bo Li], member_caps: 2 a day}\n"


def days_of_leads(desk: Desk, per_day: int) -> None:
    """Three days of leads, one an hour."""
    for day in range(3):
        for n in range(per_day):
            desk.play(desk.event("created", f"00Q{day}{n}", seconds=day * 86_400 + n, country="FR"))
            desk.clock.advance(3_600)
        desk.clock.advance(86_400 - per_day * 3_600)


def outcomes(found: list[Replayed]) -> list[str]:
    return [one.after.outcome for one in found if one.after is not None]


def test_caps_count_in_a_replay_as_they_counted_then(desk: Desk) -> None:
    small = policy(engagement=ALL_SMALL, pools=CAPPED)
    publish(desk, {"engagement": ALL_SMALL, "pools": CAPPED})
    days_of_leads(desk, per_day=6)
    found = again(desk.ledger, policy=small)
    assert {one.verdict for one in found} == {"identical"}
    assert outcomes(found)[:6] == ["assign"] * 4 + ["hold"] * 2
    # Under another name, from the middle of a day, and of a single record.
    renamed = policy(engagement=ALL_SMALL, pools=CAPPED + REMARK)
    assert set(verdicts(desk.ledger, policy=renamed)) == {"identical"}
    third = found[2].recorded.seq
    assert {one.verdict for one in again(desk.ledger, Span(after=third), policy=renamed)} == {"identical"}
    assert {one.verdict for one in again(desk.ledger, Span(record_id="00Q04"), policy=renamed)} == {"identical"}


def test_other_caps_are_judged_by_what_the_replay_gave(desk: Desk) -> None:
    publish(desk, {"engagement": ALL_SMALL, "pools": CAPPED})
    days_of_leads(desk, per_day=6)
    recorded = outcomes(again(desk.ledger, policy=policy(engagement=ALL_SMALL, pools=CAPPED)))
    for cap, given in ((1, 2), (2, 4), (3, 6)):
        trial = policy(engagement=ALL_SMALL, pools=CAPPED.replace("2 a day", f"{cap} a day") + REMARK)
        made = again(desk.ledger, policy=trial)
        assert outcomes(made)[:6] == ["assign"] * given + ["hold"] * (6 - given)
        assert (outcomes(made) == recorded) == (cap == 2)
        owners = [one.after.owner for one in made[:given] if one.after is not None]
        assert owners.count("ana@example.com") == owners.count("bo@example.com") == given / 2


def test_open_work_counts_as_it_was_recorded(desk: Desk) -> None:
    """Whose lead it is goes by who has least to do, which is closed outside of what is replayed."""
    balanced = "Small: {method: load balanced, members: [Ana Diaz, Bo Li]}\n"
    publish(desk, {"engagement": ALL_SMALL, "pools": balanced})
    for n in range(6):
        desk.play(desk.event("created", f"00Q{n}", seconds=n, country="FR"))
        desk.clock.advance(60)
    ana = [one.recorded.ref[-4:] for one in again(desk.ledger) if one.after and one.after.owner == "ana@example.com"]
    desk.play(*(desk.event("updated", record, seconds=100, converted=True) for record in ana))
    desk.play(*(desk.event("created", f"00Q1{n}", seconds=200 + n, country="FR") for n in range(3)))
    found = again(desk.ledger, policy=policy(engagement=ALL_SMALL, pools=balanced + REMARK))
    assert {one.verdict for one in found} == {"identical"}
    assert [one.after.owner for one in found[-3:] if one.after] == ["ana@example.com"] * 3


def test_what_was_credited_by_hand_counts_until_a_lead_goes_otherwise(desk: Desk) -> None:
    publish(desk, {"engagement": ALL_SMALL, "pools": CAPPED.replace(", member_caps: 2 a day", "")})
    desk.play(*(desk.event("created", f"00Q{n}", seconds=n, country="FR") for n in range(3)))
    with desk.ledger.write() as conn:
        locked = pooling.Desk(conn, desk.loop._policies.current, ["Small"], desk.clock(), locked=True)
        crediting.adjust(locked, "Small", "", "ana@example.com", 2.0, author="op", reason="was ill")
    desk.play(*(desk.event("created", f"00Q1{n}", seconds=9 + n, country="FR") for n in range(4)))
    for pools in (CAPPED.replace(", member_caps: 2 a day", ""), CAPPED.replace(", member_caps: 2 a day", "") + REMARK):
        assert set(verdicts(desk.ledger, policy=policy(engagement=ALL_SMALL, pools=pools))) == {"identical"}


def test_that_open_leads_are_not_known_of_then_is_said(desk: Desk, tmp_path: Path) -> None:
    few = CAPPED.replace("2 a day", "1 open")
    publish(desk, {"engagement": ALL_SMALL, "pools": few})
    desk.play(*(desk.event("created", f"00Q{n}", seconds=n, country="FR") for n in range(4)))
    same = policy(engagement=ALL_SMALL, pools=few)
    found = again(desk.ledger, policy=same)
    assert ({one.verdict for one in found}, outcomes(found)) == ({"identical"}, ["assign"] * 2 + ["hold"] * 2)
    for name, text in files_of({"engagement": ALL_SMALL, "pools": few + REMARK}).items():
        (tmp_path / name).write_text(text, "utf-8")
    code, said = run(desk.ledger, "--policy", str(tmp_path))
    assert code == 1
    assert "caps on open leads (in Small) count none here" in " ".join(said.split())


# The recorded history, and what happens to it


@pytest.fixture
def history(sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr("routing.core.plan.LIST_VERSIONS", load(sqlite_ledger))
    return sqlite_ledger


def run(ledger: Ledger, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", "--ledger", ledger.url, *words], env={"COLUMNS": "250"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def one_of(ledger: Ledger, outcome: str = "assign") -> tuple[str, dict[str, Any]]:
    query = f"SELECT decision_id, body FROM decision WHERE outcome = '{outcome}' ORDER BY seq"
    with ledger.read() as conn:
        decision_id, body = conn.exec_driver_sql(query).first() or ("", "{}")
    return decision_id, json.loads(body)


def alter(ledger: Ledger, decision_id: str, body: str) -> None:
    with ledger.write() as conn:
        conn.exec_driver_sql("UPDATE decision SET body = ? WHERE decision_id = ?", (body, decision_id))


def test_a_recorded_history_is_decided_as_it_was(history: Ledger) -> None:
    found = again(history)
    assert [one.said for one in found if one.verdict != "identical"] == []
    assert len(found) >= 15
    assert len({one.recorded.policy for one in found}) == 2
    assert len({one.recorded.roster for one in found}) >= 2
    code, said = run(history)
    assert (code, said) == (0, f"{len(found)} decisions made again: {len(found)} identical.\n")


# What somebody did to a stored decision, and what is said of it.
ALTERATIONS: tuple[tuple[Any, str], ...] = (
    (lambda body: body.update(owner="x@example.com"), "owner: recorded 'x@example.com', now '"),
    (lambda body: body["trace"][-1].update(note="it was fair"), "note: recorded 'it was fair', now "),
    (lambda body: body["trace"].pop(), "): recorded nothing, now {'stage'"),
    (lambda body: body["facts"]["lead"].update(country="XX"), "facts, lead, country: recorded 'XX', now "),
    (lambda body: body.update(decided_at="2026-11-22T09:00:00Z"), "decided_at: recorded '2026-11-22T09:00:00Z', now "),
    (lambda body: body.update(policy="0" * 64), "policy: recorded '000"),
    (lambda body: body.update(outcome=7), "the stored decision cannot be read"),
    (lambda body: None, "spelled or ordered otherwise"),  # the same values in other bytes
)


def test_decisions_that_somebody_altered_are_found(history: Ledger) -> None:
    with history.read() as conn:
        stored = conn.exec_driver_sql("SELECT decision_id, body FROM decision ORDER BY seq").all()
    altered = dict(zip((decision_id for decision_id, _ in stored), ALTERATIONS, strict=False))
    for decision_id, text in stored:
        if decision_id in altered:
            body = json.loads(text)
            altered[decision_id][0](body)
            alter(history, decision_id, json.dumps(body, indent=1))
    code, said = run(history)
    assert code == 1
    assert said.count("different: decision") == len(ALTERATIONS)
    for decision_id, (_, words) in altered.items():
        line = next(line for line in said.splitlines() if decision_id[:8] in line)
        assert words in line


def test_altered_columns_are_found(history: Ledger) -> None:
    """Lists and reports count by them; what a decision says of itself is left as it was."""
    wrong: dict[str, Any] = {
        "owner": "eve@example.com",
        "outcome": "hold",
        "pool": "Elsewhere",
        "rung": "Another",
        "ref": "salesforce:lead:00QEVE",
        "corrections": 9,
        "decided_ms": 1,
    }
    with history.write() as conn:
        ids = conn.exec_driver_sql("SELECT decision_id FROM decision ORDER BY seq").scalars().all()
        for decision_id, (name, value) in zip(ids, wrong.items(), strict=False):
            conn.exec_driver_sql(f"UPDATE decision SET {name} = ? WHERE decision_id = ?", (value, decision_id))
        # Of one that cannot be made again it is told, too.
        last = ids[len(wrong)]
        conn.exec_driver_sql("UPDATE decision SET evidence = NULL, owner = 'eve' WHERE decision_id = ?", (last,))
    found = {one.recorded.decision_id: one for one in again(history) if one.verdict != "identical"}
    assert list(found) == ids[: len(wrong) + 1]
    assert {one.verdict for one in found.values()} == {"different"}
    for decision_id, (name, value) in zip(ids, wrong.items(), strict=False):
        assert found[decision_id].said.startswith(
            f"the column {name} of its row is {value!r}, and the decision itself "
        )
    assert run(history)[0] == 1


def test_altered_evidence_is_found(history: Ledger) -> None:
    decision_id, _ = one_of(history)
    with history.write() as conn:
        query = "SELECT evidence FROM decision WHERE decision_id = ?"
        kept = json.loads(conn.exec_driver_sql(query, (decision_id,)).scalar_one())
        kept[2][3]["email"] = "somebody@else.example"
        body = json.dumps(kept).encode()
        conn.exec_driver_sql("UPDATE decision SET evidence = ? WHERE decision_id = ?", (body, decision_id))
    code, said = run(history)
    assert code == 1
    # With another address the lead goes another way, or is matched for other reasons.
    assert f"different: decision {decision_id[:8]}" in said
    assert "16 identical, 1 different" in said


def test_a_policy_or_people_that_are_missing_are_named(history: Ledger) -> None:
    with history.write() as conn:
        conn.exec_driver_sql("DELETE FROM policy")
    code, said = run(history)
    assert code == 1
    assert "is not in the ledger" in said


def test_where_to_begin_and_end(history: Ledger) -> None:
    found = again(history)
    middle = found[len(found) // 2].recorded
    later = [one for one in found if one.recorded.seq >= middle.seq]
    for start in (str(middle.seq), middle.decision_id, middle.decision_id[:13]):
        assert run(history, "--from", start)[1].startswith(f"{len(later)} decisions")
    assert run(history, "--from", str(middle.seq), "--to", middle.decision_id)[1].startswith("1 decisions")
    day = json.loads(found[0].recorded.body)["decided_at"][:10]
    assert run(history, "--from", day)[1].startswith(f"{len(found)} decisions")
    assert run(history, "--from", day, "--to", day)[1].startswith(f"{len(found)} decisions")  # the whole day
    assert run(history, "--from", day, "--to", f"{day}T00:00")[0] == 2
    assert run(history, "--to", "2020-01-01") == (
        1,
        "No decision lies there; `fingerpost decisions list` shows the newest.\n",
    )
    code, said = run(history, "--from", "yesterday")
    assert code == 2
    assert "'yesterday' is neither a date" in said
    number = "9" * 26
    assert run(history, "--from", number)[0] == 2
    assert run(history, "--from", "2026-11-23", "--to", "2026-11-20") == (
        2,
        "--to '2026-11-20' is before --from '2026-11-23'; nothing was done.\n",
    )
    assert run(history, "--from", "5", "--to", "4")[0] == 2


def test_a_trial_policy_in_words_and_as_json(history: Ledger, tmp_path: Path) -> None:
    for file in INBOUND.iterdir():
        text = file.read_text("utf-8").replace("  - otherwise: pool Inbound", "  - otherwise: pool LATAM")
        (tmp_path / file.name).write_text(text.replace("assign: pool Marketing desk", "reject: no marketing"), "utf-8")
    code, said = run(history, "--policy", str(tmp_path))
    assert code == 1
    assert "reject by 'Marketing looks after its own leads' instead of assign to" in said
    assert "outcome reject: 0 recorded," in said
    lines = [json.loads(line) for line in run(history, "--policy", str(tmp_path), "--json")[1].splitlines()]
    assert lines[-1]["decisions"] == len(again(history))
    assert {line["verdict"] for line in lines[:-1]} <= {"different", "turn"}


def test_a_single_record(history: Ledger) -> None:
    record = again(history)[0].recorded.ref.split(":")[2]
    code, said = run(history, "--record", record)
    assert (code, said) == (0, "1 decisions made again: 1 identical.\n")


def test_mirror_is_not_asked(history: Ledger) -> None:
    """Only what was kept: the fixture's mirror is empty."""
    with history.read() as conn:
        assert mirror.counts(conn) == {}
    assert set(verdicts(history)) == {"identical"}
