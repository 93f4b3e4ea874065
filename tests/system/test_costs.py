"""What a card, a decision, a refresh, a look-up and a sweep cost, as counts: none may grow by more than 30 % unnoticed.

`costs.json` has what they cost when it was last written. Write the new number there if a change is meant to cost more,
or has made something cheaper: `make bench` measures times, this counts what causes them. Nothing is in seconds.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from bot.domain.members import Members
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.sandbox.aws.event_bus import Delivery
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO as CHAT_HANAKO
from tests.fakes.chat import person
from tests.fakes.people import HANAKO
from tests.fakes.product import UNPACED, Product, product
from tests.fakes.work import function_calls_during
from tests.fakes.world import World, new_world
from tests.reliability.rest import quiet

STORED: Final = Path(__file__).with_name("costs.json")
MARGIN: Final = 1.3
REQUESTS: Final = 3  # each cost is the median of these: the first reads rosters, the last waits for Teams' limits
SWEPT: Final = 200  # requests
SWEEPS: Final = 10  # one of them may read a list that the others leave out
LISTS: Final = frozenset({"DescribeOpsItems", "DescribeAutomationExecutions"})
NOT_OF_THE_BOT: Final = frozenset({"StartAccessRequest"})
Costs = dict[str, float]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Product]:
    """AWS and Microsoft over HTTP, and the bot without its own limits on calls to AWS."""
    async with product(monkeypatch, tmp_path, rates=UNPACED) as ready:
        yield ready


async def test_no_count_of_a_card_a_decision_or_a_sweep_has_grown_by_a_third(world: Product) -> None:
    """Durable writes of the row, calls to AWS and Teams, list calls, bytes of a card; and those of a late event."""
    async with world.running() as program:
        measured = [await _card_and_decision(world) for _ in range(REQUESTS)]
        before = _listed(world)
        for _ in range(SWEEPS):
            await program.services.sweep.sweep()
        lists = {"sweep_lists": (_listed(world) - before) / SWEEPS}
    _compare({name: median(each[name] for each in measured) for name in measured[0]} | lists)


async def test_no_look_up_among_many_members_has_grown_by_a_third() -> None:
    """Python functions that are called to find a member by name in a roster of a thousand."""
    members = Members(map(person, range(1000)))
    names = frozenset({"person7@example.com", "person8@example.com"})

    async def look_up() -> None:
        members.named(names)

    _compare({"look_up_calls": await function_calls_during(look_up())})


async def test_no_path_calls_a_third_more_functions() -> None:
    """Calls of Python functions for a card, a refresh, a decision, and a sweep for each request, after a first of each.

    Nearly all of the CPU is theirs, and other than its time their number is the same on every machine.
    """
    world = new_world()
    async with world.running():
        for number in (1, 2):
            key = world.aws.add(number)
            card = await function_calls_during(_carded(world, key))
            await world.press(key, CHAT_HANAKO, Verb.REFRESH)
            refresh = await function_calls_during(world.press(key, CHAT_HANAKO, Verb.REFRESH))
            decision = await function_calls_during(_decided(world, key))
    many = new_world()
    await many.posted_many(SWEPT)
    for _ in range(2):
        swept = await function_calls_during(many.sweep.sweep())
    _compare({"card_calls": card, "refresh_calls": refresh, "decision_calls": decision, "sweep_calls": swept / SWEPT})


async def _carded(world: World, key: RequestKey) -> None:
    """Make a new request due, and wait until its card and the requester's message are posted."""
    await world.rows.requeue(key)
    await world.clock.advance(5)
    assert (await world.row(key)).cards


async def _decided(world: World, key: RequestKey) -> None:
    """Approve, and wait until all messages are updated."""
    await world.press(key, CHAT_HANAKO)
    await world.clock.advance(5)
    assert world.aws.signals


async def _card_and_decision(world: Product) -> Costs:
    """Request access, wait for the card, and approve; then let an event arrive. Return what each cost."""
    events = world.aws.events
    events.deliver(Delivery.NEVER)  # an event during the work makes the bot read the request once more, or not
    began = _made(world)
    request = await world.ask()
    events.send(json.dumps(events.published[-1]))
    card = await world.card(request)
    waiting = await _at_rest(world, request, Status.PENDING)
    size = len(json.dumps(card.card, ensure_ascii=False).encode())
    shown = _made(world)
    await world.click(HANAKO, card, "approve")
    decided = await _at_rest(world, request, Status.APPROVED)
    ended = _made(world)
    events.send(json.dumps(events.published[-1]))
    told = await _at_rest(world, request, Status.APPROVED, after=decided.version)
    read = _made(world)
    return {
        "card_writes": waiting.version,
        "card_aws": shown[0] - began[0],
        "card_teams": shown[1] - began[1],
        "card_bytes": size,
        "decision_writes": decided.version - waiting.version,
        "decision_aws": ended[0] - shown[0],
        "decision_teams": ended[1] - shown[1],
        "late_event_writes": told.version - decided.version,
        "late_event_aws": read[0] - ended[0],
        "late_event_teams": read[1] - ended[1],
    }


async def _at_rest(world: Product, request: str, status: Status, *, after: int = 0) -> Record:
    """Wait until no work on the request is left, and its row has a later version than `after`. Return its row.

    A row that an event made due is not at rest.
    """
    assert world.program is not None
    services, place = world.program.services, world.aws.world
    key = RequestKey(place.account, place.region, request)

    def at_rest(row: Record) -> bool:
        is_due = row.requeue_at is not None and row.requeue_at <= datetime.now(UTC)
        return row.version > after and not is_due and quiet(row, status)

    row = await services.rows.wait(key, at_rest, seconds=20)
    assert row is not None
    assert at_rest(row)
    await services.reconcile_loop.drain()
    await services.click_handler.drain()
    row = await services.rows.load(key)
    assert row is not None
    assert at_rest(row)
    return row


def _made(world: Product) -> tuple[int, int]:
    """Return how many calls the bot has made to AWS, without its queue, and to Teams."""
    aws = (each for each in world.aws.calls() if each.service != "sqs" and each.operation not in NOT_OF_THE_BOT)
    return sum(1 for _ in aws), len(world.microsoft.calls)


def _listed(world: Product) -> int:
    return sum(each.operation in LISTS for each in world.aws.calls())


def _compare(measured: Costs) -> None:
    """Compare costs with the stored ones. AssertionError if one has grown by more than MARGIN."""
    stored: Costs = json.loads(STORED.read_text("utf-8"))
    grown = {name: [stored[name], value] for name, value in measured.items() if value > stored[name] * MARGIN}
    assert grown == {}, f"grown by more than 30 % [stored, now]; all: {measured}"
