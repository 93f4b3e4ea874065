"""Reads the nodes of a request from the data of its OpsItem. Sans-IO.

AWS has published one form, for one node: `{"targets": {"instanceId": "arn:aws:ec2:…:instance/i-…"}}`. A request may
have several nodes, and the form for these is unknown. So every text in the targets must be a node of the request's
account and Region, and the other data must mention no further node. Otherwise no node is certain, and none is returned.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartAccessRequest.html
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from bot.aws.jit.assumptions import MOST_NODES, NODE_KEYS, TARGETS
from bot.boto.fields import decoded, mapping, text
from bot.domain.request import RequestKey

TYPE: Final = "/aws/accessrequest"  # type of the OpsItem, and the key of its data about the request
_CONTEXT: Final = f"{TYPE}/context"
_WRITTEN_BY_PEOPLE: Final = frozenset({TYPE, f"{TYPE}/approvaldetails"})  # names of policies, and the reason
_ID = r"m?i-[0-9a-f]{8,17}"
_MENTIONED = re.compile(rf"(?<![0-9a-z]){_ID}(?![0-9a-z])")
_NODE = re.compile(
    r"(?:arn:aws[a-z-]*:(?:ec2|ssm):(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):(?:managed-)?instance/)?"
    rf"(?P<id>{_ID})"
)
_SEPARATORS = re.compile(r"[,;\s]+")
_DEEPEST = 8  # levels of nested values; AWS's sample has two


class _NotUnderstood(Exception):
    """The targets hold something other than nodes of the request's account and Region."""


def target_nodes(data: Mapping[str, object], owner: RequestKey) -> tuple[str, ...]:
    """Return the ids of all nodes of a request, in AWS's order; () if it is not certain which these are.

    `data` is the operational data by key. `owner` is the request; the nodes must be in its account and Region.
    """
    context = mapping(decoded(data.get(_CONTEXT)))
    try:
        named = tuple(dict.fromkeys(_nodes(context.get(TARGETS), owner)))
    except _NotUnderstood:
        return ()
    return named if len(named) <= MOST_NODES and _mentioned(data) == set(named) else ()


def _mentioned(data: Mapping[str, object]) -> set[str]:
    values = (text(value) or "" for key, value in data.items() if key not in _WRITTEN_BY_PEOPLE)
    return {each for value in values for each in _MENTIONED.findall(value)}


def _nodes(value: object, owner: RequestKey, depth: int = 0) -> Iterator[str]:
    """Yield the id of each node in a value of the targets. Raises _NotUnderstood."""
    if depth > _DEEPEST:
        raise _NotUnderstood
    match value:
        case None | "":
            return
        case str():
            yield from _in_text(value, owner, depth)
        case list():
            for each in value:
                yield from _nodes(each, owner, depth + 1)
        case dict():
            for each in _values(value):
                yield from _nodes(each, owner, depth + 1)
        case _:
            raise _NotUnderstood


def _in_text(value: str, owner: RequestKey, depth: int) -> Iterator[str]:
    if isinstance(inner := decoded(value), list | dict):  # AWS writes lists as JSON texts in other places
        yield from _nodes(inner, owner, depth + 1)
        return
    for word in filter(None, _SEPARATORS.split(value)):
        found = _NODE.fullmatch(word)
        if not found or (found["account"] and (found["account"], found["region"]) != (owner.account, owner.region)):
            raise _NotUnderstood
        yield found["id"]


def _values(value: Mapping[str, object]) -> Iterator[object]:
    """Yield the members of a mapping; only the values of `{Key, Values}`, the form that StartAccessRequest takes.

    Raises _NotUnderstood if `Key` does not mean nodes.
    """
    names = {name.casefold(): each for name, each in value.items()}
    key = names.pop("key", None) if names.keys() & {"value", "values"} else None
    if key is not None and (not isinstance(key, str) or key.casefold() not in NODE_KEYS):
        raise _NotUnderstood  # a tag, for example, stands for nodes that are not named
    yield from names.values()
