"""Matching leads to accounts: how good, how sure, how fast, on companies that the weights were not fitted to.

    python -m tests.bench.matching [--accounts 100000] [--leads 3000] [--misses 20] [--part fit|held-out]

is the quick look while working; ``python -m tests.bench match`` is the whole.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from routing.core.matching import score as scoring
from routing.core.matching.assess import LIKELY, Quality, calibration, quality
from routing.core.matching.decide import decide, shortlist
from routing.core.matching.features import account_features, lead_features
from routing.core.matching.fit import Choice, fit
from routing.core.matching.index import MemoryIndex
from routing.core.matching.measure import measured
from routing.core.matching.model import AccountFeatures, LeadFeatures
from routing.ledger.report import percentile
from routing.runtime.matching import LEAD
from rules.model import Matching
from tests.bench.matching_ceiling import ceiling
from tests.bench.matching_data import ALL, Account, Lead, World, world
from tests.bench.matching_ledger import ledger_of, probe
from tests.bench.matching_peers import run as run_peers
from tests.bench.matching_score import Answer, best, judged, matched
from tests.bench.report import Line

SETTINGS = Matching()
LEADS = 10_000
# Where everybody can follow; rapidfuzz alone takes 60 ms a lead there.
FEWER, FEWER_LEADS, SLOW_LEADS = 100_000, 3_000, 300


def features(account: Account) -> AccountFeatures:
    """As the mirror would hold it."""
    return account_features(account.id, msgspec.structs.asdict(account))


def of_lead(lead: Lead) -> LeadFeatures:
    """As an event would bring it."""
    return lead_features(lead.id, msgspec.structs.asdict(lead))


def answer(lead: LeadFeatures, index: MemoryIndex, weights: scoring.Weights) -> Answer:
    """The matcher's word on one lead."""
    near = shortlist(lead, index.candidates(lead), weights)
    found = decide(lead, near, weights, SETTINGS, {})
    return Answer(
        lead.lead_id, found.candidates[0].account_id if found.candidates else "", found.probability, found.band
    )


