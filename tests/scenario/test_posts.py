"""Posts with an unknown result: possible copies are counted and limited, and known copies are updated.

Notes keep their order, and an outage of Teams costs few reads of AWS.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from prometheus_client import Counter
from prometheus_client.samples import Sample

from bot.domain.record import ROW_LEASE, Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.shown.card_places import card_name
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.store import Change, StoreUnavailable
from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable, Message
from bot.service.deliver import retry_policy
from tests.fakes.chat import CHANNEL, HANAKO
from tests.fakes.store import MemoryStore
from tests.fakes.world import World

CARD = "card:approvals"


async def _surface(world: World, key: RequestKey, name: str = CARD) -> Surface:
    surface = (await world.row(key)).surface(name)
    assert surface is not None
    return surface


# --- counting possible copies


async def test_post_with_a_stored_activity_id_is_not_counted_as_a_possible_copy(world: World) -> None:
    """Teams answered the post, and the row has its activity id, so there is no second card."""
    row = await world.shown(world.aws.add())
    assert {surface.unconfirmed_posts for surface in row.surfaces} == {0}


@pytest.mark.parametrize(
    "error",
    [ChatThrottled(1), ChatRefused(ChatProblem.NOT_INSTALLED), ChatUnavailable("not_connected", ambiguous=False)],
)
async def test_post_that_certainly_failed_is_not_counted_as_a_possible_copy(world: World, error: Exception) -> None:
    """A post that Teams certainly did not accept leaves no copy, however often this happens."""
    for kind in ("post", "direct"):
        world.chat.before[kind] = [error] * 3
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert {surface.unconfirmed_posts for surface in (await world.row(key)).surfaces} == {0}
        await world.clock.advance(1800)
    assert {surface.unconfirmed_posts for surface in (await world.row(key)).surfaces} == {0}
    assert len(world.chat.of("post")) == 1


async def test_post_with_a_lost_reply_stays_counted_as_a_possible_copy(world: World) -> None:
    """The post may have left a copy in Teams. It stays counted after the next post succeeds, and after a repost."""
    world.chat.after["post"].append(ChatUnavailable("reset", ambiguous=True))
    key = world.aws.add(levels=2)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(6)
        assert len(world.chat.of("post")) == 2
        assert (await _surface(world, key)).unconfirmed_posts == 1
        del world.chat.sent[(await _surface(world, key)).activity_id or ""]
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(61)
    card = await _surface(world, key)
    assert (card.unconfirmed_posts, card.reposts, card.attempts) == (1, 1, 3)


async def test_post_of_a_crashed_process_stays_counted_as_a_possible_copy(world: World) -> None:
    """The process died during the post, so a copy may exist. It stays counted after the next post succeeds."""
    world.chat.gates["post"] = asyncio.Event()
    key = world.aws.add()
    await world.rows.requeue(key)
    reconcile = asyncio.create_task(world.reconciler.reconcile(key))
    await world.chat.arrived["post"].wait()
    reconcile.cancel()
    await asyncio.gather(reconcile, return_exceptions=True)
    assert ((await _surface(world, key)).unconfirmed_posts, (await _surface(world, key)).delivery) == (
        1,
        DeliveryState.POSTING,
    )
    del world.chat.gates["post"]
    world.build()
    async with world.running():
        await world.clock.advance(ROW_LEASE.total_seconds() + 1)
    assert ((await _surface(world, key)).unconfirmed_posts, (await _surface(world, key)).delivery) == (
        1,
        DeliveryState.DELIVERED,
    )


async def test_posts_with_lost_replies_are_limited_to_four_and_then_one_an_hour(world: World) -> None:
    """Teams accepts every post, but all its replies are lost: four posts in the first hour, then one an hour."""
    world.chat.after["post"] = [ChatUnavailable("reset", ambiguous=True)] * 100
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(3500)
        assert len(world.chat.of("post")) == retry_policy.MOST_POSTS == 4
        await world.clock.advance(3600)
        assert len(world.chat.of("post")) == retry_policy.MOST_POSTS + 1


async def test_posts_whose_ids_cannot_be_stored_are_limited_to_four_and_then_one_an_hour(world: World) -> None:
    """The store refuses the activity id, for example because the row is full: four posts at first, then one an hour."""

    class Full(MemoryStore):
        async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
            def fitting(row: Record) -> Record:
                changed = change(row)
                if any(surface.activity_id for surface in changed.surfaces):
                    raise StoreUnavailable("it does not fit")
                return changed

            return await super().apply(key, fitting, now=now)

    world.store = Full()
    world.build()
    await world.rows.requeue(world.aws.add())
    async with world.running():
        await world.clock.advance(3500)
        assert len(world.chat.of("post")) == retry_policy.MOST_POSTS == 4
        await world.clock.advance(3600)
        assert len(world.chat.of("post")) == retry_policy.MOST_POSTS + 1


# --- adopted copies


async def _adopted(world: World, key: RequestKey) -> str:
    """Post a copy of the card and add it to the row; return its activity id."""
    posted = await world.chat.post(CHANNEL, Message({}, "copy"))
    name = card_name("approvals", posted.activity_id)
    copy = Surface(name, SurfaceKind.CARD, DeliveryState.DELIVERED, posted.conversation, posted.activity_id)
    await world.rows.apply(key, lambda row: row.with_surface(copy))
    assert posted.activity_id
    return posted.activity_id


async def test_adopted_copy_of_a_card_has_the_same_content_as_the_first_card(world: World) -> None:
    """Both cards are updated in place; notes go to the thread of the first."""
    key = await world.posted()
    activity = await _adopted(world, key)
    await world.shown(key)
    card = await _surface(world, key)
    assert world.chat.sent[activity].card == world.chat.sent[card.activity_id or ""].card
    world.aws.end(key, status=world.aws.requests[key].status.CANCELLED)
    await world.shown(key)
    assert world.chat.sent[activity].card == world.chat.sent[card.activity_id or ""].card
    assert not world.chat.sent[activity].buttons
    assert [sent.where for sent in world.chat.of("reply")] == [card.conversation]
    assert len(world.chat.of("post")) == 2


async def test_deleted_adopted_copy_is_not_posted_again(world: World) -> None:
    """The copy is given up within 26 hours, and no further card is posted."""
    key = await world.posted()
    activity = await _adopted(world, key)
    del world.chat.sent[activity]
    await world.rows.requeue(key)
    await world.pass_time(key, 26 * 3600)
    assert (await _surface(world, key, card_name("approvals", activity))).delivery is DeliveryState.IMPOSSIBLE
    assert len(world.chat.of("post")) == 1


async def test_copy_without_an_activity_id_is_never_posted(world: World) -> None:
    """The bot ignores such a copy, even if a row has it."""
    key = await world.posted()
    copy = Surface(card_name("approvals", "7"), SurfaceKind.CARD, DeliveryState.WAITING)
    await world.rows.apply(key, lambda row: row.with_surface(copy))
    await world.shown(key)
    assert len(world.chat.of("post")) == 1


async def test_card_posted_by_a_process_whose_lease_had_expired_is_kept_up_to_date(world: World) -> None:
    """The lease of a process expired during its post, and another process posted a card too.

    Both cards show the outcome.
    """
    world.chat.gates["post"] = asyncio.Event()
    key = world.aws.add()
    await world.rows.requeue(key)
    paused = asyncio.create_task(world.reconciler.reconcile(key))
    await world.chat.arrived["post"].wait()
    gate = world.chat.gates.pop("post")
    await world.clock.advance(ROW_LEASE.total_seconds() + 1)
    other = replace(world, owner="replica-2")
    await other.shown(key)
    gate.set()
    await paused
    assert len(world.chat.of("direct")) == 1
    assert (await _surface(world, key)).unconfirmed_posts == 0
    world.aws.decide(key, Verdict.REJECT)
    await other.shown(key)
    assert [sent.buttons for sent in world.chat.of("post")] == [False, False]


@pytest.mark.parametrize(
    "end",
    [ChatUnavailable("no_answer", ambiguous=False), asyncio.CancelledError()],
    ids=["its reply was lost", "its process died"],
)
async def test_card_gets_its_buttons_back_after_an_update_with_an_unknown_result(
    world: World, end: BaseException
) -> None:
    """Teams shows the update, but the row does not say so. When the earlier state returns, the card is updated again."""
    key = await world.posted()
    before = world.aws.requests[key]
    world.aws.requests[key] = replace(before, status=Status.UNKNOWN)
    world.chat.after["update"] = [end]  # type: ignore[list-item]  # cancelled: the process dies in it
    with suppress(asyncio.CancelledError):
        await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    world.aws.requests[key] = before
    world.owner = "replica-2"
    world.build()
    async with world.running():
        await world.clock.advance(ROW_LEASE.total_seconds() + 1)
    assert world.chat.of("post")[0].buttons


# --- order


async def test_unreachable_requester_does_not_delay_notes(world: World) -> None:
    """While no direct message can be sent, the note is posted and the card is updated."""
    world.chat.before["direct"] = [ChatUnavailable("no_answer", ambiguous=True)] * 100
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        world.aws.decide(key, Verdict.REJECT)
        await world.rows.requeue(key)
        await world.clock.advance(1)
    assert len(world.chat.of("reply")) == 1
    assert not world.chat.of("post")[0].buttons


async def test_notes_are_posted_in_order_although_teams_did_not_accept_the_first_one_at_once(world: World) -> None:
    """The direct message does not wait for the notes."""
    key = await world.posted(levels=2)
    world.chat.before["reply"] = [ChatUnavailable("http_503", ambiguous=False)]
    async with world.running():
        await world.press(key, HANAKO)
        await world.clock.advance(1)
        world.aws.end(key, status=world.aws.requests[key].status.CANCELLED)
        await world.rows.requeue(key)
        await world.clock.advance(1)
        assert world.chat.of("reply") == []
        assert "was cancelled" in world.chat.living
        await world.clock.advance(60)
    first, second = (sent.card for sent in world.chat.of("reply"))
    assert "approved" in first
    assert "cancelled" in second


async def test_outdated_note_is_skipped(world: World) -> None:
    """A note that failed at first and would now mislead is not posted; the row records it as skipped."""
    key = await world.posted()
    world.chat.before["reply"] = [ChatUnavailable("http_503", ambiguous=False)]
    status = world.aws.requests[key].status
    world.aws.end(key, status.APPROVED)
    await world.shown(key)
    world.aws.end(key, status.REVOKED)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(10)
    notes = {each.name: each.delivery for each in (await world.row(key)).surfaces if each.kind is SurfaceKind.NOTE}
    assert notes == {"note:approved": DeliveryState.SKIPPED, "note:revoked": DeliveryState.DELIVERED}


# --- an outage


async def test_aws_is_read_at_most_every_five_minutes_for_each_request_during_an_outage_of_teams(world: World) -> None:
    """In an outage of an hour, AWS is read at most 13 times for each of ten requests, the first read included.

    The posts are tried 10 to 45 times on average. After the outage, every message is posted once.
    """
    for kind in ("post", "direct"):
        world.chat.before[kind] = [ChatUnavailable("no_answer", ambiguous=False)] * 10_000
    keys = [world.aws.add(number) for number in range(1, 11)]
    for key in keys:
        await world.rows.requeue(key)
    until = world.clock.now() + timedelta(hours=1)
    while due := await world.store.due(until, 1):
        moment = (await world.row(due[0])).requeue_at or until
        await world.clock.advance(max(0.0, (moment - world.clock.now()).total_seconds()))
        await world.reconciler.reconcile(due[0])
    outcomes = {
        each.labels["outcome"]: each.value
        for each in _samples(world.telemetry.reconciliations)
        if "_total" in each.name
    }
    assert outcomes.keys() == {"postponed"}
    assert 10 <= outcomes["postponed"] / len(keys) <= 45
    assert max(sum(call == ("observe", key) for call in world.aws.calls) for key in keys) <= 13
    world.chat.before.clear()
    await world.clock.advance(retry_policy.OUTAGE[1].total_seconds())
    for key in keys:
        await world.shown(key)
    assert (len(world.chat.of("post")), len(world.chat.of("direct"))) == (10, 10)


def _samples(counter: Counter) -> list[Sample]:
    return list(next(iter(counter.collect())).samples)
