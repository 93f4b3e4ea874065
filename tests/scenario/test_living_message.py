"""The requester's message: one for each request, updated in place like a card, and short messages that notify."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.record import ROW_LEASE
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.surface import DeliveryState, Surface
from bot.ports.aws import SignalThrottled
from bot.ports.store import PersonalChat, Replica
from bot.ports.teams import ChatProblem, ChatRefused
from bot.service.clicks.click import Verb
from bot.service.replicas import RUNNING
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.world import APPROVALS, World, new_world

CANCEL, CONNECT = "'verb': 'cancel'", "start-session"


def texts(world: World) -> list[str]:
    """Return the text of each message in the requester's chat as it is now."""
    return [shown(each.versions[-1].card) for each in world.chat.of("direct")]


async def decided(world: World, key: RequestKey, verdict: Verdict = Verdict.APPROVE) -> None:
    """Decide the waiting level in the AWS console, and reconcile."""
    world.aws.decide(key, verdict, "Please use staging")
    await world.shown(key)


async def ended(world: World, key: RequestKey, status: Status) -> None:
    """End the request in AWS, and reconcile."""
    world.aws.end(key, status)
    await world.shown(key)


async def message_of(world: World, key: RequestKey) -> Surface:
    """Return the surface of the requester's message."""
    surface = (await world.row(key)).surface(f"living:{TARO_PERSON.user}")
    assert surface is not None
    return surface


async def test_first_message_notifies_that_the_request_waits_and_says_who_decides_where(world: World) -> None:
    """There is one message for this state, not two. It names the channel and offers Cancel."""
    await world.posted()
    (message,) = world.chat.of("direct")
    assert message.versions[0].alert
    assert CANCEL in message.card
    assert "approvals" in texts(world)[0]
    assert "every member of that channel" in texts(world)[0]


async def test_message_names_the_listed_approvers_who_are_members_without_the_requester() -> None:
    """An approver who left the channel, and the requester, are not named."""
    listed = (f"user:{HANAKO.object_id}", f"upn:{ICHIRO.upn}", f"user:{TARO_PERSON.object_id}", "upn:gone@example.com")
    world = new_world(replace(APPROVALS, approvers=listed))
    await world.posted()
    assert f"{HANAKO.name}, {ICHIRO.name}" in texts(world)[0]
    assert TARO_PERSON.name not in texts(world)[0]


async def test_approval_of_a_level_updates_the_message_without_a_notification(world: World) -> None:
    """The message names the person who approved level 1, and says that level 2 waits. It still offers Cancel."""
    key = await world.posted(levels=2)
    async with world.running():
        await world.press(key, HANAKO)
    (text,) = texts(world)
    assert "Level 1 of 2 approved" in text
    assert "level 2 of 2" in text
    assert HANAKO.name in text
    assert CANCEL in world.chat.living


async def test_message_names_who_is_reviewing_until_the_review_ends(world: World) -> None:
    """The message is updated when a review begins and when it ends, and not for a repeated click. It never notifies."""
    key = await world.posted(levels=2)
    reviewed = []
    async with world.running():
        for step in ("Level1", "Level2"):
            await world.press(key, HANAKO, Verb.REVIEWING, step=step)
            await world.clock.advance(1)
            reviewed += texts(world)
            await world.press(key, HANAKO, Verb.REVIEWING, step=step)
            await world.clock.advance(30)
            await world.press(key, ICHIRO, step="Level1")
            await world.clock.advance(1)
        assert CANCEL in world.chat.living
        await world.clock.advance(10 * 60)
    (message,) = world.chat.of("direct")
    names = [HANAKO.name in shown(each.card) for each in message.versions]
    assert (names, [each.alert for each in message.versions[1:]]) == ([False, True, False, True, False], [False] * 4)
    assert all("Being reviewed" in each and f"{HANAKO.name} is looking at it now" in each for each in reviewed)
    assert "level 2 of 2" in reviewed[1]


