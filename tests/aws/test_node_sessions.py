"""Sessions on nodes, over real HTTP: what is listed, in every form in which AWS may list them, and how they end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from datetime import timedelta

import pytest

from bot.aws.assembly import AwsSide
from bot.aws.jit import node_sessions
from bot.domain.access.sessions import Access, AccessType, Others, Whose, owner_name, whose
from bot.ports.aws import AwsThrottled, AwsUnavailable, EndingRoleRefused, EndRefused, RoleSession, SessionsDenied
from bot.sandbox.aws.jit.assumptions import Assumptions, SessionEnd, SessionOwner
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, END_SESSIONS_ROLE, REGION, REQUESTER
from tests.contract.gateway import HANAKO, aws_side, key_of
from tests.contract.scene import Asked, Scene, signal, staged

HERE = (ACCOUNT, REGION)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A sandbox without sessions of other tests."""
    with staged() as scene:
        yield scene


@pytest.fixture
async def side(scene: Scene) -> AsyncIterator[AwsSide]:
    """Run the bot's AWS side against the sandbox."""
    async with aws_side(scene) as side:
        yield side


def approved(scene: Scene) -> Asked:
    """Return a request whose access was granted."""
    asked = scene.ask()
    signal(scene.approver(), asked)
    return asked


async def test_sessions_of_just_in_time_access_are_listed_while_open_and_after_their_end(
    scene: Scene, side: AwsSide
) -> None:
    """A session that was started without an access request is not listed. Ended ones are listed from a moment on."""
    asked, node, began = approved(scene), scene.aws.world.nodes["web-prod-01"], scene.clock()
    scene.requester.start_session(Target=node)
    (opened,) = scene.aws.control.use(asked.id, "open")
    (active,) = await side.sessions.active(*HERE)
    assert (active.id, active.node, active.open, active.started_at) == (opened, node, True, began)
    assert (owner_name(active.owner), active.access_type) == (REQUESTER, AccessType.JUST_IN_TIME)
    scene.clock.move(minutes=26)
    scene.aws.control.use(asked.id, "close")
    assert await side.sessions.active(*HERE) == []
    (ended,) = await side.sessions.ended(*HERE, began - timedelta(minutes=1))
    assert (ended.open, ended.ended_at) == (False, began + timedelta(minutes=26))
    assert await side.sessions.ended(*HERE, began + timedelta(minutes=1)) == []


