"""What people type, turned into what can be compared."""

from __future__ import annotations

import unicodedata
import uuid

import phonenumbers
import pytest

from routing.core import normalise, phones, places
from routing.core.model import NAMESPACE, derived_id
from routing.core.person_names import family_name, person_name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ana@acme.example", "ana@acme.example"),
        ("  ANA@Acme.Example ", "ana@acme.example"),
        ("mailto:Bo@x.co.uk", "bo@x.co.uk"),
        ("Ana Diaz <ana@acme.example>", "ana@acme.example"),
        ("ana @ acme.example", "ana@acme.example"),
        ("ａｎａ@ａｃｍｅ.com", "ana@acme.com"),
        ("ana@acme.com.", "ana@acme.com"),
        ("o'brien+x@acme.com", "o'brien+x@acme.com"),
        ("jürgen@bücher.de", "jürgen@bücher.de"),
        ("\u200bana@acme.com", "ana@acme.com"),
        ("n/a", None),
        ("@", None),
        ("", None),
        ("<>", None),
        ("a..b@c.de", None),
        (".a@c.de", None),
        ("a@localhost", None),
        ("a@1.2.3.4", None),
        ("a b@c.de", None),
        ("a@b@c.de", None),
        ("x" * 10_000 + "@acme.com", None),
        ("a@" + "b" * 300 + ".com", None),
    ],
)
def test_email(written: str, meant: str | None) -> None:
    assert normalise.email(written) == meant


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("http://www.1und1-drillisch.de", "1und1-drillisch.de"),
        ("https://numberly.com/fr", "numberly.com"),
        ("shop.acme.co.uk", "acme.co.uk"),
        ("www.acme.example:8080/x?y#z", "acme.example"),
        ("HTTPS://Acme.Example/", "acme.example"),
        ("//acme.com", "acme.com"),
        ("http:/acme.com", "acme.com"),
        ("https://user:secret@acme.com/", "acme.com"),
        ("bücher.de", "xn--bcher-kva.de"),
        ("foo.bar.ck", "foo.bar.ck"),
        ("www.ck", "www.ck"),
        ("co.uk", None),
        ("localhost", None),
        ("http://192.168.1.1/", None),
        ("http://[::1]/", None),
        ("n/a", None),
        ("-", None),
        ("we have none", None),
        ("", None),
        ("www." + "a" * 5_000 + ".com", None),
    ],
)
def test_website_becomes_the_registered_domain(written: str, domain: str | None) -> None:
    assert normalise.website(written) == domain


def test_a_page_at_a_shared_host_is_no_company_domain() -> None:
    assert normalise.company_website("https://www.facebook.com/acme") is None
    assert normalise.company_website("acme.wordpress.com") is None
    assert normalise.company_website("https://www.facebook.com/") == "facebook.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme Inc.", "ACME, Incorporated"),
        ("The Acme Group", "Acme"),
        ("Procter & Gamble Co.", "Procter and Gamble"),
        ("Société Générale S.A.", "Societe Generale"),
        ("Müller GmbH & Co. KG", "Muller"),
    ],
)
def test_company_names_compare_without_legal_form(one: str, other: str) -> None:
    assert normalise.company_key(one) == normalise.company_key(other) != ""


def test_a_company_that_is_only_a_legal_form_keeps_its_name() -> None:
    assert normalise.company_key("AG") == "ag"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        *(
            (name, "GB")
            for name in ("UK", "u.k.", "United Kingdom", "Great Britain", "England", "Vereinigtes Königreich")
        ),
        *(
            (name, "US")
            for name in ("U.S.A.", "usa", "US", "United States of America", "Estados Unidos", "アメリカ", "美国")
        ),
        *((name, "DE") for name in ("Deutschland", "GERMANY", "Allemagne", " germany ", "DEU", "ドイツ", "Германия")),
        *((name, "NL") for name in ("Holland", "the Netherlands", "Niederlande")),
        *((name, "KR") for name in ("Korea", "South Korea", "Korea, Republic of", "Republic of Korea")),
        *((name, "CI") for name in ("Côte d'Ivoire", "Ivory Coast", "Cote d’Ivoire")),
        ("Hong Kong", "HK"),
        ("Taiwan", "TW"),
        ("Türkiye", "TR"),
        ("Viet Nam", "VN"),
        ("Bolivia", "BO"),
        ("Suède", "SE"),
        ("Wakanda", None),
        ("EMEA", None),
        ("N/A", None),
        ("-", None),
        ("", None),
        ("x" * 10_000, None),
        ("🇩🇪", None),
    ],
)
def test_country(written: str, code: str | None) -> None:
    assert places.country(written) == code


