"""Tables in XLSX: read as a spreadsheet shows them, told of by the names of cells, bounded whatever the file holds."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from rules.policy import check, compile_policy
from rules.source import Report
from rules.tables import workbook
from rules.tables.sheet import Sheet
from rules.tables.xlsxfile import read_xlsx
from tests.unit.rules.samples import facts, ladder, policy_files, walk

HEADER = ("territory", "country", "postal_code", "employees", "valid_from", "free_email", "assign")
DACH = ("DACH", "DE, AT", "01000..04999", "1000..", date(2025, 1, 1), True, "pool Everyone")


def book(
    *rows: tuple[Any, ...], change: Callable[[Worksheet], None] = lambda _: None, others: tuple[str, ...] = ()
) -> bytes:
    made = Workbook()
    sheet = made.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "EMEA"
    for row in rows:
        sheet.append(row)
    change(sheet)
    for name in others:
        made.create_sheet(name).append(("name", "assign"))
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def files(data: bytes, lookup: str = "table.xlsx") -> dict[str, bytes]:
    engagement = ladder(f"rung: Table\nlookup: {lookup}", "otherwise: hold no row")
    return policy_files(engagement=engagement) | {"table.xlsx": data}


def told(data: bytes, lookup: str = "table.xlsx") -> list[str]:
    problems = check(files(data, lookup))[1]
    return [f"{p.severity} {p.line} {p.message}" + (f" | {p.hint}" if p.hint else "") for p in problems]


def read(data: bytes) -> Sheet:
    report = Report()
    sheet = read_xlsx("table.xlsx", data, None, report)
    assert sheet is not None, report.problems()
    return sheet


def repacked(
    data: bytes, change: Callable[[str, bytes], bytes | None], more: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """The workbook with other parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            content = change(info.filename, old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
        for name, content in more.items():
            new.writestr(name, content)
    return out.getvalue()


def test_a_table_in_a_workbook_decides() -> None:
    data = book(("# hit: unique",), (), HEADER, DACH, ("North", "SE", None, 200, None, None, "Ana Diaz"))
    assert told(data) == []
    policy = compile_policy(files(data))
    lead = {"country": "AT", "postal_code": "01067", "employees": 2000, "free_email": True}
    found = walk(policy, facts(lead))
    assert (found.action.value, found.rule) == ("Everyone", "table.xlsx row 4: DACH")
    assert walk(policy, facts({"country": "SE", "employees": 200})).person == "ana.diaz@example.com"
    assert walk(policy, facts(lead | {"postal_code": "1067"})).action.value == "no row"


def test_values_are_read_as_the_sheet_shows_them() -> None:
    def show(sheet: Worksheet) -> None:
        for name, shown in (
            ("B2", "00000"),
            ("C2", "00000-0000"),
            ("D2", 'd. mmmm yyyy "Uhr"'),
            ("E2", "#,##0.00 €"),
            ("F2", "0%"),
        ):
            sheet[name].number_format = shown

    data = book(
        ("n", "a", "b", "c", "d", "e", "f", "g", "h"),
        ("x", 1067, 941051234, 46000, 1000.5, 0.25, 0.1 + 0.2, 1e3, False),
        change=show,
    )
    sheet = read(data)
    assert sheet.rows[0].cells == ["x", "01067", "94105-1234", "2025-12-09", "1000.5", "0.25", "0.3", "1000", "no"]
    assert sheet.rows[0].numbers == {4, 5, 6, 7, 8}  # also the yes or no: none of these is a text


def test_days_count_from_1904_where_the_workbook_says_so() -> None:
    def apple(sheet: Worksheet) -> None:
        sheet.parent.epoch = CALENDAR_MAC_1904

    data = book(("n", "d"), ("x", date(2026, 1, 1)), change=apple)
    assert b'date1904="1"' in zipfile.ZipFile(io.BytesIO(data)).read("xl/workbook.xml")
    assert read(data).rows[0].cells == ["x", "2026-01-01"]


EMPTY = book()
MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def as_excel_writes(rows: bytes, texts: bytes) -> bytes:
    """A workbook whose cells point to shared texts."""

    def change(name: str, old: bytes) -> bytes:
        if name == "xl/worksheets/sheet1.xml":
            return b"<worksheet %s><sheetData>%s</sheetData></worksheet>" % (MAIN, rows)
        if name == "xl/_rels/workbook.xml.rels":
            return old.replace(
                b"</R", b'<Relationship Type="x/sharedStrings" Target="sharedStrings.xml" Id="texts"/></R'
            )
        return old

    return repacked(EMPTY, change, {"xl/sharedStrings.xml": b"<sst %s>%s</sst>" % (MAIN, texts)})


def test_shared_texts_with_several_fonts_and_furigana_are_texts() -> None:
    rich = b"<si><r><t>To</t></r><r><rPr><b/></rPr><t>kyo </t></r><rPh sb='0' eb='1'><t>x</t></rPh></si>"
    rows = (
        b'<row><c t="s"><v>1</v></c><c t="inlineStr"><is><r><t>as</t></r><r><t>_x000D_si_x0067_n</t></r></is></c></row>'
    )
    rows += b'<row><c t="s"><v>0</v></c><c r="C2" t="str"><f>A1</f><v>x</v></c></row>'
    data = as_excel_writes(rows, rich + b"<si><t>name</t></si>")
    report = Report()
    sheet = read_xlsx("table.xlsx", data, None, report)
    assert sheet is not None
    assert sheet.header.cells == ["name", "as sign"]
    assert sheet.refused[0].cells == ["Tokyo", "", "=A1"]


@pytest.mark.parametrize("index", [b"1", b"-1", b"x", b"9999999999999999999999"])
def test_a_cell_that_points_to_no_text_is_refused(index: bytes) -> None:
    data = as_excel_writes(b'<row><c t="s"><v>%s</v></c></row>' % index, b"<si><t>name</t></si>")
    assert told(data) == ["error 1 the workbook is damaged: a cell points to a text that is not there"]


def test_one_sheet_of_several_may_be_named() -> None:
    data = book(("name", "assign"), ("A", "hold A"), others=("APAC", "Old"))
    warned = told(data)
    assert len(warned) == 1
    assert warned[0].startswith("warning 1 the workbook has other sheets beside 'EMEA'")
    assert "'lookup: table.xlsx, sheet EMEA'" in warned[0]
    assert told(data, "table.xlsx, sheet emea") == []
    assert told(data, "table.xlsx, sheet APAC") == ["warning 1 table.xlsx has no rows: it never decides"]
    assert told(data, "table.xlsx, sheet EMAE") == [
        "error 1 the workbook has no sheet 'EMAE' | it has 'EMEA', 'APAC', 'Old'"
    ]


def _merged(sheet: Worksheet) -> None:
    sheet.merge_cells("B2:B3")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (book(HEADER, ("A", "=VLOOKUP(1,X,2)", *DACH[2:])), "error 2 B2: this cell is a spreadsheet formula"),
        (book(HEADER, ("A", True, *DACH[2:])), "error 2 B2: this cell holds a yes or no of the spreadsheet, but lead.country is a text"),
        (book(HEADER, ("A", "DE", 1067, *DACH[3:])), "error 2 C2: this cell holds the number 1067, but lead.postal_code is a text"),
        (book(HEADER, ("A", "DE", None, "many", *DACH[4:])), "error 2 D2: 'many' is no number"),
        (book(HEADER, ("A", "DE", None, None, datetime.fromisoformat("2026-01-01T12:00"), None, "hold")), "error 2 E2: '2026-01-01T12:00:00' is no day"),
        (book(HEADER, ("A", "#REF!", *DACH[2:])), "error 2 B2: the spreadsheet left its error #REF!"),
        (book(HEADER, (*DACH, "more")), "error 2 this row has 8 cells, the header has 7"),
        (book(HEADER, DACH, ("B", None, *DACH[2:]), change=_merged), "error 2 B2: the cells B2:B3 are merged"),
        (book(("a", "assign"), ("A", "hold")), "error 1 A1: there is no field 'a'"),
        (book(), "error 1 the file has no header row"),
        (b"name,assign\nA,hold\n", "error 1 this is no XLSX workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "error 1 this is an old .xls file or has a password"),
        (b"x" * (20 * 1024 * 1024 + 1), "error 1 the file has 20.0 MB"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_the_name_of_its_cell(data: bytes, words: str) -> None:
    found = told(data)
    assert any(one.startswith(words) for one in found), found


def test_the_row_is_shown_with_the_cell_underlined() -> None:
    problem = check(files(book(HEADER, ("A", "DE", None, "many", None, None, "hold"))))[1][0]
    assert problem.excerpt[problem.column - 1 :][: problem.length] == "many"


def test_a_workbook_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_PART_BYTES", 1_048_576)
    bomb = repacked(book(HEADER, DACH), lambda name, old: b" " * 2_000_000 if "sheet1" in name else old)
    assert len(bomb) < 20_000
    assert told(bomb) == ["error 1 the workbook unpacks to more than 1 MB | copy the table alone to a new one"]


@pytest.mark.parametrize(
    "part", ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"]
)
def test_a_part_that_declares_entities_is_missing_or_cut_is_refused(part: str) -> None:
    rows = b'<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row><row><c t="s"><v>0</v></c><c t="s"><v>2</v></c></row>'
    data = as_excel_writes(rows, b"<si><t>name</t></si><si><t>assign</t></si><si><t>hold</t></si>")
    assert told(data) == []
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    for change, words in ((laughs, "declares entities"), (b"<x>", "damaged"), (b"", "damaged"), (None, "damaged")):
        found = told(repacked(data, lambda name, old, change=change: change if name == part else old))
        assert len(found) == 1
        assert words in found[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'<row r="2"', b'<row r="1"'),
        (b'r="B2"', b'r="A2"'),
        (b'<row r="2"', b'<row r="9999999"'),
        (b"<sheetData>", b"<sheetData><c/>"),
    ],
)
def test_a_sheet_that_contradicts_itself_is_refused(old: bytes, new: bytes) -> None:
    data = repacked(
        book(HEADER, DACH), lambda name, content: content.replace(old, new) if "sheet1" in name else content
    )
    assert told(data)[0].startswith("error 1 the workbook is damaged")


def test_cells_far_out_are_refused_and_far_rows_are_not_waited_for() -> None:
    def far(sheet: Worksheet) -> None:
        sheet["ZZ2"] = "x"

    assert "ZZ2 holds something" in told(book(HEADER, DACH, change=far))[0]

    def low(sheet: Worksheet) -> None:
        sheet["A1048576"] = "# the end"

    assert told(book(HEADER, DACH, change=low)) == []
