"""What people can ask the bot in words: help, pending, status, setup. Answers are views; Teams is not known here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.domain.identity import Person, spellings_of
from bot.domain.record import Record, SurfaceKind
from bot.domain.request import OPS_ITEM_ID, Status, Verdict
from bot.domain.routing import Channel, same_conversation, thread_root
from bot.domain.shown.card import card_view, request_line
from bot.domain.shown.reply_views import HelpView, MessageCode, MessageView, PendingView, RequestLine, SetupView, View
from bot.ports.clock import Clock
from bot.ports.teams import People, RosterUnavailable
from bot.service.clicks.permission import Permission
from bot.service.configured import Configured
from bot.service.rows import Rows

ANY_COMMENT = "-"  # a list tells what one may decide, with a comment where one is required
LONGEST_LIST = 15  # requests in one answer; more would not fit a phone, and 28 KB


class Command(StrEnum):
    """A command's first word, in any case."""

    HELP = "help"
    PENDING = "pending"
    STATUS = "status"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message to the bot, without the mention of the bot."""

    text: str
    person: Person
    conversation: str
    personal: bool
    locale: str = "en"  # of the person's client


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and how to word it."""

    view: View
    locale: str
    timezone: str


class CommandService:
    """Answers commands."""

    def __init__(self, *, rows: Rows, people: People, clock: Clock, configured: Configured) -> None:
        self._rows, self._people, self._clock, self._configured = rows, people, clock, configured
        self._permission = Permission(people, configured)

    async def answer(self, said: IncomingMessage) -> Reply:
        """Answer a message. Raises StoreUnavailable."""
        channel = self._configured.channel_at(said.conversation)
        view = await self._view(said, channel)
        if channel:
            return Reply(view, channel.locale, channel.timezone)
        return Reply(view, said.locale, self._configured.channels[0].timezone)

    async def _view(self, said: IncomingMessage, channel: Channel | None) -> View:
        word, _, rest = said.text.strip().partition(" ")
        match word.casefold():
            case Command.HELP | "":
                return HelpView(personal=said.personal)
            case Command.PENDING:
                return await self._pending(said)
            case Command.STATUS:
                return await self._status(said, rest.strip().casefold(), channel)
            case Command.SETUP:
                return self._setup(said, channel)
            case _:
                return MessageView(MessageCode.UNKNOWN_COMMAND, detail=word[:40])

    def _setup(self, said: IncomingMessage, channel: Channel | None) -> View:
        if said.personal:
            return MessageView(MessageCode.CHANNEL_ONLY)
        if channel:
            return MessageView(MessageCode.ALREADY_SET_UP, detail=channel.name)
        return SetupView(setup_entry(said.conversation, self._configured.channels))

    # --- pending

    async def _pending(self, said: IncomingMessage) -> View:
        watched = (await self._rows.store.watched()).rows
        rows = [row for row in watched if row.request and row.request.status is Status.PENDING]
        lines = await self._own_lines(rows, said.person) if said.personal else self._lines_of(rows, said.conversation)
        if not lines:
            return MessageView(MessageCode.NOTHING_PENDING)
        return PendingView(tuple(lines[:LONGEST_LIST]), personal=said.personal, more=max(0, len(lines) - LONGEST_LIST))

    def _lines_of(self, rows: Iterable[Record], conversation: str) -> list[RequestLine]:
        now = self._clock.now()
        return [request_line(row, now, own=False) for row in rows if _has_card_in(row, conversation)]

    async def _own_lines(self, rows: Iterable[Record], person: Person) -> list[RequestLine]:
        """One's own requests, and those one may decide."""
        known = await self._known(person)
        lines = []
        for row in rows:
            own = bool(row.requester and row.requester.is_certainly(known))
            if own or await self._may_decide(row, known):
                lines.append(request_line(row, self._clock.now(), own=own))
        return lines

    async def _known(self, person: Person) -> Person:
        own = spellings_of(person.object_id)
        same = (each for each in await self._people.known(own) if each.object_id == person.object_id)
        entry = next(same, None)
        if entry is None:
            return person
        guest = person.guest or entry.guest
        return replace(person, upn=entry.upn, mail=entry.mail, name=entry.name, guest=guest)

    async def _may_decide(self, row: Record, person: Person) -> bool:
        channel = self._configured.channel(row.route.channel) if row.route else None
        level = row.request.waiting if row.request else None
        if channel is None or level is None:
            return False
        actor = await self._permission.actor(person, channel)
        refusal = self._permission.refusal(
            row, channel.name, actor, act=Verdict.APPROVE, step=level.step, comment=ANY_COMMENT
        )
        return refusal is None

    async def _is_member(self, channel: Channel, person: Person) -> bool:
        try:
            return await self._people.member(channel.conversation, person.object_id) is not None
        except RosterUnavailable:
            return False

    # --- status

    async def _status(self, said: IncomingMessage, ops_item_id: str, channel: Channel | None) -> View:
        """One request, for those who may see it: its channel, its requester, the channel's members."""
        rows = await self._rows.store.find(ops_item_id) if OPS_ITEM_ID.fullmatch(ops_item_id) else ()
        for row in rows:
            home = self._configured.channel(row.route.channel) if row.route else None
            if row.request and home and await self._may_see(row, said):
                view = card_view(row, channel or home, self._configured.rules, self._clock.now())
                return replace(view, buttons=False, revoke=False, step="", no_buttons=None)
        return MessageView(MessageCode.NOT_FOUND, detail=ops_item_id[:40])

    async def _may_see(self, row: Record, said: IncomingMessage) -> bool:
        if not said.personal:
            return _has_card_in(row, said.conversation)
        known = await self._known(said.person)
        if row.requester and row.requester.is_certainly(known):
            return True
        home = self._configured.channel(row.route.channel) if row.route else None
        return home is not None and await self._is_member(home, known)


def _has_card_in(row: Record, conversation: str) -> bool:
    cards = (surface for surface in row.surfaces if surface.kind is SurfaceKind.CARD)
    return any(same_conversation(card.conversation, conversation) for card in cards)


def setup_entry(conversation: str, channels: Sequence[Channel]) -> str:
    """Return this channel's [[channels]] entry, ready to paste into node-access.toml behind those that are there."""
    taken = {channel.name for channel in channels}
    name = next(each for each in ("approvals", *(f"approvals-{n}" for n in range(2, 1000))) if each not in taken)
    return (
        f'[[channels]]\nname = "{name}"\nconversation = "{_toml_text(thread_root(conversation))}"\n'
        'approvers = ["members"]\n'
        'approver_role = "arn:aws:iam::{account}:role/NodeAccessApprover"\n'
        'match = { tags = { Environment = ["production"] } }  # which requests come here\n' + _fallback_advice(channels)
    )


def _fallback_advice(channels: Sequence[Channel]) -> str:
    """A single channel is the fallback by itself; beside a second one it has to say so."""
    alone = [channel for channel in channels if channel.fallback and len(channels) == 1]
    return "".join(f'# and write fallback = true below name = "{channel.name}"\n' for channel in alone)


def _toml_text(text: str) -> str:
    """Conversation ids have no quotes or control characters; whatever has loses them."""
    return "".join(character for character in text if character.isprintable() and character not in '"\\')
