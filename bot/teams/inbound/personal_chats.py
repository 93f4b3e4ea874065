"""Who has the bot in a chat of their own: remembered, so that they can be told things later.

Owns that memory and who is new. Sends nothing.
"""

from dataclasses import replace
from typing import Final

import structlog
from cachetools import TTLCache

from bot.domain.identity import Person
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.teams.people.directory import Directory
from bot.teams.wire.activity import Inbound
from bot.teams.wire.people import sender

MET: Final = 4096  # people; who falls out is read again
MET_FOR: Final = 24 * 3600.0  # seconds; then who talks to the bot is read again: people get other addresses

log = structlog.get_logger(__name__)

_Place = tuple[str, str]


class PersonalChats:
    """Keeps the store's personal chats up to date."""

    def __init__(self, store: Store, directory: Directory, *, clock: Clock) -> None:
        self._store, self._directory = store, directory
        self._met: TTLCache[str, _Place] = TTLCache(MET, MET_FOR, timer=clock.epoch)

    async def meet(self, inbound: Inbound) -> bool:
        """Remember the chat that a personal activity came from; tell whether the person is new.

        New is said once, however many activities of an installation come side by side.
        """
        person, place = sender(inbound), (inbound.wire.conversation.id, inbound.wire.service_url or "")
        if person is None or self._met.get(person.object_id) == place:
            return False
        self._met[person.object_id] = place  # before the store is asked: the next activity is not the first
        try:
            known = await self._store.personal_chat(person.object_id)
            await self._remember(person, place, known)
        except StoreUnavailable:
            self._met.pop(person.object_id, None)
            log.warning("personal_chat_not_stored", person=person.object_id)
            return False
        return known is None

    async def forget(self, inbound: Inbound) -> None:
        """Drop the chat of somebody who uninstalled the bot."""
        person = sender(inbound)
        if person is None:
            return
        self._met.pop(person.object_id, None)
        try:
            await self._store.forget_chat(person.object_id)
        except StoreUnavailable:
            log.warning("personal_chat_not_forgotten", person=person.object_id)  # a DM will find out

    async def _remember(self, person: Person, place: _Place, known: PersonalChat | None) -> None:
        complete = await self._directory.complete(person, *place)
        kept = complete
        if known and not complete.upn:
            kept = replace(complete, upn=known.person.upn, mail=known.person.mail)
        if (chat := PersonalChat(kept, *place)) != known:
            await self._store.remember_chat(chat)
        if not complete.upn:
            self._met.pop(person.object_id, None)  # the next activity tries again
