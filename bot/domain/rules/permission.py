"""The rules on the person and the request: who may decide, revoke, cancel and give back, and what can be decided.

The rules are checked in this order. Default deny: each returns a Refusal, or None if it has no objection.

- Approve, reject, revoke (`may_decide`): the request is not a replica; the channel is not paused; the person is one of
  the channel's approvers at this step (bot.domain.rules.approvers says who that is); the person is not the requester;
  the requester is identified (unless the setting allows unidentified ones) and provably another person; for Approve,
  it is certain that the person approved no other level of the request (bot.domain.other_levels; unless
  `one_level_per_person` is false); it is certain for which nodes access is requested (not for Revoke); the request
  waits for a decision at this step (for Revoke: access was granted at this step); AWS is not certain to refuse the
  role; a required comment is not empty.
- End sessions (`may_decide` with SessionAction.END, `may_end_own`): as for Revoke, also once access has ended; or the
  person is the identified Teams user who made the request, and access has ended. The account has an end_sessions_role.
- Cancel (`may_cancel`): the request is not a replica; the person belongs to the tenant and is the identified Teams
  user who made the request; the click has no step; the account has a cancel_role; the request waits.
- Give back (`may_give_back`): the same, with a give_back_role, and access was granted.

Other modules check the rest: the conversation of the click (bot.service.clicks.locator); whether the request is
routed, and its requester identified, under the current configuration (bot.service.decisions.permission_check, which
also reads the rosters); which of several clicks is sent (bot.domain.rules.claims); the state in AWS
(bot.service.decisions.state_check).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, assert_never

from bot.domain.identity import Person, Requester, role_of_arn
from bot.domain.request import AccessRequest, Action, ApproverKind, Level, SessionAction, Status, Verdict, Withdrawal
from bot.domain.routing import Channel
from bot.domain.rules.approvers import GroupMembers, Listed, Unread, entries_of, listed_approvers
from bot.text.invisible import is_visible
from bot.text.names import exact


class Refusal(StrEnum):
    """Why a click is refused. Every locale has a text for each code: `notice.<code>`."""

    NOT_HERE = "not_here"  # the card does not belong to this conversation
    FOREIGN = "foreign"  # a guest, a person of another tenant, or a click without a person's id or tenant
    PAUSED = "paused"  # the channel has decide = false
    RECONFIGURED = "reconfigured"  # the requester was identified by rules that have changed since
    NOBODY = "nobody"  # no approvers are listed for this step
    NOT_APPROVER = "not_approver"
    NOT_IN_GROUP = "not_in_group"  # the same, and approvers are listed by group
    GROUP_UNAVAILABLE = "group_unavailable"  # the members of a group of approvers cannot be read now
    GROUP_REFUSED = "group_refused"  # the bot may not read them, or the group is empty, too large or unknown
    ROSTER_UNAVAILABLE = "roster_unavailable"
    ROSTER_REFUSED = "roster_refused"  # Teams does not let the bot read the channel's members
    TENANT_UNKNOWN = "tenant_unknown"  # Teams does not say to which tenant the person belongs
    ADDRESS_UNKNOWN = "address_unknown"  # approvers are listed by UPN, and Teams does not return the person's
    OWN_REQUEST = "own_request"  # the person is the requester; on a card: no one else is listed as an approver
    UNIDENTIFIED = "unplaced"  # the requester is unidentified, so it could be the clicker
    UNMATCHED = "unmatched"  # the same: no Teams user has the requester's address, so it may be an alias
    REQUESTER_UNREAD = "requester_unread"  # the same, while Teams does not return everybody
    CONSOLE_ONLY = "console_only"  # the policy's approvers are Identity Center users or groups
    OTHER_ROLE = "other_role"  # the policy lists other roles than the channel's approver_role
    COMMENT_REQUIRED = "comment_required"
    NOT_ROUTED = "not_routed"  # this channel does not decide the request now; PermissionCheck.refusal has the causes
    OTHER_LEVEL = "other_level"  # the person approved another level of the request, or their approval is on its way
    OTHER_LEVEL_UNKNOWN = "other_level_unknown"  # it is unknown who approved another level: maybe this person
    NOT_COMPARABLE = "not_comparable"  # no known id or address proves that the clicker is not the requester
    NODES_UNREAD = "nodes_unread"  # it is not certain for which nodes access is requested
    UNREADABLE = "unreadable"  # it is unknown whether AWS waits for a decision
    REPLICA = "replica"  # a copy in the delegated administrator account
    OTHER_STEP = "other_step"  # the button's step differs from the one that the bot puts on a card
    OWN_CHAT = "own_chat"  # requesters cancel and give back only in their own chat with the bot
    NOT_REQUESTER = "not_requester"
    NO_CANCEL_ROLE = "no_cancel_role"  # the account has no role that cancels requests
    NO_END_ROLE = "no_end_sessions_role"  # the account has no role that ends sessions
    NO_GIVE_BACK_ROLE = "no_give_back_role"  # the account has no role with which requesters give access back


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether the person is in the channel's roster, and the members of the groups that the channel lists.

    `member` is None if the roster could not be read.
    """

    member: bool | None
    refused: bool = False  # the roster could not be read because Teams refuses it
    tenant_known: bool = True  # False: Teams does not say to which tenant the member belongs
    groups: GroupMembers = field(default_factory=dict)


