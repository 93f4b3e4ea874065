"""Lets one request at a time find out whether a conversation that refused a post still refuses posts.

If a channel refuses its cards, each repeated post may leave one more message in Teams. So only the oldest request
repeats its post, and the other requests wait for it. The state is in memory: each process finds out for itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cachetools import LRUCache

from bot.domain.record import Record
from bot.ports.clock import Clock
from bot.ports.teams import ChatProblem

KNOWN: Final = 1024  # conversations
PATIENCE: Final = timedelta(seconds=10)  # a request that is overdue by more is gone, and another one may post instead
BEHIND: Final = timedelta(seconds=1)  # how long after the oldest request the other requests may post
LASTING: Final = timedelta(minutes=1)  # in this time, the first refusal of another request counts as lasting

Rank = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class _Probe:
    """The request that repeats its post, and when.

    If `lasting`, the reason of the refusal, and the time until which no request has to wait.
    """

    rank: Rank
    until: datetime
    lasting: ChatProblem | None = None


class Probing:
    """Knows which conversations refused the last post."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._probes: LRUCache[str, _Probe] = LRUCache(KNOWN)

    def waits_until(self, conversation: str, record: Record) -> datetime | None:
        """Return when this request may post; None if it may post now."""
        probe, now = self._probes.get(conversation), self._clock.now()
        if probe is None or probe.lasting or _rank(record) <= probe.rank:
            return None
        if not now - PATIENCE <= probe.until <= now + LASTING:  # the request is gone, or the clock was set back
            return None
        return max(probe.until, now) + BEHIND

    def is_lasting(self, conversation: str, problem: ChatProblem) -> bool:
        """True if the conversation refused a repeated post for the same reason, less than LASTING ago."""
        probe, now = self._probes.get(conversation), self._clock.now()
        return probe is not None and probe.lasting is problem and now < probe.until <= now + LASTING

    def refused(self, conversation: str, record: Record, *, until: datetime) -> None:
        """Remember that this request repeats its post at `until`, unless an older request repeats its own."""
        probe, rank = self._probes.get(conversation), _rank(record)
        if probe is None or probe.lasting or rank <= probe.rank or probe.until < self._clock.now() - PATIENCE:
            self._probes[conversation] = _Probe(rank, until)

    def lasts(self, conversation: str, record: Record, problem: ChatProblem) -> None:
        """Remember that the conversation refuses posts, so that other requests no longer wait for this one."""
        self._probes[conversation] = _Probe(_rank(record), self._clock.now() + LASTING, problem)

    def accepted(self, conversation: str) -> None:
        """Remember that the conversation accepts posts."""
        self._probes.pop(conversation, None)


def _rank(record: Record) -> Rank:
    return record.created_at, str(record.key)
