"""Approval policies: parses ManualApprovalPolicy and AutoApprovalPolicy documents, and finds those for a node.

Knows the documents' form and the order in which policies apply. Must not know requests or AWS's protocols.
https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-just-in-time-node-access-approval-policies.html
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import yaml

from bot.sandbox.aws.jit.assumptions import ALL_NODES_TARGET
from bot.sandbox.aws.jit.requests import Approver, Level

MANUAL: Final = "ManualApprovalPolicy"
AUTO: Final = "AutoApprovalPolicy"
MAX_LEVELS = 5  # this limit and the next two are from the user guide
MAX_APPROVERS = 5
ACCESS_HOURS = range(1, 337)
DEFAULT_TIMEOUT = 604_800  # seconds; the default of aws:approve
MAX_TIMEOUT = 2_592_000

# The only form of Cedar permission that the sandbox supports: tags that must all exist, or no condition.
_PERMIT = re.compile(
    r"permit\s*\(\s*principal\s*,\s*action\s*==\s*AWS::SSM::Action::\"getTokenForInstanceAccess\"\s*,\s*resource\s*\)"
    r"\s*(?:when\s*\{(?P<when>[^}]*)\}\s*)?;"
)
_HAS_TAG = re.compile(r"resource\.hasTag\(\"([^\"]+)\"\)")
_TAG_IS = re.compile(r"resource\.getTag\(\"([^\"]+)\"\)\s*==\s*\"([^\"]*)\"")

Tags = Mapping[str, str]


class InvalidPolicy(ValueError):
    """The document is not an approval policy that the sandbox supports; the text says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One parsed approval policy document."""

    name: str
    kind: str
    content: str
    format: str
    created_at: datetime
    access_duration: timedelta
    targets: tuple[tuple[str, tuple[str, ...]], ...] = ()  # key, values
    levels: tuple[Level, ...] = ()  # empty: requests are approved immediately
    permitted_tags: tuple[Tags, ...] = ()  # AUTO: for each permission, the tags that must exist
    required_keys: tuple[frozenset[str], ...] = ()  # AUTO: for each permission, the tag keys that must exist
    version: str = "1"
    description: str = ""


def read_policy(name: str, *, kind: str, content: str, format_: str, created_at: datetime) -> Policy:
    """Parse a document. Raises InvalidPolicy."""
    body = _parsed(content, format_)
    try:
        policy = Policy(
            name=name,
            kind=kind,
            content=content,
            format=format_,
            created_at=created_at,
            access_duration=_duration(body),
            description=str(body.get("description", "")),
        )
        return _manual(policy, body) if kind == MANUAL else _auto(policy, body)
    except InvalidPolicy:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidPolicy(f"the document lacks {error} or has it in another form") from error


def written(policy: Policy, format_: str) -> str:
    """Return the document as JSON or YAML, unchanged or converted. Raises InvalidPolicy."""
    if format_ == policy.format:
        return policy.content
    body = _parsed(policy.content, policy.format)
    match format_:
        case "JSON":
            return json.dumps(body, ensure_ascii=False, indent=2)
        case "YAML":
            return str(yaml.safe_dump(body, allow_unicode=True, sort_keys=False))
        case _:
            raise InvalidPolicy(f"an approval policy is JSON or YAML, not {format_}")


def applicable(policies: Iterable[Policy], node_id: str, tags: Tags) -> list[Policy]:
    """Return the policies that apply to a node: one, none, or several that conflict.

    The first of these groups that has a policy applies: auto-approval policies, manual policies for one of the node's
    tags, manual policies for all nodes or for this node id.
    """
    known = list(policies)
    for rank in (_auto_approves, _targets_tags, _targets_all):
        if found := [p for p in known if rank(p, node_id, tags)]:
            return found
    return []


def _auto_approves(policy: Policy, _node_id: str, tags: Tags) -> bool:
    permissions = zip(policy.permitted_tags, policy.required_keys, strict=True)
    return any(wanted.items() <= tags.items() and keys <= tags.keys() for wanted, keys in permissions)


def _targets_tags(policy: Policy, _node_id: str, tags: Tags) -> bool:
    return any(tags.get(key.removeprefix("tag:")) in values for key, values in policy.targets if key[:4] == "tag:")


def _targets_all(policy: Policy, node_id: str, _tags: Tags) -> bool:
    all_key, everything = ALL_NODES_TARGET
    return any(key == all_key and {everything, node_id} & set(values) for key, values in policy.targets)


def _parsed(content: str, format_: str) -> dict[str, Any]:
    try:
        body = json.loads(content) if format_ == "JSON" else yaml.safe_load(content)
    except (ValueError, yaml.YAMLError) as error:
        raise InvalidPolicy(f"not {format_}: {error}") from error
    if not isinstance(body, dict) or body.get("schemaVersion") != "0.3":
        raise InvalidPolicy("an approval policy has schemaVersion '0.3'")
    return body


def _duration(body: dict[str, Any]) -> timedelta:
    seconds = int(body["accessDuration"])
    if not ACCESS_HOURS.start * 3600 <= seconds <= ACCESS_HOURS[-1] * 3600:
        raise InvalidPolicy("accessDuration is 1 to 336 hours, in seconds")
    return timedelta(seconds=seconds)


def _manual(policy: Policy, body: dict[str, Any]) -> Policy:
    targets = tuple((t["Key"], tuple(t["Values"])) for t in body["targets"])
    levels = tuple(_level(step) for step in body["mainSteps"])
    if not targets or not 1 <= len(levels) <= MAX_LEVELS:
        raise InvalidPolicy(f"a manual policy has targets and 1 to {MAX_LEVELS} levels")
    return replace(policy, targets=targets, levels=levels)


def _level(step: dict[str, Any]) -> Level:
    inputs = step["inputs"]
    approvers = tuple(Approver(a["approver"], a["type"]) for a in inputs["EnhancedApprovals"]["Approvers"])
    needed, timeout = int(inputs.get("MinRequiredApprovals", 1)), int(step.get("timeoutSeconds", DEFAULT_TIMEOUT))
    if step["action"] != "aws:approve" or not 1 <= len(approvers) <= MAX_APPROVERS:
        raise InvalidPolicy(f"a level is an aws:approve step with 1 to {MAX_APPROVERS} approvers")
    if needed < 1 or not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidPolicy("a level needs at least one approval and a time-out of at most 30 days")
    return Level(step["name"], approvers, needed, timedelta(seconds=timeout), str(inputs.get("Message", "")))


def _auto(policy: Policy, body: dict[str, Any]) -> Policy:
    conditions = [c for d in body["AutoApprovalPolicyDocuments"] for c in _conditions(d["content"])]
    wanted = tuple(dict(_TAG_IS.findall(c)) for c in conditions)
    return replace(
        policy, permitted_tags=wanted, required_keys=tuple(frozenset(_HAS_TAG.findall(c)) for c in conditions)
    )


def _conditions(cedar: str) -> list[str]:
    text = re.sub(r"//[^\n]*", "", cedar)
    conditions = [m["when"] or "" for m in _PERMIT.finditer(text)]
    unknown = [_PERMIT.sub("", text), *(_TAG_IS.sub("", _HAS_TAG.sub("", c)) for c in conditions)]
    if not conditions or any(re.sub(r"[\s&]", "", u) for u in unknown):
        raise InvalidPolicy("the sandbox supports only: permit … when { resource.hasTag(…) && … == … };")
    return conditions
