"""Messages that Teams refuses permanently: every request stays visible, and retries are bounded."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from bot.domain.record import KEPT, Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Match
from bot.domain.shown.direct import IDENTIFYING_SPAN
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.store import Change, StoreUnavailable
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.service.deliver import retry_policy
from bot.service.reconcile.loop import SIDE_BY_SIDE
from bot.service.sources.installation_events import MOST_FAILURES, InstallationEvents
from tests.fakes.chat import CHANNEL, HANAKO, TARO_PERSON
from tests.fakes.store import MemoryStore
from tests.fakes.world import APPROVALS, World, new_world

HOME = replace(APPROVALS, fallback=False, match=Match())
LEADS = replace(APPROVALS, name="leads", conversation="19:leads@thread.tacv2")
HOUR = 3600.0
LASTS = 61  # seconds; from then on a refusal counts as lasting


@pytest.fixture
def world() -> World:
    """Return a world whose requests belong to one channel; another channel is the fallback."""
    return new_world(HOME, LEADS)


async def _surface(world: World, key: RequestKey, name: str) -> Surface:
    surface = (await world.row(key)).surface(name)
    assert surface is not None
    return surface


def _cards(world: World, conversation: str) -> list[str]:
    return [sent.card for sent in world.chat.of("post") if sent.where == conversation]


# --- a channel that refuses


@pytest.mark.parametrize("problem", [each for each in ChatProblem if each is not ChatProblem.UNAUTHORIZED])
async def test_refused_card_is_posted_in_the_fallback_channel(world: World, problem: ChatProblem) -> None:
    """The card there has no buttons, names the request's own channel, and links to the AWS console."""
    world.chat.refusing[CHANNEL] = problem
    world.aws.add()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(LASTS)
    (card,) = world.chat.of("post")
    assert (card.where, card.buttons) == (LEADS.conversation, False)
    assert "approvals" in card.card
    assert "console.aws.amazon.com" in card.card


async def test_refused_card_is_posted_in_its_own_channel_after_teams_accepts_posts_again(world: World) -> None:
    """The retry after five minutes posts the card with buttons.

    The card in the fallback channel then says in which channel the request is decided.
    """
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    world.aws.add()
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(LASTS)
        (unreachable,) = _cards(world, LEADS.conversation)
        world.chat.refusing.clear()
        await world.clock.advance(301)
    places = {sent.where: sent.buttons for sent in world.chat.of("post")}
    assert places == {LEADS.conversation: False, CHANNEL: True}
    (elsewhere,) = _cards(world, LEADS.conversation)
    assert elsewhere != unreachable
    assert "is decided in the channel" in elsewhere


async def test_click_in_the_fallback_channel_on_the_card_of_another_channel_is_refused(world: World) -> None:
    """A forged click on the card without buttons is refused, whether or not the request's own channel can be reached."""
    world.chat.refusing[CHANNEL] = ChatProblem.WRITES_BLOCKED
    key = world.aws.add()
    for _ in range(2):
        async with world.running():
            await world.rows.requeue(key)
            await world.clock.advance(301 + LASTS)
        forged = replace(world.pressed(key, HANAKO), conversation=f"{LEADS.conversation};messageid=1000")
        answer = await world.click_handler.click(forged)
        assert answer.refused
        world.chat.refusing.clear()
    assert world.aws.signals == []


async def test_card_that_its_channel_refuses_for_a_day_is_tried_26_to_36_times(world: World) -> None:
    """The pauses between the attempts grow, with jitter."""
    world.chat.refusing[CHANNEL] = ChatProblem.FORBIDDEN
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.pass_time(key, 24 * HOUR)
    assert 26 <= world.chat.asked["post"] - len(world.chat.of("post")) <= 36


async def test_reconciles_before_the_retry_time_do_not_post_a_refused_card(world: World) -> None:
    """The request becomes due twenty times in twenty seconds, but the bot tries to post its card only twice."""
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    key = world.aws.add()
    async with world.running():
        for _ in range(20):
            await world.rows.requeue(key)
            await world.clock.advance(1)
    assert world.chat.asked["post"] == 2  # the first attempt and one repeat


