"""The domains of the people who act in a role: its trust policy may require a session name in their domain."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

from bot.concurrency.turns import in_turns
from bot.domain.configuration import Configuration
from bot.domain.routing import Channel
from bot.ports.teams import People, RosterUnavailable
from bot.service.checks.check import NotChecked
from bot.text.names import caseless

PATIENCE: Final = 10.0  # seconds for all rosters; less than one check may take
SIDE_BY_SIDE: Final = 8  # rosters at once


class Domains:
    """The domains of the people of each channel. One object is for one round of checks: each roster is counted once."""

    def __init__(self, configuration: Configuration, people: People) -> None:
        self._people, self._others = people, sorted(configuration.identity.people_domains)
        self._counts: dict[str, Counter[str]] = {}  # by the channel's name
        self._counting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def most_frequent(self, channels: Collection[Channel]) -> str:
        """Return the most frequent domain of members and listed approvers of these channels.

        Members of a roster that cannot be read do not count. If no domain is found, it is the first of
        `people_domains`. Raises NotChecked if there is none either, or if the rosters are not read within PATIENCE.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                counts = await asyncio.gather(*(self._of(channel) for channel in channels))
        except TimeoutError:
            raise NotChecked from None
        total: Counter[str] = Counter()
        for each in counts:
            total += each
        if total:
            return total.most_common(1)[0][0]
        if not self._others:
            raise NotChecked
        return self._others[0]

    async def _of(self, channel: Channel) -> Counter[str]:
        async with self._counting[channel.name], self._slots:
            if channel.name not in self._counts:
                self._counts[channel.name] = await self._counted(channel)
            return self._counts[channel.name]

    async def _counted(self, channel: Channel) -> Counter[str]:
        domains = Counter(map(_domain_of, _listed_names(channel)))
        with suppress(RosterUnavailable):
            async for each in in_turns(await self._people.roster(channel.conversation)):
                if not each.guest:
                    domains[_domain_of(each.upn or "")] += 1
        del domains[""]
        return domains


def _listed_names(channel: Channel) -> Iterator[str]:
    for approvers in (channel.approvers, *(rule.approvers for rule in channel.levels)):
        yield from (each.removeprefix("upn:") for each in approvers if each.startswith("upn:"))


def _domain_of(upn: str) -> str:
    return caseless(upn).rpartition("@")[2]
