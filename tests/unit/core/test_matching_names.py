"""Company names, domains and what is found by them: what people really write, and what nobody should have written."""

from __future__ import annotations

import pytest

from routing.core.matching.features import account_features, lead_features
from routing.core.matching.index import CAP, FETCH, MemoryIndex, number_of, rank
from routing.core.matching.kinds import FOR, KINDS
from routing.core.matching.model import LeadFeatures, Scored
from routing.core.matching.names import corrected, names, skeleton
from routing.core.matching.score import Weights, score, scored, shipped


def words(text: str) -> tuple[str, ...]:
    found = names(text)
    return found[0].words if found else ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kaltron GmbH & Co. KG", "KALTRON"),
        ("Kaltron S.A. de C.V.", "Kaltron"),
        ("Kaltron Sp. z o.o.", "Kaltron Spółka Z Ograniczoną Odpowiedzialnością"),
        ("ООО Калтрон", "Kaltron LLC"),
        ("株式会社Kaltron", "Kaltron K.K."),
        ("The Kaltron Company, Inc.", "kaltron"),
        ("Kaltron Intl. Mfg. Ltd", "Kaltron International Manufacturing Limited"),
        ("Kaltron Fund II", "Kaltron Fund 2"),
        ("J. P. Kaltron & Co.", "JP Kaltron"),
        ("L'Oréal S.A.", "Loreal"),
        ("Кaltrоn", "Kaltron"),  # two letters are Cyrillic
        ("Kaltron Private Limtied", "Kaltron Pvt Ltd"),
        ("Kaltron Spółka z ograniczoną odpowiedzialnoością", "Kaltron Sp. z o.o."),
        ("Kaltron Società a Responsabillità Limitata", "Kaltron S.r.l."),
        ("Kaltron & C. S.A.S.", "Kaltron & C."),
        ("Kaltron, S.L.U. S.L.", "Kaltron S.L."),
        ("Kaltron Ind Pvt Ltd", "Kaltron Industries"),
        ("Kaltron Inv s.r.o.", "Kaltron Investment"),
    ],
)
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert words(one)
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Kaltron Fund II", "Kaltron Fund III"), ("Kaltron", "Medwix"), ("Apple", "Apply")]
)
def test_other_names_stay_apart(one: str, other: str) -> None:
    assert words(one) != words(other)


def test_spellings_that_sound_alike_share_their_skeleton() -> None:
    for one, other in (
        ("Blue Sky", "BlueSky"),
        ("Müller", "Mueller"),
        ("Медвикс", "Medwix"),
        ("Ex-Cello", "Ex Cell O"),
    ):
        assert skeleton(words(one)) == skeleton(words(other))


def test_a_misspelt_common_word_is_known_a_name_is_left_alone() -> None:
    assert corrected("maagement") == "management"
    assert corrected("devvelpoment") == "development"
    assert corrected("kaltron") == "kaltron"


def test_what_follows_formerly_is_another_name() -> None:
    assert [one.words for one in names("Kaltron (formerly Medwix Ltd)")] == [("kaltron",), ("medwix",)]
    assert [one.words for one in names("Vandelay dba Weizen Foods")] == [("vandelay",), ("weizen", "food")]


NOBODY = (
    *(
        "",
        " ",
        "GmbH",
        "Ltd.",
        "S.A. de C.V.",
        "n/a",
        "N/A",
        "-",
        "test",
        "Test Company",
        "self-employed",
        "Self Employed",
        "asdf",
    ),
    *(
        "freelance",
        "none",
        "🎉🎉",
        "\u202e\u202d",
        "...",
        "unknown",
        "Privat",
        "x" * 10_000,
        "kaltron " * 2_000,
        "\x00\x01",
        "???",
    ),
)


@pytest.mark.parametrize("text", NOBODY)
def test_what_names_no_company_matches_no_account(text: str) -> None:
    assert names(text) == ()
    index = MemoryIndex(account_features(f"A{n}", {"name": one}) for n, one in enumerate((*NOBODY, "Kaltron GmbH")))
    found = scored(lead := lead_features("L", {"company": text}), index.candidates(lead), shipped())
    assert not found or found[0].probability < 0.5


def best(lead: dict[str, str], *accounts: dict[str, str]) -> Scored | None:
    """The best of the accounts that the index finds; their ids are 0, 1, …"""
    index = MemoryIndex(account_features(str(n), one) for n, one in enumerate(accounts))
    asked = lead_features("L", lead)
    found = scored(asked, index.candidates(asked), shipped())
    return found[0] if found else None


@pytest.mark.parametrize("company", ["ana@kaltron.com", "www.kaltron.com", "https://kaltron.com/about", "kaltron.com"])
def test_an_address_written_as_the_company_is_read_as_what_it_is(company: str) -> None:
    found = best(
        {"company": company}, {"name": "Medwix", "website": "medwix.com"}, {"name": "Kaltron", "website": "kaltron.com"}
    )
    assert found is not None
    assert found.account_id == "1"
    assert found.probability > 0.5


