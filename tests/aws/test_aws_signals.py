"""Sending decisions to AWS over real HTTP: each is sent once, in the right role and under the person's name.

Failures are classified.
"""

import asyncio
import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.aws.assembly import AwsSide
from bot.boto import sdk
from bot.domain.identity import PERSON_TAG
from bot.domain.request import Status, Verdict, Withdrawal
from bot.ports.aws import AwsUnavailable, RoleSession, Signal, SignalLost, SignalRefused, SignalThrottled
from bot.sandbox.aws.world import ACCOUNT, APPROVER_ROLE, CANCELLER_ROLE, GIVE_BACK_ROLE, LEAD_ROLE
from tests.contract import gateway
from tests.contract.gateway import HANAKO, aws_side, environment, key_of, signal_of, unread_metrics
from tests.contract.scene import Scene, signal
from tests.fakes.aws_faults import Loss

TARO = "taro.yamada@example.com"
PRIYA = "priya.nair@example.com"
stage, scene, side = gateway.stage, gateway.scene, gateway.side


async def send(side: AwsSide, signal: Signal) -> None:
    """Send a decision as the service does, without the state check."""
    await side.requests.prepare(signal)
    await side.requests.signal(signal)


def sent(scene: Scene) -> int:
    return len(scene.aws.calls("SendAutomationSignal"))


def session_arn(name: str = HANAKO, role: str = "NodeAccessApprover") -> str:
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"


@pytest.mark.parametrize(
    ("verdict", "word", "status"), [(Verdict.APPROVE, "Approve", "Approved"), (Verdict.REJECT, "Reject", "Rejected")]
)
async def test_decision_is_sent_under_the_name_of_the_person(
    scene: Scene, side: AwsSide, verdict: Verdict, word: str, status: str
) -> None:
    """One signal is sent, in a session of the approver role with the person's name. Its payload is the comment."""
    asked = scene.ask()
    await send(side, signal_of(asked, action=verdict))
    (call,) = scene.aws.calls("SendAutomationSignal")
    assert call.caller == session_arn()
    assert call.region == key_of(asked).region
    assert call.params == {
        "AutomationExecutionId": asked.execution_id,
        "SignalType": word,
        "Payload": {"Comment": ["確認しました (佐藤 花子 via Microsoft Teams)"]},
    }
    assert scene.status(asked) == status


async def test_simultaneous_decisions_of_a_person_assume_the_role_once(scene: Scene, side: AwsSide) -> None:
    """Five decisions of one person start before the role is assumed: one AssumeRole serves them all."""
    requests = [scene.ask() for _ in range(5)]
    with scene.aws.faults.hold("AssumeRole") as held:
        sending = [asyncio.create_task(send(side, signal_of(each, action=Verdict.APPROVE))) for each in requests]
        assert await asyncio.to_thread(held.arrived.wait, 10)
        held.release()
        await asyncio.gather(*sending)
    assert (len(scene.aws.calls("AssumeRole")), sent(scene)) == (1, 5)


@pytest.mark.parametrize(
    ("action", "role", "name"),
    [(Withdrawal.REVOKE, APPROVER_ROLE, HANAKO), (Withdrawal.GIVE_BACK, GIVE_BACK_ROLE, TARO)],
)
async def test_revocation_is_sent_under_the_name_of_the_person(
    scene: Scene, side: AwsSide, action: Withdrawal, role: str, name: str
) -> None:
    """One signal of type Revoke is sent, with the comment as its payload. A second one is refused.

    So it is for requesters who give their access back, in a role of its own.
    """
    asked, revoke = scene.ask(), {"action": action, "role": role, "session_name": name}
    await send(side, signal_of(asked))
    assert (await side.requests.grant(key_of(asked))).status is Status.APPROVED
    scene.aws.forget_calls()
    await send(side, signal_of(asked, **revoke))
    (call,) = scene.aws.calls("SendAutomationSignal")
    assert (call.caller, call.params["SignalType"]) == (session_arn(name, role.rpartition("/")[2]), "Revoke")
    assert call.params["Payload"] == {"Comment": ["確認しました (佐藤 花子 via Microsoft Teams)"]}
    assert scene.status(asked) == "Revoked"
    with pytest.raises(SignalRefused):
        await send(side, signal_of(asked, **revoke))