def may_decide(
    person: Person,
    *,
    action: Action | SessionAction,
    comment: str | None,
    request: AccessRequest,
    requester: Requester,
    channel: Channel,
    step: str,
    membership: Membership,
    tenant_id: str,
    allow_unidentified: bool,
    approved_other_level: bool | None,
) -> Refusal | None:
    """Return why this person may not decide at this step; None if they may.

    Approvers of the step that settled a request may also revoke the access. `allow_unidentified` says whether requests
    of unidentified requesters can be decided. `approved_other_level` says whether the person approved another level of
    the request; None if that is unknown. `comment` is None if the person may act and has not written a comment yet.
    """
    if request.replica_of:
        return Refusal.REPLICA
    if not channel.decide:
        return Refusal.PAUSED
    listed = listed_approvers(channel.approvers_at(step), membership.groups)
    if refusal := _refused_as_approver(person, listed, membership, tenant_id):
        return refusal
    if refusal := _refused_as_requester(person, requester, allow_unidentified=allow_unidentified):
        return refusal
    if action is Verdict.APPROVE and channel.one_level_at(step) and approved_other_level is not False:
        return Refusal.OTHER_LEVEL if approved_other_level else Refusal.OTHER_LEVEL_UNKNOWN
    if refusal := _unfit(request, action, step):
        return refusal
    if refusal := _refused_by_aws(request.level(step), channel.role_at(step, request.key.account)):
        return refusal
    if comment is not None and action in channel.comment_required and not is_visible(comment):
        return Refusal.COMMENT_REQUIRED
    return None


def _refused_as_requester(person: Person, requester: Requester, *, allow_unidentified: bool) -> Refusal | None:
    """Return why the person is, or may be, the requester; None if they are known to be another person."""
    if requester.is_person(person):
        return Refusal.OWN_REQUEST
    if not requester.identified and not allow_unidentified:
        return why_unidentified(requester)
    return None if requester.comparable_with(person) else Refusal.NOT_COMPARABLE


def why_unidentified(
    requester: Requester | None,
) -> Literal[Refusal.UNIDENTIFIED, Refusal.UNMATCHED, Refusal.REQUESTER_UNREAD]:
    """Return why an unidentified requester blocks decisions: they may still be found, or someone must add them."""
    if requester and requester.may_be_found:
        return Refusal.REQUESTER_UNREAD
    return Refusal.UNMATCHED if requester and requester.unmatched else Refusal.UNIDENTIFIED


def _refused_by_aws(level: Level | None, role: str | None) -> Refusal | None:
    """Return why AWS is certain to refuse every vote of this role at a level; None if that is not certain."""
    if level is None or not has_votable_approver(level):
        return Refusal.CONSOLE_ONLY
    return None if may_list_role(level, role) else Refusal.OTHER_ROLE


