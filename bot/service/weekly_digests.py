"""Posts the weekly digest of each channel that has one, once for each ISO week, whichever process is first.

The store has the state of each post (bot.domain.digest_post): a process posts only after its claim was stored there.
What Teams did not take is tried again, at most a day after the digest was due. Start with `WeeklyDigests.post_due`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from bot.concurrency.backoff import backoff
from bot.domain.access.sessions import LONGEST_ACCESS
from bot.domain.digest_post import LONGEST_PAUSE, DigestPost
from bot.domain.history import HistoryEntry, is_listed, place_subject
from bot.domain.routing import Channel
from bot.domain.schedule.digest_week import DigestWeek
from bot.domain.shown.replies.reply_views import WeeklyDigestView
from bot.domain.shown.replies.weekly_digest import Tally, tally
from bot.ports.clock import Clock
from bot.ports.store import Store, StoreUnavailable
from bot.ports.teams import Chat, ChatRefused, ChatThrottled, ChatUnavailable, Message
from bot.rendering import render, summary
from bot.service.current_configuration import CurrentConfiguration
from bot.service.deliver.retry_policy import CROWDING, MOST_POSTS, OUTAGE, POST_REPEATS, REFUSAL
from bot.telemetry import Telemetry

PERIOD: Final = 30.0  # seconds between two looks at the clock
OPEN_AT_MOST: Final = timedelta(days=31) + LONGEST_ACCESS  # a request waits for up to 30 days before its access begins
MOST_COUNTED: Final = 5_000  # requests of one digest; reading one takes about 0.1 ms
AT_ONCE: Final = 100  # rows that are in memory at the same time
log = structlog.get_logger(__name__)


class WeeklyDigests:
    """The loop of one process, `owner`. Several processes may run it on the same store."""

    def __init__(
        self,
        *,
        store: Store,
        chat: Chat,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
        owner: str,
    ) -> None:
        self._store, self._chat, self._clock, self._owner = store, chat, clock, owner
        self._configuration, self._telemetry = configuration, telemetry
        self._ended: set[str] = set()  # names of posts that this process need not read again
        # claims, each with its result, which is not stored so far because the store failed
        self._unsaved: dict[str, tuple[DigestPost, DigestPost]] = {}

    async def run(self) -> None:
        """Post what is due until cancelled."""
        while True:
            await self.post_due()
            await self._clock.sleep(PERIOD)

    async def post_due(self) -> None:
        """Post the digests that are due. A paused channel gets none. If the store fails, the next round tries again."""
        for channel in self._configuration.value.channels:
            if channel.digest is None or not channel.decide:
                continue
            week = channel.digest.latest(self._clock.now(), channel.timezone)
            try:
                await self._attend(channel, week)
            except StoreUnavailable:
                self._telemetry.store_errors.inc()

    async def _attend(self, channel: Channel, week: DigestWeek) -> None:
        new = DigestPost(channel.conversation, week.name, week.until)
        if new.name in self._ended:
            return
        if new.name in self._unsaved:
            await self._save_late(new.name)
            return
        post = await self._store.digest_post(new.name) or new
        if post.ended or week.is_over(self._clock.now()):
            self._ended.add(post.name)
            if not post.ended:
                log.info("digest_skipped", channel=channel.name, week=week.name)
        elif post.unconfirmed < MOST_POSTS:
            await self._claim_and_post(channel, week, post)

    async def _claim_and_post(self, channel: Channel, week: DigestWeek, post: DigestPost) -> None:
        if post.claimed(self._owner, self._clock.now()) is None:
            return
        view = await self._view(channel, week)
        now = self._clock.now()  # reading the rows may have taken seconds
        claimed = post.claimed(self._owner, now)
        if claimed is None:
            return
        unsent = claimed.failed(retry_at=now, unconfirmed=False)
        self._unsaved[post.name] = claimed, unsent  # if the store does not answer, nothing was sent
        if not await self._is_first(claimed):
            del self._unsaved[post.name]
            return
        self._unsaved[post.name] = claimed, await self._result(channel, claimed, view)
        await self._save(post.name)

    async def _is_first(self, claimed: DigestPost) -> bool:
        """Store the claim; return False if another process has claimed the digest since it was read."""
        return await self._store.write_digest_post(claimed)

    async def _save(self, name: str) -> None:
        """Store the result of an attempt. Raises StoreUnavailable; then the next round stores it."""
        _, result = self._unsaved[name]
        await self._store.write_digest_post(result)
        del self._unsaved[name]
        if result.ended:
            self._ended.add(name)

    async def _save_late(self, name: str) -> None:
        """Store the result of an earlier attempt, unless the store has another claim: that process goes on."""
        claimed, _ = self._unsaved[name]
        if await self._store.digest_post(name) == claimed:
            await self._save(name)
        else:
            del self._unsaved[name]

    async def _result(self, channel: Channel, post: DigestPost, view: WeeklyDigestView) -> DigestPost:
        """Post the digest; return its state after that."""
        card = render(view, locale=channel.locale, timezone=channel.timezone)
        try:
            await self._chat.post(channel.conversation, Message(card, summary(view, locale=channel.locale)))
        except ChatThrottled as throttled:
            pause = timedelta(seconds=throttled.retry_after) + _grown(CROWDING, post.failures)
            return self._failed(channel, post, "throttled", pause)
        except ChatUnavailable as unavailable:
            pause = _grown(OUTAGE, post.failures)
            return self._failed(channel, post, unavailable.code, pause, unconfirmed=unavailable.ambiguous)
        except ChatRefused as refused:
            return self._failed(channel, post, refused.problem, _after_refusal(post.failures))
        self._count("delivered")
        log.info("digest_posted", channel=channel.name, week=post.week)
        return post.finished()

    def _failed(
        self, channel: Channel, post: DigestPost, code: str, pause: timedelta, *, unconfirmed: bool = False
    ) -> DigestPost:
        self._count("postponed")
        log.warning("digest_not_posted", channel=channel.name, week=post.week, code=code)
        return post.failed(retry_at=self._clock.now() + min(pause, LONGEST_PAUSE), unconfirmed=unconfirmed)

    def _count(self, result: str) -> None:
        self._telemetry.deliveries.labels(kind="digest", result=result).inc()

    # --- what the digest says

    async def _view(self, channel: Channel, week: DigestWeek) -> WeeklyDigestView:
        """Read the rows of the channel's requests that may have changed in the week. Raises StoreUnavailable."""
        since = week.since - OPEN_AT_MOST
        found = await self._store.history(place_subject(channel.conversation), since, MOST_COUNTED)
        began = await self._store.history_began(self._clock.now())
        counted = Tally()
        for first in range(0, len(found), AT_ONCE):
            counted += await self._tally(found[first : first + AT_ONCE], channel, week)
        return counted.view(week, began=began, complete=len(found) < MOST_COUNTED)

    async def _tally(self, found: Sequence[HistoryEntry], channel: Channel, week: DigestWeek) -> Tally:
        entries = {each.key: each for each in found}
        rows = await self._store.load_several([*entries])
        listed = [row for row in rows if is_listed(row, entries[row.key])]
        return tally(listed, channel.conversation, week)


def _grown(bounds: tuple[timedelta, timedelta], failures: int) -> timedelta:
    first, longest = bounds
    return backoff(failures, first=first, longest=longest)


def _after_refusal(failures: int) -> timedelta:
    """Return the pause after a refusal. Teams refuses some messages for no reason, so the first pauses are short."""
    if failures < len(POST_REPEATS):
        return POST_REPEATS[failures]
    return _grown(REFUSAL, failures - len(POST_REPEATS))
