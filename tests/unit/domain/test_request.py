"""Tests for bot.domain.request: the facts of a request."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.request import (
    Execution,
    InvalidRequestKey,
    Level,
    LevelState,
    Node,
    RequestKey,
    Status,
    Verdict,
    Vote,
)
from tests.unit.domain.sample import KEY, NOW, SECOND, level, request

TEXT = "111122223333/ap-northeast-1/oi-0123456789ab"


@pytest.mark.parametrize("text", [TEXT, "111122223333/us-gov-west-1/oi-0123456789ab", str(KEY)])
def test_request_key_is_the_same_after_parsing_and_formatting(text: str) -> None:
    """Parsing and formatting the text of a key gives the same text."""
    assert str(RequestKey.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.upper(),
        TEXT + "\n",
        " " + TEXT,
        TEXT + "/x",
        TEXT.replace("111122223333", "11112222333"),
        TEXT.replace("111122223333", "١١١١٢٢٢٢٣٣٣٣"[:12]),
        TEXT.replace("oi-", "ops-"),
        TEXT.replace("ap-northeast-1", "../etc"),
        TEXT.replace("9ab", "9ag"),
        None,
        7,
        ["111122223333"],
        {"account": "111122223333"},
        TEXT.encode(),
    ],
)
def test_malformed_request_key_is_refused(text: object) -> None:
    """Card data is not trusted, so only a complete key with ASCII digits is accepted."""
    with pytest.raises(InvalidRequestKey):
        RequestKey.parse(text)


@given(st.one_of(st.text(), st.from_regex(r"\d{12}/[a-z]{2}-[a-z]+-\d/oi-[0-9a-f]{12}", fullmatch=True)))
def test_any_text_is_a_request_key_or_raises_the_declared_error(text: str) -> None:
    """Any text is parsed as a key or raises InvalidRequestKey."""
    try:
        key = RequestKey.parse(text)
    except InvalidRequestKey:
        return
    assert str(key) == text
    assert key.account.isascii()


@pytest.mark.parametrize("status", Status)
def test_requests_with_a_final_status_have_ended(status: Status) -> None:
    """Every status except PENDING and UNKNOWN is final."""
    assert status.ended is (status not in {Status.PENDING, Status.UNKNOWN})


# --- levels


def test_level_deadline_is_start_plus_timeout() -> None:
    """The deadline is unknown if the start or the time limit is missing."""
    assert level().deadline == NOW + timedelta(hours=1)
    assert replace(level(), started_at=None).deadline is None
    assert replace(level(), timeout=None).deadline is None


def test_approvals_of_a_level_are_counted_unless_its_votes_are_unreadable() -> None:
    """Rejections are not counted. If the votes are unreadable, the number is unknown and not zero."""
    votes = (Vote("a", Verdict.APPROVE), Vote("b", Verdict.REJECT), Vote("c", Verdict.APPROVE))
    assert replace(level(), votes=votes).approvals == 2
    assert level(approvals=None).approvals is None


LEVELS = (level("Level1", state=LevelState.APPROVED), level("Level2"), level("Level3", state=LevelState.NOT_STARTED))


def test_waiting_level_of_a_request_is_the_first_level_that_waits() -> None:
    """Requests and automation executions have the same rule."""
    asked = request(*LEVELS)
    assert asked.waiting == asked.level("Level2") == LEVELS[1]
    assert asked.deadline == LEVELS[1].deadline
    assert asked.level("Level9") is None
    assert Execution("x", Status.PENDING, LEVELS).waiting == LEVELS[1]
    assert Execution("x", Status.PENDING).waiting is None


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_no_level_waits_unless_the_request_is_pending(status: Status) -> None:
    """If the request's status is final or unknown, none of its levels counts as waiting."""
    over = request(*LEVELS, status=status)
    assert over.waiting is None
    assert over.deadline is None


@pytest.mark.parametrize(("complete", "steps_read"), [(True, False), (False, True), (True, True)])
def test_read_of_every_step_shows_all_votes(complete: bool, steps_read: bool) -> None:
    """Rows of earlier versions only say that the read was complete. Without levels, no read shows votes."""
    read = request(level(), complete=complete, steps_read=steps_read)
    assert read.shows_votes
    assert not replace(read, levels=()).shows_votes
    assert not replace(read, complete=False, steps_read=False).shows_votes


# --- facts from several reads

FULL = replace(
    request(
        reason="why",
        requested_at=NOW,
        modified_at=NOW,
        policy="Manual",
        policy_version="1",
        duration=timedelta(hours=4),
        access_from=NOW,
        access_until=NOW + SECOND,
        execution_id="execution",
        conflicting_policies=("a", "b"),
    ),
    node=Node("i-1", "web", "Linux", "10.0.0.1", (("Owner", "x"),)),
)


def test_fact_that_a_read_lacks_keeps_its_earlier_value() -> None:
    """A fact that the new read lacks keeps its earlier value."""
    bare = replace(request(), levels=(), execution_id=None, node=Node("i-1"), modified_at=NOW)
    assert bare.completed_from(FULL) == FULL
    assert bare.completed_from(None) == bare


def test_facts_of_a_newer_read_replace_those_of_an_older_one() -> None:
    """Status and completeness always come from the newest read."""
    newer = replace(FULL, status=Status.APPROVED, reason="other", levels=(level("Level2"),), complete=False)
    assert newer.completed_from(FULL) == newer


def test_tags_that_were_removed_from_a_node_are_not_kept() -> None:
    """An empty list means that the node has no tags, not that the tags are unread."""
    empty = replace(FULL, node=replace(FULL.node, tags=()))
    assert empty.completed_from(FULL).node.tags == ()


def test_facts_of_an_earlier_node_are_not_kept_for_a_different_node() -> None:
    """If the request names another node, the earlier node's name is not kept."""
    assert replace(FULL, node=Node("i-2")).completed_from(FULL).node == Node("i-2")


def test_facts_of_several_nodes_are_kept_by_node() -> None:
    """Each node keeps its own facts. Nodes that are no longer certain are not taken from an earlier read."""
    one, two = Node("i-1", "web", tags=(("a", "b"),)), Node("i-2", "db")
    earlier = FULL.of_nodes((one, two))
    assert FULL.of_nodes((Node("i-2"), Node("i-1"))).completed_from(earlier).nodes == (two, one)
    assert FULL.of_nodes((Node("i-1"),)).completed_from(earlier).node == one
    assert FULL.of_nodes(()).completed_from(earlier).targets == ()


def test_tag_of_a_node_is_found_by_its_case_sensitive_key() -> None:
    """Keys are case-sensitive. If the tags are unread, there is no value."""
    assert FULL.node.tag("Owner") == "x"
    assert FULL.node.tag("owner") is None
    assert Node("i-1").tag("Owner") is None


def test_level_has_not_started_by_default() -> None:
    """A level without a state does not count as waiting."""
    assert Level("Level1").state is LevelState.NOT_STARTED
