"""Re-reads node-access.toml while the bot runs and applies it completely or not at all.

Owns the times of reading and the effects of a change. bot.config.file parses the contents.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import structlog

from bot.config.errors import ConfigurationProblems, shown
from bot.config.file import parse_configuration
from bot.domain.configuration import Configuration
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.card_places import channel_of_card
from bot.ports.clock import Clock
from bot.ports.store import StoreUnavailable
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.telemetry import Telemetry

PERIOD = 3.0  # seconds between two reads of the file
CHECK = "configuration"  # the name of this check in /readyz and /metrics
log = structlog.get_logger(__name__)


class ConfigurationReload:
    """The loop that re-reads the file. `file` is its content at startup; `current` gets each new content.

    New contents apply after two equal reads in a row. An editor may still be writing, and half a file can be a
    valid file with half of the approvers.
    """

    def __init__(
        self,
        *,
        path: Path,
        file: Configuration,
        current: CurrentConfiguration,
        rows: Rows,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._path, self._file, self._current = path, file, current
        self._rows, self._clock, self._telemetry = rows, clock, telemetry
        self._at_start = _fixed(file)
        self._seen: bytes | str | None = None
        self._parsed: bytes | str | None = None
        self._refused = False  # whether the last parsed contents are invalid
        self._to_requeue: dict[RequestKey, None] = {}  # in the order in which they are tried
        self._changed: frozenset[str] | None = frozenset()  # names of changed channels; None: everything changed

    async def run(self) -> None:
        """Check the file until cancelled."""
        _warn(self._file)
        while True:
            await self._clock.sleep(PERIOD)
            await self.check()

    async def check(self) -> None:
        """Read the file once; apply new contents if they are valid and equal to those of the last read."""
        found = await asyncio.to_thread(_content, self._path)
        settled, self._seen = found == self._seen, found
        if settled and found != self._parsed:
            self._parsed = found
            self._parse(found)
        await self._update_cards()

    # --- parsing

    def _parse(self, found: bytes | str) -> None:
        if isinstance(found, str):
            self._refuse((found,))
            return
        try:
            configuration = parse_configuration(found, name=shown(self._path.name))
        except ConfigurationProblems as refused:
            self._refuse(refused.problems)
        else:
            self._accept(configuration)

    def _refuse(self, problems: tuple[str, ...]) -> None:
        """Keep the previous configuration, and report it as a problem until a valid file is read."""
        self._refused = True
        log.error("configuration_refused", file=self._path.name, problems=list(problems))
        self._telemetry.health.failed(
            CHECK, "the file was refused, and the previous one is still used; the log has the reasons"
        )

    def _accept(self, configuration: Configuration) -> None:
        previous, self._file = self._file, configuration
        refused, self._refused = self._refused, False
        if _rules_of(configuration) != _rules_of(previous):
            self._apply(previous, configuration)
        if refused or configuration != previous:
            log.info("configuration_read", channels=[channel.name for channel in configuration.channels])
            _warn(configuration)
        self._report_accounts(configuration)

    def _apply(self, previous: Configuration, configuration: Configuration) -> None:
        changed = _changed(previous, configuration)
        # accounts stay as they were at startup
        self._current.replace(replace(configuration, accounts=self._current.value.accounts))
        self._changed = None if changed is None or self._changed is None else self._changed | changed

    def _report_accounts(self, configuration: Configuration) -> None:
        """Report a change of [[accounts]], which needs a restart: clients and sweeps are created only at startup."""
        if _fixed(configuration) == self._at_start:
            self._telemetry.health.succeeded(CHECK)
            return
        log.warning("accounts_wait_for_restart", file=self._path.name)
        self._telemetry.health.failed(
            CHECK, "a change of [[accounts]] or their external_id needs a restart; all other changes are active"
        )

    # --- updating cards

    async def _update_cards(self) -> None:
        """Requeue the rows whose cards may change; rows that could not be stored are tried again at the next check."""
        try:
            if self._changed != frozenset():
                async for page in self._rows.store.watched():
                    self._to_requeue |= {row.key: None for row in page.rows if _concerns(row, self._changed)}
                self._changed = frozenset()
            for key in tuple(self._to_requeue):
                await self._requeue(key)
        except StoreUnavailable:
            self._telemetry.store_errors.inc()

    async def _requeue(self, key: RequestKey) -> None:
        """Requeue a row. If the store fails, the row goes last, so that it does not block other rows."""
        del self._to_requeue[key]
        try:
            await self._rows.requeue(key)
        except BaseException:
            self._to_requeue[key] = None
            raise


def _warn(configuration: Configuration) -> None:
    """Log the channels and steps without approvers, which are valid but rarely intended."""
    for channel, step in configuration.without_approvers:
        log.warning("approvers_missing", channel=channel, step=step)


def _content(path: Path) -> bytes | str:
    """Return the contents of the file, or a text that says why it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        return f"{shown(str(path))}: cannot be read ({type(error).__name__})"


def _fixed(configuration: Configuration) -> tuple[object, ...]:
    """Return the settings that only a restart changes. The external id counts only if reader roles use it."""
    reads_elsewhere = any(each.reader_role for each in configuration.accounts)
    return configuration.accounts, configuration.identity.external_id if reads_elsewhere else None


def _rules_of(configuration: Configuration) -> tuple[object, ...]:
    """Return the settings that take effect immediately. The order of the channels matters: the first match wins."""
    return configuration.channels, configuration.identity


def _changed(previous: Configuration, now: Configuration) -> frozenset[str] | None:
    """Return the names of the channels that differ; None if the identity rules differ, which concerns every request."""
    if previous.identity != now.identity:
        return None
    names = {channel.name for channel in (*previous.channels, *now.channels)}
    return frozenset(name for name in names if previous.channel(name) != now.channel(name))


def _concerns(row: Record, changed: frozenset[str] | None) -> bool:
    if changed is None or row.route is None or not row.route.settled:
        return True
    cards = {channel_of_card(card.name) for card in row.cards}
    return not changed.isdisjoint({row.route.channel, *cards})
