"""Reads node-access.toml from S3 at the start, before the program is built: its parts need a configuration."""

import asyncio

import structlog
from prometheus_client import CollectorRegistry

from bot.aws.assembly import AwsSide
from bot.clock import SystemClock
from bot.config.errors import ConfigurationProblems
from bot.config.file import parse_configuration
from bot.domain.configuration import Configuration
from bot.ports.configuration import Content, ObjectPlace, SourceUnreadable
from bot.telemetry import Telemetry

log = structlog.get_logger(__name__)


async def read_at_start(place: ObjectPlace, region: str, stopping: asyncio.Event) -> tuple[Configuration, str | None]:
    """Return the configuration and its version, once AWS has answered.

    Raises ConfigurationProblems after a minute, or at once if waiting cannot help; StoppedEarly on shutdown.
    """
    try:
        async with _aws(region) as aws:
            content = await aws.configuration_object(place).first(stopping)
    except SourceUnreadable as unreadable:
        raise ConfigurationProblems([unreadable.advice]) from None
    configuration = parse_configuration(content.raw, name=str(place))
    names = [channel.name for channel in configuration.channels]
    log.info("configuration_read", channels=names, version=content.version, at_start=True)
    return configuration, content.version


def look(place: ObjectPlace, region: str) -> Configuration:
    """Read the configuration once, to find its problems. Raises ConfigurationProblems."""

    async def read() -> Content | None:
        async with _aws(region) as aws:
            return await aws.configuration_object(place).read()

    try:
        content = asyncio.run(read())
    except SourceUnreadable as unreadable:
        raise ConfigurationProblems([unreadable.advice]) from None
    return parse_configuration(content.raw if content else b"", name=str(place))


def _aws(region: str) -> AwsSide:
    telemetry = Telemetry(CollectorRegistry())  # nothing serves the metrics yet
    return AwsSide(region=region, accounts=(), queue_url=None, clock=SystemClock(), telemetry=telemetry)
