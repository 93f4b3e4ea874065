"""Dispatches authenticated activities: clicks and commands to the services, membership changes to the caches."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Protocol

import structlog
from botbuilder.core import InvokeResponse, TurnContext
from botbuilder.core.teams import TeamsActivityHandler

from bot.domain.shown.replies.reply_views import MessageCode, MessageView
from bot.ports.store import StoreUnavailable
from bot.service.clicks.click import Answer, Click
from bot.service.commands import Reply
from bot.service.incoming import IncomingMessage
from bot.teams.inbound.adapter import INBOUND, answer_invoke
from bot.teams.inbound.personal_chats import PersonalChats
from bot.teams.inbound.replies import Replies, ReplyStyle
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.outbound.team_groups import TeamGroups
from bot.teams.people.directory import Directory
from bot.teams.wire.activity import Inbound
from bot.teams.wire.invoke import (
    CARD_ACTION,
    INVOKE,
    NotAClick,
    click_response,
    is_automatic,
    is_submit,
    read_click,
    refresh_response,
    rejection_response,
)
from bot.teams.wire.message_text import is_personal, message_text, stated_locale, stated_timezone
from bot.teams.wire.outgoing import Json
from bot.teams.wire.people import sender

# Other types (reactions, edits, read receipts, typing) need no action, and the SDK's handling of them can fail.
SERVED: Final = frozenset({"message", "conversationUpdate", "installationUpdate"})
# Events of a team that change no roster. Every other one may, also without naming members, as `channelUnshared` does.
# https://learn.microsoft.com/microsoftteams/platform/bots/how-to/conversations/subscribe-to-conversation-events
KEEP_ROSTERS: Final = frozenset({"channelcreated", "channelrenamed", "teamrenamed"})
RETURNS: Final = frozenset({"channelrestored", "teamunarchived", "teamrestored"})  # messages may be accepted again
INSTALLED: Final = frozenset({"add", "add-upgrade"})  # an upgrade may allow channels that refused the earlier version

log = structlog.get_logger(__name__)


class Clicks(Protocol):
    """Answers clicks. Implemented by bot.service.clicks.click_handler.ClickHandler."""

    async def click(self, click: Click, /) -> Answer:
        """Answer a click. Never raises."""

    async def refresh(self, click: Click, /) -> Mapping[str, object] | None:
        """Return the person's view of a card for an automatic refresh; None if there is none now. Never raises."""


class Commands(Protocol):
    """Answers commands. Implemented by bot.service.commands.CommandService."""

    async def answer(self, message: IncomingMessage, /) -> Reply:
        """Answer a message. Raises StoreUnavailable."""


class Installations(Protocol):
    """Handles events after which Teams may accept messages again. See bot.service.sources.installation_events."""

    async def arrived(self) -> None:
        """Handle an installation outside personal chats, or a channel or team that came back. Never raises."""


