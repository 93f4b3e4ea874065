"""Requests of IAM Identity Center users. AWS gives only the user's id; the user's record identifies the person."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.identity import IdentityRules, Person
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status
from bot.domain.rules.permission import Refusal
from bot.service.clicks.click import Answer, Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.world import World, code_of, new_world

USER_ID = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"
NAMES = ("tyamada@corp.example.net", "taro.yamada@example.com")
EVERYBODY = (HANAKO, ICHIRO, TARO_PERSON)


@pytest.fixture
def world() -> World:
    """Return a new world in which the record names Taro."""
    world = new_world()
    world.identities.records[USER_ID] = NAMES
    return world


def _requested(world: World, number: int = 1) -> RequestKey:
    return world.aws.add(number, requester=USER_ID)


async def _click(world: World, key: RequestKey, person: Person) -> Answer:
    """Click Approve with the object id alone, as an activity does."""
    async with world.running():
        return await world.press(key, replace(person, upn=None, mail=None))


def _wait(row: Record) -> timedelta:
    """Return the time from the last read of AWS to the next reconcile."""
    assert row.requeue_at is not None
    assert row.observed_at is not None
    return row.requeue_at - row.observed_at


async def test_card_names_the_channel_member_who_matches_the_identity_center_record(world: World) -> None:
    """Exactly one member has a name that is in the record. The card has buttons from its first post."""
    await world.shown(_requested(world))
    (card,) = world.chat.of("post")
    assert (card.buttons, len(card.versions)) == (True, 1)
    assert TARO_PERSON.name in card.card


async def test_requester_whom_the_identity_center_record_identifies_cannot_approve_but_others_can(world: World) -> None:
    """Taro is refused as the requester. Hanako's click sends one signal in her name, and Taro is notified."""
    key = _requested(world)
    await world.shown(key)
    assert code_of(await _click(world, key, TARO_PERSON)) is Refusal.OWN_REQUEST
    assert world.aws.signals == []
    await _click(world, key, HANAKO)
    assert [signal.session_name for signal in world.aws.signals] == [HANAKO.session_name]
    await world.shown(key)
    assert {sent.where for sent in world.chat.of("direct")} == {TARO_PERSON.object_id}


async def test_requester_in_no_roster_is_identified_by_an_address_in_people_domains(
    world: World,
) -> None:
    """The setting `unmatched_requesters` is "allow".

    After Taro has joined the channel, his click is refused, and another person may decide.
    """
    identity = replace(
        world.configuration.value.identity, allow_unmatched=True, people_domains=frozenset({"example.com"})
    )
    world.configuration.value = replace(world.configuration.value, identity=identity)
    world.people.people = [HANAKO, ICHIRO]
    key = _requested(world)
    row = await world.shown(key)
    assert row.requester
    assert (row.requester.identified, row.requester.person) == (True, None)
    world.people.people = list(EVERYBODY)
    assert code_of(await _click(world, key, TARO_PERSON)) is Refusal.OWN_REQUEST
    await _click(world, key, ICHIRO)
    assert [signal.session_name for signal in world.aws.signals] == [ICHIRO.session_name]


@pytest.mark.parametrize("names", [(), ("tyamada",), ("taro.yamada@example.com", "hanako.sato@example.com")])
async def test_clicks_are_refused_while_the_identity_center_record_identifies_no_one(
    world: World, names: tuple[str, ...]
) -> None:
    """With no names, no address, or the addresses of two people, each person who clicks could be the requester.

    The card has no buttons.
    """
    world.identities.records[USER_ID] = names
    key = _requested(world)
    await world.shown(key)
    answers = [await _click(world, key, person) for person in EVERYBODY]
    assert all(answer.refused for answer in answers)
    assert (world.aws.signals, world.chat.of("post")[0].buttons) == ([], False)


