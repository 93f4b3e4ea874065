"""People who are in no roster and whom a chat of their own with the bot makes known.

Owns for how long their addresses are believed. Addresses are given to other people in time, so what a store has kept
says whom to ask, and nothing more: somebody who was not asked anew has none. Only who goes by a name that is looked for
is asked, for an organisation may have installed the bot for everybody.
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

BELIEVED_FOR: Final = 24 * 3600.0  # seconds; directories keep an address free for longer before it is given on
KEPT: Final = 4096  # people; who falls out is asked for again
MOST_ASKED: Final = 4  # people for what one look wants to know: an address has an owner, and perhaps a former one
PATIENCE: Final = 5.0  # seconds for all of them; a card can be completed later


class ChatPeople:
    """Asks Teams for one person at a time, once a day."""

    def __init__(self, ask: Callable[[PersonalChat], Awaitable[Person | None]], *, clock: Clock) -> None:
        """Take what asks for the person of a chat: None where Teams does not tell. It raises nothing."""
        self._ask = ask
        self._told: TTLCache[str, Person] = TTLCache(KEPT, BELIEVED_FOR, timer=lambda: clock.now().timestamp())
        self._turn = asyncio.Lock()

    def learn(self, person: Person) -> None:
        """Take what Teams has just told of somebody."""
        self._told[person.object_id] = person

    async def among(self, chats: Iterable[PersonalChat], names: frozenset[str]) -> Sequence[Person]:
        """Return the people of these chats; whoever goes by one of the names (case-folded) as Teams tells them now.

        Who goes by one and cannot be asked for is left out; the others come without addresses unless those are known.
        """
        kept = [replace(chat, person=_folded(chat.person)) for chat in chats]
        wanted = [chat for chat in kept if chat.person.certain_spellings & names]
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ask_for(wanted[:MOST_ASKED])
        missing = {chat.person.object_id for chat in wanted}.difference(self._told)
        return [self._believed(chat.person) for chat in kept if chat.person.object_id not in missing]

    async def _ask_for(self, chats: Iterable[PersonalChat]) -> None:
        for chat in chats:
            async with self._turn:
                if chat.person.object_id not in self._told and (found := await self._ask(chat)):
                    self.learn(found)

    def _believed(self, person: Person) -> Person:
        return self._told.get(person.object_id) or replace(person, upn=None, mail=None)


def _folded(person: Person) -> Person:
    return replace(person, object_id=person.object_id.casefold())