class TeamsHandler(TeamsActivityHandler):
    """Runs turns. `on_turn` is the entry point."""

    def __init__(
        self,
        *,
        clicks: Clicks,
        commands: Commands,
        installations: Installations,
        replies: Replies,
        directory: Directory,
        personal_chats: PersonalChats,
        service_urls: ServiceUrls,
        team_groups: TeamGroups,
    ) -> None:
        self._clicks, self._commands, self._installations, self._replies = clicks, commands, installations, replies
        self._directory, self._personal_chats = directory, personal_chats
        self._service_urls, self._team_groups = service_urls, team_groups

    async def on_turn(self, turn_context: TurnContext) -> None:
        """Learn the conversation's service URL and team and the sender's style, and dispatch the activity.

        A click must not wait for the store here. Invokes are not dispatched by the SDK, which copies each answer.
        """
        inbound = _inbound(turn_context)
        if not is_automatic(inbound):  # a refresh writes nothing
            self._learn(inbound)
        if inbound.wire.type == INVOKE:
            answer_invoke(turn_context, await self.on_invoke_activity(turn_context))
        elif inbound.wire.type in SERVED:
            await super().on_turn(turn_context)

    def _learn(self, inbound: Inbound) -> None:
        wire = inbound.wire
        if wire.type == INVOKE or (wire.type == "message" and not is_personal(inbound)):
            self._personal_chats.learn_style(inbound)  # `remember` stores that of other messages
        self._service_urls.learn(wire.conversation.id, wire.service_url)
        if team := wire.channel_data and wire.channel_data.team:
            self._team_groups.learn(wire.conversation.id, team=team.id, group_id=team.aad_group_id)

    # --- clicks

    async def on_invoke_activity(self, turn_context: TurnContext) -> InvokeResponse:
        """Answer a click. The endpoint writes the response to an unknown invoke."""
        inbound = _inbound(turn_context)
        if inbound.wire.name != CARD_ACTION:
            log.info("invoke_unknown", name=(inbound.wire.name or "")[:100])
            return InvokeResponse(status=HTTPStatus.NOT_IMPLEMENTED)
        return InvokeResponse(status=HTTPStatus.OK, body=await self._clicked(inbound))

    async def _clicked(self, inbound: Inbound) -> Json:
        try:
            click = read_click(inbound)
        except NotAClick as error:
            log.warning("click_not_understood", reason=error.reason)
            return rejection_response(error)
        if is_automatic(inbound):
            return refresh_response(await self._clicks.refresh(click))
        return click_response(await self._clicks.click(click))

    async def _submitted(self, inbound: Inbound) -> None:
        """Handle Action.Submit of an old client. The response has no card, so the person gets a message instead."""
        try:
            click = read_click(inbound)
        except NotAClick as error:
            log.warning("click_not_understood", reason=error.reason)
            await self._replies.reply_failed(inbound)
            return
        answer = await self._clicks.click(click)
        if answer.notice is not None:
            await self._replies.notify(inbound, click.person, answer.notice)

    # --- messages

    async def on_message_activity(self, turn_context: TurnContext) -> None:
        """Handle an Action.Submit, or answer a command in its conversation."""
        inbound = _inbound(turn_context)
        if is_submit(inbound):
            await self._submitted(inbound)  # first: the store and Teams may delay the personal chat by seconds
            await self._remember_chat(inbound)
        else:
            await self._remember_chat(inbound)
            await self._answer(inbound)

    async def _remember_chat(self, inbound: Inbound) -> None:
        if is_personal(inbound):
            await self._personal_chats.remember(inbound)

    async def _answer(self, inbound: Inbound) -> None:
        person = sender(inbound)
        if person is None:
            log.info("message_of_nobody_ignored")
            return
        if not self._replies.admits(inbound, person):
            return
        message = IncomingMessage(
            text=message_text(inbound),
            person=person,
            conversation=inbound.wire.conversation.id,
            personal=is_personal(inbound),
            locale=stated_locale(inbound),
            timezone=stated_timezone(inbound),
        )
        try:
            reply = await self._commands.answer(message)
        except StoreUnavailable:
            await self._replies.reply_failed(inbound)
        else:
            style = ReplyStyle(reply.locale, reply.timezone)
            if reply.private:
                await self._replies.reply_privately(inbound, person, reply.view, style)
            else:
                await self._replies.reply(inbound, reply.view, style)

    # --- membership and installation

    async def on_conversation_update_activity(self, turn_context: TurnContext) -> None:
        """Invalidate rosters that may have changed. Welcome a person whose personal chat is new.

        Outside personal chats, notify the service if the bot was added, or if a channel or team came back.
        """
        inbound = _inbound(turn_context)
        wire, event = inbound.wire, _team_event(inbound)
        if wire.members_added or wire.members_removed or (event is not None and event not in KEEP_ROSTERS):
            # Teams reports new members of a team in its General channel only, but the rosters of all channels change.
            self._directory.invalidate(wire.conversation.id if event is None else None)
        bot_added = any(added.id == wire.recipient.id for added in wire.members_added or ())
        if bot_added and is_personal(inbound):
            await self._welcome(inbound)
        elif bot_added or event in RETURNS:
            await self._installations.arrived()

    async def on_installation_update(self, turn_context: TurnContext) -> None:
        """Welcome a person who installs the bot, forget one who uninstalls it. An upgrade only stores the chat.

        Outside personal chats, invalidate the rosters, and notify the service of an installation or upgrade.
        """
        inbound = _inbound(turn_context)
        if not is_personal(inbound):
            self._directory.invalidate()  # the bot's rights in the team have changed
            if inbound.wire.action in INSTALLED:
                await self._installations.arrived()
            return
        match inbound.wire.action:
            case "remove":
                await self._personal_chats.forget(inbound)
            case "add":
                await self._welcome(inbound)
            case "add-upgrade":
                await self._personal_chats.remember(inbound)

    async def _welcome(self, inbound: Inbound) -> None:
        if await self._personal_chats.remember(inbound):
            await self._replies.reply(inbound, MessageView(MessageCode.WELCOME), self._replies.style(inbound))


def _team_event(inbound: Inbound) -> str | None:
    """Return the case-folded name of a team's event, empty if it has none; None for an event outside teams."""
    data = inbound.wire.channel_data
    if data is None or is_personal(inbound) or not (data.team or data.event_type):
        return None
    return (data.event_type or "").casefold()


def _inbound(context: TurnContext) -> Inbound:
    inbound: Inbound = context.turn_state[INBOUND]
    return inbound
