"""Plays many requests in one process, one after another, each from the request to the deletion of its row.

Uses the services on a SQLite file and the whole Teams side over real HTTP. AWS is an in-memory fake, because this proof
measures the product and not the simulator. After each batch the fakes drop their data, so that all growth is the
product's.
"""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.domain.record import KEPT
from bot.domain.request import RequestKey, Status
from bot.service.checks.outcomes import Outcomes
from bot.service.sources.installation_events import InstallationEvents
from bot.store.sqlite.store import SqliteStore
from bot.teams.assembly import MicrosoftSide, TeamsSide
from bot.teams.login.client_authentication import StaticSecret
from bot.telemetry import Telemetry
from bot.web import server
from tests.fakes.aws import FakeAws
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.offset_clock import OffsetClock, TimeOffset
from tests.fakes.people import APP_ID, HANAKO, TENANT_ID
from tests.fakes.signing import SECRET
from tests.fakes.teams_world import APPROVERS, Message
from tests.fakes.world import APPROVALS, World, current_configuration
from tests.reliability.rest import quiet

ACCESS = timedelta(hours=5)  # longer than the requested access, and than Teams' rate limit could delay the next life
BATCH = 50  # lives between two deletions of expired rows
WHILE = 600.0  # seconds on the bot's clock until an unfinished row counts as stuck
SERVING = "RequestHandler.start"  # name of aiohttp's task for a connection
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Measured:
    """The resources that the process holds after all work has ended."""

    resident: int  # bytes
    descriptors: int
    tasks: int  # without those of open connections, which `descriptors` counts
    objects: int  # tracked by the garbage collector
    watches: int  # rows with a waiting caller
    rows: int  # not deleted


@dataclass(slots=True)
class Soak:
    """The running parts of the product and the fakes, and the counts so far."""

    world: World
    store: SqliteStore
    microsoft: FakeMicrosoft
    lead: TimeOffset
    url: str
    lived: int = 0
    statuses: int = 0  # clicks that were answered with 200

    async def live(self, number: int) -> None:
        """Play the lives of this many requests."""
        for first in range(0, number, BATCH):
            batch = range(self.lived, self.lived + min(BATCH, number - first))
            for each in batch:
                await self._life(self.world.aws.add(each))
            await self._forget()
            self.lived += len(batch)

    async def _life(self, key: RequestKey) -> None:
        """Play one life: card, click, decided card, and no further work after the access has ended."""
        await self.world.rows.requeue(key)
        row = await self.world.rows.wait(key, lambda each: quiet(each, Status.PENDING), seconds=WHILE)
        assert row is not None
        card = row.surface("card:approvals")
        assert card is not None
        status, _ = await self.microsoft.click(self.url, HANAKO, self._message(card.activity_id), "approve")
        self.statuses += status == 200
        row = await self.world.rows.wait(key, lambda each: quiet(each, Status.APPROVED), seconds=WHILE)
        assert row is not None
        assert quiet(row, Status.APPROVED)
        self.lead.put_forward(ACCESS.total_seconds())
        row = await self.world.rows.wait(key, lambda each: each.requeue_at is None, seconds=WHILE)
        assert row is not None
        assert row.requeue_at is None

    def _message(self, activity_id: str | None) -> Message:
        return next(each for each in reversed(self.microsoft.world.messages) if each.id == activity_id)

    async def _forget(self) -> None:
        """Move the clock past the retention period, delete the expired rows, and clear the fakes."""
        self.lead.put_forward((KEPT + timedelta(days=1)).total_seconds())
        await self.world.sweep.sweep()
        while await self.store.forget_expired(self.lead.now()):
            pass
        self.microsoft.world.messages.clear()
        self.microsoft.calls.clear()
        self.microsoft.sign_in.granted.clear()
        for kept in (self.world.aws.requests, self.world.aws.signals, self.world.aws.effects, self.world.aws.calls):
            kept.clear()

    async def measured(self) -> Measured:
        """Return what the process holds once the work in progress has ended."""
        await self.world.click_handler.drain()
        await self.world.reconcile_loop.drain()
        gc.collect()
        resident, descriptors = _held()
        rows = [row for number in range(self.lived) for row in await self.store.find(f"oi-{number:012x}")]
        return Measured(
            resident=resident,
            descriptors=descriptors,
            tasks=sum(_name(task) != SERVING for task in asyncio.all_tasks()),
            objects=len(gc.get_objects()),
            watches=len(self.world.rows._watches),
            rows=len(rows),
        )


def _name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


def _held() -> tuple[int, int]:
    """Return the resident bytes and the file descriptors of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * PAGE, len(list(Path("/proc/self/fd").iterdir()))


@asynccontextmanager
async def soak(folder: Path, *, kind: type[SqliteStore] = SqliteStore) -> AsyncIterator[Soak]:
    """Build and run all parts. `kind` is the store class; negative controls pass a defective one."""
    lead = TimeOffset()
    clock, settled = OffsetClock(lead.now), current_configuration(replace(APPROVALS, conversation=APPROVERS))
    async with FakeMicrosoft(now=lead.timestamp) as microsoft, kind(folder / "node-access.db") as store:
        telemetry = Telemetry(CollectorRegistry())
        side = MicrosoftSide(
            app_id=APP_ID,
            credential=StaticSecret(SecretStr(SECRET)),
            tenant_id=TENANT_ID,
            service_url=microsoft.service_url,
            service_hosts=microsoft.service_hosts,
            openid_metadata_url=microsoft.metadata_url,
            login_authority=microsoft.authority,
            graph_url=microsoft.graph_url,
        )
        async with TeamsSide(
            side, store=store, configuration=settled, clock=clock, telemetry=telemetry, outcomes=Outcomes(clock)
        ) as teams:
            # `World` is typed for the fakes; here it gets the real Teams side.
            world = World(clock, FakeAws(clock), teams.chat, teams.people, store, settled)  # type: ignore[arg-type]
            installs = InstallationEvents(rows=world.rows, clock=clock, telemetry=telemetry)
            app = server.build_app(
                messages=teams.attach(world.click_handler, world.commands, installs), ready=teams.missing
            )
            async with server.listen(app, host="127.0.0.1", port=0) as listening, world.running():
                yield Soak(world, store, microsoft, lead, f"http://127.0.0.1:{listening.port}")
