"""Compares infra/aws with AWS's service authorization reference, from which recorded/iam_data.json is an extract.

A condition on a key that AWS does not fill for an action never holds: the action is denied in production, and no
simulator shows it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import documents
from tests.contract.record_iam_data import RECORDED, as_list, policies, used_actions

DATA: dict[str, Any] = json.loads(RECORDED.read_text("utf-8"))["actions"]
POLICIES = policies()
PLACEHOLDER = re.compile(r"\$\{\w+\}")
# Keys that AWS fills for every call. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL = {"aws:PrincipalOrgID", "aws:ResourceOrgID", "aws:SourceAccount", "aws:SourceArn"}
OPERATORS = {"String": "String", "ArrayOfString": "String", "ARN": "Arn", "Numeric": "Numeric", "Bool": "Bool"}


def conditions(name: str) -> Iterator[tuple[str, str, str, Any]]:
    """Yield (action, operator, key, value) for each condition of a file."""
    for statement in POLICIES[name]:
        for operator, keys in statement.get("Condition", {}).items():
            for key, value in keys.items():
                for action in as_list(statement["Action"]):
                    yield action, operator, key, value


def listed_type(action: str, key: str) -> str | None:
    """Return the type of a condition key of an action; None if AWS does not list it."""
    for listed, kind in DATA[action]["keys"].items():
        pattern = ".+".join(map(re.escape, PLACEHOLDER.split(listed)))
        if re.fullmatch(pattern, key, re.IGNORECASE):
            return str(kind)
    return None


def test_extract_of_the_reference_has_exactly_the_actions_of_the_policy_files() -> None:
    """A file with a new action needs a new extract: python -m tests.contract.record_iam_data VERSION."""
    assert set(DATA) == used_actions()


@pytest.mark.parametrize("name", POLICIES)
def test_every_condition_key_of_a_policy_is_listed_by_aws_for_its_action(name: str) -> None:
    """AWS fills each key for the action that it restricts, except the keys that it fills for every call."""
    unlisted = {(action, key) for action, _, key, _ in conditions(name) if key not in GLOBAL}
    assert {(action, key) for action, key in unlisted if listed_type(action, key) is None} == set()


@pytest.mark.parametrize("name", POLICIES)
def test_operators_of_conditions_fit_the_types_of_their_keys(name: str) -> None:
    """Each value is text, as IAM's grammar asks for, and the operator is made for the type of the key."""
    for action, operator, key, value in conditions(name):
        assert all(isinstance(each, str) for each in as_list(value)), (action, key)
        kind = listed_type(action, key) or "ARN"
        plain = operator.rpartition(":")[2]
        assert plain == "Null" or key in GLOBAL or plain.startswith(OPERATORS[kind]), (action, key)


@pytest.mark.parametrize("name", [name for name in POLICIES if "trust" not in name])
def test_resources_of_a_policy_have_the_types_that_its_actions_need(name: str) -> None:
    """An action without resource types needs `*`. Any other gets a resource of each required type."""
    for statement in POLICIES[name]:
        resources = as_list(statement["Resource"])
        for action in as_list(statement["Action"]):
            types = DATA[action]["resources"]
            if not types:
                assert resources == ["*"], action
            for arn, required in types.values():
                if required:
                    assert any(_is_of(each, arn) for each in resources), (action, arn)


def _is_of(resource: str, arn: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, PLACEHOLDER.split(arn))), resource) is not None


def test_aws_has_a_key_for_each_session_option_of_the_installation() -> None:
    """AWS's reference lists the keys of Session options in infra/README.md for their actions."""
    assert listed_type("sts:SetSourceIdentity", "sts:SourceIdentity")
    assert listed_type("sts:TagSession", "aws:RequestTag/NodeAccessPerson")
    assert listed_type("sts:AssumeRole", "sts:ExternalId")


def test_aws_has_the_key_with_which_the_role_that_ends_sessions_may_be_narrowed() -> None:
    """The condition that operations.md says to try: its key, and an operator for the key's type."""
    (condition,) = (
        json.loads(f"{{{each}}}")["Condition"]
        for each in documents.blocks(documents.read(documents.OPERATIONS), "json")
        if "Condition" in each
    )
    (operator,) = condition
    (key,) = condition[operator]
    assert operator.startswith(OPERATORS[str(listed_type("ssm:TerminateSession", key))])
