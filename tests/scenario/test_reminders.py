"""Reminders in the thread while a level waits: when they start, which people they mention, and when they stop."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Channel, LevelRule
from bot.domain.schedule.quiet_hours import QuietHours
from bot.ports.teams import ChatThrottled, ChatUnavailable
from tests.fakes.aws import FakeAws
from tests.fakes.card_text import nodes, shown
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, Sent
from tests.fakes.clock import ManualClock
from tests.fakes.world import APPROVALS, SITE, World, current_configuration, new_world

QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)
DAY = timedelta(days=1)
REMINDING = replace(
    APPROVALS,
    mention=(f"user:{HANAKO.object_id}",),
    levels=(LevelRule("Level2", ("members",), mention=(f"user:{ICHIRO.object_id}",)),),
    remind_after=(QUARTER, HOUR),
)
AT_NIGHT = replace(REMINDING, quiet_hours=QuietHours(time(22), time(7)))


def utc(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def world_at(start: str, channel: Channel) -> World:
    """Return a world whose clock begins at this time in UTC."""
    clock = ManualClock(utc(start))
    return new_world(channel, clock=clock, aws=FakeAws(clock))


def reminders(world: World) -> list[Sent]:
    """Return the reminders in threads."""
    return [sent for sent in world.chat.of("reply") if "still waiting for" in shown(sent.versions[-1].card)]


async def counts(world: World, key: RequestKey, *spans: timedelta) -> list[int]:
    """Let each span pass in turn; return how many reminders there are after each."""
    found = []
    for span in spans:
        await world.pass_time(key, span.total_seconds())
        found.append(len(reminders(world)))
    return found


async def test_story_of_two_reminders_and_a_request_that_expires() -> None:
    """Each reminder is a reply that notifies Hanako. After the request timed out in AWS, there is none."""
    world = new_world(REMINDING)
    key = await world.posted()
    minute = timedelta(minutes=1)
    assert await counts(world, key, QUARTER - minute, minute, HOUR - QUARTER - minute, minute, DAY) == [0, 1, 1, 2, 2]
    for each in reminders(world):
        assert each.mentioned() == [HANAKO.teams_id]
        assert each.versions[-1].alert
        assert each.where == f"{APPROVALS.conversation};messageid=1000"
        assert "Waiting since Wed, Apr 1, 2026, 09:00 UTC" in shown(each.versions[-1].card)
        assert "Expires Wed, Apr 8, 09:00 UTC" in shown(each.versions[-1].card)
    await world.pass_time(key, (5 * DAY).total_seconds())
    world.aws.end(key, Status.TIMED_OUT)
    assert await counts(world, key, DAY) == [2]
    assert "Expired" in shown(world.chat.of("post")[0].versions[-1].card)


async def test_reminder_that_is_due_while_the_bot_works_on_the_request_comes_at_once() -> None:
    """Teams takes 15 seconds for the requester's message, and the reminder is due after 10 of them."""
    world = new_world(replace(REMINDING, remind_after=(timedelta(seconds=10),)))
    key = world.aws.add()
    world.chat.gates["direct"] = asyncio.Event()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(15)
        assert reminders(world) == []
        world.chat.gates["direct"].set()
        await world.clock.advance(2)
        assert len(reminders(world)) == 1


async def test_notes_that_call_people_link_to_the_card_once_the_group_of_the_team_is_known() -> None:
    """The first reminder has no link, because a link without the group may not open. No other note has one."""
    world = new_world(REMINDING)
    group = "22222222-2222-4222-8222-222222222222"
    key = await world.posted(levels=2)
    await world.pass_time(key, QUARTER.total_seconds())
    await world.store.remember_team_group(CHANNEL, group)
    await world.pass_time(key, HOUR.total_seconds())
    async with world.running():
        await world.press(key, HANAKO)
    links = [
        [each["url"] for each in nodes(sent.versions[-1].card) if each.get("type") == "Action.OpenUrl"]
        for sent in world.chat.of("reply")
    ]
    link = SITE.message_link(f"{CHANNEL};messageid=1000", "1000", group_id=group)
    assert links == [[], [link], [], [link]]


