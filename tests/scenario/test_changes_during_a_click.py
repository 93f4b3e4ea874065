"""What changes while a click is being answered: the rules, the request, the row. No answer shows what is outdated."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.request import RequestKey, Verdict
from bot.domain.rules.permission import Refusal
from bot.domain.shown.views import NoticeCode
from bot.service.clicks.click import Answer
from bot.service.decisions import queue
from tests.fakes.chat import HANAKO
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, code_of


async def answered(world: World, key: RequestKey, seconds: float = 3) -> Answer:
    """Click Approve, advance the clock, and return the answer."""
    click = asyncio.create_task(world.press(key, HANAKO))
    await world.clock.advance(seconds)
    return await click


@pytest.mark.parametrize(("trusted", "refusal"), [({"Operator", "Other"}, None), (set(), Refusal.UNIDENTIFIED)])
async def test_click_is_checked_with_the_new_identity_rules_if_they_change_during_the_roster_call(
    world: World, trusted: set[str], refusal: Refusal | None
) -> None:
    """The new rules trust the requester's role, or no role. The click is allowed, or refused as "unidentified"."""
    key = await world.posted()

    async def change() -> None:
        world.change_identity(trusted_roles=frozenset(trusted))

    world.people.before_member.append(change)
    async with world.running():
        assert code_of(await answered(world, key)) is refusal
    assert world.aws.count("signal") == (0 if refusal else 1)


async def test_late_click_is_answered_at_once_with_the_decision_after_the_identity_rules_changed(world: World) -> None:
    """A person decided in the console. The answer does not wait for the requester to be identified by the new rules."""
    key = await world.posted()
    world.aws.decide(key, Verdict.REJECT, "from the console")
    await world.shown(key)
    world.change_identity(trusted_roles=frozenset({"Operator", "Other"}))
    before = world.clock.now()
    answer = await world.press(key, HANAKO)
    assert (code_of(answer), world.clock.now()) == (NoticeCode.DECIDED, before)


async def test_click_sends_no_signal_if_a_person_decides_in_the_console_during_the_roster_call(world: World) -> None:
    """Permission is checked with an outdated row. The answer shows who decided in the console."""
    key = await world.posted()

    async def change() -> None:
        world.aws.decide(key, Verdict.REJECT, "from the console")
        await world.shown(key)

    world.people.before_member.append(change)
    answer = await world.press(key, HANAKO)
    assert answer.notice is not None
    assert (answer.notice.code, answer.notice.who) == (NoticeCode.DECIDED, "console-approver")
    assert world.aws.count("signal") == 0


async def test_click_is_refused_if_the_request_changes_and_no_time_is_left_for_a_new_check(world: World) -> None:
    """Another check would make the answer come too late for Teams. Nothing is claimed, so the person may click again."""
    key = await world.posted()

    async def change() -> None:
        world.aws.requests[key] = replace(world.aws.requests[key], reason="another reason")
        await world.shown(key)
        await world.clock.advance(2.6)

    world.people.before_member.append(change)
    assert code_of(await world.press(key, HANAKO)) is Refusal.RECONFIGURED
    assert (await world.row(key)).decisions == ()


async def test_click_is_answered_not_found_if_the_row_is_deleted_before_the_signal(world: World) -> None:
    """Another process deletes the row while the click waits for the outcome of its decision. No signal is sent."""
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


async def test_repeated_click_is_answered_like_the_first_click_while_the_queue_is_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue holds one decision of a person. The click on a second request is answered "queue full"."""
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
