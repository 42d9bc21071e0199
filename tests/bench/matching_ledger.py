"""The matcher as the daemon has it: accounts in a ledger's mirror, their index beside it, leads in batches.

The ledger of a million accounts is made once for the same code and companies and kept in ``.venv/bench-data``; what is measured runs
in a process of its own that opens it as after a restart. Times are of one core (the thread's own), so others on the machine do not count.
"""

from __future__ import annotations

import gc
import hashlib
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from routing.core.filing import filed
from routing.core.keys import keys
from routing.core.matching.decide import decide
from routing.core.model import Record
from routing.core.recognise import weights_of
from routing.ledger import match_index, mirror
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.neighbours import Neighbours, asking
from routing.runtime.policy_folder import read_folder
from rules.policy import Policy, compile_policy
from tests.bench import matching_fetch as fetch
from tests.bench.matching_data import Account, Lead
from tests.bench.matching_score import Answer

BATCH = 100
UPDATES = 300
SYSTEM = "salesforce"


class Probe(Struct):
    """What one process found: seconds until the first lead was matched, MB that matching added, microseconds a lead and an account."""

    ready: float
    memory: float
    leads: list[int]
    updates: list[int]
    seen: int  # of the renamed accounts, how many the very next lead found
    answers: list[Answer]


def ledger_of(accounts: Sequence[Account]) -> tuple[Path, float | None]:
    """A ledger whose mirror holds these accounts, and the seconds of one core that its index took (None: it was there)."""
    known = hashlib.sha256(msgspec.msgpack.encode(list(accounts)))
    core = fetch.ROOT / "routing" / "core"
    wanted = ("index", "names", "forms", "company_words", "domains", "features", "people", "nicknames")
    parts = [core / "matching" / f"{name}.py" for name in wanted]
    for path in (
        *parts,
        core / "filing.py",
        core / "matching" / "frequency.txt",
        fetch.ROOT / "routing" / "ledger" / "schema.py",
    ):
        known.update(path.read_bytes() if path.exists() else b"none")
    path = fetch.data() / f"ledger-{known.hexdigest()[:16]}.db"
    if path.exists():
        return path, None
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    ledger = Ledger(f"sqlite:///{part}")
    ledger.upgrade()
    for start in range(0, len(accounts), 2000):
        records = [record(one) for one in accounts[start : start + 2000]]
        with ledger.write() as conn:
            mirror.save(conn, [(one, keys(one)) for one in records])
    begun = time.thread_time()
    match_index.ensure(ledger)
    took = time.thread_time() - begun
    ledger.close()
    part.replace(path)
    return path, took


def record(account: Account) -> Record:
    """As the mirror holds it."""
    values = {name: value for name, value in msgspec.structs.asdict(account).items() if value and name != "id"}
    return Record(system=SYSTEM, entity="account", record_id=account.id, values=values)


def probe(path: Path, leads: Sequence[Lead], weights: bytes = b"") -> Probe:
    """Matches ``leads`` in a fresh process, and then renames accounts. The ledger is as before afterwards."""
    asked = msgspec.msgpack.encode((str(path), list(leads), weights))
    call = [sys.executable, "-m", "tests.bench.matching_ledger"]
    done = subprocess.run(call, input=asked, stdout=subprocess.PIPE, check=True, cwd=fetch.ROOT)
    return msgspec.msgpack.decode(done.stdout, type=Probe)


def _policy(weights: bytes) -> Policy:
    files = dict(read_folder(fetch.ROOT / "rules" / "examples" / "inbound"))
    files["matching.yaml"] = b"duplicates: no\n"
    if weights:
        files |= {"matching.yaml": b"duplicates: no\nweights: weights.json\n", "weights.json": weights}
    return compile_policy(files)


def _probed(path: str, leads: list[Lead], weights: bytes) -> Probe:
    policy = _policy(weights)
    gc.collect()
    before, begun = _resident(), time.perf_counter()
    ledger = Ledger(f"sqlite:///{path}")
    match_index.ensure(ledger)
    answers, took = _matched(ledger, leads[:1], policy)
    ready = time.perf_counter() - begun
    gc.freeze()
    for start in range(1, len(leads), BATCH):
        found, times = _matched(ledger, leads[start : start + BATCH], policy)
        answers += found
        took += times
    memory = _resident() - before
    updates, seen = _renamed(ledger, policy)
    ledger.close()
    return Probe(ready, memory / 1e6, took, updates, seen, answers)


def _matched(ledger: Ledger, leads: Sequence[Lead], policy: Policy) -> tuple[list[Answer], list[int]]:
    answers, took = [], []
    weights = weights_of(policy)
    records = [
        Record(
            system=SYSTEM,
            entity="lead",
            record_id=lead.id,
            values={n: v for n, v in msgspec.structs.asdict(lead).items() if v and isinstance(v, str)},
        )
        for lead in leads
    ]
    begun = time.thread_time_ns()
    with ledger.read() as conn:
        asks = [asking(one, policy) for one in records]
        around = Neighbours(conn, asks, 0, policy)
        shared = (time.thread_time_ns() - begun) // len(leads)
        for lead, ask in zip(leads, asks, strict=True):
            begun = time.thread_time_ns()
            found = decide(ask.lead, [one.features for one in around.accounts(ask)], weights, policy.matching, {})
            took.append((shared + time.thread_time_ns() - begun) // 1_000)
            best = found.candidates[0].account_id if found.candidates else ""
            answers.append(Answer(lead.id, best, found.probability, found.band))
    return answers, took


def _renamed(ledger: Ledger, policy: Policy) -> tuple[list[int], int]:
    """Renames accounts one by one: what filing each anew takes, and whether a lead of the new name finds it at once."""
    took, seen = [], 0
    with ledger.read() as conn:
        refs = {ref_of(SYSTEM, "account", f"A{n * 60:07d}") for n in range(UPDATES)}
        records = list(mirror.load(conn, refs).values())
    for n, one in enumerate(records):
        fresh = msgspec.structs.replace(one, values=one.values | {"name": f"Zyx{n:03d}wvu Quonset Ltd"})
        for before, after, counted in ((one, fresh, True), (fresh, one, False)):
            begun = time.thread_time_ns()
            change = match_index.Change(ref_of(SYSTEM, "account", one.record_id), filed(before), filed(after))
            with ledger.write() as conn:
                match_index.save(conn, [change])
            if counted:
                took.append((time.thread_time_ns() - begun) // 1_000)
                lead = Lead(f"N{n}", f"Zyx{n:03d}wvu Quonset", one.record_id)
                seen += _matched(ledger, [lead], policy)[0][0].account_id == one.record_id
    return took, seen


def _resident() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    given = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[str, list[Lead], bytes])
    sys.stdout.buffer.write(msgspec.msgpack.encode(_probed(*given)))
