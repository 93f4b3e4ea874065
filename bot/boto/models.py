"""What the program keeps in memory of botocore's data files: the parts that it uses.

The files describe every operation of a service, and every service of every Region. EC2's alone takes 14 MiB, of which
the program uses one operation. This also speeds up making a client and parsing an answer.
"""

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final

from botocore.loaders import JSONFileLoader

OPERATIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ec2": frozenset({"DescribeInstances"}),
        "ssm": frozenset(
            {
                "DescribeAutomationExecutions",
                "DescribeAutomationStepExecutions",
                "DescribeInstanceInformation",
                "DescribeOpsItems",
                "DescribeSessions",
                "GetAutomationExecution",
                "GetDocument",
                "GetOpsItem",
                "ListDocuments",
                "ListTagsForResource",
                "SendAutomationSignal",
                "StopAutomationExecution",
                "TerminateSession",
            }
        ),
    }
)
"""The operations that the program calls, by service. Of another service, all are kept."""

MEMBERS_READ: Final[Mapping[str, Mapping[str, frozenset[str]]]] = MappingProxyType(
    {"ec2": {"Instance": frozenset({"InstanceId", "PlatformDetails", "PrivateIpAddress", "Tags"})}}
)
"""The members that the program reads of rows in long answers, by service and shape. The others are not parsed."""

AS_SENT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"ssm": frozenset({"AutomationExecutionMetadata", "OpsItemSummary"})}
)
"""The rows of long lists that stay as AWS sends them in JSON, by service and shape: a time is a number of seconds since
1970.

To parse a row takes botocore five times as long as to decode its JSON. It would only make datetimes of times, and leave
out nulls and members that it does not know. `sdk` refuses an answer with a row that is no object.
"""

SERVICES: Final = frozenset(
    {
        "dynamodb",
        "ec2",
        "identitystore",
        "monitoring",
        "oidc",
        "portal.sso",
        "s3",
        "secretsmanager",
        "sqs",
        "ssm",
        "sso",
        "streams.dynamodb",
        "sts",
    }
)
"""The services whose special endpoints are kept, as `endpoints.json` names them: those that the program calls, and
those from which boto3's standard chain gets credentials."""


class UsedParts(JSONFileLoader):
    """Loads botocore's data files without the parts that the program does not use."""

    def load_file(self, file_path: str) -> Any:
        """Return the content of a file, or None if there is no such file. `file_path` has no extension."""
        loaded = super().load_file(file_path)
        path = PurePath(file_path)
        service = path.parent.parent.name  # <service>/<version>/service-2
        if loaded and path.name == "endpoints":
            return _copied(_used_endpoints(loaded))
        if loaded and path.name == "service-2" and service in OPERATIONS:
            return _copied(_used_model(loaded, service))
        return loaded


def _copied(used: Mapping[str, Any]) -> Any:
    """Return a copy. The used parts themselves lie between the others, whose memory they would keep."""
    return json.loads(json.dumps(used))


def _used_endpoints(loaded: Mapping[str, Any]) -> Mapping[str, Any]:
    for partition in loaded["partitions"]:
        partition["services"] = _only(SERVICES, partition["services"])
    return loaded


def _used_model(loaded: Mapping[str, Any], service: str) -> Mapping[str, Any]:
    """Return a service's model with the used operations, members and shapes."""
    shapes = loaded["shapes"]
    for name, members in MEMBERS_READ.get(service, {}).items():
        if name in shapes:  # botocore may call it differently in another version
            shapes[name]["members"] = _only(members, shapes[name]["members"])
    for name in AS_SENT.get(service, ()):
        if name in shapes:
            shapes[name] = {"type": "structure", "members": {}, "document": True}
    operations = _only(OPERATIONS[service], loaded["operations"])
    used, found = set[str](), set(_shapes(operations))
    while found:
        used |= found
        found = {name for each in found for name in _shapes(shapes[each])} - used
    kept = {"operations": operations, "shapes": _only(used, shapes)}
    return {**loaded, **_undocumented(kept)}


def _only(names: AbstractSet[str], parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if name in names}


def _shapes(described: Any) -> Iterator[str]:
    """Return the names of the shapes to which a part of a model refers."""
    if isinstance(described, list):
        for each in described:
            yield from _shapes(each)
    elif isinstance(described, dict):
        for name, value in described.items():
            if name == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _shapes(value)


def _undocumented(described: Any) -> Any:
    """Return a part of a model without its documentation, which is half of its text."""
    if not isinstance(described, dict):
        return described
    return {
        name: _undocumented(value)
        for name, value in described.items()
        if name != "documentation" or not isinstance(value, str)
    }
