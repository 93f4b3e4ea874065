"""Who goes on: the rules by which a click claims a decision on the row, so that nothing is sent once too often.

A claim reaches nobody; it only settles who goes on. What AWS accepted and does not show yet counts as given.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Person, Principal
from bot.domain.permission import can_be_cancelled, can_be_revoked
from bot.domain.request import AccessRequest, Action, Level, LevelState, Status, Verdict, Vote, Withdrawal

CUT = 200  # characters; a longer comment may have been cut: AWS shows 512 of a decision, ARN and JSON included
EFFECT_SPAN = timedelta(seconds=60)  # what was accepted and is not shown by then is not waited for any more


class ClaimRefusal(StrEnum):
    """Why a claim was not granted."""

    ENDED = "ended"  # the request has ended
    STEP_PASSED = "step_passed"  # another step waits now
    REPEAT = "repeat"  # this person's decision at this step is on its way or done
    OTHERS_FIRST = "others_first"  # others are deciding just now


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: granted, or why not and whose decision stands in the way."""

    refusal: ClaimRefusal | None = None
    held_by: Decision | None = None


def claim(
    *,
    person: Person,
    verdict: Action,
    step: str,
    request: AccessRequest,
    decisions: tuple[Decision, ...],
    now: datetime,
) -> Claim:
    """Say whether a click may go on to be sent.

    At most one live claim per person and step; live approve claims stay within the approvals that are missing; a
    reject goes alone at its step, a cancellation at all of them, and of revocations there is one at a time. What AWS
    accepted and does not show yet counts as on its way.
    """
    if isinstance(verdict, Withdrawal):
        return _claim_withdrawal(person, withdrawal=verdict, step=step, request=request, decisions=decisions, now=now)
    return _claim_vote(person, verdict=verdict, step=step, request=request, decisions=decisions, now=now)


def _claim_vote(
    person: Person,
    *,
    verdict: Verdict,
    step: str,
    request: AccessRequest,
    decisions: tuple[Decision, ...],
    now: datetime,
) -> Claim:
    here = tuple(each for each in decisions if each.step == step and isinstance(each.verdict, Verdict))
    if own := _standing(here, person):
        return Claim(ClaimRefusal.REPEAT, own)
    if request.status.ended:
        return Claim(ClaimRefusal.ENDED)
    if request.waiting and request.waiting.step != step:
        return Claim(ClaimRefusal.STEP_PASSED)
    if any(each.verdict is Withdrawal.CANCEL and under_way(each, request, now) for each in decisions):
        return Claim(ClaimRefusal.OTHERS_FIRST)
    live = tuple(each for each in here if each.state.live)
    if _in_the_way(verdict, live, _missing(request, step, here, now)):
        return Claim(ClaimRefusal.OTHERS_FIRST)
    return Claim()


def _claim_withdrawal(
    person: Person,
    *,
    withdrawal: Withdrawal,
    step: str,
    request: AccessRequest,
    decisions: tuple[Decision, ...],
    now: datetime,
) -> Claim:
    """Unlike a vote, one that AWS accepted and has not shown for EFFECT_SPAN may be tried again by the same person."""
    on_their_way = tuple(each for each in decisions if under_way(each, request, now))
    same = tuple(each for each in on_their_way if each.verdict is withdrawal)
    if own := _standing(same, person):
        return Claim(ClaimRefusal.REPEAT, own)
    if not (can_be_revoked(request, now) if withdrawal is Withdrawal.REVOKE else can_be_cancelled(request)):
        return Claim(ClaimRefusal.ENDED)
    if withdrawal is Withdrawal.REVOKE and (request.last_level is None or request.last_level.step != step):
        return Claim(ClaimRefusal.STEP_PASSED)
    # a vote cannot change access that is granted
    in_the_way = same if withdrawal is Withdrawal.REVOKE else on_their_way
    return Claim(ClaimRefusal.OTHERS_FIRST) if in_the_way else Claim()


