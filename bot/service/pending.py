"""Finds the requests that wait for a decision, for one channel or one person.

There may be ten thousand rows. Those that the answer cannot name are left out outside the event loop, where they are
read; lines are made only for those that the answer shows.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Status
from bot.domain.shown.replies.reply_views import RequestLine
from bot.domain.shown.replies.request_lines import request_line
from bot.domain.surface import Surface
from bot.ports.clock import Clock
from bot.ports.store import Store
from bot.service.jump_links import JumpLinks
from bot.service.reader import Reader, Readers, card_in

LONGEST_LIST = 15  # requests in one answer; more do not fit on a phone or into 28 KB
MOST_COUNTED = 85  # further requests that are counted; reading all rows could take seconds


@dataclass(frozen=True, slots=True)
class Pending:
    """The lines of the first LONGEST_LIST requests, and how many further ones were counted, at most MOST_COUNTED."""

    lines: tuple[RequestLine, ...]
    more: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A request of the answer. `card` is its card in the channel; None in the answer of a personal chat."""

    row: Record
    card: Surface | None
    own: bool
    turn: bool


class PendingRequests:
    """Finds pending requests."""

    def __init__(self, *, store: Store, clock: Clock, readers: Readers, links: JumpLinks) -> None:
        self._store, self._clock, self._readers, self._links = store, clock, readers, links
        self._one_at_a_time = asyncio.Lock()

    async def find(self, conversation: str, person: Person | None) -> Pending:
        """Return the requests of a conversation, or, without one, those that a person made or may decide.

        `person` reads the list alone, and those that they may decide come first. Only one command reads the rows at a
        time. Raises StoreUnavailable.
        """
        async with self._one_at_a_time:
            reader = await self._readers.of(person) if person else None
            found = await self._found(conversation, reader)
        found = sorted(found[: LONGEST_LIST + MOST_COUNTED], key=lambda each: not each.turn)
        lines = [await self._line(each, reader) for each in found[:LONGEST_LIST]]
        return Pending(tuple(lines), len(found) - len(lines))

    async def _found(self, conversation: str, reader: Reader | None) -> list[_Found]:
        found: list[_Found] = []
        async for page in self._store.watched(wanted=partial(_may_be_named, conversation=conversation, reader=reader)):
            for row in page.rows:
                card = card_in(row, conversation) if conversation else None
                own, turn = (reader.owns(row), await reader.may_decide(row)) if reader else (False, False)
                if card or (not conversation and (own or turn)):
                    found.append(_Found(row, card, own, turn))
            if len(found) >= LONGEST_LIST + MOST_COUNTED:
                break
        return found

    async def _line(self, found: _Found, reader: Reader | None) -> RequestLine:
        link = await self._links.to(found.card) if found.card else await reader.link(found.row) if reader else None
        return request_line(found.row, self._clock.now(), own=found.own, turn=found.turn, link=link)


def _may_be_named(row: Record, conversation: str, reader: Reader | None) -> bool:
    """Return False for a row that the answer certainly does not name. Runs outside the event loop."""
    if row.request is None or row.request.status is not Status.PENDING:
        return False
    if conversation:
        return card_in(row, conversation) is not None
    return reader is not None and (reader.owns(row) or reader.could_decide(row))
