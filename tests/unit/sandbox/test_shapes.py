"""Tests for bot.sandbox.aws.shapes, which validates more of a value than botocore itself."""

from typing import Any

import botocore.session
import pytest

from bot.sandbox.aws.shapes import problems

SSM = botocore.session.get_session().get_service_model("ssm")
STS = botocore.session.get_session().get_service_model("sts")


def asked(operation: str, **params: Any) -> list[str]:
    """Return the problems of a request with these parameters."""
    model = (STS if operation == "AssumeRole" else SSM).operation_model(operation)
    assert model.input_shape is not None
    return problems(params, model.input_shape)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetOpsItem", {"OpsItemId": "oi-0123456789ab"}),
        ("StartAccessRequest", {"Reason": "調査 🚨", "Targets": [{"Key": "InstanceIds", "Values": ["i-1"]}]}),
        ("SendAutomationSignal", {"AutomationExecutionId": "x" * 36, "SignalType": "Reject"}),
        ("ListDocuments", {"Filters": [{"Key": "SearchKeyword", "Values": ["日本"]}]}),
        ("AssumeRole", {"RoleArn": "arn:aws:iam::111122223333:role/R", "RoleSessionName": "a.b@example.com"}),
        (
            "AddTagsToResource",
            {"ResourceType": "Document", "ResourceId": "D", "Tags": [{"Key": "鍵", "Value": "値 1"}]},
        ),
    ],
)
def test_valid_parameters_of_an_aws_operation_have_no_problems(operation: str, params: dict[str, Any]) -> None:
    """Japanese text is valid where the model's pattern has Unicode classes."""
    assert asked(operation, **params) == []


@pytest.mark.parametrize(
    ("operation", "params", "word"),
    [
        ("GetOpsItem", {}, "OpsItemId"),
        ("GetOpsItem", {"OpsItemId": 7}, "OpsItemId"),
        ("GetOpsItem", {"OpsItemId": "oi-0123456789ab", "Else": 1}, "Else"),
        ("GetOpsItem", {"OpsItemId": "x oi-0123456789ab"}, "does not match"),
        ("GetOpsItem", {"OpsItemId": "oi-0123456789AB"}, "does not match"),
        ("SendAutomationSignal", {"AutomationExecutionId": "x" * 36, "SignalType": "Deny"}, "is not one of"),
        ("SendAutomationSignal", {"AutomationExecutionId": "x" * 37, "SignalType": "Approve"}, "outside"),
        ("DescribeOpsItems", {"MaxResults": 51}, "51 is outside 1..50"),
        ("AssumeRole", {"RoleArn": "arn:aws:iam::111122223333:role/R", "RoleSessionName": "花子"}, "does not match"),
        (
            "AddTagsToResource",
            {"ResourceType": "Document", "ResourceId": "D", "Tags": [{"Key": "<", "Value": ""}]},
            "does not",
        ),
        (
            "SendAutomationSignal",
            {"AutomationExecutionId": "x" * 36, "SignalType": "Approve", "Payload": {"Comment": ["y" * 513]}},
            "Payload.Comment.0: 513",
        ),
        (
            "SendAutomationSignal",
            {"AutomationExecutionId": "x" * 36, "SignalType": "Approve", "Payload": {"k" * 51: []}},
            "Payload.<key>",
        ),
    ],
)
def test_every_kind_of_invalid_parameter_of_an_aws_operation_is_reported(
    operation: str, params: dict[str, Any], word: str
) -> None:
    """The check covers missing and unknown members, types, enums, patterns, lengths and ranges at any depth."""
    assert word in "; ".join(asked(operation, **params))


@pytest.mark.parametrize(
    ("name", "fits"), [("taro.yamada+1@例.jp", True), ("e\u0301", True), ("a b", False), ("a\n", False)]
)
def test_unicode_classes_in_patterns_of_aws_match_only_their_categories(name: str, fits: bool) -> None:
    """Classes for letters, marks, symbols and punctuation match neither blanks nor control characters."""
    model = botocore.session.get_session().get_service_model("identitystore").operation_model("DescribeUser")
    assert model.output_shape is not None
    shape = model.output_shape.members["UserName"]
    assert (problems(name, shape) == []) is fits
