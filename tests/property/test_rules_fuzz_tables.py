"""Whatever stands in a table's file: problems with places come out, never an exception; an edit changes one cell or is refused."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.model import Problem
from rules.source import Report, Source, decode, render
from rules.tables.csvfile import read_csv
from rules.tables.editing import EditError, delete_row, edit_cell, insert_row
from rules.tables.sheet import FORMULA
from rules.tables.xlsxfile import read_xlsx
from tests.unit.rules.samples import NOW, reader
from tests.unit.rules.test_workbooks import DACH, HEADER, as_excel_writes, book

_BITS = st.sampled_from(
    ["name,country,assign\n", "country,postal_code,employees,valid_from,valid_to,priority,assign,keep,set status,note\n",
     "# hit: unique\n", "# hit: priority\n", "# hit: \n", "# order: pool Everyone, Ana Diaz\n", "#", ",", ";", "\t", '"', '""',
     "\n", "\r\n", "\r", "=1+1", "not ", "not", "1000..", "..", "..50", "94*", "*", "DE", "01000..04999", "SW1*..SW9*", "a..b",
     "pool Everyone", "Ana Diaz", "hold x", "keep owner", "lead.owner", "2026-01-01", "2026-01-01..2026-02-01", "0001-01-01",
     " or ", "é", "\x0b", "\x85", "\u2028", "9" * 30, "-", "94000-94999", "94xx", "İ", "ß", "yes", "any"]
)  # fmt: skip
_VALUES = st.sampled_from(
    ("DE", "94105", "", None, 7, 2.5, float("nan"), float("inf"), True, [], ["DE"], {"a": 1}, "2026-01-01", "İ")
)


def _sound(problems: list[Problem], name: str) -> None:
    render(problems)
    for problem in problems:
        assert problem.message
        assert problem.file == name
        assert problem.line >= 1
        assert problem.column >= 1


def _read(name: str, data: bytes, value: Any = "DE") -> None:
    """Reads a table; where it is sound it answers."""
    report = Report()
    if name.endswith(".xlsx"):
        sheet = read_xlsx(name, data, None, report)
    else:
        source = decode(name, data, report)
        sheet = read_csv(source, report) if source is not None else None
    table = reader(report).read(sheet) if sheet is not None else None
    problems = report.problems()
    _sound(problems, name)
    assert sheet is not None or problems
    if table is not None:
        table.find({path.text: value for path in table.paths}, NOW)
        for row in table.rows:
            for column in table.columns:
                assert table.locate(row.line, column.index).line >= row.line


@settings(max_examples=200, deadline=None)
@given(st.lists(_BITS, max_size=40).map("".join), _VALUES)
@example("# hit: priority\n# order:\nassign\nhold", "DE")
@example('"# hit: unique",\ncountry,assign\nDE,hold\n', "DE")
def test_random_tables(text: str, value: Any) -> None:
    _read("table.csv", text.encode(), value)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(("table.csv", "table.xlsx")), st.binary(max_size=300))
def test_random_bytes(name: str, data: bytes) -> None:
    _read(name, data)


WORKBOOK = book(("# hit: unique",), HEADER, DACH, ("B", "FR", 1067, 0.5, None, None, "Ana Diaz"))
_XML = st.sampled_from(
    [b"<row>", b"</row>", b'<row r="2">', b'<row r="-1">', b'<row r="1048576">', b"<c>", b"</c>", b'<c r="B2" t="s">', b'<c r="ZZZ9">',
     b'<c t="inlineStr">', b'<c t="d">', b'<c t="b">', b'<c t="e">', b'<c s="1">', b'<c s="-1">', b"<v>", b"</v>", b"<f>", b"</f>", b"<is>",
     b"</is>", b"<t>", b"</t>", b"<rPh>", b"</rPh>", b"0", b"1e999", b"nan", b"-5", b"46000.5", b"country", b"assign", b"hold",
     b'<mergeCell ref="A1:B9"/>', b'<mergeCell ref="x"/>', b"<mergeCell/>", b"&#10;", b"&lt;", b"&x;", b"<!--", b"-->", b"\xff"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_workbook_with_a_piece_cut_out_or_put_in(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(WORKBOOK)))
    end = data.draw(st.integers(start, min(len(WORKBOOK), start + 40)))
    changed = WORKBOOK[:start] + data.draw(st.binary(max_size=6)) + WORKBOOK[end:]
    _read("table.xlsx", changed)
    _edited("table.xlsx", changed, 3, 1, "x")


@settings(max_examples=200, deadline=None)
@given(st.lists(_XML, max_size=30).map(b"".join), st.integers(1, 4), st.integers(0, 3))
def test_a_sheet_of_random_elements(xml: bytes, line: int, column: int) -> None:
    data = as_excel_writes(xml, b"<si><t>country</t></si><si><t>assign</t></si>")
    _read("table.xlsx", data)
    _edited("table.xlsx", data, line, column, "x")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(zipfile.ZipFile(io.BytesIO(WORKBOOK)).namelist()), st.data())
def test_a_workbook_with_a_part_changed(part: str, data: st.DataObject) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == part:
                start = data.draw(st.integers(0, len(content)))
                end = data.draw(st.integers(start, min(len(content), start + 40)))
                content = content[:start] + data.draw(st.one_of(st.binary(max_size=6), _XML)) + content[end:]
            new.writestr(name, content)
    _read("table.xlsx", out.getvalue())
    _edited("table.xlsx", out.getvalue(), 3, 1, "x")


def _edited(name: str, data: bytes, line: int, column: int, value: str) -> bytes | None:
    try:
        return edit_cell(name, data, line, column, value)
    except EditError:
        return None


_VALUE = st.text(alphabet=st.sampled_from("aB1 ,;\t\"'\n\r#*.=-é\u2028"), max_size=8)
_TABLE = st.lists(st.lists(_VALUE, min_size=2, max_size=3), min_size=2, max_size=5)
_FORM = st.tuples(
    st.sampled_from(("\n", "\r\n", "\r")),
    st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
    st.sampled_from((",", ";", "\t")),
)


def _written(rows: list[list[str]], form: tuple[Any, ...]) -> str:
    ending, quoting, delimiter = form
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(["head", "of", "table"])
    writer.writerows([row + [""] * (3 - len(row)) for row in rows])
    return out.getvalue()


def _cells(text: str) -> list[tuple[int, list[str]]]:
    sheet = read_csv(Source("table.csv", text), Report())
    return [(row.line, row.cells) for row in [*sheet.rows, *sheet.refused]] if sheet is not None else []


@settings(max_examples=200, deadline=None)
@given(_TABLE, _FORM, st.booleans(), _VALUE, st.data())
def test_an_edit_changes_one_cell_and_no_other_byte(
    rows: Any, form: Any, marked: bool, value: str, data: st.DataObject
) -> None:
    text = _written(rows, form)
    before = _cells(text)
    if not before:
        return
    at = data.draw(st.integers(0, len(before) - 1))
    column = data.draw(st.integers(0, 2))
    line, cells = before[at]
    if len(cells) < 3:
        return  # the writer left a line break of another kind without quotes
    whole = ("\ufeff" if marked else "").encode() + text.encode()
    assert edit_cell("table.csv", whole, line, column, cells[column]) == whole
    edited = _edited("table.csv", whole, line, column, value)
    if edited is None:
        assert FORMULA.match(value.strip())
        return
    after = _cells(edited.decode("utf-8-sig"))
    expected = [list(row) for _, row in before]
    expected[at][column] = value.strip()
    gone = not any(expected[at]) or expected[at][0].startswith("#")
    if gone:
        del expected[at]
    assert sorted(row for _, row in after) == sorted(expected)
    assert edited.startswith(whole[:3]) or line == 1
    if not gone and FORMULA.match(cells[column]) is None:
        back = _edited("table.csv", edited, line, column, cells[column])
        assert back is not None
        assert sorted(row for _, row in _cells(back.decode("utf-8-sig"))) == sorted(row for _, row in before)


@settings(max_examples=200, deadline=None)
@given(_TABLE, _FORM, st.lists(_VALUE, min_size=3, max_size=3), st.data())
def test_a_row_put_in_and_taken_out_again_leaves_the_file_as_it_was(
    rows: Any, form: Any, values: list[str], data: st.DataObject
) -> None:
    text = _written(rows, form)
    lines = [line for line, _ in _cells(text)]
    if not lines or any(FORMULA.match(value.strip()) for value in values):
        return
    line = data.draw(st.sampled_from(lines))
    wider = insert_row("table.csv", text.encode(), line, values)
    assert delete_row("table.csv", wider, line) == text.encode()
