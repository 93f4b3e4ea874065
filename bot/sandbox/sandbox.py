"""The sandbox: a simulated AWS, a simulated Teams and the bot, started and stopped together.

`node-access-bot sandbox` and the end-to-end tests use the same code. The bot runs in a separate process, as in
production: it verifies tokens, assumes roles and does not know that it is in a sandbox.
"""

import asyncio
import errno
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp

from bot.sandbox.aws.server import SandboxAws
from bot.sandbox.aws.world import ACCOUNT, CANCELLER_ROLE, END_SESSIONS_ROLE, GIVE_BACK_ROLE, REGION
from bot.sandbox.folder import BOT_LOG, FOLDER, STORE, NoSandbox, SandboxFailed, held, remember, state
from bot.sandbox.node import InstallFailed, NodeMissing
from bot.sandbox.teams.federated_credentials import FederatedCredential
from bot.sandbox.teams.people import APPROVERS, CASTS, ICHIRO, PLACES, SAMPLE_APP_ID, SAMPLE_TENANT
from bot.sandbox.teams.playground import PlaygroundFailed
from bot.sandbox.teams.server import SandboxTeams

READY_WITHIN: Final = 30.0  # seconds; a slow machine may import everything for the first time
READY_PAUSE: Final = 0.1  # seconds between two probes
STOP_WITHIN: Final = 20.0  # seconds in which the bot must drain
END_OF_POLL: Final = "{}"  # a message that ends the bot's long poll, which would delay its shutdown by seconds
FEDERATION: Final = "aws-federation"
SAMPLE_SECRET: Final = "sandbox-only"  # valid on this machine only

CONFIGURATION: Final = """\
[[channels]]
name = "approvals"
conversation = "{conversation}"
approvers = {approvers}
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessApprover"
mention = ["user:{mention}"]
remind_after = ["1m"]
locale = "{locale}"
timezone = "{timezone}"

[[channels.levels]]
step = "Level2"
approvers = {approvers}
approver_role = "arn:aws:iam::{{account}}:role/NodeAccessLead"
mention = ["user:{second}"]

[identity]
trusted_roles = ["Operator", "NodeAccessApprover", "NodeAccessLead"]  # their sessions have the names of people

[[accounts]]
id = "{account}"
name = "prod-core"
regions = ["{region}"]
cancel_role = "{canceller}"
end_sessions_role = "{ender}"
give_back_role = "{giver}"
"""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one run: folder for the sandbox's files, language, port, and how the bot authenticates."""

    folder: Path = FOLDER
    installation: Path = FOLDER  # where the Playground is installed, once
    locale: str = "en"  # of the cards
    timezone: str = "Asia/Tokyo"
    port: int = 0  # port of the Playground's page; 0 means any free port
    sweep_seconds: float = 10.0
    credential: str = "secret"  # or FEDERATION, with which the bot and the simulated Microsoft have no secret

    @property
    def language(self) -> str:
        """The language of people, reasons and tags: that of the cards, or English if there are no people for it."""
        return self.locale if self.locale in CASTS else "en"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox: the simulators, the bot's process and the settings."""

    aws: SandboxAws
    teams: SandboxTeams
    bot: "BotProcess"
    options: Options

    @property
    def browser_url(self) -> str:
        """The address to open as an approver: the page shows the approvers' channel."""
        return self.teams.channel_url


class BotProcess:
    """`node-access-bot serve` in a separate process; it can be stopped, killed and started again."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment, self._folder = environment, folder
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> str:
        """Start the process, wait until the bot is ready, and return its address. Raises SandboxFailed."""
        with (self._folder / BOT_LOG).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "serve"),
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops the bot
            )
        self.url = f"http://127.0.0.1:{self._environment['NODE_ACCESS_PORT']}"
        try:
            await self._ready()
        except TimeoutError as slow:
            raise SandboxFailed(self._end_of_log()) from slow
        return self.url

    async def stop(self) -> int | None:
        """Stop the process as an orchestrator does (SIGTERM, then SIGKILL); return its exit code, if any."""
        if self._process is None:
            return None
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                return await self._process.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int | None:
        """Kill the process without warning (SIGKILL). Return its exit code, or None if it was never started."""
        if self._process is None:
            return None
        if self._process.returncode is None:
            self._process.kill()
        return await self._process.wait()

    async def _ready(self) -> None:
        async with asyncio.timeout(READY_WITHIN), aiohttp.ClientSession(trust_env=False) as session:
            while not await self._is_ready(session):
                if self._process is not None and self._process.returncode is not None:
                    raise SandboxFailed(self._end_of_log())
                await asyncio.sleep(READY_PAUSE)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _end_of_log(self) -> str:
        path = self._folder / BOT_LOG
        return f"the bot did not start; the end of {path}:\n" + path.read_text("utf-8")[-2000:]


def _ignore(_step: str) -> None:
    """Report no progress."""


@asynccontextmanager
async def running_sandbox(options: Options, *, report: Callable[[str], None] = _ignore) -> AsyncIterator[Sandbox]:
    """Start everything, and stop it at the end. `report` gets the name of each step before it starts.

    Raises SandboxFailed; then nothing is left running.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(held(options.folder))
        _check_port(options.port)
        report("starting the simulated AWS")
        aws = await asyncio.to_thread(partial(SandboxAws.start, locale=options.language))
        stack.push_async_callback(asyncio.to_thread, aws.stop)
        report("starting the Microsoft 365 Agents Playground; npm downloads it once")
        teams = await _teams(aws, options)
        stack.push_async_callback(teams.stop)
        report("starting the bot")
        bot = BotProcess(_environment(aws, teams, options), options.folder)
        stack.push_async_callback(bot.stop)
        stack.callback(aws.events.send, END_OF_POLL)
        teams.bot_url = await bot.start()
        await _install(teams)
        remember(options.folder, {"aws": aws.endpoint, "browser": teams.channel_url, "bot": bot.url})
        yield Sandbox(aws, teams, bot, options)


