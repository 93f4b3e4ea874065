"""Tests for bot.domain.effects: whether a signal that AWS never answered took effect."""

from dataclasses import replace

import pytest

from bot.domain.decision import DecisionState, Outcome
from bot.domain.effects import follows_vote_in_role, shares_role, votes_due_at
from bot.domain.record import Record
from bot.domain.request import AccessRequest, LevelState, Status, Verdict, Vote
from bot.domain.rules.claims import may_be_of, voted_by
from tests.fakes.aws import LEAD, ROLE
from tests.fakes.chat import HANAKO, ICHIRO
from tests.unit.domain.sample import KEY, NOW, decision, level, request, settled

APPROVE, REJECT = Verdict
MINE = f"{ROLE.replace('iam', 'sts').replace('role/', 'assumed-role/')}/{HANAKO.upn}"
SENT = decision(HANAKO, APPROVE, DecisionState.UNKNOWN)
LATE = 61  # seconds after the click; a decision's deadline is after 60


@pytest.mark.parametrize(
    ("by", "verdict", "mine"),
    [
        (MINE, APPROVE, True),
        (MINE.upper().replace("ARN:AWS:STS", "arn:aws:sts").replace("ASSUMED-ROLE", "assumed-role"), APPROVE, True),
        (HANAKO.upn, APPROVE, True),
        (MINE, REJECT, False),
        (MINE.replace("hanako", "ichiro"), APPROVE, False),
        (f"x{HANAKO.upn}", APPROVE, False),
        ("", APPROVE, False),
    ],
)
def test_vote_is_matched_by_session_name_and_verdict(by: str, verdict: Verdict, mine: bool) -> None:
    """A vote in AWS is the decision's own if its session name, in upper or lower case, and its verdict are the same."""
    assert voted_by(Vote(by, verdict), SENT) is mine


@pytest.mark.parametrize(
    "by",
    [
        MINE.replace("111122223333", "444455556666"),
        MINE.replace("arn:aws:", "arn:aws-cn:"),
        MINE.replace("NodeAccessApprover", "other/NodeAccessApproverToo"),
    ],
)
def test_vote_of_the_same_session_name_in_another_role_is_not_the_persons_vote(by: str) -> None:
    """Anybody can choose the session name in a role of the same name in another account."""
    in_role = replace(SENT, role=ROLE)
    assert voted_by(Vote(MINE, APPROVE), in_role)
    assert not voted_by(Vote(by, APPROVE), in_role)
    assert not may_be_of(Vote(by, APPROVE), in_role)


def test_vote_that_aws_records_under_a_role_with_another_path_is_not_the_persons_vote() -> None:
    """AWS may record the role in place of its session. A session's ARN has no path, so it is compared without."""
    in_role = replace(SENT, role=ROLE.replace("role/", "role/team/"), sent_comment="by Hanako")
    for by, mine in ((in_role.role, True), (ROLE, False), (ROLE.replace("role/", "role/other/"), False)):
        assert voted_by(Vote(str(by), APPROVE, comment="by Hanako"), in_role) is mine
    assert voted_by(Vote(MINE, APPROVE), in_role)


@pytest.mark.parametrize("seconds", [1, LATE])
def test_unknown_decision_is_confirmed_if_aws_shows_its_vote(seconds: float) -> None:
    """AWS may show it a second, or over a minute, after the click."""
    shown = replace(level(required=2), votes=(Vote(MINE, APPROVE),))
    assert settled(SENT, request(shown), seconds=seconds) == (DecisionState.CONFIRMED, None)


@pytest.mark.parametrize(
    ("verdict", "state", "expected"),
    [
        (APPROVE, LevelState.APPROVED, DecisionState.CONFIRMED),
        (REJECT, LevelState.REJECTED, DecisionState.CONFIRMED),
        (APPROVE, LevelState.REJECTED, DecisionState.UNKNOWN),
        (REJECT, LevelState.APPROVED, DecisionState.UNKNOWN),
        (APPROVE, LevelState.WAITING, DecisionState.UNKNOWN),
    ],
)
def test_unknown_decision_follows_the_state_of_the_level_if_votes_are_unreadable(
    verdict: Verdict, state: LevelState, expected: DecisionState
) -> None:
    """If the level ended as the decision would have ended it, the decision is confirmed. Otherwise it stays unknown."""
    unknown = decision(HANAKO, verdict, DecisionState.UNKNOWN)
    assert settled(unknown, request(level(approvals=None, state=state)))[0] is expected


@pytest.mark.parametrize(
    "asked",
    [
        request(level(state=LevelState.APPROVED), status=Status.APPROVED),
        request(level(state=LevelState.APPROVED), level("Level2")),
    ],
)
def test_unknown_decision_is_released_if_a_finished_level_lacks_its_vote(asked: AccessRequest) -> None:
    """The decision is released if the request ended or another step waits, and AWS does not list the vote."""
    assert settled(SENT, asked) == (DecisionState.RELEASED, Outcome.SETTLED)


def test_unknown_decision_without_a_visible_effect_stays_unknown_for_one_minute() -> None:
    """The level still waits, or the level or the whole request cannot be read."""
    for asked in (request(), None, replace(request(), levels=())):
        assert settled(SENT, asked, seconds=60) == (DecisionState.UNKNOWN, None)


def test_unknown_decision_is_released_after_one_minute() -> None:
    """The outcome is then NO_ANSWER, whether or not AWS can be read."""
    for asked in (request(), None, request(level(approvals=None)), request(status=Status.TIMED_OUT, levels=())):
        assert settled(SENT, asked, seconds=LATE) == (DecisionState.RELEASED, Outcome.NO_ANSWER)


# --- accepted votes, and other votes in the same role

FIRST = replace(decision(HANAKO, APPROVE, DecisionState.CONFIRMED), role=ROLE)
UNREADABLE = Record(KEY, NOW, request=request(level(required=2, approvals=None)))


def test_read_is_due_for_an_accepted_vote_until_aws_shows_it() -> None:
    """The level needs a second vote. Once AWS shows the first one, nothing has to be found out by another read."""
    for votes, due in (((), True), ((Vote(MINE, APPROVE),), False)):
        row = Record(KEY, NOW, request=request(replace(level(required=2), votes=votes)), observed_at=NOW)
        assert (votes_due_at(row.with_decision(FIRST), NOW) is not None) is due


@pytest.mark.parametrize(
    ("role", "step", "follows"), [(ROLE, "Level1", True), (LEAD, "Level1", False), (ROLE, "Level2", False)]
)
def test_vote_follows_an_accepted_one_in_the_same_role_at_the_same_level_only(
    role: str, step: str, follows: bool
) -> None:
    """A denied vote in another role, or at another level, says that its own role lacks the permission."""
    row = replace(UNREADABLE, request=request(level(required=2), level("Level2"))).with_decision(FIRST)
    second = replace(decision(ICHIRO, APPROVE, DecisionState.REFUSED, step=step), role=role)
    assert follows_vote_in_role(row.with_decision(second), second) is follows


@pytest.mark.parametrize("role", [ROLE, None])
def test_votes_share_a_role_only_if_they_were_cast_in_one(role: str | None) -> None:
    """The bot's own credentials are no role that an approver could change."""
    second = replace(decision(ICHIRO, APPROVE, DecisionState.CONFIRMED), role=role)
    row = UNREADABLE.with_decision(replace(FIRST, role=role)).with_decision(second)
    assert shares_role(row, second) is (role is not None)
