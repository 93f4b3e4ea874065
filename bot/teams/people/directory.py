"""The People port over rosters: the members of a channel, and all people that the bot knows.

If a roster cannot be read, `member` and `roster` raise RosterUnavailable. `known` leaves out the people of this roster.

Teams may refuse the pages of a roster, or leave out tenant, UPN or mail address of its members, but return each single
member completely. Each person who is needed is then requested singly; nothing that is missing is assumed.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Self, TypeVar

import structlog
from cachetools import TTLCache

from bot.concurrency.turns import in_turns
from bot.domain.identity import Person
from bot.domain.members import Members
from bot.domain.routing import thread_root
from bot.ports.clock import Clock
from bot.ports.store import PersonalChat, Store, StoreUnavailable
from bot.ports.teams import ChatProblem, KnownPeople, RosterUnavailable
from bot.teams.outbound.connector import CallKind, Connector, counted
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.chat_people import ChatPeople
from bot.teams.people.roster_cache import Roster, RosterCache
from bot.teams.people.roster_pace import A_SECOND, RosterPace
from bot.teams.people.roster_problems import RosterProblem
from bot.teams.people.roster_reader import UNREAD, RosterReader
from bot.teams.wire.errors import ConnectorError, ConnectorRefused
from bot.teams.wire.people import TeamMember, as_person
from bot.telemetry import Telemetry
from bot.text.names import exact, folded

# Seconds for the roster, and again for a single member if the roster is slow. A click must be answered within 2.5.
CLICK_PATIENCE: Final = 1.0
KNOWN_PATIENCE: Final = 5.0  # seconds for a whole roster; a card can be completed later
LONGEST_PATIENCE: Final = 15.0  # seconds for the rosters of all channels, which have their turns one after another
ABSENT_FOR: Final = 10.0  # seconds; repeated clicks of a person who is not a member cost one call
ABSENT: Final = 1024  # people whose absence is cached
_NAME: Final = re.compile(r"[^@/\s]+@[^@/\s]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a UPN, or an object id

log = structlog.get_logger(__name__)
T = TypeVar("T")


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
        """Take a function that returns the conversation ids of the channels as they are configured now.

        `patience` is the seconds for a roster that a click needs, and for each single member.
        """
        self._connector, self._store, self._service_urls = connector, store, service_urls
        self._clock, self._tenant_id, self._patience = clock, tenant_id, patience
        self._telemetry, self._channels = telemetry, channels
        self._pace = RosterPace(clock)
        self._reader = RosterReader(
            connector, service_urls=service_urls, tenant_id=tenant_id, telemetry=telemetry, pace=self._pace
        )
        self._rosters: dict[str, RosterCache] = {}
        self._chat_people = ChatPeople(self._chat_member, clock=clock)
        self._absent: TTLCache[tuple[str, str], None] = TTLCache(ABSENT, ABSENT_FOR, timer=clock.epoch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(roster.aclose() for roster in self._rosters.values()))

    # --- the port

    @property
    def generation(self) -> int:
        """A number that grows with each event that may change members, and with each new read of a roster."""
        return sum(1 + roster.generation for roster in self._rosters.values())

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return the person as a member of the channel; None if they are not a member. Raises RosterUnavailable.

        Takes at most twice the patience: if the roster is slow, refused, or does not have the person with tenant and
        addresses, requests only this member.
        """
        root, wanted = thread_root(conversation), object_id.casefold()
        cache = self._roster(root)
        try:
            with self._pace.hurry(root):
                roster = await cache.get(patience=self._patience)
        except TimeoutError:
            roster = UNREAD
        found = roster.people.get(wanted)
        if found is not None and wanted not in roster.unclear:
            return found
        return await self._one_member(root, wanted, cache, roster)

    async def roster(self, conversation: str) -> Members:
        """Return all members of the channel. Raises RosterUnavailable, after KNOWN_PATIENCE at the latest."""
        root = thread_root(conversation)
        try:
            with self._pace.hurry(root):
                roster = await self._roster(root).get(patience=KNOWN_PATIENCE)
        except TimeoutError as error:
            raise RosterUnavailable from error
        if not roster.whole:
            raise RosterUnavailable(refused=True)
        return roster.people

    def cached_member(self, conversation: str, object_id: str) -> Person | None:
        """Return the member with complete data if the whole roster is cached and current; else None. Makes no call."""
        roster, wanted = self._current(conversation), object_id.casefold()
        return roster.people.get(wanted) if roster and wanted not in roster.unclear else None

    def cached_roster(self, conversation: str) -> Members:
        """Return all members of the channel if the whole roster is cached and current; else none. Makes no call."""
        roster = self._current(conversation)
        return roster.people if roster else Members()

    def _current(self, conversation: str) -> Roster | None:
        cache = self._rosters.get(thread_root(conversation))
        roster = cache.current if cache else None
        return roster if roster and roster.whole else None

    async def known(self, names: frozenset[str]) -> KnownPeople:
        """Return the members of the configured channels, and the people of personal chats, who could have these names.

        `names` are folded ids and addresses. Each person has the UPN and mail address that Teams returned. Never
        raises: people who cannot be read are left out, this is logged, and the result is not complete.
        """
        rosters = await self._each_channel(
            lambda root: self._cached_named(root, names),
            lambda root, patience: self._members_named(root, names, patience),
        )
        chats = await self._personal_chats()
        named = [each async for each in in_turns(chats or ()) if self._chat_people.may_be_named(each.person, names)]
        found = {each.user: each for roster in rosters for each in roster.people}
        others = [each for each in named if each.person.user not in found and not self._is_member(each.person)]
        beside = await self._chat_people.among(others)
        complete = beside.complete and chats is not None and all(roster.complete for roster in rosters)
        outside = (each for each in beside.people if each.is_named(names))
        return KnownPeople((*found.values(), *outside), complete=complete)

    async def with_ids(self, object_ids: Iterable[str]) -> Sequence[Person]:
        """Return those members of the configured channels, and people of personal chats, who have these object ids.

        People of personal chats may lack UPN and mail address. Never raises: people who cannot be read are left out,
        and this is logged.
        """
        wanted = dict.fromkeys(map(exact, object_ids))
        rosters = await self._each_channel(lambda root: self._roster(root).current, self._members)
        found = {user: each for user in wanted for roster in rosters if (each := roster.people.get(user))}
        if len(found) < len(wanted):
            async for chat in in_turns(await self._personal_chats() or ()):
                if (user := chat.person.user) in wanted and user not in found:
                    found[user] = self._chat_people.trusted(chat.person)
        return tuple(found.values())

    # --- for the checks

    async def read_members(self, conversation: str) -> None:
        """Read the first members of a channel now, and one singly if something is missing. Raises ConnectorError."""
        root = thread_root(conversation)
        roster = await self._reader.beginning(root)
        for wanted in list(roster.unclear)[:1]:
            with suppress(RosterUnavailable):
                await self._one_member(root, wanted, self._roster(root), roster)

    def roster_problems(self, conversation: str) -> Sequence[RosterProblem]:
        """Return what Teams has left out or refused in this channel's roster; empty if nothing."""
        return self._reader.problems.of(thread_root(conversation))

    # --- for the handler of activities

    def invalidate(self, conversation: str | None = None) -> None:
        """Drop the cached roster of a conversation, or all rosters if None. Drop all cached absences."""
        for root in (thread_root(conversation),) if conversation else tuple(self._rosters):
            if (roster := self._rosters.get(root)) is not None:
                roster.invalidate()
        self._absent.clear()

    async def complete(self, person: Person, conversation: str, service_url: str) -> Person:
        """Return the person with UPN and mail from their personal chat, or unchanged if Teams does not return them."""
        found = await self._chat_member(PersonalChat(person, conversation, service_url))
        if found is None:
            return person
        self._chat_people.learn(found)
        return found

    # --- calls to Teams

    async def _each_channel(
        self, cached: Callable[[str], T | None], read: Callable[[str, float], Awaitable[T]]
    ) -> Sequence[T]:
        """Return what is cached for each configured channel, else what `read` returns.

        The second argument of `read` is the patience in seconds. It includes the time in which the rosters that must be
        read have their turns.
        """
        roots = dict.fromkeys(map(thread_root, self._channels()))
        found = [each for root in roots if (each := cached(root)) is not None]
        if len(found) == len(roots):
            return found
        unread = sum(self._roster(root).current is None for root in roots)
        patience = min(LONGEST_PATIENCE, KNOWN_PATIENCE + unread / A_SECOND)
        return await asyncio.gather(*(read(root, patience) for root in roots))

    def _is_member(self, person: Person) -> bool:
        """Return whether a person is in a configured channel, as far as its roster is read."""
        rosters = (self._roster(thread_root(channel)).current for channel in self._channels())
        return any(roster and roster.people.get(person.object_id) for roster in rosters)

    def _roster(self, root: str) -> RosterCache:
        if root not in self._rosters:
            self._rosters[root] = RosterCache(lambda: self._reader.whole(root), clock=self._clock, conversation=root)
        return self._rosters[root]

    async def _one_member(self, root: str, wanted: str, cache: RosterCache, roster: Roster) -> Person | None:
        """Request one member by object id, who may have joined just now; None if there is no such member.

        If Teams refuses single members, return the entry of the roster, if there is one. Raises RosterUnavailable.
        """
        if (root, wanted) in self._absent:
            return None
        generation = cache.generation
        try:
            member = await self._single(root, wanted, cache)
        except RosterUnavailable as unavailable:
            known = roster.people.get(wanted)
            if known is None or not unavailable.refused:
                raise RosterUnavailable(refused=unavailable.refused and not roster.whole) from unavailable
            return self._learnt(root, known, cache, generation)
        if member is None:
            return None
        found = self._reader.person(member.completed_from(roster.unclear.get(wanted)))
        if found is None or found.object_id != wanted:
            raise RosterUnavailable  # a response about another person
        return self._learnt(root, found, cache, generation)

    def _learnt(self, root: str, person: Person, cache: RosterCache, generation: int) -> Person:
        """Cache a member that was requested singly, report what Teams left out, and return the member.

        If the roster is no longer of this `generation`, do not cache the member.
        """
        cache.add(person, generation=generation)
        self._reader.problems.member_read(root, has_tenant=bool(person.tenant_id), has_upn=bool(person.upn))
        return person

    async def _single(self, root: str, wanted: str, cache: RosterCache) -> TeamMember | None:
        """Request one member by object id or UPN; None if Teams says that there is none. Raises RosterUnavailable.

        Caches an absence unless a membership event arrived during the request.
        """
        generation = cache.generation
        try:
            return await self._get_member(await self._service_urls.of(root), root, wanted)
        except ConnectorRefused as refused:
            if refused.problem is not ChatProblem.UNKNOWN_PERSON or refused.status is None:
                # only Teams' own "not found" means: no member
                raise RosterUnavailable(refused=not refused.is_of_the_bot) from refused
            if generation == cache.generation:
                self._absent[root, wanted] = None
            return None
        except (ConnectorError, TimeoutError) as error:
            log.warning("member_unavailable", conversation=root, error=type(error).__name__)
            raise RosterUnavailable from error

    async def _get_member(self, service_url: str, conversation: str, member: str) -> TeamMember:
        """Request one member. Raises ConnectorError, or TimeoutError after `patience` seconds."""
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
        return found if found and found.user == person.user else None

    # --- people by name

    async def _members(self, root: str, patience: float) -> Roster:
        """Return a channel's roster; an unread one if Teams refuses it, fails, or takes longer than the patience."""
        try:
            return await self._roster(root).get(patience=patience)
        except TimeoutError:
            return UNREAD
        except RosterUnavailable:
            log.warning("people_incomplete", conversation=root)
            return UNREAD

    def _cached_named(self, root: str, names: frozenset[str]) -> KnownPeople | None:
        """Return a channel's members with these names if its cached roster has all data of all members; else None."""
        roster = self._current(root)
        return None if roster is None or roster.unclear else KnownPeople(tuple(roster.people.named(names)))

    async def _members_named(self, root: str, names: frozenset[str], patience: float) -> KnownPeople:
        """Return a channel's members with these names. If the roster lacks data, requests such members singly.

        The result is complete if the roster has the UPN of each member of this tenant, or if each name was found.
        """
        cache = self._roster(root)
        try:
            roster = await cache.get(patience=patience)
        except TimeoutError:
            if self._pace.delays(root):  # nothing is wrong with it, and there may be many such channels
                log.warning("people_incomplete", conversation=root)
                return KnownPeople((), complete=False)
            roster = UNREAD
        except RosterUnavailable:
            log.warning("people_incomplete", conversation=root)
            return KnownPeople((), complete=False)
        people = roster.people
        alike = [each for each in people.alike(names) if folded(each.spellings) & names]
        for each in [each for each in alike if each.object_id in roster.unclear]:
            with suppress(RosterUnavailable):
                if person := await self._one_member(root, each.object_id, cache, roster):
                    people = people.with_member(person)
        if roster.whole and not self._has_nameless(roster):
            return KnownPeople(tuple(people.named(names)))
        return await self._sought(root, names, cache, people)

    def _has_nameless(self, roster: Roster) -> bool:
        """True if the roster lacks the UPN of a member who may belong to this tenant."""
        ours = {"", self._tenant_id.casefold()}
        nameless = (each for each in roster.unclear.values() if not each.user_principal_name)
        return any(each.tenant in ours and not each.is_outsider for each in nameless)

    async def _sought(self, root: str, names: frozenset[str], cache: RosterCache, people: Members) -> KnownPeople:
        """Return those of `people` with these names, and those that Teams returns for the names that none of them has.

        The result is complete if each name was found, and there was at least one.
        """
        left = _without_names_of(people, names)
        for name in sorted(each for each in left if _NAME.fullmatch(each) and (root, each) not in self._absent):
            generation = cache.generation
            with suppress(RosterUnavailable):
                member = await self._single(root, name, cache)
                person = self._reader.person(member) if member else None
                if person and name in folded(person.spellings):
                    people = people.with_member(self._learnt(root, person, cache, generation))
                elif person and not person.upn:  # perhaps the right person, but nothing shows it
                    self._reader.problems.member_read(root, has_tenant=bool(person.tenant_id), has_upn=False)
        left = _without_names_of(people, left)
        if left:
            log.warning("people_incomplete", conversation=root)
        return KnownPeople(tuple(people.named(names)), complete=bool(names) and not left)

    async def _personal_chats(self) -> Sequence[PersonalChat] | None:
        try:
            return await self._store.personal_chats()
        except StoreUnavailable:
            log.warning("people_incomplete", conversation="personal")
            return None


def _without_names_of(people: Members, names: frozenset[str]) -> frozenset[str]:
    """Return the folded names that none of the people has."""
    return names.difference(*(folded(each.spellings) for each in people.alike(names)))
