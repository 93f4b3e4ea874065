"""The audit trail for people and other programs: as CSV that no spreadsheet computes, or as one JSON object a line.

Owns the two formats and how a point in time is written on the command line. Knows no store.
"""

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta

from bot.domain.audit import AuditEntry
from bot.text.escape import plain_text

MEMBERS = tuple(each.name for each in fields(AuditEntry))
BYTE_ORDER_MARK = "\ufeff"  # without it Excel reads Japanese as something else; Python's utf-8-sig passes it over
# Spreadsheets compute what begins so, blanks and control characters before it or not, full-width twins included.
# https://owasp.org/www-community/attacks/CSV_Injection
# Where the list separator is a semicolon (German, French Excel), one within a cell begins another, quoted or not.
_FORMULA = re.compile(r"(^|;)(?=[\W_]*?[=+\-@\uff1d\uff0b\uff0d\uff20|%\t\r\n])")
_SPAN = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_CALENDAR = (datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))  # days and zones fit on both sides
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def as_json(entry: AuditEntry) -> str:
    """Return an entry as one line."""
    return json.dumps({**asdict(entry), "at": entry.at.isoformat()}, ensure_ascii=True)


def csv_head() -> str:
    """Return the line that names the columns."""
    return BYTE_ORDER_MARK + _line(MEMBERS)


def as_csv(entry: AuditEntry) -> str:
    """Return an entry as one line; every cell is text to whatever opens it."""
    return _line(map(_cell, {**asdict(entry), "at": entry.at.isoformat()}.values()))


def _line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
    return written.getvalue()


def _cell(value: object) -> str:
    return _FORMULA.sub(r"\1'", " ".join(plain_text(str(value)).split()))


def moment(text: str, now: datetime) -> datetime:
    """Read a date, a moment (UTC unless it has an offset) or a span before now, like 24h or 7d. Raises ValueError."""
    try:
        found = _read(text, now)
    except OverflowError as error:
        raise ValueError("beyond the calendar") from error
    if not _CALENDAR[0] <= found <= _CALENDAR[1]:
        raise ValueError("beyond the calendar")
    return found


def _read(text: str, now: datetime) -> datetime:
    if span := _SPAN.fullmatch(text):
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)
