"""The bot's turns: an authenticated activity in, a decision, a reply or a memory out.

Owns which activity means what. What a click or a command does is the services' matter; nothing here decides.
"""

from http import HTTPStatus
from typing import Final, Protocol

import structlog
from botbuilder.core import InvokeResponse, TurnContext
from botbuilder.core.teams import TeamsActivityHandler

from bot.domain.shown.reply_views import MessageCode, MessageView
from bot.ports.store import StoreUnavailable
from bot.service.clicks.click import Answer, Click
from bot.service.commands import IncomingMessage, Reply
from bot.teams.inbound.adapter import INBOUND
from bot.teams.inbound.personal_chats import PersonalChats
from bot.teams.inbound.replies import Replies, ReplyStyle
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.directory import Directory
from bot.teams.wire.activity import Inbound
from bot.teams.wire.invoke import CARD_ACTION, NotAClick, is_submit, read_click, response_to, response_to_oddity
from bot.teams.wire.message_text import client_locale, is_personal, message_text
from bot.teams.wire.outgoing import Json
from bot.teams.wire.people import sender

# The rest (reactions, edits, read receipts, typing) asks nothing of the bot; the SDK's handling of it can fail.
SERVED: Final = frozenset({"message", "invoke", "conversationUpdate", "installationUpdate"})

log = structlog.get_logger(__name__)


class Clicks(Protocol):
    """Answers clicks: bot.service.clicks.handler.ClickHandler."""

    async def click(self, click: Click) -> Answer:
        """Answer a click; never raises."""


class Commands(Protocol):
    """Answers commands: bot.service.commands.CommandService."""

    async def answer(self, said: IncomingMessage) -> Reply:
        """Answer a message. Raises StoreUnavailable."""


class Installations(Protocol):
    """Hears that the bot was added to a team: bot.service.sources.installation_events.InstallationEvents."""

    async def arrived(self) -> None:
        """Take note of it; never raises."""


class TeamsHandler(TeamsActivityHandler):
    """Runs one turn; `on_turn` is the adapter's entry."""

    def __init__(
        self,
        *,
        clicks: Clicks,
        talk: Commands,
        welcome: Installations,
        replies: Replies,
        directory: Directory,
        acquaintance: PersonalChats,
        service_urls: ServiceUrls,
    ) -> None:
        self._clicks, self._talk, self._welcome, self._replies = clicks, talk, welcome, replies
        self._directory, self._acquaintance, self._service_urls = directory, acquaintance, service_urls

    async def on_turn(self, turn_context: TurnContext) -> None:
        """Learn where the conversation's messages go, then serve the activity."""
        wire = _inbound(turn_context).wire
        await self._service_urls.learn(wire.conversation.id, wire.service_url)
        if wire.type in SERVED:
            await super().on_turn(turn_context)

    # --- clicks

    async def on_invoke_activity(self, turn_context: TurnContext) -> InvokeResponse:
        """Answer a click with what its person gets to see; the endpoint words what the bot does not know."""
        inbound = _inbound(turn_context)
        if inbound.wire.name != CARD_ACTION:
            log.info("invoke_unknown", name=(inbound.wire.name or "")[:100])
            return InvokeResponse(status=HTTPStatus.NOT_IMPLEMENTED)
        return InvokeResponse(status=HTTPStatus.OK, body=await self._clicked(inbound))

    async def _clicked(self, inbound: Inbound) -> Json:
        try:
            click = read_click(inbound)
        except NotAClick as oddity:
            log.warning("click_not_understood", reason=oddity.reason)
            return response_to_oddity(oddity)
        return response_to(await self._clicks.click(click))

    async def _submitted(self, inbound: Inbound) -> None:
        """Serve an Action.Submit of an old client: no card can be returned, and the posted one is updated anyway."""
        try:
            click = read_click(inbound)
        except NotAClick as oddity:
            log.warning("click_not_understood", reason=oddity.reason)
            await self._replies.fail(inbound)
            return
        answer = await self._clicks.click(click)
        if answer.notice is not None:
            await self._replies.tell(inbound, click.person, answer.notice)

    # --- words

    async def on_message_activity(self, turn_context: TurnContext) -> None:
        """Serve a press of Action.Submit, or answer a command where it was written."""
        inbound = _inbound(turn_context)
        if is_personal(inbound):
            await self._acquaintance.meet(inbound)
        if is_submit(inbound):
            await self._submitted(inbound)
        else:
            await self._answer(inbound)

    async def _answer(self, inbound: Inbound) -> None:
        person = sender(inbound)
        if person is None:
            log.info("message_of_nobody_ignored")
            return
        said = IncomingMessage(
            text=message_text(inbound),
            person=person,
            conversation=inbound.wire.conversation.id,
            personal=is_personal(inbound),
            locale=client_locale(inbound),
        )
        try:
            reply = await self._talk.answer(said)
        except StoreUnavailable:
            await self._replies.fail(inbound)
        else:
            await self._replies.say(inbound, reply.view, ReplyStyle(reply.locale, reply.timezone))

    # --- who is where

    async def on_conversation_update_activity(self, turn_context: TurnContext) -> None:
        """Believe rosters no longer when people come or go; greet who has the bot now."""
        inbound = _inbound(turn_context)
        wire = inbound.wire
        if wire.members_added or wire.members_removed:
            # Teams tells of a team's members in its General channel alone, and every channel's roster has them.
            self._directory.invalidate(None if wire.channel_data and wire.channel_data.team else wire.conversation.id)
        if any(added.id == wire.recipient.id for added in wire.members_added or ()):
            await (self._greet(inbound) if is_personal(inbound) else self._welcome.arrived())

    async def on_installation_update(self, turn_context: TurnContext) -> None:
        """Greet who installs the bot, forget who uninstalls it; an upgrade is neither."""
        inbound = _inbound(turn_context)
        if not is_personal(inbound):
            if inbound.wire.action == "add":
                await self._welcome.arrived()
            return
        match inbound.wire.action:
            case "remove":
                await self._acquaintance.forget(inbound)
            case "add":
                await self._greet(inbound)
            case "add-upgrade":
                await self._acquaintance.meet(inbound)

    async def _greet(self, inbound: Inbound) -> None:
        if await self._acquaintance.meet(inbound):
            await self._replies.say(inbound, MessageView(MessageCode.WELCOME), self._replies.manner(inbound))


def _inbound(context: TurnContext) -> Inbound:
    inbound: Inbound = context.turn_state[INBOUND]
    return inbound
