"""Tests for bot.domain.routing: which channel gets a request, and the rules of that channel."""

from dataclasses import replace

import pytest

from bot.domain.request import Node
from bot.domain.routing import (
    Cause,
    CauseKind,
    Channel,
    LevelRule,
    Match,
    Route,
    causes,
    route,
    same_conversation,
    thread_root,
)
from tests.unit.domain.sample import KEY, request

TAGS = (("Environment", "production"), ("Team", "payments"))
REQUEST = request(node=Node("i-1", tags=TAGS), policy="Manual")
UNREAD = replace(REQUEST, node=Node("i-1"), policy=None)


def tags(**wanted: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the tags of a match, each with one value."""
    return tuple((key, frozenset({value})) for key, value in wanted.items())


@pytest.mark.parametrize(
    ("match", "read", "unread"),
    [
        (Match(), True, True),
        (Match(accounts=frozenset({KEY.account})), True, True),
        (Match(accounts=frozenset({"444455556666"})), False, False),
        (Match(regions=frozenset({KEY.region, "us-east-1"})), True, True),
        (Match(regions=frozenset({"us-east-1"})), False, False),
        (Match(policies=frozenset({"Manual"})), True, None),
        (Match(policies=frozenset({"Other"})), False, None),
        (Match(tags=tags(Environment="production")), True, None),
        (Match(tags=tags(Environment="production", Team="payments")), True, None),
        (Match(tags=tags(Environment="production", Team="other")), False, None),
        (Match(tags=tags(Owner="payments")), False, None),
        (Match(tags=(("Environment", frozenset({"staging", "production"})),)), True, None),
        (Match(regions=frozenset({"us-east-1"}), tags=tags(Environment="production")), False, False),
        (Match(policies=frozenset({"Other"}), tags=tags(Environment="production")), False, None),
    ],
)
def test_channel_matches_requests_that_fit_every_field(match: Match, read: bool, unread: bool | None) -> None:
    """An empty field fits every request. If the result depends on an unread fact, it is None."""
    assert match.matches(REQUEST) is read
    assert match.matches(UNREAD) is unread


def test_node_without_tags_does_not_match_a_channel_that_requires_a_tag() -> None:
    """The node is known to have no tags."""
    assert Match(tags=tags(Environment="production")).matches(replace(REQUEST, node=Node("i-1", tags=()))) is False


@pytest.mark.parametrize(
    ("nodes", "matches"),
    [
        ((Node("i-1", tags=TAGS), Node("i-2", tags=TAGS)), True),
        ((Node("i-1", tags=TAGS), Node("i-2", tags=())), False),
        ((Node("i-1", tags=TAGS), Node("i-2", tags=None)), None),
        ((), None),
    ],
)
def test_channel_matches_only_if_every_node_has_the_required_tags(
    nodes: tuple[Node, ...], matches: bool | None
) -> None:
    """One node without the tags prevents a match. If tags or nodes are unread, the result is None."""
    assert Match(tags=tags(Environment="production")).matches(REQUEST.of_nodes(nodes)) is matches


PRODUCTION = Channel("production", "19:p@thread.tacv2", match=Match(tags=tags(Environment="production")))
EVERYTHING = Channel("everything", "19:e@thread.tacv2", match=Match())
LEADS = Channel("leads", "19:l@thread.tacv2")
REST = Channel("rest", "19:r@thread.tacv2", fallback=True)


def test_request_goes_to_the_first_matching_channel() -> None:
    """Channels are tried in the order of the file, wherever the fallback is in it."""
    settled = Route("production", "19:p@thread.tacv2", settled=True)
    assert route(REQUEST, [REST, LEADS, PRODUCTION, EVERYTHING]) == settled
    assert route(REQUEST, [REST, EVERYTHING, PRODUCTION]).channel == "everything"


def test_unmatched_request_goes_to_the_fallback() -> None:
    """A channel without a match setting is never chosen by matching."""
    staging = replace(REQUEST, node=Node("i-1", tags=(("Environment", "staging"),)))
    assert route(staging, [LEADS, PRODUCTION, REST]) == Route("rest", "19:r@thread.tacv2", settled=True)


def test_route_is_not_settled_while_an_earlier_channel_may_match() -> None:
    """While tags are unread, the fallback gets the request for now, unless an earlier channel matches without tags."""
    assert route(UNREAD, [PRODUCTION, EVERYTHING, REST]) == Route("rest", "19:r@thread.tacv2", settled=False)
    assert route(UNREAD, [EVERYTHING, PRODUCTION, REST]).channel == "everything"


# --- a channel's rules

CHANNEL = Channel(
    "c",
    "19:c@thread.tacv2",
    approvers=("members",),
    approver_role="arn:aws:iam::{account}:role/Approver",
    levels=(
        LevelRule("Level2", ("user:x",), "arn:aws:iam::{account}:role/Lead"),
        LevelRule("Level3", ()),
    ),
)


@pytest.mark.parametrize(
    ("step", "approvers", "role"),
    [("Level1", ("members",), "Approver"), ("Level2", ("user:x",), "Lead"), ("Level3", (), "Approver")],
)
def test_rule_of_a_level_replaces_approvers_and_role_of_the_channel(
    step: str, approvers: tuple[str, ...], role: str
) -> None:
    """A level's list of approvers replaces the channel's, even if it is empty.

    A level's role replaces the channel's only if it is set.
    """
    assert CHANNEL.approvers_at(step) == approvers
    assert CHANNEL.role_at(step, "444455556666") == f"arn:aws:iam::444455556666:role/{role}"


def test_channel_without_a_role_uses_the_bots_own_credentials() -> None:
    """The role of such a channel is None."""
    assert LEADS.role_at("Level1", KEY.account) is None


# --- conversations


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("19:a@thread.tacv2", "19:a@thread.tacv2", True),
        ("19:a@thread.tacv2;messageid=1", "19:a@thread.tacv2", True),
        ("19:a@thread.tacv2;messageid=1", "19:a@thread.tacv2;messageid=2", True),
        ("19:a@thread.tacv2", "19:b@thread.tacv2", False),
        ("19:a@thread.tacv2", "19:A@thread.tacv2", False),
        ("", "", False),
        (None, None, False),
        (None, "19:a@thread.tacv2", False),
    ],
)
def test_conversation_ids_are_compared_without_their_thread_part(
    one: str | None, other: str | None, same: bool
) -> None:
    """A missing conversation id is not equal to any other."""
    assert same_conversation(one, other) is same


def test_missing_conversation_id_has_an_empty_root() -> None:
    """The root of a thread's id is the id of its conversation."""
    assert thread_root(None) == ""
    assert thread_root("19:a@thread.tacv2;messageid=1") == "19:a@thread.tacv2"


def test_ids_with_only_a_thread_part_are_not_the_same_conversation() -> None:
    """An id that has only a thread part is not equal to any other id."""
    assert not same_conversation(";messageid=1", ";messageid=1")


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(), ()),
        (Match(accounts=frozenset({KEY.account, "444455556666"})), (Cause(CauseKind.ACCOUNT, KEY.account),)),
        (Match(regions=frozenset({KEY.region})), (Cause(CauseKind.REGION, KEY.region),)),
        (Match(policies=frozenset({"Manual"})), (Cause(CauseKind.POLICY, "Manual"),)),
        (Match(tags=tags(Environment="production")), (Cause(CauseKind.TAG, "production", "Environment"),)),
    ],
)
def test_causes_are_the_conditions_of_the_channel_that_the_request_meets(
    match: Match, expected: tuple[Cause, ...]
) -> None:
    """Each condition appears with what the request has for it, not with all that the channel accepts."""
    assert causes(REQUEST, replace(PRODUCTION, match=match), [PRODUCTION, REST]) == expected


