"""Tests for the parts of botocore's data files that stay in memory: what the program uses is as in the whole files."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.regions import EndpointResolver

from bot.aws.calls.clients import Place
from bot.aws.jit.listing import listed_execution, listed_ops_item
from bot.aws.jit.ops_items import parse_listed, parse_ops_item
from bot.boto.models import AS_SENT, MEMBERS_READ, OPERATIONS, SERVICES, UsedParts
from bot.boto.regions import known_regions
from bot.domain.request import RequestKey

WHOLE, USED = Loader(), Loader(file_loader=UsedParts())


def test_every_name_is_one_of_botocore() -> None:
    """A wrong name would leave out a part that the program needs."""
    (aws, *_) = WHOLE.load_data("endpoints")["partitions"]
    assert aws["services"].keys() >= SERVICES
    for service, operations in OPERATIONS.items():
        model = WHOLE.load_service_model(service, "service-2")
        assert operations <= model["operations"].keys()
        for shape, members in MEMBERS_READ.get(service, {}).items():
            assert members <= model["shapes"][shape]["members"].keys()
        assert AS_SENT.get(service, frozenset()) <= model["shapes"].keys()
        if service in AS_SENT:  # the parsers of other protocols would leave out what is in these rows
            assert ServiceModel(model, service).resolved_protocol == "json"


@pytest.mark.parametrize("service", OPERATIONS)
def test_used_operations_have_their_whole_input_and_errors(service: str) -> None:
    """Only members of answers are left out."""
    whole, used = (ServiceModel(model, service) for model in models(service))
    for name in OPERATIONS[service]:
        assert inputs(used, name) == inputs(whole, name)
        assert errors(used, name) == errors(whole, name)
    assert set(used.operation_names) == OPERATIONS[service]


def test_rows_of_a_long_list_stay_as_aws_sends_them_and_mean_the_same() -> None:
    """The program reads the same facts from them as from rows that botocore has parsed."""
    item = {
        "OpsItemId": "oi-1234567890ab",
        "OpsItemType": "/aws/accessrequest",
        "Status": "Approved",
        "Title": "Just-in-time node access request",
        "CreatedBy": "arn:aws:sts::111122223333:assumed-role/Operator/taro@example.com",
        "CreatedTime": 1_746_197_836.512,
        "LastModifiedTime": 1_746_197_900,
        "OperationalData": {
            "/aws/accessrequest": {"Value": '{"approvalPolicy": "production"}', "Type": "SearchableString"},
            "/aws/accessrequest/accessduration": {"Value": "PT1H", "Type": "String"},
        },
    }
    execution = {"OpsItemId": "oi-1234567890ab", "CurrentStepName": "Level1", "ExecutionStartTime": 1_746_197_836.512}
    key, place = RequestKey("111122223333", "eu-west-1", "oi-1234567890ab"), Place("111122223333", "eu-west-1")
    items, executions = {"OpsItemSummaries": [item]}, {"AutomationExecutionMetadataList": [execution]}
    whole, used = models("ssm")
    assert parsed(used, "DescribeOpsItems", items) == items
    assert parsed(used, "DescribeAutomationExecutions", executions) == executions

    (row,) = parsed(whole, "DescribeOpsItems", items)["OpsItemSummaries"]
    assert row["CreatedTime"] != item["CreatedTime"]
    assert parse_ops_item(item, key) == parse_ops_item(row, key)
    assert parse_listed(item, key) == parse_listed(row, key)
    for name in item:  # botocore leaves out nulls
        without = {**item, name: None}
        (row,) = parsed(whole, "DescribeOpsItems", {"OpsItemSummaries": [without]})["OpsItemSummaries"]
        assert listed_ops_item(place, without) == listed_ops_item(place, row), name
    assert listed_ops_item(place, {**item, "OpsItemType": None}) == listed_ops_item(place, item)
    (row,) = parsed(whole, "DescribeAutomationExecutions", executions)["AutomationExecutionMetadataList"]
    assert listed_execution(place, execution) == listed_execution(place, row)


def test_model_with_another_name_of_a_row_is_kept_whole(tmp_path: Path) -> None:
    """A later botocore may rename shapes. Then it parses their answers."""
    text = json.dumps(WHOLE.load_service_model("ssm", "service-2")).replace('"OpsItemSummary"', '"OpsItemRow"')
    (folder := tmp_path / "ssm" / "2014-11-06").mkdir(parents=True)
    (folder / "service-2.json").write_text(text, "utf-8")
    loader = Loader([str(tmp_path)], file_loader=UsedParts(), include_default_search_paths=False)
    answer = parsed(
        loader.load_service_model("ssm", "service-2"), "DescribeOpsItems", {"OpsItemSummaries": [{"CreatedTime": 0}]}
    )
    assert answer == {"OpsItemSummaries": [{"CreatedTime": datetime(1970, 1, 1, tzinfo=UTC)}]}


def test_endpoints_and_signatures_are_those_of_the_whole_file() -> None:
    """In each Region of each partition, and for a service that is not kept, the usual ones."""
    used, whole = (EndpointResolver(loader.load_data("endpoints")) for loader in (USED, WHOLE))
    for service in SERVICES:
        for region in known_regions():
            assert used.construct_endpoint(service, region) == whole.construct_endpoint(service, region)
    found = used.construct_endpoint("backup", "cn-north-1")
    assert found is not None
    assert found["hostname"] == "backup.cn-north-1.amazonaws.com.cn"


def models(service: str) -> tuple[Any, Any]:
    """Return a service's model as botocore has it, and as the program keeps it."""
    return WHOLE.load_service_model(service, "service-2"), USED.load_service_model(service, "service-2")


def inputs(model: ServiceModel, operation: str) -> Any:
    """Return the members of an operation's parameters."""
    shape = model.operation_model(operation).input_shape
    return {name: each.type_name for name, each in shape.members.items()} if shape else None


def errors(model: ServiceModel, operation: str) -> list[str]:
    """Return the names of an operation's errors."""
    return [each.name for each in model.operation_model(operation).error_shapes]


def parsed(model: Any, operation: str, answer: object) -> dict[str, Any]:
    """Return the members of an answer as botocore parses it."""
    shape: Any = ServiceModel(model, "ssm").operation_model(operation).output_shape
    response = {"status_code": 200, "headers": {}, "body": json.dumps(answer).encode()}
    found = create_parser("json").parse(response, shape)
    return {name: part for name, part in found.items() if name != "ResponseMetadata"}
