"""Plays many decisions at once on the injected clock, under AWS's quotas as token buckets.

The processes share a store. Each run gives the same result.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from bot.domain.decision import Decision
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.service.clicks.click import Answer, Verb
from tests.fakes.aws import FakeAws
from tests.fakes.chat import TARO_PERSON, FakeChat, FakePeople, person
from tests.fakes.clock import ManualClock
from tests.fakes.quotas import QuotaAws, Quotas
from tests.fakes.store import MemoryStore, Tables
from tests.fakes.world import World, current_configuration

APPROVERS = tuple(person(number) for number in range(10, 40))
LONGEST = 330  # seconds after the clicks, when every decision has its result


@dataclass(slots=True)
class Burst:
    """Several processes on one store, requests with their cards, and the answers to clicks."""

    replicas: int
    clock: ManualClock = field(default_factory=ManualClock)
    tables: Tables = field(default_factory=Tables)
    answers: list[tuple[float, Answer]] = field(default_factory=list)  # seconds until the answer
    aws: FakeAws = field(init=False)
    quotas: Quotas = field(init=False)
    worlds: list[World] = field(init=False)
    loops: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the processes. `requested` starts their loops."""
        self.aws, self.quotas = FakeAws(self.clock), Quotas(self.clock)
        chat, people = FakeChat(), FakePeople([*APPROVERS, TARO_PERSON])
        self.worlds = [
            World(
                self.clock,
                cast("FakeAws", QuotaAws(self.aws, self.quotas, replicas=self.replicas)),
                chat,
                people,
                MemoryStore(self.tables),
                current_configuration(),
                owner=f"replica-{number}",
                sharing=self.replicas,
            )
            for number in range(self.replicas)
        ]

    async def requested(self, count: int, *, required: int = 1) -> list[RequestKey]:
        """Add requests to AWS and the store, start the processes, and let them post the cards. Return the requests' keys."""
        world, keys = self.worlds[0], [self.aws.add(number, required=required) for number in range(1, count + 1)]
        requester = (await world.reconciler._identifying.identify(self.aws.requests[keys[0]], earlier=None)).requester
        for key in keys:

            def known(row: Record, key: RequestKey = key) -> Record:
                seen = row.observed(self.aws.requests[key], requester, at=self.clock.now(), since=0)
                return world.reconciler._routed(seen).requeue_by(self.clock.now())

            await world.rows.apply(key, known)
        self.loops = [asyncio.create_task(each.reconcile_loop.run()) for each in self.worlds]
        await self.clock.advance(count)
        return keys

    async def click(self, number: int, key: RequestKey, who: Person, verb: Verb = Verb.APPROVE) -> None:
        """Click at one of the processes, and keep the answer."""
        began = self.clock.now()
        answer = await self.worlds[number % self.replicas].press(key, who, verb)
        self.answers.append(((self.clock.now() - began).total_seconds(), answer))

    def decisions(self) -> list[Decision]:
        """Return every decision in the store."""
        return [each for record in self.tables.records.values() for each in record.decisions]

    def latest(self, sent: dict[str, datetime]) -> float:
        """Return the longest time in seconds from a click until its decision is stored as sent. `sent` is not empty."""
        clicked = {each.id: each.clicked_at for each in self.decisions()}
        return max((sent[name] - clicked[name]).total_seconds() for name in sent if name in clicked)

    def sent_at(self) -> dict[str, datetime]:
        """Return when each decision was stored as sent, by its id."""
        return {entry.decision: entry.at for entry in self.tables.audit if entry.event == "sent"}

    def busiest(self, operation: str) -> int:
        """Return the most calls of an operation in any ten seconds."""
        calls = self.quotas.calls.get(operation, [])
        return max((sum(0 <= (other - at).total_seconds() < 10 for other in calls) for at in calls), default=0)


async def burst_of(replicas: int, count: int, *, approvers: Sequence[Person] = APPROVERS) -> Burst:
    """Let the approvers click on all cards at the same moment. Return the burst after LONGEST seconds."""
    burst = Burst(replicas)
    keys = await burst.requested(count)
    clicks = [
        asyncio.create_task(burst.click(number, key, approvers[number % len(approvers)]))
        for number, key in enumerate(keys)
    ]
    await burst.clock.advance(LONGEST)
    await asyncio.gather(*clicks)
    return burst