async def test_answer_to_a_click_in_the_message_names_who_is_reviewing(world: World) -> None:
    """The answer takes the place of the message. AWS is busy, so the request still waits."""
    key = await world.posted()
    await world.press(key, HANAKO, Verb.REVIEWING)
    world.aws.before["signal"].extend(SignalThrottled() for _ in range(100))
    answering = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
    await world.clock.advance(3)
    assert f"{HANAKO.name} is looking at it now" in shown((await answering).card)
    await world.clock.advance(90)
    await world.click_handler.drain()


async def test_approved_message_has_the_commands_until_the_access_is_revoked(world: World) -> None:
    """The message is updated in place. Each state notifies once with a short message without commands and buttons."""
    key = await world.posted()
    await decided(world, key)
    assert (CONNECT in world.chat.living, CANCEL in world.chat.living) == (True, False)
    await ended(world, key, Status.REVOKED)
    assert CONNECT not in world.chat.living
    assert "access was revoked" in texts(world)[0]
    _, approved, revoked = texts(world)
    assert ("You can connect until" in approved, "was revoked" in revoked) == (True, True)
    assert not any(CONNECT in each.card or CANCEL in each.card for each in world.chat.of("direct")[1:])
    assert [each.versions[0].alert for each in world.chat.of("direct")] == [True] * 3
    await world.shown(key)
    assert len(world.chat.of("direct")) == 3


async def test_rejected_message_has_the_comment_and_says_how_to_request_again(world: World) -> None:
    """The short message has the comment too."""
    key = await world.posted()
    await decided(world, key, Verdict.REJECT)
    message, short = texts(world)
    assert all("Please use staging" in each for each in (message, short))
    assert "start-access-request" in message
    assert CANCEL not in world.chat.living


@pytest.mark.parametrize(
    ("status", "words", "messages"),
    [
        (Status.TIMED_OUT, "No one decided in time", 2),
        (Status.FAILED, "couldn’t start", 2),
        (Status.CANCELLED, "was cancelled", 1),
        (Status.GONE, "was deleted in AWS", 1),
    ],
)
async def test_message_shows_each_other_end(world: World, status: Status, words: str, messages: int) -> None:
    """An expired or failed request notifies. A cancelled or deleted one only updates the message."""
    key = await world.posted()
    await ended(world, key, status)
    assert [text.count(words) for text in texts(world)] == [1] * messages
    assert CANCEL not in world.chat.living


async def test_cancel_in_the_message_is_answered_with_the_updated_message(world: World) -> None:
    """The answer says who cancelled. The message in Teams is updated as well, and there is no second one."""
    key = await world.posted()
    async with world.running():
        answer = await world.click_handler.click(world.withdrawn(key))
    assert answer.card is not None
    (text,) = texts(world)
    for said in (shown(answer.card), text):
        heading, who, *_ = said.splitlines()
        assert (heading, who.partition(" on ")[0]) == ("Your request was cancelled.", "Cancelled by 山田 太郎")
    assert CANCEL not in world.chat.living


async def test_requester_is_notified_ten_minutes_before_the_access_ends_and_the_end_updates_the_message(
    world: World,
) -> None:
    """The access lasts 4 hours. The reminder is sent once, and after the end the message has no commands."""
    key = await world.posted()
    await decided(world, key)
    await world.pass_time(key, 4 * 3600 - 601)
    assert len(texts(world)) == 2
    await world.pass_time(key, 2)
    assert "Access ends soon" in texts(world)[2]
    assert CONNECT in world.chat.living
    await world.pass_time(key, 600)
    assert len(texts(world)) == 3
    assert "has ended" in texts(world)[0]
    assert CONNECT not in world.chat.living


async def test_reminder_that_is_late_is_not_sent_after_the_end(world: World) -> None:
    """The bot was down from before the reminder until the access had ended."""
    key = await world.posted()
    await decided(world, key)
    await world.clock.advance(4 * 3600 + 1)
    await world.shown(key)
    assert ["soon" in text for text in texts(world)] == [False, False]
    assert "has ended" in texts(world)[0]


async def test_access_of_minutes_is_not_announced_to_end_soon(world: World) -> None:
    """The message says from the beginning until when the access lasts."""
    key = world.aws.add()
    world.aws.requests[key] = replace(world.aws.requests[key], duration=timedelta(minutes=15))
    await world.shown(key)
    await decided(world, key)
    await world.pass_time(key, 15 * 60 - 1)
    assert len(texts(world)) == 2