def _unfit(request: AccessRequest, action: Action | SessionAction, step: str) -> Refusal | None:
    """Return why no approver may take this action in the request's current state; None if approvers may."""
    if isinstance(action, SessionAction):
        if not had_access(request) or request.last_level is None:
            return Refusal.UNREADABLE
        return None if request.last_level.step == step else Refusal.OTHER_STEP
    match action:
        case Withdrawal.CANCEL | Withdrawal.GIVE_BACK:
            return Refusal.NOT_REQUESTER  # a click never reaches this line: `may_cancel` or `may_give_back` decides
        case Withdrawal.REVOKE:
            if not _is_granted(request) or request.last_level is None:
                return Refusal.UNREADABLE
            return None if request.last_level.step == step else Refusal.OTHER_STEP
        case Verdict():
            if not request.targets:
                return Refusal.NODES_UNREAD
            if request.waiting is None or not can_be_decided(request):
                return Refusal.UNREADABLE
            return None if request.waiting.step == step else Refusal.OTHER_STEP
        case _:
            assert_never(action)


def can_be_revoked(request: AccessRequest, now: datetime) -> bool:
    """True while granted access is known to be active. Access without a known end cannot be revoked."""
    return _is_granted(request) and request.access_until is not None and now < request.access_until


def _is_granted(request: AccessRequest) -> bool:
    """True if access was granted, and the automation execution that can revoke it is known."""
    return request.status is Status.APPROVED and request.execution_id is not None


def had_access(request: AccessRequest) -> bool:
    """True once access was granted, also if it has ended or was revoked since. False for a replica."""
    return request.status in {Status.APPROVED, Status.REVOKED} and not request.replica_of


def may_end_own(
    person: Person,
    *,
    request: AccessRequest,
    requester: Requester,
    step: str,
    tenant_id: str,
    has_role: bool,
    now: datetime,
) -> Refusal | None:
    """Return why this person may not end the sessions as their own; None only for the requester, once access has ended.

    `has_role` says whether the account has a role that ends sessions.
    """
    if refusal := _not_by_requester(person, request, requester, step=step, tenant_id=tenant_id):
        return refusal
    if not has_role:
        return Refusal.NO_END_ROLE
    return None if had_access(request) and not can_be_revoked(request, now) else Refusal.UNREADABLE


def may_cancel(
    person: Person, *, request: AccessRequest, requester: Requester, step: str, tenant_id: str, has_role: bool
) -> Refusal | None:
    """Return why this person may not cancel the request; None only for its requester.

    `has_role` says whether the account has a role that cancels requests.
    """
    if refusal := _not_by_requester(person, request, requester, step=step, tenant_id=tenant_id):
        return refusal
    if not has_role:
        return Refusal.NO_CANCEL_ROLE
    return None if can_be_cancelled(request) else Refusal.UNREADABLE


def may_give_back(
    person: Person, *, request: AccessRequest, requester: Requester, step: str, tenant_id: str, has_role: bool
) -> Refusal | None:
    """Return why this person may not end the granted access before its time; None only for its requester.

    `has_role` says whether the account has a role with which requesters give access back.
    """
    if refusal := _not_by_requester(person, request, requester, step=step, tenant_id=tenant_id):
        return refusal
    if not has_role:
        return Refusal.NO_GIVE_BACK_ROLE
    return None if _is_granted(request) else Refusal.UNREADABLE


def _not_by_requester(
    person: Person, request: AccessRequest, requester: Requester, *, step: str, tenant_id: str
) -> Refusal | None:
    """Return why a click is not one of the requester on the whole request; None if it is."""
    if request.replica_of:
        return Refusal.REPLICA
    if refusal := not_the_requester(person, requester, tenant_id):
        return refusal
    return Refusal.OTHER_STEP if step else None


def not_the_requester(person: Person, requester: Requester, tenant_id: str) -> Refusal | None:
    """Return why this person does not count as the requester; None for the requester, an identified Teams user."""
    here = (person.user, exact(person.tenant_id))
    if not all(here) or not tenant_id or here[1] != exact(tenant_id):
        return Refusal.FOREIGN
    own = requester.person
    if own is None or not requester.identified:
        return why_unidentified(requester)
    # Teams may not say to which tenant a member belongs; the object id alone is unique
    same = here == (own.user, exact(own.tenant_id or tenant_id))
    return None if same else Refusal.NOT_REQUESTER


def can_be_cancelled(request: AccessRequest) -> bool:
    """True while the request is pending, at any level, and its automation execution is known. False for a replica."""
    return request.status is Status.PENDING and request.execution_id is not None and not request.replica_of


