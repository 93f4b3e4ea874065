"""Default deny: if a fact that the permission check needs is missing, no one may decide and no signal is sent.

The negative controls are in tests/reliability/guards: for each guard of the product, a test that fails without it.
"""

from dataclasses import replace

import pytest

from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.domain.routing import Channel, LevelRule
from bot.service.clicks.click import Verb
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, without_roster_fields
from tests.fakes.world import APPROVALS, World, new_world

EVERYBODY = (HANAKO, ICHIRO, TARO_PERSON)
USER_ID = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"  # of IAM Identity Center
ROLE_OF_ANYBODY = "arn:aws:sts::111122223333:assumed-role/AnyRole"


async def _assert_no_one_decides(world: World, key: RequestKey, people: tuple[Person, ...] = EVERYBODY) -> None:
    """Let each person click each button. No click may claim a decision or send a signal."""
    await world.shown(key)
    async with world.running():
        for person in people:
            for verb in Verb:
                answer = await world.press(key, without_roster_fields(person), verb, comment="ok")
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
async def test_empty_approver_list_lets_no_one_decide(channel: Channel) -> None:
    """An empty list does not mean everyone, and an empty entry matches no one."""
    world = new_world(channel)
    await _assert_no_one_decides(world, world.aws.add())


LISTED = tuple(f"user:{each.object_id}" for each in EVERYBODY)


@pytest.mark.parametrize(
    ("approvers", "requester"),
    [
        (("members",), None),
        ((f"upn:{HANAKO.upn}",), None),
        (LISTED, None),
        (LISTED, f"{ROLE_OF_ANYBODY}/{HANAKO.upn}"),
    ],
    ids=["members", "by name", "by id", "by id, unidentified requester"],
)
async def test_no_one_may_decide_while_the_roster_is_unreadable(
    approvers: tuple[str, ...], requester: str | None
) -> None:
    """The card was posted while the roster was readable.

    No click decides, even if unidentified requesters are allowed: without the roster, the clicker may be the requester.
    """
    world = new_world(replace(APPROVALS, approvers=approvers))
    lenient = replace(world.configuration.value.identity, allow_unidentified=True)
    world.configuration.value = replace(world.configuration.value, identity=lenient)
    world.build()
    key = world.aws.add(requester=requester) if requester else world.aws.add()
    await world.shown(key)
    world.people.failing = True
    await _assert_no_one_decides(world, key)


async def test_no_one_may_decide_a_request_of_an_unidentified_requester() -> None:
    """An unidentified requester could be any of the people who click."""
    world = new_world()
    await _assert_no_one_decides(world, world.aws.add(requester=f"{ROLE_OF_ANYBODY}/batch"))


@pytest.mark.parametrize("read_before", [False, True], ids=["never read", "read before"])
async def test_no_one_may_decide_while_the_requesters_identity_center_record_is_unreadable(read_before: bool) -> None:
    """AWS names the requester only by an Identity Center id. Without its record, that could be any person.

    This holds even if the record was read before.
    """
    world = new_world()
    world.identities.records[USER_ID] = (TARO_PERSON.upn or "",)
    key = world.aws.add(requester=USER_ID)
    if read_before:
        await world.shown(key)
    world.identities.problem = "AccessDeniedException"
    await _assert_no_one_decides(world, key)


async def test_identity_center_record_with_empty_names_identifies_no_one() -> None:
    """Empty names in the record match no person."""
    world = new_world()
    world.identities.records[USER_ID] = ("", " ")
    await _assert_no_one_decides(world, world.aws.add(requester=USER_ID))


async def test_identity_center_user_name_is_not_used_as_an_object_id() -> None:
    """User names are free text. One that looks like an object id identifies no one.

    This holds even if `unmatched_requesters` is `allow` and the record also has an address in `people_domains`.
    """
    world = new_world()
    allowing = replace(
        world.configuration.value.identity, allow_unmatched=True, people_domains=frozenset({"corp.example.net"})
    )
    world.configuration.value = replace(world.configuration.value, identity=allowing)
    world.identities.records[USER_ID] = ("cccccccc-0000-4000-8000-000000000001", "taro@corp.example.net")
    await _assert_no_one_decides(world, world.aws.add(requester=USER_ID))


async def test_session_name_chosen_by_the_caller_identifies_no_one() -> None:
    """If a role fixes no session name, requesters could use another person's name and approve their own requests."""
    world = new_world()
    await _assert_no_one_decides(world, world.aws.add(requester=f"{ROLE_OF_ANYBODY}/{HANAKO.upn}"))


@pytest.mark.parametrize("ours", ["", HANAKO.tenant_id], ids=["of bot and person", "of the person"])
async def test_clicker_without_a_tenant_id_may_not_decide(ours: str) -> None:
    """The person is refused even if listed by id, whether or not the bot has a tenant id."""
    world = new_world(replace(APPROVALS, approvers=("members", *LISTED)))
    key = world.aws.add()
    await world.shown(key)
    world.configuration = replace(world.configuration, tenant_id=ours)
    world.build()
    strangers = tuple(replace(each, tenant_id="") for each in EVERYBODY)
    await _assert_no_one_decides(world, key, strangers)


async def test_approver_decides_when_every_fact_is_known() -> None:
    """Positive control: if no fact is missing, one click sends one signal."""
    world = new_world()
    key = world.aws.add()
    await world.shown(key)
    async with world.running():
        await world.press(key, without_roster_fields(HANAKO))
    assert world.aws.count("signal") == 1
