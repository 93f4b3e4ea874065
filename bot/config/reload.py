"""Re-reads node-access.toml while the bot runs and applies it completely or not at all.

Owns the times of reading and the effects of a change. The source reads, and bot.config.file parses the contents.
"""

from dataclasses import replace

import structlog

from bot.config.errors import ConfigurationProblems
from bot.config.file import parse_configuration
from bot.domain.configuration import Configuration
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.card_places import channel_of_card
from bot.ports.clock import Clock
from bot.ports.configuration import ConfigurationSource, Content, SourceUnreadable
from bot.ports.store import StoreUnavailable
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.telemetry import Telemetry

CHECK = "configuration"  # the name of this check in /readyz and /metrics
LASTING = 2  # failed reads in a row that are a problem: no call is retried, and one of thousands fails
INVALID = "ConfigurationInvalid"  # the code of contents that were read, but are not valid
log = structlog.get_logger(__name__)


class ConfigurationReload:
    """The loop that re-reads the configuration. `current` gets each new one.

    `file` and `version` are the configuration at startup, and the version that the source gives it.
    """

    def __init__(
        self,
        *,
        source: ConfigurationSource,
        file: Configuration,
        version: str | None = None,
        current: CurrentConfiguration,
        rows: Rows,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._source, self._file, self._version, self._current = source, file, version, current
        self._rows, self._clock, self._telemetry = rows, clock, telemetry
        self._at_start = _fixed(file)
        self._refused: tuple[object, ...] | None = None  # version and problems of the last contents, if refused
        self._failures = 0  # reads in a row that failed
        self._was_invalid = False  # True after contents that were read, but are not valid
        self._to_requeue: dict[RequestKey, None] = {}  # in the order in which they are tried
        self._changed: frozenset[str] | None = frozenset()  # names of changed channels; None: everything changed

    async def run(self) -> None:
        """Check the source until cancelled."""
        _warn(self._file)
        while True:
            await self._clock.sleep(self._source.period)
            await self.check()

    async def check(self) -> None:
        """Read the source once, and apply new contents if they are valid."""
        try:
            content = await self._source.read()
        except SourceUnreadable as unreadable:
            self._failures += 1
            if self._failures >= LASTING:
                self._refuse(unreadable.code, (unreadable.advice,))
        else:
            self._failures = 0
            self._take(content)
        await self._update_cards()

    # --- new contents

    def _take(self, content: Content | None) -> None:
        if content is None:
            return
        try:
            configuration = parse_configuration(content.raw, name=self._source.name)
        except ConfigurationProblems as refused:
            self._refuse(INVALID, refused.problems, content.version)
        else:
            self._accept(configuration, content.version)

    def _refuse(self, code: str, problems: tuple[str, ...], version: str | None = None) -> None:
        """Keep the previous configuration, and report the problems until a valid one is read. Log them once."""
        more = f" (the log has {len(problems) - 1} more)" if len(problems) > 1 else ""
        self._telemetry.health.failed(CHECK, code, f"{problems[0]}{more}; the previous version stays active")
        if self._refused != (version, problems):
            log.error("configuration_refused", file=self._source.name, problems=list(problems), **_named(version))
        self._refused = version, problems
        self._was_invalid = self._was_invalid or code == INVALID

    def _accept(self, configuration: Configuration, version: str | None) -> None:
        previous, self._file = self._file, configuration
        is_news = self._was_invalid or configuration != previous or version != self._version
        self._refused, self._was_invalid, self._version = None, False, version
        if _rules_of(configuration) != _rules_of(previous):
            self._apply(previous, configuration)
        if is_news:
            names = [channel.name for channel in configuration.channels]
            log.info("configuration_read", channels=names, **_named(version))
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
        log.warning("accounts_wait_for_restart", file=self._source.name)
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


def _named(version: str | None) -> dict[str, str]:
    return {} if version is None else {"version": version}


def _fixed(configuration: Configuration) -> tuple[object, ...]:
    """Return the settings that only a restart changes. The external id counts only if reader roles use it."""
    reads_elsewhere = any(each.reader_role for each in configuration.accounts)
    return configuration.accounts, configuration.identity.external_id if reads_elsewhere else None


def _rules_of(configuration: Configuration) -> Configuration:
    """Return the settings that take effect immediately. The order of the channels matters: the first match wins."""
    return replace(configuration, accounts=())


def _changed(previous: Configuration, now: Configuration) -> frozenset[str] | None:
    """Return the names of the channels that differ; None if the identity rules differ, which concerns every request.

    A channel also counts if the channel differs to which it escalates: that one need not have a card yet.
    """
    if previous.identity != now.identity:
        return None
    channels = (*previous.channels, *now.channels)
    names = {channel.name for channel in channels}
    changed = frozenset(name for name in names if previous.channel(name) != now.channel(name))
    return changed.union(channel.name for channel in channels if channel.escalate_to in changed)


def _concerns(row: Record, changed: frozenset[str] | None) -> bool:
    if changed is None or row.route is None or not row.route.settled:
        return True
    cards = {channel_of_card(card.name) for card in row.cards}
    return not changed.isdisjoint({row.route.channel, *cards})
