"""Links to the bot's messages in channels, for answers, notes and direct messages."""

from cachetools import LRUCache

from bot.domain.routing import thread_root
from bot.domain.shown.links import TeamsSite
from bot.domain.surface import Surface
from bot.ports.store import Store

CHANNELS = 256  # whose groups are cached; a group never changes


class JumpLinks:
    """Makes links. Give one only to a member of the channel; the caller checks that."""

    def __init__(self, store: Store, site: TeamsSite) -> None:
        self._store, self._site = store, site
        self._groups: LRUCache[str, str] = LRUCache(CHANNELS)

    async def to(self, message: Surface) -> str | None:
        """Return the link to a delivered message; None if it is in no channel, or not enough is known.

        Raises StoreUnavailable.
        """
        if not message.conversation or not message.activity_id:
            return None
        group = await self._group(thread_root(message.conversation))
        return self._site.message_link(message.conversation, message.activity_id, group_id=group)

    async def _group(self, channel: str) -> str | None:
        if channel not in self._groups:
            group = await self._store.team_group(channel)
            if group is None:
                return None
            self._groups[channel] = group
        return self._groups[channel]
