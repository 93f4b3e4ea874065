"""Where Teams wants the messages for a conversation: remembered from what it sent, else the configured address.

Owns that choice. Only addresses to which the bot's token may be sent are remembered, and what is stored is data from
outside all the same: SERVICE_HOSTS may have become shorter, and others may write to a store.
"""

from typing import Final

import structlog
from cachetools import LRUCache

from bot.domain.routing import thread_root
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.teams.net.addresses import AddressRefused, ServiceHosts

REMEMBERED: Final = 4096  # conversations; more than the channels and active chats of one tenant's approvers

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ServiceUrls:
    """Service addresses by conversation, threads being part of their channel."""

    def __init__(self, store: Store, *, default: str, hosts: ServiceHosts) -> None:
        """Take the address for conversations that nothing came from yet."""
        self._store, self.default, self._hosts = store, default, hosts
        self._known: LRUCache[str, str] = LRUCache(REMEMBERED)

    async def of(self, conversation: str) -> str:
        """Return the service address of a conversation; the configured one while the store does not answer."""
        root = thread_root(conversation)
        if (known := self._known.get(root)) is not None:
            return known
        try:
            stored = await self._store.service_url(root)
        except StoreUnavailable:
            log.warning("service_url_not_read", conversation=root)
            return self.default
        return stored if stored and self._listed(stored) else self.default

    async def of_chat(self, chat: PersonalChat) -> str:
        """Return the service address of a personal chat: what it was learnt with, if the token may still go there."""
        if chat.service_url and self._listed(chat.service_url):
            return chat.service_url
        return await self.of(chat.conversation)

    async def learn(self, conversation: str, service_url: str | None) -> None:
        """Remember where an activity of a conversation came from; writes only what is new."""
        root = thread_root(conversation)
        if service_url is None or self._known.get(root) == service_url or not self._listed(service_url):
            return
        self._known[root] = service_url  # before the write: a rush of activities writes once
        try:
            await self._store.remember_service_url(root, service_url)
        except StoreUnavailable:
            self._known.pop(root, None)
            log.warning("service_url_not_stored", conversation=root)

    def _listed(self, service_url: str) -> bool:
        try:
            self._hosts.base(service_url)
        except AddressRefused as refused:
            log.warning("service_url_refused", why=str(refused))
            return False
        return True
