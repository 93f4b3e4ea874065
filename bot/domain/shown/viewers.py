"""What one person sees in place of the card that all people of the channel see. A view grants nothing.

The card of the channel stays complete, for clients that do not ask for a view.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from heapq import nsmallest
from typing import Final, assert_never

from bot.domain.identity import Person
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


_ORDER: Final = {kind: number for number, kind in enumerate(ViewerKind)}


def viewer_kind_in(
    record: Record, *, channel: Channel, step: str, tenant_id: str, groups: GroupMembers
) -> Callable[[Person], ViewerKind]:
    """Return a function that says which kind of viewer a member of the channel is.

    `step` is that of the card's buttons, and `groups` has the members of groups that are known. What is the same for
    all members is prepared once: a channel may have 25,000.
    """
    may_be_requester = record.requester.person_check() if record.requester else None
    listed = listed_approvers(channel.approvers_at(step), groups)

    def kind_of(person: Person) -> ViewerKind:
        if may_be_requester and may_be_requester(person):
            return ViewerKind.REQUESTER
        may_decide = may_be_approver(person, listed, requester=None, tenant_id=tenant_id)
        return ViewerKind.APPROVER if may_decide else ViewerKind.READER

    return kind_of


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


Need = tuple[int, str, str]


def need_of(kind: ViewerKind, person: Person) -> Need | None:
    """Return the place of a viewer in the order of need: the requester first, then approvers, then readers.

    None for a person without a Teams id.
    """
    return (_ORDER[kind], person.user, person.teams_id) if person.teams_id else None


def in_order_of_need(needs: Iterable[Need]) -> tuple[str, ...]:
    """Return the Teams ids of a card's viewers, at most MOST_VIEWERS."""
    return tuple(teams_id for _, _, teams_id in nsmallest(MOST_VIEWERS, needs))