async def test_cancellation_is_sent_under_the_name_of_the_requester(scene: Scene, side: AwsSide) -> None:
    """One call stops the execution with the type Cancel, and no signal is sent.

    A second call is refused, but does not count as a missing permission.
    """
    asked = scene.ask()
    cancel = signal_of(asked, action=Withdrawal.CANCEL, role=CANCELLER_ROLE, session_name=TARO)
    await send(side, cancel)
    (call,) = scene.aws.calls("StopAutomationExecution")
    assert (call.caller, call.region) == (session_arn(TARO, "NodeAccessCanceller"), key_of(asked).region)
    assert call.params == {"AutomationExecutionId": asked.execution_id, "Type": "Cancel"}
    assert (scene.status(asked), sent(scene)) == ("Cancelled", 0)
    with pytest.raises(SignalRefused) as caught:
        await send(side, cancel)
    assert (caught.value.code, caught.value.denied) == ("InvalidAutomationStatusUpdateException", False)


@pytest.mark.parametrize("role", [APPROVER_ROLE, None])
async def test_cancellation_in_an_approver_role_or_without_a_role_is_denied(
    scene: Scene, side: AwsSide, role: str | None
) -> None:
    """An approver's session and the bot's own credentials are both denied, so the request still waits."""
    asked = scene.ask()
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(asked, action=Withdrawal.CANCEL, role=role))
    assert caught.value.denied
    assert scene.status(asked) == "PendingApproval"


async def test_cancellation_with_a_lost_reply_has_an_unknown_result(scene: Scene, side: AwsSide) -> None:
    """The call took effect without an answer. It is made once, and its result is unknown."""
    asked = scene.ask()
    scene.aws.faults.lose_reply("StopAutomationExecution", how=Loss.CLOSED)
    with pytest.raises(SignalLost):
        await send(side, signal_of(asked, action=Withdrawal.CANCEL, role=CANCELLER_ROLE, session_name=TARO))
    assert len(scene.aws.calls("StopAutomationExecution")) == 1
    assert scene.status(asked) == "Cancelled"


async def test_vote_without_a_role_uses_the_credentials_of_the_bot(scene: Scene, side: AwsSide) -> None:
    """For a channel without approver_role no role is assumed. AWS decides whether the bot may vote."""
    with pytest.raises(SignalRefused):
        await send(side, signal_of(scene.ask(), role=None))
    (call,) = scene.aws.calls("SendAutomationSignal")
    assert call.caller == scene.aws.world.bot.arn
    assert scene.aws.calls("AssumeRole") == []


@pytest.mark.parametrize(
    ("role", "code"), [(None, "NoApproverRole"), (APPROVER_ROLE, "RoleOfAnotherAccount")], ids=["own", "role"]
)
async def test_signal_with_credentials_of_another_account_is_not_sent(
    scene: Scene, side: AwsSide, role: str | None, code: str
) -> None:
    """Credentials act only in their own account. The error counts as a denial, and its code names the problem."""
    asked = scene.ask()
    stray = signal_of(asked, key=replace(key_of(asked), account="444455556666"), role=role)
    with pytest.raises(SignalRefused) as caught:
        await side.requests.prepare(stray)
    assert (caught.value.code, caught.value.denied) == (code, True)
    with pytest.raises(SignalThrottled):
        await side.requests.signal(stray)
    assert (sent(scene), scene.aws.calls("AssumeRole"), scene.status(asked)) == (0, [], "PendingApproval")


async def test_signal_without_a_role_is_not_sent_before_the_account_of_the_bot_is_known(
    scene: Scene, side: AwsSide
) -> None:
    """Preparing requests the account.

    The call takes time, in which others may decide, so it is not made when the signal is sent.
    """
    decision = signal_of(scene.ask(), role=None)
    with pytest.raises(SignalThrottled):
        await side.requests.signal(decision)
    scene.aws.faults.fail("GetCallerIdentity", "ThrottlingException")
    with pytest.raises(SignalThrottled):
        await side.requests.prepare(decision)
    assert sent(scene) == 0


