"""Lists past and current requests that a person may see, from the index of the store (bot.domain.history)."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.history import HistoryEntry, is_listed, own_subjects, place_subject, term_subject
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Store
from bot.service.current_configuration import CurrentConfiguration
from bot.service.reader import Reader

MOST_LISTED: Final = 100  # entries of one subject, and rows of one answer, that are read


@dataclass(frozen=True, slots=True)
class PastRequests:
    """Rows that a person may see, newest first. If not `complete`, older ones in the same span were not read."""

    rows: tuple[Record, ...]
    complete: bool


class RequestHistory:
    """Reads the index. The work of one answer is limited, however many requests there are."""

    def __init__(self, store: Store, configuration: CurrentConfiguration) -> None:
        self._store, self._configuration = store, configuration
        self._one_at_a_time = asyncio.Lock()

    async def own(self, reader: Reader, since: datetime) -> PastRequests:
        """Return the requests that the person made. Raises StoreUnavailable."""
        found = await self._found(reader, own_subjects(reader.person), since)
        return PastRequests(tuple(row for row in found.rows if reader.owns(row)), found.complete)

    async def of_channels(self, reader: Reader, since: datetime) -> PastRequests:
        """Return the person's own requests, and those of the channels that they are a member of.

        Raises StoreUnavailable.
        """
        channels = self._configuration.value.channels
        member = [each.conversation for each in channels if await reader.is_member(each)]
        return await self._found(reader, [*own_subjects(reader.person), *map(place_subject, member)], since)

    async def about(self, reader: Reader, term: str, since: datetime) -> PastRequests:
        """Return those of the requests above that are for a node or of a person. Raises StoreUnavailable."""
        return await self._found(reader, [term_subject(term)], since)

    async def _found(self, reader: Reader, subjects: Iterable[str], since: datetime) -> PastRequests:
        async with self._one_at_a_time:
            lists = [await self._store.history(each, since, MOST_LISTED) for each in dict.fromkeys(subjects)]
            entries = _newest([entry for each in lists for entry in each])
            complete = len(entries) <= MOST_LISTED and all(len(each) < MOST_LISTED for each in lists)
            rows = {
                row.key: row for row in await self._store.load_several([each.key for each in entries[:MOST_LISTED]])
            }
        listed = [(rows.get(each.key), each) for each in entries[:MOST_LISTED]]
        seen = [row for row, entry in listed if row and is_listed(row, entry) and await reader.sees(row)]
        return PastRequests(tuple(seen), complete)


def _newest(entries: Iterable[HistoryEntry]) -> Sequence[HistoryEntry]:
    """Return one entry of each request, newest first."""
    newest: dict[RequestKey, HistoryEntry] = {}
    for each in sorted(entries, key=lambda each: (each.at, str(each.key)), reverse=True):
        newest.setdefault(each.key, each)
    return list(newest.values())
