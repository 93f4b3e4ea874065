"""What one person sees in place of the card that all people of the channel see. A view grants nothing.

The card of the channel stays complete, for clients that do not ask for a view.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import chain, islice
from typing import Final, assert_never

from bot.domain.identity import Person, Requester
from bot.domain.members import Members
from bot.domain.record import Record
from bot.domain.routing import Channel
from bot.domain.rules.approvers import GroupMembers, listed_approvers
from bot.domain.rules.permission import may_be_approver
from bot.domain.shown.views import CardView, OwnRequest

MOST_VIEWERS: Final = 60
"""Teams refreshes a card by itself for at most so many people.
https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/universal-actions-for-adaptive-cards/user-specific-views"""


class ViewerKind(StrEnum):
    """What a person is for a request, as far as it is known without a call to Teams."""

    REQUESTER = "requester"
    APPROVER = "approver"  # a person who may be one: only the click decides
    READER = "reader"  # certainly no approver
    UNKNOWN = "base"  # not in a current roster; sees the card of the channel


def viewer_kind(
    person: Person, record: Record, *, channel: Channel, step: str, tenant_id: str, groups: GroupMembers
) -> ViewerKind:
    """Return which kind of viewer a member of the channel is.

    `step` is that of the card's buttons, and `groups` has the members of groups that are known.
    """
    if record.requester and record.requester.is_person(person):
        return ViewerKind.REQUESTER
    listed = listed_approvers(channel.approvers_at(step), groups)
    may_decide = may_be_approver(person, listed, requester=None, tenant_id=tenant_id)
    return ViewerKind.APPROVER if may_decide else ViewerKind.READER


def seen_by(view: CardView, kind: ViewerKind, record: Record) -> CardView:
    """Return the card as this kind of viewer sees it."""
    match kind:
        case ViewerKind.APPROVER | ViewerKind.UNKNOWN:
            return view
        case ViewerKind.READER:
            return _without_buttons(view)
        case ViewerKind.REQUESTER:
            return replace(_without_buttons(view), own=_own(record) if view.buttons else None)
        case _:
            assert_never(kind)


def _without_buttons(view: CardView) -> CardView:
    """Return the card for a person who cannot decide: the way to decide in the console is left out as well."""
    return replace(view, buttons=False, revoke=False, end_sessions=False, can_withdraw=False, step="", console_url=None)


def _own(record: Record) -> OwnRequest:
    in_chat = any(each.kind.personal and each.activity_id for each in record.surfaces)
    return OwnRequest.IN_CHAT if in_chat else OwnRequest.ALONE


def viewers(members: Members, *, requester: Requester | None, approvers: Mapping[str, Person]) -> tuple[str, ...]:
    """Return the Teams ids of a card's viewers, at most MOST_VIEWERS: the requester, then approvers, then readers.

    `approvers` are members by object id. Each kind is in the order of object ids. People without a Teams id have no
    view of their own.
    """
    own = {person.user: person for person in members.who_may_be(requester)}
    first = chain((own[user] for user in sorted(own)), (approvers[user] for user in approvers if user not in own))
    others = (each for each in members.by_object_id if (user := each.user) not in own and user not in approvers)
    return tuple(islice((each.teams_id for each in chain(first, others) if each.teams_id), MOST_VIEWERS))
