"""The Groups port over Microsoft Graph: each group is read once at a time, and trusted for a minute.

A group that cannot be read has no members: what was read earlier does not count.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Self

import structlog
from cachetools import LRUCache

from bot.concurrency.single_flight import SingleFlight
from bot.ports.clock import Clock
from bot.ports.teams import GroupProblem, GroupUnavailable
from bot.teams.groups.graph import Graph, GraphThrottled
from bot.teams.outbound.connector import CallKind
from bot.telemetry import Telemetry

TRUSTED_FOR: Final = 60.0  # seconds from the beginning of a read; a person who was removed may decide for as long
UNREAD_FOR: Final = 1.5  # seconds after a failed read, so that many clicks at once cause one call
PATIENCE: Final = 1.0  # seconds; a click must be answered within 2.5. A slower read continues for the next caller
LONGEST_READ: Final = 20.0  # seconds for all pages of one group
REMEMBERED: Final = 1024  # groups

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    """The result of one read. It counts from `since` for `seconds`."""

    found: frozenset[str] | GroupUnavailable
    since: float
    seconds: float


class GroupMembers:
    """Implements bot.ports.teams.Groups. Leaving the context cancels reads in progress."""

    def __init__(self, graph: Graph, *, clock: Clock, telemetry: Telemetry, patience: float = PATIENCE) -> None:
        """Take the seconds that a caller waits for a read."""
        self._graph, self._clock, self._telemetry, self._patience = graph, clock, telemetry, patience
        self._reads: LRUCache[str, _Read] = LRUCache(REMEMBERED)
        self._flight = SingleFlight(self._read)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flight.aclose()

    async def members(self, group: str) -> frozenset[str]:
        """Return the object ids of all people in the group and the groups in it. Raises GroupUnavailable."""
        found = self._current(group) or await self._flight.join_briefly(group, seconds=self._patience)
        if found is None:
            raise GroupUnavailable(GroupProblem.UNAVAILABLE, "slow")
        if isinstance(found, GroupUnavailable):
            raise GroupUnavailable(found.problem, found.detail)
        return found

    def cached_members(self, group: str) -> frozenset[str] | None:
        """Return the members if they were read within the last minute; else None. Makes no call."""
        found = self._current(group)
        return None if isinstance(found, GroupUnavailable) else found

    def _current(self, group: str) -> frozenset[str] | GroupUnavailable | None:
        read = self._reads.get(group)
        current = read is not None and 0 <= self._clock.epoch() - read.since < read.seconds
        return read.found if read and current else None

    async def _read(self, group: str) -> frozenset[str] | GroupUnavailable:
        began = self._clock.epoch()
        try:
            async with asyncio.timeout(LONGEST_READ):
                found = await self._graph.members(group)
        except TimeoutError:
            return self._failed(group, GroupUnavailable(GroupProblem.UNAVAILABLE, "slow"))
        except GroupUnavailable as problem:
            return self._failed(group, problem)
        self._reads[group] = _Read(found, began, TRUSTED_FOR)
        self._count("ok")
        return found

    def _failed(self, group: str, problem: GroupUnavailable) -> GroupUnavailable:
        seconds = max(UNREAD_FOR, problem.retry_after if isinstance(problem, GraphThrottled) else 0.0)
        self._reads[group] = _Read(problem, self._clock.epoch(), seconds)
        self._count(problem.problem)
        log.warning("group_unavailable", group=group, problem=problem.problem, code=problem.detail)
        return problem

    def _count(self, result: str) -> None:
        self._telemetry.teams_calls.labels(kind=CallKind.GROUP, result=result).inc()
