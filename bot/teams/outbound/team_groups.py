"""The Microsoft Entra group of each channel's team. Links to messages need it (bot.domain.shown.links).

Teams documents the group for events of a team only. For a channel whose activities lack it, Teams is asked once.
"""

import re
from collections.abc import Callable
from typing import Final

import structlog
from cachetools import TTLCache

from bot.concurrency.background import Background
from bot.domain.routing import is_channel, thread_root
from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable
from bot.ports.teams import ChatRefused, ChatThrottled, ChatUnavailable
from bot.teams.outbound.connector import CallKind, Connector, counted
from bot.teams.outbound.service_urls import ServiceUrls
from bot.telemetry import Telemetry

_GROUP: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
REMEMBERED: Final = 1024  # channels
ASKED_EVERY: Final = 3600.0  # seconds; a group never changes, so this only limits the attempts for an unknown one

log = structlog.get_logger(__name__)


class TeamGroups:
    """Learns groups from verified activities, and stores them. `is_configured` says whether a channel needs one."""

    def __init__(
        self,
        store: Store,
        connector: Connector,
        *,
        service_urls: ServiceUrls,
        is_configured: Callable[[str], bool],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store, self._connector, self._service_urls = store, connector, service_urls
        self._is_configured, self._telemetry = is_configured, telemetry
        self._learned: TTLCache[tuple[str, str], None] = TTLCache(REMEMBERED, ASKED_EVERY, clock.epoch)
        self._background = Background()

    def learn(self, conversation: str, *, team: str | None, group_id: str | None) -> None:
        """Store the group of an activity's team for its channel, in the background: an activity never waits.

        Without a group, store the one that is known for the team, else request it from Teams. `team` is `19:…`.
        """
        channel, group = thread_root(conversation), group_id if group_id and _GROUP.fullmatch(group_id) else ""
        if not is_channel(channel) or not (group or (team and self._is_configured(channel))):
            return
        if (channel, group) in self._learned:
            return
        self._learned[channel, group] = None  # set before the work, so that a burst does it once
        self._background.begin(self._store_group(channel, team, group))

    async def drain(self) -> None:
        """Wait for the work in progress."""
        await self._background.drain()

    async def _store_group(self, channel: str, team: str | None, group: str) -> None:
        try:
            known = await self._store.team_group(channel)
            found = group or known or (await self._group_of(channel, team) if team else None)
            if found and found != known:
                await self._store.remember_team_group(channel, found)
            if group and team and team != channel:  # later, another channel of the team may need it
                await self._store.remember_team_group(team, group)
        except StoreUnavailable:
            self._learned.pop((channel, group), None)
            log.warning("team_group_not_stored", conversation=channel)

    async def _group_of(self, channel: str, team: str) -> str | None:
        if known := await self._store.team_group(team):
            return known
        try:
            with counted(self._telemetry, CallKind.TEAM):
                found = await self._connector.get_team_group(await self._service_urls.of(channel), team=team)
        except (ChatThrottled, ChatUnavailable, ChatRefused) as error:
            log.info("team_group_unknown", conversation=channel, error=type(error).__name__)
            return None
        return found if found and _GROUP.fullmatch(found) else None
