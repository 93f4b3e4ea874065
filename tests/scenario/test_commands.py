"""What people ask the bot in words, over fakes of AWS and Teams."""

from dataclasses import replace

import pytest

from bot.config.file import parse_configuration
from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.shown.reply_views import HelpView, MessageCode, MessageView, PendingView, SetupView, View
from bot.domain.shown.views import CardView
from bot.service.clicks.click import Verb
from bot.service.commands import CommandService, IncomingMessage
from tests.fakes.aws import TARO
from tests.fakes.chat import CHANNEL, HANAKO, TARO_PERSON, FakePeople, person
from tests.fakes.world import World, new_world


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return new_world()


async def asked(world: World, text: str, *, who: Person = HANAKO, personal: bool = False) -> View:
    """Return the answer to a message."""
    commands = CommandService(rows=world.rows, people=world.people, clock=world.clock, configured=world.configured)
    conversation = f"a:{who.object_id}" if personal else f"{CHANNEL};messageid=7"
    return (await commands.answer(IncomingMessage(text, who, conversation, personal))).view


async def test_help_is_the_answer_to_nothing_and_to_help(world: World) -> None:
    """An empty message gets help, in any case of letters."""
    assert [await asked(world, text) for text in ("", "  ", "Help")] == [HelpView()] * 3


async def test_an_unknown_command_is_named(world: World) -> None:
    """What is not understood is said, cut to a bearable length."""
    assert await asked(world, "frobnicate " * 20) == MessageView(MessageCode.UNKNOWN_COMMAND, "frobnicate")


async def test_pending_in_a_channel_lists_what_is_routed_there(world: World) -> None:
    """Waiting requests are listed, decided ones are not."""
    first, second = world.aws.add(1), world.aws.add(2)
    for key in (first, second):
        await world.shown(key)
    async with world.running():
        await world.press(first, HANAKO, Verb.REJECT)
    view = await asked(world, "pending")
    assert isinstance(view, PendingView)
    assert [line.ops_item_id for line in view.requests] == [second.ops_item_id]


async def test_pending_in_person_lists_ones_own_and_what_one_may_decide(world: World) -> None:
    """The requester sees the own request, an approver the same one as theirs to decide, a stranger nothing."""
    await world.shown(world.aws.add())
    own, other = (
        await asked(world, "pending", who=TARO_PERSON, personal=True),
        await asked(world, "pending", personal=True),
    )
    assert isinstance(own, PendingView)
    assert isinstance(other, PendingView)
    assert [own.requests[0].own, other.requests[0].own] == [True, False]
    stranger = await asked(world, "pending", who=person(77), personal=True)
    assert stranger == MessageView(MessageCode.NOTHING_PENDING)


@pytest.mark.parametrize("requester", ["arn:aws:sts::111122223333:assumed-role/AnyRole/batch", None])
@pytest.mark.parametrize("guest", [True, False])
async def test_pending_in_person_follows_the_rule_of_a_click(requester: str | None, guest: bool) -> None:
    """Nobody is told that they may decide what a click of theirs would not: a guest, or a request of nobody knows whom."""
    world = new_world(people=[replace(HANAKO, guest=guest), TARO_PERSON])
    await world.shown(world.aws.add(requester=requester) if requester else world.aws.add())
    view = await asked(world, "pending", personal=True)
    assert isinstance(view, PendingView) == (requester is None and not guest)


async def test_a_long_list_says_how_many_more_there_are(world: World) -> None:
    """Twenty requests: fifteen lines and five more."""
    for number in range(1, 21):
        await world.shown(world.aws.add(number))
    view = await asked(world, "pending")
    assert isinstance(view, PendingView)
    assert (len(view.requests), view.more) == (15, 5)


async def test_status_shows_a_request_without_buttons(world: World) -> None:
    """`status oi-…` is for reading; who has no business with the request is told "not found"."""
    key = world.aws.add()
    await world.shown(key)
    view = await asked(world, f"status {key.ops_item_id.upper()}")
    assert isinstance(view, CardView)
    assert not view.buttons
    missing = MessageView(MessageCode.NOT_FOUND, key.ops_item_id)
    assert await asked(world, f"status {key.ops_item_id}", who=person(77), personal=True) == missing
    assert await asked(world, "status oi-nonsense") == MessageView(MessageCode.NOT_FOUND, "oi-nonsense")


class _Elsewhere(FakePeople):
    """Rosters of which the one that is asked about has nobody: everybody is in another channel, or has the bot alone."""

    async def member(self, conversation: str, object_id: str) -> Person | None:
        """Return nobody."""
        return None


async def shown_in_person(world: World, key: RequestKey, who: Person) -> tuple[View, View]:
    """Return what somebody who is in no approvers' channel gets for `status` and `pending` in their own chat."""
    world.people = _Elsewhere(world.people.people)
    status = await asked(world, f"status {key.ops_item_id}", who=who, personal=True)
    return status, await asked(world, "pending", who=who, personal=True)


async def test_a_requester_sees_their_request_wherever_they_are(world: World) -> None:
    """It is certain that they asked; they need not be in the approvers' channel."""
    key = world.aws.add()
    await world.shown(key)
    status, pending = await shown_in_person(world, key, TARO_PERSON)
    assert isinstance(status, CardView)
    assert isinstance(pending, PendingView)


@pytest.mark.parametrize("told", [True, False])
async def test_a_guest_with_the_requesters_address_is_shown_nothing(told: bool, world: World) -> None:
    """A guest chose the own mail address, whether the click or the roster says that they are one."""
    key = world.aws.add()
    await world.shown(key)
    guest = replace(person(66, guest=True), mail=TARO_PERSON.mail)
    world.people.people.append(guest)
    missing = MessageView(MessageCode.NOT_FOUND, key.ops_item_id)
    nothing = missing, MessageView(MessageCode.NOTHING_PENDING)
    assert await shown_in_person(world, key, replace(guest, mail=None, guest=told)) == nothing


async def test_a_name_that_the_caller_chose_makes_nobody_a_requester(world: World) -> None:
    """Whoever is named by a session of a role that is not trusted did not ask, as far as is certain."""
    key = world.aws.add(requester=TARO.replace("Operator", "AnybodysRole"))
    await world.shown(key)
    missing = MessageView(MessageCode.NOT_FOUND, key.ops_item_id)
    nothing = missing, MessageView(MessageCode.NOTHING_PENDING)
    assert await shown_in_person(world, key, TARO_PERSON) == nothing


async def test_setup_prints_an_entry_that_can_be_pasted(world: World) -> None:
    """Behind the entries that are there it makes a valid file; a configured channel is told so."""
    assert await asked(world, "setup") == MessageView(MessageCode.ALREADY_SET_UP, "approvals")
    assert await asked(world, "setup", personal=True) == MessageView(MessageCode.CHANNEL_ONLY)
    commands = CommandService(rows=world.rows, people=world.people, clock=world.clock, configured=world.configured)
    said = IncomingMessage("setup", HANAKO, "19:another@thread.tacv2;messageid=7", personal=False)
    view = (await commands.answer(said)).view
    assert isinstance(view, SetupView)
    assert 'fallback = true below name = "approvals"' in view.toml
    there = '[[channels]]\nname = "approvals"\nfallback = true\nconversation = "19:approvers@thread.tacv2"\n'
    names = [channel.name for channel in parse_configuration(f"{there}\n{view.toml}".encode()).channels]
    assert names == ["approvals", "approvals-2"]
