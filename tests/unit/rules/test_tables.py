"""Decision tables: what cells mean, and what is said of those that mean nothing."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from rules.policy import compile_policy
from rules.source import Report, Source
from rules.tables.cells import Cell, Codes
from rules.tables.csvfile import read_csv
from rules.tables.reader import ASSIGN, FROM, KEEP, NAMES, PRIORITY, TO
from rules.tables.remarks import HITS
from tests.unit.rules.samples import (
    EXAMPLE,
    FIELDS,
    NOW,
    can_receive,
    errors,
    facts,
    ladder,
    policy_files,
    problems,
    reader,
    walk,
    warnings,
)

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
        (
            "name,country,asign\nA,DE,hold\n",
            "1:14",
            "no field 'asign': no column can ask for it | did you mean 'assign'?",
        ),
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
        ("name,country,assign\nA,A..C,hold A\n", "2:3", "words have no order | for beginnings write A*..C*"),
        ("name,country,assign\nA,1000..,hold A\n", "2:3", "lead.country is a text, and both ends are needed"),
        ("name,postal_code,assign\nA,1000..04999,hold A\n", "2:3", "same length | did you mean '01000..04999'?"),
        ("name,postal_code,assign\nA,04999..01000,hold A\n", "2:3", "wrong way round"),
        ("name,postal_code,assign\nA,SW1*..SW19*,hold A\n", "2:3", "both ends must have the same length"),
        ("name,postal_code,assign\nA,a?1..a?9,hold A\n", "2:3", "letters, digits, blanks and hyphens only"),
        ('name,postal_code,assign\nA,"940*, not ,",hold A\n', "2:4", "'not' what?"),
        ("name,valid_from,assign\nA,1.1.2026,hold A\n", "2:3", "no day | write it as 2026-11-22"),
        ("name,valid_from,valid_to,assign\nA,2026-02-01,2026-01-31,hold A\n", "2:14", "before it begins"),
        ("name,keep,assign\nA,owner,hold A\n", "2:3", "says both 'assign' and 'keep: owner'"),
        ("name,keep\nA,\n", "2:3", "does not say who"),
        ("name,set lead.cuntry,assign\nA,x,hold A\n", "1:6", "no field 'cuntry' | did you mean 'lead.country'?"),
        ("name,set account.country,assign\nA,x,hold A\n", "1:6", "only fields of the lead can"),
        ("name,set created_at,assign\nA,x,hold A\n", "1:6", "lead.created_at is read-only"),
        (
            "name,set status,assign\nA,Opne,hold A\n",
            "2:3",
            "not among the choices of lead.status | did you mean 'Open'?",
        ),
        ("name,set employees,assign\nA,many,hold A\n", "2:3", "lead.employees is a number, not 'many'"),
        ("name,set owner,assign\nA,Ana Diaz,hold A\n", "1:6", "lead.owner is set by 'assign'"),
        ("# hit: uniqe\nname,assign\nA,hold A\n", "1:1", "'uniqe' is no hit policy | did you mean 'unique'?"),
        ("# hit: priority\nname,assign\nA,hold A\n", "1:1", "needs to know which row goes first"),
        ("# hit: priority\nname,priority,assign\nA,,hold A\n", "3:3", "has no priority"),
        ("# hit: priority\n# order: pool Evryone\nname,assign\nA,hold A\n", "2:1", "no pool 'Evryone'"),
        ("# hit: priority\n# order: pool Everyone\nname,assign\nA,Ana Diaz\n", "4:1", "not in the order above"),
        ("name,priority,assign\nA,1,hold A\n", "1:6", "'# hit: priority' above the header"),
        ("# hit: unique\nname,country,assign\nA,DE,hold A\nB,de,hold B\n", "4:1", "the same as line 3, and only one"),
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


def test_a_formula_hides_no_other_mistake_of_its_row() -> None:
    found = told("name,country,employees,assign\nA,=A1,abc,pool Nowher\nB,DE,abc,=A1\n")
    places = [" ".join(one.split()[:1]) for one in found]
    assert len(found) == 5, found
    assert all(words in " ".join(found) for words in ("2:3", "2:7", "2:11", "3:6", "3:10")), places


def test_a_file_full_of_mistakes_is_not_told_without_end() -> None:
    rows = "".join(f"R{number:03},many,hold\n" for number in range(3_000))
    found = told(f"name,employees,assign\n{rows}")
    assert len(found) == 101
    assert found[-1].startswith("table.csv:102:6 and 2,900 more like this: 'many' is no number")


def test_postal_codes_are_compared_by_length_and_leading_zeros_count() -> None:
    table = (
        "name,postal_code,assign\nDresden,01000..04999,hold A\n"
        'Mixed,"10000..19999, 940*, not 94105, 94007",hold B\nLondon,SW1*..SW9*,hold C\nQuoted,"""5..9""",hold D\n'
    )
    assert decided(table, postal_code="01067") == "A"
    assert decided(table, postal_code="1067") == "no row"
    assert decided(table, postal_code="010670") == "no row"
    assert [decided(table, postal_code=code) for code in ("10115", "94001", "94105", "94007", "9400")] == [
        "B", "B", "no row", "no row", "B",
    ]  # fmt: skip
    assert [decided(table, postal_code=code) for code in ("SW1A 1AA", "sw19 5ae", "SE1 0AA", "SW")] == [
        "C", "C", "no row", "no row",
    ]  # fmt: skip
    assert decided(table, postal_code="5..9") == "D"


def test_what_follows_not_is_left_out_of_numbers_too() -> None:
    table = 'name,employees,assign\nA,"200..999, not 500, 600..700",hold A\n'
    assert [decided(table, employees=n) for n in (200, 500, 601, 701)] == ["A", "no row", "no row", "A"]


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("94000-94999", "'94000..94999'"),
        ("941xx", "'941*'"),
        ("!94105", "'not 94105'"),
        ("<> 94105", "'not 94105'"),
        (">94105", "only numbers and dates are compared"),
        ("-", "blank for 'any'"),
        ("n/a", "blank for 'any'"),
    ],
)
def test_a_text_that_looks_like_something_else_is_a_warning(cell: str, hint: str) -> None:
    table = f"name,postal_code,assign\nA,{cell},hold A\n"
    found = problems(engagement=LOOKUP, table=table)
    assert [(one.severity, one.column) for one in found] == [("warning", 3)]
    assert hint in found[0].hint
    quoted = table.replace(cell, f'"""{cell}"""')
    assert problems(engagement=LOOKUP, table=quoted) == []
    assert decided(quoted, postal_code=cell) == "A"


def test_a_choice_may_begin_with_not() -> None:
    fields = FIELDS.replace("[Open, Working, Closed]", "[Open, Not interested]")
    table = "name,status,assign\nA,Not interested,hold A\nB,not Open,hold B\n"
    policy = compile_policy(policy_files(fields=fields, engagement=LOOKUP, table=table))
    assert walk(policy, facts({"status": "not interested"})).action.value == "A"
    assert walk(policy, facts({"status": "Open"})).action.value == "no row"


def test_a_unique_table_holds_what_two_rows_want() -> None:
    table = '# hit: unique\nname,country,employees,assign\nBig,,1000..,pool Everyone\nDACH,"DE, AT",,Ana Diaz\nB,DE,..5,hold\n'
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    assert walk(policy, facts({"country": "AT"})).rule == "table.csv line 4: DACH"
    clash = walk(policy, facts({"country": "DE", "employees": 1000}))
    assert clash.action.kind == "hold"
    assert clash.action.value == (
        "table.csv line 3: Big and table.csv line 4: DACH match: only one may, so a person must mend the table"
    )
    assert clash.steps[-1].note == "table.csv line 4: DACH matches as well"


@pytest.mark.parametrize(
    "table",
    [
        "# Hit policy: Priority\nname,country,priority,assign\nA,,2,pool Everyone\nB,DE,1.5,Ana Diaz\nC,DE,1.5,Ben Okafor\n",
        "# hit: priority\n# order: Ana Diaz, Ben Okafor, pool Everyone\nname,country,assign\n"
        "A,,pool Everyone\nC,DE,Ben Okafor\nB,DE,Ana Diaz\n",
        '# hit: priority,,\n"# order: Ana Diaz, Ben Okafor, pool Everyone",,\nname,country,assign\n'
        "A,,pool Everyone\nB,DE,Ana Diaz\nC,DE,Ben Okafor\n",
    ],
)
def test_in_a_table_of_priorities_the_highest_decides(table: str) -> None:
    assert decided(table, country="DE") == "ana.diaz@example.com"
    assert decided(table, country="AT") == "Everyone"


def test_every_hold_is_one_outcome_of_an_order() -> None:
    table = (
        "# hit: priority\n# order: hold, pool Everyone\nname,country,assign\nA,,pool Everyone\nB,DE,hold Ask Legal\n"
    )
    assert decided(table, country="DE") == "Ask Legal"


def test_a_row_holds_from_its_first_day_to_its_last() -> None:
    table = (
        "name,country,valid_from,valid_to,assign\nSpring,DE,2025-03-01,2025-05-31,hold spring\n"
        "Later,DE,2025-06-01,,hold later\nBefore,DE,,2025-02-28,hold before\n"
    )
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    days = {
        "2025-02-28T23:59": "before",
        "2025-03-01T00:00": "spring",
        "2025-05-31T23:59": "spring",
        "2025-06-01T00:00": "later",
    }
    for day, expected in days.items():
        now = datetime.fromisoformat(day).replace(tzinfo=UTC)
        assert policy.walk(facts({"country": "DE"}), can_receive, now).action.value == expected
    berlin = datetime(2025, 6, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))  # still May in UTC
    assert policy.walk(facts({"country": "DE"}), can_receive, berlin).action.value == "spring"


def test_a_row_may_keep_the_owner_and_say_why() -> None:
    table = "name,country,assign,keep,note,comment\nA,DE,,owner,Ask Jonas,private\nB,AT,,yes,,\nC,CH,Ana Diaz,,,\n"
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    kept = walk(policy, facts({"country": "DE", "owner": "ben.okafor@example.com"}))
    assert (kept.action.kind, kept.person, kept.steps[-1].note) == ("keep", "ben.okafor@example.com", "Ask Jonas")
    assert walk(policy, facts({"country": "AT", "owner": "ben.okafor@example.com"})).action.kind == "keep"
    assert walk(policy, facts({"country": "CH"})).person == "ana.diaz@example.com"


def test_a_row_may_set_fields() -> None:
    text = "name,country,set status,set lead.employees,Set Birthday,assign\nA,DE,open,50,1990-01-02,hold A\nB,AT,,,,hold B\n"
    report = Report()
    sheet = read_csv(Source("table.csv", text), report)
    assert sheet is not None
    table = reader(report).read(sheet)
    assert table is not None
    assert report.problems() == []
    assert table.rows[0].sets == (
        ("lead.status", "Open"),
        ("lead.employees", 50),
        ("lead.birthday", "1990-01-02"),
    )
    hit = table.find({"lead.country": "DE"}, NOW)
    assert hit is not None
    assert hit.sets == table.rows[0].sets
    found = walk(compile_policy(policy_files(engagement=LOOKUP, table=text)), facts({"country": "DE"}))
    assert [(effect.kind, effect.target, effect.value) for effect in found.effects] == [
        ("set", path, value) for path, value in hit.sets
    ]
    assert table.rows[1].sets == ()


def test_a_row_that_can_never_decide_is_a_warning() -> None:
    table = 'name,country,assign\nA,"DE, AT",hold A\nB,"at, de",hold B\nC,"AT,DE",hold A\n'
    assert warnings(engagement=LOOKUP, table=table) == [
        "table.csv:3:1 this row never decides: line 2 asks for the same and comes first",
        "table.csv:4:1 this row is there twice; it is already on line 2",
    ]


def test_a_misspelt_setting_of_the_table_is_a_warning() -> None:
    assert warnings(engagement=LOOKUP, table="# hitt: unique\nname,assign\nA,hold\n") == [
        "table.csv:1:1 'hitt' is a remark without effect here"
    ]


@pytest.mark.parametrize(
    "word", [*NAMES, *HITS, "note", "comment", "remark", ASSIGN, KEEP, FROM, TO, PRIORITY, "# order:", "set status"]
)
def test_every_word_of_tables_is_in_the_readme(word: str) -> None:
    section = (EXAMPLE.parents[1] / "README.md").read_text("utf-8").split("## Tables")[1].split("\n## ")[0]
    assert word in section


def test_the_cells_of_the_readme_are_read() -> None:
    section = (EXAMPLE.parents[1] / "README.md").read_text("utf-8").split("## Tables")[1].split("### Columns")[0]
    cells = [
        cell
        for line in section.splitlines()
        if line.startswith("| `")
        for cell in re.findall("`([^`]+)`", line.split("|")[1])
    ]
    assert len(cells) > 15
    for cell in cells:
        fields = ("company", "employees", "birthday", "free_email")
        tables = [f"{field},assign\n" + '"' + cell.replace('"', '""') + '",hold\n' for field in fields]
        assert any(not problems(engagement=LOOKUP, table=table) for table in tables), cell


def test_a_compiled_table_keeps_what_its_rows_ask_for() -> None:
    report = Report()
    text = 'name,country,postal_code,valid_to,assign\nA,"not DE","01*, 94000..94999",2026-01-31,hold A\n'
    sheet = read_csv(Source("table.csv", text), report)
    assert sheet is not None
    table = reader(report).read(sheet)
    assert table is not None
    row = table.rows[0]
    assert row.cells == (Cell(excluded=Cell(("de",))), Cell(prefixes=("01",), codes=(Codes("94000", "94999"),)))
    assert row.valid == (None, date(2026, 1, 31).toordinal())
    assert [column.header for column in table.columns] == ["country", "postal_code"]
    place = table.locate(row.line, table.columns[1].index)
    assert (place.line, place.column, place.length) == (2, 13, 17)


def test_a_table_nobody_looks_up_is_a_warning() -> None:
    assert warnings(table="name,assign\nA,hold\n") == ["table.csv:1:1 no rung looks this table up: it is not used"]


def test_a_large_table_finds_its_row() -> None:
    rows = "".join(f"N{number},c{number}.example,{number}..{number + 3},hold {number}\n" for number in range(20_000))
    table = f"name,company,employees,assign\n{rows}"
    policy = compile_policy(policy_files(engagement=LOOKUP, table=table))
    assert walk(policy, facts({"company": "C17000.example", "employees": 17_002})).action.value == "17000"
    assert walk(policy, facts({"company": "c17000.example", "employees": 17_004})).action.value == "no row"