async def test_request_whose_card_cannot_be_updated_gets_a_card_in_the_fallback_channel(world: World) -> None:
    """Teams blocks writes to the request's own channel for a minute."""
    key = await world.posted(levels=2)
    world.chat.refusing[CHANNEL] = ChatProblem.WRITES_BLOCKED
    async with world.running():
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(LASTS)
    assert len(_cards(world, LEADS.conversation)) == 1


async def test_card_that_the_fallback_channel_refuses_is_retried() -> None:
    """The only channel refuses the card. Once Teams accepts the card, it is posted there once, with buttons."""
    world = new_world()
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(60)
        assert world.chat.of("post") == []
        world.chat.refusing.clear()
        await world.clock.advance(300)
    (card,) = world.chat.of("post")
    assert card.buttons


async def test_refusing_fallback_channel_does_not_delay_the_card_in_the_requests_own_channel(world: World) -> None:
    """Both channels refuse their cards. Five minutes after the request's own channel accepts messages, it has its card."""
    world.chat.refusing |= {CHANNEL: ChatProblem.NOT_INSTALLED, LEADS.conversation: ChatProblem.NOT_INSTALLED}
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        del world.chat.refusing[CHANNEL]
        await world.clock.advance(300)
    assert [sent.where for sent in world.chat.of("post")] == [CHANNEL]


async def test_refused_cards_are_retried_when_the_bot_is_added_to_a_team(world: World) -> None:
    """The retry comes immediately instead of within the hour. Requests without refusals stay unchanged."""
    fine = world.aws.add(1)
    await world.shown(fine)
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    key = world.aws.add(2)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(HOUR)
        world.chat.refusing.clear()
        before = await world.row(fine)
        await _come_back(world)
        await world.clock.advance(1)
    assert len(_cards(world, CHANNEL)) == 2
    assert await world.row(fine) == before


async def _come_back(world: World) -> None:
    """Tell the service that a conversation came back, as Teams does."""
    await InstallationEvents(rows=world.rows, clock=world.clock, telemetry=world.telemetry).arrived()


async def test_card_is_posted_at_once_if_its_channel_is_restored_during_a_refused_attempt(world: World) -> None:
    """The card waits for an hour between attempts. One is refused just when the event arrives, so another follows."""
    world.chat.refusing[CHANNEL] = ChatProblem.CONVERSATION_NOT_FOUND
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.pass_time(key, 3 * HOUR)
    world.chat.gates["post"] = asyncio.Event()
    due = (await world.row(key)).requeue_at
    assert due is not None
    async with world.running():
        await world.clock.advance((due - world.clock.now()).total_seconds())
        await world.chat.arrived["post"].wait()
        await _come_back(world)
        world.chat.gates.pop("post").set()
        await asyncio.sleep(0)
        world.chat.refusing.clear()
        await world.clock.advance(1)
    assert len(_cards(world, CHANNEL)) == 1


async def test_cards_are_posted_within_a_minute_if_a_restored_channel_refuses_posts_for_five_seconds(
    world: World,
) -> None:
    """Teams still refuses posts for five seconds after the event. Twenty requests wait, each for up to an hour."""
    world.chat.refusing[CHANNEL] = ChatProblem.CONVERSATION_NOT_FOUND
    for number in range(20):
        await world.rows.requeue(world.aws.add(number))
        await world.clock.advance(1)
    async with world.running():
        await world.clock.advance(HOUR / 4)
        asked = world.chat.asked["post"]
        await _come_back(world)
        await world.clock.advance(5)
        assert world.chat.asked["post"] <= asked + SIDE_BY_SIDE  # one request finds out for the others
        world.chat.refusing.clear()
        await world.clock.advance(55)
    assert len(_cards(world, CHANNEL)) == 20


