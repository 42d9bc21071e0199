"""Leads for measuring: deterministic from a seed, made from a file of companies, with the dirt of real life.

    python -m tests.bench.leads --companies companies.csv --leads 50000 --out leads.csv [--accounts-out accounts.csv]

About seven in ten work at a company of the file; the others at companies that nobody has heard of. Without a companies file
both are made up. Some companies are dressed as customers with an owner and a customer success manager.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path


def _words(text: str, between: str | None = None) -> list[str]:
    return text.split(between)


COLUMNS = (
    *(
        "id",
        "email",
        "first_name",
        "last_name",
        "company",
        "website",
        "phone",
        "country",
        "state",
        "city",
        "postal_code",
    ),
    *("title", "industry", "employees", "lead_source", "owner", "created_at"),
)
ACCOUNT_COLUMNS = (
    *("id", "name", "website", "country", "state", "city", "postal_code", "industry", "employees", "annual_revenue"),
    *("type", "parent_id", "owner", "csm"),
)
FIRST = _words(
    "Ana Bo Chen Dmitri Élodie Fatima Giulia Håkon Ingrid José Kenji Łukasz María Nia Oluwaseun Priya Quinn Raúl Søren Tomasz"
)
LAST = _words(
    "Díaz Li O'Brien McNeil van-der-Berg Smith Müller Nguyen Okafor Rossi Silva Tanaka Ueda Varga Weiß Yilmaz Zhang Kowalski"
)
OTHER_SCRIPT = [
    ("太郎", "山田"),
    ("伟", "王"),
    ("Анна", "Иванова"),
    ("محمد", "علي"),
    ("지민", "김"),
    ("דוד", "כהן"),
    ("สมชาย", "ใจดี"),
]
FREE = _words("gmail.com hotmail.com yahoo.co.uk web.de qq.com hey.com proton.me outlook.com orange.fr gmx.net")
TITLES = _words("CEO,VP Sales,Head of Operations,Buyer,IT Manager,Student,Engineer,Procurement,CFO,", ",")
SOURCES = _words("Web,Trade show,Referral,Content download,Chat,Partner", ",")
SAYINGS = {
    "United States": ["United States", "USA", "U.S.A.", "US", "us", "United States of America", "America"],
    "United Kingdom": ["United Kingdom", "UK", "U.K.", "Great Britain", "England", "GB"],
    "Germany": ["Germany", "Deutschland", "DE", "GERMANY", "Allemagne"],
    "Netherlands": ["Netherlands", "Holland", "The Netherlands", "NL"],
    "South Korea": ["South Korea", "Korea", "Republic of Korea", "KR"],
    "Canada": ["Canada", "CA", "CANADA", "canada "],
}
STATES = {
    "United States": ["CA", "Calif.", "california", "N.Y.", "New York", "TX", "Texas", "Wash.", "Mass."],
    "Canada": ["ON", "Ontario", "Quebec", "QC", "B.C.", "Alberta"],
    "Australia": ["NSW", "Victoria", "Qld", "WA"],
}
PHONES = {
    "United States": [
        "({a}15) {b}55-{c}",
        "+1 {a}15 {b}55 {c}",
        "{a}15.{b}55.{c}",
        "1-{a}15-{b}55-{c} ext. 12",
        "{a}15{b}55{c}",
    ],
    "United Kingdom": ["020 7946 {c}", "+44 (0)20 7946 {c}", "0044 20 7946 {c}", "+44207946{c}"],
    "Germany": ["030 90{b}{c}", "+49 30 90{b}{c}", "(030) 90{b}/{c}"],
}
NOWHERE = ["Wakanda", "N/A", "-", "earth"]


def companies(path: Path | None, count: int = 20_000) -> list[dict[str, str]]:
    """The rows of the file, or made-up ones with the same columns."""
    if path is not None and path.exists():
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    source = random.Random(1)
    made = []
    for n in range(count):
        country = source.choice(list(SAYINGS))
        made.append(
            {"name": f"Company {n} Ltd", "website": f"https://www.company-{n}.com", "country": country, "city": "X"}
        )
    return made


def accounts(rows: list[dict[str, str]], seed: int) -> Iterator[dict[str, str]]:
    """The companies as accounts; every twentieth is a customer, some belong to the one before."""
    source = random.Random(seed)
    for n, row in enumerate(rows):
        owner = source.choice(["Ana Diaz", "Marcus Bell", "priya.raman@example.com", ""])
        yield {
            **{
                name: row.get(name, "")
                for name in ("name", "website", "country", "state", "city", "postal_code", "industry")
            },
            "id": f"A{n:06d}",
            "employees": str(int(10 ** source.uniform(1, 4.7))) if source.random() < 0.8 else "",
            "annual_revenue": "",
            "type": "Customer" if n % 20 == 0 else "Prospect",
            "parent_id": f"A{n - 1:06d}" if n and source.random() < 0.03 else "",
            "owner": owner,
            "csm": source.choice(["Olivia Grant", "Priya Raman", ""]) if n % 20 == 0 else "",
        }


def leads(rows: list[dict[str, str]], count: int, seed: int) -> Iterator[dict[str, str]]:
    """``count`` leads, the same for the same rows and seed."""
    source = random.Random(seed)
    recent: list[dict[str, str]] = []
    for n in range(count):
        if recent and source.random() < 0.04:
            yield {**source.choice(recent), "id": f"L{n:07d}"}  # somebody filled the form in twice
            continue
        lead = _lead(source, rows, n)
        recent = [*recent[-200:], lead]
        yield lead


def _lead(source: random.Random, rows: list[dict[str, str]], n: int) -> dict[str, str]:
    known = source.random() < 0.7
    row = source.choice(rows)
    company, website, country = row["name"], row.get("website", ""), row.get("country", "")
    if not known:
        company, website = f"Unheard Of {n} GmbH", f"unheard-of-{n}.com" if source.random() < 0.8 else ""
    first, last = source.choice(OTHER_SCRIPT) if source.random() < 0.06 else (source.choice(FIRST), source.choice(LAST))
    host = website.split("://")[-1].removeprefix("www.").split("/")[0] or "nowhere.example"
    if source.random() < 0.15:
        host = source.choice(FREE)
    email = f"{first}.{last}{n}@{host}" if first.isascii() and last.isascii() else f"user{n}@{host}"
    lead = {
        "id": f"L{n:07d}",
        "email": _dirty_email(source, email),
        "first_name": _dirty_name(source, first),
        "last_name": _dirty_name(source, last),
        "company": company,
        "website": website if source.random() < 0.3 else "",
        "phone": _phone(source, country) if source.random() < 0.7 else "",
        "country": source.choice(NOWHERE) if source.random() < 0.01 else source.choice(SAYINGS.get(country, [country])),
        "state": source.choice(STATES.get(country, [row.get("state", "") or ""])),
        "city": row.get("city", "") or "",
        "postal_code": row.get("postal_code", "") or "",
        "title": source.choice(TITLES),
        "industry": row.get("industry", "") or "",
        "employees": str(int(10 ** source.uniform(0.5, 4.5))) if source.random() < 0.5 else "",
        "lead_source": source.choice(SOURCES),
        "owner": "",
        "created_at": f"2026-{source.randint(1, 11):02d}-{source.randint(1, 20):02d}T{source.randint(0, 23):02d}:00:00Z",
    }
    for name in ("email", "first_name", "company", "country", "state"):
        if source.random() < 0.04:
            lead[name] = ""
    if source.random() < 0.001:
        lead[source.choice(["company", "last_name", "email", "phone", "country"])] = "x" * 10_000
    return lead


def _dirty_email(source: random.Random, email: str) -> str:
    kind = source.random()
    if kind < 0.7:
        return email.lower()
    if kind < 0.8:
        return email.upper()
    if kind < 0.88:
        return f"  {email} "
    if kind < 0.93:
        return f"mailto:{email}"
    if kind < 0.97:
        return f"<{email}>"
    return source.choice(["n/a", "none@", "@", email.replace("@", " at "), email.replace(".", "..")])


def _dirty_name(source: random.Random, name: str) -> str:
    kind = source.random()
    if kind < 0.15:
        return name.upper()
    if kind < 0.3:
        return name.lower()
    return f" {name}  " if kind < 0.35 else name


def _phone(source: random.Random, country: str) -> str:
    if source.random() < 0.05:
        return source.choice(["12345", "call me", "n/a", "+999 123", "0"])
    form = source.choice(PHONES.get(country, ["+44 20 7946 {c}", "0{a}1 2{b} {c}"]))
    return form.format(a=source.randint(2, 9), b=source.randint(2, 9), c=source.randint(1000, 9999))


def main(words: list[str] | None = None) -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--companies", type=Path)
    parser.add_argument("--leads", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--accounts-out", type=Path)
    given = parser.parse_args(words)
    rows = companies(given.companies)
    with given.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(leads(rows, given.leads, given.seed))
    if given.accounts_out is not None:
        with given.accounts_out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ACCOUNT_COLUMNS)
            writer.writeheader()
            writer.writerows(accounts(rows, given.seed))


if __name__ == "__main__":
    main()
