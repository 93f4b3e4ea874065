"""Sends one decision to AWS, in the session of the decision's role that bears the person's name.

In two parts, so that the state check can stand between them: whatever may have to be waited for, then the call alone.
`SendAutomationSignal` has no idempotency token and names no step: nothing here sends it twice. A requester's
cancellation is `StopAutomationExecution`, which takes no comment.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendAutomationSignal.html
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StopAutomationExecution.html
"""

from typing import Literal, assert_never

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, Failure
from bot.boto.sdk import Credentials
from bot.domain.request import Verdict, Withdrawal
from bot.ports.aws import RoleSession, Signal, SignalLost, SignalRefused, SignalThrottled

SIGNAL, STOP = "send_automation_signal", "stop_automation_execution"


class Signals:
    """Sends signals."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def prepare(self, signal: Signal) -> None:
        """Get the role's session and a turn in the quota; nothing leaves. Raises SignalRefused, SignalThrottled."""
        try:
            await self._authorise(signal)
            await self._clients.turn(_place(signal), "ssm", _operation(signal), Lane.SIGNAL)
        except CallFailed as failed:
            raise _not_prepared(failed) from failed

    async def send(self, signal: Signal) -> None:
        """Send what was prepared, at once and once. Raises SignalRefused, SignalThrottled, SignalLost."""
        credentials = self._credentials(signal)
        try:
            await self._clients.send(_place(signal), _operation(signal), credentials, **_parameters(signal))
        except CallFailed as failed:
            self._forget_useless(signal, failed)
            raise _outcome(failed) from failed

    async def _authorise(self, signal: Signal) -> None:
        """Have what signs the signal at hand; raise CallFailed.

        It must be of the request's account: AWS looks for the execution in the account of whoever signs.
        """
        if signal.session is None:
            if await self._clients.own_account(Lane.CLICK) != signal.key.account:
                raise CallFailed("NoApproverRole", Failure.DENIED)
        elif _account_of(signal.session) != signal.key.account:
            raise CallFailed("RoleOfAnotherAccount", Failure.DENIED)
        else:
            await self._clients.session(signal.session, Lane.CLICK)  # signals have their threads

    def _credentials(self, signal: Signal) -> Credentials | None:
        """Return the session that is at hand; one that was dropped since would have to be waited for: prepare anew."""
        if signal.session is None:
            if self._clients.kept_own_account != signal.key.account:
                raise SignalThrottled("NotPrepared")
            return None
        credentials = self._clients.kept_session(signal.session)
        if credentials is None or _account_of(signal.session) != signal.key.account:
            raise SignalThrottled("NotPrepared")
        return credentials

    def _forget_useless(self, signal: Signal, failed: CallFailed) -> None:
        """Assume the role anew after a refusal: the session may be what is wrong, if the role was changed since."""
        if signal.session and failed.failure in {Failure.EXPIRED, Failure.DENIED}:
            self._clients.forget_session(signal.session)


def _account_of(session: RoleSession) -> str:
    """Return the account of a role by its ARN, `arn:aws:iam::111122223333:role/…`."""
    return next(iter(session.role.split(":")[4:]), "")


def _place(signal: Signal) -> Place:
    return Place(signal.key.account, signal.key.region)


def _operation(signal: Signal) -> str:
    return STOP if signal.verdict is Withdrawal.CANCEL else SIGNAL


def _parameters(signal: Signal) -> dict[str, object]:
    execution = {"AutomationExecutionId": signal.execution_id}
    if signal.verdict is Withdrawal.CANCEL:
        return {**execution, "Type": "Cancel"}
    return {**execution, "SignalType": _signal_type(signal.verdict), "Payload": {"Comment": [signal.comment]}}


def _signal_type(act: Literal[Verdict.APPROVE, Verdict.REJECT, Withdrawal.REVOKE]) -> str:
    match act:
        case Verdict.APPROVE:
            return "Approve"
        case Verdict.REJECT:
            return "Reject"  # one page of the user guide says Deny, which the API does not know
        case Withdrawal.REVOKE:
            return "Revoke"  # a word of the enum; that the console sends it was not seen
        case _:
            assert_never(act)


def _not_prepared(failed: CallFailed) -> SignalRefused | SignalThrottled:
    """Say what it means that the role could not be assumed, or that the quota is used up: no signal left."""
    if failed.failure in {Failure.DENIED, Failure.REFUSED}:
        return SignalRefused(failed.code, denied=True)
    return SignalThrottled(failed.code)


def _outcome(failed: CallFailed) -> SignalRefused | SignalThrottled | SignalLost:
    """Say what a failure means for the decision.

    What never left this machine had no effect any more than what AWS throttled: both may be tried again.
    """
    match failed.failure:
        case Failure.DENIED | Failure.REFUSED:
            return SignalRefused(failed.code, denied=failed.failure is Failure.DENIED)
        case Failure.NOT_SENT | Failure.NOT_CONFIGURED | Failure.THROTTLED | Failure.EXPIRED:
            return SignalThrottled(failed.code)
        case Failure.NO_ANSWER | Failure.TIMED_OUT:
            return SignalLost(failed.code)
        case _:
            assert_never(failed.failure)
