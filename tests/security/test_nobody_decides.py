"""Where something that tells who may decide is missing, nobody may: no verb of anybody reaches AWS.

Each has its negative control in tests/reliability/guards: without the guard, the named test fails.
"""

from dataclasses import replace

import pytest

from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.routing import Channel, LevelRule
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.fakes.world import APPROVALS, World, new_world

EVERYBODY = (HANAKO, ICHIRO, TARO_PERSON)
USER_ID = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"  # of IAM Identity Center
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


LISTED = tuple(f"user:{each.object_id}" for each in EVERYBODY)


@pytest.mark.parametrize(
    ("approvers", "requester"),
    [
        (("members",), None),
        ((f"upn:{HANAKO.upn}",), None),
        (LISTED, None),
        (LISTED, f"{ROLE_OF_ANYBODY}/{HANAKO.upn}"),
    ],
    ids=["members", "by name", "by id", "by id, whoever asks"],
)
async def test_with_the_roster_call_failing(approvers: tuple[str, ...], requester: str | None) -> None:
    """Who is not known to be a member, or somebody else than the requester, is refused; an old card does not help.

    Not even where requesters may be anybody: the roster is what tells them from the approvers.
    """
    world = new_world(replace(APPROVALS, approvers=approvers))
    anybody = replace(world.configuration.value.identity, allow_unidentified=True)
    world.configuration.value = replace(world.configuration.value, identity=anybody)
    world.build()
    key = world.aws.add(requester=requester) if requester else world.aws.add()
    await world.shown(key)
    world.people.failing = True
    await _pressed_by_all(world, key)


async def test_with_an_unidentified_requester() -> None:
    """Who asks is known to nobody: it could be whoever presses."""
    world = new_world()
    await _pressed_by_all(world, world.aws.add(requester=f"{ROLE_OF_ANYBODY}/batch"))


@pytest.mark.parametrize("asked_before", [False, True], ids=["never read", "read before"])
async def test_with_the_record_of_the_requester_unreadable(asked_before: bool) -> None:
    """AWS names who asks by an Identity Center id alone, and does not tell now whose that is: it could be anybody's."""
    world = new_world()
    world.identities.records[USER_ID] = ("somebody.else@example.com",)
    key = world.aws.add(requester=USER_ID)
    if asked_before:
        await world.shown(key)
    world.identities.problem = "AccessDeniedException"
    await _pressed_by_all(world, key)


async def test_with_a_record_that_names_nobody() -> None:
    """Neither an id that is nobody's nor empty names are anybody."""
    world = new_world()
    world.identities.records[USER_ID] = ("", " ")
    await _pressed_by_all(world, world.aws.add(requester=USER_ID))


async def test_with_a_user_name_that_looks_like_an_object_id() -> None:
    """Identity Center's names are free text: such a one tells nobody apart, and the address is of another domain."""
    world = new_world()
    world.identities.records[USER_ID] = ("cccccccc-0000-4000-8000-000000000001", "taro@corp.example.net")
    await _pressed_by_all(world, world.aws.add(requester=USER_ID))


async def test_with_the_session_name_chosen_by_the_caller() -> None:
    """Who may assume a role that pins no name can call themself as somebody else does, and would then decide alone."""
    world = new_world()
    await _pressed_by_all(world, world.aws.add(requester=f"{ROLE_OF_ANYBODY}/{HANAKO.upn}"))


@pytest.mark.parametrize("ours", ["", HANAKO.tenant_id], ids=["of the bot", "of the person"])
async def test_with_the_tenant_missing(ours: str) -> None:
    """Without a tenant on either side nothing says that a person is one of ours, listed by id or not."""
    world = new_world(replace(APPROVALS, approvers=("members", *LISTED)))
    key = world.aws.add()
    await world.shown(key)
    world.configuration = replace(world.configuration, tenant_id=ours)
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
