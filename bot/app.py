"""Composition root: builds every object and owns startup and shutdown.

events ─> Intake ───────┐                                    ┌─> Deliveries ─> Teams
lists ──> Sweep ────────┼─> Rows ─> ReconcileLoop ─> Reconciler
clicks ─> ClickHandler ─┘                                    └─> Signalling ─> AWS

A click whose claim is granted is sent at its turn, usually at once. After a crash, the Reconciler completes the
decision.
"""

import asyncio
import errno
import os
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import metadata

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from bot import DISTRIBUTION
from bot.adapters import aws_side, configuration_source, microsoft_side
from bot.aws.assembly import AwsSide
from bot.aws.first_answer import StoppedEarly
from bot.aws.own_account import own_account
from bot.clock import SystemClock
from bot.concurrency.background import alongside
from bot.config.reload import ConfigurationReload
from bot.config.settings import PREFIX, Settings
from bot.domain.configuration import Configuration
from bot.garbage import freeze_long_lived
from bot.heap import limit_heaps
from bot.ports.aws import AwsUnavailable
from bot.ports.configuration import ObjectPlace
from bot.ports.store import StoreUnavailable
from bot.service.assembly import Ports, Services
from bot.service.auditing import Auditing
from bot.service.checks.loop import Checks
from bot.service.checks.outcomes import Outcomes
from bot.service.current_configuration import CurrentConfiguration
from bot.service.replicas import Replicas
from bot.service.retention import Retention
from bot.service.sources.intake import QUEUE, Intake
from bot.service.sources.session_watch import SessionWatch
from bot.service.sources.sweep import Sweep
from bot.service.store_check import StoreCheck
from bot.service.weekly_digests import WeeklyDigests
from bot.store.assembly import store_at
from bot.stored_configuration import read_at_start
from bot.teams.assembly import TeamsSide
from bot.telemetry import LoopWatch, Telemetry, configure_logging
from bot.web import server

# seconds that shutdown waits for work in progress; it takes at most 20 in total if a call to AWS is still running
DRAIN_SECONDS = 10.0
LAST_SECONDS = 3.0  # the part of DRAIN_SECONDS that is kept for reconciliations and the audit trail
START_PROBLEMS = (StoreUnavailable, AwsUnavailable, OSError)  # the store, AWS or a port is not available
Source = (
    Intake
    | Sweep
    | SessionWatch
    | StoreCheck
    | Checks
    | Retention
    | WeeklyDigests
    | Replicas
    | ConfigurationReload
    | Auditing
    | LoopWatch
)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """The running parts of the program."""

    sockets: tuple[server.Server, ...]
    services: Services
    sources: tuple[Source, ...]  # all loops but the reconcile loop; shutdown stops them first
    facts: Mapping[str, object]  # what an operator wants to know first, for the log


class CannotListen(OSError):
    """A port cannot be opened. The text names the settings to change."""

    @classmethod
    def on(cls, host: str, port: int, name: str, error: OSError) -> "CannotListen":
        """Return the error for a host and port; `name` is the part of their settings before HOST and PORT."""
        if error.errno == errno.EADDRINUSE:
            says = f"port {port} of {host} is in use by another program: stop it, or set {PREFIX}{name}PORT"
            return cls(says)
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        says = f"the bot cannot listen on {host}, port {port}: {reason}"
        return cls(f"{says}; check {PREFIX}{name}HOST and {PREFIX}{name}PORT")


def serve(settings: Settings, configuration: Configuration | ObjectPlace) -> None:
    """Run until SIGTERM or SIGINT. A configuration in S3 is read first.

    Raises ConfigurationProblems or one of START_PROBLEMS at the start, and later an ExceptionGroup with the errors of
    loops that failed.
    """
    configure_logging(format=settings.log_format, level=settings.log_level)
    limit_heaps()
    asyncio.run(_serve(settings, configuration))


async def _serve(settings: Settings, configuration: Configuration | ObjectPlace) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    version: str | None = None
    try:
        if isinstance(configuration, ObjectPlace):
            configuration, version = await read_at_start(configuration, settings.region, stopping)
        async with (
            build(settings, configuration, stopping, version=version) as program,
            alongside(freeze_long_lived(SystemClock())),
        ):
            await run(program, stopping)
    except StoppedEarly:
        log.info("bot_stopped")


async def run(program: Program, stopping: asyncio.Event) -> None:
    """Run every loop until `stopping` is set, then drain. A loop that fails ends the program."""
    async with asyncio.TaskGroup() as group:
        sources = [group.create_task(source.run()) for source in program.sources]
        reconcile_loop = group.create_task(program.services.reconcile_loop.run())
        log.info("bot_started", ports=[socket.port for socket in program.sockets], **program.facts)
        await stopping.wait()
        log.info("bot_stopping")
        await _drain(program, sources, reconcile_loop)
    log.info("bot_stopped")