def test_tag_of_several_nodes_is_one_cause_for_each_value() -> None:
    """Two of three nodes have the same value, which is named once."""
    wanted = (("Environment", frozenset({"production", "staging"})),)
    nodes = [Node(f"i-{each}", tags=(("Environment", each),)) for each in ("production", "staging", "production")]
    named = causes(REQUEST.of_nodes(nodes), replace(PRODUCTION, match=Match(tags=wanted)), [PRODUCTION, REST])
    assert [each.value for each in named] == ["production", "staging"]


def test_fallback_has_the_cause_that_no_other_channel_matches() -> None:
    """Not if the only channel is the fallback, and not if the file has changed so that another channel matches."""
    assert causes(REQUEST, REST, [LEADS, REST]) == (Cause(CauseKind.FALLBACK),)
    assert causes(REQUEST, REST, [REST]) == ()
    assert causes(REQUEST, REST, [PRODUCTION, REST]) == ()


def test_channel_whose_conditions_the_request_no_longer_meets_has_no_cause() -> None:
    """The route of a request is fixed at its first post; a later file can have other conditions."""
    assert causes(REQUEST, replace(PRODUCTION, match=Match(tags=tags(Owner="x"))), [PRODUCTION, REST]) == ()
    assert causes(UNREAD, PRODUCTION, [PRODUCTION, REST]) == ()
