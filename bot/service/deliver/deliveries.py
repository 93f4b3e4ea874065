"""Delivers the surfaces of a row to Teams: first the cards, then the notes and the requester's messages side by side.

One unreachable recipient never delays another: each surface has its own retry time in the row.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from bot.domain.record import Record
from bot.domain.shown.wanted import Wanted
from bot.domain.surface import SurfaceKind
from bot.ports.clock import Clock
from bot.ports.teams import Chat, People
from bot.service.approver_groups import ApproverGroups
from bot.service.checks.outcomes import Outcomes
from bot.service.current_configuration import CurrentConfiguration
from bot.service.deliver.delivery import Delivery, prepared_post, waits_until
from bot.service.deliver.failed_delivery import Outlets
from bot.service.deliver.mentioning import Mentioning
from bot.service.deliver.outbox import OutboxEntry
from bot.service.deliver.probing import Probing
from bot.service.deliver.reader_style import ReaderStyle
from bot.service.deliver.viewing import Viewing
from bot.service.jump_links import JumpLinks
from bot.service.rows import Rows, is_outdated
from bot.telemetry import Telemetry


class Postponed(Exception):
    """A delivery must be tried again, or decisions were queued first: reconcile the row again at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


@dataclass(slots=True)
class _Progress:
    """The deliveries of one row. `record` is the row as the last one of them wrote it."""

    record: Record
    prepared: Mapping[str, Wanted]  # messages that are posted for the first time, by name
    unprepared: set[str]  # the other messages that were not begun yet: names for them may have to be read from Teams
    waits: dict[str, datetime] = field(default_factory=dict)  # when to try again, by line
    sequences: int = 0  # in progress, side by side


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

    async def deliver(self, record: Record, wanted: Sequence[Wanted]) -> None:
        """Deliver all surfaces that differ. What the last one changes in the row is stored with the next write.

        Raises LeaseHeld, StoreUnavailable, or Postponed at the end if a surface must be tried again.
        """
        prepared = await self._prepared(record, wanted)
        unprepared = {each.name for each in wanted if not each.overtaken and each.name not in prepared}
        progress = _Progress(record, prepared, unprepared)
        await self._in_order(progress, [each for each in wanted if each.kind is SurfaceKind.CARD])
        notes = [each for each in wanted if each.kind is SurfaceKind.NOTE]
        personal = [each for each in wanted if each.kind.personal]
        results = await asyncio.gather(
            *(self._in_order(progress, each) for each in (notes, personal) if each), return_exceptions=True
        )
        for result in results:  # both have ended, so that no result is lost
            if result is not None:
                raise result
        if progress.waits:
            raise Postponed(min(progress.waits.values()))

    async def _prepared(self, record: Record, wanted: Sequence[Wanted]) -> Mapping[str, Wanted]:
        """Prepare the first posts of all messages, by name. Nothing then delays the write that stores a card's id."""
        new = [each for each in wanted if not each.overtaken and record.surface(each.name) is None]
        return {each.name: await prepared_post(record, each, self._outlets) for each in new}

    async def _in_order(self, progress: _Progress, wanted: Sequence[Wanted]) -> None:
        """Deliver surfaces one after another."""
        progress.sequences += 1
        try:
            for each in wanted:
                if each.line not in progress.waits:  # the surfaces of a line keep their order
                    await self._deliver(progress, each)
        finally:
            progress.sequences -= 1

    async def _deliver(self, progress: _Progress, wanted: Wanted) -> None:
        progress.unprepared.discard(wanted.name)
        entry = OutboxEntry(
            progress.record,
            wanted,
            rows=self._rows,
            clock=self._clock,
            owner=self._owner,
            is_alone=lambda: progress.sequences == 1,
            is_prepared=lambda: not progress.unprepared,
        )
        with structlog.contextvars.bound_contextvars(surface=wanted.name):
            await Delivery(entry, self._outlets, prepared=progress.prepared.get(wanted.name)).deliver()
        if not is_outdated(entry.record, progress.record):
            progress.record = entry.record
        if retry_at := waits_until(entry.stored, self._clock.now()):
            progress.waits[wanted.line] = retry_at
