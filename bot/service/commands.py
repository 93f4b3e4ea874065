"""Commands that people write to the bot, each a method of `CommandService` that returns a view.

`bot/README.md` ("How to add a command") lists the steps. Views hold facts, not texts. This module must not know Teams.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, count
from typing import assert_never

from bot.concurrency.single_flight import SingleFlight
from bot.domain.configuration import PrivateReplies
from bot.domain.record import Record
from bot.domain.routing import Channel, thread_root
from bot.domain.shown.card import card_view
from bot.domain.shown.decided import decision_lines
from bot.domain.shown.replies.commands import BotCommand
from bot.domain.shown.replies.reply_views import (
    HelpView,
    HistoryKind,
    HistoryView,
    MessageCode,
    MessageView,
    PendingView,
    SetupView,
    View,
)
from bot.domain.shown.replies.request_lines import request_line
from bot.ports.clock import Clock
from bot.ports.teams import People
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.permission_check import PermissionCheck
from bot.service.incoming import IncomingMessage
from bot.service.jump_links import JumpLinks
from bot.service.past_requests import PastRequests, RequestHistory
from bot.service.pending import LONGEST_LIST, MOST_COUNTED, PendingRequests
from bot.service.reader import Reader, Readers, card_in
from bot.service.rows import Rows

HISTORY_DAYS = 30  # of `history`, unless the person states another number
OWN_DAYS = 90  # of `my requests`
MOST_DAYS = 365  # rows are kept for about a year
LONGEST_ECHO = 40  # characters of the person's own words in an answer
_PRIVATE = frozenset({BotCommand.MY_REQUESTS, BotCommand.HISTORY})  # may show more than the channel's members see


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and in which locale and time zone to show it: the reader's if only one person reads it."""

    view: View
    locale: str
    timezone: str
    private: bool = False  # written in a channel, and for the person alone


