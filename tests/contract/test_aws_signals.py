"""How a decision reaches AWS: once, in the right role, under the person's name, and what every failure means."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from bot.aws import sdk
from bot.aws.assembly import AwsSide
from bot.domain.request import Verdict
from bot.ports import AwsUnavailable, SignalLost, SignalRefused, SignalThrottled
from bot.sandbox.faults import Loss
from bot.sandbox.world import ACCOUNT, LEAD_ROLE
from tests.contract.gateway import HANAKO, SceneClock, aws_side, environment, key_of, signal_of, unheard
from tests.contract.scene import Scene, signal, staged

PRIYA = "priya.nair@example.com"


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """One sandbox for this file; every test asks for its own request."""
    with staged() as scene:
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    stage.aws.forget_calls()
    yield stage
    stage.aws.faults.clear()


@pytest.fixture
async def side(scene: Scene) -> AsyncIterator[AwsSide]:
    async with aws_side(scene) as side:
        yield side


def sent(scene: Scene) -> int:
    return len(scene.aws.calls("SendAutomationSignal"))


def session_arn(name: str = HANAKO, role: str = "NodeAccessApprover") -> str:
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"


@pytest.mark.parametrize(
    ("verdict", "word", "status"), [(Verdict.APPROVE, "Approve", "Approved"), (Verdict.REJECT, "Reject", "Rejected")]
)
async def test_a_decision_arrives_under_the_persons_name(
    scene: Scene, side: AwsSide, verdict: Verdict, word: str, status: str
) -> None:
    """One call, in the session of the approver role that bears the person's name, with the comment as payload."""
    asked = scene.ask()
    await side.requests.signal(signal_of(asked, verdict=verdict))
    (call,) = scene.aws.calls("SendAutomationSignal")
    assert call.caller == session_arn()
    assert call.region == key_of(asked).region
    assert call.params == {
        "AutomationExecutionId": asked.execution_id,
        "SignalType": word,
        "Payload": {"Comment": ["確認しました (佐藤 花子 via Microsoft Teams)"]},
    }
    assert scene.status(asked) == status


async def test_without_a_role_the_bots_own_credentials_vote(scene: Scene, side: AwsSide) -> None:
    """A channel without approver_role: nobody is assumed, AWS decides whether the bot may vote."""
    with pytest.raises(SignalRefused):
        await side.requests.signal(signal_of(scene.ask(), role=None))
    (call,) = scene.aws.calls("SendAutomationSignal")
    assert call.caller == scene.aws.world.bot.arn
    assert scene.aws.calls("AssumeRole") == []


async def test_a_persons_session_is_kept(scene: Scene, side: AwsSide) -> None:
    """Two decisions of one person assume the role once; an hour later it is assumed anew."""
    first, second, third = scene.ask(), scene.ask(), scene.ask()
    await side.requests.signal(signal_of(first))
    await side.requests.signal(signal_of(second))
    assert len(scene.aws.calls("AssumeRole")) == 1
    scene.clock.move(minutes=56)
    await side.requests.signal(signal_of(third))
    assert len(scene.aws.calls("AssumeRole")) == 2


async def test_a_session_is_never_another_persons(scene: Scene, side: AwsSide) -> None:
    """Every person, and every role of one person, has a session of its own."""
    first, second, third = scene.ask(), scene.ask(), scene.ask("db-prod-01")
    await side.requests.signal(signal_of(first))
    await side.requests.signal(signal_of(second, session_name=PRIYA))
    await side.requests.signal(signal_of(third))
    await side.requests.signal(signal_of(third, role=LEAD_ROLE))
    assert [call.caller for call in scene.aws.calls("SendAutomationSignal")] == [
        session_arn(),
        session_arn(PRIYA),
        session_arn(),
        session_arn(role="NodeAccessLead"),
    ]


async def test_a_late_signal_is_refused(scene: Scene, side: AwsSide) -> None:
    """After the decision AWS refuses, and says with which error."""
    asked = scene.ask()
    signal(scene.approver("alex.wilber@example.com"), asked, "Reject")
    with pytest.raises(SignalRefused) as caught:
        await side.requests.signal(signal_of(asked))
    assert (caught.value.code, caught.value.denied) == ("InvalidAutomationSignalException", False)


async def test_an_execution_that_is_not_there_is_refused(scene: Scene, side: AwsSide) -> None:
    """An execution id that AWS does not know is a refusal, not a loss."""
    with pytest.raises(SignalRefused) as caught:
        await side.requests.signal(signal_of(scene.ask(), execution_id="0" * 36))
    assert caught.value.code == "AutomationExecutionNotFoundException"