async def test_reminders_begin_again_with_each_level() -> None:
    """The first level is approved after 20 minutes. The second one reminds its own people, from its own opening."""
    world = new_world(REMINDING)
    key = await world.posted(levels=2)
    assert await counts(world, key, timedelta(minutes=20)) == [1]
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert await counts(world, key, timedelta(minutes=14), timedelta(minutes=1), HOUR) == [1, 2, 3]
    assert [each.mentioned() for each in reminders(world)] == [[HANAKO.teams_id], [ICHIRO.teams_id], [ICHIRO.teams_id]]
    assert "level 2 of 2" in shown(reminders(world)[-1].versions[-1].card)


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_no_reminder_comes_after_the_decision(verdict: Verdict) -> None:
    """The decision was made in the AWS console, a minute before the first reminder."""
    world = new_world(REMINDING)
    key = await world.posted()
    await world.pass_time(key, 14 * 60)
    world.aws.decide(key, verdict)
    assert await counts(world, key, 2 * HOUR) == [0]


async def test_reminder_that_teams_did_not_take_before_the_decision_is_skipped() -> None:
    """Teams is unavailable when it is due, and back after the decision."""
    world = new_world(REMINDING)
    key = await world.posted()
    world.chat.before["reply"] = [ChatThrottled(120.0)]
    await world.pass_time(key, 15 * 60 + 30)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert await counts(world, key, HOUR) == [0]


@pytest.mark.parametrize(
    ("start", "timezone", "minutes", "expected"),
    [
        ("2026-04-01 12:40", "Asia/Tokyo", (19, 1, 8 * 60), [1, 1, 1]),  # 21:40, 21:59, 22:00, 06:00
        ("2026-04-01 12:50", "Asia/Tokyo", (9 * 60 + 9, 1, 24 * 60), [0, 1, 1]),  # 21:50, 06:59, 07:00
        ("2026-04-01 15:30", "Asia/Tokyo", (6 * 60 + 29, 1, 24 * 60), [0, 1, 1]),  # 00:30, 06:59, 07:00
        ("2026-03-28 20:50", "Europe/Berlin", (8 * 60 + 9, 1, 24 * 60), [0, 1, 1]),  # 07:00 is an hour earlier
        ("2026-10-24 19:50", "Europe/Berlin", (10 * 60 + 9, 1, 24 * 60), [0, 1, 1]),  # 07:00 is an hour later
    ],
    ids=["before and within", "evening", "after midnight", "summer time begins", "summer time ends"],
)
async def test_one_reminder_is_held_until_the_end_of_the_quiet_hours(
    start: str, timezone: str, minutes: tuple[int, ...], expected: list[int]
) -> None:
    """Both reminders of a night are due within it: one comes at its end."""
    world = world_at(start, replace(AT_NIGHT, timezone=timezone))
    key = await world.posted()
    assert await counts(world, key, *(timedelta(minutes=each) for each in minutes)) == expected


async def test_reminder_that_teams_did_not_take_before_the_quiet_hours_is_sent_once_after_them() -> None:
    """Teams is unavailable from 21:55 to 22:30."""
    world = world_at("2026-04-01 21:40", AT_NIGHT)
    key = await world.posted()
    world.chat.before["reply"] = [ChatThrottled(35 * 60.0)]
    assert await counts(world, key, HOUR, 8 * HOUR, HOUR) == [0, 0, 1]


async def test_cards_and_calls_of_levels_are_not_held_at_night() -> None:
    """The card comes at 23:00 and the second level is called at 23:30."""
    world = world_at("2026-04-01 23:00", AT_NIGHT)
    key = await world.posted(levels=2)
    assert len(world.chat.of("post")) == 1
    await world.pass_time(key, 30 * 60)
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert [each.mentioned() for each in world.chat.of("reply") if "now waits for level 2" in each.card] == [
        [ICHIRO.teams_id]
    ]


