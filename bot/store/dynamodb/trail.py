"""Turns audit entries into items, registers the days that have entries, and writes entries that belong to no row.

It must not know rows.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from bot.domain.audit import AuditEntry
from bot.store.dynamodb import items
from bot.store.dynamodb.calls import Calls, Patience

# Audit entries in one write: a transaction takes 100 items and 4 MB; one of them may be a row, with at most 400 KB.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MOST_ENTRIES, MOST_ENTRY_BYTES = 99, 3_500_000


def fits_one_write(entries: Sequence[items.Item]) -> bool:
    """Return True if one transaction can take these entries, with a row."""
    return len(entries) <= MOST_ENTRIES and sum(map(items.size_of, entries)) <= MOST_ENTRY_BYTES


def _transactions(entries: Sequence[items.Item]) -> Iterator[Sequence[items.Item]]:
    """Split entries into parts that one transaction can take."""
    some: list[items.Item] = []
    room = MOST_ENTRY_BYTES
    for each in entries:
        if some and (len(some) == MOST_ENTRIES or items.size_of(each) > room):
            yield some
            some, room = [], MOST_ENTRY_BYTES
        some.append(each)
        room -= items.size_of(each)
    if some:
        yield some


class Trail:
    """Makes items of audit entries, and writes those that belong to no row. Thread-safe."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._last = 0
        self._days: set[str] = set()  # registered by this process

    def as_items(self, entries: Iterable[AuditEntry]) -> Sequence[items.Item]:
        """Return entries as items. Entries of the same time keep the order of the calls in this process."""
        return [items.audit_item(entry, self._next()) for entry in entries]

    def register_days(self, entries: Iterable[items.Item], patience: Patience) -> None:
        """Register the days of entries before these are written, because reading skips unregistered days.

        Not in the same transaction: all rows would compete for this item. Raises DynamoError.
        """
        for day in {items.day_of_entry(each) for each in entries} - self._days:
            self._calls.repeated(patience, "put_item", Item=items.audit_day(day))
            self._days.add(day)

    def append(self, entries: Sequence[items.Item], patience: Patience) -> None:
        """Write entries that belong to no row, in transactions as large as DynamoDB takes. Raises DynamoError.

        A transaction needs only the permission PutItem. BatchWriteItem, which is cheaper, could also delete entries.
        """
        self.register_days(entries, patience)
        for some in _transactions(entries):
            self._calls.put_repeated(patience, *({"Item": each} for each in some))

    def _next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last
