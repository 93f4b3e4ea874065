"""Keeps the store's personal chats up to date: where a person can be reached, and in which language and time zone."""

from dataclasses import replace
from typing import Final

import structlog
from cachetools import TTLCache

from bot.concurrency.background import Background
from bot.domain.identity import Person
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.teams.people.directory import Directory
from bot.teams.wire.activity import Inbound
from bot.teams.wire.message_text import stated_locale, stated_timezone
from bot.teams.wire.people import sender

CACHED: Final = 4096  # people; a person who is not cached is read again
CACHED_FOR: Final = 24 * 3600.0  # seconds; after that the person's addresses are read again, because they may change
STYLE_CACHED_FOR: Final = 300.0  # seconds; another process may have stored another style meanwhile
ABSENT_FOR: Final = 60.0  # seconds; another process may have stored the chat of a person who had none

log = structlog.get_logger(__name__)

_Place = tuple[str, str]  # conversation and service URL
_Style = tuple[str | None, str | None]  # locale and time zone


class PersonalChats:
    """Stores and deletes personal chats."""

    def __init__(self, store: Store, directory: Directory, *, clock: Clock) -> None:
        self._store, self._directory = store, directory
        self._current: TTLCache[str, _Place] = TTLCache(CACHED, CACHED_FOR, timer=clock.epoch)
        self._styles: TTLCache[str, _Style] = TTLCache(CACHED, STYLE_CACHED_FOR, timer=clock.epoch)
        self._absent: TTLCache[str, None] = TTLCache(CACHED, ABSENT_FOR, timer=clock.epoch)  # people without a chat
        self._background = Background()

    async def remember(self, inbound: Inbound) -> bool:
        """Store the chat of a personal activity; return whether the person is new.

        Returns True once per person, even if several activities of an installation arrive at the same time. Returns
        False also if the activity has no person, or the store fails.
        """
        person, place = sender(inbound), (inbound.wire.conversation.id, inbound.wire.service_url or "")
        if person is None:
            return False
        if self._current.get(person.object_id) == place:
            self.learn_style(inbound)
            return False
        style = stated_locale(inbound), stated_timezone(inbound)
        # set before the read, so that a parallel activity returns False
        self._current[person.object_id], self._styles[person.object_id] = place, style
        self._absent.pop(person.object_id, None)
        try:
            known = await self._store.personal_chat(person.object_id)
            await self._update(person, place, known, style)
        except StoreUnavailable:
            self._current.pop(person.object_id, None)
            self._styles.pop(person.object_id, None)
            log.warning("personal_chat_not_stored", person=person.object_id)
            return False
        return known is None

    def learn_style(self, inbound: Inbound) -> None:
        """Store the language and time zone of the sender's client in their chat, if they have one and it has others.

        Works in the background: an activity never waits for that. A person's next activity repeats a failed write. A
        person without a chat is looked up again after ABSENT_FOR: approvers click often, and many have none.
        """
        person, style = sender(inbound), (stated_locale(inbound), stated_timezone(inbound))
        if person is None or person.object_id in self._absent:
            return
        if style == (None, None) or self._styles.get(person.object_id) == style:
            return
        self._styles[person.object_id] = style  # set before the read, so that a burst reads once
        self._background.begin(self._store_style(person.object_id, style))

    async def drain(self) -> None:
        """Wait for the writes in progress."""
        await self._background.drain()

    async def _store_style(self, object_id: str, style: _Style) -> None:
        try:
            known = await self._store.personal_chat(object_id)
            if known and (styled := _styled(known, style)) != known:
                await self._store.remember_chat(styled)
            elif known is None:
                self._styles.pop(object_id, None)  # the person may get a chat later
                self._absent[object_id] = None
        except StoreUnavailable:
            self._styles.pop(object_id, None)
            log.warning("personal_chat_not_stored", person=object_id)

    async def forget(self, inbound: Inbound) -> None:
        """Delete the chat of a person who uninstalled the bot."""
        person = sender(inbound)
        if person is None:
            return
        self._current.pop(person.object_id, None)
        self._styles.pop(person.object_id, None)
        try:
            await self._store.forget_chat(person.object_id)
        except StoreUnavailable:
            log.warning("personal_chat_not_forgotten", person=person.object_id)  # the next direct message will fail

    async def _update(self, person: Person, place: _Place, known: PersonalChat | None, style: _Style) -> None:
        complete = await self._directory.complete(person, *place)
        kept = complete
        if known and not complete.upn:
            kept = replace(complete, upn=known.person.upn, mail=known.person.mail)
        former = (known.locale, known.timezone) if known else (None, None)
        if (chat := _styled(PersonalChat(kept, *place, *former), style)) != known:
            await self._store.remember_chat(chat)
        if not complete.upn:
            self._current.pop(person.object_id, None)  # the next activity tries again


def _styled(chat: PersonalChat, style: _Style) -> PersonalChat:
    """Return the chat with this language and time zone. What is not stated stays."""
    locale, timezone = style
    return replace(chat, locale=locale or chat.locale, timezone=timezone or chat.timezone)
