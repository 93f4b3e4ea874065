"""The weekly digest of a channel: posted once for each ISO week, at most a day late, whatever fails."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.domain.request import Status, Verdict
from bot.domain.schedule.digest_week import WeeklyTime
from bot.ports.store import StoreUnavailable
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.service.deliver.retry_policy import MOST_POSTS
from tests.fakes.card_text import shown
from tests.fakes.chat import CHANNEL
from tests.fakes.clock import settled
from tests.fakes.gates import Gated
from tests.fakes.store import HangingStore
from tests.fakes.world import APPROVALS, World, current_configuration, new_world

MONDAY_AT_NINE = WeeklyTime(0, time(9))
DIGESTING = replace(APPROVALS, digest=MONDAY_AT_NINE, timezone="Asia/Tokyo")
DUE = datetime(2026, 4, 6, 0, 0, tzinfo=UTC)  # the first Monday after the clock's start, at 9:00 in Tokyo
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def world() -> World:
    """Return a world whose channel gets a digest."""
    return new_world(DIGESTING)


def digests(world: World) -> Sequence[str]:
    """Return the text of each digest in Teams, oldest first."""
    cards = [shown(sent.versions[-1].card) for sent in world.chat.of("post") if sent.where == CHANNEL]
    return [text for text in cards if text.startswith("Weekly digest")]


async def at(world: World, moment: datetime) -> None:
    """Set the clock, and post what is due then."""
    world.clock.set_to(moment)
    await world.weekly_digests.post_due()


async def test_digest_states_what_happened_in_the_week_and_names_no_one(world: World) -> None:
    """It counts each request, approval, rejection, expired and waiting request, and how long decisions took."""
    keys = approved, rejected, expired, _waiting = [world.aws.add(number) for number in (1, 2, 3, 4)]
    for key in keys:
        await world.shown(key)
    await world.clock.advance(12 * 60)
    world.aws.decide(approved, Verdict.APPROVE)
    world.aws.decide(rejected, Verdict.REJECT)
    world.aws.end(expired, Status.TIMED_OUT)
    for key in keys:
        await world.shown(key)
    await at(world, DUE)
    (text,) = digests(world)
    assert text.splitlines() == [
        "Weekly digest",
        "Mon, Mar 30, 2026, 09:00 JST to Mon, Apr 6, 09:00 JST",
        *("Requests made", "4", "Approved", "1", "Rejected", "1", "Expired without a decision", "1"),
        *("Waiting for a decision now", "1"),
        *("Median time to a decision", "12 minutes", "Longest time to a decision", "12 minutes"),
        "Requests that ended before Wed, Apr 1, 2026, 18:00 JST may be missing.",
    ]
    (sent,) = (each for each in world.chat.of("post") if "Weekly digest" in each.card)
    assert (sent.versions[-1].summary, sent.versions[-1].alert) == ("Weekly digest: 4 requests", False)


async def test_digest_of_a_quiet_week_is_posted(world: World) -> None:
    """A channel can tell a week without requests from a bot that does not work."""
    await at(world, DUE - SECOND)
    assert digests(world) == []
    await at(world, DUE)
    assert "A quiet week" in digests(world)[0]


async def test_three_replicas_post_one_digest_a_week_also_after_a_restart() -> None:
    """All of them find it due at the same time, and one claims it. A new process finds it posted."""
    store = HangingStore()
    first = new_world(DIGESTING, store=store)
    replicas = [first, *(replace(first, owner=f"replica-{number}") for number in (2, 3))]
    first.clock.set_to(DUE)
    store.hangs = {"write_digest_post"}
    rounds = [asyncio.create_task(each.weekly_digests.post_due()) for each in replicas]
    await first.clock.advance(1)
    store.go.set()
    await asyncio.gather(*rounds)
    assert len(digests(first)) == 1
    for moment in (DUE + SECOND, DUE + DAY, DUE + 2 * DAY):
        first.build()
        for each in replicas:
            await at(each, moment)
    assert len(digests(first)) == 1
    await at(first, DUE + 7 * DAY)
    assert len(digests(first)) == 2


@pytest.mark.parametrize(("late", "posted"), [(DAY, 1), (DAY + SECOND, 0)])
async def test_digest_is_posted_at_most_a_day_late(world: World, *, late: timedelta, posted: int) -> None:
    """After an outage of the bot of more than a day, the digest is skipped. The log says so once."""
    with capture_logs() as logs:
        await at(world, DUE + late)
        await at(world, DUE + late + SECOND)
    assert len(digests(world)) == posted
    assert [each["event"] for each in logs].count("digest_skipped") == 1 - posted


async def test_digest_follows_the_setting(world: World) -> None:
    """Without the setting there is none. After another weekday was set, the same ISO week gets no second one."""
    world.configuration.replace(current_configuration(replace(DIGESTING, digest=None)).value)
    await at(world, DUE)
    assert digests(world) == []
    world.configuration.replace(current_configuration(DIGESTING).value)
    await at(world, DUE + SECOND)
    world.configuration.replace(current_configuration(replace(DIGESTING, digest=WeeklyTime(2, time(9)))).value)
    await at(world, DUE + 2 * DAY)
    assert len(digests(world)) == 1
    await at(world, DUE + 9 * DAY)
    assert len(digests(world)) == 2


async def test_paused_channel_gets_no_digest_until_the_pause_ends(world: World) -> None:
    """If the pause ends within a day, the digest is late."""
    world.configuration.replace(current_configuration(replace(DIGESTING, decide=False)).value)
    await at(world, DUE)
    assert digests(world) == []
    world.configuration.replace(current_configuration(DIGESTING).value)
    await at(world, DUE + DAY)
    assert len(digests(world)) == 1


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (ChatThrottled(40.0), 41),
        (ChatUnavailable("timeout", ambiguous=False), 5),
        (ChatRefused(ChatProblem.FORBIDDEN), 10),
    ],
    ids=["throttled", "away", "refused"],
)
async def test_digest_that_teams_did_not_take_is_tried_again(world: World, fault: Exception, pause: int) -> None:
    """The pause is as long as for cards. Another replica waits, too."""
    world.chat.before["post"].append(fault)
    await at(world, DUE)
    other = replace(world, owner="replica-2")
    await at(other, DUE + (pause - 1) * SECOND)
    assert digests(world) == []
    await at(other, DUE + pause * SECOND)
    assert len(digests(world)) == 1


async def test_digest_that_teams_refuses_is_tried_each_hour_for_a_day(world: World) -> None:
    """For example until the app is installed in the team. Then the digest is skipped."""
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    running = asyncio.create_task(world.weekly_digests.run())
    await world.clock.advance((DUE - world.clock.now()).total_seconds())
    await world.clock.advance(DAY.total_seconds() + 3600)
    assert 24 <= world.chat.asked["post"] <= 32
    world.chat.refusing.clear()
    await world.clock.advance(DAY.total_seconds())
    assert digests(world) == []
    running.cancel()


async def test_digest_without_a_known_result_is_posted_a_few_times_at_most(world: World) -> None:
    """Each time it may be in Teams already. The number of copies is limited."""
    world.chat.after["post"] += [ChatUnavailable("timeout", ambiguous=True) for _ in range(100)]
    running = asyncio.create_task(world.weekly_digests.run())
    await world.clock.advance((DUE - world.clock.now()).total_seconds() + 2 * DAY.total_seconds())
    assert len(digests(world)) == MOST_POSTS
    running.cancel()


class CrashError(BaseException):
    """The process ends."""


class CrashAt:
    """A gate at which the process ends: before or after its call with this number."""

    def __init__(self, point: int) -> None:
        self._left = point
        self.reached = False

    async def before(self, call: str) -> None:
        self._count()

    async def after(self, call: str) -> None:
        self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.reached = True
            raise CrashError


async def test_crash_at_any_call_leaves_at_most_one_extra_digest() -> None:
    """The process ends before or after each call of a port in turn. The next process posts the digest, if it must."""
    copies = []
    for point in range(1, 100):
        world, gate = new_world(DIGESTING), CrashAt(point)
        ports: dict[str, Any] = {"store": Gated(world.store, "Store", gate), "chat": Gated(world.chat, "Chat", gate)}
        dying = replace(world, owner="dying", **ports)
        with contextlib.suppress(CrashError):
            await at(dying, DUE)
        if not gate.reached:
            break
        for minutes in (1, 2, 3):
            await at(world, DUE + timedelta(minutes=minutes))
        copies.append(len(digests(world)))
    assert len(copies) >= 10
    assert set(copies) == {1, 2}


class AwayOnce:
    """A gate at which the store fails before the first write of a digest."""

    def __init__(self) -> None:
        self._failed = False

    async def before(self, call: str) -> None:
        """Raise StoreUnavailable once."""
        if call == "Store.write_digest_post" and not self._failed:
            self._failed = True
            raise StoreUnavailable("away")

    async def after(self, call: str) -> None:
        """Let all answers pass."""


async def test_process_whose_claim_was_not_stored_leaves_the_digest_to_another_one(world: World) -> None:
    """While the other process posts, the first one does not replace its claim."""
    failing = replace(world, owner="failing", store=Gated(world.store, "Store", AwayOnce()))
    await at(failing, DUE)
    world.chat.gates["post"] = gate = asyncio.Event()
    posting = [asyncio.create_task(at(world, DUE + SECOND))]
    await world.chat.arrived["post"].wait()
    for seconds in (30, 31):
        posting.append(asyncio.create_task(at(failing, DUE + seconds * SECOND)))
        await settled()
    gate.set()
    await asyncio.gather(*posting)
    await at(failing, DUE + 2 * SECOND * 60)
    assert len(digests(world)) == 1


async def test_result_that_the_store_did_not_accept_is_stored_later(world: World) -> None:
    """The process knows that the digest is in Teams, and posts no second one."""

    class AwayAfterThePost:
        async def before(self, call: str) -> None:
            if call == "Store.write_digest_post" and digests(world) and world.clock.now() < DUE + 30 * SECOND:
                raise StoreUnavailable("away")

        async def after(self, call: str) -> None:
            pass

    failing = replace(world, store=Gated(world.store, "Store", AwayAfterThePost()))
    for seconds in (0, 20, 40):
        await at(failing, DUE + seconds * SECOND)
    failing.build()
    for seconds in (50, 3600):
        await at(failing, DUE + seconds * SECOND)
    assert len(digests(world)) == 1
