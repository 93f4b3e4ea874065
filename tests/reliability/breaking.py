"""Plays the life of one request while one service that the bot needs is broken and later healed.

Each service is behind its own proxy. The bot runs in this process. After healing, the test moves the bot's clock
forward, so that pauses of minutes take no real time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import boto3
import pytest
from structlog.testing import capture_logs

from bot.app import Program
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.ports.store import StoreUnavailable
from bot.store.dynamodb.table import definition
from tests.fakes.card_text import words
from tests.fakes.fault_proxy import Break, FaultProxy
from tests.fakes.microsoft import action_data
from tests.fakes.offset_clock import OffsetClock, TimeOffset
from tests.fakes.people import HANAKO
from tests.fakes.product import Product, product
from tests.figures import LONG
from tests.reliability.rest import quiet

STEP = 0.02  # real seconds between two checks of a condition
SPEED = 30.0  # seconds on the bot's clock for each real second, after healing
PATIENCE = 40.0  # real seconds until an expected event counts as missing
SWEEP = 60.0  # seconds on the bot's clock
NO_SIGNAL_AFTER = 61.0  # seconds; older clicks send no signal, so shutdown does not wait for one
PRESSES = 6  # clicks on the button until the test gives up
KEYS_AGAIN = 6.0  # seconds after which the bot requests signing keys again after a failure


class Service(StrEnum):
    """A service that the bot needs."""

    SSM = "ssm"
    EC2 = "ec2"
    STS = "sts"
    SQS = "sqs"
    CONNECTOR = "connector"
    TOKEN = "token"
    KEYS = "keys"
    DYNAMODB = "dynamodb"


class Phase(StrEnum):
    """When the service is broken."""

    ASKED = "from the request until the bot calls the service"
    CLICKED = "from the click until the bot calls the service"


AWS = (Service.SSM, Service.EC2, Service.STS, Service.SQS, Service.DYNAMODB)
PHASES = {
    Service.SSM: (Phase.ASKED, Phase.CLICKED),
    Service.EC2: (Phase.ASKED,),
    Service.STS: (Phase.CLICKED,),
    Service.SQS: (Phase.ASKED,),
    Service.CONNECTOR: (Phase.ASKED, Phase.CLICKED),
    Service.TOKEN: (Phase.ASKED,),
    Service.KEYS: (Phase.CLICKED,),
    Service.DYNAMODB: (Phase.ASKED, Phase.CLICKED),
}
GRID = [(service, how, phase) for service in Service for how in Break for phase in PHASES[service]]
TABLE = "node-access"
Condition = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Broken:
    """The world with a proxy before each service, and the measurements of all cells."""

    world: Product
    lead: TimeOffset
    proxies: dict[Service, FaultProxy]
    patience: float = PATIENCE  # real seconds until the request counts as unconverged
    cells: int = 0
    unconverged: list[str] = field(default_factory=list)
    double: int = 0  # decisions beyond one per request, plus signals beyond one per click
    presses: int = 0
    probes: int = 0

    async def cell(self, service: Service, how: Break, phase: Phase) -> None:
        """Play the life of one request, with one service broken in one way during one phase, and count the result."""
        self.cells += 1
        if service is Service.DYNAMODB:
            self.world.changed["store"] = f"dynamodb:{TABLE}"
        else:
            self.world.changed.pop("store", None)
        with capture_logs() as said:
            async with self.world.running() as program:
                life = _Life(self, program, self.proxies[service], how, said)
                if not await life.lived(phase, only=b"SendAutomationSignal" if _signal(service, how, phase) else b""):
                    self.unconverged.append(f"{service} {how} {phase.name}")


def _signal(service: Service, how: Break, phase: Phase) -> bool:
    """Return whether only the signal is broken. Otherwise every call to the service is broken."""
    return service is Service.SSM and phase is Phase.CLICKED and how is not Break.REFUSED


@dataclass(slots=True)
class _Life:
    """The life of a request in one run of the bot."""

    there: Broken
    program: Program
    proxy: FaultProxy
    how: Break
    said: list[MutableMapping[str, Any]]
    request: str = ""
    presses: int = 0

    async def lived(self, phase: Phase, *, only: bytes) -> bool:
        """Request access and click, with the service broken in this phase. Return whether Teams shows the approval."""
        world = self.there.world
        try:
            async with self._broken(phase is Phase.ASKED, only):
                self.request = await world.ask()
            await self._time_passes(self._waiting)
            async with self._broken(phase is Phase.CLICKED, only):
                press = asyncio.create_task(self._press())
            await press
            await self._decided()
        except TimeoutError:
            self.there.lead.put_forward(NO_SIGNAL_AFTER)
            return False
        finally:
            signals = world.signals_of(await self._row())
            self.there.double += max(0, self._accepted() - 1) + max(0, signals - self.presses)
        return True

    @asynccontextmanager
    async def _broken(self, really: bool, only: bytes) -> AsyncIterator[None]:
        """If `really`, break the service for the body of the `with` block, and until the bot has called it.

        The liveness and readiness probes must answer in the meantime.
        """
        if not really:
            yield
            return
        broken, before = await self.proxy.break_it(self.how, only=only), len(self.said)
        try:
            yield
            async with asyncio.timeout(PATIENCE):
                if self.how is Break.REFUSED:
                    await _until(lambda: any(each["log_level"] == "warning" for each in self.said[before:]))
                else:
                    await broken.reached.wait()
                if LONG and self.how is Break.SLOW:
                    await broken.over.wait()
            ready = asyncio.create_task(self._probe("/readyz", {200, 503}))
            await self._probe("/livez", {200})
        finally:
            await self.proxy.heal()
        await ready

    async def _probe(self, route: str, wanted: set[int]) -> None:
        async with aiohttp.ClientSession() as http, http.get(self.there.world.bot_url + route) as answer:
            assert answer.status in wanted
        self.there.probes += 1

    async def _press(self) -> None:
        """Click the button. The bot may answer 503 only if the keys are broken, because it may have no keys then."""
        self.there.presses += 1
        self.presses += 1
        world = self.there.world
        card = world.cards(self.request)[-1]
        status, _ = await world.microsoft.click(world.bot_url, HANAKO, card, "approve")
        assert status == 200 or (status == 503 and self.proxy is self.there.proxies[Service.KEYS])

    async def _decided(self) -> None:
        """Wait until Teams shows the approval. Click again when Teams shows the buttons again. Raises TimeoutError."""
        for _ in range(PRESSES):
            await self._time_passes(self._ended_or_waiting)
            row = await self._row()
            if row and quiet(row, Status.APPROVED):
                self._assert_shown()
                return
            self.there.lead.put_forward(KEYS_AGAIN)
            if self._undecided():  # the decision may have arrived in the meantime
                await self._press()
        raise TimeoutError

    def _accepted(self) -> int:
        effects = self.there.world.aws.effects("Approve", "Reject")
        return sum(each.ops_item_id == self.request for each in effects)

    # --- observed state

    async def _row(self) -> Record | None:
        place = self.there.world.aws.world
        try:
            return await self.program.services.rows.load(RequestKey(place.account, place.region, self.request))
        except StoreUnavailable:
            return None

    async def _waiting(self) -> bool:
        row = await self._row()
        return row is not None and quiet(row, Status.PENDING)

    async def _ended_or_waiting(self) -> bool:
        row = await self._row()
        return row is not None and (quiet(row, Status.APPROVED) or (quiet(row, Status.PENDING) and self._undecided()))

    def _assert_shown(self) -> None:
        card = self.there.world.cards(self.request)[-1].card
        assert action_data(card, "approve") is None
        assert words("banner.approved") in str(card)

    def _undecided(self) -> bool:
        """Return whether AWS has accepted no decision and Teams shows the buttons."""
        buttons = action_data(self.there.world.cards(self.request)[-1].card, "approve")
        return buttons is not None and not self._accepted()

    async def _time_passes(self, condition: Condition) -> None:
        """Move the clock forward in steps until the condition is true. Raises TimeoutError."""
        async with asyncio.timeout(self.there.patience):
            while not await condition():
                self.there.lead.put_forward(STEP * SPEED)
                await asyncio.sleep(STEP)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait in real time until the condition is true."""
    while not condition():  # noqa: ASYNC110 - a log line has no event to wait for
        await asyncio.sleep(STEP)


