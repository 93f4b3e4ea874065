"""The whole program in the tests' process, with real HTTP to a simulated AWS and a fake Microsoft."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.app import Program, build, run
from bot.aws.assembly import AwsSide
from bot.aws.calls.rate_limit import RATES
from bot.config.file import parse_configuration
from bot.config.settings import Settings
from bot.domain.configuration import Configuration
from bot.domain.record import Record
from bot.sandbox.aws.world import ACCOUNT, CANCELLER_ROLE, END_SESSIONS_ROLE, GIVE_BACK_ROLE, REGION
from bot.sandbox.sandbox import END_OF_POLL
from bot.sandbox.teams.microsoft import BotRegistration
from tests.fakes.aws_faults import FaultyAws
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import APP_ID, PEOPLE, TENANT_ID, Person
from tests.fakes.signing import BOT, SECRET
from tests.fakes.teams_world import APPROVERS, Message

UNPACED = dict.fromkeys(RATES, 1000.0)  # the simulated AWS has no quotas, unless a test sets one
SOON = 20.0  # seconds after which an expected event counts as missing
REASON = "決済 API の 5xx が増えたため調査します"
TOML = f"""
[[channels]]
name = "approvals"
conversation = "{APPROVERS}"
approvers = ["members"]
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessApprover"

[[channels.levels]]
step = "Level2"
approvers = ["members"]
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessLead"