def can_be_decided(request: AccessRequest) -> bool:
    """True if AWS is known to wait for a decision on known nodes. Otherwise cards offer no vote, and votes fail."""
    waits = request.status is Status.PENDING and request.waiting is not None and request.execution_id is not None
    return waits and bool(request.targets)


def _refused_as_approver(person: Person, listed: Listed, membership: Membership, tenant_id: str) -> Refusal | None:
    """Return why the person is not an approver; None if they are.

    The reasons, in this order: the list is empty; an id or a tenant is missing; a guest, or a person of another or an
    unknown tenant, is not listed by object id; the roster is needed but could not be read; the person is not listed, or
    nothing shows it: a group could not be read, or Teams does not return the name by which they may be listed.
    """
    if not listed.entries:
        return Refusal.NOBODY
    if not person.object_id or not person.tenant_id or not tenant_id:
        return Refusal.FOREIGN
    by_id, ours = listed.has_id(person), exact(person.tenant_id) == exact(tenant_id)
    if not by_id and (person.guest or not ours):
        return Refusal.TENANT_UNKNOWN if ours and not membership.tenant_known else Refusal.FOREIGN
    if membership.member is None and (by_id or listed.by_name or listed.members or listed.by_group):
        # without the roster even a listed id cannot be compared with the requester
        return Refusal.ROSTER_REFUSED if membership.refused else Refusal.ROSTER_UNAVAILABLE
    if by_id or listed.has_name(person):
        return None
    if not membership.member:
        return Refusal.NOT_APPROVER
    if listed.members or listed.in_group(person):
        return None
    return _unlisted_member(person, listed)


def _unlisted_member(person: Person, listed: Listed) -> Refusal:
    """Return why a member of the channel who is not listed, as far as is known, is refused."""
    if listed.unread:
        return Refusal.GROUP_UNAVAILABLE if listed.unread is Unread.FOR_NOW else Refusal.GROUP_REFUSED
    if listed.by_name and not person.upn:
        return Refusal.ADDRESS_UNKNOWN
    return Refusal.NOT_IN_GROUP if listed.by_group else Refusal.NOT_APPROVER


def lists_only_the_requester(approvers: Iterable[str], requester: Requester) -> bool:
    """True if there are approvers, and each is the requester, who never decides their own request."""
    people = [_listed_person(each) for each in entries_of(approvers)]
    return bool(people) and all(each is not None and requester.is_person(each) for each in people)


def _listed_person(entry: str) -> Person | None:
    """Return a person with only the object id or the UPN in an entry of `approvers`; None for `members` or a group."""
    kind, _, name = entry.partition(":")
    if kind == "user":
        return Person(name, "")
    return Person("", "", upn=name) if kind == "upn" else None


def may_be_approver(person: Person, listed: Listed, *, requester: Requester | None, tenant_id: str) -> bool:
    """True unless it is certain that a channel's member is no approver, or may be the requester.

    If `requester` is None, no one is excluded as the requester. A member whose tenant or UPN Teams does not return may
    be an approver, and while a group is unread, each member may be in it. Quick for other members, because a channel
    may have 25,000.
    """
    unknown = not person.tenant_id or (not person.upn and listed.by_name)
    named = listed.has_id(person) or listed.has_name(person)
    if not (unknown or named or listed.members or listed.unread or listed.in_group(person)):
        return False
    if requester and requester.is_person(person):
        return False
    refusal = None if unknown else _refused_as_approver(person, listed, Membership(member=True), tenant_id)
    return refusal in {None, Refusal.GROUP_UNAVAILABLE, Refusal.GROUP_REFUSED}


def has_votable_approver(level: Level) -> bool:
    """True if a role is among the step's approvers, or if they cannot be read (then AWS decides)."""
    return level.approvers is None or any(each.kind is ApproverKind.ROLE for each in level.approvers)


def may_list_role(level: Level, role: str | None) -> bool:
    """False only if AWS is certain to refuse this role: the step lists no role, or only other roles, all by ARN.

    If `role` is None, the bot's own credentials are used. Their role is unknown here, so AWS decides.
    """
    if role is None or level.approvers is None:
        return True
    listed = [role_of_arn(each.id) for each in level.approvers if each.kind is ApproverKind.ROLE]
    return None in listed or role_of_arn(role) in listed