async def test_unreadable_identity_center_record_does_not_delay_the_card(world: World) -> None:
    """The card is posted without buttons, and no one may decide.

    Once the record is readable, the card names the requester and has buttons.
    """
    world.identities.problem = "AccessDeniedException"
    key = _requested(world)
    row = await world.shown(key)
    (card,) = world.chat.of("post")
    assert (card.buttons, "web-prod-01" in card.card, _wait(row)) == (False, True, timedelta(seconds=1))
    for person in EVERYBODY:
        assert code_of(await _click(world, key, person)) is Refusal.UNIDENTIFIED
    assert world.aws.signals == []
    world.identities.problem = ""
    async with world.running():
        await world.clock.advance(60)
    (card,) = world.chat.of("post")
    assert (card.buttons, TARO_PERSON.name in card.card) == (True, True)
    assert code_of(await _click(world, key, TARO_PERSON)) is Refusal.OWN_REQUEST
    await _click(world, key, HANAKO)
    assert len(world.aws.signals) == 1


async def test_unreadable_identity_center_record_is_read_at_most_every_five_minutes_after_an_hour(world: World) -> None:
    """The second hour has at most 12 reads."""
    world.identities.problem = "AccessDeniedException"
    key = _requested(world)
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(3600)
        hourly = len(world.identities.asked)
        await world.clock.advance(3600)
    assert len(world.identities.asked) - hourly <= 12
    assert _wait(await world.row(key)) >= timedelta(minutes=5)


async def test_buttons_disappear_after_the_identity_center_record_became_unreadable(world: World) -> None:
    """A click on an old card is refused and sends no signal."""
    key = _requested(world)
    await world.shown(key)
    world.identities.problem = "AccessDeniedException"
    await world.shown(key)
    assert not world.chat.of("post")[0].buttons
    codes = [code_of(await _click(world, key, person)) for person in EVERYBODY]
    assert codes == [Refusal.UNIDENTIFIED, Refusal.UNIDENTIFIED, Refusal.OWN_REQUEST]
    assert world.aws.signals == []


async def test_requester_who_was_identified_before_cannot_decide_while_the_record_is_unreadable(world: World) -> None:
    """The row has no identified requester any longer. Unidentified requesters are allowed, but the click is refused."""
    anybody = replace(world.configuration.value.identity, allow_unidentified=True)
    world.configuration.value = replace(world.configuration.value, identity=anybody)
    key = _requested(world)
    await world.shown(key)
    world.identities.problem = "ReadTimeoutError"
    for _ in range(2):
        row = await world.shown(key)
        assert row.requester
        assert not row.requester.identified
    assert code_of(await _click(world, key, TARO_PERSON)) is Refusal.OWN_REQUEST
    assert world.aws.signals == []


async def test_requester_is_notified_of_a_rejection_after_the_record_becomes_readable(world: World) -> None:
    """The request was rejected while the record was unreadable, so no direct message was sent at first."""
    world.identities.problem = "InternalServerException"
    key = _requested(world)
    await world.shown(key)
    world.aws.end(key, Status.REJECTED)
    await world.shown(key)
    assert world.chat.of("direct") == []
    world.identities.problem = ""
    async with world.running():
        await world.clock.advance(60)
    assert {sent.where for sent in world.chat.of("direct")} == {TARO_PERSON.object_id}


async def test_identity_center_record_is_not_read_if_the_requester_is_known_or_the_request_a_replica(
    world: World,
) -> None:
    """A requester is known by an ARN or by an entry of [people]."""
    copied = _requested(world, number=2)
    world.aws.requests[copied] = replace(world.aws.requests[copied], replica_of=world.aws.add(3))
    await world.shown(copied)
    await world.shown(world.aws.add(4))
    listed = IdentityRules(people={USER_ID: f"user:{HANAKO.object_id}"})
    world.configuration.value = replace(world.configuration.value, identity=listed)
    row = await world.shown(_requested(world))
    assert row.requester
    assert row.requester.person == HANAKO
    assert not row.requester.is_person(TARO_PERSON)
    assert world.identities.asked == []


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
async def test_requester_in_the_record_may_cancel_but_not_decide_and_another_person_may_not_cancel(
    world: World, verb: Verb
) -> None:
    """The requester cancels in their personal chat. Approve and Reject are refused."""
    key = _requested(world)
    await world.shown(key)
    async with world.running():
        refused = await world.click_handler.click(world.withdrawn(key, HANAKO))
        own = await world.press(key, replace(TARO_PERSON, upn=None, mail=None), verb)
        assert (refused.refused, own.refused, world.aws.signals) == (True, True, [])
        await world.click_handler.click(world.withdrawn(key))
    assert [signal.session_name for signal in world.aws.signals] == [TARO_PERSON.session_name]
