"""The language and time zone in which a requester reads their messages.

They are those of the person's Teams client, as the store has them, else the channel's. They are no part of a message's
digest: a person who changes them does not cause an update.
"""

from dataclasses import replace

import structlog

from bot.domain.shown.wanted import Wanted
from bot.ports.store import Store, StoreUnavailable
from bot.rendering.i18n import known_timezone, matching_locale

log = structlog.get_logger(__name__)


class ReaderStyle:
    """Knows in which language and time zone a message is sent."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, want: Wanted) -> Wanted:
        """Return a message to a person in that person's language and time zone; anything else unchanged.

        What is not known, or not known to this version, stays the channel's.
        """
        if want.person is None:
            return want
        try:
            chat = await self._store.personal_chat(want.person.object_id)
        except StoreUnavailable:
            log.warning("personal_chat_not_read", person=want.person.object_id)
            return want
        if chat is None:
            return want
        locale = matching_locale(chat.locale or "") or want.channel.locale
        timezone = known_timezone(chat.timezone or "") or want.channel.timezone
        return replace(want, channel=replace(want.channel, locale=locale, timezone=timezone))
