"""Bot processes with their whole environment. A test starts them, reads their logs, and stops or kills them."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.product import Product

ROOT = Path(__file__).resolve().parents[2]
SERVE = ("bot", "serve")
STARTS_WITHIN = 40.0  # seconds; three interpreters start at once on a busy machine
ENDS_WITHIN = 20.0  # seconds; the promised limit after SIGTERM


def environment(world: Product, folder: Path, *, store: str = "", replicas: int = 1) -> dict[str, str]:
    """Write node-access.toml into the folder. Return the whole environment of a `serve` process in this world.

    `store` replaces the world's own.
    """
    (folder / "node-access.toml").write_text(world.toml, "utf-8")
    settings = world.settings()
    return {
        **world.aws.world.bot.environment(),
        "AWS_ENDPOINT_URL": world.aws.endpoint,
        "AWS_REGION": settings.region,
        "NODE_ACCESS_APP_ID": settings.app_id,
        "NODE_ACCESS_APP_CREDENTIAL": settings.app_credential,
        "NODE_ACCESS_APP_SECRET": settings.app_secret.get_secret_value(),
        "NODE_ACCESS_TENANT_ID": settings.tenant_id,
        "NODE_ACCESS_CONFIG": str(folder / "node-access.toml"),
        "NODE_ACCESS_QUEUE_URL": str(settings.queue_url),
        "NODE_ACCESS_STORE": store or settings.store,
        "NODE_ACCESS_HOST": "127.0.0.1",
        "NODE_ACCESS_PORT": "0",
        "NODE_ACCESS_METRICS_PORT": "0",
        "NODE_ACCESS_SWEEP_SECONDS": str(settings.sweep_seconds),
        "NODE_ACCESS_REPLICAS": str(replicas),
        "NODE_ACCESS_SERVICE_URL": settings.service_url,
        "NODE_ACCESS_SERVICE_HOSTS": ",".join(settings.service_hosts),
        "NODE_ACCESS_OPENID_METADATA_URL": settings.openid_metadata_url,
        "NODE_ACCESS_LOGIN_AUTHORITY": settings.login_authority,
        "NODE_ACCESS_GRAPH_URL": settings.graph_url,
    }


@dataclass(slots=True)
class BotProcess:
    """One process. `log` has its lines so far. Every line sets `news`, which is then replaced by a new event."""

    process: asyncio.subprocess.Process
    log: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, env: Mapping[str, str], *words: str) -> "BotProcess":
        """Start `python -m` with these arguments, by default `serve`."""
        return await cls.spawn(env, sys.executable, "-m", *(words or SERVE))

    @classmethod
    async def spawn(cls, env: Mapping[str, str], *command: str) -> "BotProcess":
        """Start a command that runs the bot and passes signals on to it."""
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(env), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        bot = cls(process)
        bot._reading = asyncio.create_task(bot._read())
        return bot

    @property
    def url(self) -> str:
        """The address of the bot's server, from the log. StopIteration if the log has no `bot_started`."""
        started = next(json.loads(line) for line in self.log if '"bot_started"' in line)
        return f"http://127.0.0.1:{started['ports'][0]}"

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines with this event, parsed."""
        return [json.loads(line) for line in self.log if f'"event": "{name}"' in line]

    async def wait_for_event(self, event: str, *, times: int = 1) -> None:
        """Wait until the log has the event `times` times. AssertionError with the log if the process ends before.

        Raises TimeoutError after STARTS_WITHIN.
        """
        async with asyncio.timeout(STARTS_WITHIN):
            while len(self.events(event)) < times:
                assert self._reading is not None
                assert not self._reading.done(), f"ended before {event}:\n" + "".join(self.log)
                await self.news.wait()

    def terminate(self) -> None:
        """Send SIGTERM, as an orchestrator does."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process without warning (SIGKILL)."""
        self.process.kill()

    async def ended(self, *, within: float = ENDS_WITHIN) -> int:
        """Wait for the end. Return the exit code. Raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            code = await self.process.wait()
        assert self._reading is not None
        await self._reading
        return code

    async def aclose(self) -> None:
        """Kill the process if it still runs, and wait for its end."""
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.log.append(line.decode())
            self._tell()
        self._tell()

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Processes(AsyncExitStack):
    """Starts bot processes, and kills those that still run at the end of the context."""

    async def start(self, env: Mapping[str, str], *words: str, waiting: bool = True) -> BotProcess:
        """Start a process as `BotProcess.start` does. Wait until it serves, unless `waiting` is False."""
        bot = await BotProcess.start(env, *words)
        self.push_async_callback(bot.aclose)
        if waiting:
            await bot.wait_for_event("bot_started")
        return bot

    async def spawn(self, env: Mapping[str, str], *command: str) -> BotProcess:
        """Start a command as `BotProcess.spawn` does. Wait until it serves."""
        bot = await BotProcess.spawn(env, *command)
        self.push_async_callback(bot.aclose)
        await bot.wait_for_event("bot_started")
        return bot
