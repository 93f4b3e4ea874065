"""The SSM operations on access requests. They take parameters, return AWS's shapes, and raise `AwsError` as AWS would.

The wire protocol is in `bot.sandbox.aws.wire`, the rules are in `requests.py`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.sandbox.aws.callers import Caller, Callers
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.jit import filters, requests, shapes
from bot.sandbox.aws.jit.assumptions import MOST_NODES, ROLE_APPROVER, TOKEN_WORDS
from bot.sandbox.aws.jit.filters import page
from bot.sandbox.aws.jit.requests import (
    AccessRequest,
    Decision,
    Denied,
    NotAnApprover,
    Refused,
    SecondVote,
    Status,
    Vote,
)
from bot.sandbox.aws.jit.state import Effect, JitState, NoPolicy, UnknownNode

Params = dict[str, Any]
Operation = Callable[[Caller, Params], dict[str, Any]]

TOKEN_ROLE = "SSM-JustInTimeAccessTokenRole"  # of an access token's session, as in AWS's samples
TOKEN_LIFE = timedelta(hours=1)  # life of an access token's credentials; the policy sets the access window


class JitOperations:
    """Access requests and their approvals through SSM's API."""

    def __init__(
        self,
        state: JitState,
        *,
        callers: Callers,
        steps_shown: int | None,
        cancellers: frozenset[str],
        givers: frozenset[str],
    ) -> None:
        """Take the limits of the simulation.

        GetAutomationExecution lists at most `steps_shown` steps; None: all. `cancellers` are names of roles that may
        stop other people's executions, `givers` of roles in which requesters may revoke their own access.
        """
        self._state, self._callers, self._steps_shown = state, callers, steps_shown
        self._cancellers, self._givers = cancellers, givers

    def table(self) -> dict[tuple[str, str], Operation]:
        """Return the operations of this class, by service and operation."""
        return {
            ("ssm", "StartAccessRequest"): self.start_access_request,
            ("ssm", "GetAccessToken"): self.get_access_token,
            ("ssm", "GetOpsItem"): self.get_ops_item,
            ("ssm", "DescribeOpsItems"): self.describe_ops_items,
            ("ssm", "ListOpsItemEvents"): self.list_ops_item_events,
            ("ssm", "GetAutomationExecution"): self.get_automation_execution,
            ("ssm", "DescribeAutomationExecutions"): self.describe_automation_executions,
            ("ssm", "DescribeAutomationStepExecutions"): self.describe_automation_step_executions,
            ("ssm", "SendAutomationSignal"): self.send_automation_signal,
            ("ssm", "StopAutomationExecution"): self.stop_automation_execution,
        }

    # --- requesting --------------------------------------------------------------------------------------------------

    def start_access_request(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Request access to the nodes of `Targets`, one to five.

        Raises AwsError for other targets, a blank reason, an unknown node, or a node without a policy.
        """
        targets = params["Targets"]
        nodes = list(dict.fromkeys(node for target in targets for node in target.get("Values", [])))
        if {target.get("Key") for target in targets} != {"InstanceIds"} or not 1 <= len(nodes) <= MOST_NODES:
            raise AwsError("ValidationException", f"Targets takes Key=InstanceIds and one to {MOST_NODES} node ids.")
        if not params["Reason"].strip():  # the OpsItem's operational data needs a visible character
            raise AwsError("ValidationException", "Reason is blank.")
        place = {"account": caller.account, "region": caller.region}
        try:
            request = self._state.start(nodes, params["Reason"], **place, by=caller.arn)
        except UnknownNode as error:
            raise AwsError("ResourceNotFoundException", f"Node {error} not found.") from error
        except NoPolicy as error:
            raise AwsError(self._state.assumed.no_policy_error, f"No approval policy applies to {error}.") from error
        return {"AccessRequestId": request.id}

    def get_access_token(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return the status to the requester, with credentials while access is active.

        Raises AwsError for an unknown request, and for any other caller.
        """
        request = self._request(caller, params["AccessRequestId"], "ResourceNotFoundException")
        if request.requester != caller.arn:
            raise AwsError("AccessDeniedException", "This access request belongs to another principal.")
        now = self._state.now()
        if request.access_until and now >= request.access_until and request.status is Status.APPROVED:
            return {"AccessRequestStatus": "Expired"}
        if request.status is not Status.APPROVED or request.access_until is None:
            return {"AccessRequestStatus": TOKEN_WORDS[request.status]}
        until = min(now + TOKEN_LIFE, request.access_until)
        session = self._callers.issue(caller.session, role=TOKEN_ROLE, until=until, access_request=request.id)
        return {
            "AccessRequestStatus": TOKEN_WORDS[request.status],
            "Credentials": {
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret_access_key,
                "SessionToken": session.session_token,
                "ExpirationTime": until,
            },
        }

    def stop_automation_execution(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Cancel a waiting request of the caller; a canceller role may cancel any.

        Raises AwsError for other callers, which IAM would refuse, and for a request that does not wait.
        """
        request = self._tagged_execution(caller, params["AutomationExecutionId"])
        if caller.arn != request.requester and caller.role not in self._cancellers:
            raise AwsError("AccessDeniedException", f"{caller.arn} is not authorized to stop {request.execution_id}.")
        step = request.waiting_step
        try:
            self._state.change(request.id, partial(requests.cancelled, by=caller.arn))
        except Refused as error:
            raise AwsError("InvalidAutomationStatusUpdateException", str(error)) from error
        self._effect(caller, request, step.level.name if step else "", "Stop", "")
        return {}

    # --- reading -------------------------------------------------------------------------------------------------

    def get_ops_item(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return one OpsItem. Raises AwsError if there is none."""
        return {"OpsItem": shapes.ops_item(self._request(caller, params["OpsItemId"], "OpsItemNotFoundException"))}

    def describe_ops_items(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a page of the OpsItems that pass the filters, newest first."""
        found = filters.ops_items(self._all(caller), params.get("OpsItemFilters", []))
        rows, more = page(found, params, "ValidationException")
        return {"OpsItemSummaries": [shapes.ops_item_summary(r) for r in rows], **more}

    def list_ops_item_events(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a page of the history of some OpsItems, or of all, oldest change first.

        Raises AwsError for an unknown OpsItem.
        """
        wanted = {v for f in params.get("Filters", []) for v in f["Values"]}
        known = {r.id for r in self._all(caller)}
        if wanted - known:
            raise AwsError("OpsItemNotFoundException", f"{', '.join(sorted(wanted - known))} not found.")
        rows, more = page(self._state.history(wanted or known), params, "OpsItemInvalidParameterException")
        return {"Summaries": [shapes.ops_item_event(c) for c in rows], **more}

    def get_automation_execution(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return the automation execution of one request. Raises AwsError if there is none, or before it is tagged."""
        request = self._tagged_execution(caller, params["AutomationExecutionId"])
        return {"AutomationExecution": shapes.execution(request, self._state.assumed, self._steps_shown)}

    def describe_automation_executions(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a page of the executions that pass the filters, newest first."""
        assumed = self._state.assumed
        found = filters.executions(self._all(caller), params.get("Filters", []), assumed)
        rows, more = page(found, params, "InvalidNextToken")
        return {"AutomationExecutionMetadataList": [shapes.execution_metadata(r, assumed) for r in rows], **more}

    def describe_automation_step_executions(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a page of the steps of one execution that pass the filters, in order or reversed.

        Raises AwsError for an unknown execution.
        """
        request, assumed = self._execution(caller, params["AutomationExecutionId"]), self._state.assumed
        found = filters.steps(request.steps, params.get("Filters", []), assumed)
        rows, more = page(found[::-1] if params.get("ReverseOrder") else found, params, "InvalidNextToken")
        return {"StepExecutions": [shapes.step_execution(request, s, assumed) for s in rows], **more}

    # --- deciding ------------------------------------------------------------------------------------------------

    def send_automation_signal(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Count a vote for the waiting level (a signal does not name a level), or revoke granted access.

        Raises AwsError if the caller may not, or if the request's state does not allow it.
        """
        request = self._tagged_execution(caller, params["AutomationExecutionId"])
        kind, comment = params["SignalType"], next(iter(params.get("Payload", {}).get("Comment", [])), "")
        try:
            second = self._state.assumed.second_vote
            gives_back = caller.role in self._givers and self._state.assumed.requesters_may_revoke
            signalled = partial(
                _signalled, caller=caller, kind=kind, comment=comment, second=second, gives_back=gives_back
            )
            after = self._state.change(request.id, signalled)
        except NotAnApprover as error:
            raise AwsError(self._state.assumed.not_an_approver_error, str(error)) from error
        except Denied as error:
            raise AwsError("AccessDeniedException", str(error)) from error
        except Refused as error:
            raise AwsError("InvalidAutomationSignalException", str(error)) from error
        step = request.waiting_step
        self._effect(caller, after, step.level.name if step and kind != "Revoke" else "", kind, comment)
        return {}

    # --- finding -------------------------------------------------------------------------------------------------

    def _all(self, caller: Caller) -> list[AccessRequest]:
        return self._state.all(account=caller.account, region=caller.region)

    def _request(self, caller: Caller, ops_item_id: str, error: str) -> AccessRequest:
        found = self._state.find(ops_item_id, account=caller.account, region=caller.region)
        if found is None:
            raise AwsError(error, f"{ops_item_id} not found.")
        return found

    def _execution(self, caller: Caller, execution_id: str) -> AccessRequest:
        found = self._state.find_execution(execution_id, account=caller.account, region=caller.region)
        if found is None:
            raise AwsError("AutomationExecutionNotFoundException", f"{execution_id} not found.")
        return found

    def _tagged_execution(self, caller: Caller, execution_id: str) -> AccessRequest:
        """Return the execution for a call that policies allow by its tag; raise AwsError before it is tagged."""
        found = self._execution(caller, execution_id)
        if self._state.now() < found.created_at + self._state.assumed.tagged_after:
            raise AwsError("AccessDeniedException", f"{caller.arn} is not authorized on {execution_id}.")
        return found

    def _effect(self, caller: Caller, request: AccessRequest, step: str, kind: str, comment: str) -> None:
        at = self._state.now()
        self._state.record(Effect(at, request.id, request.execution_id, step, kind, caller.arn, comment))


def _signalled(
    request: AccessRequest,
    now: datetime,
    *,
    caller: Caller,
    kind: str,
    comment: str,
    second: SecondVote,
    gives_back: bool,
) -> AccessRequest:
    role = caller.session.role_arn
    match kind:
        case "Approve" | "Reject":
            return requests.voted(request, Vote(caller.arn, role, Decision(kind), comment, now), ROLE_APPROVER, second)
        case "Revoke":
            return requests.revoked(
                request, now, by=caller.arn, role=role, role_kind=ROLE_APPROVER, any_role=gives_back
            )
        case _:
            raise Refused(f"{kind} is not a signal for an approval.")
