"""What people make of a company's name when they fill in a form. The shares are written here and printed with every run.

Each lead gets one kind of ``FIRST``; some get one of ``SECOND`` on top. A kind that a name offers no hold for (no legal form to drop)
leaves it as it was, and is then counted under "as registered". The lists are this file's own: the matcher's are not read.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable

FIRST = {
    "as registered": 0.15,
    "legal form dropped": 0.22,
    "legal form changed": 0.10,
    "typing error": 0.20,
    "word dropped": 0.08,
    "words reordered": 0.05,
    "abbreviated": 0.08,
    "acronym": 0.02,
    "other script": 0.03,
    "spaces and hyphens": 0.04,
    "words added": 0.03,
}
SECOND = {"legal form dropped": 0.5, "typing error": 0.25, "case": 0.25}
SECOND_SHARE = 0.35

_FORMS = (
    *(
        "private limited",
        "pvt ltd",
        "pvt. ltd.",
        "private ltd",
        "limited liability company",
        "public limited company",
        "gmbh & co. kg",
    ),
    *(
        "incorporated",
        "inc.",
        "inc",
        "corporation",
        "corp.",
        "corp",
        "company",
        "co.",
        "limited",
        "ltd.",
        "ltd",
        "llc",
        "l.l.c.",
        "llp",
    ),
    *(
        "l.p.",
        "lp",
        "plc",
        "gmbh",
        "mbh",
        "ag",
        "kg",
        "se",
        "s.a.",
        "sa",
        "s.a.s.",
        "sas",
        "sarl",
        "s.à r.l.",
        "s.r.l.",
        "srl",
        "s.p.a.",
    ),
    *(
        "spa",
        "s.l.",
        "sl",
        "b.v.",
        "bv",
        "n.v.",
        "nv",
        "ab",
        "as",
        "a/s",
        "aps",
        "oy",
        "oyj",
        "ou",
        "oü",
        "s.r.o.",
        "a.s.",
        "kft",
        "kft.",
    ),
    *(
        "zrt.",
        "sp. z o.o.",
        "d.o.o.",
        "pte. ltd.",
        "pty ltd",
        "sdn bhd",
        "co., ltd.",
        "k.k.",
        "ltda",
        "ltda.",
        "s.a. de c.v.",
        "tbk",
    ),
)
_ENDING = re.compile(
    r"[\s,]+(" + "|".join(re.escape(form) for form in sorted(_FORMS, key=len, reverse=True)) + r")\s*$", re.IGNORECASE
)
_OTHER_FORMS = {
    "US": ("Inc", "LLC", "Corp.", "Corporation", "Co."),
    "GB": ("Ltd", "Limited", "PLC", "LLP"),
    "IN": ("Pvt Ltd", "Private Limited", "Ltd.", "LLP"),
    "DE": ("GmbH", "AG", "GmbH & Co. KG", "mbH"),
    "FR": ("SA", "SAS", "SARL"),
    "IT": ("SpA", "Srl", "S.r.l."),
    "ES": ("SL", "S.A.", "S.L."),
    "NL": ("BV", "B.V.", "NV"),
    "": ("Ltd", "Inc", "GmbH", "SA", "Group", "Holding"),
}
_SHORT = {
    **{
        "international": "intl",
        "manufacturing": "mfg",
        "management": "mgmt",
        "technologies": "tech",
        "technology": "tech",
    },
    **{
        "services": "svcs",
        "service": "svc",
        "industries": "ind",
        "engineering": "eng",
        "solutions": "sol",
        "systems": "sys",
    },
    **{"associates": "assoc", "association": "assn", "brothers": "bros", "corporation": "corp", "development": "dev"},
    **{
        "university": "univ",
        "department": "dept",
        "government": "govt",
        "national": "natl",
        "american": "amer",
        "and": "&",
    },
    **{
        "investment": "inv",
        "investments": "invest",
        "company": "co",
        "holdings": "hldgs",
        "construction": "const",
        "global": "glbl",
    },
    **{
        "insurance": "ins",
        "financial": "fin",
        "communications": "comm",
        "laboratories": "labs",
        "pharmaceuticals": "pharma",
    },
    **{
        "capital": "cap",
        "partners": "ptnrs",
        "enterprises": "ent",
        "electric": "elec",
        "electronics": "elec",
        "transport": "trans",
    },
    **{
        "limited": "ltd",
        "private": "pvt",
        "saint": "st",
        "centre": "ctr",
        "center": "ctr",
        "group": "grp",
        "products": "prods",
    },
}
_ADDED = (
    "Headquarters",
    "Sales Office",
    "(Head Office)",
    "IT Department",
    "Europe",
    "- Procurement",
    "Branch",
    "Worldwide",
)
_NEAR = {
    **dict(zip("qwertyuiop", ("wa", "qes", "wrd", "etf", "ryg", "tuh", "yij", "uok", "ipl", "ol"), strict=True)),
    **dict(zip("asdfghjkl", ("qsz", "adwx", "sfec", "dgrv", "fhtb", "gjyn", "hkum", "jlio", "kop"), strict=True)),
    **dict(zip("zxcvbnm", ("xas", "zcsd", "xvdf", "cbfg", "vngh", "bmhj", "nkj"), strict=True)),
}
_CYRILLIC = (
    *(
        ("shch", "щ"),
        ("sch", "ш"),
        ("sh", "ш"),
        ("ch", "ч"),
        ("zh", "ж"),
        ("kh", "х"),
        ("ts", "ц"),
        ("ya", "я"),
        ("yu", "ю"),
    ),
    *zip("abvgdeziklmnoprstufhcqwy", "абвгдезиклмнопрстуфхкквй", strict=True),
    *(("j", "дж"), ("x", "кс")),
)
_GREEK = (
    *(("th", "θ"), ("ph", "φ"), ("ch", "χ"), ("ps", "ψ"), ("ou", "ου")),
    *zip("abgdeziklmnxoprstyfhcjqv", "αβγδεζικλμνξοπρστυφχκζκβ", strict=True),
    *(("u", "ου"), ("w", "ου")),
)


def one_of(shares: dict[str, float], chance: random.Random) -> str:
    """A key, as often as its share says."""
    return chance.choices(list(shares), list(shares.values()))[0]


def noisy(name: str, country: str, chance: random.Random) -> tuple[str, tuple[str, ...]]:
    """The name as somebody wrote it, and the kinds of noise that changed it."""
    kinds: list[str] = []
    wanted = [one_of(FIRST, chance)]
    if chance.random() < SECOND_SHARE:
        wanted.append(one_of(SECOND, chance))
    for kind in wanted:
        changed = _KINDS[kind](name, country, chance)
        if changed.strip() and changed != name:
            kinds.append(kind)
            name = changed
    return name, tuple(kinds) or ("as registered",)


def written_site(domain: str, chance: random.Random) -> str:
    """A domain as a website field holds it."""
    return chance.choice(("{}", "www.{}", "http://www.{}", "https://{}/", "https://www.{}/en/contact")).format(domain)


def written_phone(phone: str, chance: random.Random) -> str:
    """A number of E.164 as people write it, with its country's prefix."""
    form = chance.random()
    if form < 0.4:
        return phone
    if form < 0.6:
        return f"00{phone[1:]}"
    grouped = f"{phone[:3]} {phone[3:6]} {phone[6:9]} {phone[9:]}".strip()
    return grouped if form < 0.85 else f"{phone} ext. {chance.randrange(10, 999)}"


