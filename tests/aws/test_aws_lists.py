"""The lists of the sweep, over real HTTP: pending requests, changed requests, current steps."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot.aws.assembly import AwsSide
from bot.aws.calls import clients
from bot.domain.request import RequestKey, Status
from bot.ports.aws import AwsThrottled, AwsUnavailable, ListedRequest
from bot.sandbox.aws.jit import filters
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, REGION, level
from tests.contract.gateway import aws_side, key_of
from tests.contract.scene import Scene, signal, staged


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A sandbox without requests of other tests."""
    with staged() as scene:
        yield scene


@pytest.fixture
async def side(scene: Scene) -> AsyncIterator[AwsSide]:
    """Run the bot's AWS side against the sandbox."""
    async with aws_side(scene) as side:
        yield side


async def listed(scene: Scene, side: AwsSide, **ago: float) -> dict[str, ListedRequest]:
    since = scene.clock() - timedelta(**(ago or {"days": 14}))
    found = await side.requests.list_requests(ACCOUNT, REGION, since)
    assert len({each.key for each in found}) == len(found), "each request once"
    return {each.key.ops_item_id: each for each in found}


async def test_pending_and_changed_requests_are_listed_once(scene: Scene, side: AwsSide) -> None:
    """Each request has its status and time of change."""
    pending, decided = scene.ask("db-prod-01"), scene.ask()
    signal(scene.approver(), decided, "Reject")
    assert await listed(scene, side) == {
        pending.id: ListedRequest(key_of(pending), Status.PENDING, scene.clock()),
        decided.id: ListedRequest(key_of(decided), Status.REJECTED, scene.clock()),
    }


async def test_requests_that_ended_before_the_watermark_are_not_listed(scene: Scene, side: AwsSide) -> None:
    """Of the requests that have not changed since the given time, only pending ones are listed."""
    old, pending = scene.ask(), scene.ask("db-prod-01")
    signal(scene.approver(), old)
    scene.clock.move(hours=1)
    assert set(await listed(scene, side, minutes=5)) == {pending.id}


async def test_current_step_of_a_pending_request_is_listed(scene: Scene, side: AwsSide) -> None:
    """After an approval of the first level, the list names the second level as the current step."""
    asked = scene.ask("db-prod-01")
    signal(scene.approver(), asked)
    assert list(await side.requests.steps(ACCOUNT, REGION)) == [ListedRequest(key_of(asked), step="Level2")]


async def test_auto_approved_requests_are_listed_as_such(scene: Scene, side: AwsSide) -> None:
    """The list says when each was made. Other requests are not marked."""
    automatic, manual = scene.ask("web-dev-01"), scene.ask()
    found = await listed(scene, side)
    assert (found[automatic.id].auto_approved, found[automatic.id].status) == (True, Status.APPROVED)
    assert found[automatic.id].requested_at is not None
    assert not found[manual.id].auto_approved


async def test_replica_of_a_request_is_listed_with_its_source(scene: Scene, side: AwsSide) -> None:
    """A copy in the delegated administrator account is listed with the account, Region and id of its source."""
    asked = scene.ask()

    def replicate(answer: dict[str, Any]) -> dict[str, Any]:
        (row,) = answer["OpsItemSummaries"]
        data = row["OperationalData"]["/aws/accessrequest"]
        about = data["Value"].replace('"isReplica":"false"', '"isReplica":"true"')
        about = about.replace('"sourceAccountId":""', '"sourceAccountId":"444455556666"')
        about = about.replace('"sourceRegion":""', '"sourceRegion":"us-east-2"')
        return {"OpsItemSummaries": [{**row, "OperationalData": {"/aws/accessrequest": {**data, "Value": about}}}]}

    scene.aws.faults.rewrite("DescribeOpsItems", replicate)
    found = (await listed(scene, side))[asked.id]
    assert found.replica_of == RequestKey("444455556666", "us-east-2", asked.id)


async def test_revoked_requests_created_since_a_time_are_listed(scene: Scene, side: AwsSide) -> None:
    """One call lists the revoked requests that were created since the given time. Other requests are left out."""
    old = scene.ask()
    scene.clock.move(hours=1)
    revoked, running, _pending = scene.ask(), scene.ask(), scene.ask()
    for each in (old, revoked, running):
        signal(scene.approver(), each)
    for each in (old, revoked):
        scene.aws.control.decide(each.id, "revoke")
    scene.aws.forget_calls()
    found = await side.requests.revoked(ACCOUNT, REGION, scene.clock() - timedelta(minutes=5))
    assert list(found) == [ListedRequest(key_of(revoked), Status.REVOKED, scene.clock())]
    assert len(scene.aws.calls("DescribeOpsItems")) == 1


async def test_unreadable_list_of_revocations_counts_as_empty(scene: Scene, side: AwsSide) -> None:
    """A failure of this list is not an error, because the list only makes up for lost events."""
    since, asked = scene.clock() - timedelta(minutes=5), scene.ask()
    signal(scene.approver(), asked)
    scene.aws.control.decide(asked.id, "revoke")
    assert len(await side.requests.revoked(ACCOUNT, REGION, since)) == 1
    scene.aws.faults.fail("DescribeOpsItems", "ValidationException", times=None)
    assert await side.requests.revoked(ACCOUNT, REGION, since) == []