async def test_restart_between_two_states_continues_the_message(world: World) -> None:
    """The next process updates the message that the first one posted, and notifies once."""
    key = await world.posted(levels=2)
    world.build()
    await decided(world, key)
    world.build()
    await decided(world, key)
    world.build()
    await world.shown(key)
    assert [CONNECT in each.card for each in world.chat.of("direct")] == [True, False]
    assert "Waiting" not in texts(world)[0]


async def test_request_that_nobody_can_decide_notifies_once_and_the_message_is_corrected_in_place() -> None:
    """When an approver is added to the file, the same message says that the request waits."""
    world = new_world(replace(APPROVALS, approvers=()))
    key = world.aws.add()
    await world.shown(key)
    assert "No one in Teams can decide" in texts(world)[0]
    world.configuration.replace(replace(world.configuration.value, channels=(APPROVALS,)))
    await world.shown(key)
    assert "every member of that channel" in texts(world)[0]
    assert "waiting for approval" in texts(world)[1]
    await world.shown(key)
    assert len(texts(world)) == 2


async def test_requester_without_a_teams_account_gets_no_message_and_the_thread_says_so(world: World) -> None:
    """The address matches no Teams user, and the configuration accepts that."""
    world.people.people.remove(TARO_PERSON)
    world.change_identity(people_domains=frozenset({"example.com"}), allow_unmatched=True)
    key = await world.posted()
    await decided(world, key)
    assert world.chat.of("direct") == []
    notes = [
        text
        for text in (shown(each.versions[-1].card) for each in world.chat.of("reply"))
        if "couldn’t message" in text
    ]
    assert len(notes) == 1


# --- the requester's language and time zone

TOKYO_CHANNEL = replace(APPROVALS, locale="ja", timezone="Asia/Tokyo")


async def speaks(world: World, locale: str | None, timezone: str | None) -> None:
    """Store language and time zone of the requester's client."""
    chat = PersonalChat(TARO_PERSON, "a:taro", "https://smba.example.com/", locale, timezone)
    await world.store.remember_chat(chat)


async def test_english_requester_in_a_japanese_channel_gets_english_messages_in_their_time_zone() -> None:
    """The card stays Japanese. The answer to a click in the chat is English too."""
    world = new_world(TOKYO_CHANNEL)
    await speaks(world, "en", "Asia/Kolkata")
    key = await world.posted()
    assert "waiting for approval" in texts(world)[0]
    assert "IST" in texts(world)[0]
    assert "承認待ち" in shown(world.chat.of("post")[0].versions[0].card)
    async with world.running():
        click = replace(world.withdrawn(key), locale="en", timezone="Asia/Kolkata")
        answer = await world.click_handler.click(click)
    assert answer.card is not None
    assert "Your request was cancelled" in shown(answer.card)
    assert "IST" in shown(answer.card)


@pytest.mark.parametrize(("locale", "timezone"), [(None, None), ("xx", "Mars/Base")])
async def test_requester_whose_language_is_not_known_gets_messages_in_the_channels(
    locale: str | None, timezone: str | None
) -> None:
    """A value that this version does not know counts as not known."""
    world = new_world(TOKYO_CHANNEL)
    await speaks(world, locale, timezone)
    await world.posted()
    assert "承認待ち" in texts(world)[0]
    assert "JST" in texts(world)[0]


async def test_new_language_changes_the_next_messages_and_causes_no_update() -> None:
    """The short message of the next state is in the new language, and so is the message when it is updated for it."""
    world = new_world(TOKYO_CHANNEL)
    key = await world.posted()
    await speaks(world, "en", "UTC")
    await world.shown(key)
    assert len(world.chat.of("direct")[0].versions) == 1
    await decided(world, key)
    assert ["You can connect until" in text for text in texts(world)] == [True, True]


