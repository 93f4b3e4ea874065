"""Tests for bot.audit_export: CSV without formulas, JSON lines, and times on the command line."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audit_export import BYTE_ORDER_MARK, MEMBERS, as_csv, as_json, csv_head, moment
from bot.domain.audit import AuditEntry

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
STARTERS = "=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20"


def _cells(line: str) -> list[str]:
    (cells,) = csv.reader(io.StringIO(line), strict=True)
    return cells


@pytest.mark.parametrize(
    "hostile",
    [
        '=HYPERLINK("http://evil.example","x")',
        "+1+1",
        "-2+3",
        "@SUM(1)",
        "  =1+1",
        "\t=1+1",
        "\x00=1+1",
        "\u200b=1+1",
        "'=1+1",
        '"=1+1',
        ";=1+1",
        "＝1+1",
        "＠SUM(1)",
        "a\n=1+1",
        "\ufeff=1+1",
    ],
)
def test_no_cell_of_the_audit_csv_is_a_formula(hostile: str) -> None:
    """A display name never becomes a formula in a spreadsheet, and no cell continues on another line."""
    line = as_csv([AuditEntry(NOW, "clicked", person_name=hostile)])
    assert "\n" not in line
    cell = _cells(line)[MEMBERS.index("person_name")]
    assert cell.startswith("'") or cell[0] == "a"


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_gives_one_line_of_audit_csv_without_formulas(name: str, detail: str) -> None:
    """Any text gives one line with a cell per column, and no cell starts like a formula."""
    line = as_csv([AuditEntry(NOW, "clicked", person_name=name, detail=detail)])
    cells = _cells(line)
    assert (len(cells), len(line.splitlines())) == (len(MEMBERS), 1)
    assert not any(cell.lstrip(" ")[:1] and cell.lstrip(" ")[0] in STARTERS for cell in cells)


@given(st.text(alphabet="a =+-@;\"'\t,", max_size=12), st.text(alphabet="a=+;\"'", max_size=12))
def test_no_cell_of_the_audit_csv_is_a_formula_if_semicolons_separate_cells(name: str, detail: str) -> None:
    """If a spreadsheet separates cells by semicolons, it finds more cells, but none of them is a formula."""
    line = as_csv([AuditEntry(NOW, "clicked", person_name=name, detail=detail, conversation="19:a@thread;messageid=1")])
    (cells,) = csv.reader(io.StringIO(line), delimiter=";")
    assert not any(cell.lstrip(" ")[:1] and cell.lstrip(" ")[0] in STARTERS for cell in cells)


@pytest.mark.parametrize("hostile", [";=cmd|'/c calc'!A1;", "a;+1", 'a;"=1+1', "a; =1", "a;;=1", "a;b;@SUM(1)"])
def test_text_with_semicolons_in_the_audit_csv_is_changed_only_by_apostrophes(hostile: str) -> None:
    """Apart from apostrophes, which prevent formulas, the text is unchanged."""
    cell = _cells(as_csv([AuditEntry(NOW, "clicked", request=hostile)]))[MEMBERS.index("request")]
    assert cell.replace("'", "") == hostile.replace("'", "")
    assert not any(part.lstrip(' "')[:1] and part.lstrip(' "')[0] in STARTERS for part in cell.split(";"))


@given(st.text(max_size=40))
def test_audit_json_has_the_stored_text_on_one_line(name: str) -> None:
    """Each object is on one line and has the unchanged text."""
    line = as_json([AuditEntry(NOW, "clicked", person_name=name)])
    assert len(line.splitlines()) == 1
    assert json.loads(line)["person_name"] == name
    assert json.loads(line)["at"] == "2026-04-01T09:00:00+00:00"


def test_header_of_the_audit_csv_names_the_columns() -> None:
    """The file starts with a byte order mark, so that Excel recognises the encoding."""
    assert csv_head().startswith(BYTE_ORDER_MARK)
    assert _cells(csv_head().removeprefix(BYTE_ORDER_MARK)) == list(MEMBERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T09:00", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("2026-03-01T09:00+09:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(days=14)),
    ],
)
def test_dates_times_and_spans_of_the_audit_command_are_parsed(text: str, expected: datetime) -> None:
    """`moment` parses a date, a time, or a span before now."""
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "7", "7y", "-1d", "２４h", "99999999d", "999999w"),
        *("0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31", "9999-12-31T23:59-12:00"),
    ],
)
def test_invalid_time_for_the_audit_command_raises_a_value_error(text: str) -> None:
    """A time would be a guess. Times at the limits of the calendar are refused too."""
    with pytest.raises(ValueError, match=r"."):
        moment(text, NOW)
