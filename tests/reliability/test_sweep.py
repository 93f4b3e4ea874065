"""Figure 9: with all events dropped, every request gets its card within one sweep.

There are more requests than on one page of AWS's list, and the AWS side uses real HTTP. In the negative control, the
AWS side reads only the first page.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest

from bot.aws.jit.listing import PAGE
from bot.domain.request import RequestKey
from bot.ports.aws import ListedRequest, Requests
from bot.sandbox.aws.event_bus import Delivery
from bot.sandbox.aws.jit import filters
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, staged
from tests.fakes.world import World, new_world
from tests.figures import Figure, size

AT_ONCE = 10_000  # due rows to read; more than there are


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Return an AWS that sends no events."""
    with staged() as scene:
        scene.aws.events.deliver(Delivery.NEVER)
        yield scene


class FirstPage:
    """A defective AWS side for the negative control: it reads only the first page of the list of requests."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def __getattr__(self, name: str) -> object:
        return getattr(self._requests, name)

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Return only the first page."""
        return (await self._requests.list_requests(account, region, since))[:PAGE]

    async def steps(self, account: str, region: str) -> Sequence[ListedRequest]:
        """Return nothing, as before AWS lists the executions."""
        return ()


def watching(requests: Requests) -> World:
    """Return the services with this AWS side and fakes of the rest."""
    world = new_world()
    world.aws = requests  # type: ignore[assignment]  # the real AWS side
    world.build()
    return world


async def swept(world: World) -> None:
    """Sweep once, and reconcile the rows that are due."""
    await world.sweep.sweep()
    for key in await world.store.due(world.clock.now(), AT_ONCE):
        await world.reconciler.reconcile(key)


def without_card(world: World, keys: Sequence[RequestKey]) -> int:
    """Return how many requests have no card or more than one."""
    cards = [sent.card for sent in world.chat.of("post")]
    return sum(sum(key.ops_item_id in card for card in cards) != 1 for key in keys)


@pytest.mark.parametrize("filled", [True, False], ids=["all lists", "only pending requests are listed"])
async def test_one_sweep_posts_one_card_for_each_request_without_events(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, filled: bool, figure: Figure
) -> None:
    """Without events, one sweep posts one card per request. A second sweep posts nothing and reads only lists.

    That AWS fills the lists of changes and executions is not verified, so both may be empty.
    """
    if not filled:
        monkeypatch.delitem(filters._TIMES, "LastModifiedTime")  # an AWS that refuses the filter
        scene.aws.faults.rewrite("DescribeAutomationExecutions", lambda _: {"AutomationExecutionMetadataList": []})
    keys = [key_of(scene.ask()) for _ in range(size(ci=PAGE + 10, long=1000))]
    async with aws_side(scene) as side:
        world = watching(side.requests)
        await swept(world)
        missing = without_card(world, keys)
        scene.aws.forget_calls()
        await swept(world)
    read = [call for call in scene.aws.calls() if not call.operation.startswith("Describe")]
    figure(9, all_lists=filled, requests=len(keys), without_card=missing, reads_in_a_second_sweep=len(read))
    assert (missing, read) == (0, [])
    assert len(world.chat.of("post")) == len(keys)


async def test_control_requests_have_no_card_if_only_the_first_page_is_read(scene: Scene, figure: Figure) -> None:
    """Negative control: if only the first page is read, the requests on the second page have no card."""
    keys = [key_of(scene.ask()) for _ in range(PAGE + 5)]
    async with aws_side(scene) as side:
        world = watching(FirstPage(side.requests))  # type: ignore[arg-type]  # other calls go to the real AWS side
        await swept(world)
    missing = without_card(world, keys)
    figure(9, control="first page only", requests=len(keys), without_card=missing)
    assert missing == 5
