"""Lets claimed decisions wait for their turn, fairly, in each account and Region. Start with `DecisionQueue.reserve`.

AWS allows 3 signals a second in an account and Region. Only some decisions have their turn at a time; the rest waits
here instead of in the rate limiter, whose callers give up after seconds. Decisions that refuse or end access go first;
among equals, people take turns. The queue is in memory: a queued decision is a claimed one in its row, and after a
crash the process that takes it over queues it again. It must not know rows or ports.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from enum import IntEnum

from bot.domain.decision import Decision
from bot.domain.identity import Person
from bot.domain.request import Action, RequestKey, Verdict
from bot.text.names import exact

SIGNALS_A_SECOND = 3.0  # decisions a second that AWS accepts in an account and Region
TURNS = 9  # decisions at a time: each takes about a second, and at most 3 seconds' worth of them wait for the quota
FEWEST_TURNS = 2  # decisions at a time in one process, however many replicas there are
MOST_OF_A_PERSON = 300  # decisions of one person in an account and Region
MOST = 750  # decisions of all people there: sent in 250 seconds, so none waits for the five minutes that it has


class Lane(IntEnum):
    """Priority of a decision: the lowest number goes first."""

    RESUMED = 0  # its turn began before a crash, so its time is running
    STOPPING = 1  # reject, cancel, revoke
    APPROVING = 2


def lane_of(action: Action) -> Lane:
    """Return the lane of a new decision."""
    return Lane.APPROVING if action is Verdict.APPROVE else Lane.STOPPING


class QueueFull(Exception):
    """The person, or all people together, have too many decisions in progress; this one was not queued."""


class Ticket:
    """One decision in the queue: reserved until its claim is stored, then waiting, then with its turn.

    `called` is set when the turn begins, or when the ticket is `dismissed` because the process ends.
    """

    def __init__(self, line: "_Line", lane: Lane, person: str) -> None:
        self.lane, self.person, self.called = lane, person, asyncio.Event()
        self.has_turn = self.dismissed = False
        self._line = line

    @property
    def seconds(self) -> float:
        """The estimated seconds until the turn begins, if AWS is fast; 0 for a decision that has its turn."""
        return 0.0 if self.has_turn else self._line.ahead_of(self) / self._line.rate

    def enter(self) -> None:
        """Enter the queue. The turn may begin at once."""
        self._line.enter(self)

    def leave(self) -> None:
        """Give up the place in the queue, or the turn."""
        self._line.leave(self)


class DecisionQueue:
    """The queues of all accounts and Regions. `replicas` is the number of processes that share AWS's quotas."""

    def __init__(self, *, replicas: int = 1) -> None:
        self._replicas, self._lines = replicas, dict[tuple[str, str], _Line]()

    def reserve(self, key: RequestKey, action: Action, person: Person) -> Ticket:
        """Return a ticket for a decision that is about to be claimed. Raises QueueFull."""
        line, who = self._line(key), exact(person.object_id)
        if line.tickets.total() >= MOST // self._replicas or line.tickets[who] >= MOST_OF_A_PERSON // self._replicas:
            raise QueueFull
        return line.ticket(lane_of(action), who)

    def resume(self, key: RequestKey, decision: Decision) -> Ticket:
        """Return a ticket for a decision whose process has ended, even if the queue is full: it was accepted before."""
        lane = Lane.RESUMED if decision.turn_at else lane_of(decision.verdict)
        return self._line(key).ticket(lane, exact(decision.person.object_id))

    def is_busy(self, key: RequestKey) -> bool:
        """True if a decision on this request would have to wait now."""
        return self._line(key).is_busy

    def close(self) -> None:
        """Dismiss every waiting decision, because the process ends."""
        for line in self._lines.values():
            line.dismiss_all()

    def _line(self, key: RequestKey) -> "_Line":
        place = (key.account, key.region)
        if place not in self._lines:
            self._lines[place] = _Line(self._replicas)
        return self._lines[place]


class _Line:
    """The queue of one account and Region. In each lane, people take turns."""

    def __init__(self, replicas: int) -> None:
        self.rate = SIGNALS_A_SECOND / replicas
        self.tickets = Counter[str]()  # by person, in every state
        self._turns = max(FEWEST_TURNS, TURNS // replicas)
        self._lanes = {lane: OrderedDict[str, deque[Ticket]]() for lane in Lane}
        self._having = set[Ticket]()

    @property
    def is_busy(self) -> bool:
        return len(self._having) >= self._turns or any(self._lanes.values())

    def ticket(self, lane: Lane, person: str) -> Ticket:
        self.tickets[person] += 1
        return Ticket(self, lane, person)

    def enter(self, ticket: Ticket) -> None:
        self._lanes[ticket.lane].setdefault(ticket.person, deque()).append(ticket)
        self._begin_turns()

    def leave(self, ticket: Ticket) -> None:
        self._having.discard(ticket)
        waiting = self._lanes[ticket.lane].get(ticket.person)
        if waiting and ticket in waiting:
            waiting.remove(ticket)
            self._drop_if_empty(ticket)
        self.tickets[ticket.person] -= 1
        self._begin_turns()

    def ahead_of(self, ticket: Ticket) -> int:
        """Return how many decisions are ahead of this one, at most, if no others come.

        The ticket itself counts, too, once it has entered the queue.
        """
        earlier = sum(len(waiting) for lane in Lane if lane < ticket.lane for waiting in self._lanes[lane].values())
        own = self._lanes[ticket.lane].get(ticket.person, deque())
        rounds = own.index(ticket) + 1 if ticket in own else len(own) + 1
        beside = sum(min(len(waiting), rounds) for waiting in self._lanes[ticket.lane].values())
        return len(self._having) + earlier + beside

    def dismiss_all(self) -> None:
        waiting = [ticket for lane in self._lanes.values() for tickets in lane.values() for ticket in tickets]
        for lane in self._lanes.values():
            lane.clear()
        for ticket in waiting:
            ticket.dismissed = True
            ticket.called.set()

    def _begin_turns(self) -> None:
        while len(self._having) < self._turns and (ticket := self._next()):
            self._having.add(ticket)
            ticket.has_turn = True
            ticket.called.set()

    def _next(self) -> Ticket | None:
        """Take the next decision out of the lanes, and return its ticket; None if all lanes are empty.

        The person's other decisions then wait behind other people's.
        """
        for lane in Lane:
            for person, waiting in self._lanes[lane].items():
                ticket = waiting.popleft()
                self._lanes[lane].move_to_end(person)
                self._drop_if_empty(ticket)
                return ticket
        return None

    def _drop_if_empty(self, ticket: Ticket) -> None:
        if not self._lanes[ticket.lane][ticket.person]:
            del self._lanes[ticket.lane][ticket.person]