async def test_answer_to_a_click_is_in_the_language_of_the_person_who_clicked() -> None:
    """So is the person's view of the card. The card in the channel is Japanese."""
    world = new_world(TOKYO_CHANNEL)
    key = await world.posted()
    await decided(world, key)
    late = replace(world.pressed(key, HANAKO), locale="en", timezone="Asia/Kolkata")
    answer = await world.click_handler.click(late)
    assert answer.card is not None
    assert answer.card["lang"] == "en"
    assert "Approved" in shown(answer.card)
    assert "JST" in shown(answer.card)
    assert answer.text.isascii()
    assert "承認済み" in shown(world.chat.of("post")[0].versions[-1].card)


# --- refusals of Teams


async def test_blocked_chat_is_tried_once_for_each_state_and_gets_the_whole_message_after_it_is_unblocked(
    world: World,
) -> None:
    """The note in the thread comes once. The first message that arrives has the commands and is updated from then on."""
    world.chat.unreachable[TARO_PERSON.object_id] = ChatProblem.BLOCKED
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.pass_time(key, 300)
    assert world.chat.asked["direct"] == 3
    waiting = (await world.row(key)).surface("dm:waiting")
    assert waiting is not None
    assert (waiting.delivery, waiting.problem) == (DeliveryState.IMPOSSIBLE, "blocked")
    world.chat.unreachable.clear()
    await decided(world, key)
    assert [CONNECT in each.card for each in world.chat.of("direct")] == [True]
    await ended(world, key, Status.REVOKED)
    assert CONNECT not in world.chat.living
    assert sum("couldn’t message" in shown(each.versions[0].card) for each in world.chat.of("reply")) == 1


async def test_update_of_the_message_that_teams_refuses_is_repeated_within_a_minute(world: World) -> None:
    """Three refusals in a row have no consequence. The short message does not wait for the update."""
    key = await world.posted()
    world.chat.before["update"] = [ChatRefused(ChatProblem.FORBIDDEN)] * 4  # the card's update is the first
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await world.pass_time(key, 60)
    assert len(world.chat.of("direct")) == 2
    assert CONNECT in world.chat.living


async def test_message_that_cannot_be_updated_for_hours_is_updated_when_teams_accepts_it(world: World) -> None:
    """It shows a button and later commands, so it is not given up, whatever its person has blocked."""
    key = await world.posted()
    world.chat.refusing[f"a:{TARO_PERSON.object_id}"] = ChatProblem.BLOCKED
    await ended_over_time(world, key, Status.CANCELLED, hours=30)
    assert CANCEL in world.chat.living
    world.chat.refusing.clear()
    await world.pass_time(key, 13 * 3600)
    assert CANCEL not in world.chat.living


async def ended_over_time(world: World, key: RequestKey, status: Status, *, hours: int) -> None:
    """End the request in AWS, and let hours pass."""
    world.aws.end(key, status)
    await world.rows.requeue(key)
    await world.pass_time(key, hours * 3600)


async def test_deleted_message_of_an_open_request_is_posted_again_once(world: World) -> None:
    """Who deletes it again gets only the short messages, and no message that is updated."""
    key = await world.posted(levels=3)
    for _ in range(2):
        surface = await message_of(world, key)
        world.chat.sent.pop(surface.activity_id or "", None)
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.pass_time(key, 70)
    assert (await message_of(world, key)).reposts == 1
    assert texts(world) == []
    await decided(world, key)
    await world.pass_time(key, 60)
    (short,) = texts(world)
    assert "You can connect until" in short


async def test_deleted_message_of_a_rejected_request_is_not_posted_again(world: World) -> None:
    """It would show nothing that its reader needs; the short message has said it."""
    key = await world.posted()
    world.chat.sent.pop((await message_of(world, key)).activity_id or "")
    world.aws.decide(key, Verdict.REJECT)
    await world.rows.requeue(key)
    await world.pass_time(key, 3600)
    (short,) = texts(world)
    assert "was rejected" in short


async def test_message_without_an_id_is_posted_again_in_the_next_state(world: World) -> None:
    """Teams accepted the first one and returned no id, so it cannot be updated. Nobody is notified twice."""
    world.chat.without_id["direct"] = 1
    key = await world.posted()
    await world.shown(key)
    assert len(texts(world)) == 1
    await decided(world, key)
    await world.shown(key)
    assert [CONNECT in each.card for each in world.chat.of("direct")] == [False, True]


