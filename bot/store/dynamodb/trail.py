"""The audit trail on its way into the table: which place an entry has, and that its day is known to have some.

Knows neither rows nor when an entry is written: alone, or with the row that it tells of.
"""

import threading
import time
from collections.abc import Iterable, Sequence

from bot.domain.audit import AuditEntry
from bot.store.dynamodb import items
from bot.store.dynamodb.calls import Calls, Patience


class Trail:
    """Gives entries their places, for any thread."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._last = 0
        self._days: set[str] = set()  # those that the table has heard of from here

    def placed(self, entries: Iterable[AuditEntry]) -> Sequence[items.Item]:
        """Return entries as items. Those of one moment are in the order of these calls, by this machine's clock."""
        return [items.audit_item(entry, self._next()) for entry in entries]

    def open_days(self, entries: Iterable[items.Item], patience: Patience) -> None:
        """Tell the table which days have entries, before they do: a day that it knows nothing of is not read.

        Not in one transaction with them: those of all rows would meet on this item. Raises DynamoError.
        """
        for day in {items.day_of_entry(each) for each in entries} - self._days:
            self._calls.repeated(patience, "put_item", Item=items.audit_day(day))
            self._days.add(day)

    def _next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last
