"""What a person who gets an answer may see of the requests, and what waits for them. Default deny.

A person sees their own requests, and those with a card in a channel that they are a member of: they can see that card
in Teams as well.
"""

from collections.abc import Iterator
from dataclasses import replace

from bot.domain.escalation import second_channel
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Verdict
from bot.domain.routing import Channel, same_conversation
from bot.domain.shown.card_places import channel_of_card
from bot.domain.surface import Surface
from bot.ports.teams import People
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.permission_check import Actor, PermissionCheck
from bot.service.jump_links import JumpLinks
from bot.text.names import folded


class Reader:
    """One person who reads one answer: each roster is read once. `person` has the data of the rosters."""

    def __init__(
        self, person: Person, *, permission: PermissionCheck, configuration: CurrentConfiguration, links: JumpLinks
    ) -> None:
        self.person = person
        self._permission, self._configuration, self._links = permission, configuration, links
        self._actors: dict[str, Actor] = {}  # by channel

    def owns(self, row: Record) -> bool:
        """True if the person is identified as the requester."""
        return bool(row.requester and row.requester.is_identified_as(self.person))

    async def is_member(self, channel: Channel) -> bool:
        """True if Teams says that the person is a member of the channel; False if that is unknown."""
        return (await self._actor(channel)).membership.member is True

    async def sees(self, row: Record) -> bool:
        """True if the person may see the request."""
        if self.owns(row):
            return True
        for channel in self._channels_of(row):
            if await self.is_member(channel):
                return True
        return False

    async def may_decide(self, row: Record) -> bool:
        """True if the request waits for a decision that the person may make now.

        A person who approved another level may only reject, so Reject is checked.
        """
        for channel, step in self._deciding(row):
            if self._may_decide_in(channel, row, step, await self._actor(channel)):
                return True
        return False

    def could_decide(self, row: Record) -> bool:
        """Return False only if `may_decide` would, as far as the rosters say that were read for this answer."""
        for channel, step in self._deciding(row):
            actor = self._actors.get(channel.name)
            if actor is None or self._may_decide_in(channel, row, step, actor):
                return True
        return False

    def _deciding(self, row: Record) -> Iterator[tuple[Channel, str]]:
        """Yield the channels that decide the waiting level, each with the level's step."""
        level, configuration = row.waiting_level, self._configuration.value
        if level is None:
            return
        for channel in (configuration.home(row), second_channel(row, configuration, level.step)):
            if channel:
                yield channel, level.step

    def _may_decide_in(self, channel: Channel, row: Record, step: str, actor: Actor) -> bool:
        refusal = self._permission.refusal(row, channel.name, actor, action=Verdict.REJECT, step=step, comment=None)
        return refusal is None

    async def link(self, row: Record) -> str | None:
        """Return the link to the request's card in a channel that the person is a member of; None without one."""
        for card in row.cards:
            channel = self._configuration.value.channel(channel_of_card(card.name))
            if channel and same_conversation(channel.conversation, card.conversation) and await self.is_member(channel):
                return await self._links.to(card)
        return None

    def _channels_of(self, row: Record) -> Iterator[Channel]:
        """Yield the configured channels that have the request's card, and its own channel."""
        for channel in self._configuration.value.channels:
            if card_in(row, channel.conversation) or (row.route and row.route.channel == channel.name):
                yield channel

    async def _actor(self, channel: Channel) -> Actor:
        if channel.name not in self._actors:
            self._actors[channel.name] = await self._permission.actor(self.person, channel)
        return self._actors[channel.name]


class Readers:
    """Makes a Reader for the sender of a message."""

    def __init__(
        self, *, people: People, permission: PermissionCheck, configuration: CurrentConfiguration, links: JumpLinks
    ) -> None:
        self._people, self._permission, self._configuration, self._links = people, permission, configuration, links

    async def of(self, person: Person) -> Reader:
        """Return the sender of a message as a reader, with the ids and addresses that the rosters have."""
        return Reader(
            await self._known(person),
            permission=self._permission,
            configuration=self._configuration,
            links=self._links,
        )

    async def _known(self, person: Person) -> Person:
        known = await self._people.known(folded((person.object_id,)))
        entry = next((each for each in known.people if each.user == person.user), None)
        if entry is None:
            return person
        guest = person.guest or entry.guest
        return replace(person, upn=entry.upn, mail=entry.mail, name=entry.name, guest=guest)


def card_in(row: Record, conversation: str) -> Surface | None:
    """Return the request's card in this channel, or None."""
    return next((card for card in row.cards if same_conversation(card.conversation, conversation)), None)
