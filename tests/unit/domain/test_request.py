"""bot.domain.request: the facts of a request."""

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
def test_keys_go_there_and_back(text: str) -> None:
    """A key as text is read as the same key."""
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
def test_what_is_no_key_is_refused(text: object) -> None:
    """Cards bring back what they like; only a whole key is one, of ASCII digits."""
    with pytest.raises(InvalidRequestKey):
        RequestKey.parse(text)


@given(st.one_of(st.text(), st.from_regex(r"\d{12}/[a-z]{2}-[a-z]+-\d/oi-[0-9a-f]{12}", fullmatch=True)))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    """Parse it, or raise the one declared error."""
    try:
        key = RequestKey.parse(text)
    except InvalidRequestKey:
        return
    assert str(key) == text
    assert key.account.isascii()


@pytest.mark.parametrize("status", Status)
def test_what_ends_a_request(status: Status) -> None:
    """Only what is pending, or not understood, may still be decided."""
    assert status.ended is (status not in {Status.PENDING, Status.UNKNOWN})


# --- levels


def test_a_level_lapses_after_its_time() -> None:
    """Start and time-out together; without either nobody knows."""
    assert level().deadline == NOW + timedelta(hours=1)
    assert replace(level(), started_at=None).deadline is None
    assert replace(level(), timeout=None).deadline is None


def test_approvals_are_counted() -> None:
    """Rejections are no approvals, and votes that cannot be read are not zero."""
    votes = (Vote("a", Verdict.APPROVE), Vote("b", Verdict.REJECT), Vote("c", Verdict.APPROVE))
    assert replace(level(), votes=votes).approvals == 2
    assert level(approvals=None).approvals is None


LEVELS = (level("Level1", state=LevelState.APPROVED), level("Level2"), level("Level3", state=LevelState.NOT_STARTED))


def test_the_waiting_level_is_the_one_that_waits() -> None:
    """The first that waits, of a request and of an execution."""
    asked = request(*LEVELS)
    assert asked.waiting == asked.level("Level2") == LEVELS[1]
    assert asked.deadline == LEVELS[1].deadline
    assert asked.level("Level9") is None
    assert Execution("x", Status.PENDING, LEVELS).waiting == LEVELS[1]
    assert Execution("x", Status.PENDING).waiting is None


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_nothing_waits_once_the_request_is_over(status: Status) -> None:
    """Whatever its levels say; nor while its status is not understood."""
    over = request(*LEVELS, status=status)
    assert over.waiting is None
    assert over.deadline is None


# --- facts from several looks

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


def test_what_an_earlier_look_knew_is_kept() -> None:
    """What cannot be read any more does not vanish from the card."""
    bare = replace(request(), levels=(), execution_id=None, node=Node("i-1"), modified_at=NOW)
    assert bare.completed_from(FULL) == FULL
    assert bare.completed_from(None) == bare


def test_what_is_known_now_counts() -> None:
    """Newer facts replace older ones; status and completeness are always the newest."""
    newer = replace(FULL, status=Status.APPROVED, reason="other", levels=(level("Level2"),), complete=False)
    assert newer.completed_from(FULL) == newer


def test_tags_that_were_taken_away_are_gone() -> None:
    """Read and empty is not unread."""
    empty = replace(FULL, node=replace(FULL.node, tags=()))
    assert empty.completed_from(FULL).node.tags == ()


def test_another_node_keeps_nothing_of_the_first() -> None:
    """A name belongs to its node."""
    assert replace(FULL, node=Node("i-2")).completed_from(FULL).node == Node("i-2")


def test_tags_are_looked_up() -> None:
    """By their key; unread tags have no values."""
    assert FULL.node.tag("Owner") == "x"
    assert FULL.node.tag("owner") is None
    assert Node("i-1").tag("Owner") is None


def test_a_level_has_not_started_unless_said() -> None:
    """The cautious default."""
    assert Level("Level1").state is LevelState.NOT_STARTED