def _check_port(port: int) -> None:
    """Raise SandboxFailed if the page's port cannot be used.

    Checked before anything starts, because the port is opened last, after half a minute on a slow machine.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the page's server does
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise SandboxFailed(f"port {port} {why}; choose another with --port") from error


async def _teams(aws: SandboxAws, options: Options) -> SandboxTeams:
    try:
        return await SandboxTeams.start(
            app_id=SAMPLE_APP_ID,
            app_secret="" if options.credential == FEDERATION else SAMPLE_SECRET,
            federated=trusting(aws) if options.credential == FEDERATION else None,
            tenant_id=SAMPLE_TENANT,
            playground_port=options.port,
            locale=options.language,
            directory=_absolute(options.installation),  # Node runs in another working directory
        )
    except (NodeMissing, InstallFailed, PlaygroundFailed, OSError) as problem:
        raise SandboxFailed(str(problem)) from problem


async def _install(teams: SandboxTeams) -> None:
    """Install the bot in the approvers' channel, before a request needs its roster."""
    try:
        async with asyncio.timeout(READY_WITHIN):
            await teams.install(PLACES.channel)
    except TimeoutError as slow:
        raise SandboxFailed("the bot did not answer its installation in the channel") from slow


def trusting(aws: SandboxAws) -> FederatedCredential:
    """Return the app's federated credential as an admin would configure it: trust in this AWS for the bot's role."""
    role = aws.world.bot.role_arn
    return FederatedCredential(issuer=aws.web_identities.issuer(aws.world.account), subject=role)


def _absolute(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _environment(aws: SandboxAws, teams: SandboxTeams, options: Options) -> dict[str, str]:
    """Return the bot's whole environment: production settings with addresses of this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        **_credentials(aws, options),
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": aws.world.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "NODE_ACCESS_APP_ID": SAMPLE_APP_ID,
        "NODE_ACCESS_APP_CREDENTIAL": options.credential,
        "NODE_ACCESS_TENANT_ID": SAMPLE_TENANT,
        "NODE_ACCESS_CONFIG": str(_configuration(options)),
        "NODE_ACCESS_QUEUE_URL": aws.world.queue_url,
        "NODE_ACCESS_STORE": f"sqlite:{options.folder.resolve() / STORE}",
        "NODE_ACCESS_HOST": "127.0.0.1",
        "NODE_ACCESS_PORT": str(free_port()),
        "NODE_ACCESS_METRICS_PORT": "0",
        "NODE_ACCESS_SWEEP_SECONDS": str(options.sweep_seconds),
        "NODE_ACCESS_SERVICE_URL": teams.service_url,
        "NODE_ACCESS_SERVICE_HOSTS": "127.0.0.1",
        "NODE_ACCESS_OPENID_METADATA_URL": teams.openid_metadata_url,
        "NODE_ACCESS_LOGIN_AUTHORITY": teams.login_authority,
        "NODE_ACCESS_GRAPH_URL": teams.graph_url,
        "NODE_ACCESS_LOG_FORMAT": "console",
    }


def _credentials(aws: SandboxAws, options: Options) -> dict[str, str]:
    """Return the variables for the bot's credentials for AWS and Microsoft; with federation, none is a secret."""
    if options.credential == FEDERATION:
        return aws.role_endpoint.environment(aws.endpoint)
    return {**aws.world.bot.environment(), "NODE_ACCESS_APP_SECRET": SAMPLE_SECRET}


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _configuration(options: Options) -> Path:
    path = (options.folder / "node-access.toml").resolve()
    text = CONFIGURATION.format(
        conversation=PLACES.channel,
        approvers=json.dumps([f"upn:{person.upn}" for person in APPROVERS]),
        mention=ICHIRO.object_id,
        second=CASTS[options.language].colleague.object_id,
        locale=options.locale,
        timezone=options.timezone,
        account=ACCOUNT,
        region=REGION,
        canceller=CANCELLER_ROLE,
        ender=END_SESSIONS_ROLE,
        giver=GIVE_BACK_ROLE,
    )
    path.write_text(text, "utf-8")
    return path


async def ask(folder: Path, path: str, body: dict[str, str]) -> dict[str, Any]:
    """Send `body` to a path of the running sandbox's control API (`bot.sandbox.aws.control`); return the answer.

    Raises NoSandbox, or SandboxFailed with the text of a refusal.
    """
    endpoint = state(folder)["aws"]
    try:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.post(f"{endpoint}/_sandbox/{path}", json=body) as response,
        ):
            answer: dict[str, Any] = await response.json()
    except aiohttp.ClientError as error:
        raise NoSandbox("the sandbox that was started here does not answer; start it again") from error
    if response.status != 200:
        raise SandboxFailed(str(answer.get("error", answer)))
    return answer
