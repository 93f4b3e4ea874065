"""Reading AWS over real HTTP: roles, rate limits, Regions, time-outs and metrics."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from prometheus_client import CollectorRegistry

from bot.aws.assembly import AwsSide
from bot.aws.calls import clients
from bot.aws.calls.rate_limit import RATES
from bot.boto import sdk
from bot.domain.request import RequestKey, Status
from bot.ports.aws import READER_SESSION, AwsThrottled, AwsUnavailable, RoleSession
from bot.sandbox.aws.world import ACCOUNT, REGION
from bot.telemetry import Telemetry
from tests.contract.gateway import UNLIMITED, Watched, aws_side, key_of
from tests.contract.scene import Scene, staged

READER = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessReader"


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A sandbox with a reader role.

    Each test has its own, because a process can run only one and some tests start others.
    """
    with staged() as scene:
        scene.aws.callers.add_role(READER)
        yield scene


@pytest.fixture
async def reader(scene: Scene) -> AsyncIterator[AwsSide]:
    """Run the bot's AWS side, which reads the account in the reader role."""
    async with aws_side(scene, accounts=[Watched(ACCOUNT, READER)]) as side:
        yield side


async def test_account_of_the_bot_is_requested_from_sts_only_once(scene: Scene) -> None:
    """STS is called only when needed, and only once."""
    async with aws_side(scene) as side:
        assert scene.aws.calls() == []
        assert [await side.own_account(), await side.own_account()] == [ACCOUNT, ACCOUNT]
    assert len(scene.aws.calls("GetCallerIdentity")) == 1


async def test_opening_and_closing_aws_side_makes_no_call_to_aws(scene: Scene) -> None:
    """Opening and closing AwsSide makes no call, even with a reader role and a queue."""
    async with aws_side(scene, accounts=[Watched(ACCOUNT, READER)], queue_url=scene.aws.world.queue_url):
        pass
    assert scene.aws.calls() == []


async def test_reads_of_an_account_with_a_reader_role_use_that_role(scene: Scene, reader: AwsSide) -> None:
    """Every read uses the reader role, which is assumed once."""
    asked = scene.ask()
    scene.aws.forget_calls()
    assert (await reader.requests.observe(key_of(asked))).complete
    await reader.requests.execution(key_of(asked), asked.execution_id)
    assumed = scene.aws.calls("AssumeRole")
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/NodeAccessReader/node-access-bot"
    assert {call.caller for call in scene.aws.calls() if call not in assumed} == {arn}
    assert len(assumed) == 1


async def test_reader_session_is_renewed_before_it_expires(scene: Scene, reader: AwsSide) -> None:
    """A session is valid for an hour. After 54 minutes it is still used; after 56 the role is assumed again."""
    asked = scene.ask()
    await reader.requests.execution(key_of(asked), asked.execution_id)
    scene.clock.move(minutes=54)
    await reader.requests.execution(key_of(asked), asked.execution_id)
    assert len(scene.aws.calls("AssumeRole")) == 1
    scene.clock.move(minutes=2)
    await reader.requests.execution(key_of(asked), asked.execution_id)
    assert len(scene.aws.calls("AssumeRole")) == 2


async def test_reader_session_that_aws_refuses_as_expired_is_replaced(scene: Scene, reader: AwsSide) -> None:
    """If AWS refuses a session as expired, the role is assumed again and the read succeeds."""
    asked = scene.ask()
    scene.aws.faults.fail("GetOpsItem", "ExpiredTokenException", times=1)
    assert (await reader.requests.observe(key_of(asked))).status is Status.PENDING
    assert len(scene.aws.calls("AssumeRole")) == 2


async def test_read_fails_if_its_reader_role_cannot_be_assumed(scene: Scene) -> None:
    """The bot's own credentials are not used instead."""
    asked = scene.ask()
    scene.aws.forget_calls()
    role = f"arn:aws:iam::{ACCOUNT}:role/NotThere"
    async with aws_side(scene, accounts=[Watched(ACCOUNT, role)]) as side:
        with pytest.raises(AwsUnavailable) as caught:
            await side.requests.observe(key_of(asked))
    assert caught.value.code == "AccessDenied"
    assert {call.operation for call in scene.aws.calls()} == {"AssumeRole"}


@pytest.mark.parametrize("rates", [RATES, UNLIMITED])
async def test_rate_limit_keeps_reads_within_the_quota(rates: dict[str, float]) -> None:
    """AWS allows 3 calls a second. Without the rate limit, the fourth read is throttled."""
    with staged(per_second=3.0) as scene:
        asked = scene.ask()
        scene.clock.move(seconds=5)
        scene.aws.forget_calls()
        async with aws_side(scene, rates=rates) as side:
            looks = [await side.requests.execution(key_of(asked), asked.execution_id) for _ in range(3)]
            try:
                looks += [await side.requests.execution(key_of(asked), asked.execution_id) for _ in range(9)]
            except AwsThrottled:
                assert rates == UNLIMITED
        throttled = [call.error for call in scene.aws.calls() if call.error]
        assert (len(looks), throttled) == ((12, []) if rates else (3, ["ThrottlingException"]))


