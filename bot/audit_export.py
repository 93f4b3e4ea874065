"""Formats the audit trail: as CSV that spreadsheets do not execute, or as one JSON object per line.

Owns the two formats, and the form of times on the command line. Does not know the store.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter

from bot.domain.audit import AuditEntry
from bot.text.escape import plain_text

MEMBERS = tuple(each.name for each in fields(AuditEntry))
_VALUES = attrgetter(*MEMBERS)
CELLS_KEPT = 4096  # cells that were made: people, roles and channels are in many entries
BYTE_ORDER_MARK = "\ufeff"  # Excel needs it to read UTF-8; Python's utf-8-sig skips it
# Spreadsheets execute cells that start with these, also after blanks or control characters, and in full width.
# https://owasp.org/www-community/attacks/CSV_Injection
# In German and French locales, semicolons separate cells: one inside a cell starts a new cell, even in quotes.
_FORMULA = re.compile(r"(^|;)(?=[\W_]*?[=+\-@\uff1d\uff0b\uff0d\uff20|%\t\r\n])")
_PLAIN = re.compile(r"[0-9A-Za-z][!#-:<-~]*")  # a cell that needs no change: ASCII, no blank, quote or semicolon
_SPAN = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_CALENDAR = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(3000, 1, 1, tzinfo=UTC),
)  # earliest and latest moment; leaves room to add days and time zones
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def as_json(entries: Iterable[AuditEntry]) -> str:
    """Return each entry as one line of JSON."""
    return "\n".join(json.dumps(dict(zip(MEMBERS, _texts(each), strict=True))) for each in entries)


def csv_head() -> str:
    """Return the header line."""
    return BYTE_ORDER_MARK + _line(MEMBERS)


def as_csv(entries: Iterable[AuditEntry]) -> str:
    """Return each entry as one line of CSV; spreadsheets read every cell as text."""
    return "\n".join(_line(map(_cell, _texts(each))) for each in entries)


def _texts(entry: AuditEntry) -> tuple[str, ...]:
    at, *texts = _VALUES(entry)
    return at.isoformat(), *texts


def _line(cells: Iterable[str]) -> str:
    return '"' + '","'.join(cells) + '"'  # all in quotes; csv.writer takes fifteen times as long


@lru_cache(maxsize=CELLS_KEPT)
def _cell(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return _FORMULA.sub(r"\1'", " ".join(plain_text(value).split())).replace('"', '""')


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
