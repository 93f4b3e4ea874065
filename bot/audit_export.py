"""Formats the audit trail: as CSV that spreadsheets do not execute, or as one JSON object per line.

Owns the two formats, and the form of times on the command line. Does not know the store.
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
BYTE_ORDER_MARK = "\ufeff"  # Excel needs it to read UTF-8; Python's utf-8-sig skips it
# Spreadsheets execute cells that start with these, also after blanks or control characters, and in full width.
# https://owasp.org/www-community/attacks/CSV_Injection
# In German and French locales, semicolons separate cells: one inside a cell starts a new cell, even in quotes.
_FORMULA = re.compile(r"(^|;)(?=[\W_]*?[=+\-@\uff1d\uff0b\uff0d\uff20|%\t\r\n])")
_SPAN = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_CALENDAR = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(3000, 1, 1, tzinfo=UTC),
)  # earliest and latest moment; leaves room to add days and time zones
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def as_json(entry: AuditEntry) -> str:
    """Return an entry as one line of JSON."""
    return json.dumps({**asdict(entry), "at": entry.at.isoformat()}, ensure_ascii=True)


def csv_head() -> str:
    """Return the header line."""
    return BYTE_ORDER_MARK + _line(MEMBERS)


def as_csv(entry: AuditEntry) -> str:
    """Return an entry as one line of CSV; spreadsheets read every cell as text."""
    return _line(map(_cell, {**asdict(entry), "at": entry.at.isoformat()}.values()))


def _line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
    return written.getvalue()


def _cell(value: object) -> str:
    return _FORMULA.sub(r"\1'", " ".join(plain_text(str(value)).split()))


def moment(text: str, now: datetime) -> datetime:
    """Parse a date, a time (UTC unless it has an offset) or a span before now, like 24h or 7d. Raises ValueError."""
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