def _as_registered(name: str, country: str, chance: random.Random) -> str:
    return name


def _case(name: str, country: str, chance: random.Random) -> str:
    return chance.choice((name.upper(), name.lower(), name.title()))


def _form_dropped(name: str, country: str, chance: random.Random) -> str:
    return _ENDING.sub("", name).rstrip(" ,&-")


def _form_changed(name: str, country: str, chance: random.Random) -> str:
    bare = _form_dropped(name, country, chance)
    return f"{bare} {chance.choice(_OTHER_FORMS.get(country, _OTHER_FORMS['']))}"


def _typing_error(name: str, country: str, chance: random.Random) -> str:
    for _ in range(1 if chance.random() < 0.7 else 2):
        at = [n for n, letter in enumerate(name) if letter.isalpha()]
        if len(at) < 4:
            return name
        name = _slip(name, chance.choice(at), chance)
    return name


def _slip(name: str, n: int, chance: random.Random) -> str:
    kind = chance.randrange(4)
    if kind == 0:
        return name[:n] + name[n + 1 :]
    if kind == 1:
        return name[:n] + name[n] + name[n:]
    if kind == 2 and n + 1 < len(name):
        return name[:n] + name[n + 1] + name[n] + name[n + 2 :]
    near = chance.choice(_NEAR.get(name[n].lower(), "ae"))
    return name[:n] + (near.upper() if name[n].isupper() else near) + name[n + 1 :]


