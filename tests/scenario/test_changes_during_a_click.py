"""What changes while a click is being answered: the rules, the request, the row. No answer shows what is outdated."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.permission import Refusal
from bot.domain.request import RequestKey, Verdict
from bot.domain.shown.views import NoticeCode
from bot.service.clicks import queue
from bot.service.clicks.click import Answer
from tests.fakes.chat import HANAKO
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, code_of


async def answered(world: World, key: RequestKey, seconds: float = 3) -> Answer:
    """Click Approve, advance the clock, and return the answer."""
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.clock.advance(seconds)
    return await click


@pytest.mark.parametrize(("trusted", "refusal"), [({"Operator", "Other"}, None), (set(), Refusal.UNIDENTIFIED)])
async def test_rules_that_change_during_the_roster_call_identify_the_requester_first(
    world: World, trusted: set[str], refusal: Refusal | None
) -> None:
    """The click waits until the requester was identified by the new rules, and is then checked against the result."""
    key = await world.posted()

    async def change() -> None:
        world.change_identity(trusted_roles=frozenset(trusted))

    world.people.before_member.append(change)
    async with world.running():
        assert code_of(await answered(world, key)) is refusal
    assert world.aws.count("signal") == (0 if refusal else 1)


async def test_click_after_a_decision_in_the_console_is_too_late_under_new_rules_also(world: World) -> None:
    """The answer shows the decision at once; it does not wait for the requester to be identified again."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT, "from the console")
    await world.shown(key)
    world.change_identity(trusted_roles=frozenset({"Operator", "Other"}))
    before = world.clock.now()
    answer = await world.press(key, HANAKO)
    assert (code_of(answer), world.clock.now()) == (NoticeCode.DECIDED, before)


async def test_decision_in_the_console_during_the_roster_call_wins(world: World) -> None:
    """Permission was checked on a row that is outdated at the claim: the answer shows who decided, nothing is sent."""
    key = await world.posted()

    async def change() -> None:
        world.aws.decide(key, Verdict.REJECT, "from the console")
        await world.shown(key)

    world.people.before_member.append(change)
    answer = await world.press(key, HANAKO)
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, "console-approver")
    assert world.aws.count("signal") == 0


async def test_click_whose_time_is_over_at_the_claim_is_refused_if_the_request_has_changed(world: World) -> None:
    """A later answer would not reach the person. Nothing is claimed, so the person may click again."""
    key = await world.posted()

    async def change() -> None:
        world.aws.requests[key] = replace(world.aws.requests[key], reason="another reason")
        await world.shown(key)
        await world.clock.advance(2.6)

    world.people.before_member.append(change)
    assert code_of(await world.press(key, HANAKO)) is Refusal.RECONFIGURED
    assert (await world.row(key)).decisions == ()


async def test_request_that_is_deleted_during_a_click_is_unknown(world: World) -> None:
    """Another process deletes the row (its time is over) while the click waits for the result of its decision."""
    key = await world.posted()
    world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(1)
        assert isinstance(world.store, MemoryStore)
        del world.store.tables.records[key]
        await world.clock.advance(2)
        assert code_of(await click) is NoticeCode.NOT_FOUND
        world.aws.gates["prepare"].set()
        await world.clock.advance(5)
    assert world.aws.count("signal") == 0


async def test_repeated_click_is_answered_like_the_first_while_the_queue_is_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a new decision needs a place in the queue."""
    monkeypatch.setattr(queue, "MOST_OF_A_PERSON", 1)
    first, second = await world.posted(), world.aws.add(2)
    await world.shown(second)
    world.aws.gates["prepare"] = asyncio.Event()
    async with world.running():
        assert code_of(await answered(world, first)) is NoticeCode.APPLYING
        assert code_of(await answered(world, first)) is NoticeCode.APPLYING
        assert code_of(await answered(world, second)) is NoticeCode.QUEUE_FULL
        world.aws.gates["prepare"].set()
        await world.clock.advance(5)
    assert [each.key for each in world.aws.effects] == [first]