class CommandService:
    """Answers commands."""

    def __init__(
        self,
        *,
        rows: Rows,
        people: People,
        permission: PermissionCheck,
        clock: Clock,
        configuration: CurrentConfiguration,
        links: JumpLinks,
    ) -> None:
        self._rows, self._clock, self._configuration = rows, clock, configuration
        self._links = links
        self._readers = Readers(people=people, permission=permission, configuration=configuration, links=links)
        pending = PendingRequests(store=rows.store, clock=clock, readers=self._readers, links=links)
        self._listing = SingleFlight(pending.find)  # a repeated command shares the result
        self._past = RequestHistory(rows.store, configuration)

    async def answer(self, message: IncomingMessage) -> Reply:
        """Answer a message. Raises StoreUnavailable."""
        view = await self._view(message)
        here = self._configuration.value.channel_at(message.conversation)
        private = self._is_private(message)
        shared, channel = here is not None and not private, here or self._configuration.value.channels[0]
        locale, timezone = (None, None) if shared else (message.locale, message.timezone)
        return Reply(view, locale or channel.locale, timezone or channel.timezone, private=private)

    def _is_private(self, message: IncomingMessage) -> bool:
        """True for an answer that others in the channel must not see, or need not."""
        targeted = self._configuration.value.private_replies is PrivateReplies.TARGETED
        return not message.personal and (targeted or message.command() in _PRIVATE)

    async def _view(self, message: IncomingMessage) -> View:
        match message.command():
            case BotCommand.HELP:
                return HelpView(personal=message.personal)
            case BotCommand.PENDING:
                return await self._pending(message)
            case BotCommand.STATUS:
                return await self._status(message)
            case BotCommand.MY_REQUESTS:
                return await self._my_requests(message)
            case BotCommand.HISTORY:
                return await self._history(message)
            case BotCommand.SETUP:
                return self._setup(message)
            case None:
                return MessageView(MessageCode.UNKNOWN_COMMAND, detail=message.first_word[:LONGEST_ECHO])
            case other:
                assert_never(other)

    def _setup(self, message: IncomingMessage) -> View:
        if message.personal:
            return MessageView(MessageCode.CHANNEL_ONLY)
        if channel := self._configuration.value.channel_at(message.conversation):
            return MessageView(MessageCode.ALREADY_SET_UP, detail=channel.name)
        return setup_view(message.conversation, self._configuration.value.channels)

    # --- pending

    async def _pending(self, message: IncomingMessage) -> View:
        conversation = "" if message.personal else thread_root(message.conversation)
        person = message.person if message.personal or self._is_private(message) else None
        found = await self._listing.join(conversation, person)
        if not found.lines:
            return MessageView(MessageCode.NOTHING_PENDING)
        return PendingView(
            found.lines,
            self._clock.now(),
            personal=message.personal,
            more=found.more,
            counted=found.more < MOST_COUNTED,
        )

    # --- my requests and history

    async def _my_requests(self, message: IncomingMessage) -> View:
        reader = await self._readers.of(message.person)
        since = self._clock.now() - timedelta(days=OWN_DAYS)
        return await self._past_view(HistoryKind.OWN, await self._past.own(reader, since), reader, since)

    async def _history(self, message: IncomingMessage) -> View:
        """Show what the person could see on cards: their own requests, and those of their channels."""
        term, days = message.search()
        reader = await self._readers.of(message.person)
        since = self._clock.now() - timedelta(days=min(max(HISTORY_DAYS if days is None else days, 1), MOST_DAYS))
        if not term:
            found = await self._past.of_channels(reader, since)
            return await self._past_view(HistoryKind.CHANNELS, found, reader, since)
        found = await self._past.about(reader, term, since)
        return replace(await self._past_view(HistoryKind.TERM, found, reader, since), term=term[:LONGEST_ECHO])

    async def _past_view(self, kind: HistoryKind, found: PastRequests, reader: Reader, since: datetime) -> HistoryView:
        shown, now = found.rows[:LONGEST_LIST], self._clock.now()
        began = await self._rows.store.history_began(now)
        lines = [
            replace(
                request_line(row, now, own=reader.owns(row), link=await reader.link(row)),
                decision=next(iter(decision_lines(row)[-1:]), None),
            )
            for row in shown
        ]
        return HistoryView(
            kind,
            tuple(lines),
            since,
            began=began if began > since else None,
            more=len(found.rows) - len(shown),
            counted=found.complete,
        )

    # --- status

    async def _status(self, message: IncomingMessage) -> View:
        """Show a request in a channel that has its card, or to its requester or a channel member in a personal chat."""
        channel = self._configuration.value.channel_at(message.conversation)
        reader = await self._readers.of(message.person)
        rows = await self._rows.store.find(message.request_id) if message.request_id else ()
        for row in rows:
            home = self._configuration.value.home(row)
            if row.request and home and await _shows(row, message, reader):
                view = card_view(row, channel or home, self._configuration.value, self._clock.now())
                link = await reader.link(row) if message.personal else await self._link_in(row, message.conversation)
                return replace(
                    view, buttons=False, revoke=False, end_sessions=False, step="", no_buttons=None, link=link
                )
        return MessageView(MessageCode.NOT_FOUND, detail=message.request_id or message.rest[:LONGEST_ECHO])

    async def _link_in(self, row: Record, conversation: str) -> str | None:
        card = card_in(row, conversation)
        return await self._links.to(card) if card else None


async def _shows(row: Record, message: IncomingMessage, reader: Reader) -> bool:
    """True if the answer to a message may show the request: to the channel's members, or to the person alone."""
    if message.personal:
        return await reader.sees(row)
    return card_in(row, message.conversation) is not None


def setup_view(conversation: str, channels: Sequence[Channel]) -> SetupView:
    """Return a [[channels]] entry for this conversation, ready to paste after the existing ones in node-access.toml.

    An only channel is marked as the fallback, because with a second one that is required.
    """
    taken = {channel.name for channel in channels}
    numbered = (f"approvals-{number}" for number in count(2))
    name = next(each for each in chain(["approvals"], numbered) if each not in taken)
    toml = (
        f'[[channels]]\nname = "{name}"\nconversation = "{_toml_text(thread_root(conversation))}"\n'
        'approvers = ["members"]\n'
        'approver_role = "arn:aws:iam::{account}:role/NodeAccessApprover"\n'
        'match = { tags = { Environment = ["production"] } }\n'
    )
    alone = (channel.name for channel in channels if channel.fallback and len(channels) == 1)
    return SetupView(toml, fallback=next(alone, None))


def _toml_text(text: str) -> str:
    """Remove quotes, backslashes and unprintable characters, which no conversation id has."""
    return "".join(character for character in text if character.isprintable() and character not in '"\\')
