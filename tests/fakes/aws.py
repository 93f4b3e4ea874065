"""AWS behind the Requests port, in memory: requests with levels and votes, and planned faults."""

import asyncio
import copy
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.request import (
    STATUS_AFTER,
    AccessRequest,
    Approver,
    ApproverKind,
    Execution,
    Grant,
    Level,
    LevelState,
    Node,
    RequestKey,
    Status,
    Verdict,
    Vote,
    Withdrawal,
)
from bot.ports.aws import AwsUnavailable, ListedRequest, RequestNotReadable, Signal, SignalRefused
from bot.ports.clock import Clock
from bot.sandbox.aws.jit.requests import SecondVote

ACCOUNT, REGION = "111122223333", "ap-northeast-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessApprover"
LEAD = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessLead"
GIVE_BACK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/NodeAccessGiveBack"
FOREIGN = "ExecutionOfAnotherRequest"
TARO = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/taro.yamada@example.com"


def key_of(number: int) -> RequestKey:
    """Return the key of the sample request with this number."""
    return RequestKey(ACCOUNT, REGION, f"oi-{number:012x}")


class FakeAws:
    """Keeps the state of AWS. `signals` are all signals that the bot sent, `effects` those that AWS accepted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests: dict[RequestKey, AccessRequest] = {}
        self.signals: list[Signal] = []
        self.effects: list[Signal] = []
        self.calls: list[tuple[str, RequestKey | None]] = []
        self.before: dict[str, list[Exception]] = defaultdict(list)  # by call: errors raised before its effect
        self.after: dict[str, list[Exception]] = defaultdict(list)  # `signal` only: errors raised after its effect
        self.gates: dict[str, asyncio.Event] = {}  # a call waits here until the test opens it
        self.arrived: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.lag = 0.0  # seconds until an accepted signal has its effect
        self.coming: list[tuple[datetime, Signal]] = []  # accepted; their effect comes later
        self.foreign: set[str] = set()  # executions that an OpsItem names although they belong to another request
        self.second_vote = SecondVote.COUNTED  # of another session of a role at a level
        self.roles_shown = False  # True: votes name the role instead of the session
        self.listed = True  # False: the lists have only pending requests
        self.steps_listed = False  # True: the list of running approvals has their steps
        self.requesters_may_revoke = True  # False: AWS refuses Revoke in the role in which requesters give access back

    def copied(self, clock: Clock) -> "FakeAws":
        """Return an independent copy on this clock, without the gates and the recorded calls."""
        other = FakeAws(clock)
        other.requests, other.lag, other.listed = dict(self.requests), self.lag, self.listed
        other.steps_listed = self.steps_listed
        other.foreign, other.second_vote = set(self.foreign), self.second_vote
        other.roles_shown, other.requesters_may_revoke = self.roles_shown, self.requesters_may_revoke
        other.signals, other.effects, other.coming = list(self.signals), list(self.effects), list(self.coming)
        for mine, theirs in ((self.before, other.before), (self.after, other.after)):
            theirs.update({call: [copy.copy(fault) for fault in faults] for call, faults in mine.items()})
        return other

    def add(self, number: int = 1, *, levels: int = 1, required: int = 1, **facts: object) -> RequestKey:
        """Add a pending request whose first level waits. `facts` replace fields of the request."""
        now, key = self._clock.now(), key_of(number)
        steps = [self._level(index, required, now) for index in range(1, levels + 1)]
        steps[0] = replace(steps[0], state=LevelState.WAITING, started_at=now)
        request = AccessRequest(
            key=key,
            status=Status.PENDING,
            requester=TARO,
            node=Node(
                "i-02999bd501754105a", "web-prod-01", "Linux/UNIX", "10.0.1.23", (("Environment", "production"),)
            ),
            reason="決済 API の 5xx が増えたため調査します",
            requested_at=now,
            modified_at=now,
            policy="E-commerce-Manual-Approval-Policy",
            duration=timedelta(hours=4),
            execution_id=f"{number:08x}-4685-449f-90cc-49d24139dbe9",
            levels=tuple(steps),
        )
        self.requests[key] = replace(request, **facts)  # type: ignore[arg-type]  # facts are the fields of the request
        return key

    @staticmethod
    def _level(index: int, required: int, now: datetime) -> Level:
        return Level(
            step=f"Level{index}",
            required=required,
            approvers=(Approver(ApproverKind.ROLE, ROLE), Approver(ApproverKind.ROLE, LEAD)),
            votes=(),
            timeout=timedelta(days=7),
        )

    # --- the port

    async def observe(self, key: RequestKey) -> AccessRequest:
        """Return the request. Raises RequestNotReadable."""
        await self._pass("observe", key)
        if key not in self.requests:
            raise RequestNotReadable("OpsItemNotFoundException", missing=True)
        if self.requests[key].execution_id in self.foreign:
            raise RequestNotReadable(FOREIGN)
        return self.requests[key]

    async def execution(self, key: RequestKey, execution_id: str) -> Execution:
        """Return the automation execution of the request. Raises AwsUnavailable if it is `foreign`."""
        await self._pass("execution", key)
        self._refuse_foreign(execution_id)
        request = self.requests[key]
        return Execution(execution_id, request.status, request.levels)

    async def grant(self, key: RequestKey) -> Grant:
        """Return the access that the request grants. Raises AwsUnavailable if its execution is missing or `foreign`."""
        await self._pass("grant", key)
        request = self.requests[key]
        self._refuse_foreign(request.execution_id)
        return Grant(request.status, request.access_until)

    async def prepare(self, signal: Signal) -> None:
        """Do nothing, unless a fault or a gate is planned."""
        await self._pass("prepare", signal.key)

    async def signal(self, signal: Signal) -> None:
        """Accept a signal. Raises SignalRefused where AWS would refuse it.

        With `lag`, every signal is accepted, and one that AWS would refuse later has no effect.
        """
        self.signals.append(signal)
        await self._pass("signal", signal.key)
        if self.lag:
            self.coming.append((self._clock.now() + timedelta(seconds=self.lag), signal))
        else:
            self._take(signal)
        self.effects.append(signal)
        if self.after["signal"]:
            raise self.after["signal"].pop(0)

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the pending requests and, if `listed`, those that changed at or after `since`."""
        await self._pass("list_requests", None)
        found = [r for r in self.requests.values() if (r.key.account, r.key.region) == (account, region)]
        return [
            ListedRequest(r.key, r.status, r.modified_at, auto_approved=r.auto_approved, requested_at=r.requested_at)
            for r in found
            if r.status is Status.PENDING or (self.listed and r.modified_at and r.modified_at >= since)
        ]

    async def steps(self, account: str, region: str) -> Sequence[ListedRequest]:
        """List the pending requests with their waiting step, if `steps_listed`."""
        await self._pass("steps", None)
        found = [r for r in self.requests.values() if (r.key.account, r.key.region) == (account, region)]
        return [ListedRequest(r.key, step=r.waiting.step) for r in found if r.waiting and self.steps_listed]

    async def revoked(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List the revoked requests that were made at or after `since`."""
        await self._pass("revoked", None)
        found = [r for r in self.requests.values() if (r.key.account, r.key.region) == (account, region)]
        return [
            ListedRequest(r.key, r.status, r.modified_at)
            for r in found
            if r.status is Status.REVOKED and r.requested_at and r.requested_at >= since
        ]

    def _refuse_foreign(self, execution_id: str | None) -> None:
        if execution_id is None or execution_id in self.foreign:
            raise AwsUnavailable(FOREIGN if execution_id else "NoExecution")

    def _take(self, signal: Signal) -> None:
        if signal.role == GIVE_BACK_ROLE and not self.requesters_may_revoke:
            raise SignalRefused("InvalidAutomationSignalException", denied=False)
        role = (signal.role or ROLE).rpartition("/")[2]
        voter = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{signal.session_name}"
        match signal.action:
            case Withdrawal():
                self.withdraw(signal.key, signal.action)
            case Verdict():
                self.vote(signal.key, voter, signal.action, signal.comment)

    # --- changes in AWS

    def withdraw(self, key: RequestKey, withdrawal: Withdrawal) -> None:
        """Withdraw a request. Raises SignalRefused where AWS would refuse."""
        needed, code = {
            Withdrawal.REVOKE: (Status.APPROVED, "InvalidAutomationSignalException"),
            Withdrawal.GIVE_BACK: (Status.APPROVED, "InvalidAutomationSignalException"),
            Withdrawal.CANCEL: (Status.PENDING, "InvalidAutomationStatusUpdateException"),
        }[withdrawal]
        request = self.requests[key]
        over = request.access_until is not None and request.access_until <= self._clock.now()
        if request.status is not needed or over:
            raise SignalRefused(code, denied=False)
        self.end(key, STATUS_AFTER[withdrawal])

    def vote(self, key: RequestKey, voter: str, verdict: Verdict, comment: str = "") -> None:
        """Add a vote at the waiting level. Raises SignalRefused where AWS would refuse.

        `second_vote` says what happens to the vote of another session of a role that has voted at this level.
        """
        request = self.requests[key]
        level = request.waiting
        if level is None or any(vote.by == voter for vote in level.votes or ()):
            raise SignalRefused("InvalidAutomationSignalException", denied=False)
        role = voter.rpartition("/")[0]
        again = any(vote.by.rpartition("/")[0] == role for vote in level.votes or ())
        if again and self.second_vote in {SecondVote.REFUSED, SecondVote.DENIED}:
            denied = self.second_vote is SecondVote.DENIED
            raise SignalRefused(
                "AccessDeniedException" if denied else "InvalidAutomationSignalException", denied=denied
            )
        if again and self.second_vote is SecondVote.HIDDEN:
            return
        shown = ROLE if self.roles_shown and role.endswith("/NodeAccessApprover") else voter
        voted = replace(level, votes=(*(level.votes or ()), Vote(shown, verdict, self._clock.now(), comment)))
        uncounted = again and self.second_vote is SecondVote.UNCOUNTED
        self._settle(request, voted if uncounted else self._judged(voted))

    def decide(self, key: RequestKey, verdict: Verdict, comment: str = "") -> None:
        """Add the vote of a person in the AWS console, at the waiting level. Raises SignalRefused as `vote` does."""
        self.vote(key, f"arn:aws:sts::{ACCOUNT}:assumed-role/ConsoleApprover/console-approver", verdict, comment)

    def end(self, key: RequestKey, status: Status) -> None:
        """Give a request a final status without a vote, such as cancelled, timed out, revoked or failed."""
        self.requests[key] = replace(self.requests[key], status=status, modified_at=self._clock.now())

    def _judged(self, level: Level) -> Level:
        now = self._clock.now()
        if any(vote.verdict is Verdict.REJECT for vote in level.votes or ()):
            return replace(level, state=LevelState.REJECTED, ended_at=now)
        enough = (level.approvals or 0) >= (level.required or 1)
        return replace(level, state=LevelState.APPROVED, ended_at=now) if enough else level

    def _settle(self, request: AccessRequest, level: Level) -> None:
        now = self._clock.now()
        levels = [level if each.step == level.step else each for each in request.levels]
        status, ahead = request.status, levels.index(level) + 1
        if level.state is LevelState.REJECTED:
            status = Status.REJECTED
        elif level.state is LevelState.APPROVED and ahead == len(levels):
            status = Status.APPROVED
        elif level.state is LevelState.APPROVED:
            levels[ahead] = replace(levels[ahead], state=LevelState.WAITING, started_at=now)
        until = now + request.duration if status is Status.APPROVED and request.duration else None
        self.requests[request.key] = replace(
            request, status=status, levels=tuple(levels), modified_at=now, access_until=until
        )

    # --- faults

    def _catch_up(self) -> None:
        """Apply the signals whose effect is due."""
        due = [each for each in self.coming if each[0] <= self._clock.now()]
        self.coming = [each for each in self.coming if each not in due]
        for _, signal in due:
            with suppress(SignalRefused):
                self._take(signal)

    async def _pass(self, call: str, key: RequestKey | None) -> None:
        await asyncio.sleep(0)  # a call takes at least one turn of the loop, so that other tasks run
        self._catch_up()
        self.calls.append((call, key))
        self.arrived[call].set()
        if call in self.gates:
            await self.gates[call].wait()
        if self.before[call]:
            raise self.before[call].pop(0)

    def count(self, call: str) -> int:
        """Return how often a call was made."""
        return sum(name == call for name, _ in self.calls)