@pytest.mark.parametrize(
    ("written", "country", "state"),
    [
        ("Calif.", "US", "CA"),
        ("california", "US", "CA"),
        ("N.Y.", "US", "NY"),
        ("US-TX", "US", "TX"),
        ("D.C.", "US", "DC"),
        ("ONTARIO", "CA", "ON"),
        ("Québec", "CA", "QC"),
        ("P.Q.", "CA", "QC"),
        ("nsw", "AU", "NSW"),
        ("Victoria", "AU", "VIC"),
        ("Bavaria", "DE", "BY"),
        ("ile de france", "FR", "IDF"),
        ("Zurich", "CH", "ZH"),
        ("tokyo", "JP", "Tokyo"),
        ("Georgia", "US", "GA"),
        ("Victoria", "US", None),
        ("xx", "US", None),
        ("California", "", None),
        ("x" * 10_000, "US", None),
        ("California", "ZZ", None),
    ],
)
def test_state_within_its_country(written: str, country: str, state: str | None) -> None:
    assert places.state(written, country) == state


@pytest.mark.parametrize(
    ("written", "country", "number"),
    [
        ("(415) 555-2671", "US", "+14155552671"),
        ("1-415-555-2671", "US", "+14155552671"),
        ("415.555.2671 ext. 12", "US", "+14155552671 x12"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+49 30 901820", "", "+4930901820"),
        ("0049 30 901820", "US", "+4930901820"),
        ("030 901820", "DE", "+4930901820"),
        ("(+44) (0)20 7946 0958", "US", "+442079460958"),
        ("tel:+14155552671", "", "+14155552671"),
        ("06 698 12345", "IT", "+390669812345"),
        ("＋４９ ３０ ９０１８２０", "", "+4930901820"),
        ("030 901820", "", None),
        ("12345", "US", None),
        ("call me", "US", None),
        ("+999 123", "US", None),
        ("0", "DE", None),
        ("+", "DE", None),
        ("+()", "", None),
        ("1" * 10_000, "US", None),
    ],
)
def test_phone(written: str, country: str, number: str | None) -> None:
    assert phones.phone(written, country) == number


def test_the_quick_way_to_read_a_phone_number_agrees_with_phonenumbers_in_every_region() -> None:
    """Example numbers of all regions and kinds, whole, cut, and written in all the ways one may dial them."""
    differing, quick_ones = [], 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            digits = str(example.national_number)
            code = str(example.country_code)
            written = [phonenumbers.format_number(example, form) for form in (0, 1, 2)]
            written += [
                digits,
                digits[:-1],
                f"0{digits}",
                f"1{digits}",
                f"8{digits}",
                code + digits,
                f"00{code}{digits}",
            ]
            written += [f"+0{digits}", f"+00{digits}", f"{digits} ext. 12", f"0{digits} x7"]
            written += [f"+{code}0{digits}", f"+{code}{digits[:-2]}", f"+{code}{digits}7", f"+{digits}"]
            for text in written:
                if phones.phone(text, region) != phones.thorough(text, region):
                    differing.append((text, region, "phone"))
                if phones._PLAIN.fullmatch(text):
                    quick = phones._quick(text, region)
                    quick_ones += quick is not None
                    if quick is not None and (quick or None) != phones.thorough(text, region):
                        differing.append((text, region, quick))
    assert differing == []
    assert quick_ones > 3_000


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ANA", "Ana"),
        ("  mary   ann ", "Mary Ann"),
        ("o'brien", "O'Brien"),
        ("D’ANGELO", "D’Angelo"),
        ("MCDONALD", "McDonald"),
        ("jean-luc", "Jean-Luc"),
        ("ÉLODIE", "Élodie"),
        ("JOHN E SMITH", "John E Smith"),
        ("LUDWIG VAN BEETHOVEN", "Ludwig van Beethoven"),
        ("ANIL DAS", "Anil Das"),
        ("DO HYUN", "Do Hyun"),
        ("smith iii", "Smith III"),
        ("SMITH JR.", "Smith Jr."),
        ("j.r.", "J.R."),
        ("JP", "JP"),
        ("McNeil", "McNeil"),
        ("de Souza", "de Souza"),
        ("İBRAHİM", "İBRAHİM"),
        ("李 明", "李 明"),
        ("АННА", "АННА"),
        ("ana\u200b diaz\x00", "Ana Diaz"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("", ""),
    ],
)
def test_names(written: str, meant: str) -> None:
    assert person_name(written) == meant


def test_a_family_name_may_begin_small() -> None:
    assert family_name("VAN DER BERG") == "van der Berg"
    assert family_name("VAN") == "Van"
    assert person_name("VAN DER BERG") == "Van der Berg"


def test_control_and_direction_characters_go_and_joiners_stay() -> None:
    assert normalise.clean_text("\u202eAcme\u202c\x07  Ltd\t\n") == "Acme Ltd"
    assert normalise.clean_text("می\u200cخواهم") == "می\u200cخواهم"


def test_absurd_input_comes_back_unharmed() -> None:
    monster = "A\u202e👨‍👩‍👧" + "x" * 10_000
    for fix in (normalise.email, normalise.website, places.country, person_name, normalise.clean_text):
        fix(monster)
    assert person_name("A" * 10_000) == "A" * 10_000
    assert unicodedata.normalize("NFC", normalise.clean_text(monster))


def test_ids_are_uuid5_below_our_namespace() -> None:
    for parts in (("a",), ("salesforce", "0x12", "00Q1"), ("", "é", "\u2028")):
        assert derived_id(*parts) == str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))
