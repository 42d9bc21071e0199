"""Decision tables: what cells mean, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from rules.policy import compile_policy
from tests.unit.rules.samples import errors, facts, ladder, policy_files, walk, warnings

LOOKUP = ladder("rung: Table\nlookup: table.csv", "otherwise: hold no row")


def decided(table: str, **lead: Any) -> str:
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    return walk(policy, facts(lead, account={"employees": 5000})).action.value


def told(table: str | bytes) -> list[str]:
    return errors(engagement=LOOKUP, table=table)


def test_cells_are_sets_ranges_prefixes_and_negations_and_blank_is_any() -> None:
    table = (
        'name,country,employees,postal_code,assign\n'
        'A,"DE, AT, CH",1000..,,hold A\n'
        'B,de,200..999,,hold B\n'
        'C,DE,..50,"94*, 95*",hold C\n'
        'D,"not DE, AT",7,,hold D\n'
        'E,DE,,*,hold E\n'
    )  # fmt: skip
    assert decided(table, country="AT", employees=1000) == "A"
    assert decided(table, country="DE", employees=999) == "B"
    assert decided(table, country="DE", employees=200) == "B"
    assert decided(table, country="DE", employees=50, postal_code="94105") == "C"
    assert decided(table, country="DE", employees=50, postal_code="84105") == "E"
    assert decided(table, country="US", employees=7) == "D"
    assert decided(table, country="AT", employees=7) == "no row"
    assert decided(table, employees=7) == "no row"  # a missing country is not "not DE"


def test_a_header_may_name_several_fields_a_label_or_a_path() -> None:
    table = (
        "rule,Lead.Employees or account.employees,Postal code,account.name,assign\nA,5000,,,hold A\nB,..10,,,hold B\n"
    )
    assert decided(table) == "A"
    assert decided(table, employees=5) == "B"


def test_yes_no_dates_people_and_lists_can_be_asked_for() -> None:
    table = (
        "name,free_email,birthday,owner,tags,assign\nA,yes,,,,hold A\nB,,1990-01-01..1990-12-31,,,hold B\n"
        "C,,,Ana Diaz,,hold C\nD,,,,VIP,hold D\n"
    )
    assert decided(table, free_email=True) == "A"
    assert decided(table, birthday="1990-12-31") == "B"
    assert decided(table, owner="ana.diaz@example.com") == "C"
    assert decided(table, tags=["x", "vip"]) == "D"
    assert decided(table, free_email=False, tags=["x"]) == "no row"


def test_a_row_says_who_in_every_way() -> None:
    table = (
        "name,country,assign\nA,A,pool everyone\nB,B,Ben Okafor\nC,C,person ben.okafor@example.com\nD,D,account.owner\n"
        "E,E,keep owner\nF,F,reject We do not sell there\n"
    )
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    given = {"owner": "ana.diaz@example.com"}
    found = [walk(policy, facts({"country": c} | given, {"owner": "cora.lang@example.com"})) for c in "ABCDEF"]
    assert [one.action.kind for one in found] == ["pool", "person", "person", "field", "keep", "reject"]
    assert [one.person for one in found] == [
        "", "ben.okafor@example.com", "ben.okafor@example.com", "cora.lang@example.com", "ana.diaz@example.com", "",
    ]  # fmt: skip
    assert found[5].action.value == "We do not sell there"
    assert found[1].rule == "table.csv line 3: B"


@pytest.mark.parametrize(
    "table",
    [
        "name;country;assign\nA;DE, AT;hold A\n",
        "name\tcountry\tassign\nA\tDE, AT\thold A\n",
        '\ufeffname,country,assign\r\nA,"DE, AT",hold A\r\n\r\n,,\r\n',
        '# tried from the top\nname,country,assign,note\n# the south\nA,"DE, AT",hold A,anything = goes\n',
    ],
)
def test_what_spreadsheets_write_is_read(table: str) -> None:
    assert decided(table, country="at") == "A"


@pytest.mark.parametrize(
    ("table", "place", "words"),
    [
        (
            "name,cuntry,assign\nA,DE,hold A\n",
            "1:6",
            "no field 'cuntry': no column can ask for it | did you mean 'country'?",
        ),
        ("name,country\nA,DE\n", "1:1", "no column 'assign'"),
        ("name,country,asign\nA,DE,hold\n", "1:1", "no column 'assign' | did you mean 'asign'?"),
        ("name,country,country,assign\nA,DE,,hold A\n", "1:14", "there twice"),
        ("name,,assign\nA,DE,hold A\n", "1:6", "no name"),
        ("name,country,assign\nA,DE, AT,hold A\n", "2:1", "4 cells, the header has 3"),
        ("name,country,assign\nA,DE\n", "2:1", "2 cells, the header has 3"),
        ("name,country,assign\nA,DE,\n", "2:6", "does not say who"),
        ("name,country,assign\nA,DE,pool Evryone\n", "2:6", "no pool 'Evryone' | did you mean 'Everyone'?"),
        ("name,country,assign\nA,DE,Everyone\n", "2:6", "'Everyone' is a pool | write 'pool Everyone'"),
        ("name,country,assign\nA,DE,Ana Dias\n", "2:6", "not in people.csv | did you mean 'Ana Diaz'?"),
        ("name,country,assign\nA,DE,account.ownr\n", "2:6", "no field 'ownr' | did you mean 'account.owner'?"),
        ("name,country,assign\nA,DE,lead.country\n", "2:6", "assigned to a person or a pool"),
        ("name,employees,assign\nA,many,hold A\n", "2:3", "no number and no range"),
        ("name,employees,assign\nA,>1000,hold A\n", "2:3", "did you mean '1001..'?"),
        ("name,employees,assign\nA,200-999,hold A\n", "2:3", "did you mean '200..999'?"),
        ("name,employees,assign\nA,999..200,hold A\n", "2:3", "wrong way round"),
        ('name,employees,assign\nA,"1,000",hold A\n', "2:4", "one number or several"),
        ("name,employees,assign\nA,NaN,hold A\n", "2:3", "no number"),
        ("name,status,assign\nA,Opne,hold A\n", "2:3", "not among the choices of lead.status | did you mean 'Open'?"),
        ("name,birthday,assign\nA,17.5.1990,hold A\n", "2:3", "no date"),
        ("name,country,assign\nA,A..C,hold A\n", "2:3", "a range needs a number or a date"),
        ("name,free_email,assign\nA,maybe,hold A\n", "2:3", "is yes or no"),
        ("name,country,assign\nA,=HYPERLINK(1),hold A\n", "2:3", "spreadsheet formula"),
        ("name,country,assign\nA,DE,=A1\n", "2:6", "spreadsheet formula"),
        ("name,country,assign\nA,@SUM(1),hold A\n", "2:3", "spreadsheet formula"),
        ("name,country,assign\n-1+cmd|' /C calc'!A0,DE,hold A\n", "2:1", "spreadsheet formula"),
        ("name,country,assign\nA,#REF!,hold A\n", "2:3", "left its error #REF!"),
        ('name,country,assign\nA,"DE,hold A\n', "2:1", "cannot be read as CSV"),
        ('name,country,assign\nA,"""DE",hold A\n', "2:6", "quote that is not closed"),
        ("", "1:1", "no header"),
        ("name,country,assign\nA,D\0E,hold A\n", "2:4", "NUL byte"),
    ],
)
def test_a_mistake_is_told_at_its_cell(table: str, place: str, words: str) -> None:
    found = told(table)
    assert found
    assert found[0].startswith(f"table.csv:{place} ")
    assert words in found[0]


