"""Where something that tells who may decide is missing, nobody may: no verb of anybody reaches AWS.

Each has its negative control in tests/reliability/controls.py: the guard taken out of a copy turns the named test red.
"""

from dataclasses import replace

import pytest

from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.routing import Channel, LevelRule
from bot.service.clicks import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.world import APPROVALS, World, new_world

EVERYBODY = (HANAKO, ICHIRO, TARO_PERSON)
ROLE_OF_ANYBODY = "arn:aws:sts::111122223333:assumed-role/AnyRole"


def _as_activities_name(person: Person) -> Person:
    """Leave out what only the roster knows."""
    return replace(person, upn=None, mail=None)


async def _pressed_by_all(world: World, key: RequestKey, people: tuple[Person, ...] = EVERYBODY) -> None:
    """Have everybody press everything, on the card and again; nothing may reach AWS."""
    await world.shown(key)
    async with world.running():
        for person in people:
            for verb in Verb:
                answer = await world.press(key, _as_activities_name(person), verb, comment="ok")
                assert verb is Verb.REFRESH or answer.notice is not None
    assert (world.aws.count("signal"), (await world.row(key)).decisions) == (0, ())


@pytest.mark.parametrize(
    "channel",
    [
        replace(APPROVALS, approvers=()),
        replace(APPROVALS, levels=(LevelRule("Level1", ()),)),
        replace(APPROVALS, approvers=("",)),
    ],
    ids=["of the channel", "of the step", "with an empty entry"],
)
async def test_with_the_approver_list_emptied(channel: Channel) -> None:
    """An empty list is nobody, not everybody."""
    world = new_world(channel)
    await _pressed_by_all(world, world.aws.add())


@pytest.mark.parametrize("approvers", [("members",), (f"upn:{HANAKO.upn}",)], ids=["members", "by name"])
async def test_with_the_roster_call_failing(approvers: tuple[str, ...]) -> None:
    """Who is not known to be a member, or to have that name, is refused; a card from before does not help."""
    world = new_world(replace(APPROVALS, approvers=approvers))
    key = world.aws.add()
    await world.shown(key)
    world.people.failing = True
    await _pressed_by_all(world, key)


async def test_with_the_requester_unplaced() -> None:
    """Who asks is known to nobody: it could be whoever presses."""
    world = new_world()
    await _pressed_by_all(world, world.aws.add(requester=f"{ROLE_OF_ANYBODY}/batch"))


async def test_with_the_session_name_chosen_by_the_caller() -> None:
    """Who may assume a role that pins no name can call themself as somebody else does, and would then decide alone."""
    world = new_world()
    await _pressed_by_all(world, world.aws.add(requester=f"{ROLE_OF_ANYBODY}/{HANAKO.upn}"))


@pytest.mark.parametrize("ours", ["", HANAKO.tenant_id], ids=["of the bot", "of the person"])
async def test_with_the_tenant_missing(ours: str) -> None:
    """Without a tenant on either side nothing says that a person is one of ours, listed by id or not."""
    listed = tuple(f"user:{each.object_id}" for each in EVERYBODY)
    world = new_world(replace(APPROVALS, approvers=("members", *listed)))
    key = world.aws.add()
    await world.shown(key)
    world.configured = replace(world.configured, tenant_id=ours)
    world.build()
    strangers = tuple(replace(each, tenant_id="") for each in EVERYBODY)
    await _pressed_by_all(world, key, strangers)


async def test_the_same_world_lets_an_approver_decide() -> None:
    """The tests above are not blind: with nothing missing one press is one signal."""
    world = new_world()
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        await world.press(key, _as_activities_name(HANAKO))
    assert world.aws.count("signal") == 1
