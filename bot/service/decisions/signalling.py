"""Carries claimed decisions to AWS: each waits for its turn in the queue, and is tried while it stays claimed.

`bot.service.decisions.signal_attempt` makes one attempt. After a crash, the reconciler lets another process take over.
"""

import itertools
from contextlib import suppress

from bot.concurrency.backoff import backoff
from bot.concurrency.waiting import first_of
from bot.domain.decision import Decision
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import StoreUnavailable
from bot.service.decisions.held_decision import HeldDecision
from bot.service.decisions.queue import DecisionQueue, Ticket
from bot.service.decisions.signal_attempt import SignalAttempt, SignalServices

QUEUE_RENEWALS = (20.0, 40.0)  # seconds until the first and every further renewal; the first hold may be HOLD
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between attempts while AWS throttles


class Signalling:
    """Sends claimed decisions, each at its turn, and retries each one while it stays claimed."""

    def __init__(self, services: SignalServices, queue: DecisionQueue) -> None:
        self._services, self.queue = services, queue
        self._clock = services.clock
        self._carried = set[str]()

    async def carry(self, key: RequestKey, decision_id: str, ticket: Ticket, *, claimed: Record | None = None) -> None:
        """Wait for the decision's turn, and work on it until it is no longer claimed. `ticket` has entered the queue.

        `claimed` is the row as the claim has just stored it: a turn that began with the claim needs no further write.
        If the ticket is dismissed before the turn, another process may take the decision over at once. Raises
        StoreUnavailable if the store fails for longer than a hold; then a process takes the decision over.
        """
        services = self._services
        held = HeldDecision(key, decision_id, rows=services.rows, permission=services.permission, clock=services.clock)
        self._carried.add(decision_id)
        begun = claimed if claimed and held.has_turn_in(claimed) else None
        try:
            if begun and not ticket.has_turn:  # the queue became busy during the claim
                await held.queue_again()
                begun = None
            await self._turn(held, ticket)
            if ticket.dismissed:
                await held.hand_over()
            else:
                await self._send(SignalAttempt(services, held), begun)
        finally:
            ticket.leave()
            self._carried.discard(decision_id)

    async def take_over(self, key: RequestKey, decision: Decision) -> None:
        """Continue a decision whose process has ended. Does nothing if this process works on it already."""
        if decision.id not in self._carried:
            ticket = self.queue.resume(key, decision)
            ticket.enter()
            await self.carry(key, decision.id, ticket)

    async def _turn(self, held: HeldDecision, ticket: Ticket) -> None:
        """Wait until the turn, the decision's time limit, the end of its claim, or the end of the process."""
        pauses = itertools.chain(QUEUE_RENEWALS, itertools.repeat(QUEUE_RENEWALS[-1]))
        pause, renewed = next(pauses), None
        while not (ticket.has_turn or ticket.dismissed):
            if await first_of(ticket.called.wait(), self._clock.sleep(pause)):
                continue
            with suppress(StoreUnavailable):  # the next renewal may succeed; if none does, others take it over
                renewed = await held.wait_on()
                if renewed is None:
                    return  # the attempt finds nothing to send
            if renewed and renewed.is_expired(self._clock.now()):
                return  # it is not sent: the attempt settles it
            pause = min(next(pauses), self._until(renewed))

    def _until(self, renewed: Decision | None) -> float:
        """Return the seconds until just after its deadline, or until the first renewal if it was not read yet."""
        return (renewed.deadline - self._clock.now()).total_seconds() + 0.001 if renewed else QUEUE_RENEWALS[0]

    async def _send(self, attempt: SignalAttempt, begun: Record | None) -> None:
        failures = 0
        while await attempt.run(begun):
            begun = None
            await self._clock.sleep(backoff(failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE))
            failures += 1
