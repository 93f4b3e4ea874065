"""Every rule on who may decide, revoke and cancel, and on what can be decided at all. Nowhere else.

Default deny: a rule says why not, and None where nothing is against it. Pure functions; who is asked for the rosters is
bot.service.clicks.permission's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.identity import Person, Requester, role_of_arn
from bot.domain.request import AccessRequest, Action, ApproverKind, Level, Status, Withdrawal
from bot.domain.routing import MEMBERS, Channel
from bot.text.invisible import is_visible


class Refusal(StrEnum):
    """Why a click is refused. Each has its words in every locale."""

    NOT_HERE = "not_here"  # the card is not one of this conversation
    FOREIGN = "foreign"  # a guest, or a person of another tenant
    PAUSED = "paused"  # the channel has decide = false
    RECONFIGURED = "reconfigured"  # who asks was placed by rules that are not in force any more
    NOBODY = "nobody"  # the channel lists no approvers
    NOT_APPROVER = "not_approver"
    ROSTER_UNAVAILABLE = "roster_unavailable"
    OWN_REQUEST = "own_request"
    UNIDENTIFIED = "unplaced"  # nobody knows who the requester is, so it could be the clicker
    CONSOLE_ONLY = "console_only"  # the policy's approvers are people of Identity Center
    OTHER_ROLE = "other_role"  # the policy's roles are others than the channel's approver_role
    COMMENT_REQUIRED = "comment_required"
    NOT_ROUTED = "not_routed"  # the tags that decide the channel could not be read yet
    NOT_COMPARABLE = "not_comparable"  # nothing known of the clicker tells them from the requester
    UNREADABLE = "unreadable"  # it is not known that AWS waits for a decision
    REPLICA = "replica"  # a copy in the delegated administrator account
    OTHER_STEP = "other_step"  # the button's step is not the one that it would have on a card of ours
    OWN_CHAT = "own_chat"  # a request is cancelled in its requester's own chat with the bot, nowhere else
    NOT_REQUESTER = "not_requester"
    NO_CANCEL_ROLE = "no_cancel_role"  # the account has no role in which requests are cancelled


@dataclass(frozen=True, slots=True)
class Membership:
    """What the roster said. `member` is None where it could not be read."""

    member: bool | None


def may_decide(
    person: Person,
    *,
    verdict: Action,
    comment: str,
    request: AccessRequest,
    requester: Requester,
    channel: Channel,
    step: str,
    membership: Membership,
    tenant_id: str,
    allow_unidentified: bool,
) -> Refusal | None:
    """Say why this person may not decide at this step; None where they may. Default deny.

    Who may approve at the step that settled a request may revoke what it granted.
    """
    if request.replica_of:
        return Refusal.REPLICA
    if not channel.decide:
        return Refusal.PAUSED
    approver = _refused_as_approver(person, channel.approvers_at(step), membership, tenant_id)
    if approver:
        return approver
    if requester.is_person(person):
        return Refusal.OWN_REQUEST
    if not requester.placed and not allow_unidentified:
        return Refusal.UNIDENTIFIED
    if not requester.comparable_with(person):
        return Refusal.NOT_COMPARABLE
    if unfit := _unfit(request, verdict, step):
        return unfit
    if refused := _refused_by_aws(request.level(step), channel.role_at(step, request.key.account)):
        return refused
    if verdict in channel.comment_required and not is_visible(comment):
        return Refusal.COMMENT_REQUIRED
    return None


def _refused_by_aws(level: Level | None, role: str | None) -> Refusal | None:
    """Say why AWS would refuse anybody's vote at a level from here, as far as that is certain."""
    if level is None:
        return None
    if not has_votable_approver(level):
        return Refusal.CONSOLE_ONLY
    return None if lists_role(level, role) else Refusal.OTHER_ROLE


