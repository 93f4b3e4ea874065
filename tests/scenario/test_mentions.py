"""Whom a reason names, on the cards that Teams gets."""

from dataclasses import replace

import pytest

from bot.domain.request import RequestKey, Verdict
from bot.domain.routing import Channel, Match
from bot.ports.teams import ChatProblem, ChatRefused
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.world import APPROVALS, World, new_world

REASON = "5xx on checkout. @佐藤花子 @hanako.sato@example.com @田中 一郎 @山田 太郎 @Nobody mail bob@example.com"


def asked(world: World, reason: str = REASON, *, required: int = 1) -> RequestKey:
    """Have a request made with this reason."""
    return world.aws.add(reason=reason, required=required)


def entities(world: World, version: int = -1) -> list[tuple[str, str]]:
    """The mentions of the one card: whom, and by which text."""
    (sent,) = world.chat.of("post")
    teams = sent.versions[version].card["msteams"]
    assert isinstance(teams, dict)
    return [(each["mentioned"]["id"], each["text"]) for each in teams["entities"]]


async def test_members_whom_the_reason_names_are_mentioned() -> None:
    """Each once, by whichever of their names; not the requester, not somebody unknown, not an e-mail address."""
    world = new_world()
    await world.shown(asked(world))
    assert entities(world) == [(HANAKO.teams_id, "<at>佐藤 花子</at>"), (ICHIRO.teams_id, "<at>田中 一郎</at>")]
    (card,) = world.chat.of("post")
    assert "'Mentioned: <at>佐藤 花子</at>, <at>田中 一郎</at>'" in card.card
    assert "@佐藤花子 @hanako" in card.card  # the reason itself stays as it was written


async def test_whom_the_entry_asks_is_mentioned_once() -> None:
    """Being asked to decide says more than being named."""
    world = new_world(replace(APPROVALS, mention=(f"user:{HANAKO.object_id.upper()}",)))
    await world.shown(asked(world))
    assert entities(world) == [(HANAKO.teams_id, "<at>佐藤 花子</at>"), (ICHIRO.teams_id, "<at>田中 一郎</at>")]


async def test_a_phone_rings_once() -> None:
    """Updates of the waiting card name the same people and mention nobody; without a change nothing is sent at all."""
    people = [HANAKO, ICHIRO, TARO_PERSON]
    world = new_world(replace(APPROVALS, mention=(f"user:{ICHIRO.object_id}",)), people=people)
    key = asked(world, required=2)
    await world.shown(key)
    await world.shown(key)
    assert world.chat.asked["update"] == 0
    world.people.people.append(person(7, "Nobody"))  # whoever joins later changes nothing by that
    await world.shown(key)
    assert world.chat.asked["update"] == 0
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert world.chat.asked["update"] == 1
    assert len(entities(world, 0)) == 2
    assert entities(world) == []
    (card,) = world.chat.of("post")
    assert "<at>" not in card.card
    assert "田中 一郎" in card.card


async def test_a_card_that_is_posted_anew_mentions_again() -> None:
    """Somebody deleted the message, and the mention with it."""
    world = new_world()
    key = asked(world, required=2)
    await world.shown(key)
    world.chat.before["update"].append(ChatRefused(ChatProblem.ACTIVITY_NOT_FOUND))
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert [sent.card.count("<at>佐藤 花子</at>',") for sent in world.chat.of("post")] == [1, 1]


async def test_a_roster_that_is_away_keeps_no_card_back() -> None:
    """The card is posted without the line; its next change names them, and rings nobody late."""
    world = new_world()
    key = asked(world, required=2)
    world.people.failing = True
    await world.shown(key)
    assert entities(world) == []
    world.people.failing = False
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert "Mentioned: " in card.card
    assert entities(world) == []


async def test_nobody_is_mentioned_where_it_is_not_decided() -> None:
    """While tags are unread the fallback has the card; its members are not those whom the reason names."""
    match = Match(tags=(("Environment", frozenset({"production"})),))
    production = Channel("production", "19:production@thread.tacv2", ("members",), match=match)
    world = new_world(production, APPROVALS)
    key = asked(world)
    whole = world.aws.requests[key]
    world.aws.requests[key] = replace(whole, node=replace(whole.node, tags=None))
    await world.shown(key)
    assert entities(world) == []
    world.aws.requests[key] = whole
    await world.shown(key)
    assert ["<at>田中 一郎</at>" in sent.card for sent in world.chat.of("post")] == [False, True]


@pytest.mark.parametrize("name", ["everyone", "approvals"])
async def test_a_whole_channel_cannot_be_mentioned(name: str) -> None:
    """Neither by a word for everybody nor by the channel's name, though a member is named so."""
    world = new_world(people=[HANAKO, person(8, name)])
    await world.shown(asked(world, f"@{name} please"))
    assert entities(world) == []


async def test_being_mentioned_gives_no_right_to_decide() -> None:
    """Who may decide is a matter of the channel's entry alone."""
    world = new_world(replace(APPROVALS, approvers=(f"user:{ICHIRO.object_id}",)))
    key = asked(world, "@佐藤花子")
    await world.shown(key)
    assert (await world.press(key, HANAKO, Verb.APPROVE)).refused
    assert world.aws.signals == []


async def test_a_reason_that_names_nobody_asks_no_roster() -> None:
    """Teams is not asked for what is not needed."""
    world = new_world()
    await world.shown(asked(world, "mail bob@example.com"))
    assert world.people.asked == 0
