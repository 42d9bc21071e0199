"""Words of company names that mean little or mean the same: abbreviations, fillers, ways to say that there is no company.

Lists of ours; a change here changes matches, so ``words.OWN_LISTS`` carries a number for them.
"""

from __future__ import annotations

from routing.core.matching.forms import table


def among(text: str) -> frozenset[str]:
    """``one, two words, three``."""
    return frozenset(one.strip() for one in text.split(","))


# Short for, other spelling of, or another language's word for: both sides are compared in the spelling before the colon.
SAME_WORDS: dict[str, str] = table("""
international: intl internationale internacional internazionale int'l intnl
manufacturing: mfg manuf manufg
management: mgmt mgt mngmt
technology: tech technologies technologie tecnologia teknologi tecnologias tecnologie
service: services svcs svc serv servicios servizi servicos dienste
industry: industries ind industria industrias industrie inds
engineering: eng engr engg ingenieria ingegneria
solution: solutions sol soln solns soluciones
system: systems sys systeme sistemas sistemi
associate: associates assoc assocs associated
association: assn asn
brothers: bros gebruder fratelli hermanos freres
corporation: corp
company: co companies
development: dev developments devel
university: univ universitat universite universidad universita
department: dept
government: govt gov
national: natl nat'l nationale nacional nazionale
american: amer americas
investment: investments inv invest investissements inversiones
holding: holdings hldgs hldg hold
construction: const constr constructions constructora
insurance: ins assurance assurances versicherung
financial: fin fncl
finance: finances finanz
communication: communications comm comms
telecommunication: telecommunications telecom telekom telecoms
laboratory: laboratories lab labs laboratorium laboratoire laboratoires laboratorios
pharmaceutical: pharmaceuticals pharma pharm farma pharmaceutica
capital: cap
partner: partners ptnrs prtnrs
enterprise: enterprises ent entps
electric: elec elect electrical
electronic: electronics
transport: trans transportation transports transporte
saint: st ste
mount: mt
center: ctr centre centro zentrum centrum
group: grp groupe gruppe grupo gruppo groep
product: products prods prod produkte produits productos
global: glbl
bank: banque banco banca
germany: deutschland
hospital: hosp
resource: resources
property: properties
consultant: consultants
consulting: consultancy
trading: trdg
trade: trades
export: exports exp
import: imports imp
logistics: logistic logistik logistica logistique
market: markets mkt mkts
marketing: mktg
distribution: distr
design: designs
network: networks netw
venture: ventures
fund: funds
security: securities
equity: equities
hotel: hotels
restaurant: restaurants
farm: farms
motor: motors
chemical: chemicals chem
metal: metals
mill: mills
textile: textiles
food: foods
brand: brands
material: materials
component: components
operation: operations ops
opportunity: opportunities opps
project: projects
supply: supplies
producer: producers
builder: builders
developer: developers
packaging: packagings
realty: realties
street: str
""")

# Of those below: what stands before a name, and is in one of two names only where they are two families or houses.
ARTICLES = frozenset(
    ["van", "der", "de", "den", "d", "da", "di", "du", "del", "le", "la", "el", "les", "das", "die", "dr", "al"]
)
# Of no weight within a name, wherever they stand.
FILLERS = frozenset(
    [
        "and",
        "und",
        "et",
        "y",
        "e",
        "i",
        "&",
        "the",
        "of",
        "for",
        "de",
        "der",
        "die",
        "das",
        "del",
        "della",
        "di",
        "do",
        "da",
        "dos",
        "du",
        "des",
        "la",
        "le",
        "les",
        "el",
        "los",
        "las",
        "von",
        "van",
        "den",
        "the",
    ]
)

# What people write beside the name of their company: where in it they are. It is no part of the name.
BESIDE = frozenset(
    (
        "headquarters",
        "headquarter",
        "hq",
        "head",
        "office",
        "department",
        "procurement",
        "purchasing",
        "branch",
        "worldwide",
        "team",
    )
) | {"sales", "it"}

# What people put at the end of a name in the place of its legal form.
FOR_A_FORM = frozenset(("group", "holding"))

# Where a name goes on with another one, and which of both it is.
OTHER_NAME = (
    *("formerly known as", "previously known as", "also known as", "doing business as", "trading as", "now known as"),
    *(
        "formerly",
        "previously",
        "vormals",
        "ehemals",
        "anciennement",
        "antes",
        "gia",
        "f/k/a",
        "fka",
        "a/k/a",
        "aka",
        "d/b/a",
        "dba",
    ),
    *("t/a", "n/k/a", "nka", "ex.", "now"),
)

# What people write where a form insists on a company. Folded, spaces single.
NO_COMPANY = among("""
n/a, na, n a, n.a., none, no, nil, null, nothing, unknown, not applicable, not available, not provided, -, --, ., .., ..., ?, ??,
x, xx, xxx, xxxx, test, tests, testing, test test, test company, test account, tester, demo, example, sample, dummy, asdf,
asdfasdf, asdfgh, asdfghjkl, qwerty, qwertz, qwe, asd, aaa, aaaa, abcd, 1, 12, 123, 1234, 12345, self, self employed,
self-employed, selfemployed, self employment, freelance, freelancer, freelancing, independent, independent contractor, contractor,
sole trader, sole proprietor, private, privat, private person, privatperson, personal, individual, particulier, particular,
student, etudiant, estudiante, retired, unemployed, home, homemaker, housewife, me, myself, mine, company, my company, firma,
empresa, entreprise, business, my business, startup, start up, start-up, stealth, stealth startup, tbd, tba, to be determined,
keine, kein, aucun, ninguna, ninguno, nessuna, consultant, consultants, selbststandig, freiberufler, freiberuflich, autonomo,
independant, libero professionista, zzp, foo, bar, foobar, foo bar, blah, blabla, hello, hi, company name, your company, name,
anonymous, confidential, undisclosed, other, others, various, misc, temp, temporary
""")

# Suffixes of years and generations that tell two funds of a series apart.
ROMAN: dict[str, str] = {
    letters: str(n)
    for n, letters in enumerate(
        [
            "i",
            "ii",
            "iii",
            "iv",
            "v",
            "vi",
            "vii",
            "viii",
            "ix",
            "x",
            "xi",
            "xii",
            "xiii",
            "xiv",
            "xv",
            "xvi",
            "xvii",
            "xviii",
            "xix",
            "xx",
            "xxi",
            "xxii",
            "xxiii",
            "xxiv",
            "xxv",
        ],
        1,
    )
}

# Letters of Cyrillic and Greek that look like Latin ones, by which a name can be made to look like another.
LOOK_ALIKES = str.maketrans(
    "аеорсухкмтвнАЕОРСУХКМТВНіІїјЈѕЅԁԛԝһαοενρτυκικΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡⅼ",
    "aeopcyxkmtbhAEOPCYXKMTBHiIijJsSdqwhaoevptukikABEZHIKMNOPTYXagl",
)
