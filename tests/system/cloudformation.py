"""Reads the CloudFormation templates of infra/aws and resolves their functions, as CloudFormation would.

Resources that do not exist yet have sample ARNs and names, in the sample account and Region of the policy files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parents[2] / "infra" / "aws"
NO_VALUE: Final = object()  # AWS::NoValue: the member is left out
PSEUDO: Final[Mapping[str, Any]] = {
    "AWS::AccountId": "111122223333",
    "AWS::Region": "ap-northeast-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": NO_VALUE,
}


class _Loader(yaml.CSafeLoader):
    """Loads the short forms of functions, such as `!Ref`, as their long forms."""


_CONDITION: Final = re.compile(r"\$\.(?P<name>\w+) (?:(?P<operator>=|!=) \"(?P<value>\w+)\"|(?P<missing>NOT EXISTS))")


def _function(loader: yaml.CSafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
            if tag == "GetAtt":
                value = value.split(".", 1)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _function)


@dataclass(frozen=True, slots=True)
class Template:
    """A template with values for its parameters. Parameters without a value have their default."""

    body: Mapping[str, Any]
    values: Mapping[str, Any]

    @classmethod
    def read(cls, name: str, **values: Any) -> "Template":
        """Read a template. Raises ValueError for a parameter that has no value, or that it does not have."""
        body = yaml.load((FOLDER / name).read_text("utf-8"), Loader=_Loader)
        parameters = body.get("Parameters", {})
        defaults = {key: each["Default"] for key, each in parameters.items() if "Default" in each}
        if wrong := (values.keys() ^ parameters.keys()) - defaults.keys():
            raise ValueError(f"parameters without a value, or unknown: {sorted(wrong)}")
        return cls(body, defaults | values)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources whose conditions hold, with resolved properties, by their logical ids."""
        return {
            key: {"Type": each["Type"], "Properties": self.resolved(each.get("Properties", {}))}
            for key, each in self.body["Resources"].items()
            if self._holds(each.get("Condition"))
        }

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the resolved properties of all resources of a type."""
        return [each["Properties"] for each in self.resources.values() if each["Type"] == kind]

    @property
    def outputs(self) -> dict[str, Any]:
        """The resolved values of the outputs."""
        return {key: self.resolved(each["Value"]) for key, each in self.body["Outputs"].items()}

    def resolved(self, value: Any) -> Any:
        """Return a value without functions."""
        match value:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::GetAtt": [str(resource), str(attribute)]}:
                return self._attribute(resource, attribute)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._named(found[1])), text)
            case {"Fn::Join": [str(separator), [*parts]]}:
                return separator.join(map(self.resolved, parts))
            case {"Fn::If": [str(condition), yes, no]}:
                return self.resolved(yes if self._holds(condition) else no)
            case dict():
                members = {key: self.resolved(each) for key, each in value.items()}
                return {key: each for key, each in members.items() if each is not NO_VALUE}
            case list():
                return [each for each in map(self.resolved, value) if each is not NO_VALUE]
            case _:
                return value

    def _named(self, name: str) -> Any:
        resource, _, attribute = name.partition(".")
        return self._attribute(resource, attribute) if attribute else self._ref(name)

    def _ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.values:
            return self.values[name]
        properties = self.body["Resources"][name].get("Properties", {})
        match self.body["Resources"][name]["Type"]:
            case "AWS::SQS::Queue":
                queue = self.resolved(properties["QueueName"])
                return f"https://sqs.{PSEUDO['AWS::Region']}.amazonaws.com/{PSEUDO['AWS::AccountId']}/{queue}"
            case "AWS::S3::Bucket":
                return self.resolved(properties["BucketName"])
            case "AWS::DynamoDB::Table":
                return self.resolved(properties["TableName"])
            case "AWS::IAM::Role":
                return self.resolved(properties.get("RoleName", name))
            case "AWS::Logs::LogGroup":
                return self.resolved(properties["LogGroupName"])
            case _:
                return name

    def _attribute(self, resource: str, attribute: str) -> str:
        region, account = PSEUDO["AWS::Region"], PSEUDO["AWS::AccountId"]
        definition = self.body["Resources"][resource]
        name = self._ref(resource)
        match definition["Type"], attribute:
            case "AWS::IAM::Role", "Arn":
                return f"arn:aws:iam::{account}:role/{name}"
            case "AWS::SQS::Queue", "Arn":
                return f"arn:aws:sqs:{region}:{account}:{name.rpartition('/')[2]}"
            case "AWS::SQS::Queue", "QueueName":
                return str(name.rpartition("/")[2])
            case "AWS::Events::Rule", "Arn":
                return f"arn:aws:events:{region}:{account}:rule/{self.resolved(definition['Properties']['Name'])}"
            case "AWS::DynamoDB::Table", "Arn":
                return f"arn:aws:dynamodb:{region}:{account}:table/{name}"
            case "AWS::S3::Bucket", "Arn":
                return f"arn:aws:s3:::{name}"
            case _:
                return f"{resource}.{attribute}"

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self._evaluated(self.body["Conditions"][condition]))

    def _evaluated(self, condition: Any) -> bool:
        match condition:
            case {"Fn::Equals": [one, other]}:
                return bool(self.resolved(one) == self.resolved(other))
            case {"Fn::Not": [inner]}:
                return not self._evaluated(inner)
            case {"Fn::And": [*parts]}:
                return all(map(self._evaluated, parts))
            case {"Condition": str(name)}:
                return self._holds(name)
            case _:
                raise ValueError(f"a condition that is not known here: {condition}")


def counts(template: Template, metric: str, line: Mapping[str, Any]) -> bool:
    """Return whether the metric filter of a metric counts a line of the log.

    Of the syntax of filters, it knows what the template uses; ValueError for anything else.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
    """
    (pattern,) = (
        each["FilterPattern"]
        for each in template.of_type("AWS::Logs::MetricFilter")
        if each["MetricTransformations"][0]["MetricName"] == metric
    )
    return all(_is_true(condition.strip(), line) for condition in pattern.strip("{ }").split("&&"))


def _is_true(condition: str, line: Mapping[str, Any]) -> bool:
    found = _CONDITION.fullmatch(condition)
    if not found:
        raise ValueError(f"a condition that is not known here: {condition}")
    if found["missing"]:
        return found["name"] not in line
    return (line.get(found["name"]) == found["value"]) is (found["operator"] == "=")
