"""Lists of AWS over real HTTP: every operation with a NextToken that the bot calls, found in botocore's models.

A page may be empty although another one follows.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import create_loader
from botocore.model import ServiceModel

from bot.aws.calls import clients
from bot.aws.jit import node_sessions
from bot.boto.failures import CallFailed
from bot.ports.aws import AwsUnavailable
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION, REQUESTER, level
from tests.contract import gateway
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Asked, Scene, staged
from tests.contract.test_permissions import SERVICES, words_in

pytestmark = pytest.mark.usefixtures("patience")
scene, patience = gateway.scene, gateway.patience

AWS = Path(__file__).parents[2] / "bot" / "aws"
TARO = "1234567890-e1fbc510-8081-70c2-448f-0123456789ab"
MORE = "YWZ0ZXIgMA=="  # the sandbox's token of the first row
EC2 = "DescribeInstances"


def paged_operations() -> Mapping[str, str]:
    """Return the operations with a NextToken that the code in bot/aws names, each with its member for the rows.

    If several services have an operation of one name, the last in SERVICES counts: ListTagsForResource is SSM's.
    """
    words, loader = set(words_in(AWS.rglob("*.py"))), create_loader()
    models = [ServiceModel(loader.load_service_model(service, "service-2")) for service in SERVICES]
    called = {name: model for model in models for name in model.operation_names if xform_name(name) in words}
    outputs = {name: model.operation_model(name).output_shape for name, model in called.items()}
    found = {name: shape.members.keys() for name, shape in outputs.items() if shape and "NextToken" in shape.members}
    return {name: next(iter(members - {"NextToken"})) for name, members in found.items()}


PAGED = paged_operations()


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """Run one sandbox for all tests of this file. It shows the first step of an execution only."""
    with staged(identity_center_users={REQUESTER: TARO}, steps_shown=1) as scene:
        yield scene


@pytest.fixture
def asked(scene: Scene) -> list[Asked]:
    """Requests for an EC2 node and for a hybrid node."""
    levels = (level("One", APPROVER_ROLE), level("Two", APPROVER_ROLE))
    return [scene.ask(scene.policy(*levels)), scene.ask("factory-gw-osaka")]


async def everything(scene: Scene, asked: list[Asked]) -> list[object]:
    """Read all that the bot reads in lists, with nothing cached."""
    async with aws_side(scene) as side:
        since = scene.clock() - timedelta(days=1)
        return [
            *[await side.requests.observe(key_of(each)) for each in asked],
            await side.requests.list_requests(ACCOUNT, REGION, since),
            await side.requests.steps(ACCOUNT, REGION),
            await side.requests.revoked(ACCOUNT, REGION, since),
            await side.requests.approval_policies(ACCOUNT, REGION, within=60),
            await side.sessions.active(ACCOUNT, REGION),
            await side.identities.names(TARO),
        ]


def test_paged_operations_that_the_bot_calls_are_exactly_the_listed_ones() -> None:
    """A new operation fails here until it is added to the list. The tests below cover all that are listed."""
    assert PAGED == {
        "DescribeAutomationExecutions": "AutomationExecutionMetadataList",
        "DescribeAutomationStepExecutions": "StepExecutions",
        "DescribeInstanceInformation": "InstanceInformationList",
        "DescribeInstances": "Reservations",
        "DescribeOpsItems": "OpsItemSummaries",
        "DescribeSessions": "Sessions",
        "ListDocuments": "DocumentIdentifiers",
        "ListInstances": "Instances",
    }


@pytest.mark.parametrize("operation", sorted(PAGED.keys() - {EC2}))
async def test_rows_of_a_list_after_empty_pages_are_read(scene: Scene, asked: list[Asked], operation: str) -> None:
    """The same facts are read, whether AWS answers with one page or with empty pages first."""
    expected = await everything(scene, asked)
    scene.aws.forget_calls()
    scene.aws.faults.rewrite(operation, lambda _: {PAGED[operation]: [], "NextToken": MORE}, times=2)
    assert await everything(scene, asked) == expected
    assert MORE in {call.params.get("NextToken") for call in scene.aws.calls(operation)}


async def test_ec2_node_after_an_empty_page_is_read(scene: Scene) -> None:
    """The name of an EC2 node is read from the second page.

    The test plans both pages, because moto answers with one.
    """
    node = scene.aws.world.nodes["web-prod-01"]
    tag = "<item><key>Name</key><value>on-page-two</value></item>"
    instance = f"<item><instanceId>{node}</instanceId><tagSet>{tag}</tagSet></item>"
    reservation = f"<item><instancesSet>{instance}</instancesSet></item>"
    pages = (
        f"<reservationSet>{rows}</reservationSet>{more}"
        for rows, more in (("", f"<nextToken>{MORE}</nextToken>"), (reservation, ""))
    )
    scene.aws.faults.replace(EC2, *(f"<DescribeInstancesResponse>{page}</DescribeInstancesResponse>" for page in pages))
    async with aws_side(scene) as side:
        request = await side.requests.observe(key_of(scene.ask()))
    assert (request.complete, request.node.name) == (True, "on-page-two")
    assert [call.params.get("NextToken") for call in scene.aws.calls(EC2)] == [None, MORE]


@pytest.mark.parametrize("empty", [True, False], ids=["empty pages", "the same page"])
@pytest.mark.parametrize("operation", sorted(PAGED.keys() - {EC2}))
async def test_list_with_endless_pages_is_read_up_to_a_limit(
    scene: Scene, asked: list[Asked], operation: str, monkeypatch: pytest.MonkeyPatch, *, empty: bool
) -> None:
    """At most five pages are read. Requests are still read, with their levels."""
    monkeypatch.setattr(clients, "MAX_PAGES", 5)
    monkeypatch.setattr(node_sessions, "MOST_PAGES", 5)
    rows = {PAGED[operation]: list[object]()} if empty else {}
    scene.aws.forget_calls()
    scene.aws.faults.rewrite(operation, lambda answer: {**answer, **rows, "NextToken": MORE})
    since = scene.clock() - timedelta(days=1)
    async with aws_side(scene) as side:
        for each in asked:
            request = await side.requests.observe(key_of(each))
            assert (request.key, bool(request.levels)) == (key_of(each), True)
        for reading in (
            side.requests.list_requests(ACCOUNT, REGION, since),
            side.requests.steps(ACCOUNT, REGION),
            side.requests.revoked(ACCOUNT, REGION, since),
            side.requests.approval_policies(ACCOUNT, REGION, within=60),
            side.sessions.active(ACCOUNT, REGION),
            side.identities.names(TARO),
        ):
            with suppress(AwsUnavailable, CallFailed):
                await reading
    once = dict.fromkeys(("DescribeAutomationExecutions", "DescribeSessions", "ListDocuments", "ListInstances"), 1)
    lists = {**once, "DescribeOpsItems": 3}.get(operation, len(asked))
    least = 1 if operation == "DescribeInstanceInformation" and not empty else 5  # its first page has the node
    assert least <= len(scene.aws.calls(operation)) <= 5 * lists


EXPIRED = "bm8gc3VjaCByb3c="  # AWS refuses this token


@pytest.fixture
def cut(scene: Scene) -> Callable[[str], None]:
    """Return a function that lets each first page of a list have a token that AWS refuses a moment later."""
    return lambda operation: scene.aws.faults.rewrite(operation, lambda answer: {**answer, "NextToken": EXPIRED})


@pytest.mark.parametrize("operation", ["DescribeOpsItems", "ListDocuments", "ListInstances"])
async def test_list_whose_second_page_is_refused_raises_an_error(
    scene: Scene, asked: list[Asked], cut: Callable[[str], None], operation: str
) -> None:
    """The rows of the first page are not taken for the whole list, because a missing row has a meaning."""
    cut(operation)
    async with aws_side(scene) as side:
        reading: Mapping[str, Callable[[], Awaitable[object]]] = {
            "DescribeOpsItems": lambda: side.requests.list_requests(ACCOUNT, REGION, scene.clock()),
            "ListDocuments": lambda: side.requests.approval_policies(ACCOUNT, REGION, within=60),
            "ListInstances": lambda: side.identities.names(TARO),
        }
        with pytest.raises((AwsUnavailable, CallFailed)):
            await reading[operation]()


async def test_request_is_incomplete_if_only_the_first_page_of_its_steps_is_read(
    scene: Scene, asked: list[Asked], cut: Callable[[str], None]
) -> None:
    """The steps of the second page may have votes, so nothing is concluded from the votes that were read.

    The waiting step is known.
    """
    cut("DescribeAutomationStepExecutions")
    async with aws_side(scene) as side:
        request = await side.requests.observe(key_of(asked[0]))
        assert (request.complete, request.steps_read, request.shows_votes) == (False, False, False)
        assert request.execution_id is not None
        execution = await side.requests.execution(request.key, request.execution_id)
        assert execution.waiting is not None
        assert execution.waiting.step == "One"  # a decision needs only this step, which is on no page


async def test_empty_page_token_ends_a_list(scene: Scene, asked: list[Asked]) -> None:
    """An empty token is no reference to another page. Every row is read, and no empty token is sent to AWS."""
    expected = await everything(scene, asked)
    for operation in PAGED.keys() - {EC2}:
        scene.aws.faults.rewrite(operation, lambda answer: {"NextToken": "", **answer})
    scene.aws.forget_calls()
    assert await everything(scene, asked) == expected
    assert "" not in {call.params.get("NextToken") for name in PAGED for call in scene.aws.calls(name)}


async def test_request_that_is_on_two_pages_is_listed_once(scene: Scene, asked: list[Asked]) -> None:
    """A request was changed while the pages were read, so it moved to the next page. It is listed as it is there."""
    repeated = iter([True])

    def moved(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "NextToken": MORE} if next(repeated, False) else answer

    async with aws_side(scene) as side:
        once = await side.requests.list_requests(ACCOUNT, REGION, scene.clock() - timedelta(days=1))
        scene.aws.faults.rewrite("DescribeOpsItems", moved)
        twice = await side.requests.list_requests(ACCOUNT, REGION, scene.clock() - timedelta(days=1))
    assert len({each.key for each in twice}) == len(twice)
    assert {each.key for each in twice} == {each.key for each in once}