async def test_card_is_posted_at_once_if_its_channel_is_restored_in_the_pause_after_an_outage(world: World) -> None:
    """Teams failed for minutes, so the next attempt is minutes ahead. The event makes it due now."""
    world.chat.before["post"] = [ChatUnavailable("http_503", ambiguous=False)] * 10
    await world.rows.requeue(world.aws.add())
    async with world.running():
        await world.clock.advance(900)
        world.chat.before["post"].clear()
        assert _cards(world, CHANNEL) == []
        await _come_back(world)
        await world.clock.advance(1)
    assert len(_cards(world, CHANNEL)) == 1


async def test_channel_that_is_restored_repeatedly_gets_no_further_copies_of_a_card(world: World) -> None:
    """Teams loses the answer to every post, so there may be copies already. Twenty events post no further one."""
    world.chat.after["post"] = [ChatUnavailable("reset", ambiguous=True)] * 1000
    await world.rows.requeue(world.aws.add())
    async with world.running():
        await world.clock.advance(600)
        before = len(_cards(world, CHANNEL))
        for _ in range(20):
            await _come_back(world)
            await world.clock.advance(1)
    assert len(_cards(world, CHANNEL)) == before <= retry_policy.MOST_POSTS


async def test_card_with_outdated_buttons_is_updated_when_its_channel_is_restored(world: World) -> None:
    """The request ended while the channel was deleted, and the next attempt is hours ahead."""
    key = world.aws.add()
    await world.shown(key)
    world.chat.refusing[CHANNEL] = ChatProblem.CONVERSATION_NOT_FOUND
    world.aws.decide(key, Verdict.REJECT)
    await world.rows.requeue(key)
    await world.pass_time(key, 10 * HOUR)
    world.chat.refusing.clear()
    async with world.running():
        await _come_back(world)
        await world.clock.advance(1)
    assert [sent.buttons for sent in world.chat.of("post") if sent.where == CHANNEL] == [False]


async def test_installation_event_during_a_store_failure_raises_no_error(world: World) -> None:
    """The error is counted and not raised, because the refused cards have their own retry time."""
    world.rows.store.broken = True  # type: ignore[attr-defined]  # the store is a fake
    await _come_back(world)
    assert next(iter(world.telemetry.store_errors.collect())).samples[0].value == 1.0


class RefusingOneRow(MemoryStore):
    """A store that refuses every write of the rows in `refused`."""

    refused: frozenset[RequestKey] = frozenset()
    writes = 0

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Refuse these rows."""
        self.writes += 1
        if key in self.refused:
            raise StoreUnavailable("this row")
        return await super().apply(key, change, now=now)


@pytest.mark.parametrize(("refused", "posted"), [(1, 9), (10, 0)], ids=["one row", "all rows"])
async def test_retry_of_refused_cards_when_the_bot_is_added_skips_a_row_that_cannot_be_written(
    refused: int, posted: int
) -> None:
    """All other cards are retried immediately. If no row can be written, the bot stops after some of them."""
    store = RefusingOneRow()
    world = new_world(store=store)
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    keys = [world.aws.add(number) for number in range(10)]
    async with world.running():
        for key in keys:
            await world.rows.requeue(key)
        await world.clock.advance(HOUR)
        world.chat.refusing.clear()
        store.refused, store.writes = frozenset(keys[:refused]), 0
        await _come_back(world)
        assert store.writes == (10 if posted else MOST_FAILURES)
        await world.clock.advance(1)
        assert len(_cards(world, CHANNEL)) == posted
        store.refused = frozenset()


# --- the end of the request


async def test_card_that_was_never_posted_is_given_up_when_the_request_ends(world: World) -> None:
    """The post is not retried after the end of the request. The fallback channel's card shows the outcome."""
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.pass_time(key, LASTS)
    world.aws.end(key, Status.CANCELLED)
    await world.rows.requeue(key)
    await world.pass_time(key, 1)
    asked = world.chat.asked["post"]
    await world.pass_time(key, 48 * HOUR)
    assert world.chat.asked["post"] == asked
    assert (await _surface(world, key, "card:approvals")).delivery is DeliveryState.IMPOSSIBLE
    assert "Cancelled" in _cards(world, LEADS.conversation)[0]
    assert (await world.row(key)).requeue_at is None


