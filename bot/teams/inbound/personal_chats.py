"""Keeps the store's personal chats up to date. Direct messages need the chat of a person with the bot."""

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

CACHED: Final = 4096  # people; a person who is not cached is read again
CACHED_FOR: Final = 24 * 3600.0  # seconds; after that the person's addresses are read again, because they may change

log = structlog.get_logger(__name__)

_Place = tuple[str, str]  # conversation and service URL


class PersonalChats:
    """Stores and deletes personal chats."""

    def __init__(self, store: Store, directory: Directory, *, clock: Clock) -> None:
        self._store, self._directory = store, directory
        self._current: TTLCache[str, _Place] = TTLCache(CACHED, CACHED_FOR, timer=clock.epoch)

    async def remember(self, inbound: Inbound) -> bool:
        """Store the chat of a personal activity; return whether the person is new.

        Returns True once per person, even if several activities of an installation arrive at the same time. Returns
        False also if the activity has no person, or the store fails.
        """
        person, place = sender(inbound), (inbound.wire.conversation.id, inbound.wire.service_url or "")
        if person is None or self._current.get(person.object_id) == place:
            return False
        self._current[person.object_id] = place  # set before the read, so that a parallel activity returns False
        try:
            known = await self._store.personal_chat(person.object_id)
            await self._update(person, place, known)
        except StoreUnavailable:
            self._current.pop(person.object_id, None)
            log.warning("personal_chat_not_stored", person=person.object_id)
            return False
        return known is None

    async def forget(self, inbound: Inbound) -> None:
        """Delete the chat of a person who uninstalled the bot."""
        person = sender(inbound)
        if person is None:
            return
        self._current.pop(person.object_id, None)
        try:
            await self._store.forget_chat(person.object_id)
        except StoreUnavailable:
            log.warning("personal_chat_not_forgotten", person=person.object_id)  # the next direct message will fail

    async def _update(self, person: Person, place: _Place, known: PersonalChat | None) -> None:
        complete = await self._directory.complete(person, *place)
        kept = complete
        if known and not complete.upn:
            kept = replace(complete, upn=known.person.upn, mail=known.person.mail)
        if (chat := PersonalChat(kept, *place)) != known:
            await self._store.remember_chat(chat)
        if not complete.upn:
            self._current.pop(person.object_id, None)  # the next activity tries again
