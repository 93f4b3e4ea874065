"""Tests for reading the nodes of a request. AWS has published no form of several nodes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.aws.jit.assumptions import MOST_NODES
from bot.aws.jit.targets import target_nodes
from bot.domain.request import RequestKey
from tests.unit.aws.samples import KEY, MANY_EXAMPLES, NODE

OTHER, HYBRID = "i-0123456789abcdef1", "mi-0a1b2c3d4e5f67890"
EC2 = "arn:aws:ec2:ap-northeast-1:111122223333:instance/"
SSM = "arn:aws:ssm:ap-northeast-1:111122223333:managed-instance/"
THREE = (NODE, OTHER, HYBRID)
ARNS = [EC2 + NODE, EC2 + OTHER, SSM + HYBRID]
CONTEXT = "/aws/accessrequest/context"


def nodes_of(targets: object, **others: object) -> tuple[str, ...]:
    """Return the nodes of a request with these targets; `others` are further members of its context."""
    return target_nodes({CONTEXT: json.dumps({"targets": targets, "accessTokenRole": "Role", **others})}, KEY)


@pytest.mark.parametrize("value", [EC2 + NODE, NODE, [NODE], {"Key": "InstanceIds", "Values": [NODE]}])
def test_single_target_node_is_found_in_each_form(value: Any) -> None:
    """A node is found by its ARN or its id: as a text, in a list, or in a pair of `Key` and `Values`."""
    assert nodes_of({"instanceId": value}) == (NODE,)
    assert nodes_of(value) == (NODE,)


@pytest.mark.parametrize(
    "targets",
    [
        {"instanceIds": ARNS},
        {"instanceId": list(THREE)},
        {"instanceId": ",".join(ARNS)},
        {"instanceId": ", ".join(THREE)},
        {"instanceId": json.dumps(ARNS)},
        [{"instanceId": each} for each in ARNS],
        [{"Key": "InstanceIds", "Values": [each]} for each in THREE],
        {"ec2": [EC2 + NODE, EC2 + OTHER], "managedInstanceIds": [SSM + HYBRID], "tags": None},
        {str(number): each for number, each in enumerate(ARNS)},
        json.dumps({"instanceIds": ARNS}),
        {"instanceIds": [*ARNS, NODE]},
    ],
)
def test_several_target_nodes_are_found_in_each_form(targets: Any) -> None:
    """Each node is found once, and in AWS's order."""
    assert nodes_of(targets) == THREE


@pytest.mark.parametrize(
    "targets",
    [
        None,
        "",
        [],
        {},
        {"tag:Environment": "production"},
        [{"Key": "tag:Environment", "Values": ["production"]}],
        [{"Key": "tag:Environment", "Values": [NODE]}],
        [{"Key": None, "Values": [NODE]}, {"Key": "resource-groups:Name", "Values": [OTHER]}],
        {"instanceIds": [NODE, "production"]},
        {"instanceId": NODE, "tag:Environment": "production"},
        {"instanceIds": [NODE, "*"]},
        {"instanceIds": [NODE, 5]},
        {"instanceId": NODE, "all": True},
        {"instanceId": f"{NODE} and {OTHER}"},
        {"instanceId": "ami-0123456789abcdef0"},
        {"instanceId": f"{EC2}{NODE}\u200b"},
        {"instanceIds": [EC2 + NODE, EC2.replace("111122223333", "444455556666") + OTHER]},
        {"instanceId": EC2.replace("ap-northeast-1", "us-east-1") + NODE},
        {"instanceIds": [f"i-{number:017x}" for number in range(MOST_NODES + 1)]},
    ],
)
def test_uncertain_or_too_many_targets_return_no_nodes(targets: Any) -> None:
    """Each target must certainly be a node of the request's account and Region.

    Otherwise, and if there are too many nodes, no node is returned.
    """
    assert nodes_of(targets) == ()


def test_five_target_nodes_are_found() -> None:
    """AWS accepts up to five targets."""
    assert len(nodes_of([f"i-{number:017x}" for number in range(MOST_NODES)])) == 5


def test_no_node_is_returned_if_the_ops_item_names_further_nodes_outside_the_targets() -> None:
    """Nodes in the reason and in `/aws/accessrequest` do not count."""
    assert nodes_of({"instanceId": NODE}, otherTargets=[OTHER]) == ()
    context = {CONTEXT: json.dumps({"targets": {"instanceId": NODE}})}
    resources = json.dumps([{"arn": EC2 + NODE}, {"arn": EC2 + OTHER}])
    assert target_nodes({**context, "/aws/resources": resources}, KEY) == ()
    assert target_nodes({**context, "/aws/accessrequest/approvaldetails": f"compare with {OTHER}"}, KEY) == (NODE,)
    assert target_nodes({**context, "/aws/accessrequest": f'{{"approvalPolicy": "{OTHER}"}}'}, KEY) == (NODE,)


def test_nodes_of_another_account_than_that_of_the_request_are_not_returned() -> None:
    """The ARNs of the nodes have another account than the request."""
    context = {CONTEXT: json.dumps({"targets": {"instanceId": EC2 + NODE}})}
    assert target_nodes(context, RequestKey("444455556666", KEY.region, KEY.ops_item_id)) == ()


@pytest.mark.parametrize("context", [None, "", "{", NODE, json.dumps([NODE]), json.dumps({"targets": NODE})[:-2]])
def test_unreadable_context_has_no_nodes(context: object) -> None:
    """The context is missing, truncated or not an object. No node is read from it, even if its text names one."""
    assert target_nodes({CONTEXT: context}, KEY) == ()
    assert target_nodes({}, KEY) == ()


def test_deeply_nested_targets_return_no_nodes() -> None:
    """A node in 500 nested lists is not returned, and the nesting does not exhaust the stack."""
    nested: object = NODE
    for _ in range(500):
        nested = [nested]
    assert nodes_of(nested) == ()


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "Values"]), children, max_size=2)


@MANY_EXAMPLES
@given(st.recursive(st.sampled_from([*ARNS, *THREE, "production", "", None, 1]), _containers, max_leaves=6))
def test_either_all_named_nodes_are_returned_or_none(targets: object) -> None:
    """The targets are any nested value of node ids, ARNs and other texts."""
    written = json.dumps(targets)
    named = {each for each in THREE if f"/{each}" in written or f'"{each}"' in written}
    assert set(nodes_of(targets)) in ({*()}, named)
