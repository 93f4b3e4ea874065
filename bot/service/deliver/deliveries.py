"""Delivers the surfaces of a row to Teams, one after another: cards, notes and direct messages.

One unreachable recipient never delays another: each surface has its own retry time in the row.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog

from bot.domain.record import Record
from bot.domain.shown.wanted import Wanted
from bot.ports.clock import Clock
from bot.ports.teams import Chat, People
from bot.service.approver_groups import ApproverGroups
from bot.service.checks.outcomes import Outcomes
from bot.service.current_configuration import CurrentConfiguration
from bot.service.deliver.delivery import Delivery, waits_until
from bot.service.deliver.failed_delivery import Outlets
from bot.service.deliver.mentioning import Mentioning
from bot.service.deliver.outbox import OutboxEntry
from bot.service.deliver.probing import Probing
from bot.service.deliver.reader_style import ReaderStyle
from bot.service.deliver.viewing import Viewing
from bot.service.jump_links import JumpLinks
from bot.service.rows import Rows
from bot.telemetry import Telemetry


class Postponed(Exception):
    """A delivery must be tried again, or decisions were queued first: reconcile the row again at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Deliveries:
    """Delivers the surfaces of a row to Teams. `owner` identifies this process, which holds the row's lease."""

    def __init__(
        self,
        *,
        rows: Rows,
        chat: Chat,
        people: People,
        groups: ApproverGroups,
        configuration: CurrentConfiguration,
        links: JumpLinks,
        clock: Clock,
        owner: str,
        telemetry: Telemetry,
        outcomes: Outcomes,
    ) -> None:
        self._rows, self._clock, self._owner = rows, clock, owner
        self._outlets = Outlets(
            chat,
            Mentioning(people, groups),
            ReaderStyle(rows.store),
            Viewing(people, groups, configuration),
            links,
            Probing(clock),
            clock,
            telemetry,
            outcomes,
        )

    async def deliver(self, record: Record, wanted: Sequence[Wanted]) -> Record:
        """Deliver all surfaces that differ, and return the row as it is then.

        Raises LeaseHeld, StoreUnavailable, or Postponed at the end if a surface must be tried again.
        """
        waits: dict[str, datetime] = {}
        for each in wanted:
            if each.line in waits:
                continue  # the surfaces of a line keep their order; one line never delays another
            entry = OutboxEntry(record, each, rows=self._rows, clock=self._clock, owner=self._owner)
            with structlog.contextvars.bound_contextvars(surface=each.name):
                await Delivery(entry, self._outlets).deliver()
            record = entry.record
            if retry_at := waits_until(entry.stored, self._clock.now()):
                waits[each.line] = retry_at
        if waits:
            raise Postponed(min(waits.values()))
        return record
