"""What a change makes of a row: the same in every store."""

from dataclasses import replace
from datetime import datetime

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change
from bot.store.rows import storable


def changed(former: Record | None, key: RequestKey, change: Change, *, now: datetime) -> Record:
    """Return the row to be written, one version on; with its former version (0: none) where there is nothing to write.

    A row that is not there yet is made at `now`. What `change` raises passes through.
    """
    start = former or Record(key, storable(now))
    record = storable(change(start))
    if record == start:
        return start
    return replace(record, version=start.version + 1)