@asynccontextmanager
async def broken_world(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Broken]:
    """Build the world and put a proxy in front of every service."""
    lead = TimeOffset()
    monkeypatch.setattr("bot.app.SystemClock", lambda: OffsetClock(lead.now))
    async with product(monkeypatch, folder, timestamp=lead.timestamp, now=lead.now) as world, AsyncExitStack() as stack:
        microsoft, proxies = world.microsoft, dict[Service, FaultProxy]()
        for service in Service:
            behind = urlsplit(world.aws.endpoint if service in AWS else microsoft.base)
            proxies[service] = await stack.enter_async_context(FaultProxy("127.0.0.1", int(behind.port or 0)))
            if service in AWS:
                monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service.name}", proxies[service].base)
        microsoft.seen_as = proxies[Service.CONNECTOR].base
        metadata = microsoft.metadata_url.replace(microsoft.base, proxies[Service.KEYS].base)
        world.changed = {"login_authority": proxies[Service.TOKEN].base, "openid_metadata_url": metadata}
        world.sweep_seconds = SWEEP
        await asyncio.to_thread(_make_table, world)
        yield Broken(world, lead, proxies)


def _make_table(world: Product) -> None:
    """Create the DynamoDB table with the bot's credentials, without the proxy."""
    client = boto3.session.Session().client(
        "dynamodb", endpoint_url=world.aws.endpoint, region_name=world.aws.world.region
    )
    client.create_table(TableName=TABLE, **definition())
    client.close()