def answers(leads: Iterable[Lead], index: MemoryIndex, weights: scoring.Weights) -> tuple[list[Answer], list[int]]:
    """The answers, and the microseconds of one core that each took (features, candidates, scores)."""
    given, took = [], []
    for lead in leads:
        start = time.thread_time_ns()
        given.append(answer(of_lead(lead), index, weights))
        took.append((time.thread_time_ns() - start) // 1_000)
    return given, took


def _as_label(n: int, lead: Lead) -> Lead:
    """Every second one with all that is known of it, the others by name alone; a few leave the company out, as people do."""
    if n % 2 == 0:
        return lead.name_only()
    return msgspec.structs.replace(lead, company="") if n % 20 == 1 else lead


@cache
def _prior() -> scoring.Weights:
    """By which candidates are taken for labels, so that these do not depend on the weights that are made of them."""
    return scoring.Weights.of(Path(__file__).with_name("matching_prior.json").read_bytes())


def choices(leads: Sequence[Lead], index: MemoryIndex) -> list[Choice]:
    """What there is to be fitted."""
    found = []
    for n, lead in enumerate(leads):
        asked = of_lead(_as_label(n, lead))
        candidates = shortlist(asked, index.candidates(asked), _prior())
        right = frozenset(at for at, one in enumerate(candidates) if one.account_id == lead.truth)
        found.append(Choice(lead.id, tuple(measured(asked, candidates)), right))
    return found


def write_labels(path: str, leads: Sequence[Lead], accounts: Sequence[Account], index: MemoryIndex) -> None:
    """What ``choices`` measures, as a file of labels for ``fingerpost match tune``. Ids name the world too: files of several may be joined."""
    by_id, world_of = {one.id: one for one in accounts}, f"{len(accounts)}/"
    with open(path, "wb") as file:
        for n, lead in enumerate(leads):
            asked = _as_label(n, lead)
            features = of_lead(asked)
            mine = {f"lead.{name}": getattr(asked, name) for name in ("id", *LEAD) if getattr(asked, name, "")}
            for one in shortlist(features, index.candidates(features), _prior()):
                theirs = {
                    f"account.{name}": value
                    for name, value in msgspec.structs.asdict(by_id[one.account_id]).items()
                    if value
                }
                ids = {"lead.id": world_of + lead.id, "account.id": world_of + one.account_id}
                file.write(msgspec.json.encode(mine | theirs | ids | {"same": one.account_id == lead.truth}) + b"\n")


def _show(title: str, given: Sequence[Answer], leads: Sequence[Lead], took: list[int]) -> None:
    found = judged(given, leads)
    likely, (cut, top) = quality(found), best(found)
    sure = matched(given, leads)
    error, table = calibration(found)
    ordered = sorted(took)
    print(
        f"{title}: F1 {likely.f1:.4f} (P {likely.precision:.4f}, R {likely.recall:.4f}), best cut {cut:.3f} F1 {top.f1:.4f}"
    )
    print(f"  band match: precision {sure.precision:.4f}, recall {sure.recall:.4f}; calibration error {error:.4f}")
    print("  said/right/count: " + "  ".join(f"{one.said:.2f}/{one.right:.2f}/{one.count}" for one in table))
    print(
        f"  a lead: p50 {percentile(ordered, 50)} µs, p95 {percentile(ordered, 95)} µs, p99 {percentile(ordered, 99)} µs"
    )


def _show_kinds(given: Sequence[Answer], leads: Sequence[Lead], index: MemoryIndex) -> None:
    """Recall by kind of noise, and whether the account was at least among the candidates."""
    known, right, seen = Counter[str](), Counter[str](), Counter[str]()
    for one, lead in zip(given, leads, strict=True):
        if lead.truth:
            there = any(found.account_id == lead.truth for found in index.candidates(of_lead(lead)))
            for kind in lead.kinds:
                known[kind] += 1
                seen[kind] += there
                right[kind] += one.account_id == lead.truth and one.score >= LIKELY
    for kind, count in known.most_common():
        print(
            f"    {kind:<22} {count:>6} leads  among candidates {seen[kind] / count:.3f}  matched {right[kind] / count:.3f}"
        )


def _show_misses(given: Sequence[Answer], leads: Sequence[Lead], held: World, most: int) -> None:
    by_id = {one.id: one for one in held.accounts}
    wrong = [
        (one, lead)
        for one, lead in zip(given, leads, strict=True)
        if (one.score >= LIKELY and one.account_id != lead.truth) or (lead.truth and one.score < LIKELY)
    ]
    for one, lead in wrong[:most]:
        said = f"{by_id[one.account_id].name!r} {one.score:.2f}" if one.account_id else "nothing"
        meant = by_id[lead.truth].name if lead.truth else "(absent)"
        print(f"    {lead.company!r} is {meant!r}; said {said}  {','.join(lead.kinds)}")
        if lead.email or lead.website:
            print(f"        lead {lead.email} {lead.website} {lead.phone} {lead.country}")
            for other in dict.fromkeys((lead.truth, one.account_id)):
                if other:
                    print(f"        account {by_id[other]}")


def run(_: Path) -> list[Line]:
    """The whole: the promises on all accounts, as the daemon has them, then the peers on fewer."""
    held = world(ALL, LEADS)
    _show_shares(held)
    path, made = ledger_of(held.accounts)
    lines = [] if made is None else [Line("index of all accounts made, once", made, "s")]
    alone = [lead.name_only() for lead in held.held_out]
    found = probe(path, alone)
    lines += _quality("by name alone", found.answers, alone, held, 0.92, None)
    found = probe(path, held.held_out)
    lines += _quality("with everything", found.answers, held.held_out, held, 0.97, 0.99)
    took, updates = sorted(found.leads), sorted(found.updates)
    lines += [
        Line("a lead, in batches of 100, p50", (percentile(took, 50) or 0) / 1e3, "ms", 0.3, at_least=False),
        Line("a lead, in batches of 100, p95", (percentile(took, 95) or 0) / 1e3, "ms", 1.5, at_least=False),
        Line("memory more than without", found.memory, "MB", 1_000, at_least=False),
        Line("from opening the ledger to the first match", found.ready, "s", 5, at_least=False),
        Line("an account renamed, p50", (percentile(updates, 50) or 0) / 1e3, "ms", 1, at_least=False),
        Line("renamed accounts that the next lead found", found.seen / max(1, len(updates)), "", 1),
    ]
    return lines + _beside_peers()


def _quality(
    what: str, answers: Sequence[Answer], leads: Sequence[Lead], held: World, f1: float, sure: float | None
) -> list[Line]:
    found = judged(answers, leads)
    likely, match = quality(found), matched(answers, leads)
    error, table = calibration(found)
    print(f"  {what}: probability said / right / leads: ", end="")
    print("  ".join(f"{one.said:.2f}/{one.right:.2f}/{one.count}" for one in table))
    return [
        Line(f"{what}: F1", round(likely.f1, 4), "", f1),
        Line(f"{what}: F1 if only undecidable leads were wrong", round(_ceiling(answers, leads, held).f1, 4), ""),
        Line(f"{what}: precision", round(likely.precision, 4), ""),
        Line(f"{what}: recall", round(likely.recall, 4), ""),
        Line(f"{what}: precision of the band match", round(match.precision, 4), "", sure),
        Line(f"{what}: recall of the band match", round(match.recall, 4), ""),
        Line(f"{what}: calibration error", round(error, 4), ""),
    ]


def _ceiling(answers: Sequence[Answer], leads: Sequence[Lead], held: World) -> Quality:
    return ceiling(answers, leads, {one.id: one for one in held.accounts})


def _show_shares(held: World) -> None:
    """What the leads are made of, so that nobody has to believe it."""
    leads, kinds = held.held_out, Counter(kind for lead in held.held_out for kind in lead.kinds)
    absent = sum(not lead.truth for lead in leads) / len(leads)
    fields = ("country", "website", "phone", "city", "postal_code")
    told = [f"{name} {sum(bool(getattr(lead, name)) for lead in leads) / len(leads):.0%}" for name in fields]
    print(f"  {len(held.accounts):,} accounts; {len(leads):,} leads, company absent {absent:.0%}, {', '.join(told)}")
    print("  names: " + ", ".join(f"{kind} {count / len(leads):.1%}" for kind, count in kinds.most_common()))


def _beside_peers() -> list[Line]:
    """Everybody on the same leads of a smaller world; the peers' cut is the best one in hindsight, ours is not chosen."""
    held = world(FEWER, FEWER_LEADS)
    path, _ = ledger_of(held.accounts)
    lines = []
    for peer in run_peers(FEWER, FEWER_LEADS, FEWER_LEADS, ["tfidf", "splink"]) + run_peers(
        FEWER, FEWER_LEADS, SLOW_LEADS, ["rapidfuzz"]
    ):
        whole = held.held_out[: len(peer.answers)]
        leads = whole if peer.name == "splink" else [lead.name_only() for lead in whole]
        ours = probe(path, leads)
        theirs, mine = best(judged(peer.answers, whole))[1], quality(judged(ours.answers, leads))
        each, own = peer.seconds / len(leads) * 1e3, sum(ours.leads) / len(leads) / 1e3
        what = f"{peer.name}, {FEWER:,} accounts"
        lines += [
            Line(f"{what}: F1", round(theirs.f1, 4), ""),
            Line(f"{what}: F1 of ours on the same", round(mine.f1, 4), ""),
            Line(f"{what}: a lead", each, "ms"),
            Line(f"{what}: ours takes of that", own / each, "times"),
        ]
    return lines


def main() -> None:
    """The quick look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--leads", type=int, default=3_000)
    parser.add_argument("--misses", type=int, default=0)
    parser.add_argument("--part", choices=("fit", "held-out"), default="fit")
    parser.add_argument("--weights", help="a weights file; without it, the shipped one")
    parser.add_argument("--labels", help="writes the labels of the fit half to this file, and does nothing else")
    parser.add_argument("--refit", help="fits to the fit half first, prints the weights and writes them to this file")
    given = parser.parse_args()
    held = world(given.accounts, given.leads)
    leads = held.fit if given.part == "fit" else held.held_out
    weights = scoring.shipped()
    if given.weights:
        with open(given.weights, "rb") as file:
            weights = scoring.Weights.of(file.read())
    start = time.perf_counter()
    index = MemoryIndex(map(features, held.accounts))
    print(
        f"index of {given.accounts:,} accounts made in {time.perf_counter() - start:.1f} s; {given.leads:,} leads of {given.part}"
    )
    gc.collect()
    gc.freeze()
    if given.labels:
        write_labels(given.labels, held.fit, held.accounts, index)
        return
    if given.refit:
        weights = fit(choices(held.fit, index), weights, f"{given.leads:,} leads of the benchmark's fit half")
        with open(given.refit, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(weights)))
        print(f"base {weights.base} " + " ".join(f"{kind} {weight}" for kind, weight in weights.kinds.items()))
    for title, asked in (("by name alone", [lead.name_only() for lead in leads]), ("with everything", leads)):
        found, took = answers(asked, index, weights)
        _show(title, found, asked, took)
        most = _ceiling(found, asked, held)
        print(f"  if only undecidable leads were wrong: F1 {most.f1:.4f} (P {most.precision:.4f}, R {most.recall:.4f})")
        _show_kinds(found, asked, index)
        _show_misses(found, asked, held, given.misses)


if __name__ == "__main__":
    main()
