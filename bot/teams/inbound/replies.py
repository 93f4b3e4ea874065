"""Answers in a conversation: views and notices made into cards, in the right words, where the person reads them.

Owns the choice of locale, time zone and place. A reply that cannot be delivered is logged; there is nobody to tell.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from bot.domain.identity import Person
from bot.domain.routing import thread_root
from bot.domain.shown.reply_views import MessageCode, MessageView, View
from bot.domain.shown.views import Notice
from bot.ports.clock import Clock
from bot.ports.teams import Chat, ChatRefused, ChatThrottled, ChatUnavailable, Message, Posted
from bot.rendering import render, summary
from bot.service.configured import Configured
from bot.teams.outbound.rate_limit import SHARE, RateLimit
from bot.teams.wire.activity import Inbound
from bot.teams.wire.message_text import client_locale, is_personal, stated_locale

CHAT_ERRORS: Final = (ChatThrottled, ChatUnavailable, ChatRefused)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplyStyle:
    """How to word something."""

    locale: str
    timezone: str


class Replies:
    """Replies to activities, in measure: whoever writes without end is not always answered."""

    def __init__(self, chat: Chat, configured: Configured, clock: Clock) -> None:
        self._chat, self._configured = chat, configured
        self._pace = RateLimit(clock, share=SHARE)

    def manner(self, inbound: Inbound) -> ReplyStyle:
        """Return the channel's own manner; elsewhere the client's language and the first channel's time zone."""
        channel = self._configured.channel_at(inbound.wire.conversation.id)
        if channel:
            return ReplyStyle(channel.locale, channel.timezone)
        return ReplyStyle(client_locale(inbound), self._configured.channels[0].timezone)

    async def say(self, inbound: Inbound, view: View | Notice, manner: ReplyStyle) -> None:
        """Reply in the conversation, in its thread if it has threads."""
        wire = inbound.wire
        thread = Posted(wire.conversation.id, wire.reply_to_id or wire.id or "")
        try:
            self._pace.take(thread_root(wire.conversation.id))
            await self._chat.reply(thread, _message(view, manner))
        except CHAT_ERRORS as error:
            log.warning("reply_not_delivered", conversation=wire.conversation.id, error=type(error).__name__)

    async def tell(self, inbound: Inbound, person: Person, notice: Notice) -> None:
        """Tell one person what became of their press: in their own chat; failing that in the thread, less openly.

        Who presses without end is told by neither: their answers are not to take the turns of others' messages.
        """
        manner = self.manner(inbound)
        if is_personal(inbound):
            await self.say(inbound, notice, manner)
            return
        try:
            self._pace.take(person.object_id)
        except ChatThrottled:
            log.warning("reply_not_delivered", conversation=inbound.wire.conversation.id, error="ChatThrottled")
            return
        try:
            own = ReplyStyle(stated_locale(inbound) or manner.locale, manner.timezone)
            await self._chat.direct(person, _message(notice, own))
        except CHAT_ERRORS as error:
            log.info("notice_told_in_thread", person=person.object_id, error=type(error).__name__)
            await self.say(inbound, Notice(notice.code, notice.tone), manner)

    async def fail(self, inbound: Inbound) -> None:
        """Say that there is no answer just now."""
        await self.say(inbound, MessageView(MessageCode.FAILED), self.manner(inbound))


def _message(view: View | Notice, manner: ReplyStyle) -> Message:
    card = render(view, locale=manner.locale, timezone=manner.timezone)
    return Message(card, summary(view, locale=manner.locale))