async def _drain(program: Program, sources: list[asyncio.Task[None]], reconcile_loop: asyncio.Task[None]) -> None:
    """Accept no more work, and wait up to DRAIN_SECONDS for the work in progress."""
    for source in sources:
        source.cancel()
    end = asyncio.get_running_loop().time() + DRAIN_SECONDS
    try:
        async with asyncio.timeout_at(end - LAST_SECONDS):
            await asyncio.gather(*(socket.close() for socket in program.sockets))
            await program.services.click_handler.drain()
            await program.services.reconciler.drain()
    except TimeoutError:
        log.warning("drain_cut_short", still="decisions")  # the next process continues from the row
    reconcile_loop.cancel()
    try:
        async with asyncio.timeout_at(end):
            await program.services.reconcile_loop.drain()
            await program.services.auditing.drain()
    except TimeoutError:
        log.warning("drain_cut_short", still="looks")  # their rows are due again when the lease ends


@asynccontextmanager
async def build(
    settings: Settings, configuration: Configuration, stopping: asyncio.Event, *, version: str | None = None
) -> AsyncIterator[Program]:
    """Build the program from the settings; close everything at the end. `version` is that of the configuration in S3.

    Raises one of START_PROBLEMS, or StoppedEarly.
    """
    async with AsyncExitStack() as stack:
        clock, registry, owner = SystemClock(), CollectorRegistry(), uuid.uuid4().hex
        telemetry, outcomes = Telemetry(registry), Outcomes(clock)
        telemetry.build_info.labels(version=metadata.version(DISTRIBUTION)).set(1)
        store = await stack.enter_async_context(store_at(settings.store, region=settings.region))
        aws = await stack.enter_async_context(aws_side(settings, configuration, clock=clock, telemetry=telemetry))
        current = CurrentConfiguration(await _with_accounts(settings, configuration, aws, stopping), settings.tenant_id)
        teams = await stack.enter_async_context(
            TeamsSide(
                microsoft_side(settings, aws, clock=clock),
                store=store,
                configuration=current,
                clock=clock,
                telemetry=telemetry,
                outcomes=outcomes,
            )
        )
        ports = Ports(
            store=store,
            requests=aws.requests,
            identities=aws.identities,
            sessions=aws.sessions,
            chat=teams.chat,
            people=teams.people,
            groups=teams.groups,
            clock=clock,
            teams_probes=teams,
            aws_probes=aws,
        )
        services = Services(
            ports,
            configuration=current,
            telemetry=telemetry,
            owner=owner,
            period=settings.sweep_seconds,
            replicas=settings.replicas,
            outcomes=outcomes,
            app_id=settings.app_id,
            has_queue=aws.queue is not None,
            site=teams.site,
        )
        rows = services.rows
        reloading = ConfigurationReload(
            source=configuration_source(settings, aws),
            file=configuration,
            version=version,
            current=current,
            rows=rows,
            clock=clock,
            telemetry=telemetry,
        )
        own = (
            services.sweep,
            services.session_watch,
            services.store_check,
            services.retention,
            services.auditing,
            services.replicas,
        )
        sources: list[Source] = [
            *own,
            reloading,
            services.checks,
            services.weekly_digests,
            LoopWatch(telemetry.loop_stall),
        ]
        if aws.queue:
            telemetry.health.expect(QUEUE)
            sources.append(
                Intake(
                    queue=aws.queue,
                    rows=rows,
                    clock=clock,
                    configuration=current,
                    telemetry=telemetry,
                    outcomes=outcomes,
                )
            )
        ready = _readiness(teams, telemetry)
        public = server.build_app(
            messages=teams.attach(services.click_handler, services.commands, services.installs), ready=ready
        )
        operators = server.build_metrics_app(registry, ready=ready, problems=telemetry.health.problems)
        yield Program(
            sockets=await _listen(settings, stack, public, operators),
            services=services,
            sources=tuple(sources),
            facts=_facts(settings, current.value),
        )


async def _with_accounts(
    settings: Settings, configuration: Configuration, aws: AwsSide, stopping: asyncio.Event
) -> Configuration:
    """Return the configuration, with the bot's own account if it has no [[accounts]]."""
    if configuration.accounts:
        return configuration
    return configuration.with_own_account(await own_account(aws.own_account, stopping), settings.region)


def _facts(settings: Settings, configuration: Configuration) -> Mapping[str, object]:
    in_secrets_manager = settings.app_credential == "secret" and settings.app_secret_arn
    return {
        "version": metadata.version(DISTRIBUTION),
        "accounts": [account.id for account in configuration.accounts],
        "region": settings.region,
        "store": settings.store,
        "channels": [channel.name for channel in configuration.channels],
        "login": "secret-arn" if in_secrets_manager else settings.app_credential,
        "queue": settings.queue_url is not None,
    }


def _readiness(teams: TeamsSide, telemetry: Telemetry) -> server.Readiness:
    async def missing() -> Mapping[str, str]:
        return {**telemetry.health.missing(), **await teams.missing()}

    return missing


async def _listen(
    settings: Settings, stack: AsyncExitStack, public: web.Application, operators: web.Application
) -> tuple[server.Server, ...]:
    """Open the public port and, unless it is switched off, the metrics port. Raises CannotListen."""

    async def opened(app: web.Application, host: str, port: int, name: str) -> server.Server:
        try:
            return await stack.enter_async_context(server.listen(app, host=host, port=port))
        except OSError as error:
            raise CannotListen.on(host, port, name, error) from error

    sockets = [await opened(public, settings.host, settings.port, "")]
    if settings.metrics_port:
        sockets.append(await opened(operators, settings.metrics_host, settings.metrics_port, "METRICS_"))
    return tuple(sockets)
