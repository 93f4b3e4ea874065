"""The People port over rosters: the members of a channel, and all people that the bot knows.

If a roster cannot be read, `member` and `roster` raise RosterUnavailable. `known` leaves out the people of this roster.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self

import structlog
from cachetools import TTLCache

from bot.domain.identity import Person
from bot.domain.routing import thread_root
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.ports.teams import ChatProblem, KnownPeople, RosterUnavailable
from bot.teams.outbound.connector import CallKind, Connector, counted
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.chat_people import ChatPeople
from bot.teams.people.roster_cache import Roster, RosterCache
from bot.teams.wire.errors import ConnectorError, ConnectorRefused
from bot.teams.wire.people import TeamMember, as_person
from bot.telemetry import Telemetry

# Seconds for the roster, and again for a single member if the roster is slow. A click must be answered within 2.5.
CLICK_PATIENCE: Final = 1.0
KNOWN_PATIENCE: Final = 5.0  # seconds for a whole roster; a card can be completed later
ABSENT_FOR: Final = 10.0  # seconds; repeated clicks of a person who is not a member cost one call
ABSENT: Final = 1024  # people whose absence is cached

log = structlog.get_logger(__name__)


class Directory:
    """Implements bot.ports.teams.People for the configured channels. Leaving the context cancels reads in progress."""

    def __init__(
        self,
        connector: Connector,
        *,
        store: Store,
        service_urls: ServiceUrls,
        clock: Clock,
        tenant_id: str,
        channels: Callable[[], Iterable[str]],
        telemetry: Telemetry,
        patience: float = CLICK_PATIENCE,
    ) -> None:
        """Take a function that returns the conversation ids of the channels as they are configured now."""
        self._connector, self._store, self._service_urls = connector, store, service_urls
        self._clock, self._tenant_id, self._patience = clock, tenant_id, patience
        self._telemetry, self._channels = telemetry, channels
        self._rosters: dict[str, RosterCache] = {}
        self._chat_people = ChatPeople(self._chat_member, clock=clock)
        self._absent: TTLCache[tuple[str, str], None] = TTLCache(ABSENT, ABSENT_FOR, timer=clock.epoch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(roster.aclose() for roster in self._rosters.values()))

    # --- the port

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the person as a member of the channel; None if they are not a member. Raises RosterUnavailable.

        Takes at most twice the patience: if the roster is slow or lacks the person, requests only this member.
        """
        root, wanted = thread_root(conversation), object_id.casefold()
        cache = self._roster(root)
        try:
            roster = await cache.get(patience=self._patience)
        except TimeoutError:
            roster = None
        if roster is not None and (found := roster.get(wanted)) is not None:
            return found
        if (root, wanted) in self._absent:
            return None
        return await self._one_member(root, wanted, cache)

    async def roster(self, conversation: str) -> Sequence[Person]:
        """Return all members of the channel. Raises RosterUnavailable, after KNOWN_PATIENCE at the latest."""
        try:
            roster = await self._roster(thread_root(conversation)).get(patience=KNOWN_PATIENCE)
        except TimeoutError as error:
            raise RosterUnavailable from error
        return tuple(roster.values())

    async def known(self, names: frozenset[str] = frozenset()) -> KnownPeople:
        """Return the members of the configured channels, and the people who have a personal chat with the bot.

        `names` are folded ids and addresses. People with a personal chat and one of these names have UPN and mail;
        other people with a personal chat may have neither. Never raises: people who cannot be read are left out, this
        is logged, and the result is not complete.
        """
        channels = dict.fromkeys(map(thread_root, self._channels()))
        rosters = await asyncio.gather(*(self._roster_or_none(channel) for channel in channels))
        members = {person.object_id: person for roster in rosters for person in roster or ()}
        chats = await self._personal_chats()
        others = [chat for chat in chats or () if chat.person.object_id.casefold() not in members]
        beside = await self._chat_people.among(others, names)
        complete = beside.complete and chats is not None and None not in rosters
        return KnownPeople((*members.values(), *beside.people), complete=complete)

    # --- for the handler of activities

    def invalidate(self, conversation: str | None = None) -> None:
        """Drop the cached roster of a conversation, or all rosters if None. Drop all cached absences."""
        for root in (thread_root(conversation),) if conversation else tuple(self._rosters):
            if (roster := self._rosters.get(root)) is not None:
                roster.invalidate()
        self._absent.clear()

    async def complete(self, person: Person, conversation: str, service_url: str) -> Person:
        """Return the person with UPN and mail from their personal chat, or unchanged if Teams does not answer."""
        found = await self._chat_member(PersonalChat(person, conversation, service_url))
        if found is None:
            return person
        self._chat_people.learn(found)
        return found

    # --- calls to Teams

    def _roster(self, root: str) -> RosterCache:
        if root not in self._rosters:
            self._rosters[root] = RosterCache(lambda: self._read(root), clock=self._clock, conversation=root)
        return self._rosters[root]

    async def _read(self, root: str) -> Roster:
        """Read a whole roster. Raises ConnectorError."""
        members = self._connector.all_members(await self._service_urls.of(root), conversation=root)
        with counted(self._telemetry, CallKind.ROSTER):
            people = [as_person(member, tenant_id=self._tenant_id) async for member in members]
        return {person.object_id: person for person in people if person is not None}

    async def _one_member(self, root: str, object_id: str, cache: RosterCache) -> Person | None:
        """Request one member, who may have joined just now. Cache the result unless a membership event came first."""
        generation = cache.generation
        try:
            member = await self._get_member(await self._service_urls.of(root), root, object_id)
        except ConnectorRefused as refused:
            if refused.problem is not ChatProblem.UNKNOWN_PERSON or refused.status is None:
                raise RosterUnavailable from refused  # only Teams' own "not found" means: no member
            if generation == cache.generation:
                self._absent[root, object_id] = None
            return None
        except (ConnectorError, TimeoutError) as error:
            log.warning("member_unavailable", conversation=root, error=type(error).__name__)
            raise RosterUnavailable from error
        found = as_person(member, tenant_id=self._tenant_id)
        if found is None or found.object_id != object_id:
            raise RosterUnavailable  # a response about another person
        cache.add(found, generation=generation)
        return found

    async def _get_member(self, service_url: str, conversation: str, member: str) -> TeamMember:
        """Request one member. Raises ConnectorError, or TimeoutError after the patience."""
        with counted(self._telemetry, CallKind.MEMBER):
            async with asyncio.timeout(self._patience):
                return await self._connector.get_member(service_url, conversation=conversation, member=member)

    async def _chat_member(self, chat: PersonalChat) -> Person | None:
        """Request the person of a personal chat; None if Teams does not answer, or answers about another person."""
        person = chat.person
        try:
            member = await self._get_member(chat.service_url, chat.conversation, person.teams_id or person.object_id)
        except (ConnectorError, TimeoutError) as error:
            log.info("person_not_completed", person=person.object_id, error=type(error).__name__)
            return None
        found = as_person(member, tenant_id=self._tenant_id)
        return found if found and found.object_id == person.object_id else None

    async def _roster_or_none(self, channel: str) -> Sequence[Person] | None:
        try:
            return await self.roster(channel)
        except RosterUnavailable:
            log.warning("people_incomplete", conversation=channel)
            return None

    async def _personal_chats(self) -> Sequence[PersonalChat] | None:
        try:
            return await self._store.personal_chats()
        except StoreUnavailable:
            log.warning("people_incomplete", conversation="personal")
            return None
