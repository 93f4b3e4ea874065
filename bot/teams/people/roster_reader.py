"""Reads rosters from Teams, page by page, and remembers what is wrong with each.

It must not know which person is needed, or what is cached.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from bot.concurrency.turns import in_turns
from bot.domain.identity import Person
from bot.domain.members import Members
from bot.teams.outbound.connector import CallKind, Connector, EndlessRoster, counted
from bot.teams.outbound.service_urls import ServiceUrls
from bot.teams.people.roster_cache import Roster
from bot.teams.people.roster_pace import RosterPace
from bot.teams.people.roster_problems import RosterProblem, RosterProblems
from bot.teams.wire.errors import ConnectorRefused
from bot.teams.wire.people import TeamMember, as_person
from bot.telemetry import Telemetry

UNREAD = Roster(Members(), whole=False)
INDEXED_AT_ONCE = 100  # members; each takes tens of microseconds


class RosterReader:
    """Reads rosters. `problems` has what is wrong with the rosters that were read."""

    def __init__(
        self,
        connector: Connector,
        *,
        service_urls: ServiceUrls,
        tenant_id: str,
        telemetry: Telemetry,
        pace: RosterPace,
    ) -> None:
        self._connector, self._service_urls, self._pace = connector, service_urls, pace
        self._tenant_id, self._telemetry = tenant_id, telemetry
        self.problems = RosterProblems(telemetry)

    async def whole(self, root: str) -> Roster:
        """Read a whole roster, or return an empty one if Teams refuses or does not end it. Raises ConnectorError."""
        members = self._connector.all_members(
            await self._service_urls.of(root), conversation=root, turn=lambda: self._pace.turn(root)
        )
        try:
            with self._reading(root):
                found = await _by_id(members)
        except EndlessRoster:
            self.problems.pages_read(root, RosterProblem.ENDLESS, members_complete=False)
            return UNREAD
        except ConnectorRefused as refused:
            if refused.is_of_the_bot:
                raise  # the bot's own login or settings: single members are refused, too
            return UNREAD
        people = Members()
        async for member in in_turns(found.values(), at_once=INDEXED_AT_ONCE):
            if person := self.person(member):
                people.add(person)
        unclear = {each: member async for each, member in in_turns(found.items()) if self.is_unclear(member)}
        problem = None if found else RosterProblem.EMPTY
        self.problems.pages_read(root, problem, members_complete=bool(found) and not unclear)
        return Roster(people, bool(found), unclear)

    async def beginning(self, root: str) -> Roster:
        """Read the first page of a roster, which shows whether Teams returns it at all. Raises ConnectorError.

        The result has no people, only the page's unclear entries.
        """
        with self._reading(root):
            page = await self._connector.get_paged_members(await self._service_urls.of(root), conversation=root)
        found = {each.object_id.casefold(): each for each in page.members if each.object_id}
        self.problems.beginning_read(root, is_empty=not found and not page.continuation)
        return Roster(
            Members(), whole=False, unclear={each: one for each, one in found.items() if self.is_unclear(one)}
        )

    def person(self, member: TeamMember) -> Person | None:
        """Return a member as the domain's person; None for a bot."""
        return as_person(member, tenant_id=self._tenant_id)

    def is_unclear(self, member: TeamMember) -> bool:
        """Return whether an entry lacks what the bot needs, so that the member must be requested singly."""
        return not (member.user_principal_name and member.email and (member.tenant or member.is_outsider))

    @contextmanager
    def _reading(self, root: str) -> Iterator[None]:
        """Count a read of pages, and remember whether Teams refuses this roster."""
        try:
            with counted(self._telemetry, CallKind.ROSTER):
                yield
        except ConnectorRefused as refused:
            if not refused.is_of_the_bot:
                self.problems.pages_read(root, RosterProblem.REFUSED, members_complete=False)
            raise


async def _by_id(members: AsyncIterator[TeamMember]) -> dict[str, TeamMember]:
    """Return the members by case-folded object id. Several entries of one person are one member."""
    found: dict[str, TeamMember] = {}
    async for each in members:
        if each.object_id:
            user = each.object_id.casefold()
            found[user] = each.completed_from(found.get(user))
    return found
