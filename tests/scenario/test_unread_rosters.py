"""While Teams does not return all rosters, a requester who was not found is looked up again instead of given up."""

from dataclasses import replace

import pytest

from bot.domain.identity import IdentityRules
from bot.domain.request import RequestKey, Status
from bot.domain.rules.permission import Refusal
from bot.domain.shown.direct import LOOKUP_SPAN
from bot.service.sources.installation_events import InstallationEvents
from tests.fakes.aws import TARO as PRINCIPAL
from tests.fakes.chat import HANAKO, TARO_PERSON
from tests.fakes.world import World, code_of, new_world

MINUTE = 60.0
OUTAGE = 8.0  # seconds
# the requester's session is trusted, and identified by its name alone, by an entry, or only by a roster
BY_DOMAIN = IdentityRules(
    trusted_roles=frozenset({"Operator"}), people_domains=frozenset({"example.com"}), allow_unmatched=True
)
BY_ROSTER = IdentityRules(trusted_roles=frozenset({"Operator"}))
BY_ENTRY = replace(BY_ROSTER, people={PRINCIPAL: f"user:{TARO_PERSON.object_id}"})


@pytest.fixture
def world() -> World:
    return new_world()


def use(world: World, rules: IdentityRules) -> None:
    """Make these identity rules current."""
    world.configuration.replace(replace(world.configuration.value, identity=rules))


async def arrives(world: World, *, outage: float = OUTAGE, recovered: float = MINUTE) -> RequestKey:
    """Let a request arrive during an outage of the rosters, and time pass after both; return its key."""
    world.people.failing = True
    key = world.aws.add()
    await world.rows.requeue(key)
    await world.clock.advance(outage)
    world.people.failing = False
    await world.clock.advance(recovered)
    return key


@pytest.mark.parametrize("outage", [0.5, OUTAGE, 600.0, 3 * 3600.0])
@pytest.mark.parametrize("rules", [BY_DOMAIN, BY_ENTRY, BY_ROSTER], ids=["by domain", "by entry", "by roster"])
async def test_first_direct_message_arrives_within_a_minute_after_the_rosters_are_readable(
    world: World, rules: IdentityRules, outage: float
) -> None:
    """The requester could not be looked up when the request arrived. No note says that the message is impossible."""
    use(world, rules)
    async with world.running():
        await arrives(world, outage=outage)
    assert [sent.where for sent in world.chat.of("direct")] == [TARO_PERSON.object_id]
    assert "couldn’t message" not in "".join(each.card for each in world.chat.of("reply"))
    assert world.chat.of("post")[0].buttons


@pytest.mark.parametrize("rules", [BY_DOMAIN, BY_ROSTER])
async def test_requester_is_notified_after_a_roster_outage_during_which_the_request_ended(
    world: World, rules: IdentityRules
) -> None:
    """The request ends before the rosters can be read. The message about the end arrives once they can be read."""
    use(world, rules)
    async with world.running():
        world.people.failing = True
        key = world.aws.add()
        await world.rows.requeue(key)
        await world.clock.advance(1)
        world.aws.end(key, Status.REJECTED)
        await world.rows.requeue(key)
        await world.clock.advance(2 * 3600)
        world.people.failing = False
        await world.clock.advance(MINUTE)
    (direct,) = world.chat.of("direct")
    assert "rejected" in direct.card
    assert "couldn’t message" not in "".join(each.card for each in world.chat.of("reply"))


async def test_thread_says_at_once_that_a_requester_in_no_roster_was_not_notified(world: World) -> None:
    """All rosters were read, so the requester is not looked up again in the next minute."""
    use(world, BY_DOMAIN)
    world.people.people.remove(TARO_PERSON)
    async with world.running():
        await world.rows.requeue(world.aws.add())
        await world.clock.advance(1)
        (note,) = world.chat.of("reply")
        assert "couldn’t message" in note.card
        asked = world.people.asked_known
        await world.clock.advance(MINUTE)
        assert world.people.asked_known == asked


async def test_card_says_that_the_requester_cannot_be_looked_up_during_a_roster_outage(world: World) -> None:
    """Until the requester is looked up again, the card has no buttons, and a click is refused."""
    use(world, BY_ROSTER)
    async with world.running():
        world.people.failing = True
        key = world.aws.add()
        await world.rows.requeue(key)
        await world.clock.advance(1)
        (card,) = world.chat.of("post")
        assert ("Teams doesn’t return the data of all members" in card.card, card.buttons) == (True, False)
        world.people.failing = False
        answer = await world.press(key, HANAKO)
        assert code_of(answer) is Refusal.REQUESTER_UNREAD
        assert world.aws.signals == []
        await world.clock.advance(MINUTE)
        assert world.chat.of("post")[0].buttons


async def test_requester_is_looked_up_again_when_the_bot_is_added_to_a_team(world: World) -> None:
    """The roster of the team can be read now, and the message is sent immediately."""
    use(world, BY_DOMAIN)
    async with world.running():
        await arrives(world, outage=600.0, recovered=0.0)
        await InstallationEvents(rows=world.rows, clock=world.clock, telemetry=world.telemetry).arrived()
        await world.clock.advance(0.2)
    assert len(world.chat.of("direct")) == 1


async def test_direct_message_is_given_up_if_no_roster_is_readable_for_hours_after_the_request_ended(
    world: World,
) -> None:
    """After LOOKUP_SPAN a note says that the requester was not notified, and the row is no longer due."""
    use(world, BY_DOMAIN)
    world.people.failing = True
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1)
        world.aws.end(key, Status.REJECTED)
        await world.rows.requeue(key)
        await world.clock.advance(LOOKUP_SPAN.total_seconds() - 60)
        assert "couldn’t message" not in "".join(each.card for each in world.chat.of("reply"))
        await world.clock.advance(600)
        assert "couldn’t message" in "".join(each.card for each in world.chat.of("reply"))
        assert (await world.row(key)).requeue_at is None
