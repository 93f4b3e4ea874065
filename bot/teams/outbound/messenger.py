"""The Chat port over the Connector: chooses the conversation of each message, and limits and orders the messages.

Conversations are channels with threads, group chats and personal chats. Callers hold a lease, so a reached limit raises
ChatThrottled instead of waiting, and every call ends within the lease.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final
from weakref import WeakValueDictionary

import structlog

from bot.domain.identity import Person
from bot.domain.routing import is_channel, thread_root
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message, Posted
from bot.teams.outbound.circuit_breaker import BUSY_PAUSE, CircuitBreaker
from bot.teams.outbound.connector import CallKind, Connector, counted
from bot.teams.outbound.rate_limit import RateLimit
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.wire.outgoing import as_activity
from bot.telemetry import Telemetry

THREAD: Final = ";messageid="
MOST_DIRECTS: Final = 5  # direct messages at once; eight requests are reconciled at a time, so some are left for cards
PATIENCE: Final = 24.0  # seconds for one message, with retries and the wait for its turn; a lease lasts 30

# Calls that do not queue behind new messages: a decided card must not keep its buttons, and a person waits for a reply.
_UNBOOKED: Final = frozenset({CallKind.UPDATE, CallKind.TARGETED, CallKind.CHAT})

log = structlog.get_logger(__name__)
_SENT: ContextVar[list[CallKind]] = ContextVar("sent")  # calls that may have posted the current message


def thread_of(posted: Posted) -> str:
    """Return the conversation for replies to a message. If a channel's message has no id, replies start a thread."""
    if posted.activity_id is None or THREAD in posted.conversation or not is_channel(posted.conversation):
        return posted.conversation
    return f"{posted.conversation}{THREAD}{posted.activity_id}"


def _place(chat: PersonalChat) -> tuple[str, str]:
    return chat.conversation, chat.service_url


