"""Judges the trust policy of a role when a caller assumes it, as STS does: what is not allowed is refused.

Knows the principals, operators and keys that the policies of this product use; any other allows nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

ASSUME: Final = "sts:AssumeRole"
OPERATORS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": fnmatchcase,
}


@dataclass(frozen=True, slots=True)
class Assumption:
    """A call of AssumeRole: the ARN of the caller's own role, and what the caller sends."""

    by: str
    session_name: str
    source_identity: str = ""
    external_id: str = ""

    @property
    def context(self) -> Mapping[str, str]:
        """The condition keys of the call. A key without a value is missing."""
        keys = {
            "sts:RoleSessionName": self.session_name,
            "sts:SourceIdentity": self.source_identity,
            "sts:ExternalId": self.external_id,
        }
        return {key: value for key, value in keys.items() if value}


def is_trusted(policy: Mapping[str, Any], assumption: Assumption) -> bool:
    """Return whether a statement of the trust policy allows the call."""
    return any(_allows(each, assumption) for each in policy.get("Statement", ()))


def _allows(statement: Mapping[str, Any], assumption: Assumption) -> bool:
    principal = statement.get("Principal")
    names = _listed(principal.get("AWS")) if isinstance(principal, Mapping) else ()
    return (
        statement.get("Effect") == "Allow"
        and assumption.by in names
        and ASSUME in _listed(statement.get("Action"))
        and _meets(statement.get("Condition", {}), assumption.context)
    )


def _meets(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    return all(
        operator in OPERATORS
        and key in context
        and any(OPERATORS[operator](context[key], str(each)) for each in _listed(wanted))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _listed(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
