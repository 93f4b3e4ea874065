"""Guards of the calls to AWS and their answers: credentials, pages of a list, times, and the nodes of a request."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from bot.aws.jit import targets
from tests.reliability.replacing import Guard, always, around, constant

HOME = "111122223333"  # the sample account
ACCOUNTS = "tests/aws/test_aws_accounts.py::"
REQUESTS = "tests/aws/test_aws_requests.py::"
SIGNALS = "tests/aws/test_aws_signals.py::"
WIRE = "tests/contract/test_aws_wire.py::"
NODES = "tests/system/test_several_nodes.py::test_request_whose_nodes_are_uncertain_cannot_be_decided_in_teams"
CONNECTING = "tests/system/test_connect_commands.py::test_copied_command_starts_a_session_only_with_a_token_and_keeps_the_shells_variables"
SHELL_COMMAND = "bot.domain.shown.connecting:shell_command"
DECISIONS = "tests/unit/aws/test_approver_decisions.py::"
PAGING = "tests/aws/test_paging.py::"


async def _first_page(_: Any, read: Any, member: str, params: Any, **_limit: int) -> AsyncIterator[Any]:
    for row in (await read(**params)).get(member, []):
        yield row


def _first_mentioned(_: Any, data: Any, _owner: Any) -> tuple[str, ...]:
    return tuple(targets._MENTIONED.findall(data[f"{targets.TYPE}/context"])[:1])


def _many_pages(rows: Any, *given: Any, **_limit: int) -> Any:
    return rows(*given, pages=50)


def _possible_first(known_or_only: Any, named: Any, known: Any, possible: Any) -> Any:
    return known_or_only(named, (), possible) or known_or_only(named, known, possible)


async def _as_read_early(read: Any, requests: Any, item: Any, execution_id: str, early: Any) -> Any:
    if early and not isinstance(early.result, BaseException):
        return early.result
    return await read(requests, item, execution_id, early)


GUARDS = (
    Guard(
        "an execution is used only for the OpsItem that names it",
        REQUESTS + "test_early_read_of_an_execution_that_the_ops_item_no_longer_names_is_not_used",
        {"bot.aws.jit.access_requests:AccessRequests._execution_of": around(_as_read_early)},
    ),
    Guard(
        "an execution that was read before the decision is read again",
        REQUESTS + "test_decision_after_the_early_read_of_the_execution_is_in_the_result",
        {"bot.aws.jit.access_requests:AccessRequests._execution_of": around(_as_read_early)},
    ),
    Guard(
        "a vote whose known member says something else is not read from other members",
        DECISIONS + "test_ambiguous_vote_is_unreadable_and_causes_one_warning",
        {"bot.aws.jit.approvals:_known_or_only": around(_possible_first)},
    ),
    Guard(
        "no vote is read from members about the request, or from texts that people typed",
        DECISIONS + "test_ambiguous_vote_is_unreadable_and_causes_one_warning",
        {"bot.aws.jit.approvals:_is_no_vote": always(False)},
    ),
    Guard(
        "a denied session is renewed once",
        SIGNALS + "test_session_that_worked_before_is_renewed_once_after_a_denial",
        {"bot.aws.calls.sessions:RoleSessions.renew_if_stale": always(True)},
    ),
    Guard(
        "a session is renewed at most once in ten minutes",
        ACCOUNTS + "test_role_that_lacks_one_permission_is_not_assumed_for_each_denied_read",
        {"bot.aws.calls.sessions:RENEWED_EVERY": constant(timedelta(0))},
    ),
    Guard(
        "a session is renewed only if AWS denied it in its own words",
        SIGNALS + "test_refusals_that_are_not_a_denial_by_aws_are_final_for_a_session_that_worked",
        {"bot.aws.calls.sessions:is_denied": always(True)},
    ),
    Guard(
        "a session is not ended in a role of another account",
        "tests/aws/test_node_sessions.py::test_no_session_is_ended_without_the_role_for_it",
        {"bot.ports.aws:RoleSession.account": always(HOME)},
    ),
    Guard(
        "a session starts only with a token",
        CONNECTING + "[zsh]",
        {SHELL_COMMAND: around(lambda make, *ids: make(*ids).replace('[ "${4:-None}" = None ] ||', "[ $# = 0 ] ||"))},
    ),
    Guard(
        "an alias of the AWS CLI starts no session",
        CONNECTING + "[bash]",
        {SHELL_COMMAND: around(lambda make, *ids: make(*ids).replace(" exec aws ", " aws "))},
    ),
    Guard(
        "a span can be added to every time of AWS",
        "tests/unit/boto/test_fields.py::test_times_of_aws_are_read_in_utc",
        {"bot.boto.fields:LATEST": constant(10_000)},
    ),
    Guard(
        "own credentials are read again after AWS refused them",
        WIRE + "test_call_is_repeated_only_after_a_refusal_of_own_credentials[ExpiredTokenException-signed_by0]",
        {"bot.boto.own_credentials:OwnCredentials.renew": always(False)},
    ),
    Guard(
        "a call is repeated only with other own credentials",
        WIRE + "test_call_is_not_repeated_with_the_same_own_credentials",
        {"bot.boto.own_credentials:OwnCredentials.renew": always(True)},
    ),
    Guard(
        "a call is repeated only if AWS refused the credentials",
        WIRE + "test_call_is_repeated_only_after_a_refusal_of_own_credentials[ThrottlingException-signed_by3]",
        {"bot.boto.failures:concerns_credentials": always(True)},
    ),
    Guard(
        "nodes that are not certain are no nodes",
        f"{NODES}[a tag]",
        {"bot.aws.jit.targets:target_nodes": around(_first_mentioned)},
    ),
    Guard(
        "a request without certain nodes is not decided",
        f"{NODES}[a word]",
        {"bot.domain.request:AccessRequest.targets": lambda _: lambda request: request.nodes or (request.node,)},
    ),
    Guard(
        "a channel by tags decides only if every node has them",
        "tests/unit/domain/test_routing.py::test_channel_matches_only_if_every_node_has_the_required_tags[nodes1-False]",
        {"bot.domain.request:AccessRequest.targets": lambda targets: lambda request: targets(request)[:1]},
    ),
    Guard(
        "all pages of a list are read",
        PAGING + "test_rows_of_a_list_after_empty_pages_are_read[DescribeInstanceInformation]",
        {"bot.aws.calls.clients:_rows": around(_first_page)},
    ),
    Guard(
        "pages without an end are limited",
        PAGING + "test_list_with_endless_pages_is_read_up_to_a_limit[DescribeInstanceInformation-empty pages]",
        {"bot.aws.calls.clients:_rows": around(_many_pages)},
    ),
)