async def test_session_of_a_person_is_reused_for_less_than_56_minutes(scene: Scene, side: AwsSide) -> None:
    """Two decisions of one person assume the role once. 56 minutes later, it is assumed again."""
    first, second, third = scene.ask(), scene.ask(), scene.ask()
    await send(side, signal_of(first))
    await send(side, signal_of(second))
    assert len(scene.aws.calls("AssumeRole")) == 1
    scene.clock.move(minutes=56)
    await send(side, signal_of(third))
    assert len(scene.aws.calls("AssumeRole")) == 2


async def test_people_and_roles_never_share_a_session(scene: Scene, side: AwsSide) -> None:
    """Every person, and every role of a person, has a separate session."""
    first, second, third = scene.ask(), scene.ask(), scene.ask("db-prod-01")
    await send(side, signal_of(first))
    await send(side, signal_of(second, session_name=PRIYA))
    await send(side, signal_of(third))
    await send(side, signal_of(third, role=LEAD_ROLE))
    assert [call.caller for call in scene.aws.calls("SendAutomationSignal")] == [
        session_arn(),
        session_arn(PRIYA),
        session_arn(),
        session_arn(role="NodeAccessLead"),
    ]


async def test_signal_after_another_persons_decision_is_refused_but_not_denied(scene: Scene, side: AwsSide) -> None:
    """AWS refuses the signal because the request is decided; no permission is missing."""
    asked = scene.ask()
    signal(scene.approver("alex.wilber@example.com"), asked, "Reject")
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(asked))
    assert (caught.value.code, caught.value.denied) == ("InvalidAutomationSignalException", False)


async def test_signal_to_an_unknown_execution_is_refused(scene: Scene, side: AwsSide) -> None:
    """The error is a refusal, not an unknown result."""
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(scene.ask(), execution_id="0" * 36))
    assert caught.value.code == "AutomationExecutionNotFoundException"


async def test_signal_with_an_invalid_parameter_is_refused(scene: Scene, side: AwsSide) -> None:
    """The SDK refuses the signal before it is sent. Repeating it would not help."""
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(scene.ask(), execution_id="too-short"))
    assert caught.value.code == "ParamValidationError"
    assert sent(scene) == 0


async def test_signal_in_a_role_that_cannot_be_assumed_is_denied(scene: Scene, side: AwsSide) -> None:
    """No signal is sent, and the error counts as a missing permission."""
    role = f"arn:aws:iam::{ACCOUNT}:role/NotThere"
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(scene.ask(), role=role))
    assert caught.value.denied
    assert sent(scene) == 0


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException"])
async def test_signal_without_a_permission_is_denied_and_drops_the_session(
    scene: Scene, side: AwsSide, code: str
) -> None:
    """The next attempt assumes the role again, because permissions may have been fixed."""
    asked = scene.ask()
    scene.aws.faults.fail("SendAutomationSignal", code)
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(asked))
    assert caught.value.denied
    await send(side, signal_of(asked))
    assert len(scene.aws.calls("AssumeRole")) == 2


DENIED = ["AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId"]


@pytest.mark.parametrize("code", DENIED)
async def test_session_that_worked_before_is_renewed_once_after_a_denial(
    scene: Scene, side: AwsSide, code: str
) -> None:
    """The role was made again, or its sessions were revoked: the old session is denied, and a new one works.

    The denied signal had no effect, so it may be sent again. If the new session is denied too, that is final. A session
    is renewed at most once in ten minutes.
    """
    await send(side, signal_of(scene.ask()))
    stale, denied = scene.ask(), scene.ask()
    scene.aws.faults.fail("SendAutomationSignal", code)
    with pytest.raises(SignalThrottled):
        await send(side, signal_of(stale))
    await send(side, signal_of(stale))
    assert (scene.status(stale), len(scene.aws.calls("AssumeRole")), sent(scene)) == ("Approved", 2, 3)
    scene.clock.move(minutes=10)
    scene.aws.faults.fail("SendAutomationSignal", code, times=2)
    with pytest.raises(SignalThrottled):
        await send(side, signal_of(denied))
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(denied))
    assert (caught.value.code, caught.value.denied) == (code, True)
    assert len(scene.aws.calls("AssumeRole")) == 3


