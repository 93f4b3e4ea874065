"""The People port over rosters: who is in a channel, and everybody who is known.

Owns how long a roster is believed and what happens when it cannot be read: then nobody is in it, which is told as an
error, never as an empty list. Decides nothing about anybody.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from cachetools import TTLCache

from bot.domain.identity import Person
from bot.domain.routing import thread_root
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.ports.teams import ChatProblem, RosterUnavailable
from bot.teams.outbound.call_counts import CallKind, counted
from bot.teams.outbound.connector import Connector
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.chat_people import ChatPeople
from bot.teams.people.roster_cache import CachedRoster, Roster
from bot.teams.wire.errors import ConnectorError, ConnectorRefused
from bot.teams.wire.members import TeamMember
from bot.teams.wire.people import as_person
from bot.telemetry import Telemetry

CLICK_PATIENCE: Final = 1.0  # seconds a click waits for a roster; it has 2.5 in all, and may ask for one member after
KNOWN_PATIENCE: Final = 5.0  # seconds for everybody; a card can be completed later
ABSENT_FOR: Final = 10.0  # seconds; whoever clicks again and again without being a member costs one call

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Directory:
    """Implements bot.ports.teams.People for the configured channels. Rosters are dropped on membership events."""

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
        """Take what tells the conversation ids of the channels as they are configured now; nobody asks about others."""
        self._connector, self._store, self._service_urls = connector, store, service_urls
        self._clock, self._tenant_id, self._patience = clock, tenant_id, patience
        self._telemetry = telemetry
        self._channels = channels
        self._rosters: dict[str, CachedRoster] = {}
        self._by_chat = ChatPeople(self._owner, clock=clock)
        self._absent: TTLCache[tuple[str, str], None] = TTLCache(
            1024, ABSENT_FOR, timer=lambda: clock.now().timestamp()
        )

    # --- the port

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the channel's roster entry of a person, None for who is not in it. Raises RosterUnavailable.

        Answers within twice the patience: a roster that takes longer is asked for that one member.
        """
        root, wanted = thread_root(conversation), object_id.casefold()
        cached = self._cached(root)
        try:
            roster = await cached.get(patience=self._patience)
        except TimeoutError:
            roster = None
        if roster is not None and (found := roster.get(wanted)) is not None:
            return found
        if (root, wanted) in self._absent:
            return None
        return await self._one(root, wanted, cached)

    async def roster(self, conversation: str) -> Sequence[Person]:
        """Return everybody in the channel. Raises RosterUnavailable, within KNOWN_PATIENCE."""
        try:
            roster = await self._cached(thread_root(conversation)).get(patience=KNOWN_PATIENCE)
        except TimeoutError as error:
            raise RosterUnavailable from error
        return tuple(roster.values())

    async def known(self, names: frozenset[str] = frozenset()) -> Sequence[Person]:
        """Return everybody in the rosters of the configured channels, and whoever has the bot in a chat of their own.

        Of the latter only who goes by one of `names` (case-folded ids and addresses) is sure to have UPN and mail.
        Never raises: who cannot be read is left out, and the log says so.
        """
        channels = dict.fromkeys(map(thread_root, self._channels()))
        rosters = await asyncio.gather(*(self._roster_or_nobody(channel) for channel in channels))
        people = {person.object_id: person for roster in rosters for person in roster.values()}
        chats = [chat for chat in await self._chats() if chat.person.object_id.casefold() not in people]
        return (*people.values(), *await self._by_chat.among(chats, names))

    # --- what the handler tells

    def drop(self, conversation: str | None = None) -> None:
        """Believe the roster of a conversation no longer; None: of all."""
        for root in (thread_root(conversation),) if conversation else tuple(self._rosters):
            if (cached := self._rosters.get(root)) is not None:
                cached.drop()
        self._absent.clear()

    async def complete(self, person: Person, conversation: str, service_url: str) -> Person:
        """Return a person with UPN and mail as the members of their own chat tell them, as far as they do."""
        found = await self._owner(PersonalChat(person, conversation, service_url))
        if found is None:
            return person
        self._by_chat.learn(found)
        return found

    async def aclose(self) -> None:
        """End the reads that are under way."""
        await asyncio.gather(*(cached.aclose() for cached in self._rosters.values()))

    # --- how

    def _cached(self, root: str) -> CachedRoster:
        if root not in self._rosters:
            self._rosters[root] = CachedRoster(lambda: self._read(root), clock=self._clock, conversation=root)
        return self._rosters[root]

    async def _read(self, root: str) -> Roster:
        """Read a whole roster. Raises ConnectorError."""
        members = self._connector.all_members(await self._service_urls.of(root), conversation=root)
        with counted(self._telemetry, CallKind.ROSTER):
            people = [as_person(member, tenant_id=self._tenant_id) async for member in members]
        return {person.object_id: person for person in people if person is not None}

    async def _one(self, root: str, object_id: str, cached: CachedRoster) -> Person | None:
        """Ask for one member: somebody who joined just now, or the roster takes too long.

        The answer is kept unless a membership event overtook it.
        """
        edition = cached.edition
        try:
            member = await self._member(await self._service_urls.of(root), root, object_id)
        except ConnectorRefused as refused:
            if refused.problem is not ChatProblem.UNKNOWN_PERSON or refused.status is None:
                raise RosterUnavailable from refused  # only Teams' own "not found" means nobody
            if edition == cached.edition:
                self._absent[root, object_id] = None
            return None
        except (ConnectorError, TimeoutError) as error:
            log.warning("member_unavailable", conversation=root, error=type(error).__name__)
            raise RosterUnavailable from error
        found = as_person(member, tenant_id=self._tenant_id)
        if found is None or found.object_id != object_id:
            raise RosterUnavailable  # an answer about somebody else
        cached.add(found, edition=edition)
        return found

    async def _member(self, service_url: str, conversation: str, member: str) -> TeamMember:
        """Ask Teams for one member, within the patience. Raises ConnectorError, TimeoutError."""
        with counted(self._telemetry, CallKind.MEMBER):
            async with asyncio.timeout(self._patience):
                return await self._connector.get_member(service_url, conversation=conversation, member=member)

    async def _owner(self, chat: PersonalChat) -> Person | None:
        """Ask for the person of a chat of their own; None where Teams does not tell, or tells of somebody else."""
        person = chat.person
        try:
            member = await self._member(chat.service_url, chat.conversation, person.teams_id or person.object_id)
        except (ConnectorError, TimeoutError) as error:
            log.info("person_not_completed", person=person.object_id, error=type(error).__name__)
            return None
        found = as_person(member, tenant_id=self._tenant_id)
        return found if found and found.object_id == person.object_id else None

    async def _roster_or_nobody(self, channel: str) -> Roster:
        try:
            return await self._cached(channel).get(patience=KNOWN_PATIENCE)
        except (RosterUnavailable, TimeoutError):
            log.warning("people_incomplete", conversation=channel)
            return {}

    async def _chats(self) -> Sequence[PersonalChat]:
        try:
            return await self._store.personal_chats()
        except StoreUnavailable:
            log.warning("people_incomplete", conversation="personal")
            return ()
