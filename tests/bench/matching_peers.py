"""What else there is, on the same leads: rapidfuzz alone, TF-IDF over letter trigrams, and splink.

Runs in a process of its own with ``.venv/bench-peers`` on its path (``matching_peers.lock``), and writes one JSON line an approach.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct, json

from routing.core import normalise
from routing.core.words import FREE_MAIL
from tests.bench import matching_fetch as fetch
from tests.bench.matching_data import Account, Lead, world
from tests.bench.matching_score import Answer

LOCK = "matching_peers.lock"
TARGET = fetch.ROOT / ".venv" / "bench-peers"


class Peer(Struct):
    """An approach: the seconds to get ready and for all leads, and its answers."""

    name: str
    ready: float
    seconds: float
    answers: list[Answer]


def run(accounts: int, leads: int, most: int, names: list[str]) -> list[Peer]:
    """Those of ``names`` on the held-out leads of that world, on the first ``most`` of them."""
    fetch.installed(LOCK, TARGET)
    call = [sys.executable, "-m", "tests.bench.matching_peers", str(accounts), str(leads), str(most), *names]
    path = f"{TARGET}{os.pathsep}{fetch.ROOT}"
    done = subprocess.run(
        call, stdout=subprocess.PIPE, check=True, cwd=fetch.ROOT, env={**os.environ, "PYTHONPATH": path}
    )
    return [json.decode(line, type=Peer) for line in done.stdout.splitlines()]


def rapidfuzz(accounts: list[Account], leads: list[Lead]) -> Peer:
    """The best of all accounts by the sorted words of the names: the best of its ready-made scorers on these leads."""
    from rapidfuzz import fuzz, process, utils  # type: ignore[import-not-found,unused-ignore]

    start = time.perf_counter()
    names = [utils.default_process(one.name) for one in accounts]
    ready = time.perf_counter()
    answers = []
    for lead in leads:
        found = process.extractOne(utils.default_process(lead.company), names, scorer=fuzz.token_sort_ratio)
        answers.append(Answer(lead.id, accounts[found[2]].id, found[1] / 100) if found else Answer(lead.id))
    return Peer("rapidfuzz", ready - start, time.perf_counter() - ready, answers)


def tfidf(accounts: list[Account], leads: list[Lead]) -> Peer:
    """The nearest by the cosine of TF-IDF weighted letter trigrams, by a sparse product that keeps the best."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-not-found,unused-ignore]
    from sparse_dot_topn import sp_matmul_topn  # type: ignore[import-not-found,unused-ignore]

    start = time.perf_counter()
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), preprocessor=normalise.company_key)
    known = vectors.fit_transform([one.name for one in accounts]).T.tocsr()
    ready = time.perf_counter()
    found = sp_matmul_topn(vectors.transform([one.company for one in leads]), known, top_n=1, n_threads=1)
    answers = []
    for n, lead in enumerate(leads):
        row = found[n]
        answers.append(Answer(lead.id, accounts[row.indices[0]].id, float(row.data[0])) if row.nnz else Answer(lead.id))
    return Peer("TF-IDF trigrams", ready - start, time.perf_counter() - ready, answers)


def splink(accounts: list[Account], leads: list[Lead]) -> Peer:
    """Splink as its documentation sets it up: name, domain, phone and country, trained without labels, on DuckDB."""
    import pyarrow  # type: ignore[import-not-found,unused-ignore]
    from splink import Linker, SettingsCreator, block_on  # type: ignore[import-not-found,unused-ignore]
    from splink import comparison_library as library
    from splink.backends.duckdb import DuckDBAPI  # type: ignore[import-not-found,unused-ignore]

    start = time.perf_counter()
    engine = DuckDBAPI()
    tables = [
        engine.register(pyarrow.Table.from_pylist([_row(one, name) for one in rows]), table_name=name)
        for name, rows in (("accounts", accounts), ("leads", leads))
    ]
    rules = [block_on("domain"), block_on("phone"), block_on("first"), block_on("start")]
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=[
            library.JaroWinklerAtThresholds("name", [0.97, 0.92, 0.85, 0.75]),
            *(library.ExactMatch(name) for name in ("domain", "phone", "country")),
        ],
        blocking_rules_to_generate_predictions=rules,
    )
    linker = Linker(tables, settings, log_level=40)
    linker.training.estimate_probability_two_random_records_match([block_on("name"), block_on("domain")], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for rule in (block_on("start"), block_on("domain")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule, record_sample_proportion=1.0)
    ready = time.perf_counter()
    found: dict[str, tuple[float, str]] = {}
    for pair in linker.inference.predict(threshold_match_probability=0.001).as_record_list():
        ids = {pair["source_dataset_l"]: pair["unique_id_l"], pair["source_dataset_r"]: pair["unique_id_r"]}
        said = (pair["match_probability"], ids["accounts"])
        found[ids["leads"]] = max(found.get(ids["leads"], (0.0, "")), said)
    answers = [Answer(one.id, found.get(one.id, (0.0, ""))[1], found.get(one.id, (0.0, ""))[0]) for one in leads]
    return Peer("splink", ready - start, time.perf_counter() - ready, answers)


def _row(one: Account | Lead, source: str) -> dict[str, str | None]:
    name = normalise.company_key(one.name if isinstance(one, Account) else one.company)
    mail = normalise.email_domain(one.email) if isinstance(one, Lead) and one.email else None
    site = normalise.website(one.website) if one.website else None
    digits = "".join(filter(str.isdigit, one.phone.partition(" ext")[0])).removeprefix("00")
    return {
        "unique_id": one.id,
        "source_dataset": source,
        "name": name or None,
        "first": name.partition(" ")[0] or None,
        "start": name[:6] or None,
        "domain": (None if mail in FREE_MAIL else mail) or site,
        "phone": digits or None,
        "country": one.country or None,
    }


PEERS: dict[str, Callable[[list[Account], list[Lead]], Peer]] = {
    "rapidfuzz": rapidfuzz,
    "tfidf": tfidf,
    "splink": splink,
}


def main(words: list[str]) -> None:
    """Runs the peers that the words name and prints their answers."""
    accounts, leads, most = map(int, words[:3])
    held: Any = world(accounts, leads)
    for name in words[3:]:
        sys.stdout.buffer.write(json.encode(PEERS[name](held.accounts, held.held_out[:most])) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
