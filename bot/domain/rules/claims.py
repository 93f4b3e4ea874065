"""Decides which clicks become decisions that are sent, so that AWS never gets more signals than it needs.

A claim only changes the row; it sends nothing to AWS.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Person, Principal, PrincipalKind, same_role
from bot.domain.request import AccessRequest, Action, Level, LevelState, Verdict, Vote, Withdrawal, asked_of_aws
from bot.domain.rules.permission import can_be_cancelled, can_be_revoked
from bot.domain.spans import CLOCKS_APART, runs
from bot.text.names import exact

CUT = 200  # characters; AWS may cut longer comments: it shows 512 characters of a decision, ARN and JSON included
EFFECT_SPAN = timedelta(seconds=60)  # how long the bot waits until AWS shows a decision that it accepted


class ClaimRefusal(StrEnum):
    """Why a claim was not granted."""

    ENDED = "ended"  # the request has ended
    STEP_PASSED = "step_passed"  # another step waits for approval now
    REPEAT = "repeat"  # this person has a decision at this step, in progress or done
    OTHERS_FIRST = "others_first"  # other people's decisions are in progress


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim. It is granted if `refusal` is None."""

    refusal: ClaimRefusal | None = None
    held_by: Decision | None = None  # for REPEAT: the person's earlier decision


def claim(
    *,
    person: Person,
    action: Action,
    step: str,
    request: AccessRequest,
    decisions: tuple[Decision, ...],
    now: datetime,
) -> Claim:
    """Return whether the decision of a click may be sent to AWS. `decisions` are the row's without its hidden votes.

    - Each person has at most one vote per step, unless it had no effect.
    - A step never has more live approvals than it still needs.
    - A reject is refused while another vote at its step is live, except approvals that are not sent: it withdraws them
      (`withdrawn_by`). Approvals at that step are refused while it is live.
    - A cancellation is refused while any decision is under way, except approvals that wait in the queue: it withdraws
      them. Votes are refused while it is under way.
    - A revocation is refused while another one is under way, also one by which the requester gives the access back.

    An accepted decision that AWS does not show is under way for EFFECT_SPAN. For that long an accepted approval counts
    towards the approvals that the step needs, and an accepted reject blocks the step.
    """
    if isinstance(action, Withdrawal):
        return _claim_withdrawal(person, withdrawal=action, step=step, request=request, decisions=decisions, now=now)
    return _claim_vote(person, verdict=action, step=step, request=request, decisions=decisions, now=now)


def _claim_vote(
    person: Person,
    *,
    verdict: Verdict,
    step: str,
    request: AccessRequest,
    decisions: tuple[Decision, ...],
    now: datetime,
) -> Claim:
    withdrawn = withdrawn_by(verdict, step, decisions)
    here = tuple(
        each for each in decisions if each.step == step and isinstance(each.verdict, Verdict) and each not in withdrawn
    )
    if own := active_decision(person, here):
        return Claim(ClaimRefusal.REPEAT, own)
    if request.status.ended:
        return Claim(ClaimRefusal.ENDED)
    if request.waiting and request.waiting.step != step:
        return Claim(ClaimRefusal.STEP_PASSED)
    if any(each.verdict is Withdrawal.CANCEL and under_way(each, request, now) for each in decisions):
        return Claim(ClaimRefusal.OTHERS_FIRST)
    live = tuple(each for each in here if each.state.live)
    if is_blocked(verdict, live, missing=_missing(request, step, here, now)):
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
    """Return whether a withdrawal may be sent.

    If AWS accepted one but did not show it within EFFECT_SPAN, the same person may try again. A vote may be repeated
    only once it is hidden (`is_hidden_vote` in bot.domain.effects).
    """
    withdrawn = withdrawn_by(withdrawal, step, decisions)
    active = tuple(each for each in decisions if under_way(each, request, now) and each not in withdrawn)
    asked = asked_of_aws(withdrawal)
    same = tuple(each for each in active if each.verdict is asked)
    if own := active_decision(person, same):
        return Claim(ClaimRefusal.REPEAT, own)
    if not (can_be_revoked(request, now) if asked is Withdrawal.REVOKE else can_be_cancelled(request)):
        return Claim(ClaimRefusal.ENDED)
    if withdrawal is Withdrawal.REVOKE and (request.last_level is None or request.last_level.step != step):
        return Claim(ClaimRefusal.STEP_PASSED)
    # a vote cannot block a revocation: it no longer changes access that is granted
    blocking = same if asked is Withdrawal.REVOKE else active
    return Claim(ClaimRefusal.OTHERS_FIRST) if blocking else Claim()