class Messenger:
    """Implements bot.ports.teams.Chat. Sending one message takes at most `patience` seconds, with retries."""

    def __init__(
        self,
        connector: Connector,
        *,
        store: Store,
        service_urls: ServiceUrls,
        clock: Clock,
        tenant_id: str,
        telemetry: Telemetry,
        patience: float = PATIENCE,
    ) -> None:
        self._connector, self._store, self._service_urls = connector, store, service_urls
        self._tenant_id, self._telemetry = tenant_id, telemetry
        self._patience, self._directs = patience, 0
        self._rate_limit, self._circuit_breaker = RateLimit(clock), CircuitBreaker(clock, telemetry)
        self._order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def post(self, conversation: str, message: Message) -> Posted:
        """Start a thread in a channel, or post in a group chat."""
        if not is_channel(conversation):
            async with self._in_time():
                return await self._send(CallKind.POST, conversation, message)
        channel = thread_root(conversation)
        async with self._in_time(), self._limited(CallKind.POST, channel):
            thread = await self._connector.create_channel_thread(
                await self._service_urls.of(channel),
                channel=channel,
                tenant_id=self._tenant_id,
                activity=as_activity(message),
            )
        place = thread.conversation if thread.conversation and THREAD in thread.conversation else channel
        posted = Posted(place, thread.activity or place.partition(THREAD)[2] or None)
        return Posted(thread_of(posted), posted.activity_id)

    async def update(self, posted: Posted, message: Message) -> None:
        """Replace a message in place. Raises ChatRefused for a message without an id."""
        if posted.activity_id is None:
            raise ChatRefused(ChatProblem.ACTIVITY_NOT_FOUND, "no id")
        async with self._in_time(ambiguous=False), self._turn(CallKind.UPDATE, posted.conversation):
            await self._connector.update_activity(
                await self._service_urls.of(posted.conversation),
                conversation=posted.conversation,
                activity_id=posted.activity_id,
                activity=as_activity(message),
            )

    async def reply(self, posted: Posted, message: Message) -> Posted:
        """Post into the thread of a message."""
        async with self._in_time():
            return await self._send(CallKind.REPLY, thread_of(posted), message)

    async def reply_to_one(self, posted: Posted, person: Person, message: Message) -> None:
        """Post into the thread of a message, visible to one member of the channel only. Needs the person's Teams id."""
        if not person.teams_id:
            raise ChatRefused(ChatProblem.UNKNOWN_PERSON)
        conversation = thread_of(posted)
        async with self._in_time(), self._turn(CallKind.TARGETED, conversation):
            await self._connector.post_to_member(
                await self._service_urls.of(conversation),
                conversation=conversation,
                member=person.teams_id,
                activity=as_activity(message),
            )

    async def direct(self, person: Person, message: Message) -> Posted:
        """Post into a person's chat with the bot. If Teams does not know the stored chat, request the current one.

        Raises ChatThrottled also while MOST_DIRECTS direct messages are being sent.
        """
        if self._directs >= MOST_DIRECTS:
            raise ChatThrottled(BUSY_PAUSE)
        self._directs += 1
        try:
            async with self._in_time():
                return await self._direct(person, message)
        finally:
            self._directs -= 1

    async def _direct(self, person: Person, message: Message) -> Posted:
        stored = await self._remembered(person)
        if stored is None:
            return await self._send_into_new(await self._find(person), message)
        try:
            return await self._send_into(stored, message)
        except ChatRefused as refused:
            if refused.problem is not ChatProblem.CONVERSATION_NOT_FOUND:
                raise
            found = await self._find(person)
            if _place(found) == _place(stored):  # the refusal is false, or it lasts: the caller tries again later
                raise
        return await self._send_into_new(replace(found, locale=stored.locale, timezone=stored.timezone), message)

    async def _send_into_new(self, chat: PersonalChat, message: Message) -> Posted:
        posted = await self._send_into(chat, message)
        await self._remember(chat)
        return posted

    async def _send_into(self, chat: PersonalChat, message: Message) -> Posted:
        service_url = await self._service_urls.of_chat(chat)
        return await self._send(CallKind.DIRECT, chat.conversation, message, service_url=service_url)

    async def _send(
        self, kind: CallKind, conversation: str, message: Message, *, service_url: str | None = None
    ) -> Posted:
        async with self._turn(kind, conversation):
            activity_id = await self._connector.post_to_conversation(
                service_url or await self._service_urls.of(conversation),
                conversation=conversation,
                activity=as_activity(message),
            )
        return Posted(conversation, activity_id)

    @asynccontextmanager
    async def _in_time(self, *, ambiguous: bool = True) -> AsyncIterator[None]:
        """Limit the time for one message. Raises ChatUnavailable, ambiguous if a new message may be in Teams.

        Pass `ambiguous=False` for an update, which makes no new message.
        """
        token = _SENT.set([])
        try:
            async with asyncio.timeout(self._patience):
                yield
        except TimeoutError as error:
            raise ChatUnavailable("too_slow", ambiguous=ambiguous and bool(_SENT.get())) from error
        finally:
            _SENT.reset(token)

    @asynccontextmanager
    async def _turn(self, kind: CallKind, conversation: str) -> AsyncIterator[None]:
        """Wait for earlier calls to this conversation, and apply its limits.

        Messages are sent one at a time, in the order of the calls.
        """
        lock = self._order.setdefault(conversation, asyncio.Lock())
        async with lock, self._limited(kind, conversation):
            yield

    @asynccontextmanager
    async def _limited(self, kind: CallKind, conversation: str) -> AsyncIterator[None]:
        """Apply circuit breaker and rate limit. The threads of a channel share its limits."""
        root = thread_root(conversation)
        with self._circuit_breaker.passing(root):
            take = self._rate_limit.take if kind in _UNBOOKED else self._rate_limit.take_or_book
            take(root)
            if kind is not CallKind.CHAT:
                _SENT.get().append(kind)
            try:
                with counted(self._telemetry, kind):
                    yield
            except ChatThrottled as throttled:
                self._circuit_breaker.throttled(root, throttled.retry_after)
                raise

    # --- personal chats

    async def _remembered(self, person: Person) -> PersonalChat | None:
        try:
            return await self._store.personal_chat(person.object_id)
        except StoreUnavailable:
            log.warning("personal_chat_not_read", person=person.object_id)
            return None  # Teams can return the chat too

    async def _find(self, person: Person) -> PersonalChat:
        """Request the chat with a person from Teams. Repeated calls return the same chat.

        Raises ConnectorError, and ChatRefused with UNKNOWN_PERSON if Teams does not know the person.
        """
        try:
            async with self._limited(CallKind.CHAT, person.object_id):
                conversation = await self._connector.create_personal_conversation(
                    self._service_urls.default, member=person.teams_id or person.object_id, tenant_id=self._tenant_id
                )
        except ChatRefused as refused:
            if refused.problem is not ChatProblem.BAD_REQUEST:
                raise
            # the person's id is the only part of the request that can be wrong
            raise ChatRefused(ChatProblem.UNKNOWN_PERSON, refused.detail) from refused
        return PersonalChat(person, conversation, self._service_urls.default)

    async def _remember(self, chat: PersonalChat) -> None:
        try:
            await self._store.remember_chat(chat)
        except StoreUnavailable:
            log.warning("personal_chat_not_stored", person=chat.person.object_id)
