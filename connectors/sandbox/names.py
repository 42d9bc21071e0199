"""Names of places, people and companies that exist nowhere, and the sixty companies that the example policy names.

The longer lists lie in ``data/`` as JSON. Domains end in ``.example``, which can never belong to anybody (RFC 2606), with one
label before it, so that the registrable domain is the whole of it.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct


class Named(Struct, frozen=True):
    """A well-known company: the ones that ``named_accounts.csv`` of the example policy lists."""

    name: str
    domain: str
    country: str  # ISO 3166-1 alpha-2
    employees: int
    industry: str


class City(Struct, frozen=True, array_like=True):
    """A city: its name, state code and state name ("" where states do not matter), a postal code, an area code."""

    name: str
    state: str
    state_name: str
    postal_code: str
    area_code: str


class Place(Struct, frozen=True):
    """A country: its sales region, how people spell it, its legal forms, calling code, and which names are common there."""

    region: str
    name: str
    spellings: tuple[str, ...]
    legal: tuple[str, ...]
    code: str
    names: str
    weight: int
    cities: tuple[City, ...]


class Persons(Struct, frozen=True):
    """First and last names of one language."""

    first: tuple[str, ...]
    last: tuple[str, ...]


class Words(Struct, frozen=True):
    """What company names and lead forms are made of."""

    adjectives: tuple[str, ...]
    nouns: tuple[tuple[str, str], ...]  # the noun, the industry it sounds like
    titles: tuple[str, ...]
    sources: tuple[str, ...]
    hubspot_sources: tuple[str, ...]
    free_domains: tuple[str, ...]


def _data(name: str) -> bytes:
    return (files(__package__) / "data" / f"{name}.json").read_bytes()


@cache
def places() -> dict[str, Place]:
    """Country code -> place."""
    return msgspec.json.decode(_data("places"), type=dict[str, Place])


@cache
def persons() -> dict[str, Persons]:
    """Language -> names."""
    return msgspec.json.decode(_data("persons"), type=dict[str, Persons])


@cache
def words() -> Words:
    """Parts of company names, titles, sources."""
    return msgspec.json.decode(_data("words"), type=Words)


_PLAIN = str.maketrans({"ß": "ss", "Ł": "L", "ł": "l", "ø": "o", "æ": "ae", "'": "", "’": ""})


@cache
def slug(text: str) -> str:
    """``text`` as it would stand in an e-mail address; names of other scripts become ``u`` and their code points."""
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN)).encode("ascii", "ignore").decode().lower()
    letters = "".join(letter for letter in plain if letter.isalnum())
    return letters or "u" + "".join(f"{ord(letter):x}" for letter in text)


NAMED: tuple[Named, ...] = tuple(
    Named(*row)
    for row in (
        ("Acme Robotics Inc.", "acme-robotics.example", "US", 18500, "Machinery"),
        ("Aldergate Insurance plc", "aldergate.example", "GB", 9200, "Insurance"),
        ("Altamira Foods S.A.", "altamira-foods.example", "ES", 6400, "Food & Beverage"),
        ("Antipode Energy Pty Ltd", "antipode-energy.example", "AU", 7300, "Energy"),
        ("Arborline Health Inc.", "arborline.example", "US", 22400, "Healthcare"),
        ("Austral Freight Pty Ltd", "austral-freight.example", "AU", 4100, "Transportation"),
        ("Bayfront Capital LLC", "bayfront-capital.example", "US", 3800, "Finance"),
        ("Belvoir Retail plc", "belvoir.example", "GB", 31000, "Retail"),
        ("Bergwerk Maschinenbau GmbH", "bergwerk.example", "DE", 12800, "Machinery"),
        ("Blauhafen Logistik AG", "blauhafen.example", "DE", 15600, "Transportation"),
        ("Brightforge Corp.", "brightforge.example", "US", 27500, "Manufacturing"),
        ("Cascadia Cloud Inc.", "cascadia-cloud.example", "US", 5200, "Technology"),
        ("Castellane Assurances SA", "castellane.example", "FR", 11300, "Insurance"),
        ("Cedarhall Bank Inc.", "cedarhall.example", "US", 45000, "Banking"),
        ("Copperleaf Mining Ltd.", "copperleaf.example", "CA", 8600, "Energy"),
        ("Dagmar Shipping AB", "dagmar.example", "SE", 5900, "Shipping"),
        ("Dunmore Textiles Ltd", "dunmore.example", "GB", 2700, "Manufacturing"),
        ("Eastgate Semiconductors Pte. Ltd.", "eastgate-semi.example", "SG", 14200, "Technology"),
        ("Edelstern Chemie AG", "edelstern.example", "DE", 19900, "Chemicals"),
        ("Fairwind Airlines Inc.", "fairwind.example", "US", 38000, "Transportation"),
        ("Fjordkraft Power AB", "fjordkraft.example", "SE", 3300, "Utilities"),
        ("Ganges Telecom Pvt Ltd", "ganges-telecom.example", "IN", 42000, "Telecommunications"),
        ("Granville Press Ltd.", "granville.example", "CA", 1900, "Media"),
        ("Hanabira Foods K.K.", "hanabira.example", "JP", 8800, "Food & Beverage"),
        ("Harborlight Media Inc.", "harborlight.example", "US", 6700, "Media"),
        ("Helvetica Precision AG", "helvetica-precision.example", "CH", 4400, "Machinery"),
        ("Hokusei Motors K.K.", "hokusei.example", "JP", 48000, "Manufacturing"),
        ("Iberica Telecom S.A.", "iberica-telecom.example", "ES", 17500, "Telecommunications"),
        ("Ironbark Mining Pty Ltd", "ironbark.example", "AU", 13100, "Energy"),
        ("Kestrel Aerospace plc", "kestrel-aero.example", "GB", 21000, "Manufacturing"),
        ("Kingfisher Bank Pte. Ltd.", "kingfisher-bank.example", "SG", 9700, "Banking"),
        ("Kurfürst Pharma GmbH", "kurfuerst.example", "DE", 10400, "Biotechnology"),
        ("Lakeshore Hospitals LLC", "lakeshore-hospitals.example", "US", 33000, "Healthcare"),
        ("Lombarda Moda S.p.A.", "lombarda.example", "IT", 5100, "Retail"),
        ("Lumière Cosmétiques SAS", "lumiere.example", "FR", 24600, "Retail"),
        ("Maplecrest Rail Ltd.", "maplecrest.example", "CA", 16300, "Transportation"),
        ("Meridiano Cargo Ltda.", "meridiano.example", "BR", 7900, "Shipping"),
        ("Montblanche Luxe SA", "montblanche.example", "CH", 3600, "Retail"),
        ("Nordwind Logistik GmbH", "nordwind-logistik.example", "DE", 8300, "Transportation"),
        ("Northreach Telecom Inc.", "northreach.example", "US", 29000, "Telecommunications"),
        ("Oakhurst Universities Inc.", "oakhurst.example", "US", 12500, "Education"),
        ("Orangerie Hotels SAS", "orangerie.example", "FR", 14800, "Hospitality"),
        ("Orion Data Systems Inc.", "orion-data.example", "US", 11800, "Technology"),
        ("Pacifica Solar Corp.", "pacifica-solar.example", "US", 4700, "Energy"),
        ("Polderland Zuivel B.V.", "polderland.example", "NL", 6100, "Food & Beverage"),
        ("Quayside Insurance Pty Ltd", "quayside.example", "AU", 5500, "Insurance"),
        ("Redwood Biologics Inc.", "redwood-bio.example", "US", 7600, "Biotechnology"),
        ("Rheingold Bank AG", "rheingold.example", "DE", 26700, "Banking"),
        ("Sakura Denki K.K.", "sakura-denki.example", "JP", 35500, "Technology"),
        ("Seoul Hanbit Electronics Co., Ltd.", "hanbit.example", "KR", 41000, "Technology"),
        ("Sierra Azul S.A. de C.V.", "sierra-azul.example", "MX", 9900, "Food & Beverage"),
        ("Silverpine Software Inc.", "silverpine.example", "US", 2400, "Technology"),
        ("Southern Cross Dairy Ltd", "southern-cross-dairy.example", "NZ", 3900, "Food & Beverage"),
        ("Stonebridge Construction LLC", "stonebridge.example", "US", 8100, "Construction"),
        ("Kaveri Steel Ltd", "kaveri-steel.example", "IN", 37000, "Machinery"),
        ("Thamesford Water plc", "thamesford.example", "GB", 7200, "Utilities"),
        ("Tulpenveld Bank N.V.", "tulpenveld.example", "NL", 18200, "Banking"),
        ("Umbria Motori S.p.A.", "umbria-motori.example", "IT", 11100, "Manufacturing"),
        ("Verdant Grocers Inc.", "verdant-grocers.example", "US", 50000, "Retail"),
        ("Wisła Energia S.A.", "wisla-energia.example", "PL", 6900, "Energy"),
    )
)