@pytest.mark.parametrize("problem", [ChatProblem.WRITES_BLOCKED, ChatProblem.CONVERSATION_NOT_FOUND])
async def test_update_of_an_ended_requests_card_is_retried_until_teams_accepts_it(
    world: World, problem: ChatProblem
) -> None:
    """Teams refuses the update that removes the buttons. The bot tries it 15 to 22 times in two days.

    Within twelve hours after Teams stops refusing, the card has no buttons.
    """
    key = await world.posted()
    world.chat.refusing[CHANNEL] = problem
    world.aws.end(key, Status.CANCELLED)
    await world.rows.requeue(key)
    await world.pass_time(key, 48 * HOUR)
    assert 15 <= world.chat.asked["update"] <= 22
    assert world.chat.asked["post"] == 1  # an ended request gets no card in the fallback channel
    world.chat.refusing.clear()
    await world.pass_time(key, 12 * HOUR)
    assert not world.chat.of("post")[0].buttons
    assert (await world.row(key)).requeue_at is None


async def test_refused_card_of_an_ended_request_is_given_up_when_its_row_is_no_longer_kept(world: World) -> None:
    """Teams refuses the update for longer than the row is kept. The card is given up, and the row is not due again."""
    key = await world.posted()
    world.chat.refusing[CHANNEL] = ChatProblem.WRITES_BLOCKED
    world.aws.end(key, Status.CANCELLED)
    await world.rows.requeue(key)
    await world.pass_time(key, (KEPT + timedelta(days=1)).total_seconds())
    assert (await _surface(world, key, "card:approvals")).delivery is DeliveryState.IMPOSSIBLE
    assert (await world.row(key)).requeue_at is None


async def test_outage_after_a_refusal_does_not_give_up_the_card_of_an_ended_request(world: World) -> None:
    """Failures of an outage do not count as refusals. The card loses its buttons once the outage is over."""
    key = await world.posted()
    away = [ChatUnavailable("http_503", ambiguous=False)] * 2 * retry_policy.DELETED_REFUSALS
    world.chat.before["update"] = [ChatRefused(ChatProblem.FORBIDDEN), *away]
    world.aws.end(key, Status.CANCELLED)
    await world.rows.requeue(key)
    await world.pass_time(key, 4 * HOUR)
    assert not world.chat.of("post")[0].buttons
    card = await _surface(world, key, "card:approvals")
    assert (card.delivery, card.problem, card.refusals) == (DeliveryState.DELIVERED, None, 0)


async def test_throttling_does_not_lengthen_the_pause_after_a_refusal(world: World) -> None:
    """A post is throttled six times, then refused for a minute. The next attempt, five minutes later, delivers it."""
    key = world.aws.add()
    world.chat.before["post"] = [*[ChatThrottled(1)] * 6, *[ChatRefused(ChatProblem.NOT_INSTALLED)] * 3]
    await world.rows.requeue(key)
    await world.pass_time(key, 2 * retry_policy.CROWDING[1].total_seconds() + LASTS)
    assert (await _surface(world, key, "card:approvals")).problem == ChatProblem.NOT_INSTALLED
    await world.pass_time(key, retry_policy.REFUSAL[0].total_seconds())
    assert (await _surface(world, key, "card:approvals")).delivery is DeliveryState.DELIVERED


# --- deleted cards


async def test_deleted_card_is_posted_again_three_times_while_the_request_is_open(world: World) -> None:
    """After that, it stays deleted in its channel, and the fallback channel shows the request."""
    key = await world.posted(levels=retry_policy.REPOSTS + 2)
    for _ in range(retry_policy.REPOSTS + 1):
        for posted in [name for name, sent in world.chat.sent.items() if sent.kind == "post"]:
            del world.chat.sent[posted]
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.pass_time(key, 2 * LASTS)
    card = await _surface(world, key, "card:approvals")
    assert (card.reposts, card.unconfirmed_posts) == (retry_policy.REPOSTS, 0)
    assert world.chat.asked["post"] == 1 + retry_policy.REPOSTS + 1
    assert [sent.where for sent in world.chat.of("post")] == [LEADS.conversation]


