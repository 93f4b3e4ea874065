"""Sessions on nodes, over real HTTP: what is listed, in every form in which AWS may list them."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from bot.aws.assembly import AwsSide
from bot.aws.jit import node_sessions
from bot.domain.sessions import Access, AccessType, Others, Whose, owner_name, whose
from bot.ports.aws import AwsUnavailable, SessionsDenied
from bot.sandbox.aws.jit.assumptions import Assumptions, SessionOwner
from bot.sandbox.aws.world import ACCOUNT, REGION, REQUESTER
from tests.contract.gateway import aws_side
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
