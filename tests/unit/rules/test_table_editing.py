"""A table's file is edited cell by cell, and nothing else in it changes."""

from __future__ import annotations

import io
import zipfile

import pytest
from openpyxl import load_workbook
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from rules.tables.editing import EditError, delete_row, edit_cell, insert_row
from tests.unit.rules.test_workbooks import DACH, HEADER, book, read

TABLE = (
    '\ufeff# hit: first\r\n"territory",country,assign,note\r\n\r\n# south\r\n'
    'A,"DE, AT",hold A,"two\nlines, one ""cell"""\r\nB , FR ,hold B,\r\nlast,,hold,'
).encode()


def test_one_cell_changes_and_every_other_byte_stays() -> None:
    for line, column, value, old, new in (
        (5, 1, "DE, AT, CH", b'"DE, AT"', b'"DE, AT, CH"'),
        (5, 1, "DE", b'"DE, AT"', b'"DE"'),
        (5, 3, 'a "b"', b'"two\nlines, one ""cell"""', b'"a ""b"""'),
        (7, 1, "ES", b" FR ", b"ES"),
        (7, 1, "ES, PT", b" FR ", b'"ES, PT"'),
        (8, 3, "end", b"last,,hold,", b"last,,hold,end"),
        (2, 0, "region", b'"territory"', b'"region"'),
    ):
        assert edit_cell("t.csv", TABLE, line, column, value) == TABLE.replace(old, new)


def test_the_same_value_gives_the_same_bytes() -> None:
    for line, column, value in ((5, 1, "DE, AT"), (5, 3, 'two\nlines, one "cell"'), (7, 1, "FR"), (8, 1, "")):
        assert edit_cell("t.csv", TABLE, line, column, value) == TABLE


def test_semicolons_and_single_cells_are_written_as_they_are_read() -> None:
    assert edit_cell("t.csv", b"a;b\nx;y\n", 2, 1, "DE, AT") == b"a;b\nx;DE, AT\n"
    assert edit_cell("t.csv", b"a;b\nx;y\n", 2, 1, "DE; AT") == b'a;b\nx;"DE; AT"\n'
    assert edit_cell("t.csv", b"a\nx\n", 2, 0, "") == b'a\n""\n'


def test_rows_are_put_in_and_taken_out() -> None:
    assert insert_row("t.csv", TABLE, 7, ["C", "ES, PT", "hold C", ""]) == TABLE.replace(
        b"B ,", b'C,"ES, PT",hold C,\r\nB ,'
    )
    assert insert_row("t.csv", TABLE, 9, ["Z", "", "hold", ""]) == TABLE + b"\r\nZ,,hold,"
    assert insert_row("t.csv", b"a,b\n", 2, ["x", "y"]) == b"a,b\nx,y\n"
    assert delete_row("t.csv", TABLE, 5) == TABLE.replace(b'A,"DE, AT",hold A,"two\nlines, one ""cell"""\r\n', b"")
    assert delete_row("t.csv", TABLE, 8) == TABLE.removesuffix(b"last,,hold,")


@pytest.mark.parametrize(
    ("line", "column", "value", "words"),
    [
        (9, 0, "x", "no line 9"),
        (0, 0, "x", "no line 0"),
        (5, 4, "x", "no column 5"),
        (5, 0, "=HYPERLINK(1)", "would be a formula"),
        (5, 0, "@SUM(1)", "would be a formula"),
        (5, 0, "a\0b", "control character"),
        (5, 0, "\ud800", "control character"),
    ],
)
def test_an_edit_that_cannot_be_made_says_why(line: int, column: int, value: str, words: str) -> None:
    with pytest.raises(EditError, match=words):
        edit_cell("t.csv", TABLE, line, column, value)


def decorate(sheet: Worksheet) -> None:
    sheet["A1"].font = Font(bold=True)
    sheet["B2"].font = Font(italic=True)
    sheet["C3"].number_format = "00000"
    sheet["D2"].comment = Comment("ask Jonas", "Ana")
    sheet.column_dimensions["B"].width = 40


WORKBOOK = book(HEADER, DACH, ("B", "FR", 1067, 200, None, None, "Ana Diaz"), ("C", "=A1"), change=decorate)