def test_the_place_of_a_cell_is_right_after_quotes_and_line_breaks() -> None:
    table = 'name,note,country,status,assign\nA,"two\nlines, one ""cell""",DE,Opne,hold A\n'
    assert told(table)[0].startswith("table.csv:3:25 ")


def test_numbers_and_telephone_numbers_are_no_formulas() -> None:
    assert told("name,employees,note,assign\n-,-5..10,+49 (0) 30 1234567,hold A\n@home,..-2,- a note,hold B\n") == []


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ("name,country,assign\nKöln,DE,hold A\n".encode("latin-1"), "2:2", "not UTF-8 text: byte 0xf6"),
        ("name,country,assign\nA,DE,hold A\n".encode("utf-16"), "1:1", "UTF-16"),
        (b"x" * (20 * 1024 * 1024 + 1), "1:1", "at most 20 MB"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, place: str, words: str) -> None:
    found = told(data)
    assert len(found) == 1
    assert found[0].startswith(f"table.csv:{place} ")
    assert words in found[0]


def test_every_mistake_is_told_in_one_run() -> None:
    rows = "".join(f"R{number},many,Ana Dias\n" for number in range(50))
    assert len(told(f"name,employees,assign\n{rows}")) == 100


def test_a_file_full_of_mistakes_is_not_told_without_end() -> None:
    rows = "".join(f"R{number},many,hold\n" for number in range(3_000))
    found = told(f"name,employees,assign\n{rows}")
    assert len(found) == 1_000


def test_a_table_nobody_looks_up_is_a_warning() -> None:
    assert warnings(table="name,assign\nA,hold\n") == ["table.csv:1:1 no rung looks this table up: it is not used"]


def test_a_large_table_finds_its_row() -> None:
    rows = "".join(f"N{number},c{number}.example,{number}..{number + 3},hold {number}\n" for number in range(20_000))
    table = f"name,company,employees,assign\n{rows}"
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    assert walk(policy, facts({"company": "C17000.example", "employees": 17_002})).action.value == "17000"
    assert walk(policy, facts({"company": "c17000.example", "employees": 17_004})).action.value == "no row"