async def test_a_signal_that_cannot_be_written_is_refused(scene: Scene, side: AwsSide) -> None:
    """What the SDK will not even send had no effect, and would not be sent a second time either."""
    with pytest.raises(SignalRefused) as caught:
        await side.requests.signal(signal_of(scene.ask(), execution_id="too-short"))
    assert caught.value.code == "ParamValidationError"
    assert sent(scene) == 0


async def test_a_role_that_cannot_be_assumed_is_denied(scene: Scene, side: AwsSide) -> None:
    """No signal leaves, and the refusal speaks of permission."""
    role = f"arn:aws:iam::{ACCOUNT}:role/NotThere"
    with pytest.raises(SignalRefused) as caught:
        await side.requests.signal(signal_of(scene.ask(), role=role))
    assert caught.value.denied
    assert sent(scene) == 0


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException"])
async def test_lacking_permission_is_denied_and_the_session_dropped(scene: Scene, side: AwsSide, code: str) -> None:
    """The next attempt assumes the role anew, for permissions may have been mended meanwhile."""
    asked = scene.ask()
    scene.aws.faults.fail("SendAutomationSignal", code)
    with pytest.raises(SignalRefused) as caught:
        await side.requests.signal(signal_of(asked))
    assert caught.value.denied
    await side.requests.signal(signal_of(asked))
    assert len(scene.aws.calls("AssumeRole")) == 2


@pytest.mark.parametrize("code", ["ThrottlingException", "ExpiredTokenException"])
async def test_what_had_no_effect_may_be_tried_again(scene: Scene, side: AwsSide, code: str) -> None:
    """Throttled, or with a session too old: AWS took no notice, and one call was made."""
    asked = scene.ask()
    scene.aws.faults.fail("SendAutomationSignal", code)
    with pytest.raises(SignalThrottled):
        await side.requests.signal(signal_of(asked))
    assert sent(scene) == 1
    await side.requests.signal(signal_of(asked))
    assert scene.status(asked) == "Approved"


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure"])
async def test_a_role_that_cannot_be_assumed_just_now_sends_nothing(scene: Scene, side: AwsSide, code: str) -> None:
    """While AssumeRole is throttled or out of order, no signal leaves, so it may be tried again."""
    status = 500 if code == "InternalFailure" else None
    scene.aws.faults.fail("AssumeRole", code, status=status, times=None)
    with pytest.raises(SignalThrottled):
        await side.requests.signal(signal_of(scene.ask()))
    assert sent(scene) == 0


@pytest.mark.parametrize("how", list(Loss))
async def test_a_lost_reply_is_lost_and_nothing_is_sent_again(scene: Scene, side: AwsSide, how: Loss) -> None:
    """The signal took effect and its answer never came: exactly one call, and nobody claims to know."""
    asked = scene.ask()
    scene.aws.faults.lose_reply("SendAutomationSignal", how=how, times=None)
    with pytest.raises(SignalLost):
        await side.requests.signal(signal_of(asked))
    assert sent(scene) == 1
    assert scene.status(asked) == "Approved"


@pytest.mark.parametrize(("code", "status"), [("InternalServerError", 500), ("ThrottlingException", 503)])
async def test_a_server_error_is_lost(scene: Scene, side: AwsSide, code: str, status: int) -> None:
    """A 5xx may come after the effect, whatever code it carries."""
    scene.aws.faults.fail("SendAutomationSignal", code, status=status)
    with pytest.raises(SignalLost):
        await side.requests.signal(signal_of(scene.ask()))
    assert sent(scene) == 1


async def test_an_answer_that_takes_too_long_is_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the read time-out nobody knows; the call is made once."""
    assert sdk.SHORT_READ_SECONDS == 5.0
    monkeypatch.setattr(sdk, "SHORT_READ_SECONDS", 0.2)
    asked = scene.ask()
    async with aws_side(scene) as side:
        with scene.aws.faults.hold("SendAutomationSignal", after_effect=True), pytest.raises(SignalLost) as caught:
            await side.requests.signal(signal_of(asked))
    assert str(caught.value) == "ReadTimeoutError"
    assert sent(scene) == 1


async def test_a_signal_that_never_left_may_be_tried_again(scene: Scene) -> None:
    """Where nobody takes the connection nothing reached AWS: as without effect as what AWS throttled."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with environment(f"http://127.0.0.1:{port}", scene.aws.world.bot):
        async with AwsSide(
            region="ap-northeast-1",
            accounts=(),
            queue_url=None,
            clock=SceneClock(scene.clock),
            telemetry=unheard(),
        ) as side:
            with pytest.raises(SignalThrottled):
                await side.requests.signal(signal_of(scene.ask(), role=None))
            with pytest.raises(SignalThrottled):
                await side.requests.signal(signal_of(scene.ask()))
            with pytest.raises(AwsUnavailable):
                await side.own_account()