async def test_old_session_that_was_never_used_is_renewed_after_a_denial(scene: Scene, side: AwsSide) -> None:
    """The session was assumed for a decision that was not sent."""
    asked = scene.ask()
    await side.requests.prepare(signal_of(asked))
    scene.clock.move(minutes=2)
    scene.aws.faults.fail("SendAutomationSignal", "AccessDeniedException")
    with pytest.raises(SignalThrottled):
        await send(side, signal_of(asked))
    await send(side, signal_of(asked))
    assert scene.status(asked) == "Approved"


@pytest.mark.parametrize(
    ("code", "status", "denied"),
    [
        ("InvalidAutomationSignalException", None, False),
        ("AutomationStepNotFoundException", None, False),
        ("HTTP", 403, True),
    ],
)
async def test_refusals_that_are_not_a_denial_by_aws_are_final_for_a_session_that_worked(
    scene: Scene, side: AwsSide, code: str, status: int | None, denied: bool
) -> None:
    """A refusal that is no denial, and the 403 of a proxy, do not renew the session: a new one would not help."""
    await send(side, signal_of(scene.ask()))
    scene.aws.faults.fail("SendAutomationSignal", code, status=status)
    with pytest.raises((SignalRefused, SignalThrottled)) as caught:
        await send(side, signal_of(scene.ask()))
    assert isinstance(caught.value, SignalRefused)
    assert caught.value.denied is denied
    assert sent(scene) == 2


@pytest.mark.parametrize("code", ["ThrottlingException", "ExpiredTokenException"])
async def test_signal_that_was_throttled_or_had_an_expired_session_may_be_sent_again(
    scene: Scene, side: AwsSide, code: str
) -> None:
    """The refused signal had no effect. It is sent once, and a second attempt succeeds."""
    asked = scene.ask()
    scene.aws.faults.fail("SendAutomationSignal", code)
    with pytest.raises(SignalThrottled):
        await send(side, signal_of(asked))
    assert sent(scene) == 1
    await send(side, signal_of(asked))
    assert scene.status(asked) == "Approved"


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure"])
async def test_no_signal_is_sent_if_assume_role_fails(scene: Scene, side: AwsSide, code: str) -> None:
    """While AssumeRole is throttled or unavailable, no signal is sent, so the attempt may be repeated."""
    status = 500 if code == "InternalFailure" else None
    scene.aws.faults.fail("AssumeRole", code, status=status, times=None)
    with pytest.raises(SignalThrottled):
        await send(side, signal_of(scene.ask()))
    assert sent(scene) == 0


@pytest.mark.parametrize("how", list(Loss))
async def test_signal_with_a_lost_reply_is_not_repeated(scene: Scene, side: AwsSide, how: Loss) -> None:
    """The signal took effect without an answer. Exactly one call is made, and its result is unknown."""
    asked = scene.ask()
    scene.aws.faults.lose_reply("SendAutomationSignal", how=how, times=None)
    with pytest.raises(SignalLost):
        await send(side, signal_of(asked))
    assert sent(scene) == 1
    assert scene.status(asked) == "Approved"


@pytest.mark.parametrize(("code", "status"), [("InternalServerError", 500), ("ThrottlingException", 503)])
async def test_signal_with_a_server_error_as_its_answer_has_an_unknown_result(
    scene: Scene, side: AwsSide, code: str, status: int
) -> None:
    """A signal that is answered 5xx may have taken effect, even with the code of a throttled call."""
    scene.aws.faults.fail("SendAutomationSignal", code, status=status)
    with pytest.raises(SignalLost):
        await send(side, signal_of(scene.ask()))
    assert sent(scene) == 1