async def test_another_person_as_the_requester_gets_a_new_message(world: World) -> None:
    """[people] named the wrong person first. That person's message gets no commands."""
    batch = "arn:aws:sts::111122223333:assumed-role/Operator/batch"
    world.change_identity(people={batch: TARO_PERSON.upn})
    key = world.aws.add(requester=batch)
    await world.shown(key)
    world.change_identity(people={batch: ICHIRO.upn})
    await world.shown(key)
    await decided(world, key)
    assert [each.where for each in world.chat.of("direct")] == [TARO_PERSON.object_id, ICHIRO.object_id]
    assert [CONNECT in each.card for each in world.chat.of("direct")] == [False, True]


# --- versions of the program


async def older_replica(world: World) -> None:
    """Register a process of a version that cannot read messages that are updated in place."""
    await world.store.register_replica(Replica("older", frozenset(), world.clock.now()))
    await world.replicas.register()


async def upgraded(world: World) -> None:
    """Let the older process end."""
    await world.clock.advance(RUNNING.total_seconds() + 1)
    await world.replicas.register()


async def test_each_state_has_its_own_message_while_an_older_version_runs(world: World) -> None:
    """The row has no value that the older version cannot read, and each message is whole."""
    await older_replica(world)
    key = await world.posted()
    await decided(world, key)
    assert [CANCEL in each.card for each in world.chat.of("direct")] == [True, False]
    assert [CONNECT in each.card for each in world.chat.of("direct")] == [False, True]
    assert {each.kind.value for each in (await world.row(key)).surfaces} == {"card", "note", "direct"}


async def test_messages_of_an_older_version_are_updated_in_place_after_the_upgrade(world: World) -> None:
    """The waiting message loses Cancel, and the approved one its commands. Nothing is sent twice."""
    await older_replica(world)
    key = await world.posted()
    await decided(world, key)
    await upgraded(world)
    await world.shown(key)
    assert len(texts(world)) == 2
    assert [CANCEL in each.card for each in world.chat.of("direct")] == [False, False]
    await ended(world, key, Status.REVOKED)
    assert not any(CONNECT in each.card for each in world.chat.of("direct"))
    assert ["was revoked" in text for text in texts(world)] == [True, True, True]


async def test_message_in_place_continues_after_a_rollback(world: World) -> None:
    """An older version joins again. The message is still updated; the notification stays short."""
    key = await world.posted()
    await older_replica(world)
    await decided(world, key)
    assert [CONNECT in each.card for each in world.chat.of("direct")] == [True, False]


async def test_both_messages_show_the_end_if_two_processes_posted_one(world: World) -> None:
    """The first process was paused during its post for longer than its lease, and another one posted too."""
    key = world.aws.add()
    world.chat.gates["direct"] = asyncio.Event()
    paused = asyncio.create_task(world.shown(key))
    await world.chat.arrived["direct"].wait()
    gate = world.chat.gates.pop("direct")
    await world.clock.advance(ROW_LEASE.total_seconds() + 1)
    other = replace(world, owner="replica-2")
    await other.shown(key)
    gate.set()
    await paused
    await ended(other, key, Status.CANCELLED)
    assert [CANCEL in each.card for each in world.chat.of("direct")] == [False, False]
    assert all("was cancelled" in text for text in texts(world))


async def test_message_is_updated_after_its_click_was_answered_with_another_content(world: World) -> None:
    """The answer "applying…" had no button. The cancellation fails before the next reconcile: the button comes back."""
    key = await world.posted()
    world.aws.before["signal"].extend(SignalThrottled() for _ in range(100))
    answering = asyncio.create_task(world.click_handler.click(world.withdrawn(key)))
    await world.clock.advance(3)
    assert CANCEL not in str((await answering).card)
    await world.clock.advance(90)
    await world.click_handler.drain()
    await world.shown(key)
    message = world.chat.of("direct")[0]
    assert [CANCEL in str(each.card) for each in message.versions] == [True, True]
