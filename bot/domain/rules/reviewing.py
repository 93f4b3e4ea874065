"""Reviews: marks of approvers who are looking at a waiting request. They end by themselves and block no one.

People join: a second person's mark removes no first one, because both statements are true, and a level may need several
approvals. The newest MOST_REVIEWS are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.decision import Decision, DecisionState
from bot.domain.spans import runs

REVIEW_SPAN = timedelta(minutes=10)  # after the last click; a person who needs longer clicks again
RENEWED_AFTER = timedelta(minutes=1)  # an earlier click changes nothing, so repeated clicks cause few writes
MOST_REVIEWS = 3  # the card of a phone has room for about as many names


@dataclass(frozen=True, slots=True)
class Review:
    """One person's mark. `user` is the Microsoft Entra object id."""

    user: str
    name: str
    step: str  # the level that waited at the click; the mark ends with it
    until: datetime


def renewed(reviews: Sequence[Review], review: Review, *, now: datetime) -> tuple[Review, ...]:
    """Return the marks that are active at this step, with the new one. A person's own mark keeps its place."""
    active = [each for each in reviews if each.step == review.step and runs(each.until, now=now, span=REVIEW_SPAN)]
    own = next((each for each in active if each.user == review.user), None)
    if own and review.until - own.until < RENEWED_AFTER:
        return tuple(reviews)
    if own:
        return tuple(review if each is own else each for each in active)
    return (*active[1 - MOST_REVIEWS :], review)


def active_reviews(
    reviews: Sequence[Review], decisions: Sequence[Decision], *, step: str, now: datetime
) -> tuple[Review, ...]:
    """Return the marks to show while this step waits: those that have not ended, of people who have not voted there."""
    voted = {each.person.user for each in decisions if each.step == step and _is_vote(each)}
    return tuple(
        each
        for each in reviews
        if each.step == step and each.user not in voted and runs(each.until, now=now, span=REVIEW_SPAN)
    )


def _is_vote(decision: Decision) -> bool:
    return decision.state.live or decision.state is DecisionState.CONFIRMED