def withdrawn_by(action: Action, step: str, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Return the unsent approvals that this decision withdraws with its claim.

    A reject withdraws those at its step, also the person's own. A cancellation withdraws those in the queue.
    """
    approvals = (each for each in decisions if each.verdict is Verdict.APPROVE)
    match action:
        case Verdict.REJECT:
            return tuple(each for each in approvals if each.step == step and each.state is DecisionState.CLAIMED)
        case Withdrawal.CANCEL:
            return tuple(each for each in approvals if each.queued)
        case _:
            return ()


def under_way(decision: Decision, request: AccessRequest | None, now: datetime) -> bool:
    """True while a decision may have an effect that AWS does not show yet."""
    return decision.state.live or awaits_effect(decision, request, now)


def active_decision(person: Person, decisions: tuple[Decision, ...]) -> Decision | None:
    """Return the person's decision that is in progress or accepted by AWS, so that another is not needed; or None."""
    kept = (each for each in decisions if each.state.live or each.state is DecisionState.CONFIRMED)
    return next((each for each in kept if each.person.user == person.user), None)


def is_blocked(verdict: Verdict, live: tuple[Decision, ...], *, missing: int) -> bool:
    """True if a vote must wait for the `live` votes at its step. `missing` is how many more approvals may be sent."""
    if verdict is Verdict.REJECT:
        return bool(live) or missing < 1
    return len(live) >= missing or any(each.verdict is Verdict.REJECT for each in live)


def _missing(request: AccessRequest, step: str, here: tuple[Decision, ...], now: datetime) -> int:
    """Return how many more approvals may be sent.

    That is at most one if AWS's count is unknown, and zero while AWS does not show an accepted reject, or if the
    accepted approvals that it does not show may complete the step.
    """
    level = request.level(step)
    hidden = [each for each in here if awaits_effect(each, request, now)]
    if any(each.verdict is Verdict.REJECT for each in hidden):
        return 0
    if level is None or level.required is None:
        return 0 if hidden else 1
    if level.approvals is None:
        return min(1, level.required - len(hidden))
    missing = max(1, level.required - level.approvals)  # a waiting level needs at least one more
    return missing - len(hidden)


def has_room(decision: Decision, level: Level, decisions: tuple[Decision, ...], now: datetime) -> bool:
    """True if the level needs this vote even if AWS counts all votes that were sent and are not shown yet.

    Also True for a withdrawal, and if AWS's count is unknown. `level` was just read from AWS.
    """
    if not isinstance(decision.verdict, Verdict) or level.required is None or level.votes is None:
        return True  # not a vote, or AWS's count is unknown: then the claim allowed only this vote at its level
    others = (each for each in decisions if each.id != decision.id and each.step == level.step)
    ahead = [each for each in others if _may_count_yet(each, now) and not any(voted_by(v, each) for v in level.votes)]
    return len(ahead) < max(1, level.required - (level.approvals or 0))


def _may_count_yet(decision: Decision, now: datetime) -> bool:
    unanswered = decision.state in {DecisionState.SENT, DecisionState.UNKNOWN} and isinstance(decision.verdict, Verdict)
    return unanswered or _accepted_recently(decision, now)


def awaits_effect(decision: Decision, request: AccessRequest | None, now: datetime) -> bool:
    """True for a decision that AWS accepted but does not show yet: a signal may take effect with a delay.

    False after EFFECT_SPAN: AWS has evidently not counted the decision, and another person must be able to decide.
    """
    return _accepted_recently(decision, now) and not _shows(request, decision)


def _accepted_recently(decision: Decision, now: datetime) -> bool:
    if decision.state is not DecisionState.CONFIRMED or decision.settled_at is None:
        return False
    return runs(decision.settled_at + EFFECT_SPAN, now=now, span=EFFECT_SPAN)


def _shows(request: AccessRequest | None, decision: Decision) -> bool:
    """True once the decision can have no further effect: AWS shows it, or the request has moved past it."""
    if request is None:
        return False
    is_vote = isinstance(decision.verdict, Verdict)
    return request.is_closed_to(decision.verdict) or (is_vote and _level_shows(request.level(decision.step), decision))


def _level_shows(level: Level | None, decision: Decision) -> bool:
    if level is None:
        return False
    if level.state is not LevelState.WAITING:
        return True
    return not level.is_full and any(voted_by(vote, decision) for vote in level.votes or ())


def voted_by(vote: Vote, decision: Decision) -> bool:
    """True if AWS recorded this vote for the decision's person.

    AWS names the session of the role that sent the vote. A signal without a role is sent in the bot's own session, and
    AWS may record the role in place of its session. In both cases, the comment identifies the person.
    """
    if vote.verdict is not decision.verdict:
        return False
    if names_only_role(vote, decision) and not decision.sent_comment:
        return False
    if (decision.execution_id and decision.role is None) or names_only_role(vote, decision):
        comment = vote.comment or ""
        return comment == decision.sent_comment or (len(comment) >= CUT and decision.sent_comment.startswith(comment))
    voter = Principal.parse(vote.by)
    if voter.session and decision.role and not same_role(vote.by, decision.role):
        return False
    return exact(voter.session or vote.by) == exact(decision.person.session_name)


def names_only_role(vote: Vote, decision: Decision) -> bool:
    """True if AWS recorded the decision's role as the voter, without a session."""
    if decision.role is None or Principal.parse(vote.by).kind is PrincipalKind.SESSION:
        return False
    return same_role(vote.by, decision.role)


def may_be_of(vote: Vote, decision: Decision) -> bool:
    """True if AWS may have recorded this vote for the decision, although it does not name the decision's person.

    It may if AWS names a session of the role that sent the decision, or neither a session nor an Identity Center user.
    Without a role, it may if AWS shows no comment. Never if it was cast more than CLOCKS_APART before the click.
    """
    if vote.verdict is not decision.verdict or (vote.at and vote.at < decision.clicked_at - CLOCKS_APART):
        return False
    voter = Principal.parse(vote.by)
    if decision.role is None:
        return not vote.comment
    if voter.kind is PrincipalKind.SESSION:
        return same_role(vote.by, decision.role)
    return voter.kind is PrincipalKind.OTHER