def under_way(decision: Decision, request: AccessRequest | None, now: datetime) -> bool:
    """True for what may yet have an effect that AWS does not show."""
    return decision.state.live or awaits_effect(decision, request, now)


def _standing(decisions: tuple[Decision, ...], person: Person) -> Decision | None:
    kept = (each for each in decisions if each.state.live or each.state is DecisionState.CONFIRMED)
    return next((each for each in kept if each.person.object_id.casefold() == person.object_id.casefold()), None)


def _in_the_way(verdict: Verdict, live: tuple[Decision, ...], missing: int) -> bool:
    if verdict is Verdict.REJECT:
        return bool(live) or missing < 1
    return len(live) >= missing or any(each.verdict is Verdict.REJECT for each in live)


def _missing(request: AccessRequest, step: str, here: tuple[Decision, ...], now: datetime) -> int:
    """Approvals still missing, as far as can be told: never less cautious than one at a time."""
    level = request.level(step)
    hidden = [each for each in here if awaits_effect(each, request, now)]
    if any(each.verdict is Verdict.REJECT for each in hidden):
        return 0
    if level is None or level.required is None or level.approvals is None:
        return 0 if hidden else 1
    still = max(1, level.required - level.approvals)  # waiting although enough voted: AWS did not count them all
    return still - len(hidden)


def has_room(decision: Decision, level: Level, decisions: tuple[Decision, ...], now: datetime) -> bool:
    """True if a vote still counts for this level, as it was read just now, whatever has left for it before."""
    if not isinstance(decision.verdict, Verdict) or level.required is None or level.votes is None:
        return True  # no vote, or the only one of its level, by the claim
    others = (each for each in decisions if each.id != decision.id and each.step == level.step)
    ahead = [each for each in others if _may_count_yet(each, now) and not any(voted_by(v, each) for v in level.votes)]
    return len(ahead) < max(1, level.required - (level.approvals or 0))


def _may_count_yet(decision: Decision, now: datetime) -> bool:
    if decision.state is DecisionState.CONFIRMED:
        return decision.settled_at is not None and now < decision.settled_at + EFFECT_SPAN
    return decision.state in {DecisionState.SENT, DecisionState.UNKNOWN} and isinstance(decision.verdict, Verdict)


def awaits_effect(decision: Decision, request: AccessRequest | None, now: datetime) -> bool:
    """True for what AWS accepted and does not show yet: a signal is an event, its effect may come later.

    Not for ever: after EFFECT_SPAN AWS has evidently not counted it, and somebody else must be able to decide.
    """
    if decision.state is not DecisionState.CONFIRMED or decision.settled_at is None or _shows(request, decision):
        return False
    return now < decision.settled_at + EFFECT_SPAN


def _shows(request: AccessRequest | None, decision: Decision) -> bool:
    """True once nothing more of it can come: it is to be seen, or the request went where it counts for nothing."""
    if request is None:
        return False
    if decision.verdict is Withdrawal.REVOKE:
        return request.status.ended and request.status is not Status.APPROVED
    return request.status.ended or (
        isinstance(decision.verdict, Verdict) and _level_shows(request.level(decision.step), decision)
    )


def _level_shows(level: Level | None, decision: Decision) -> bool:
    if level is None:
        return False
    return level.state is not LevelState.WAITING or any(voted_by(vote, decision) for vote in level.votes or ())


def voted_by(vote: Vote, decision: Decision) -> bool:
    """True if AWS recorded this vote for the decision's person.

    It names the session of the role; without a role that is the bot's own, and the comment tells whose vote it is.
    """
    if vote.verdict is not decision.verdict:
        return False
    if decision.execution_id and decision.role is None:
        told = vote.comment or ""
        return told == decision.sent_comment or (len(told) >= CUT and decision.sent_comment.startswith(told))
    session = Principal.parse(vote.by).session or vote.by
    return session.casefold() == decision.person.session_name.casefold()