async def test_throttled_read_halves_the_rate_of_reads_which_recovers_within_a_minute(scene: Scene) -> None:
    """The next read waits for a slot of half the rate. A minute later, the full rate is back."""
    asked = scene.ask()
    async with aws_side(scene, rates=RATES) as side:
        await side.requests.execution(key_of(asked), asked.execution_id)
        scene.aws.faults.fail("GetAutomationExecution", "ThrottlingException")
        with pytest.raises(AwsThrottled):
            await side.requests.execution(key_of(asked), asked.execution_id)
        before = scene.clock()
        await side.requests.execution(key_of(asked), asked.execution_id)
        assert (scene.clock() - before).total_seconds() == pytest.approx(1 / 1.5, rel=0.05)
        scene.clock.move(minutes=1)
        before = scene.clock()
        for _ in range(5):
            await side.requests.execution(key_of(asked), asked.execution_id)
        assert (scene.clock() - before).total_seconds() == pytest.approx(3 / 3.0, rel=0.05)  # two calls do not wait


async def test_step_that_is_missing_from_a_truncated_execution_is_read_separately() -> None:
    """If AWS's answer lacks the waiting step, the other steps are read.

    If that fails, `observe` returns an incomplete request and `execution` raises an error.
    """
    with staged(steps_shown=1) as scene:
        asked = scene.ask("db-prod-01")
        async with aws_side(scene) as side:
            await side.requests.execution(key_of(asked), asked.execution_id)
            assert scene.aws.calls("DescribeAutomationStepExecutions") == []
            scene.aws.control.decide(asked.id, "approve")
            execution = await side.requests.execution(key_of(asked), asked.execution_id)
            request = await side.requests.observe(key_of(asked))
            scene.aws.faults.fail("DescribeAutomationStepExecutions", "AccessDeniedException", times=None)
            partial = await side.requests.observe(key_of(asked))
            with pytest.raises(AwsUnavailable):
                await side.requests.execution(key_of(asked), asked.execution_id)
        assert execution.waiting is not None
        assert request.waiting is not None
        assert execution.waiting.step == request.waiting.step == "Level2"
        assert request.complete
        assert (partial.waiting, partial.complete) == (None, False)
        assert (request.shows_votes, partial.shows_votes) == (True, False)


async def test_list_calls_go_to_the_given_region(scene: Scene) -> None:
    """A list call goes to the Region that its caller names, not to the Region of the process."""
    async with aws_side(scene) as side:
        assert await side.requests.list_requests(ACCOUNT, "us-east-2", scene.clock()) == []
        assert await side.requests.list_requests(ACCOUNT, REGION, scene.clock()) == []
    assert {call.region for call in scene.aws.calls("DescribeOpsItems")} == {"us-east-2", REGION}


async def test_denied_reads_do_not_assume_the_reader_role_again(scene: Scene, reader: AwsSide) -> None:
    """A denial does not mean that the session has expired, so each denied read keeps the session."""
    asked = scene.ask()
    scene.aws.faults.fail("GetOpsItem", "AccessDeniedException", times=None)
    for _ in range(2):
        with pytest.raises(AwsUnavailable) as caught:
            await reader.requests.observe(key_of(asked))
        assert caught.value.code == "AccessDeniedException"
    assert len(scene.aws.calls("AssumeRole")) == 1


async def test_role_that_lacks_one_permission_is_not_assumed_for_each_denied_read(
    scene: Scene, reader: AwsSide
) -> None:
    """Other reads work in between, so each session works before it is denied. A new one is tried every ten minutes."""
    asked = scene.ask()
    scene.aws.faults.fail("GetAutomationExecution", "AccessDeniedException", times=None)

    async def read() -> None:
        assert (await reader.requests.observe(key_of(asked))).status is Status.PENDING
        with pytest.raises(AwsUnavailable) as caught:
            await reader.requests.execution(key_of(asked), asked.execution_id)
        assert caught.value.code == "AccessDeniedException"

    for _ in range(20):
        await read()
        scene.clock.move(seconds=1)
    assert len(scene.aws.calls("AssumeRole")) == 2
    scene.clock.move(minutes=10)
    for _ in range(2):
        await read()
    assert len(scene.aws.calls("AssumeRole")) == 3