async def test_signal_that_is_answered_after_the_time_out_has_an_unknown_result(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read time-out is five seconds, here 0.2. The call is made once."""
    assert sdk.SHORT_READ_SECONDS == 5.0
    monkeypatch.setattr(sdk, "SHORT_READ_SECONDS", 0.2)
    asked = scene.ask()
    async with aws_side(scene) as side:
        with scene.aws.faults.hold("SendAutomationSignal", after_effect=True), pytest.raises(SignalLost) as caught:
            await send(side, signal_of(asked))
    assert str(caught.value) == "ReadTimeoutError"
    assert sent(scene) == 1


async def test_signal_without_a_connection_to_aws_raises_signal_throttled(scene: Scene) -> None:
    """Preparing fails with the error of a throttled signal, because the signal was not sent and may be repeated."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with environment(f"http://127.0.0.1:{port}", scene.aws.world.bot):
        async with AwsSide(
            region="ap-northeast-1",
            accounts=(),
            queue_url=None,
            clock=scene.clock,
            telemetry=unread_metrics(),
        ) as side:
            with pytest.raises(SignalThrottled):
                await send(side, signal_of(scene.ask(), role=None))
            with pytest.raises(SignalThrottled):
                await send(side, signal_of(scene.ask()))
            with pytest.raises(AwsUnavailable):
                await side.own_account()


# --- before and after the state check


async def test_preparing_a_signal_only_assumes_the_role(scene: Scene, side: AwsSide) -> None:
    """Sending the prepared signal then makes exactly one call."""
    decision = signal_of(scene.ask())
    scene.aws.forget_calls()
    await side.requests.prepare(decision)
    assert [call.operation for call in scene.aws.calls()] == ["AssumeRole"]
    await side.requests.signal(decision)
    assert [call.operation for call in scene.aws.calls()] == ["AssumeRole", "SendAutomationSignal"]


async def test_signal_whose_session_expired_after_preparing_is_not_sent(scene: Scene, side: AwsSide) -> None:
    """Assuming the role again would take time, in which others may decide, so the caller must prepare again."""
    asked = scene.ask()
    await side.requests.prepare(signal_of(asked))
    scene.clock.move(minutes=56)
    with pytest.raises(SignalThrottled):
        await side.requests.signal(signal_of(asked))
    assert sent(scene) == 0


async def test_preparing_a_signal_waits_for_the_quota_and_sending_it_does_not(scene: Scene) -> None:
    """The state check is between the two. Prepared signals may be sent in any order."""
    first, second = signal_of(scene.ask()), signal_of(scene.ask())
    async with aws_side(scene, rates={"ssm": 0.5}) as side:
        await side.requests.prepare(first)
        began = scene.clock()
        await side.requests.prepare(second)
        assert (scene.clock() - began).total_seconds() == pytest.approx(1 / 0.5, rel=0.05)
        began = scene.clock()
        await side.requests.signal(second)
        await side.requests.signal(first)
        assert scene.clock() == began


async def test_preparing_a_signal_fails_if_the_request_quota_is_used_up(scene: Scene) -> None:
    """The wait for the quota would be too long for a click, so no signal is sent."""
    asked = scene.ask()
    async with aws_side(scene, rates={"ssm": 0.1}) as side:
        await side.requests.prepare(signal_of(asked))
        with pytest.raises(SignalThrottled):
            await side.requests.prepare(signal_of(asked))
    assert sent(scene) == 0


async def test_throttled_signal_halves_the_rate_of_the_next_signal(scene: Scene) -> None:
    """Throttling lowers the rate, although the signal waited for the quota before the state check."""
    asked = scene.ask()
    async with aws_side(scene, rates={"ssm": 3.0}) as side:
        scene.aws.faults.fail("SendAutomationSignal", "ThrottlingException")
        with pytest.raises(SignalThrottled):
            await send(side, signal_of(asked))
        began = scene.clock()
        await side.requests.prepare(signal_of(asked))
        assert (scene.clock() - began).total_seconds() == pytest.approx(1 / 1.5, rel=0.05)


# --- members of a session


MADE_OF = RoleSession(
    APPROVER_ROLE,
    HANAKO,
    source_identity=HANAKO,
    external_id="node-access",
    tags=((PERSON_TAG, "aaaaaaaa-0000-4000-8000-000000000001"),),
)


async def test_session_has_the_configured_source_identity_external_id_and_tag(scene: Scene, side: AwsSide) -> None:
    """Source identity, external id and tag reach STS, and the signal's caller has the source identity."""
    await send(side, signal_of(scene.ask(), session=MADE_OF))
    (assumed,), (sent,) = scene.aws.calls("AssumeRole"), scene.aws.calls("SendAutomationSignal")
    assert (assumed.params["ExternalId"], assumed.params["SourceIdentity"]) == ("node-access", HANAKO)
    assert assumed.params["Tags.member.1.Key"] == "NodeAccessPerson"
    assert assumed.params["Tags.member.1.Value"] == MADE_OF.tags[0][1]
    assert (sent.caller, sent.source_identity) == (session_arn(), HANAKO)


async def test_session_without_optional_settings_has_only_a_role_and_a_name(scene: Scene, side: AwsSide) -> None:
    """A member that was not configured is not sent, because the bot may lack the permission that it needs."""
    await send(side, signal_of(scene.ask()))
    (assumed,) = scene.aws.calls("AssumeRole")
    assert assumed.params.keys() - {"Action", "Version"} == {"RoleArn", "RoleSessionName"}


@pytest.mark.parametrize(
    "other",
    [
        replace(MADE_OF, source_identity=PRIYA),
        replace(MADE_OF, external_id=None),
        replace(MADE_OF, tags=((PERSON_TAG, "somebody-else"),)),
        replace(MADE_OF, name=HANAKO.upper()),
    ],
    ids=["identity", "external id", "tag", "case"],
)
async def test_role_sessions_that_differ_in_any_member_are_separate(
    scene: Scene, side: AwsSide, other: RoleSession
) -> None:
    """A session is not reused for another source identity, external id, tag or spelling of the name."""
    await send(side, signal_of(scene.ask(), session=MADE_OF))
    await side.requests.prepare(signal_of(scene.ask("db-prod-01"), session=other))
    assert len(scene.aws.calls("AssumeRole")) == 2


async def test_role_with_an_external_id_is_assumed_only_with_that_id(scene: Scene, side: AwsSide) -> None:
    """Without the right external id no signal is sent, and the error counts as a missing permission."""
    role = f"arn:aws:iam::{ACCOUNT}:role/Demanding"
    scene.aws.callers.add_role(role, external_id="node-access")
    demanding = replace(MADE_OF, role=role)
    asked = scene.ask()
    for wrong in (None, "node-access-2"):
        with pytest.raises(SignalRefused) as caught:
            await send(side, signal_of(asked, session=replace(demanding, external_id=wrong)))
        assert caught.value.denied
    assert scene.aws.calls("SendAutomationSignal") == []
    with pytest.raises(SignalRefused) as caught:
        await send(side, signal_of(asked, session=demanding))
    assert caught.value.code == "InvalidAutomationSignalException"  # the role was assumed, but AWS does not let it vote
    assert len(scene.aws.calls("SendAutomationSignal")) == 1


async def test_session_that_expires_in_four_minutes_is_not_reused(scene: Scene, side: AwsSide) -> None:
    """A role may allow less than an hour, so the expiration that AWS returns is used."""
    ends = scene.clock() + timedelta(minutes=4)
    scene.aws.faults.rewrite(
        "AssumeRole", lambda answer: {**answer, "Credentials": {**answer["Credentials"], "Expiration": ends}}
    )
    await side.requests.prepare(signal_of(scene.ask()))
    await side.requests.prepare(signal_of(scene.ask("db-prod-01")))
    assert len(scene.aws.calls("AssumeRole")) == 2
