"""Remembers rosters that Teams refuses, or returns without what the bot needs; reports them to log and metric.

Such a roster may stay as it is until an administrator acts, so each problem of a channel is logged once. The check
`roster <channel>` reports them to readiness.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import structlog

from bot.telemetry import Telemetry

log = structlog.get_logger(__name__)


class RosterProblem(StrEnum):
    """What is wrong with a channel's roster."""

    REFUSED = "refused"  # Teams refuses the pages; members are requested one by one
    EMPTY = "empty"  # the pages have no people; members are requested one by one
    ENDLESS = "endless"  # the pages do not end; members are requested one by one
    NO_TENANT = "no_tenant"  # a member has no usable tenant id, even if requested singly
    NO_ADDRESS = "no_address"  # a member has no UPN, even if requested singly


_OF_PAGES: Final = (RosterProblem.REFUSED, RosterProblem.EMPTY, RosterProblem.ENDLESS)


class RosterProblems:
    """The current problems of all channels."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._current: set[tuple[str, RosterProblem]] = set()
        self._logged: set[tuple[str, RosterProblem]] = set()  # until the pages are without this problem

    def pages_read(self, conversation: str, problem: RosterProblem | None, *, members_complete: bool) -> None:
        """Store the result of a read. `members_complete` is True if the pages have all that the bot needs."""
        ended = RosterProblem if members_complete else _OF_PAGES
        for each in ended:
            if each is not problem:
                self._end(conversation, each)
        if problem:
            self._begin(conversation, problem)

    def beginning_read(self, conversation: str, *, is_empty: bool) -> None:
        """Store that Teams returned the first page, which says nothing about further pages.

        `is_empty` is True if the page has no people and no page follows.
        """
        if is_empty:
            self._begin(conversation, RosterProblem.EMPTY)
        else:
            for each in (RosterProblem.REFUSED, RosterProblem.EMPTY):
                self._end(conversation, each)

    def member_read(self, conversation: str, *, has_tenant: bool, has_upn: bool) -> None:
        """Store what is missing in a member that was requested singly."""
        for problem, present in ((RosterProblem.NO_TENANT, not has_tenant), (RosterProblem.NO_ADDRESS, not has_upn)):
            if present:
                self._begin(conversation, problem)
            else:
                self._current.discard((conversation, problem))

    def of(self, conversation: str) -> Sequence[RosterProblem]:
        """Return the current problems of a channel."""
        return sorted(problem for place, problem in self._current if place == conversation)

    def _end(self, conversation: str, problem: RosterProblem) -> None:
        self._current.discard((conversation, problem))
        self._logged.discard((conversation, problem))

    def _begin(self, conversation: str, problem: RosterProblem) -> None:
        self._current.add((conversation, problem))
        if (conversation, problem) in self._logged:
            return
        self._logged.add((conversation, problem))
        self._telemetry.roster_problems.labels(problem=problem).inc()
        log.warning("roster_degraded", conversation=conversation, problem=problem)
