"""Tests for bot.domain.rules.claims: whether a vote that AWS shows is, or may be, that of a decision."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.decision import DecisionState
from bot.domain.request import Verdict, Vote
from bot.domain.rules.claims import CUT, may_be_of, voted_by
from tests.fakes.aws import ROLE
from tests.fakes.chat import HANAKO
from tests.unit.domain.sample import decision

SESSIONS = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover"
COMMENT = "looks good, until the backup of tonight " * 10
SENT = replace(decision(HANAKO, state=DecisionState.CONFIRMED), role=ROLE, execution_id="e", sent_comment=COMMENT)


@pytest.mark.parametrize(
    ("sent", "comment", "mine"),
    [
        (COMMENT, COMMENT, True),
        (COMMENT, COMMENT[:CUT], True),
        (COMMENT, COMMENT[: CUT - 1], False),
        (COMMENT, None, False),
        (COMMENT, "another comment", False),
        ("", "", False),
        ("", None, False),
    ],
    ids=["whole", "cut", "shorter", "none", "another", "both empty", "neither"],
)
def test_vote_that_names_only_the_role_is_matched_by_its_comment(sent: str, comment: str | None, mine: bool) -> None:
    """AWS may cut a long comment. An empty comment identifies nobody, because every session of the role may have one."""
    vote = Vote(ROLE, Verdict.APPROVE, comment=comment)
    assert voted_by(vote, replace(SENT, sent_comment=sent)) is mine


@pytest.mark.parametrize(
    ("by", "possible"),
    [
        (f"{SESSIONS}/another.name@example.com", True),
        (ROLE, True),
        ("arn:aws:sts::111122223333:assumed-role/AnotherRole/hanako.sato@example.com", False),
        ("1234567890-e1fbc510-8081-70c2-448f-0123456789ab", False),
    ],
)
def test_vote_may_belong_to_a_decision_only_with_the_same_role_and_verdict(by: str, possible: bool) -> None:
    """AWS may record another session name than that of the signal. A vote with another verdict is another vote."""
    assert may_be_of(Vote(by, Verdict.APPROVE), SENT) is possible
    assert not may_be_of(Vote(by, Verdict.REJECT), SENT)


@pytest.mark.parametrize(
    ("seconds", "possible"), [(None, True), (30, True), (0, True), (-60, True), (-61, False), (-3600, False)]
)
def test_vote_from_over_a_minute_before_the_click_does_not_belong_to_the_decision(
    seconds: int | None, possible: bool
) -> None:
    """The clocks of AWS and the bot may differ by a minute. A vote without a time may be from any moment."""
    at = None if seconds is None else SENT.clicked_at + timedelta(seconds=seconds)
    assert may_be_of(Vote(f"{SESSIONS}/another.name@example.com", Verdict.APPROVE, at=at), SENT) is possible


def test_vote_of_the_bots_own_session_without_a_comment_may_belong_to_a_decision() -> None:
    """A decision without a role is sent with the bot's own credentials, and only its comment names the person."""
    own = replace(SENT, role=None)
    assert may_be_of(Vote("arn:aws:sts::111122223333:assumed-role/Bot/task", Verdict.APPROVE), own)
    assert not may_be_of(Vote("arn:aws:sts::111122223333:assumed-role/Bot/task", Verdict.APPROVE, comment="x"), own)
