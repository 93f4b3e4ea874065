"""Replies to activities: views and notices as cards, in the right language and conversation.

Replies are rate-limited so that they never delay cards, and so are a person's commands. A reply that fails is repeated
once, after the turn, because Teams sends an activity again if its turn takes too long. A reply that cannot be delivered
is logged.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from bot.concurrency.background import Background
from bot.domain.configuration import PrivateReplies
from bot.domain.identity import Person
from bot.domain.routing import thread_root
from bot.domain.shown.replies.reply_views import MessageCode, MessageView, View
from bot.domain.shown.views import Notice
from bot.ports.clock import Clock
from bot.ports.teams import Chat, ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message, Posted
from bot.rendering import render, summary
from bot.service.current_configuration import CurrentConfiguration
from bot.teams.outbound.rate_limit import SHARE, RateLimit
from bot.teams.wire.activity import Inbound
from bot.teams.wire.message_text import is_personal, stated_locale, stated_timezone

CHAT_ERRORS: Final = (ChatThrottled, ChatUnavailable, ChatRefused)
REPEAT_AFTER: Final = 3.0  # seconds; a conversation that failed once is closed for two (bot.teams.outbound)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplyStyle:
    """Language and time zone of a reply."""

    locale: str
    timezone: str


class Replies:
    """Sends replies to activities: in the conversation, or to the person."""

    def __init__(self, chat: Chat, configuration: CurrentConfiguration, clock: Clock) -> None:
        self._chat, self._configuration, self._clock = chat, configuration, clock
        self._rate_limit, self._commands = RateLimit(clock, share=SHARE), RateLimit(clock, share=SHARE)
        self._repeats = Background()

    async def close(self) -> None:
        """Drop the replies that wait to be repeated."""
        for repeat in self._repeats:
            repeat.cancel()
        await self._repeats.drain()

    def style(self, inbound: Inbound) -> ReplyStyle:
        """Return the channel's style. Outside the channels: the client's, and the first channel's if it is unknown."""
        channel = self._configuration.value.channel_at(inbound.wire.conversation.id)
        if channel:
            return ReplyStyle(channel.locale, channel.timezone)
        first = self._configuration.value.channels[0]
        return _own_style(inbound, ReplyStyle(first.locale, first.timezone))

    def admits(self, inbound: Inbound, person: Person) -> bool:
        """Count a command of a person; return False above the person's limit. No one gets an answer then.

        Ask before any work for the command: some read many rows, one after another, and hold a turn meanwhile.
        """
        return _is_taken(self._commands, inbound, person.object_id)

    async def reply(self, inbound: Inbound, view: View | Notice, style: ReplyStyle) -> None:
        """Reply in the activity's conversation; in a channel, reply in the thread."""
        wire = inbound.wire
        if not _is_taken(self._rate_limit, inbound, thread_root(wire.conversation.id)):
            return
        thread = Posted(wire.conversation.id, wire.reply_to_id or wire.id)
        message = _message(view, style)
        try:
            await self._chat.reply(thread, message)
        except CHAT_ERRORS as error:
            if _may_be_false(error):
                self._repeats.begin(self._repeat(thread, message))
            else:
                _log_lost(thread, error)

    async def _repeat(self, thread: Posted, message: Message) -> None:
        await self._clock.sleep(REPEAT_AFTER)
        try:
            await self._chat.reply(thread, message)
        except CHAT_ERRORS as error:
            _log_lost(thread, error)

    async def reply_failed(self, inbound: Inbound) -> None:
        """Reply that the bot cannot answer now."""
        await self.reply(inbound, MessageView(MessageCode.FAILED), self.style(inbound))

    async def reply_privately(self, inbound: Inbound, person: Person, view: View, style: ReplyStyle) -> None:
        """Send an answer that only the person may see, as [teams] `private_replies` says.

        If that fails, say in the thread that they must open the chat first. Answers above the person's rate limit are
        not sent.
        """
        if not _is_taken(self._rate_limit, inbound, person.object_id):
            return
        try:
            await self._send_to_one(inbound, person, _message(view, style))
        except CHAT_ERRORS as error:
            log.info("answer_not_delivered_privately", person=person.object_id, error=type(error).__name__)
            await self.reply(inbound, MessageView(MessageCode.CHAT_FIRST), self.style(inbound))

    async def notify(self, inbound: Inbound, person: Person, notice: Notice) -> None:
        """Send the result of a click to the person; if that fails, post it in the thread without details.

        A click in a personal chat gets a reply there. Results above the person's rate limit are not sent, because
        repeated clicks must not delay messages to others.
        """
        style = self.style(inbound)
        if is_personal(inbound):
            await self.reply(inbound, notice, style)
            return
        if not _is_taken(self._rate_limit, inbound, person.object_id):
            return
        try:
            await self._send_to_one(inbound, person, _message(notice, _own_style(inbound, style)))
        except CHAT_ERRORS as error:
            log.info("notice_told_in_thread", person=person.object_id, error=type(error).__name__)
            await self.reply(inbound, Notice(notice.code, notice.tone), style)

    async def _send_to_one(self, inbound: Inbound, person: Person, message: Message) -> None:
        """Send a message that only the person sees: in the channel if that is configured and works, else in their chat.

        Raises one of CHAT_ERRORS.
        """
        if self._configuration.value.private_replies is PrivateReplies.TARGETED:
            wire = inbound.wire
            try:
                await self._chat.reply_to_one(
                    Posted(wire.conversation.id, wire.reply_to_id or wire.id), person, message
                )
            except CHAT_ERRORS as error:
                log.info("targeted_message_refused", person=person.object_id, error=type(error).__name__)
            else:
                return
        await self._chat.direct(person, message)


def _is_taken(limit: RateLimit, inbound: Inbound, reader: str) -> bool:
    """Count an answer or a command for a conversation or a person; return False, and log the loss, above the limit."""
    try:
        limit.take(reader)
    except ChatThrottled as error:
        _log_lost(Posted(inbound.wire.conversation.id, None), error)
        return False
    return True


def _own_style(inbound: Inbound, otherwise: ReplyStyle) -> ReplyStyle:
    """Return the style of the sender's client, as far as the activity states it."""
    return ReplyStyle(stated_locale(inbound) or otherwise.locale, stated_timezone(inbound) or otherwise.timezone)


def _may_be_false(error: Exception) -> bool:
    """Return whether a second attempt may succeed. It cannot before Teams allows it, or if the message is too large."""
    match error:
        case ChatThrottled(retry_after=seconds):
            return seconds <= REPEAT_AFTER  # another message has just failed in this conversation
        case ChatRefused(problem=problem):
            return problem is not ChatProblem.TOO_LARGE
        case _:
            return True


def _log_lost(thread: Posted, error: Exception) -> None:
    log.warning("reply_not_delivered", conversation=thread.conversation, error=type(error).__name__)


def _message(view: View | Notice, style: ReplyStyle) -> Message:
    card = render(view, locale=style.locale, timezone=style.timezone)
    return Message(card, summary(view, locale=style.locale))
