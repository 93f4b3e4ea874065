"""Reads node-access.toml anew while the bot runs, and puts it in force whole or not at all.

Owns when the file is looked at and what follows from a change; what is in it is bot.config.file's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from bot.config.errors import ConfigurationProblems, shown
from bot.config.file import Configuration, parse_configuration
from bot.domain.record import Record, SurfaceKind
from bot.domain.request import RequestKey
from bot.domain.routing import Channel
from bot.domain.shown.card_places import channel_of_card
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.configured import Configured
from bot.service.rows import Rows
from bot.telemetry import Telemetry

PERIOD = 3.0  # seconds between two looks at the file
CHECK = "configuration"  # its name among the checks of /readyz and /metrics
log = structlog.get_logger(__name__)


class ConfigurationReload:
    """The loop that looks at the file. `configuration` is what the program was started with.

    Bytes are judged when two looks in a row found the same: an editor may be in the midst of writing, and half a file
    may well be a file, with half of the approvers.
    """

    def __init__(
        self,
        *,
        path: Path,
        configuration: Configuration,
        configured: Configured,
        rows: Rows,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._path, self._in_force, self._configured = path, configuration, configured
        self._rows, self._clock, self._telemetry = rows, clock, telemetry
        self._at_start = _fixed(configuration)
        self._seen: bytes | str | None = None
        self._judged: bytes | str | None = None
        self._refused = False  # what was judged last
        self._to_look: dict[RequestKey, None] = {}  # in the order in which they are tried
        self._changed: frozenset[str] | None = frozenset()  # names of channels; None: everything

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(PERIOD)
            await self.look()

    async def look(self) -> None:
        """Look at the file once; put it in force if it has changed and can be used."""
        found = await asyncio.to_thread(_content, self._path)
        settled, self._seen = found == self._seen, found
        if settled and found != self._judged:
            self._judged = found
            self._judge(found)
        await self._have_cards_follow()

    # --- judging

    def _judge(self, found: bytes | str) -> None:
        if isinstance(found, str):
            self._refuse((found,))
            return
        try:
            configuration = parse_configuration(found, name=shown(self._path.name))
        except ConfigurationProblems as refused:
            self._refuse(refused.problems)
        else:
            self._take(configuration)

    def _refuse(self, problems: tuple[str, ...]) -> None:
        """Go on with the former file, and say so for as long as that lasts."""
        self._refused = True
        log.error("configuration_refused", file=self._path.name, problems=list(problems))
        self._telemetry.health.failed(CHECK, "the file was refused, and the former one is in force; the log says why")

    def _take(self, configuration: Configuration) -> None:
        former, self._in_force = self._in_force, configuration
        refused, self._refused = self._refused, False
        if _rules_of(configuration) != _rules_of(former):
            self._put_in_force(former, configuration)
        if refused or configuration != former:
            log.info("configuration_read", channels=[channel.name for channel in configuration.channels])
        self._tell_of_accounts(configuration)

    def _put_in_force(self, former: Configuration, configuration: Configuration) -> None:
        rules = replace(  # what comes from [[accounts]] stays as it was at the start
            self._configured.rules,
            channels=_by_name(configuration),
            allow_unidentified=configuration.identity.allow_unidentified,
        )
        changed = _changed(former, configuration)
        self._configured.take(rules, configuration.identity)
        self._changed = None if changed is None or self._changed is None else self._changed | changed

    def _tell_of_accounts(self, configuration: Configuration) -> None:
        """Accounts have clients and sweeps that are made at the start: what is theirs waits for the next one."""
        if _fixed(configuration) == self._at_start:
            self._telemetry.health.succeeded(CHECK)
            return
        log.warning("accounts_wait_for_restart", file=self._path.name)
        self._telemetry.health.failed(
            CHECK, "[[accounts]] or their external_id waits for a restart; the rest is in force"
        )

    # --- what follows

    async def _have_cards_follow(self) -> None:
        """Make due what may look different now; what a store does not take is tried again at the next look."""
        try:
            if self._changed != frozenset():
                rows = (await self._rows.store.watched()).rows
                self._to_look |= {row.key: None for row in rows if _concerns(row, self._changed)}
                self._changed = frozenset()
            for key in tuple(self._to_look):
                await self._make_due(key)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()

    async def _make_due(self, key: RequestKey) -> None:
        """Have a row looked at. One that the store does not take goes last, so that next time it hinders no other."""
        del self._to_look[key]
        try:
            await self._rows.look(key)
        except BaseException:
            self._to_look[key] = None
            raise


def _content(path: Path) -> bytes | str:
    """Return what is in the file, or in words why it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        return f"{shown(str(path))}: cannot be read ({type(error).__name__})"


def _fixed(configuration: Configuration) -> tuple[object, ...]:
    """Return what takes effect at a start alone; of the external id it is the reader roles' use of it."""
    reads_elsewhere = any(each.reader_role for each in configuration.accounts)
    return configuration.accounts, configuration.identity.external_id if reads_elsewhere else None


def _rules_of(configuration: Configuration) -> tuple[object, ...]:
    """Return what takes effect at once. The order of the channels counts: the first match wins."""
    return configuration.channels, configuration.identity


def _changed(former: Configuration, now: Configuration) -> frozenset[str] | None:
    """Name the channels that differ; None where who is who does, which concerns every request."""
    if former.identity != now.identity:
        return None
    before, after = _by_name(former), _by_name(now)
    return frozenset(name for name in {*before, *after} if before.get(name) != after.get(name))


def _by_name(configuration: Configuration) -> Mapping[str, Channel]:
    return {channel.name: channel for channel in configuration.channels}


def _concerns(row: Record, changed: frozenset[str] | None) -> bool:
    if changed is None or row.route is None or not row.route.settled:
        return True
    cards = {channel_of_card(surface.name) for surface in row.surfaces if surface.kind is SurfaceKind.CARD}
    return not changed.isdisjoint({row.route.channel, *cards})