async def test_every_page_of_sessions_is_read_and_a_longer_list_is_refused(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of a list could mean that an access was never used."""
    asked = approved(scene)
    monkeypatch.setattr(node_sessions, "PAGE", 2)
    opened = [each for _ in range(5) for each in scene.aws.control.use(asked.id, "open")]
    assert sorted(each.id for each in await side.sessions.active(*HERE)) == sorted(opened)
    monkeypatch.setattr(node_sessions, "MOST_PAGES", 2)
    with pytest.raises(AwsUnavailable, match="EndlessPages"):
        await side.sessions.active(*HERE)


async def test_access_of_every_request_is_listed_with_its_nodes_and_times(scene: Scene, side: AwsSide) -> None:
    """Automatically approved requests too. Waiting requests, and access that is over, are left out."""
    asked, automatic = approved(scene), scene.ask("web-dev-01")
    scene.ask("db-prod-01")
    found = {each.request.rpartition("/")[2]: each for each in await side.sessions.granted(*HERE, scene.clock())}
    assert set(found) == {asked.id, automatic.id}
    node = frozenset({scene.aws.world.nodes["web-prod-01"]})
    begins, requester = scene.clock(), scene.aws.world.requester.arn
    expected = Access(
        found[asked.id].request, requester, frozenset({REQUESTER}), node, begins, begins + timedelta(hours=8)
    )
    assert found[asked.id] == expected
    scene.clock.move(hours=3)
    later = {each.request.rpartition("/")[2] for each in await side.sessions.granted(*HERE, scene.clock())}
    assert later == {asked.id}


@pytest.mark.parametrize(
    ("owner", "shown", "expected"),
    [
        (SessionOwner.NAMED, True, Whose.NAMED),
        (SessionOwner.RANDOM, True, Whose.ALONE),
        (SessionOwner.ABSENT, True, Whose.ALONE),
        *((each, False, Whose.UNCLEAR) for each in SessionOwner),
    ],
)
async def test_sessions_are_attributed_in_every_form_in_which_aws_may_list_them(
    owner: SessionOwner, *, shown: bool, expected: Whose
) -> None:
    """If AWS has no filter for just-in-time access, every session is listed, and one read asks for that only once."""
    assumed = Assumptions(session_owner=owner, session_type_shown=shown, session_filter_known=False)
    with staged(assumed=assumed) as scene:
        asked = approved(scene)
        (opened,) = scene.aws.control.use(asked.id, "open")
        async with aws_side(scene) as side:
            for _ in range(2):
                (found,) = await side.sessions.active(*HERE)
            (own,) = await side.sessions.granted(*HERE, scene.clock())
        assert [each.error for each in scene.aws.calls("DescribeSessions")] == ["InvalidFilterKey", None, None]
    assert found.id == opened
    assert found.access_type is (AccessType.JUST_IN_TIME if shown else None)
    assert (owner_name(found.owner) == REQUESTER) is (owner is SessionOwner.NAMED)
    assert whose(found, own, Others(complete=True)) is expected


async def test_missing_permission_is_told_from_an_unreadable_list() -> None:
    """The permission is optional."""
    with staged(assumed=Assumptions(sessions_allowed=False)) as scene:
        async with aws_side(scene) as side:
            with pytest.raises(SessionsDenied):
                await side.sessions.active(*HERE)


@pytest.mark.parametrize("missing", ["SessionId", "Target"])
def test_session_without_id_or_node_makes_the_list_unreadable(missing: str) -> None:
    """It may be of any access. All other members may be absent."""
    row = {"SessionId": "s-1", "Target": "i-1"}
    assert node_sessions.listed_session(row, is_open=True).id == "s-1"
    with pytest.raises(AwsUnavailable):
        node_sessions.listed_session({name: each for name, each in row.items() if name != missing}, is_open=True)


ENDING = RoleSession(END_SESSIONS_ROLE, HANAKO)


async def test_session_is_ended_in_the_role_for_it_under_the_name_of_the_person(scene: Scene, side: AwsSide) -> None:
    """AWS accepts a repeated call, and any session id. The bot's own credentials are not used."""
    asked = approved(scene)
    (opened,) = scene.aws.control.use(asked.id, "open")
    for name in (opened, opened, "unknown"):
        await side.sessions.end(key_of(asked), name, ENDING)
    assert await side.sessions.active(*HERE) == []
    callers = {each.caller for each in scene.aws.calls("TerminateSession")}
    assert callers == {f"arn:aws:sts::{ACCOUNT}:assumed-role/NodeAccessEndSessions/{HANAKO}"}


@pytest.mark.parametrize(
    ("end", "expected"),
    [(SessionEnd.STAYS, None), (SessionEnd.DENIED, EndRefused), (SessionEnd.THROTTLED, AwsThrottled)],
)
async def test_session_stays_open_in_every_way_in_which_aws_may_not_end_it(
    end: SessionEnd, expected: type[Exception] | None
) -> None:
    """An answer without an error proves nothing."""
    with staged(assumed=Assumptions(session_end=end)) as scene:
        asked = approved(scene)
        (opened,) = scene.aws.control.use(asked.id, "open")
        async with aws_side(scene) as side:
            with pytest.raises(expected) if expected else nullcontext():
                await side.sessions.end(key_of(asked), opened, ENDING)
            assert [each.id for each in await side.sessions.active(*HERE)] == [opened]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/Unknown", "AccessDenied"),
        (END_SESSIONS_ROLE.replace(ACCOUNT, "444455556666"), "RoleOfAnotherAccount"),
    ],
)
async def test_no_session_is_ended_without_the_role_for_it(
    scene: Scene, side: AwsSide, role: str, expected: str
) -> None:
    """The role cannot be assumed, or is one of another account: nothing is sent with other credentials instead."""
    with pytest.raises(EndingRoleRefused) as refused:
        await side.sessions.end(key_of(approved(scene)), "session", RoleSession(role, HANAKO))
    assert (refused.value.code, refused.value.denied) == (expected, True)
    assert scene.aws.calls("TerminateSession") == []


async def test_role_that_lacks_the_permission_to_end_sessions_is_named_as_refused(scene: Scene, side: AwsSide) -> None:
    """The role can be assumed. The error tells this from a role that cannot."""
    asked = approved(scene)
    (opened,) = scene.aws.control.use(asked.id, "open")
    with pytest.raises(EndRefused) as refused:
        await side.sessions.end(key_of(asked), opened, RoleSession(APPROVER_ROLE, HANAKO))
    assert (type(refused.value), refused.value.code) == (EndRefused, "AccessDeniedException")
    assert [each.id for each in await side.sessions.active(*HERE)] == [opened]


async def test_lost_answer_to_the_end_of_a_session_is_neither_an_end_nor_a_refusal(scene: Scene, side: AwsSide) -> None:
    """The call may have had an effect, and is sent once."""
    asked = approved(scene)
    scene.aws.control.use(asked.id, "open")
    scene.aws.faults.lose_reply("TerminateSession", times=None)
    with pytest.raises(AwsUnavailable):
        await side.sessions.end(key_of(asked), "session", ENDING)
    assert len(scene.aws.calls("TerminateSession")) == 1


async def test_denied_role_session_from_before_a_change_of_the_role_is_replaced(scene: Scene, side: AwsSide) -> None:
    """AWS denies credentials whose role was deleted and made again. The next call assumes the role again."""
    asked = approved(scene)
    await side.sessions.end(key_of(asked), "session", ENDING)
    scene.aws.faults.fail("TerminateSession", "UnrecognizedClientException", status=400)
    with pytest.raises(AwsUnavailable):
        await side.sessions.end(key_of(asked), "session", ENDING)
    await side.sessions.end(key_of(asked), "session", ENDING)
    assumed = [each for each in scene.aws.calls("AssumeRole") if each.params["RoleArn"] == END_SESSIONS_ROLE]
    assert len(assumed) == 2
