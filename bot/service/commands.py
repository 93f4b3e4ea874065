"""Commands that people write to the bot, each a method of `CommandService` that returns a view.

`bot/README.md` ("How to add a command") lists the steps. Views hold facts, not texts. This module must not know Teams.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Final, assert_never

import regex

from bot.concurrency.single_flight import SingleFlight
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Status, Verdict
from bot.domain.routing import Channel, same_conversation, thread_root
from bot.domain.shown.card import card_view, request_line
from bot.domain.shown.commands import BotCommand
from bot.domain.shown.reply_views import HelpView, MessageCode, MessageView, PendingView, RequestLine, SetupView, View
from bot.ports.clock import Clock
from bot.ports.teams import People
from bot.rendering.command_names import COMMAND_NAMES
from bot.service.clicks.permission_check import Actor, PermissionCheck
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.text.names import caseless, folded

ANY_COMMENT = "-"  # the list of requests that a person may decide assumes a comment where one is required
LONGEST_LIST = 15  # requests in one answer; more do not fit on a phone or into 28 KB
MOST_COUNTED = 85  # further requests that are counted; reading all rows could take seconds
LONGEST_ECHO = 40  # characters of the person's own words in an answer
_COMMANDS: Final[Mapping[str, BotCommand]] = {
    caseless(name): command for names in COMMAND_NAMES.values() for command, name in names.items()
}
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")
# In a folded text. Keyboards and Word write other dashes for the hyphen, a Japanese keyboard the mark of a long vowel.
_ID = regex.compile(r"(?<![0-9a-z])oi[\p{Pd}\u2212\u30fc]([0-9a-f]{12})(?![0-9a-z])")


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message to the bot, without mentions. `text` is a command and its argument, as a person types them."""

    text: str
    person: Person
    conversation: str
    personal: bool
    locale: str = "en"  # locale of the person's client

    @property
    def first_word(self) -> str:
        """The first word, as the person wrote it; empty in an empty message."""
        return next(iter(self.text.split(maxsplit=1)), "")

    @property
    def rest(self) -> str:
        """The text after the first word."""
        return "".join(self.text.split(maxsplit=1)[1:])

    @property
    def request_id(self) -> str | None:
        """The first id of a request in the text, or None."""
        found = _ID.search(caseless(self.text))
        return f"oi-{found[1]}" if found else None

    def command(self) -> BotCommand | None:
        """Return the command with whose name the text begins, or None. A text without words asks for help.

        Punctuation around the name does not count. For a text that begins with a request's id, return STATUS.
        """
        text = caseless(self.text)
        word = _WORD.search(text)
        if word is None:
            return BotCommand.HELP
        if _ID.match(text, word.start()):
            return BotCommand.STATUS
        # Japanese has no blanks, so a Japanese name may be followed by anything
        begun = (each for name, each in _COMMANDS.items() if not name.isascii() and word[0].startswith(name))
        return _COMMANDS.get(word[0]) or next(begun, None)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and in which locale and time zone to show it."""

    view: View
    locale: str
    timezone: str


class CommandService:
    """Answers commands."""

    def __init__(self, *, rows: Rows, people: People, clock: Clock, configuration: CurrentConfiguration) -> None:
        self._rows, self._people, self._clock, self._configuration = rows, people, clock, configuration
        self._permission = PermissionCheck(people, configuration)
        self._listing = SingleFlight(self._lines)
        self._one_reader = asyncio.Lock()

    async def answer(self, message: IncomingMessage) -> Reply:
        """Answer a message. Raises StoreUnavailable."""
        view = await self._view(message)
        if channel := self._configuration.value.channel_at(message.conversation):
            return Reply(view, channel.locale, channel.timezone)
        return Reply(view, message.locale, self._configuration.value.channels[0].timezone)

    async def _view(self, message: IncomingMessage) -> View:
        match message.command():
            case BotCommand.HELP:
                return HelpView(personal=message.personal)
            case BotCommand.PENDING:
                return await self._pending(message)
            case BotCommand.STATUS:
                return await self._status(message)
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
        return SetupView(setup_entry(message.conversation, self._configuration.value.channels))

    # --- pending

    async def _pending(self, message: IncomingMessage) -> View:
        if message.personal:
            known = await self._known(message.person)
            lines = await self._listing.join("", known)
        else:
            lines = await self._listing.join(message.conversation, None)
        if not lines:
            return MessageView(MessageCode.NOTHING_PENDING)
        more = len(lines) - LONGEST_LIST
        return PendingView(
            tuple(lines[:LONGEST_LIST]), personal=message.personal, more=max(0, more), counted=more < MOST_COUNTED
        )

    async def _lines(self, conversation: str, person: Person | None) -> list[RequestLine]:
        """Return the requests of a conversation, or those that a person made or may decide, as many as are counted.

        There may be ten thousand rows, so only one command reads them at a time, and a repeated one shares its result.
        """
        lines: list[RequestLine] = []
        actors: dict[str, Actor] = {}  # by channel: each roster is read once
        async with self._one_reader:
            async for page in self._rows.store.watched():
                pending = [row for row in page.rows if row.request and row.request.status is Status.PENDING]
                found = [await self._line(row, conversation, person, actors) for row in pending]
                lines += filter(None, found)
                if len(lines) >= LONGEST_LIST + MOST_COUNTED:
                    break
        return lines[: LONGEST_LIST + MOST_COUNTED]

    async def _line(
        self, row: Record, conversation: str, person: Person | None, actors: dict[str, Actor]
    ) -> RequestLine | None:
        now = self._clock.now()
        if person is None:
            return request_line(row, now, own=False) if _has_card_in(row, conversation) else None
        own = bool(row.requester and row.requester.is_identified_as(person))
        return request_line(row, now, own=own) if own or await self._may_decide(row, person, actors) else None

    async def _known(self, person: Person) -> Person:
        known = (await self._people.known(folded((person.object_id,)))).people
        same = (each for each in known if each.user == person.user)
        entry = next(same, None)
        if entry is None:
            return person
        guest = person.guest or entry.guest
        return replace(person, upn=entry.upn, mail=entry.mail, name=entry.name, guest=guest)

    async def _may_decide(self, row: Record, person: Person, actors: dict[str, Actor]) -> bool:
        channel = self._configuration.value.home(row)
        level = row.request.waiting if row.request else None
        if channel is None or level is None:
            return False
        if channel.name not in actors:
            actors[channel.name] = await self._permission.actor(person, channel)
        actor = actors[channel.name]
        # who approved another level may only reject
        refusal = self._permission.refusal(
            row, channel.name, actor, action=Verdict.REJECT, step=level.step, comment=ANY_COMMENT
        )
        return refusal is None

    # --- status

    async def _status(self, message: IncomingMessage) -> View:
        """Show a request in a channel that has its card, or to its requester or a channel member in a personal chat."""
        channel = self._configuration.value.channel_at(message.conversation)
        rows = await self._rows.store.find(message.request_id) if message.request_id else ()
        for row in rows:
            home = self._configuration.value.home(row)
            if row.request and home and await self._may_see(row, message):
                view = card_view(row, channel or home, self._configuration.value, self._clock.now())
                return replace(view, buttons=False, revoke=False, step="", no_buttons=None)
        return MessageView(MessageCode.NOT_FOUND, detail=message.request_id or message.rest[:LONGEST_ECHO])

    async def _may_see(self, row: Record, message: IncomingMessage) -> bool:
        if not message.personal:
            return _has_card_in(row, message.conversation)
        known = await self._known(message.person)
        if row.requester and row.requester.is_identified_as(known):
            return True
        home = self._configuration.value.home(row)
        return home is not None and bool((await self._permission.actor(known, home)).membership.member)


def _has_card_in(row: Record, conversation: str) -> bool:
    return any(same_conversation(card.conversation, conversation) for card in row.cards)


def setup_entry(conversation: str, channels: Sequence[Channel]) -> str:
    """Return a [[channels]] entry for this conversation, ready to paste after the existing ones in node-access.toml."""
    taken = {channel.name for channel in channels}
    numbered = (f"approvals-{number}" for number in count(2))
    name = next(each for each in chain(["approvals"], numbered) if each not in taken)
    return (
        f'[[channels]]\nname = "{name}"\nconversation = "{_toml_text(thread_root(conversation))}"\n'
        'approvers = ["members"]\n'
        'approver_role = "arn:aws:iam::{account}:role/NodeAccessApprover"\n'
        'match = { tags = { Environment = ["production"] } }  # which requests come here\n' + _fallback_advice(channels)
    )


def _fallback_advice(channels: Sequence[Channel]) -> str:
    """Return a comment in TOML: mark the only channel as the fallback, because with a second one that is required.

    Empty if there are several channels.
    """
    alone = [channel for channel in channels if channel.fallback and len(channels) == 1]
    return "".join(f'# and write fallback = true below name = "{channel.name}"\n' for channel in alone)


def _toml_text(text: str) -> str:
    """Remove quotes, backslashes and unprintable characters, which no conversation id has."""
    return "".join(character for character in text if character.isprintable() and character not in '"\\')
