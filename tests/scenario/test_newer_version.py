"""Rows with values that only a newer version of the program can read: this version does not act on such values."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.shown.views import NoticeCode
from bot.ports.aws import AwsUnavailable, SignalThrottled
from bot.service.clicks.click import Answer, Verb
from bot.store.rows import RECORD, decode, encode
from tests.fakes.chat import HANAKO, ICHIRO
from tests.fakes.world import World, code_of


async def written_by_newer_version(world: World, key: RequestKey, change: Callable[[Any], None]) -> None:
    """Change the JSON of the stored row, as a newer version may write it."""

    def written(row: Record) -> Record:
        stored = json.loads(encode(RECORD, row))
        change(stored)
        return decode(RECORD, json.dumps(stored), where="row")

    await world.rows.apply(key, written)


def _queued(row: Any) -> None:
    """Give the last decision a state that this version does not know."""
    row["decisions"][-1]["state"] = "queued"


async def test_click_is_answered_busy_while_the_row_has_a_decision_in_an_unknown_state(world: World) -> None:
    """The newer version may still send its decision, so this version sends no signal."""
    key = await world.posted()
    world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()
        await written_by_newer_version(world, key, _queued)
        world.aws.gates.pop("execution").set()
        second = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(5)
        answer, _ = await second, await first
    assert code_of(answer) is NoticeCode.BUSY
    assert world.aws.count("signal") == 0


async def test_claimed_decision_is_not_sent_while_the_row_has_another_one_in_an_unknown_state(world: World) -> None:
    """The newer version stores its decision after this version's claim, so this version sends no signal."""
    key = await world.posted(required=2)
    world.aws.gates["execution"] = asyncio.Event()
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.aws.arrived["execution"].wait()

        def add(row: Any) -> None:
            row["decisions"].append({**row["decisions"][-1], "id": "newer", "state": "queued"})

        await written_by_newer_version(world, key, add)
        world.aws.gates.pop("execution").set()
        await world.clock.advance(90)
        await click
    assert world.aws.count("signal") == 0


async def test_card_in_an_unknown_delivery_state_is_not_posted_again(world: World) -> None:
    """Only a newer version knows the state. It stays stored."""
    key = await world.posted()
    posted = len(world.chat.of("post"))

    def pin(row: Any) -> None:
        next(each for each in row["surfaces"] if each["kind"] == "card")["delivery"] = "pinned"

    await written_by_newer_version(world, key, pin)
    await world.shown(key)
    assert len(world.chat.of("post")) == posted
    row = json.loads(encode(RECORD, await world.row(key)))
    assert [each["delivery"] for each in row["surfaces"] if each["kind"] == "card"] == ["pinned"]


def _requester_kind(row: Any) -> None:
    row["requester"]["principal"]["kind"] = "workload"


def _route_member(row: Any) -> None:
    row["route"] = None
    row["routes"] = [{"channel": "approvals", "until": "2026-12-01T00:00:00Z"}]


def _approver_kind(row: Any) -> None:
    row["request"]["levels"][0]["approvers"][0]["kind"] = "agent"


def _level_state(row: Any) -> None:
    row["request"]["levels"][0]["state"] = "suspended"


def _status(row: Any) -> None:
    row["request"]["status"] = "suspended"


@pytest.mark.parametrize("change", [_requester_kind, _route_member, _approver_kind, _level_state, _status])
async def test_click_sends_no_signal_while_a_fact_in_the_row_is_unknown(
    world: World, change: Callable[[Any], None]
) -> None:
    """A click sends nothing while the fact is unknown. After AWS is read again, the request is decided once."""
    key = await world.posted()
    world.aws.before["observe"] += [AwsUnavailable("ThrottlingException")] * 50
    await written_by_newer_version(world, key, change)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(5)
        answer = await click
        assert (world.aws.count("signal"), (await world.row(key)).decisions) == (0, ())
        assert code_of(answer) is not None
        world.aws.before["observe"].clear()
        await world.shown(key)
        second = asyncio.create_task(world.press(key, ICHIRO))
        await world.clock.advance(5)
        await second
    assert world.aws.count("signal") == 1


async def _click_beside(
    world: World, key: RequestKey, change: Callable[[Any], None], click: Callable[[], Awaitable[Answer]]
) -> None:
    """Click beside a waiting decision that a newer version has changed so. Nothing may be sent or changed."""
    world.aws.before["prepare"] += [SignalThrottled("ThrottlingException")] * 99
    async with world.running():
        first = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(4)
        await first
        await written_by_newer_version(world, key, change)
        stored = json.loads(encode(RECORD, await world.row(key)))["decisions"]
        second = asyncio.ensure_future(click())
        await world.clock.advance(200)
        await second
    assert world.aws.count("signal") == 0
    assert json.loads(encode(RECORD, await world.row(key)))["decisions"] == stored


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT, Verb.WITHDRAW])
async def test_approve_reject_and_withdraw_change_nothing_beside_a_decision_in_an_unknown_state(
    world: World, verb: Verb
) -> None:
    """The newer version may still act on its decision, whose state this version cannot read."""
    key = await world.posted(required=2)
    who = HANAKO if verb is Verb.WITHDRAW else ICHIRO
    await _click_beside(world, key, _queued, lambda: world.press(key, who, verb))


async def test_cancel_changes_nothing_beside_a_decision_with_an_unknown_verdict_and_state(world: World) -> None:
    """Only the newer version knows what that decision means. No signal is sent."""
    key = await world.posted()

    def extend(row: Any) -> None:
        row["decisions"][-1] |= {"verdict": "extend", "state": "queued"}

    await _click_beside(world, key, extend, lambda: world.click_handler.click(world.withdrawn(key)))


async def test_unknown_members_of_a_row_are_kept_when_the_request_is_approved(world: World) -> None:
    """A newer version adds members to the row, its parts and its card. The decision and the card's update keep them."""
    key = await world.posted()

    def add(row: Any) -> None:
        for part in (row, row["key"], row["request"], row["request"]["node"], row["requester"], row["route"]):
            part["newer"] = {"by": "2.0"}
        for surface in row["surfaces"]:
            surface["newer"] = [1, 2]
        row["request"]["levels"][0]["newer"] = "level"

    await written_by_newer_version(world, key, add)
    async with world.running():
        click = asyncio.create_task(world.press(key, HANAKO))
        await world.clock.advance(10)
        await click
    await world.shown(key)
    assert len(world.aws.effects) == 1
    row = json.loads(encode(RECORD, await world.row(key)))
    parts = (row, row["key"], row["request"], row["request"]["node"], row["requester"], row["route"])
    assert [part.get("newer") for part in parts] == [{"by": "2.0"}] * 6
    assert row["request"]["levels"][0]["newer"] == "level"
    assert {tuple(each.get("newer", ())) for each in row["surfaces"] if each["kind"] == "card"} == {(1, 2)}
