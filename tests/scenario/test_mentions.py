"""Mentions on a card: the people in the channel's `mention` setting, and the members that the reason names."""

from dataclasses import replace

import pytest

from bot.domain.request import RequestKey, Verdict
from bot.domain.routing import Channel, Match
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, person
from tests.fakes.world import APPROVALS, World, new_world

REASON = "5xx on checkout. @佐藤花子 @hanako.sato@example.com @田中 一郎 @山田 太郎 @Nobody mail bob@example.com"


def requested(world: World, reason: str = REASON, *, required: int = 1) -> RequestKey:
    """Add a request with this reason; return its key."""
    return world.aws.add(reason=reason, required=required)


def mentions(world: World, version: int = -1) -> list[tuple[str, str]]:
    """Return the mentions of the only card: Teams id and text of each."""
    (sent,) = world.chat.of("post")
    teams = sent.versions[version].card["msteams"]
    assert isinstance(teams, dict)
    return [(each["mentioned"]["id"], each["text"]) for each in teams["entities"]]


async def test_members_named_in_the_reason_are_mentioned() -> None:
    """Each is mentioned once, by any of their names. The requester, unknown names and e-mail addresses are not."""
    world = new_world()
    await world.shown(requested(world))
    assert mentions(world) == [(HANAKO.teams_id, "<at>佐藤 花子</at>"), (ICHIRO.teams_id, "<at>田中 一郎</at>")]
    (card,) = world.chat.of("post")
    assert "'Mentioned: <at>佐藤 花子</at>, <at>田中 一郎</at>'" in card.card
    assert "@佐藤花子 @hanako" in card.card  # the reason itself stays as it was written


async def test_person_in_both_the_reason_and_the_mention_setting_is_mentioned_once() -> None:
    """The other person in the reason is mentioned as well."""
    world = new_world(replace(APPROVALS, mention=(f"user:{HANAKO.object_id.upper()}",)))
    await world.shown(requested(world))
    assert mentions(world) == [(HANAKO.teams_id, "<at>佐藤 花子</at>"), (ICHIRO.teams_id, "<at>田中 一郎</at>")]


async def test_updates_of_a_card_mention_no_one() -> None:
    """They have the same names as plain text. An unchanged card is not updated."""
    people = [HANAKO, ICHIRO, TARO_PERSON]
    world = new_world(replace(APPROVALS, mention=(f"user:{ICHIRO.object_id}",)), people=people)
    key = requested(world, required=2)
    await world.shown(key)
    await world.shown(key)
    assert world.chat.asked["update"] == 0
    world.people.people.append(person(7, "Nobody"))  # a person who joins later causes no update
    await world.shown(key)
    assert world.chat.asked["update"] == 0
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    assert world.chat.asked["update"] == 2  # of the card, and of the requester's message
    assert len(mentions(world, 0)) == 2
    assert mentions(world) == []
    (card,) = world.chat.of("post")
    assert "<at>" not in card.card
    assert "田中 一郎" in card.card


async def test_card_that_replaces_a_deleted_card_mentions_the_person_in_the_reason_again() -> None:
    """The first card was deleted with its mentions."""
    world = new_world()
    key = requested(world, required=2)
    await world.shown(key)
    del world.chat.sent["1000"]
    world.aws.decide(key, Verdict.APPROVE)
    await world.rows.requeue(key)
    await world.pass_time(key, 61)
    assert [sent.card.count("<at>佐藤 花子</at>',") for sent in world.chat.of("post")] == [1]


async def test_card_is_posted_without_mentions_while_the_roster_cannot_be_read() -> None:
    """The next update of the card names the people, but does not notify them."""
    world = new_world()
    key = requested(world, required=2)
    world.people.failing = True
    await world.shown(key)
    assert mentions(world) == []
    world.people.failing = False
    world.aws.decide(key, Verdict.APPROVE)
    await world.shown(key)
    (card,) = world.chat.of("post")
    assert "Mentioned: " in card.card
    assert mentions(world) == []


async def test_card_without_buttons_mentions_no_one() -> None:
    """While the node's tags are unreadable, the fallback channel's card has neither buttons nor mentions.

    Once the tags are readable, the card in the right channel has mentions.
    """
    match = Match(tags=(("Environment", frozenset({"production"})),))
    production = Channel("production", "19:production@thread.tacv2", ("members",), match=match)
    world = new_world(production, APPROVALS)
    key = requested(world)
    whole = world.aws.requests[key]
    world.aws.requests[key] = replace(whole, node=replace(whole.node, tags=None))
    await world.shown(key)
    assert mentions(world) == []
    assert not world.chat.of("post")[0].buttons
    world.aws.requests[key] = whole
    await world.shown(key)
    assert ["<at>田中 一郎</at>" in sent.card for sent in world.chat.of("post")] == [False, True]


@pytest.mark.parametrize("name", ["everyone", "approvals"])
async def test_reason_cannot_mention_the_whole_channel(name: str) -> None:
    """@everyone and the channel's name mention no one, even if a member has that name."""
    world = new_world(people=[HANAKO, person(8, name)])
    await world.shown(requested(world, f"@{name} please"))
    assert mentions(world) == []


async def test_mention_in_the_reason_gives_no_right_to_decide() -> None:
    """Only the channel's entry in node-access.toml determines who may decide."""
    world = new_world(replace(APPROVALS, approvers=(f"user:{ICHIRO.object_id}",)))
    key = requested(world, "@佐藤花子")
    await world.shown(key)
    assert (await world.press(key, HANAKO, Verb.APPROVE)).refused
    assert world.aws.signals == []


async def test_reason_without_a_mention_causes_no_further_read_of_the_roster() -> None:
    """Without a mention the members are read once, to check whether any of them may decide; with one, twice."""
    world, other = new_world(), new_world()
    await world.shown(requested(world, "mail bob@example.com"))
    await other.shown(requested(other, "@bob@example.com"))
    assert (world.people.asked, other.people.asked) == (1, 2)
