"""Requests that an auto-approval policy approves: a card without buttons, in channels that want it."""

from dataclasses import replace
from datetime import timedelta

from bot.domain.configuration import Configuration
from bot.domain.request import RequestKey, Status
from bot.domain.routing import Channel, Match
from bot.service.sources.place_sweep import OVERLAP
from tests.fakes.chat import CHANNEL
from tests.fakes.world import APPROVALS, World, new_world

SHOWING = replace(APPROVALS, show_auto_approved=True)
HOUR = timedelta(hours=1)
PERIOD = 60  # seconds between two sweeps


def approved(world: World, number: int = 1) -> RequestKey:
    """Add a request that was approved automatically just now, for an hour."""
    key = world.aws.add(number, status=Status.APPROVED, duration=HOUR, access_until=world.clock.now() + HOUR)
    world.aws.requests[key] = replace(world.aws.requests[key], auto_approved=True, execution_id=None, levels=())
    return key


async def swept(world: World) -> None:
    """Let a period pass, sweep, and let the reconciliation follow."""
    await world.clock.advance(PERIOD)
    await world.sweep.sweep()
    await world.clock.advance(1)


def cards(world: World) -> list[str]:
    """Return the current cards in the channel."""
    return [card.card for card in world.chat.of("post")]


async def test_auto_approved_access_gets_a_card_without_buttons_and_notification_within_one_sweep() -> None:
    """AWS sends no event. Nobody is mentioned or messaged, and no note is posted, until the access has ended either."""
    world = new_world(replace(SHOWING, mention=("user:aaaaaaaa-0000-4000-8000-900000000001",)))
    async with world.running():
        await swept(world)
        approved(world)
        await swept(world)
        (card,) = world.chat.of("post")
        assert "Approved automatically by the auto-approval policy" in card.card
        assert "Access until" in card.card
        assert "'verb'" not in card.card.replace("'verb': 'refresh'", "")
        assert not card.versions[0].alert
        await world.clock.advance(HOUR.total_seconds())
        assert "Access ended" in card.card
    assert [sent.kind for sent in world.chat.sent.values()] == ["post"]


async def test_channel_without_the_setting_gets_no_card() -> None:
    """By default, requests that nobody has to decide are not shown."""
    world = new_world()
    async with world.running():
        approved(world)
        await swept(world)
        await swept(world)
    assert (world.chat.sent, world.aws.count("observe")) == ({}, 0)


async def test_request_is_shown_by_its_own_channel_only() -> None:
    """Of two channels, only one shows auto-approved requests; a request that is routed to the other gets no card."""
    production = Channel(
        "production", CHANNEL, match=Match(tags=(("Environment", frozenset({"production"})),)), approvers=("members",)
    )
    rest = Channel("rest", "19:rest@thread.tacv2", fallback=True, show_auto_approved=True)
    world = new_world(production, rest)
    async with world.running():
        await swept(world)
        approved(world)
        elsewhere = approved(world, 2)
        world.aws.requests[elsewhere] = world.aws.requests[elsewhere].of_nodes(
            [replace(world.aws.requests[elsewhere].node, tags=())]
        )
        await swept(world)
    assert [(sent.where, sent.kind) for sent in world.chat.sent.values()] == [(rest.conversation, "post")]


async def test_request_from_before_the_setting_was_activated_is_not_shown() -> None:
    """The setting is activated while the bot runs. A request from the minute of the activation may be shown."""
    world = new_world()
    async with world.running():
        approved(world)
        await swept(world)
        await swept(world)
        active: Configuration = world.configuration.value
        world.configuration.replace(replace(active, channels=(SHOWING,)))
        await swept(world)
        await swept(world)
        assert cards(world) == []
        approved(world, 2)
        await swept(world)
    assert len(cards(world)) == 1


async def test_access_that_is_stored_for_another_channels_setting_is_not_shown_later() -> None:
    """The fallback channel shows auto-approved requests, so the row exists. Two hours later, `approvals` shows them."""
    hidden = replace(APPROVALS, fallback=False, match=Match())
    rest = Channel("rest", "19:rest@thread.tacv2", fallback=True, show_auto_approved=True)
    world = new_world(hidden, rest)
    async with world.running():
        await swept(world)
        key = approved(world)
        until = world.clock.now() + 4 * HOUR
        world.aws.requests[key] = replace(world.aws.requests[key], access_until=until)
        await swept(world)
        await world.clock.advance(2 * HOUR.total_seconds())
        active: Configuration = world.configuration.value
        world.configuration.replace(replace(active, channels=(replace(hidden, show_auto_approved=True), rest)))
        await world.rows.requeue(key)
        await world.clock.advance(1)
    assert (await world.row(key)).observed_at is not None
    assert cards(world) == []


async def test_first_start_shows_no_earlier_auto_approved_request() -> None:
    """A channel that is new to the bot is not filled with the access of the last two weeks."""
    world = new_world(SHOWING)
    approved(world)
    await world.clock.advance(10)
    async with world.running():
        await swept(world)
        await swept(world)
    assert cards(world) == []


async def test_restart_misses_no_auto_approved_request() -> None:
    """A request that was approved while the bot was down is shown by the first sweep of the next process."""
    world = new_world(SHOWING)
    async with world.running():
        await swept(world)
    await world.clock.advance(2 * OVERLAP.total_seconds())
    approved(world)
    await world.clock.advance(2 * OVERLAP.total_seconds())
    world.build()
    async with world.running():
        await swept(world)
        assert len(cards(world)) == 1
        await swept(world)
        await swept(world)
    assert len(cards(world)) == 1


async def test_revoked_auto_approved_access_is_followed() -> None:
    """Somebody revokes it in AWS; the next sweep updates the card."""
    world = new_world(SHOWING)
    async with world.running():
        await swept(world)
        key = approved(world)
        await swept(world)
        changed = replace(world.aws.requests[key], status=Status.REVOKED, modified_at=world.clock.now())
        world.aws.requests[key] = changed
        await swept(world)
        assert "Access revoked" in cards(world)[0]
    assert [sent.kind for sent in world.chat.sent.values()] == ["post"]