async def test_failed_check_of_a_reader_role_does_not_end_its_valid_session(scene: Scene, reader: AwsSide) -> None:
    """The check always assumes the role. If that fails, reads continue in the session that is still valid."""
    asked, session = scene.ask(), RoleSession(READER, READER_SESSION)
    await reader.requests.observe(key_of(asked))
    await reader.assume(session)
    assert len(scene.aws.calls("AssumeRole")) == 2
    scene.aws.faults.fail("AssumeRole", "AccessDenied", times=None)
    with pytest.raises(AwsUnavailable) as caught:
        await reader.assume(session)
    assert caught.value.code == "AccessDenied"
    assert (await reader.requests.observe(key_of(asked))).status is Status.PENDING


async def test_read_for_a_click_fails_immediately_if_the_request_quota_is_used_up(scene: Scene) -> None:
    """The second call would wait longer for the quota than a click can wait, so it raises an error and is not made."""
    asked = scene.ask()
    scene.aws.forget_calls()
    async with aws_side(scene, rates={"ssm": 0.1}) as side:
        await side.requests.execution(key_of(asked), asked.execution_id)
        began = scene.clock()
        with pytest.raises(AwsThrottled) as caught:
            await side.requests.execution(key_of(asked), asked.execution_id)
    assert scene.clock() == began
    assert caught.value.code == "QuotaUsedUp"
    assert len(scene.aws.calls("GetAutomationExecution")) == 1


async def test_malformed_answer_of_sts_raises_an_error(scene: Scene) -> None:
    """An answer without account or credentials raises the port's error."""
    asked = scene.ask()
    scene.aws.faults.rewrite("GetCallerIdentity", lambda _: {})
    scene.aws.faults.rewrite("AssumeRole", lambda _: {})
    async with aws_side(scene) as side, aws_side(scene, accounts=[Watched(ACCOUNT, READER)]) as reader:
        with pytest.raises(AwsUnavailable) as own:
            await side.own_account()
        with pytest.raises(AwsUnavailable) as read:
            await reader.requests.observe(key_of(asked))
    assert (own.value.code, read.value.code) == ("NoAccountInAnswer", "NoCredentialsInAnswer")


async def test_calls_to_a_hanging_operation_fail_immediately_after_three_time_outs_except_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few time-outs, one call at a time finds out whether AWS answers again; the others fail immediately."""
    monkeypatch.setattr(sdk, "READ_SECONDS", 0.3)
    keys = [key_of(scene.ask()) for _ in range(6)]
    async with aws_side(scene) as side:

        async def code(key: RequestKey) -> str:
            with pytest.raises(AwsUnavailable) as caught:
                await side.requests.observe(key)
            return caught.value.code

        with scene.aws.faults.hold("GetOpsItem"):
            first = [await code(key) for key in keys[:3]]
            later = await asyncio.gather(*(code(key) for key in keys))
        assert first == ["ReadTimeoutError"] * 3
        assert sorted(later) == ["NotAnswering"] * 5 + ["ReadTimeoutError"]
        assert (await side.requests.observe(keys[0])).status is Status.PENDING
        assert all([(await side.requests.observe(key)).status is Status.PENDING for key in keys])


# --- metrics


def calls_by_result(registry: CollectorRegistry, operation: str) -> dict[str, float]:
    """Return the number of calls of an operation, by result."""
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {
        sample.labels["result"]: sample.value
        for sample in samples
        if sample.name == "node_access_aws_calls_total" and sample.labels["operation"] == operation
    }


async def test_calls_to_aws_are_counted_by_operation_and_result(scene: Scene) -> None:
    """The result is `ok` or AWS's error code. A repeated call counts twice."""
    asked, registry = scene.ask(), CollectorRegistry()
    scene.aws.faults.fail("GetOpsItem", "ThrottlingException")
    scene.aws.faults.fail("DescribeInstances", "UnauthorizedOperation")
    async with aws_side(scene, telemetry=Telemetry(registry)) as side:
        await side.requests.observe(key_of(asked))
    assert calls_by_result(registry, "get_ops_item") == {"ThrottlingException": 1, "ok": 1}
    assert calls_by_result(registry, "describe_instances") == {"UnauthorizedOperation": 1}
    assert calls_by_result(registry, "get_automation_execution") == {"ok": 1}
    assert calls_by_result(registry, "get_caller_identity") == {"ok": 1}


async def test_number_of_error_codes_in_the_metric_of_aws_calls_is_limited(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invented codes must not fill the memory of this process and of Prometheus: codes beyond the limit are `other`."""
    monkeypatch.setattr(clients, "MAX_CODES", 2)
    asked, registry = scene.ask(), CollectorRegistry()
    async with aws_side(scene, telemetry=Telemetry(registry)) as side:
        for code in ("First" * 100, "Second", "Third", "Fourth", "Second"):
            scene.aws.faults.fail("GetOpsItem", code)
            with pytest.raises(AwsUnavailable):
                await side.requests.observe(key_of(asked))
    first = ("First" * 100)[: clients.LONGEST_CODE]
    assert calls_by_result(registry, "get_ops_item") == {first: 1, "Second": 2, "other": 2}