async def test_deleted_cards_of_an_ended_request_are_given_up_within_26_hours(world: World) -> None:
    """Teams may report a card as deleted by mistake, so the cards are not given up within the first twelve hours."""
    key = await world.posted(levels=2)
    del world.chat.sent["1000"]
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await world.pass_time(key, 2 * LASTS)
    (again,) = [name for name, sent in world.chat.sent.items() if sent.kind == "post"]
    del world.chat.sent[again]
    world.aws.end(key, Status.CANCELLED)
    await world.rows.requeue(key)
    await world.pass_time(key, 12 * HOUR)
    assert {card.delivery for card in (await world.row(key)).cards} == {DeliveryState.DELIVERED}
    await world.pass_time(key, 14 * HOUR)
    assert {card.delivery for card in (await world.row(key)).cards} == {DeliveryState.IMPOSSIBLE}
    assert (await world.row(key)).requeue_at is None


async def test_refused_first_posts_do_not_count_as_reposts_of_a_deleted_card(world: World) -> None:
    """Teams accepted the card at the sixth attempt. When that card was deleted, a new one is posted."""
    world.chat.before["post"] = [ChatRefused(ChatProblem.UNAUTHORIZED) for _ in range(5)]
    key = world.aws.add(levels=2)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(900)
    (first,) = [name for name, sent in world.chat.sent.items() if sent.kind == "post"]
    del world.chat.sent[first]
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await world.pass_time(key, LASTS)
    assert len(world.chat.of("post")) == 1


async def test_deleted_card_of_an_ended_request_stays_deleted(world: World) -> None:
    """An ended request needs no decision, so its card is not posted again, and is given up within 26 hours."""
    key = await world.posted()
    del world.chat.sent["1000"]
    world.aws.end(key, Status.TIMED_OUT)
    await world.rows.requeue(key)
    await world.pass_time(key, 26 * HOUR)
    assert world.chat.of("post") == []
    assert _delivery(await world.row(key), "card:approvals") is DeliveryState.IMPOSSIBLE


def _delivery(row: Record, name: str) -> DeliveryState | None:
    surface = row.surface(name)
    return surface.delivery if surface else None


# --- cards that are too large


async def test_card_that_teams_refuses_as_too_large_is_sent_again_with_a_shorter_reason(world: World) -> None:
    """The card still has its buttons."""
    world.chat.before["post"].append(ChatRefused(ChatProblem.TOO_LARGE))
    key = world.aws.add()
    world.aws.requests[key] = replace(world.aws.requests[key], reason="because " * 60)
    row = await world.shown(key)
    (card,) = world.chat.of("post")
    assert (card.buttons, card.card.count("because")) == (True, 7)  # of 60: the shortest form has 60 characters
    assert _delivery(row, "card:approvals") is DeliveryState.DELIVERED


# --- direct messages and notes


@pytest.mark.parametrize("problem", [each for each in ChatProblem if each is not ChatProblem.UNAUTHORIZED])
async def test_refused_direct_message_is_noted_in_the_thread_once(world: World, problem: ChatProblem) -> None:
    """The refused message is not sent again. The message about the next state is sent."""
    world.chat.unreachable[TARO_PERSON.object_id] = problem
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(HOUR / 2)
        (note,) = world.chat.of("reply")
        assert "山田 太郎" in note.card
        world.chat.unreachable.clear()
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(1)
    assert len(world.chat.of("direct")) == 1
    assert (await _surface(world, key, "dm:waiting")).problem == problem


async def test_requester_without_a_teams_user_is_noted_in_the_thread() -> None:
    """The direct message has no recipient, so it is given up without an attempt, and a note reports this."""
    world = new_world()
    key = world.aws.add(requester="arn:aws:iam::111122223333:user/batch")
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        world.aws.end(key, Status.CANCELLED)
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert (await world.row(key)).surface("dm:cancelled") is None  # the roster may still identify the requester
        await world.clock.advance(IDENTIFYING_SPAN.total_seconds())
    direct = await _surface(world, key, "dm:cancelled")
    assert (direct.delivery, direct.problem, direct.attempts) == (DeliveryState.IMPOSSIBLE, "unknown_person", 0)
    notes = {each.name: each.delivery for each in (await world.row(key)).surfaces if each.name.startswith("note:")}
    assert notes == {"note:cancelled": DeliveryState.DELIVERED, "note:direct_impossible": DeliveryState.DELIVERED}