def _unfit(request: AccessRequest, verdict: Action, step: str) -> Refusal | None:
    """Say why the request cannot take this from any approver as it stands."""
    match verdict:
        case Withdrawal.CANCEL:
            return Refusal.NOT_REQUESTER
        case Withdrawal.REVOKE:
            if request.status is not Status.APPROVED or request.execution_id is None or request.last_level is None:
                return Refusal.UNREADABLE
            return None if request.last_level.step == step else Refusal.OTHER_STEP
        case _:
            return None if can_be_decided(request) else Refusal.UNREADABLE


def can_be_revoked(request: AccessRequest, now: datetime) -> bool:
    """True while access that approvers granted is known to run: without an end there is nothing to take back."""
    granted = request.status is Status.APPROVED and request.execution_id is not None
    return granted and request.access_until is not None and now < request.access_until


def may_cancel(
    person: Person, *, request: AccessRequest, requester: Requester, step: str, tenant_id: str, has_role: bool
) -> Refusal | None:
    """Say why this person may not take the request back; None for its requester alone. Default deny.

    `has_role`: the account has a role in which requests are cancelled.
    """
    if request.replica_of:
        return Refusal.REPLICA
    if stranger := not_the_requester(person, requester, tenant_id):
        return stranger
    if step:
        return Refusal.OTHER_STEP
    if not has_role:
        return Refusal.NO_CANCEL_ROLE
    return None if can_be_cancelled(request) else Refusal.UNREADABLE


def not_the_requester(person: Person, requester: Requester, tenant_id: str) -> Refusal | None:
    """Say why this person does not count as the requester: only the Teams user does whom the request was placed on."""
    here = (person.object_id.casefold(), person.tenant_id.casefold())
    if not all(here) or not tenant_id or here[1] != tenant_id.casefold():
        return Refusal.FOREIGN
    own = requester.person
    if own is None or not requester.placed:
        return Refusal.UNIDENTIFIED
    same = here == (own.object_id.casefold(), own.tenant_id.casefold())
    return None if same else Refusal.NOT_REQUESTER


def can_be_cancelled(request: AccessRequest) -> bool:
    """True while the request waits, at whatever level, and its automation execution is known."""
    return request.status is Status.PENDING and request.execution_id is not None and not request.replica_of


def can_be_decided(request: AccessRequest) -> bool:
    """True where AWS is known to wait for a decision; without it a card has no buttons and a click decides nothing."""
    return request.status is Status.PENDING and request.waiting is not None and request.execution_id is not None


def _refused_as_approver(
    person: Person, approvers: Iterable[str], membership: Membership, tenant_id: str
) -> Refusal | None:
    listed = frozenset(each.casefold() for each in approvers)
    if not listed:
        return Refusal.NOBODY
    if not person.object_id or not person.tenant_id or not tenant_id:
        return Refusal.FOREIGN
    by_id = f"user:{person.object_id}".casefold() in listed
    if not by_id and (person.guest or person.tenant_id.casefold() != tenant_id.casefold()):
        return Refusal.FOREIGN
    by_roster = MEMBERS in listed or any(each.startswith("upn:") for each in listed)
    if membership.member is None and (by_id or by_roster):
        return Refusal.ROSTER_UNAVAILABLE  # whoever is listed by id cannot be told from the requester without it either
    if by_id or (person.upn and f"upn:{person.upn}".casefold() in listed):
        return None
    return None if MEMBERS in listed and membership.member else Refusal.NOT_APPROVER


def has_votable_approver(level: Level) -> bool:
    """True where a role is among the step's approvers, or where they cannot be read (then AWS decides)."""
    return level.approvers is None or any(each.kind is ApproverKind.ROLE for each in level.approvers)


def lists_role(level: Level, role: str | None) -> bool:
    """False only where it is certain that AWS refuses whoever comes in that role: the step names others, all by ARN.

    `role` None: the bot's own credentials, whose role is not known here; AWS decides.
    """
    if role is None or level.approvers is None:
        return True
    listed = [role_of_arn(each.id) for each in level.approvers if each.kind is ApproverKind.ROLE]
    return None in listed or role_of_arn(role) in listed
