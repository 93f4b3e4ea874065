"""People who have a personal chat with the bot, but are not in a roster.

An address may be given to another person over time, so stored addresses are not trusted: they only show which people
to request from Teams again, and the result is cached for a day. Only people with one of the wanted names are requested,
because an organisation may have installed the bot for everybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from cachetools import TTLCache

from bot.domain.identity import Person
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat
from bot.ports.teams import KnownPeople

CACHED_FOR: Final = 24 * 3600.0  # seconds; directories reserve a deleted person's address for longer
CACHED: Final = 4096  # people; a person who is not cached is requested again
MOST_REQUESTED: Final = 4  # people per call: an address has one owner, and perhaps a former one
PATIENCE: Final = 5.0  # seconds for all requests of a call; a card can be completed later


class ChatPeople:
    """Reads people from Teams, one at a time, and caches each for a day.

    If Teams does not return a person, they are read again at the next call.
    """

    def __init__(self, request: Callable[[PersonalChat], Awaitable[Person | None]], *, clock: Clock) -> None:
        """Take the function that requests a chat's person. It never raises; None means no usable answer from Teams."""
        self._request = request
        self._current: TTLCache[str, Person] = TTLCache(CACHED, CACHED_FOR, timer=clock.epoch)
        self._one_at_a_time = asyncio.Lock()

    def learn(self, person: Person) -> None:
        """Cache a person that Teams has just returned."""
        self._current[person.user] = person

    async def among(self, chats: Sequence[PersonalChat]) -> KnownPeople:
        """Return the people of these chats, with the addresses that Teams returned within a day.

        They are left out, and the result is not complete, if Teams does not answer or if MOST_REQUESTED others were
        requested.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._request_all(chats[:MOST_REQUESTED])
        ids = [chat.person.user for chat in chats]
        found = tuple(self._current[each] for each in ids if each in self._current)
        return KnownPeople(found, complete=len(found) == len(ids))

    def may_be_named(self, person: Person, names: frozenset[str]) -> bool:
        """Return whether a person has one of the folded names, by stored addresses or by those that Teams returned."""
        current = self._current.get(person.user)
        return person.is_named(names) or (current is not None and current.is_named(names))

    def trusted(self, person: Person) -> Person:
        """Return a person with the addresses that Teams returned within a day, or without any."""
        return self._current.get(person.user) or replace(person, upn=None, mail=None)

    async def _request_all(self, chats: Iterable[PersonalChat]) -> None:
        for chat in chats:
            async with self._one_at_a_time:
                if chat.person.user not in self._current and (found := await self._request(chat)):
                    self.learn(found)