@pytest.mark.parametrize(
    ("line", "column", "value", "held"),
    [
        (2, 1, "CH & <LI>, ä", "CH & <LI>, ä"),
        (2, 1, "_x0041_ is no A", None),
        (2, 4, "2026-02-28", None),
        (3, 2, "00042", 42),
        (3, 3, "350", 350),
        (3, 3, "350..999", "350..999"),
        (2, 5, "no", False),
        (3, 4, "2026-02-28", "2026-02-28"),
        (2, 1, "", None),
    ],
)
def test_one_cell_of_a_workbook_changes_and_all_else_stays(line: int, column: int, value: str, held: object) -> None:
    edited = edit_cell("t.xlsx", WORKBOOK, line, column, value)
    before, after = read(WORKBOOK), read(edited)
    expected = {row.line: list(row.cells) for row in before.rows}
    expected[line][column] = value
    assert {row.line: list(row.cells) for row in after.rows} == expected
    sheet = load_workbook(io.BytesIO(edited))["EMEA"]
    if held is not None:
        assert sheet.cell(line, column + 1).value == held
    assert sheet["A1"].font.bold
    assert sheet["B2"].font.italic
    assert sheet["D2"].comment.text == "ask Jonas"
    assert sheet.column_dimensions["B"].width == 40
    with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as old, zipfile.ZipFile(io.BytesIO(edited)) as new:
        assert old.namelist() == new.namelist()
        changed = [name for name in old.namelist() if old.read(name) != new.read(name)]
    assert changed == ["xl/worksheets/sheet1.xml"]


def test_a_workbook_edited_to_what_it_holds_stays_as_it_is() -> None:
    assert edit_cell("t.xlsx", WORKBOOK, 3, 2, "01067") is WORKBOOK
    there = edit_cell("t.xlsx", WORKBOOK, 2, 1, "XX")
    assert [row.cells for row in read(edit_cell("t.xlsx", there, 2, 1, "DE, AT")).rows] == [
        row.cells for row in read(WORKBOOK).rows
    ]


@pytest.mark.parametrize(
    ("data", "line", "column", "words"),
    [
        (WORKBOOK, 4, 1, "B4 holds a formula"),
        (WORKBOOK, 9, 1, "no row 9"),
        (WORKBOOK[:-400], 2, 1, "no XLSX workbook, or it is damaged"),
        (b"x", 2, 1, "no XLSX workbook"),
    ],
)
def test_an_edit_of_a_workbook_that_cannot_be_made_says_why(data: bytes, line: int, column: int, words: str) -> None:
    with pytest.raises(EditError, match=words):
        edit_cell("t.xlsx", data, line, column, "x")


def plain(sheet: Worksheet) -> None:
    sheet["A1"].font = Font(bold=True)
    sheet["C3"].number_format = sheet["C2"].number_format = "00000"
    sheet.auto_filter.ref = "A1:F3"


PLAIN = book(HEADER, DACH, ("B", "FR", 1067, 200, None, None, "Ana Diaz"), change=plain)


@pytest.mark.parametrize("line", [2, 3, 4])
def test_a_row_is_put_into_a_workbook_and_taken_out_again(line: int) -> None:
    values = ["new & <N>", "CH", "00042", "", "", "", "pool DACH"]
    edited = insert_row("t.xlsx", PLAIN, line, values)
    before, after = read(PLAIN), read(edited)
    rows = [list(row.cells) for row in before.rows]
    rows.insert(line - 2, values)
    assert [list(row.cells) for row in after.rows] == rows
    assert [row.line for row in after.rows] == [2, 3, 4]
    sheet = load_workbook(io.BytesIO(edited))["EMEA"]
    assert sheet["A1"].font.bold
    assert sheet.auto_filter.ref == ("A1:F3" if line == 4 else "A1:F4")
    gone = delete_row("t.xlsx", edited, line)
    with zipfile.ZipFile(io.BytesIO(PLAIN)) as old, zipfile.ZipFile(io.BytesIO(gone)) as new:
        assert [old.read(name) for name in old.namelist()] == [new.read(name) for name in new.namelist()]


def test_rows_of_a_workbook_whose_comments_or_formulas_would_not_move_are_left_to_the_spreadsheet() -> None:
    for edit in (lambda: insert_row("t.xlsx", WORKBOOK, 2, ["x"]), lambda: delete_row("t.xlsx", WORKBOOK, 2)):
        with pytest.raises(EditError, match="in the spreadsheet"):
            edit()
    with pytest.raises(EditError, match="no row 9"):
        delete_row("t.xlsx", PLAIN, 9)
