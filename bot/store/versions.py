"""What a change makes of a row, and what the audit trail says of it: the same in every store."""

from dataclasses import replace
from datetime import datetime

from bot.domain.audit import AuditEntry, steps
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change
from bot.store.rows import storable

Entries = tuple[AuditEntry, ...]


def changed(former: Record | None, key: RequestKey, change: Change, *, now: datetime) -> tuple[Record, Entries]:
    """Return the row to be written, one version on, and the entries of the trail that belong to the same write.

    With its former version (0: none), and without an entry, where there is nothing to write. A row that is not there
    yet is made at `now`. What `change` raises passes through.
    """
    start = former or Record(key, storable(now))
    record = storable(change(start))
    if record == start:
        return start, ()
    written = replace(record, version=start.version + 1)
    return written, tuple(steps(start.decisions, written, at=storable(now)))
