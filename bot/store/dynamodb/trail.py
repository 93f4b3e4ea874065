"""Gives audit entries their keys, and registers the days that have entries.

It must not know rows, nor whether an entry is written alone or with its row.
"""

import threading
import time
from collections.abc import Iterable, Sequence

from bot.domain.audit import AuditEntry
from bot.store.dynamodb import items
from bot.store.dynamodb.calls import Calls, Patience


class Trail:
    """Makes items of audit entries. Thread-safe."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._last = 0
        self._days: set[str] = set()  # registered by this process

    def as_items(self, entries: Iterable[AuditEntry]) -> Sequence[items.Item]:
        """Return entries as items. Entries of the same time keep the order of calls on this machine."""
        return [items.audit_item(entry, self._next()) for entry in entries]

    def register_days(self, entries: Iterable[items.Item], patience: Patience) -> None:
        """Register the days of entries before these are written, because reading skips unregistered days.

        Not in the same transaction: all rows would compete for this item. Raises DynamoError.
        """
        for day in {items.day_of_entry(each) for each in entries} - self._days:
            self._calls.repeated(patience, "put_item", Item=items.audit_day(day))
            self._days.add(day)

    def _next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last
