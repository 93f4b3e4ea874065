"""The card's line on earlier access of the requester to the node, over fakes of AWS and Teams."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from bot.domain.history import HistoryEntry
from bot.domain.record import Visits
from bot.domain.request import RequestKey, Status
from bot.ports.store import StoreUnavailable
from tests.fakes.aws import TARO
from tests.fakes.card_text import shown
from tests.fakes.store import MemoryStore
from tests.fakes.world import World

DAY = 86400.0


async def decided(world: World, number: int, status: Status, *, requester: str = TARO, node: str = "") -> RequestKey:
    """Add a request, show it while it waits, and decide it in AWS a minute later."""
    key = world.aws.add(number, requester=requester)
    if node:
        facts = world.aws.requests[key]
        world.aws.requests[key] = replace(facts, node=replace(facts.node, id=node))
    await world.shown(key)
    await world.clock.advance(60)
    world.aws.requests[key] = replace(world.aws.requests[key], status=status)
    await world.shown(key)
    return key


async def visits_of_next(world: World, number: int = 90) -> Visits | None:
    """Return the earlier access on the card of another request of Taro."""
    return (await world.shown(world.aws.add(number))).visits


async def test_card_shows_how_often_the_requester_had_access_to_the_node_and_when_last(world: World) -> None:
    """Approved and revoked requests count. The card of the third request has the line."""
    await world.store.history_began(world.clock.now())
    await world.clock.advance(100 * DAY)
    await decided(world, 1, Status.APPROVED)
    await world.clock.advance(3 * DAY)
    last = world.clock.now()
    await decided(world, 2, Status.REVOKED)
    await world.clock.advance(8 * DAY)
    assert await visits_of_next(world) == Visits(2, last, 90)
    assert "2 times in 90 days, last Jul 13" in shown(world.chat.of("post")[-1].versions[-1].card)


@pytest.mark.parametrize("status", [Status.REJECTED, Status.TIMED_OUT, Status.CANCELLED, Status.PENDING])
async def test_requests_without_access_do_not_count(world: World, status: Status) -> None:
    """The card of the next request has no line."""
    await decided(world, 1, status)
    assert await visits_of_next(world) is None
    assert "Access here" not in shown(world.chat.of("post")[-1].versions[-1].card)


async def test_access_of_other_people_and_to_other_nodes_does_not_count(world: World) -> None:
    """Hanako had access to this node, and Taro to another one."""
    await decided(world, 1, Status.APPROVED, requester=TARO.replace("taro.yamada", "hanako.sato"))
    await decided(world, 2, Status.APPROVED, node="i-0aaaaaaaaaaaaaaaa")
    assert await visits_of_next(world) is None


async def test_access_of_an_unidentified_requester_does_not_count(world: World) -> None:
    """Anybody can choose the session name of an untrusted role."""
    stranger = TARO.replace("Operator", "AnybodysRole")
    await decided(world, 1, Status.APPROVED, requester=stranger)
    assert (await world.shown(world.aws.add(2, requester=stranger))).visits is None
    assert await visits_of_next(world) is None


async def test_access_more_than_ninety_days_ago_does_not_count(world: World) -> None:
    """The line is about the last 90 days."""
    await decided(world, 1, Status.APPROVED)
    await world.clock.advance(91 * DAY)
    assert await visits_of_next(world) is None


async def test_line_names_the_shorter_span_until_the_index_is_ninety_days_old(world: World) -> None:
    """Requests before the index began are not in it, so the line must not speak of 90 days."""
    await world.store.history_began(world.clock.now())
    await decided(world, 1, Status.APPROVED)
    await world.clock.advance(12 * DAY)
    visits = await visits_of_next(world)
    assert visits is not None
    assert (visits.times, visits.days) == (1, 12)


async def test_line_is_fixed_when_the_card_is_posted(world: World) -> None:
    """Access that is granted afterwards does not change the card, so that nobody decides on another card than was shown."""
    await decided(world, 1, Status.APPROVED)
    key = world.aws.add(2)
    before = (await world.shown(key)).visits
    posted = world.chat.of("post")[-1]
    await decided(world, 3, Status.APPROVED)
    assert before is not None
    assert (await world.shown(key)).visits == before
    assert len(posted.versions) == 1


class WithoutIndex(MemoryStore):
    """A store whose index cannot be read."""

    async def history(self, subject: str, since: datetime, limit: int) -> Sequence[HistoryEntry]:
        """Raise StoreUnavailable."""
        raise StoreUnavailable("the index fails, as the test planned")


async def test_card_does_not_wait_for_an_index_that_cannot_be_read(world: World) -> None:
    """The card appears at once, without the line."""
    await decided(world, 1, Status.APPROVED)
    assert isinstance(world.store, MemoryStore)
    world.store = WithoutIndex(world.store.tables)
    world.build()
    assert await visits_of_next(world) is None
    assert len(world.chat.of("post")) == 2
