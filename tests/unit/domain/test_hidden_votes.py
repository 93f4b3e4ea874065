"""Property: each vote that the card names is in AWS's votes, or younger than its span, or the votes are unreadable."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.decision import Decision, DecisionState
from bot.domain.effects import is_hidden_vote, votes_due_at
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Level, LevelState, Status, Verdict, Vote
from bot.domain.rules.claims import EFFECT_SPAN, may_be_of, voted_by
from bot.domain.shown.decided import effective_decisions, hidden_lines
from bot.service.clicks.claiming import ClaimLost, Permit, claimed
from bot.service.decisions.permission_check import Inputs
from tests.fakes.aws import ROLE
from tests.fakes.chat import HANAKO, ICHIRO, person
from tests.unit.domain.sample import KEY, NOW, SECOND, TARO_REQUESTER, decision, level, request

PEOPLE = (HANAKO, ICHIRO, person(3))
SESSIONS = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover"
VOTERS = (*(f"{SESSIONS}/{each.upn}" for each in PEOPLE), ROLE, "arn:aws:sts::111122223333:assumed-role/Lead/mei")
SECONDS = st.integers(0, 180).map(lambda seconds: seconds * SECOND)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Return a vote at Level1 in any state, from not sent to accepted by AWS or given up."""
    made = decision(draw(st.sampled_from(PEOPLE)), draw(st.sampled_from(Verdict)), draw(st.sampled_from(DecisionState)))
    at = NOW + draw(SECONDS)
    settled_at = None if made.state.live else at
    role = draw(st.sampled_from([ROLE, None]))
    number = draw(st.integers(0, 10**9))
    sent = "" if role else f"by {made.person.name}"
    return replace(
        made, id=str(number), clicked_at=at, settled_at=settled_at, role=role, execution_id="e", sent_comment=sent
    )


@st.composite
def levels(draw: st.DrawFn) -> Level:
    """Return Level1 as AWS may list it: in any state, with votes of anybody, or with unreadable votes."""
    votes = st.builds(
        Vote,
        st.sampled_from(VOTERS),
        st.sampled_from(Verdict),
        at=st.none() | SECONDS.map(lambda since: NOW + since),
        comment=st.none() | st.sampled_from([f"by {each.name}" for each in PEOPLE]),
    )
    listed = draw(st.none() | st.lists(votes, max_size=4).map(tuple))
    return replace(level(required=draw(st.integers(1, 3))), state=draw(st.sampled_from(LevelState)), votes=listed)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Return a row after one to three reads, each of which may be incomplete or lack the steps."""
    row = Record(KEY, NOW)
    for each in draw(st.lists(decisions(), max_size=4, unique_by=lambda made: made.id)):
        row = row.with_decision(each)
    row, at = replace(row, version=1), NOW
    for _ in range(draw(st.integers(1, 3))):
        at += draw(SECONDS)
        read = replace(
            request(draw(levels()), status=draw(st.sampled_from(Status))),
            complete=draw(st.booleans()),
            steps_read=draw(st.booleans()),
        )
        read = read if draw(st.booleans()) else replace(read, levels=(), complete=False)
        row = replace(row.observed(read, TARO_REQUESTER, at=at, since=row.version), version=row.version + 1)
    return row


def votes_of(row: Record) -> tuple[Vote, ...] | None:
    """Return AWS's votes at Level1 as the row has them."""
    found = row.request.level("Level1") if row.request else None
    return found.votes if found else None


def is_young(row: Record, made: Decision) -> bool:
    """Return True if the last complete read of the votes began within EFFECT_SPAN of the end of the decision.

    True also if there was no such read, or if the decision has not ended.
    """
    if made.settled_at is None or row.votes_read_at is None:
        return True
    return made.settled_at - EFFECT_SPAN <= row.votes_read_at < made.settled_at + EFFECT_SPAN


@given(records())
def test_each_vote_that_a_card_names_is_in_aws_or_recent_or_unreadable(row: Record) -> None:
    """The property holds after any reads. AWS's votes include those that may be this one, as `may_be_of` says."""
    votes = votes_of(row)
    for each in effective_decisions(row):
        if isinstance(each.verdict, Verdict) and votes is not None and not is_young(row, each):
            assert any(voted_by(vote, each) or may_be_of(vote, each) for vote in votes)


@given(records())
def test_every_hidden_vote_was_accepted_its_span_before_the_last_complete_read(row: Record) -> None:
    """A hidden vote was accepted and is not young, and AWS's votes are readable.

    If AWS has votes of its person and verdict, there are at least as many later decisions to which they may belong.
    A person is listed as hidden unless another vote of that person counts at the step.
    """
    votes, hidden = votes_of(row), [each for each in row.decisions if is_hidden_vote(row, each)]
    for each in hidden:
        assert each.state is DecisionState.CONFIRMED
        assert votes is not None
        assert not is_young(row, each)
        mine = sum(voted_by(vote, each) for vote in votes)
        later = [
            other
            for other in row.decisions
            if other.clicked_at > each.clicked_at
            and any(voted_by(vote, other) for vote in votes if voted_by(vote, each))
        ]
        assert mine <= len(later)
    named = {(each.step, each.person.user) for each in effective_decisions(row)}
    shown = {line.who for line in hidden_lines(row)}
    assert shown == {each.person.shown_name for each in hidden if (each.step, each.person.user) not in named}


@given(records(), st.sampled_from(PEOPLE), st.sampled_from(Verdict))
def test_click_is_a_repeat_only_of_a_vote_that_is_not_hidden(row: Record, who: Person, verdict: Verdict) -> None:
    """A click is a repeat exactly if the person has a live or accepted vote at the step that is not hidden.

    The exception: a reject replaces the person's own approval that was not sent.
    """
    permit = Permit(decision(who, verdict), Inputs(0, None, None, None))
    held: Decision | None = None
    try:
        claimed(row, permit, permit.inputs, NOW + timedelta(hours=1))
    except ClaimLost as lost:
        held = lost.claim.held_by
    blocking = [
        each
        for each in row.decisions
        if each.person.user == who.user and (each.state.live or each.state is DecisionState.CONFIRMED)
        if not is_hidden_vote(row, each)
        if not (verdict is Verdict.REJECT and each.verdict is Verdict.APPROVE and each.state is DecisionState.CLAIMED)
    ]
    assert (held is not None) is bool(blocking)


@given(records())
def test_read_is_due_by_the_end_of_the_span_of_an_accepted_vote_that_aws_does_not_show(row: Record) -> None:
    """If AWS does not show an accepted vote, and was last read before its span ended, a read is due by that end."""
    now = NOW + timedelta(hours=1)
    due = votes_due_at(row, now)
    for each in row.decisions:
        if each.state is DecisionState.CONFIRMED and each.settled_at and row.observed_at:
            missing = not any(voted_by(vote, each) for vote in votes_of(row) or ())
            if missing and row.observed_at < each.settled_at + EFFECT_SPAN:
                assert due is not None
                assert due <= each.settled_at + EFFECT_SPAN