async def test_request_without_operational_data_is_listed_with_status_and_time(scene: Scene, side: AwsSide) -> None:
    """A row without operational data still has its status and the time of its last change."""
    asked = scene.ask()

    def shorten(answer: dict[str, Any]) -> dict[str, Any]:
        return {"OpsItemSummaries": [{**row, "OperationalData": {}} for row in answer["OpsItemSummaries"]]}

    scene.aws.faults.rewrite("DescribeOpsItems", shorten)
    found = (await listed(scene, side))[asked.id]
    assert (found.status, found.modified_at) == (Status.PENDING, scene.clock())


@pytest.mark.parametrize("how_many", [50, 120])
async def test_all_pages_of_the_lists_of_ops_items_and_executions_are_read(
    scene: Scene, side: AwsSide, how_many: int
) -> None:
    """A page has 50 rows. The rows of all pages are listed, with one call for each page of each list."""
    asked = {scene.ask().id for _ in range(how_many)}
    scene.aws.forget_calls()
    assert set(await listed(scene, side)) == asked
    pages = -(-how_many // 50)
    assert len(scene.aws.calls("DescribeOpsItems")) == 2 * pages
    assert scene.aws.calls("DescribeAutomationExecutions") == []
    scene.aws.forget_calls()
    assert {each.key.ops_item_id for each in await side.requests.steps(ACCOUNT, REGION)} == asked
    assert len(scene.aws.calls("DescribeAutomationExecutions")) == pages
    assert scene.aws.calls("DescribeOpsItems") == []


async def test_pending_requests_are_listed_if_executions_and_changed_requests_cannot_be_listed(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed requests are left out, and no error is raised."""
    pending, decided = scene.ask(), scene.ask()
    signal(scene.approver(), decided)
    scene.aws.faults.fail("DescribeAutomationExecutions", "AccessDeniedException", times=None)
    monkeypatch.delitem(filters._TIMES, "LastModifiedTime")  # an AWS that refuses the filter
    assert set(await listed(scene, side)) == {pending.id}
    assert await side.requests.steps(ACCOUNT, REGION) == []


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", AwsThrottled), ("InternalServerError", AwsUnavailable)]
)
async def test_listing_requests_fails_if_the_pending_ones_cannot_be_listed(
    scene: Scene, side: AwsSide, code: str, error: type[AwsUnavailable]
) -> None:
    """If pending requests cannot be listed, an error is raised instead of an empty result."""
    scene.ask()
    scene.aws.faults.fail("DescribeOpsItems", code, times=None)
    with pytest.raises(error):
        await listed(scene, side)


async def test_list_with_endless_pages_raises_an_error(
    scene: Scene, side: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that repeats its page forever does not block the sweep: two lists are read, each for MAX_PAGES at most."""
    monkeypatch.setattr(clients, "MAX_PAGES", 3)
    scene.aws.faults.rewrite("DescribeOpsItems", lambda answer: {**answer, "NextToken": "YWZ0ZXIgMA=="})
    with pytest.raises(AwsUnavailable) as caught:
        await listed(scene, side)
    assert caught.value.code == "EndlessPages"
    assert 3 <= len(scene.aws.calls("DescribeOpsItems")) <= 2 * 3


async def test_ops_items_that_are_not_access_requests_are_not_listed(scene: Scene, side: AwsSide) -> None:
    """A row without an id, or of another type, is left out."""
    scene.ask()

    def foreign(answer: dict[str, Any]) -> dict[str, Any]:
        (row,) = answer["OpsItemSummaries"]
        unnamed = {name: value for name, value in row.items() if name != "OpsItemId"}
        return {"OpsItemSummaries": [{**row, "OpsItemType": "/aws/issue"}, unnamed]}

    scene.aws.faults.rewrite("DescribeOpsItems", foreign)
    scene.aws.faults.rewrite("DescribeAutomationExecutions", lambda _: {"AutomationExecutionMetadataList": [{}]})
    assert await listed(scene, side) == {}
    assert await side.requests.steps(ACCOUNT, REGION) == []


async def test_read_of_policies_that_exceeds_its_time_limit_is_continued_by_the_next_call(
    scene: Scene, side: AwsSide
) -> None:
    """At most four policies are read at once. Those that were read are kept, and not read again."""
    before = await side.requests.approval_policies(ACCOUNT, REGION, within=60)
    assert before.complete
    for number in range(9):
        scene.policy(level(f"Level{number}", APPROVER_ROLE))
    scene.aws.forget_calls()
    with scene.aws.faults.hold("GetDocument"):
        some = await side.requests.approval_policies(ACCOUNT, REGION, within=3)
        assert len(scene.aws.calls("GetDocument")) <= 4
    assert (some.complete, len(some.read), some.listed) == (False, len(before.read), len(before.read) + 9)
    scene.aws.forget_calls()
    found = await side.requests.approval_policies(ACCOUNT, REGION, within=60)
    assert (found.complete, len(found.read)) == (True, some.listed)
    assert len(scene.aws.calls("GetDocument")) == 9


async def test_number_of_policies_is_unknown_if_their_list_exceeds_its_time_limit(scene: Scene, side: AwsSide) -> None:
    """The result is incomplete. An empty list would mean that the account has no policies."""
    with scene.aws.faults.hold("ListDocuments"):
        found = await side.requests.approval_policies(ACCOUNT, REGION, within=0.1)
    assert (found.complete, found.listed) == (False, None)
