"""The domains of the people who act in a role: its trust policy may require a session name in their domain.

Trust policies compare letter case. So a domain is spelled as in the user principal names, and as many domains are
returned as there are spellings.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from bot.concurrency.turns import in_turns
from bot.domain.identity import Person
from bot.domain.members import Members
from bot.domain.rules.approvers import listed_approvers
from bot.domain.rules.permission import may_be_approver
from bot.ports.teams import People, RosterUnavailable
from bot.service.approver_groups import ApproverGroups
from bot.service.checks.check import NotChecked
from bot.service.current_configuration import CurrentConfiguration

PATIENCE: Final = 10.0  # seconds for all rosters; less than one check may take
SIDE_BY_SIDE: Final = 8  # rosters at once


@dataclass(frozen=True, slots=True)
class Group:
    """The members of a conversation who may be among `approvers`, which are written as in node-access.toml."""

    conversation: str
    approvers: tuple[str, ...]


class Domains:
    """The domains of groups. One object is for one round: each roster is read once, and each group counted once."""

    def __init__(self, configuration: CurrentConfiguration, people: People, groups: ApproverGroups) -> None:
        self._people, self._groups, self._tenant_id = people, groups, configuration.tenant_id
        self._others = sorted(configuration.value.identity.people_domains)
        self._rosters: dict[str, Members] = {}  # by conversation
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._counts: dict[Group, Counter[str]] = {}
        self._counting: defaultdict[Group, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def most_frequent(self, groups: Collection[Group], *, most: int) -> list[str]:
        """Return the domains of the people in these groups, the most frequent first, `most` of them at most.

        People whose UPN cannot be the name of a session do not count: they act under their object id. Members of a
        roster that cannot be read do not count either. If no domain is found, the result has those of the listed names,
        else the first of `people_domains`. Raises NotChecked if there is none either, or if the rosters are not read
        within PATIENCE.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                counts = await asyncio.gather(*map(self._of, groups))
        except TimeoutError:
            raise NotChecked from None
        total = sum(counts, Counter()) or Counter(map(_domain_of, _listed_people(groups)))
        del total[""]
        found = sorted(total, key=lambda domain: (-total[domain], domain))[:most] or self._others[:1]
        if not found:
            raise NotChecked
        return found

    async def _of(self, group: Group) -> Counter[str]:
        async with self._counting[group]:
            if group not in self._counts:
                self._counts[group] = await self._counted(group)
            return self._counts[group]

    async def _counted(self, group: Group) -> Counter[str]:
        listed = listed_approvers(group.approvers, await self._groups.read(group.approvers))
        domains: Counter[str] = Counter()
        async for each in in_turns(await self._roster(group.conversation)):
            if may_be_approver(each, listed, requester=None, tenant_id=self._tenant_id):
                domains[_domain_of(each)] += 1
        del domains[""]
        return domains

    async def _roster(self, conversation: str) -> Members:
        async with self._reading[conversation], self._slots:
            if conversation not in self._rosters:
                try:
                    self._rosters[conversation] = await self._people.roster(conversation)
                except RosterUnavailable:
                    self._rosters[conversation] = Members()
            return self._rosters[conversation]


def _listed_people(groups: Collection[Group]) -> list[Person]:
    listed = (each for group in groups for each in group.approvers if each.startswith("upn:"))
    return [Person("", "", upn=each.removeprefix("upn:")) for each in listed]


def _domain_of(person: Person) -> str:
    """Return the domain of the name under which the person acts; empty if that name has none."""
    return person.session_name.rpartition("@")[2] if "@" in person.session_name else ""
