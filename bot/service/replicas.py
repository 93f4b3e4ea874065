"""Which stored values this process may write, and which buttons it may offer: those that every process knows.

Processes of several versions may share a store during an upgrade. Each registers in the store every REGISTERED_EVERY
seconds, with the values that it can read and earlier versions cannot, and with new buttons: any process may get a
click. A new value is written, and a new button offered, only once as many processes as are expected
(NODE_ACCESS_REPLICAS) have registered it, and no running process lacks it. A version that does not register is not
counted, so the values wait until it is replaced. A process that is expected to be the only one need not wait.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from bot.domain.abilities import Abilities
from bot.domain.decision import Decision, Outcome
from bot.domain.record import Record
from bot.domain.request import Withdrawal
from bot.domain.surface import SurfaceKind
from bot.ports.clock import Clock
from bot.ports.store import Replica, Store, StoreUnavailable
from bot.telemetry import Telemetry

REGISTERED_EVERY: Final = 20.0  # seconds
RUNNING: Final = timedelta(seconds=90)  # a process that did not register for this long has ended
OLDER: Final[Mapping[Outcome, Outcome]] = {
    Outcome.NOT_PERMITTED: Outcome.NOT_ROUTED,
    Outcome.WITHDRAWN: Outcome.EXPIRED,
}
"""The outcomes that earlier versions cannot read, and what is stored until every process can read them."""
_LIVING: Final = f"surface:{SurfaceKind.LIVING}"  # until every process can read it, each state has its own message
_GIVE_BACK: Final = f"verb:{Withdrawal.GIVE_BACK}"  # until every process knows the button, it is not offered
_ENDINGS: Final = "row:endings"  # until every process works on them, no one can end sessions
KNOWN: Final = frozenset({_LIVING, _GIVE_BACK, _ENDINGS, *(f"outcome:{each}" for each in OLDER)})
log = structlog.get_logger(__name__)


class Replicas:
    """Registers this process, `owner`, and knows which values every process can read.

    `expected` is the number of processes that share the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        owner: str,
        expected: int,
        knows: frozenset[str] = KNOWN,
    ) -> None:
        self._store, self._clock, self._telemetry, self._owner = store, clock, telemetry, owner
        self._expected, self._knows = expected, knows
        self._shared = knows if expected == 1 else frozenset[str]()

    async def run(self) -> None:
        """Register this process every REGISTERED_EVERY seconds, and read which others run, until cancelled."""
        while True:
            try:
                await self.register()
            except StoreUnavailable:
                self._telemetry.store_errors.inc()
            await self._clock.sleep(REGISTERED_EVERY)

    async def register(self) -> None:
        """Register this process, and find out which values all running processes can read. Raises StoreUnavailable."""
        now = self._clock.now()
        await self._store.register_replica(Replica(self._owner, self._knows, now))
        shared = self._known_by_all(await self._store.replicas(now - RUNNING))
        if shared != self._shared:
            log.info("values_known_by_all", count=len(shared))
        self._shared = shared

    def abilities(self) -> Abilities:
        """Return what every running process can do."""
        return Abilities(
            end_sessions=_ENDINGS in self._shared,
            living_messages=_LIVING in self._shared,
            give_back=_GIVE_BACK in self._shared,
        )

    def storable(self, record: Record) -> Record:
        """Return the row with values that every running process can read."""
        if all(self._is_storable(each.outcome) for each in record.decisions):
            return record
        return replace(record, decisions=tuple(map(self._as_storable, record.decisions)))

    def _as_storable(self, decision: Decision) -> Decision:
        if decision.outcome is None or self._is_storable(decision.outcome):
            return decision
        return replace(decision, outcome=OLDER[decision.outcome], detail="")

    def _is_storable(self, outcome: Outcome | None) -> bool:
        return outcome not in OLDER or f"outcome:{outcome}" in self._shared

    def _known_by_all(self, running: Sequence[Replica]) -> frozenset[str]:
        if len(running) < self._expected:
            return frozenset()
        return self._knows.intersection(*(each.knows for each in running))