async def test_card_and_direct_message_are_delivered_after_teams_accepts_the_bots_credential_again(
    world: World,
) -> None:
    """A rejected credential is not the recipient's fault, so no message is given up."""
    world.chat.refusing[CHANNEL] = ChatProblem.UNAUTHORIZED
    world.chat.unreachable[TARO_PERSON.object_id] = ChatProblem.UNAUTHORIZED
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(HOUR / 4)
        assert world.chat.sent == {}
        world.chat.refusing.clear()
        world.chat.unreachable.clear()
        await world.clock.advance(retry_policy.OUTAGE[1].total_seconds())
    assert sorted(sent.kind for sent in world.chat.sent.values()) == ["direct", "post"]


async def test_refused_note_does_not_delay_later_messages(world: World) -> None:
    """A note that is refused for a minute is given up, and the log says so.

    Meanwhile the next note and the direct message are delivered.
    """
    key = await world.posted(levels=2)
    world.chat.before["reply"] = [ChatRefused(ChatProblem.CONVERSATION_NOT_FOUND)] * 3
    with capture_logs() as logs:
        await _refused_note_and_a_later_one(world, key)
    assert [each["consequence"] for each in logs if each["event"] == "delivery_refused"] == ["drop"]
    notes = [each for each in (await world.row(key)).surfaces if each.name.startswith("note:")]
    assert [each.delivery for each in notes] == [DeliveryState.IMPOSSIBLE, DeliveryState.DELIVERED]
    assert len(world.chat.of("reply")) == 1
    assert len(world.chat.of("direct")) == 2


async def _refused_note_and_a_later_one(world: World, key: RequestKey) -> None:
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(2)
        world.aws.decide(key, Verdict.REJECT)
        await world.rows.requeue(key)
        await world.clock.advance(2)
        assert len(world.chat.of("direct")) == 2
        await world.clock.advance(LASTS)


async def test_lasting_refusals_are_counted_by_kind_of_message_and_problem(world: World) -> None:
    """The metric counts a refusal once it has lasted a minute."""
    world.chat.refusing[CHANNEL] = ChatProblem.NOT_INSTALLED
    world.chat.unreachable[TARO_PERSON.object_id] = ChatProblem.BLOCKED
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.pass_time(key, 30)
    assert len(next(iter(world.telemetry.refusals.collect())).samples) == 0
    await world.pass_time(key, 30)
    refusals = next(iter(world.telemetry.refusals.collect())).samples
    counted = {tuple(each.labels.values()): each.value for each in refusals if each.name.endswith("_total")}
    assert counted == {("card", "not_installed"): 1.0, ("living", "blocked"): 1.0}


def test_pauses_between_retries_grow_until_they_reach_a_maximum() -> None:
    """Jitter shortens a pause by a quarter at most, and never below the pause that Teams asked for."""
    for failures in (0, 1, 5, 50, 5000):
        surface = replace(_SURFACE, failures=failures)
        outage = retry_policy.after_outage(surface, "x")
        refusal = retry_policy.after_refusal(retry_policy.REFUSAL, "x", refusals=failures)
        for pause, (first, longest) in ((outage, retry_policy.OUTAGE), (refusal, retry_policy.REFUSAL)):
            whole = min(first * 2 ** min(failures, 16), longest)
            assert 0.75 * whole <= pause <= whole
        patient = retry_policy.after_throttling(surface, "x", retry_after=7.0)
        assert timedelta(seconds=7) <= patient <= timedelta(seconds=7) + retry_policy.CROWDING[1]
    assert len({retry_policy.after_outage(_SURFACE, f"{number}") for number in range(100)}) > 90


_SURFACE = Surface("card:approvals", SurfaceKind.CARD, DeliveryState.WAITING)
