"""Identifies the requester, and voters outside Teams, from rosters and Identity Center records.

The rules are in bot.domain.identity.

The same rosters show whether any member of the channel may decide; that rule is in bot.domain.rules.permission.

While a record cannot be read, it identifies no one, and the request counts as incomplete.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cachetools import TTLCache

from bot.concurrency.turns import in_turns
from bot.domain.identity import (
    Directory,
    IdentityRules,
    Person,
    Requester,
    identify_requester,
    names_to_look_up,
    needs_record,
)
from bot.domain.other_levels import other_levels
from bot.domain.record import Record
from bot.domain.request import AccessRequest
from bot.domain.rules.approvers import listed_approvers
from bot.domain.rules.claims import voted_by
from bot.ports.aws import AwsUnavailable, Identities
from bot.ports.clock import Clock
from bot.ports.teams import People, RosterUnavailable
from bot.service.approver_groups import ApproverGroups
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration

RECORDS_AT_ONCE: Final = 4  # records of voters; AWS allows 20 calls a second for a whole organization
ABSENT: Final = 4096  # voters
ABSENT_FOR: Final = 300.0  # seconds; as long as a roster is kept


@dataclass(frozen=True, slots=True)
class Identified:
    """The requester, and the request. The request is incomplete if a record of the requester could not be read."""

    request: AccessRequest
    requester: Requester
    rosters_read: bool  # False: Teams did not return all rosters


@dataclass(frozen=True, slots=True)
class MissingApprovers:
    """Which approvers the waiting level lacks: any at all, or one who has not approved another level."""

    any_at_all: bool = False
    a_second: bool = False


class Identifying:
    """Identifies requesters and voters."""

    def __init__(
        self,
        *,
        people: People,
        groups: ApproverGroups,
        identities: Identities,
        configuration: CurrentConfiguration,
        outcomes: Outcomes,
        clock: Clock,
    ) -> None:
        self._people, self._groups, self._identities = people, groups, identities
        self._configuration = configuration
        self._outcomes = outcomes
        self._absent: TTLCache[tuple[str, str], None] = TTLCache(ABSENT, ABSENT_FOR, timer=clock.epoch)
        self._absent_in = (0, 0)  # the state of members and rules in which they were absent

    async def identify(self, request: AccessRequest, *, earlier: Requester | None) -> Identified:
        """Identify the requester from the current rosters and records.

        `earlier` is the result of the last reconcile.
        """
        rules = self._configuration.value.identity  # use the same rules to the end, even if the file changes
        names = () if request.replica_of else await self._names(request.requester, rules)
        wanted = names_to_look_up(request.requester, rules, names or ())
        known = await self._people.known(wanted)
        # keeps the requester identified while rosters cannot be read
        remembered = (earlier.person,) if earlier and earlier.person else ()
        directory = Directory((*remembered, *known.people), names or (), complete=known.complete)
        requester = identify_requester(request.requester, rules, directory)
        if names is None:
            return Identified(replace(request, complete=False), requester.refusing_as(earlier), known.complete)
        return Identified(request, requester, known.complete)

    async def missing_approvers(self, record: Record) -> MissingApprovers:
        """Return whether no member of the channel may decide, or approve, at the waiting level.

        Call it once the rosters are read. While the roster is unavailable, the last result stays. While a group is
        unread, each member may be in it.
        """
        channel, request = self._configuration.value.home(record), record.request
        level = request.waiting if request else None
        if channel is None or level is None or record.requester is None:
            return MissingApprovers()
        try:
            members = await self._people.roster(channel.conversation)
        except RosterUnavailable:  # the directory has logged why
            return MissingApprovers(any_at_all=record.no_approver, a_second=record.no_second_approver)
        approvers, tenant_id = channel.approvers_at(level.step), self._configuration.tenant_id
        listed = listed_approvers(approvers, await self._groups.read(approvers))
        may_be_requester = record.requester.person_check()
        others = other_levels(record, level.step, self._configuration.value.identity)
        restricted, found = channel.one_level_at(level.step), False
        found_among = await self._groups.among(members, listed, tenant_id=tenant_id)
        async for each in in_turns(found_among.values()):
            if may_be_requester(each):
                continue
            if not restricted or others.approved_by(each) is False:
                return MissingApprovers()
            found = True
            if not others.certain:
                break  # the same for all others
        return MissingApprovers(
            any_at_all=bool(members) and not found, a_second=found
        )  # an empty roster proves nothing

    async def voters(self, request: AccessRequest, *, record: Record) -> dict[str, Person]:
        """Return the Teams users who voted outside Teams, by AWS's spelling.

        Left out are votes of the row's decisions, voters that the row knows already, and voters that are no Teams user.
        """
        votes = [(level.step, vote) for level in request.levels for vote in level.votes or ()]
        outside = {
            vote.by
            for step, vote in votes
            if not any(each.step == step and voted_by(vote, each) for each in record.decisions)
        }
        return await self._voters(sorted(outside - dict(record.voter_users).keys()), request.key.account)

    async def _voters(self, spellings: Sequence[str], account: str) -> dict[str, Person]:
        """Return the Teams users among the voters of an account, by AWS's spelling. All are looked up together."""
        absent, rules = self._absent_now(), self._configuration.value.voter_rules(account)
        wanted = [by for by in spellings if (account, by) not in absent]
        if not wanted:
            return {}
        generation, records = self._people.generation, await self._records(wanted, rules)
        names = frozenset().union(*(names_to_look_up(by, rules, record or ()) for by, record in records.items()))
        known = await self._people.known(names)
        found: dict[str, Person] = {}
        for by, record in records.items():
            directory = Directory(known.people, record or (), complete=known.complete)
            if person := identify_requester(by, rules, directory).person:
                found[by] = person
            elif known.complete and record is not None and generation == self._people.generation:
                absent[account, by] = None
        return found

    async def _records(self, voters: Sequence[str], rules: IdentityRules) -> dict[str, tuple[str, ...] | None]:
        """Return the names in the voters' Identity Center records, a few read at once; None for an unreadable one.

        An unreadable one is no problem of the installation: the name is only shown.
        """
        slots = asyncio.Semaphore(RECORDS_AT_ONCE)

        async def names(by: str) -> tuple[str, ...] | None:
            if not needs_record(by, rules):
                return ()
            async with slots:
                try:
                    return await self._identities.names(by)
                except AwsUnavailable:
                    return None

        return dict(zip(voters, await asyncio.gather(*map(names, voters)), strict=True))

    def _absent_now(self) -> TTLCache[tuple[str, str], None]:
        """Return the voters who are no Teams user, by account and AWS's spelling. Members or rules may have changed."""
        state = self._people.generation, self._configuration.revision
        if state != self._absent_in:
            self._absent.clear()
            self._absent_in = state
        return self._absent

    async def _names(self, principal: str, rules: IdentityRules) -> tuple[str, ...] | None:
        """Return the names in a user's Identity Center record; empty if it is not needed, None if unreadable."""
        if not needs_record(principal, rules):
            return ()
        try:
            names = await self._identities.names(principal)
        except AwsUnavailable as unavailable:
            self._outcomes.failed(Work.IDENTITY_CENTER, code=unavailable.code)
            return None
        self._outcomes.succeeded(Work.IDENTITY_CENTER)
        return names