[identity]
trusted_roles = ["Operator"]
"""
CANCELLING = f"""
[[accounts]]
id = "{ACCOUNT}"
regions = ["{REGION}"]
cancel_role = "{CANCELLER_ROLE}"
"""  # the sample account, with a role in which its requests are cancelled
EVERY_ROLE = f"""{CANCELLING}\
end_sessions_role = "{END_SESSIONS_ROLE}"
give_back_role = "{GIVE_BACK_ROLE}"
"""  # the same, with the roles in which sessions are ended and access is given back


@dataclass(slots=True)
class Product:
    """AWS, Microsoft and a store, with which the bot can be started and stopped repeatedly."""

    aws: FaultyAws
    microsoft: FakeMicrosoft
    store: Path
    toml: str = TOML
    sweep_seconds: float = 3600.0  # long enough for only the sweep at startup
    changed: dict[str, Any] = field(default_factory=dict)
    """Settings that a test changes. None: the setting is not given at all."""
    bot_url: str = field(init=False, default="")
    program: Program | None = field(init=False, default=None)  # while the bot runs

    @property
    def file(self) -> Path:
        """The bot's node-access.toml. Writing it changes the configuration of the running bot."""
        return self.store.parent / "node-access.toml"

    def settings(self) -> Settings:
        """Return the bot's settings."""
        usual: dict[str, Any] = {
            "config": self.file,
            "app_id": APP_ID,
            "app_secret": SecretStr(SECRET),
            "tenant_id": TENANT_ID,
            "queue_url": self.aws.world.queue_url,
            "store": f"sqlite:{self.store}",
            "host": "127.0.0.1",
            "port": 0,
            "metrics_port": 0,
            "sweep_seconds": self.sweep_seconds,
            "service_hosts": self.microsoft.service_hosts,
            "service_url": self.microsoft.service_url,
            "openid_metadata_url": self.microsoft.metadata_url,
            "login_authority": self.microsoft.authority,
            "graph_url": self.microsoft.graph_url,
            "region": self.aws.world.region,
        }
        return Settings(**{name: value for name, value in (usual | self.changed).items() if value is not None})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Program]:
        """Write `toml` into `file`, and run the bot as `serve` does."""
        self.file.write_text(self.toml)
        configuration: Configuration = parse_configuration(self.toml.encode())
        stopping = asyncio.Event()
        async with build(self.settings(), configuration, stopping) as program:
            self.bot_url, self.program = f"http://127.0.0.1:{program.sockets[0].port}", program
            task = asyncio.create_task(run(program, stopping))
            try:
                yield program
            finally:
                stopping.set()
                self.aws.events.send(END_OF_POLL)
                await task
                self.program = None

    # --- actions of people

    async def ask(self, node: str = "web-prod-01") -> str:
        """Request access as the sample requester. Return the OpsItem id."""
        return await asyncio.to_thread(self.aws.control.request_access, node=node, reason=REASON)

    async def console(self, request: str, verdict: str, comment: str = "") -> None:
        """Decide in the AWS console."""
        await asyncio.to_thread(self.aws.control.decide, request, verdict, comment=comment)

    async def click(self, person: Person, card: Message, verb: str, comment: str = "") -> dict[str, Any]:
        """Click a button. Return the body of the answer. AssertionError if its status is not 200."""
        status, body = await self.microsoft.click(self.bot_url, person, card, verb, {"comment": comment})
        assert status == 200
        answer: dict[str, Any] = body
        return answer

    # --- observations in Teams and AWS

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds. It is checked now and after each call to Microsoft.

        Raises TimeoutError after SOON.
        """
        async with asyncio.timeout(SOON):
            await self.microsoft.faults.until(condition)

    async def card(self, request: str) -> Message:
        """Wait for a request's card in the channel. Return its message. ValueError if there are several."""
        await self.until(lambda: bool(self.cards(request)))
        (card,) = self.cards(request)
        return card

    def cards(self, request: str) -> list[Message]:
        """Return a request's cards in the channel; replies are not cards."""
        return [each for each in self.microsoft.posted(APPROVERS) if each.id == each.root and request in str(each.card)]

    def replies(self, card: Message) -> list[Message]:
        """Return the replies in a card's thread."""
        return [each for each in self.microsoft.posted(f"{APPROVERS};messageid={card.root}") if each.id != card.root]

    async def direct_message(self, person: Person) -> Message:
        """Return the first direct message to a person, once the bot has stored the person's chat.

        The bot refuses a click in a chat that it has not stored.
        """
        await self.until(lambda: bool(self.direct_messages(person)))
        assert self.program is not None
        await self.program.services.reconcile_loop.drain()
        return self.direct_messages(person)[0]

    def direct_messages(self, person: Person) -> list[Message]:
        """Return the direct messages to a person."""
        return self.microsoft.posted(self.microsoft.world.personal(person))

    def signals(self) -> int:
        """Return how many signals AWS received."""
        return len(self.aws.calls("SendAutomationSignal"))

    def signals_of(self, row: Record | None) -> int:
        """Return how many signals for a request AWS received, including refused ones."""
        execution = row.request.execution_id if row and row.request else None
        return sum(each.params["AutomationExecutionId"] == execution for each in self.aws.calls("SendAutomationSignal"))


@asynccontextmanager
async def product(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *,
    people: Iterable[Person] = PEOPLE,
    timestamp: Callable[[], float] = time.time,
    registration: Callable[[FaultyAws], BotRegistration] | None = None,
    rates: Mapping[str, float] = RATES,
    **aws_settings: Any,
) -> AsyncIterator[Product]:
    """Start AWS and Microsoft, without the bot. At the end, check all calls to AWS against its service model.

    `rates` has, by service, how many calls a second of one operation the bot allows itself. With UNPACED, tests of
    other things do not wait. `timestamp` is Microsoft's clock. `registration` returns the bot's registration at
    Microsoft; by default, it has a secret.
    """
    aws = await asyncio.to_thread(FaultyAws.start, **aws_settings)
    try:
        for name, value in {**aws.world.bot.environment(), "AWS_ENDPOINT_URL": aws.endpoint}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("bot.adapters.AwsSide", partial(AwsSide, rates=rates))
        bot = registration(aws) if registration else BOT
        async with FakeMicrosoft(people, now=timestamp, bot=bot) as microsoft:
            yield Product(aws, microsoft, folder / "node-access.db")
    finally:
        await asyncio.to_thread(aws.stop)
    assert aws.mistakes == []
