"""Reads members of AWS's answers defensively. Never raises.

Each function returns the value in the wanted type. For any other value, `mapping`, `sequence` and `rows` return an
empty container, and all other functions None. This module must not know operations.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST_SPAN = timedelta(days=3650)  # longer values are invalid, and could overflow dates
EARLIEST, LATEST = 1970, 9000  # years; spans are added to times and subtracted from them, which must not overflow
_ISO_DURATION = re.compile(r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?", re.ASCII)
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_UTC_FORMAT = "%Y-%m-%d %H:%M:%S UTC"  # times in OpsItems: 2025-05-02 14:57:16 UTC
_NOTHING: Mapping[str, object] = {}


def text(value: object) -> str | None:
    """Return a text that is not empty; None for anything else. Lone surrogates, which cannot be encoded, become `?`."""
    if not isinstance(value, str) or not value:
        return None
    return value.encode("utf-8", "replace").decode("utf-8")


def mapping(value: object) -> Mapping[str, object]:
    """Return a mapping; an empty one for anything else."""
    return value if isinstance(value, (dict, Mapping)) else _NOTHING  # dict first: the check for Mapping takes longer


def sequence(value: object) -> list[object]:
    """Return a list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def rows(value: object) -> list[Mapping[str, object]]:
    """Return those elements of a list that are mappings."""
    return [each for each in sequence(value) if isinstance(each, Mapping)]


def moment(value: object) -> datetime | None:
    """Return a time in UTC, from 1970 to 8999, from a datetime, ISO 8601 or `2025-05-02 14:57:16 UTC`; else None.

    A time without an offset counts as UTC.
    """
    try:
        found = value if isinstance(value, datetime) else _parsed(text(value) or "")
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if EARLIEST <= found.year < LATEST else None


def timestamp(value: object) -> datetime | None:
    """Return a time like `moment`, also from a number: AWS's JSON has the seconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return moment(value)
    try:
        return moment(datetime.fromtimestamp(value, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _parsed(value: str) -> datetime:
    return datetime.strptime(value, _UTC_FORMAT) if value.endswith(" UTC") else datetime.fromisoformat(value)  # noqa: DTZ007  (the format says UTC)


def http_date(value: object) -> datetime | None:
    """Return the time of the header `Date`, such as `Wed, 01 Apr 2026 09:00:00 GMT`; None for anything else."""
    try:
        return moment(parsedate_to_datetime(text(value) or ""))
    except (ValueError, TypeError):
        return None


def duration(value: object) -> timedelta | None:
    """Return a positive duration of up to LONGEST_SPAN, from ISO 8601 (`PT3600S`), or seconds as a number or digits.

    None for anything else.
    """
    found = _ISO_DURATION.fullmatch(value) if isinstance(value, str) else None
    if found:
        days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        span = timedelta(seconds=whole(value) or 0)
    return span if timedelta() < span <= LONGEST_SPAN else None


def whole(value: object) -> int | None:
    """Return a whole number from 0 to 9,999,999,999, from a number or digits; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 10**10 else None


def decoded(value: object) -> object:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
