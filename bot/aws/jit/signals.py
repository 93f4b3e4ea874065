"""Sends one decision to AWS: in a session of the approver role or cancel role, or with the bot's own credentials.

A session carries the person's name; the comment of a vote or revocation names the person in either case.

Two steps, with the state check between them: `prepare` does all that may have to wait, `send` makes the call.
`SendAutomationSignal` has no idempotency token and names no step, so no call is repeated here. SignalThrottled says
that a signal certainly had no effect. A requester's cancellation is `StopAutomationExecution`, which takes no comment.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendAutomationSignal.html
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StopAutomationExecution.html
"""

from typing import Literal, assert_never

from bot.aws.calls.clients import Clients, Place
from bot.aws.calls.rate_limit import Lane
from bot.boto.failures import CallFailed, Failure
from bot.boto.sdk import Credentials
from bot.domain.request import Verdict, Withdrawal
from bot.ports.aws import Signal, SignalLost, SignalRefused, SignalThrottled

SIGNAL, STOP = "send_automation_signal", "stop_automation_execution"


class Signals:
    """Sends signals."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def prepare(self, signal: Signal) -> None:
        """Get the role's session and wait for the quota. Sends nothing. Raises SignalRefused, SignalThrottled."""
        try:
            await self._authorise(signal)
            await self._clients.turn(_place(signal), "ssm", _operation(signal), Lane.SIGNAL)
        except CallFailed as failed:
            raise _not_prepared(failed) from failed

    async def send(self, signal: Signal) -> None:
        """Send a prepared signal once, immediately. Raises SignalRefused, SignalThrottled, SignalLost."""
        credentials = self._credentials(signal)
        try:
            await self._clients.send(_place(signal), _operation(signal), credentials, **_parameters(signal))
        except CallFailed as failed:
            if credentials and self._clients.sessions.is_stale(credentials, failed):
                raise SignalThrottled(failed.code) from failed
            raise _outcome(failed) from failed
        if signal.session:
            self._clients.sessions.accepted(signal.session)

    async def _authorise(self, signal: Signal) -> None:
        """Make sure that the signing credentials are cached. Raises CallFailed.

        They must belong to the request's account, because AWS looks for the execution in the signer's account.
        """
        if signal.session is None:
            if await self._clients.own_account(Lane.CLICK) != signal.key.account:
                raise CallFailed("NoApproverRole", Failure.DENIED)
        elif signal.session.account != signal.key.account:
            raise CallFailed("RoleOfAnotherAccount", Failure.DENIED)
        else:
            # keeps the signal lane's threads free for signals
            await self._clients.sessions.get(signal.session, Lane.CLICK)

    def _credentials(self, signal: Signal) -> Credentials | None:
        """Return the cached credentials of the role; None for the bot's own.

        Raises SignalThrottled if the signal is not prepared; the caller prepares it again.
        """
        if signal.session is None:
            if self._clients.cached_own_account != signal.key.account:
                raise SignalThrottled("NotPrepared")
            return None
        credentials = self._clients.sessions.cached(signal.session)
        if credentials is None or signal.session.account != signal.key.account:
            raise SignalThrottled("NotPrepared")
        return credentials


def _place(signal: Signal) -> Place:
    return Place(signal.key.account, signal.key.region)


def _operation(signal: Signal) -> str:
    return STOP if signal.action is Withdrawal.CANCEL else SIGNAL


def _parameters(signal: Signal) -> dict[str, object]:
    execution = {"AutomationExecutionId": signal.execution_id}
    if signal.action is Withdrawal.CANCEL:
        return {**execution, "Type": "Cancel"}
    return {**execution, "SignalType": _signal_type(signal.action), "Payload": {"Comment": [signal.comment]}}


def _signal_type(action: Literal[Verdict.APPROVE, Verdict.REJECT, Withdrawal.REVOKE, Withdrawal.GIVE_BACK]) -> str:
    match action:
        case Verdict.APPROVE:
            return "Approve"
        case Verdict.REJECT:
            return "Reject"  # one page of the user guide says Deny, which the API does not accept
        case Withdrawal.REVOKE | Withdrawal.GIVE_BACK:
            return "Revoke"  # a member of the enum; it is not verified that the console sends it
        case _:
            assert_never(action)


def _not_prepared(failed: CallFailed) -> SignalRefused | SignalThrottled:
    """Return the port's error for a failed preparation: no signal was sent."""
    if failed.failure in {Failure.DENIED, Failure.REFUSED}:
        return SignalRefused(failed.code, denied=True)
    return SignalThrottled(failed.code)


def _outcome(failed: CallFailed) -> SignalRefused | SignalThrottled | SignalLost:
    """Return the port's error for a failed signal.

    A call that was not sent had no effect, just like a throttled one: both may be repeated.
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
