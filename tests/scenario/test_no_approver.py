"""Requests that no one in Teams may decide: the card says why and what to do, and the requester is notified."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.domain.identity import Person
from bot.domain.request import LevelState, RequestKey, Status
from bot.domain.routing import LevelRule
from tests.fakes.card_text import shown
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.world import APPROVALS, World, new_world

TARO_ID, HANAKO_ID, NOBODYS_ID = (f"user:{each}" for each in (TARO_PERSON.object_id, HANAKO.object_id, "a" * 32))
ONLY_REQUESTER = {"en": "the only approver is the requester", "ja": "承認者が申請者本人しかいないため"}
NO_MEMBER = {
    "en": "No one in this channel can decide this request right now",
    "ja": "このチャネルにはこの申請を承認・却下できるメンバーがいません",
}
TOLD = {"en": "No one in Teams can decide your request", "ja": "Teams でこの申請を承認・却下できる人がいません"}
PAUSE = 301  # seconds; the pause between two checks is five minutes


def world_of(*approvers: str, people: Sequence[Person] = (HANAKO, ICHIRO, TARO_PERSON), locale: str = "en") -> World:
    """Return a world whose only channel has these approvers."""
    return new_world(replace(APPROVALS, approvers=approvers, locale=locale), people=people)


def card_text(world: World) -> str:
    """Return the text of the card that the channel shows now."""
    return shown(world.chat.of("post")[-1].versions[-1].card)


def message_text(world: World) -> str:
    """Return the text of the first direct message to the requester."""
    return shown(world.chat.of("direct")[0].versions[0].card)


def has_buttons(world: World) -> bool:
    """True if the card can be decided."""
    return world.chat.of("post")[-1].buttons


@pytest.mark.parametrize("locale", ["en", "ja"])
@pytest.mark.parametrize(
    "approvers",
    [
        [TARO_ID],
        ["upn:Taro.Yamada@example.com"],
        [TARO_ID.upper().replace("USER:", "user:"), "upn:taro.yamada@example.com"],
        ["ｕｐｎ：ｔａｒｏ．ｙａｍａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ"],
    ],
)
async def test_card_says_that_the_requester_is_the_only_approver_and_the_requester_is_notified(
    approvers: list[str], locale: str
) -> None:
    """The card has no buttons. The direct message says that no one in Teams can decide the request."""
    world = world_of(*approvers, locale=locale)
    await world.posted()
    assert ONLY_REQUESTER[locale] in card_text(world)
    assert "node-access.toml" in card_text(world)
    assert not has_buttons(world)
    assert TOLD[locale] in message_text(world)


@pytest.mark.parametrize("locale", ["en", "ja"])
@pytest.mark.parametrize(
    ("approvers", "people"),
    [
        ([NOBODYS_ID], [HANAKO, TARO_PERSON]),
        (["upn:nobody@example.com"], [HANAKO, TARO_PERSON]),
        ([HANAKO_ID, "upn:nobody@example.com"], [ICHIRO, TARO_PERSON]),
        ([TARO_ID, NOBODYS_ID], [HANAKO, TARO_PERSON]),
        (["members"], [TARO_PERSON]),
        (["members"], [TARO_PERSON, person(66, guest=True)]),
        (["upn:person66@example.com"], [TARO_PERSON, person(66, guest=True)]),
    ],
)
async def test_card_says_that_no_member_of_the_channel_may_decide_and_the_requester_is_notified(
    approvers: list[str], people: list[Person], locale: str
) -> None:
    """Guests and the requester do not count. The card has no buttons until a listed person joins the channel.

    The direct message says that no one in Teams can decide the request.
    """
    world = world_of(*approvers, people=people, locale=locale)
    await world.posted()
    assert NO_MEMBER[locale] in card_text(world)
    assert not has_buttons(world)
    assert TOLD[locale] in message_text(world)


@pytest.mark.parametrize("locale", ["en", "ja"])
async def test_requester_is_notified_that_no_one_can_decide_if_the_channel_lists_no_approvers(locale: str) -> None:
    """The card has no buttons."""
    world = world_of(locale=locale)
    await world.posted()
    assert not has_buttons(world)
    assert TOLD[locale] in message_text(world)


UNSURE = [
    ([HANAKO_ID], [HANAKO, TARO_PERSON]),
    ([TARO_ID, "upn:hanako.sato@example.com"], [HANAKO, TARO_PERSON]),
    (["members"], [HANAKO, TARO_PERSON]),
    ([NOBODYS_ID], []),  # Teams may return an empty page
    (["upn:nobody@example.com"], [replace(HANAKO, upn=None), TARO_PERSON]),
    (["members"], [replace(HANAKO, tenant_id="", guest=True), TARO_PERSON]),
]


@pytest.mark.parametrize(("approvers", "people"), UNSURE)
async def test_missing_approvers_are_not_reported_while_a_member_may_be_able_to_decide(
    approvers: list[str], people: list[Person]
) -> None:
    """Members whose name or tenant Teams does not return may be approvers; an empty roster proves nothing."""
    world = world_of(*approvers, people=people)
    await world.posted()
    assert NO_MEMBER["en"] not in card_text(world)
    assert ONLY_REQUESTER["en"] not in card_text(world)
    assert all(TOLD["en"] not in shown(each.versions[0].card) for each in world.chat.of("direct"))


async def test_missing_approvers_are_reported_only_after_the_roster_was_read() -> None:
    """While the roster cannot be read, the card shows the result of the last read."""
    world = world_of(NOBODYS_ID)
    world.people.failing = True
    key = await world.posted()
    assert NO_MEMBER["en"] not in card_text(world)
    world.people.failing = False
    await world.shown(key)
    assert NO_MEMBER["en"] in card_text(world)
    world.people.failing = True
    await world.shown(key)
    assert NO_MEMBER["en"] in card_text(world)


async def test_card_is_corrected_after_an_approver_joined_the_channel() -> None:
    """The roster is read again after five minutes."""
    world = world_of(HANAKO_ID, people=[TARO_PERSON])
    key = await world.posted()
    assert NO_MEMBER["en"] in card_text(world)
    world.people.people.append(HANAKO)
    await world.pass_time(key, PAUSE)
    assert NO_MEMBER["en"] not in card_text(world)
    assert has_buttons(world)


async def test_card_is_corrected_after_the_configuration_lists_another_approver() -> None:
    """After a change of node-access.toml, the next reconcile shows the buttons."""
    world = world_of(TARO_ID)
    key = await world.posted()
    fixed = replace(APPROVALS, approvers=(TARO_ID, HANAKO_ID))
    world.configuration.replace(replace(world.configuration.value, channels=(fixed,)))
    await world.shown(key)
    assert has_buttons(world)
    assert ONLY_REQUESTER["en"] not in card_text(world)


async def test_card_says_at_the_second_level_that_the_requester_is_its_only_approver() -> None:
    """The first level has approvers. Only the requester is listed for the second one."""
    rule = LevelRule("Level2", (TARO_ID,))
    world = new_world(replace(APPROVALS, levels=(rule,)))
    key = await world.posted(levels=2)
    assert has_buttons(world)
    assert ONLY_REQUESTER["en"] not in card_text(world)
    await _second_level(world, key)
    assert ONLY_REQUESTER["en"] in card_text(world)
    assert not has_buttons(world)


async def _second_level(world: World, key: RequestKey) -> None:
    request = world.aws.requests[key]
    first, second = request.levels
    levels = (replace(first, state=LevelState.APPROVED), replace(second, state=LevelState.WAITING))
    world.aws.requests[key] = replace(request, levels=levels)
    await world.shown(key)


async def test_requester_is_notified_when_the_last_approver_leaves() -> None:
    """The first message says that the request waits; a second one that no one can decide it."""
    world = world_of(HANAKO_ID, people=[HANAKO, TARO_PERSON])
    key = await world.posted()
    world.people.people.remove(HANAKO)
    await world.shown(key)
    first, second = (shown(each.versions[0].card) for each in world.chat.of("direct"))
    assert TOLD["en"] not in first
    assert TOLD["en"] in second


async def test_requester_is_notified_when_an_approver_joins_the_channel() -> None:
    """The first message says that no one can decide; the second one that the request waits for approval."""
    world = world_of(HANAKO_ID, people=[TARO_PERSON])
    key = await world.posted()
    world.people.people.append(HANAKO)
    await world.pass_time(key, PAUSE)
    first, second = (shown(each.versions[0].card) for each in world.chat.of("direct"))
    assert TOLD["en"] in first
    assert "waiting for approval" in second


async def test_requester_gets_no_further_message_if_the_last_approver_leaves_and_returns_again() -> None:
    """The message says in the end that the request waits, and one short message said that no one could decide."""
    world = world_of(HANAKO_ID, people=[HANAKO, TARO_PERSON])
    key = await world.posted()
    for _ in range(2):
        world.people.people.remove(HANAKO)
        await world.shown(key)
        world.people.people.append(HANAKO)
        await world.shown(key)
    message, short = world.chat.of("direct")
    told = [TOLD["en"] in shown(each.card) for each in message.versions]
    assert told == [False, True, False, True, False]
    assert [TOLD["en"] in shown(each.card) for each in short.versions] == [True]


async def test_missing_approvers_of_the_first_level_are_not_reported_for_the_second_level() -> None:
    """The first level has no approver and is approved in the console.

    The second one has approvers, but the roster cannot be read any longer.
    """
    rule = LevelRule("Level1", (NOBODYS_ID,))
    world = new_world(replace(APPROVALS, levels=(rule,)))
    key = await world.posted(levels=2)
    assert NO_MEMBER["en"] in card_text(world)
    world.people.failing = True
    await _second_level(world, key)
    assert NO_MEMBER["en"] not in card_text(world)


async def test_requester_can_cancel_a_request_that_no_one_may_decide() -> None:
    """The direct message that no one may decide has a Cancel button."""
    world = world_of(HANAKO_ID, people=[TARO_PERSON])
    key = await world.posted()
    assert "'verb': 'cancel'" in world.chat.of("direct")[0].card
    async with world.running():
        answer = await world.click_handler.click(world.withdrawn(key))
    assert not answer.refused
    assert world.aws.requests[key].status is Status.CANCELLED


async def test_card_of_a_rejected_request_no_longer_reports_missing_approvers() -> None:
    """A person rejected the request in the console."""
    world = world_of(NOBODYS_ID)
    key = await world.posted()
    assert NO_MEMBER["en"] in card_text(world)
    world.aws.requests[key] = replace(world.aws.requests[key], status=Status.REJECTED)
    await world.shown(key)
    assert NO_MEMBER["en"] not in card_text(world)
