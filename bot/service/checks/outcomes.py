"""Remembers what failed and has not succeeded since, for the checks that only look at what this process has seen.

Services and adapters report here the result of work that no question can test in advance, for example whether Teams
accepts a direct message.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, TypeVar

from bot.ports.clock import Clock

KEPT: Final = 1024  # subjects of one kind of work; each is a person, a role, a conversation or a host

T = TypeVar("T")


class Work(Enum):
    """The kinds of work that are reported. A subject distinguishes the failures of one kind."""

    POST = auto()  # a new card; the subject is the conversation
    DIRECT = auto()  # a direct message; the subject is a person's object id
    # a decision that was sent, or the end of a session; the subject is the role's ARN, empty for the bot's own
    SIGNAL = auto()
    ACTIVITY = auto()  # an activity with a valid signature; the subject is the reason for refusing it
    CHANNEL = auto()  # the check of a channel: Teams knows it, and the bot is in it; the subject is the conversation
    SERVICE_HOST = auto()  # a service URL; the subject is its host
    IDENTITY_CENTER = auto()  # a user record; no subject
    EVENT = auto()  # an event of a new request; the subject is account and Region
    READING = auto()  # a complete read of a request; the subject is account and Region
    REQUESTER = auto()  # the requesters of the open requests; the subject is account and Region


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a subject. `detail` is the wrong value, if known; `count`, how many failed in a row."""

    code: str
    detail: str
    at: datetime
    count: int


class Outcomes:
    """The last failure of each kind of work and subject, until the same succeeds.

    Of each kind, the KEPT subjects that were reported last are remembered.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[Work, dict[str, Failure]] = {each: {} for each in Work}
        self._succeeded: dict[Work, dict[str, datetime]] = {each: {} for each in Work}

    def failed(self, work: Work, subject: str = "", *, code: str, detail: str = "") -> None:
        """Remember a failure, and count it if earlier ones have not been followed by a success."""
        earlier = self._failures[work].get(subject)
        failure = Failure(code, detail, self._clock.now(), 1 + (earlier.count if earlier else 0))
        _remember(self._failures[work], subject, failure)

    def succeeded(self, work: Work, subject: str = "") -> None:
        """Forget the failure of this work and subject, and remember the success."""
        self._failures[work].pop(subject, None)
        _remember(self._succeeded[work], subject, self._clock.now())

    def failures(self, work: Work, *, within: timedelta) -> dict[str, Failure]:
        """Return the failures of this kind by subject, without those that are older than `within`."""
        earliest = self._clock.now() - within
        return {subject: each for subject, each in self._failures[work].items() if each.at >= earliest}

    def failure(self, work: Work, subject: str = "", *, within: timedelta) -> Failure | None:
        """Return the failure of one subject; None if there is none, or it is older than `within`."""
        return self.failures(work, within=within).get(subject)

    def last_success(self, work: Work) -> datetime | None:
        """Return when this kind of work last succeeded, for any subject; None if it has not, or if it was forgotten."""
        return max(self._succeeded[work].values(), default=None)

    def has_succeeded(self, work: Work, *, within: timedelta) -> bool:
        """Return whether this kind of work succeeded within the span, for any subject."""
        last = self.last_success(work)
        return last is not None and abs(self._clock.now() - last) < within


def _remember(known: dict[str, T], subject: str, value: T) -> None:
    """Make a subject the newest one, and forget the oldest if there are more than KEPT."""
    known.pop(subject, None)
    known[subject] = value
    if len(known) > KEPT:
        del known[next(iter(known))]