def _word_dropped(name: str, country: str, chance: random.Random) -> str:
    words = name.split()
    if len(words) < 3:
        return name
    del words[chance.randrange(len(words))]
    return " ".join(words)


def _reordered(name: str, country: str, chance: random.Random) -> str:
    ending = _ENDING.search(name)
    bare, form = (name[: ending.start()], name[ending.start() :]) if ending else (name, "")
    words = bare.split()
    if len(words) < 2:
        return name
    if chance.random() < 0.5:
        return f"{' '.join(words[1:])}, {words[0]}{form}"
    n = chance.randrange(len(words) - 1)
    words[n], words[n + 1] = words[n + 1], words[n]
    return " ".join(words) + form


def _abbreviated(name: str, country: str, chance: random.Random) -> str:
    words = name.split()
    known = [n for n, word in enumerate(words) if word.lower().strip(",.") in _SHORT]
    if known:
        for n in known:
            short = _SHORT[words[n].lower().strip(",.")]
            words[n] = short.upper() if words[n].isupper() else short.capitalize()
        return " ".join(words)
    long = [n for n, word in enumerate(words) if n and len(word) > 7 and word.isalpha()]
    if not long:
        return name
    n = chance.choice(long)
    words[n] = words[n][: chance.choice((3, 4, 5))] + chance.choice(("", "."))
    return " ".join(words)


def _acronym(name: str, country: str, chance: random.Random) -> str:
    bare = _form_dropped(name, country, chance)
    letters = [
        word[0].upper() for word in re.findall(r"[^\W_]+", bare) if word.lower() not in ("and", "of", "the", "de")
    ]
    return "".join(letters) if 3 <= len(letters) <= 6 else name


def _other_script(name: str, country: str, chance: random.Random) -> str:
    bare = (
        unicodedata.normalize("NFKD", _form_dropped(name, country, chance)).encode("ascii", "ignore").decode().lower()
    )
    for latin, letter in chance.choice((_CYRILLIC, _CYRILLIC, _GREEK)):
        bare = bare.replace(latin, letter)
    return bare.title()


def _joined(name: str, country: str, chance: random.Random) -> str:
    if "-" in name and chance.random() < 0.5:
        return name.replace("-", chance.choice((" ", "")))
    words = name.split()
    if len(words) < 2:
        return name
    n = chance.randrange(min(2, len(words) - 1))
    words[n : n + 2] = [words[n] + chance.choice(("", "-")) + words[n + 1]]
    return " ".join(words)


def _added(name: str, country: str, chance: random.Random) -> str:
    bare = _form_dropped(name, country, chance)
    return chance.choice((f"{bare} {chance.choice(_ADDED)}", f"{chance.choice(('Team', 'The', 'c/o'))} {bare}"))


_KINDS: dict[str, Callable[[str, str, random.Random], str]] = {
    "as registered": _as_registered,
    "case": _case,
    "legal form dropped": _form_dropped,
    "legal form changed": _form_changed,
    "typing error": _typing_error,
    "word dropped": _word_dropped,
    "words reordered": _reordered,
    "abbreviated": _abbreviated,
    "acronym": _acronym,
    "other script": _other_script,
    "spaces and hyphens": _joined,
    "words added": _added,
}