def test_free_and_disposable_mail_and_shared_hosts_are_no_companys() -> None:
    for values in ({"email": "a@gmail.com"}, {"email": "a@mailinator.com"}, {"website": "facebook.com/kaltron"}):
        asked = lead_features("L", values)
        assert (asked.mail_domain, asked.site) == ("", "")
    assert lead_features("L", {"email": "a@mail.kaltron.co.uk"}).mail_domain == "kaltron.co.uk"


@pytest.mark.parametrize(
    "company",
    ["Kaltrom Systems", "Systems Kaltron", "Kaltron Sytsems GmbH", "KaltronSystems", "Калтрон Системс", "Kaltron Sys."],
)
def test_noise_is_seen_through(company: str) -> None:
    found = best(
        {"company": company}, {"name": "Medwix Systems Ltd"}, {"name": "Kaltron Systems Ltd"}, {"name": "Kaldor"}
    )
    assert found is not None
    assert found.account_id == "1"


def test_numbers_tell_funds_of_a_series_apart() -> None:
    funds = ({"name": "Kaltron Growth Fund II"}, {"name": "Kaltron Growth Fund III"})
    found = best({"company": "Kaltron Growth Fund 3"}, *funds)
    assert found is not None
    assert found.account_id == "1"
    missing = best({"company": "Kaltron Growth Fund IV"}, *funds)
    assert missing is None or missing.probability < 0.5


def test_country_and_phone_tell_apart_what_bears_one_name() -> None:
    accounts = ({"name": "Kaltron", "country": "US"}, {"name": "Kaltron", "country": "Germany", "phone": "030 901820"})
    found = best({"company": "Kaltron", "country": "DE", "phone": "+49 30 901 820 ext. 5"}, *accounts)
    assert found is not None
    assert found.account_id == "1"
    assert {"country_same", "phone_same", "name_said"} <= {piece.kind for piece in found.evidence}
    assert "the same telephone number" in {piece.words for piece in found.evidence}


def test_a_domain_of_many_accounts_is_no_verdict() -> None:
    crowd = [
        {"name": f"{chr(65 + n % 26)}{chr(97 + n // 26)}xon Ltd", "website": "funds.example.com"} for n in range(300)
    ]
    found = best({"email": "ana@example.com"}, *crowd)
    assert found is None or found.probability < 0.5


def test_ten_thousand_accounts_of_one_name_are_neither_slow_nor_a_match() -> None:
    index = MemoryIndex(account_features(f"A{n}", {"name": "Kaltron Ltd"}) for n in range(10_000))
    asked = lead_features("L", {"company": "Kaltron Ltd"})
    candidates = index.candidates(asked)
    assert len(candidates) <= CAP
    assert scored(asked, candidates, shipped())[0].probability < 0.5


def test_an_account_that_is_renamed_or_gone_is_found_so_at_once() -> None:
    index = MemoryIndex([account_features("A", {"name": "Kaltron"})])
    old, new = LeadFeatures("1", names("Kaltron")), LeadFeatures("2", names("Medwix"))
    assert [one.account_id for one in index.candidates(old)] == ["A"]
    index.put(account_features("A", {"name": "Medwix"}))
    assert index.candidates(old) == []
    assert [one.account_id for one in index.candidates(new)] == ["A"]
    index.remove("A")
    index.remove("A")
    assert index.candidates(new) == []


def test_what_many_accounts_are_filed_under_tells_less() -> None:
    few, many = number_of("a"), number_of("b")
    ranked = rank([(many, 10.0), (few, 10.0)], {few: [1], many: list(range(2, FETCH + 2))})
    assert ranked[0] == 1


def test_a_key_that_is_full_tells_next_to_nothing() -> None:
    few, full = number_of("a"), number_of("b")
    ranked = rank([(full, 10.0), (few, 5.0)], {few: [1], full: list(range(2, FETCH + 2))})
    assert ranked[0] == 1


def test_weights_that_cannot_be_are_refused_in_words() -> None:
    for data, words_of in (
        (b"{", "no weights file"),
        (b'{"base":0,"kinds":{"moon_phase":1}}', "no evidence 'moon_phase'"),
        (b'{"base":0,"kinds":{"name_same":-1}}', "speaks for a match"),
        (b'{"base":0,"kinds":{"country_other":1}}', "speaks against a match"),
    ):
        with pytest.raises(ValueError, match=words_of):
            Weights.of(data)


def test_evidence_reads_as_sentences() -> None:
    all_tell = Weights(0.0, {kind: 1.0 if kind in FOR else -1.0 for kind in KINDS})
    lead = lead_features("L", {"company": "Kaltron Sytsems", "email": "a@kaltron.com", "country": "US"})
    found = score(
        lead,
        account_features("A", {"name": "Kaltron Systems Europe", "website": "kaltron.de", "country": "DE"}),
        all_tell,
    )
    said = " | ".join(piece.words for piece in found.evidence)
    assert "nearly the same: 'sytsems' and 'system'" in said
    assert "only the account is called 'europe'" in said
    assert "kaltron.com is of the same brand as kaltron.de" in said
    assert "another country: US, the account DE" in said
