"""Runs the bot's Teams side over HTTP with fakes of the service layer. A test sets their answers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules
from bot.domain.routing import Channel
from bot.domain.shown.replies.reply_views import HelpView
from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable
from bot.service.checks.outcomes import Outcomes
from bot.service.clicks.click import Answer, Click
from bot.service.commands import Reply
from bot.service.current_configuration import CurrentConfiguration
from bot.service.incoming import IncomingMessage
from bot.teams.assembly import MicrosoftSide, TeamsSide
from bot.teams.login.client_authentication import StaticSecret
from bot.telemetry import Telemetry
from bot.web import server
from tests.fakes.clock import ManualClock
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, TENANT_ID
from tests.fakes.signing import SECRET
from tests.fakes.store import HangingStore
from tests.fakes.teams_world import APPROVERS


class FakeClickHandler:
    """Records clicks. Answers with `answer`."""

    def __init__(self) -> None:
        self.clicks: list[Click] = []
        self.refreshes: list[Click] = []
        self.answer = Answer({"type": "AdaptiveCard", "version": "1.5", "body": []}, None, "")

    async def click(self, click: Click) -> Answer:
        self.clicks.append(click)
        return self.answer

    async def refresh(self, click: Click) -> Mapping[str, object] | None:
        self.refreshes.append(click)
        return self.answer.card


class FakeCommands:
    """Records messages. Answers with `reply`; raises StoreUnavailable if `broken`."""

    def __init__(self) -> None:
        self.messages: list[IncomingMessage] = []
        self.reply = Reply(HelpView(), "en", "UTC")
        self.broken = False

    async def answer(self, message: IncomingMessage) -> Reply:
        self.messages.append(message)
        if self.broken:
            raise StoreUnavailable("broken by the test")
        return self.reply


class FakeInstallations:
    """Counts the notifications that the bot was added to a team, or that a team came back."""

    def __init__(self) -> None:
        self.count = 0

    async def arrived(self) -> None:
        self.count += 1


def microsoft_side(ms: FakeMicrosoft) -> MicrosoftSide:
    """Return the settings with which a bot reaches the fake Microsoft."""
    return MicrosoftSide(
        app_id=APP_ID,
        credential=StaticSecret(SecretStr(SECRET)),
        tenant_id=TENANT_ID,
        service_url=ms.service_url,
        service_hosts=ms.service_hosts,
        openid_metadata_url=ms.metadata_url,
        login_authority=ms.authority,
        graph_url=ms.graph_url,
    )


def japanese_channel() -> CurrentConfiguration:
    """Return a configuration with one Japanese channel."""
    channel = Channel("approvals", APPROVERS, approvers=("members",), locale="ja", timezone="Asia/Tokyo", fallback=True)
    return CurrentConfiguration(Configuration((channel,), IdentityRules()), TENANT_ID)


@dataclass(slots=True, kw_only=True)
class Turns:
    """The running Teams side, and the fakes behind it."""

    url: str
    side: TeamsSide
    store: HangingStore
    clock: ManualClock
    clicks: FakeClickHandler
    commands: FakeCommands
    installations: FakeInstallations
    configuration: CurrentConfiguration


@dataclass(slots=True)
class _Parts:
    clicks: FakeClickHandler = field(default_factory=FakeClickHandler)
    commands: FakeCommands = field(default_factory=FakeCommands)
    installations: FakeInstallations = field(default_factory=FakeInstallations)
    configuration: CurrentConfiguration = field(default_factory=japanese_channel)


@asynccontextmanager
async def running_turns(ms: FakeMicrosoft, *, clock: ManualClock) -> AsyncIterator[Turns]:
    """Start the Teams side and its HTTP server as bot.app does, with fakes for the service layer."""
    store, parts = HangingStore(), _Parts()
    async with AsyncExitStack() as stack:
        side = await stack.enter_async_context(_side(ms, store, clock, parts.configuration))
        app = server.build_app(
            messages=side.attach(parts.clicks, parts.commands, parts.installations), ready=side.missing
        )
        listening = await stack.enter_async_context(server.listen(app, host="127.0.0.1", port=0))
        yield Turns(
            url=f"http://127.0.0.1:{listening.port}",
            side=side,
            store=store,
            clock=clock,
            clicks=parts.clicks,
            commands=parts.commands,
            installations=parts.installations,
            configuration=parts.configuration,
        )


def _side(ms: FakeMicrosoft, store: Store, clock: Clock, configuration: CurrentConfiguration) -> TeamsSide:
    return TeamsSide(
        microsoft_side(ms),
        store=store,
        configuration=configuration,
        clock=clock,
        telemetry=Telemetry(CollectorRegistry()),
        outcomes=Outcomes(clock),
    )