async def test_story_of_a_restart_and_three_replicas_between_reminders() -> None:
    """All three processes find the row due at the same time. Each reminder comes once."""
    world = new_world(REMINDING)
    key = await world.posted()
    await world.pass_time(key, 600)
    world.build()  # a restart
    others = [
        World(world.clock, world.aws, world.chat, world.people, world.store, world.configuration, owner, sharing=3)
        for owner in ("replica-2", "replica-3")
    ]
    async with world.running(), others[0].running(), others[1].running():
        await world.clock.advance(301)
        assert len(reminders(world)) == 1
        await world.clock.advance(7200)
    assert len(reminders(world)) == 2
    for each in (world, *others):
        each.build()
        await each.shown(key)
    assert len(reminders(world)) == 2


async def test_lost_answer_to_a_reminder_causes_at_most_one_more() -> None:
    """Teams took the reminder, and its answer was lost."""
    world = new_world(REMINDING)
    key = await world.posted()
    world.chat.after["reply"] = [ChatUnavailable("no_answer", ambiguous=True)]
    assert await counts(world, key, HOUR - timedelta(seconds=1), 2 * HOUR) == [2, 3]


async def test_paused_channel_gets_no_reminders_and_the_latest_one_after_the_pause() -> None:
    """The pause lasts from minute 10 to minute 90. Both reminders would have come within it."""
    world = new_world(REMINDING)
    key = await world.posted()
    await world.pass_time(key, 600)
    world.configuration.replace(current_configuration(replace(REMINDING, decide=False)).value)
    await world.shown(key)
    assert await counts(world, key, 80 * timedelta(minutes=1)) == [0]
    world.configuration.replace(current_configuration(REMINDING).value)
    await world.shown(key)
    assert len(reminders(world)) == 1
    assert await counts(world, key, DAY) == [1]


async def test_request_that_is_first_seen_late_is_not_reminded_at_once() -> None:
    """The bot was down for two hours. Its card calls the people; only a reminder that is due later follows."""
    world = new_world(replace(REMINDING, remind_after=(QUARTER, HOUR, 3 * HOUR)))
    key = world.aws.add()
    await world.clock.advance(7200)
    await world.shown(key)
    await world.shown(key)  # an event
    assert await counts(world, key, HOUR - timedelta(minutes=1), timedelta(minutes=1), DAY) == [0, 1, 1]


async def test_reminders_count_from_the_call_if_aws_does_not_say_when_the_level_opened() -> None:
    """The step has no start time."""
    world = new_world(REMINDING)
    key = world.aws.add()
    (first,) = world.aws.requests[key].levels
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(replace(first, started_at=None),))
    await world.clock.advance(600)
    await world.shown(key)
    assert await counts(world, key, QUARTER - timedelta(seconds=1), timedelta(seconds=1)) == [0, 1]


async def test_changed_spans_repeat_no_reminder_that_was_sent() -> None:
    """After the first reminder, the file lists another span before it. Then it lists none."""
    world = new_world(REMINDING)
    key = await world.posted()
    assert await counts(world, key, timedelta(minutes=20)) == [1]
    world.configuration.replace(
        current_configuration(replace(REMINDING, remind_after=(QUARTER / 3, QUARTER, HOUR))).value
    )
    await world.shown(key)
    assert await counts(world, key, timedelta(minutes=10)) == [1]
    world.configuration.replace(current_configuration(replace(REMINDING, remind_after=())).value)
    await world.shown(key)
    assert await counts(world, key, DAY) == [1]


async def test_clock_that_was_ahead_at_the_call_suppresses_no_reminder() -> None:
    """The process that posted the card had a clock a day ahead."""
    world = new_world(REMINDING)
    key = await world.posted()

    def ahead(row: Record) -> Record:
        calls = tuple(replace(each, at=each.at + DAY) for each in row.level_calls)
        return replace(row, level_calls=calls)

    await world.store.apply(key, ahead, now=world.clock.now())
    assert await counts(world, key, QUARTER, HOUR) == [1, 2]


async def test_reminders_that_a_file_adds_while_the_bot_is_down_are_sent() -> None:
    """The row was due at no time before. The sweep after the start plans it."""
    world = new_world(replace(REMINDING, remind_after=()))
    await world.posted()
    world.configuration.replace(current_configuration(REMINDING).value)
    world.build()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(QUARTER.total_seconds())
        assert len(reminders(world)) == 1
