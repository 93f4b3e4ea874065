"""Whole stories: what the channel, the thread and the requester read from the request to its end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.request import RequestKey, Status
from bot.domain.routing import Channel
from bot.service.clicks.click import Verb
from tests.fakes.card_text import shown
from tests.fakes.chat import CHANNEL, HANAKO, ICHIRO, TARO_PERSON, Sent, person
from tests.fakes.world import APPROVALS, World, new_world

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEADS_CHANNEL, LEADER = "19:leads@thread.tacv2", person(40, "Leader")
LEADS = Channel(
    "leads",
    LEADS_CHANNEL,
    approvers=("members",),
    approver_role=APPROVALS.approver_role,
    mention=(f"user:{LEADER.object_id}",),
)
PATIENT = replace(
    APPROVALS,
    mention=(f"user:{HANAKO.object_id}",),
    remind_after=(15 * MINUTE, HOUR),
    escalate_after=2 * HOUR,
    escalate_to="leads",
)


def card_in(world: World, conversation: str) -> Sent:
    """Return the card in a channel."""
    (card,) = [each for each in world.chat.of("post") if each.where == conversation]
    return card


def text(sent: Sent) -> str:
    """Return the current text of a message."""
    return shown(sent.versions[-1].card)


def banner(sent: Sent) -> str:
    """Return the first line of a message, without the time of the expiry."""
    return text(sent).splitlines()[0].partition(" · ")[0]


def notified(sent: list[Sent]) -> list[Sent]:
    """Return the messages that notified when they were posted."""
    return [each for each in sent if each.versions[0].alert]


async def test_story_of_a_request_that_expires_after_two_reminders_and_an_escalation() -> None:
    """Hanako is reminded twice, then the leader gets a card too. Nobody decides. The bot is restarted in between."""
    world = new_world(PATIENT, LEADS, people=(HANAKO, ICHIRO, TARO_PERSON, LEADER))
    world.people.rosters = {CHANNEL: (HANAKO, ICHIRO, TARO_PERSON), LEADS_CHANNEL: (LEADER,)}
    key = await world.posted()
    found = []
    for span in (15 * MINUTE, 45 * MINUTE, HOUR, DAY):
        world.build()
        await world.pass_time(key, span.total_seconds())
        found.append((len(notified(world.chat.of("reply"))), len(world.chat.of("post"))))
    assert found == [(1, 1), (2, 1), (2, 2), (2, 2)]
    assert [each.mentioned(0) for each in world.chat.of("reply")] == [[HANAKO.teams_id]] * 2
    assert card_in(world, LEADS_CHANNEL).mentioned(0) == [LEADER.teams_id]
    assert {banner(each) for each in world.chat.of("post")} == {"Waiting for approval"}
    message = world.chat.of("direct")[0]
    assert "leads" in text(message).splitlines()

    world.aws.end(key, Status.TIMED_OUT)
    await world.shown(key)
    await world.pass_time(key, DAY.total_seconds())
    assert {banner(each) for each in world.chat.of("post")} == {"Expired"}
    assert not any(each.buttons for each in world.chat.of("post"))
    assert len(notified(world.chat.of("reply"))) == 2
    assert "No one decided in time" in text(message)
    assert "start-access-request" in text(message)
    assert len(world.chat.of("direct")) == 2  # the message, and one that notifies of its end


async def approved_by_hanako(world: World) -> RequestKey:
    """Return a request of one level that Ichiro reviews and Hanako approves in Teams."""
    key = await world.posted()
    async with world.running():
        await world.press(key, ICHIRO, Verb.REVIEWING)
        await world.press(key, HANAKO, comment="Ticket checked")
    await world.shown(key)
    return key


@pytest.mark.parametrize("revoked", [False, True], ids=["ends", "revoked"])
async def test_story_of_one_level_from_the_request_to_the_end_of_access(*, revoked: bool) -> None:
    """The requester is notified of each state once. The access of four hours ends, or is revoked after an hour."""
    world = new_world(replace(APPROVALS, mention=(f"user:{HANAKO.object_id}",)))
    key = await approved_by_hanako(world)
    card, message = card_in(world, CHANNEL), world.chat.of("direct")[0]
    assert card.mentioned(0) == [HANAKO.teams_id]
    assert any(ICHIRO.name in shown(each.card) for each in card.versions)
    assert banner(card) == "Approved"
    assert all("Ticket checked" in text(each) for each in (card, message))
    assert "start-session" in message.card

    await world.pass_time(key, HOUR.total_seconds())
    if revoked:
        async with world.running():
            await world.press(key, ICHIRO, Verb.REVOKE)
        await world.shown(key)
    await world.pass_time(key, (3 * HOUR).total_seconds())
    assert banner(card) == ("Access revoked" if revoked else "Access ended")
    assert "start-session" not in message.card
    states = [banner(each) for each in world.chat.of("direct")[1:]]
    assert states == ["Approved", "Your access was revoked." if revoked else "Access ends soon"]
    assert len(notified(world.chat.of("direct"))) == 3
    assert [each.session_name for each in world.aws.signals] == [HANAKO.upn] + [ICHIRO.upn] * revoked
