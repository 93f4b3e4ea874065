"""The service URL of each conversation: the last one that Teams sent, or the configured default.

A URL is remembered only if the bot's token may be sent there. Stored URLs are checked again when they are read: the
setting SERVICE_HOSTS may be shorter now, and others may write to the store.
"""

from typing import Final

import structlog
from cachetools import LRUCache, TTLCache

from bot.concurrency.background import Background
from bot.domain.routing import thread_root
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.service.checks.microsoft import HOST_NOT_LISTED
from bot.service.checks.outcomes import Outcomes, Work
from bot.teams.net.addresses import AddressRefused, ServiceHosts, host_of
from bot.text.escape import one_line

LONGEST_HOST: Final = 200  # characters in the log; the address comes from outside
REMEMBERED: Final = 4096  # conversations; more than the channels and active chats of one tenant's approvers
READ_FOR: Final = 60.0  # seconds; another process may have learned another URL since

log = structlog.get_logger(__name__)


class ServiceUrls:
    """Service URLs by conversation. A thread has the URL of its channel."""

    def __init__(self, store: Store, *, default: str, hosts: ServiceHosts, outcomes: Outcomes, clock: Clock) -> None:
        """Take the default URL, for conversations without a remembered URL."""
        self._outcomes = outcomes
        self._store, self.default, self._hosts = store, default, hosts
        self._known: LRUCache[str, str] = LRUCache(REMEMBERED)
        self._stored: LRUCache[str, str] = LRUCache(REMEMBERED)
        self._read: TTLCache[str, str] = TTLCache(REMEMBERED, READ_FOR, timer=clock.epoch)  # "" if none is stored
        self._background = Background()

    async def of(self, conversation: str) -> str:
        """Return the service URL of a conversation; the default if no usable one is stored, or the store is down."""
        root = thread_root(conversation)
        if (known := self._known.get(root)) is not None:
            return known
        if (stored := self._read.get(root)) is None:
            try:
                stored = await self._store.service_url(root) or ""
            except StoreUnavailable:
                log.warning("service_url_not_read", conversation=root)
                return self.default
            self._read[root] = stored
        return stored if stored and self._listed(stored) else self.default

    async def of_chat(self, chat: PersonalChat) -> str:
        """Return the service URL of a personal chat if the token may be sent there, else that of its conversation."""
        if chat.service_url and self._listed(chat.service_url):
            return chat.service_url
        return await self.of(chat.conversation)

    def learn(self, conversation: str, service_url: str | None) -> None:
        """Remember the service URL of a received activity, if it is new and the token may be sent there.

        Writes it to the store in the background: an activity never waits for that. A failed write is repeated with the
        next activity of the conversation.
        """
        root = thread_root(conversation)
        if service_url is None or self._stored.get(root) == service_url or not self._listed(service_url):
            return
        self._known[root] = self._stored[root] = service_url  # set before the write, so that a burst writes once
        self._read.pop(root, None)
        self._background.begin(self._store_url(root, service_url))

    async def drain(self) -> None:
        """Wait for the writes in progress."""
        await self._background.drain()

    async def _store_url(self, root: str, service_url: str) -> None:
        try:
            await self._store.remember_service_url(root, service_url)
        except StoreUnavailable:
            self._stored.pop(root, None)
            log.warning("service_url_not_stored", conversation=root)

    def _listed(self, service_url: str) -> bool:
        try:
            self._hosts.base(service_url)
        except AddressRefused as refused:
            host = one_line(host_of(service_url), LONGEST_HOST)
            log.warning("service_url_refused", why=str(refused), host=host)
            self._outcomes.failed(Work.SERVICE_HOST, host, code=HOST_NOT_LISTED)
            return False
        return True
