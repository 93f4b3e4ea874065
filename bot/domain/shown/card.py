"""Builds the card of a row: state, facts, progress, who decided what. `buttons.py` knows which buttons it has."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bot.domain.abilities import ALL_ABILITIES, Abilities
from bot.domain.access.sessions import ended_at
from bot.domain.configuration import Configuration
from bot.domain.decision import Decision
from bot.domain.effects import is_role_denied, role_that_does_not_count
from bot.domain.escalation import second_channel
from bot.domain.identity import Person, Principal, role_of_arn
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Action, Level, Node, Status, Verdict, Withdrawal
from bot.domain.routing import Channel, causes
from bot.domain.rules.permission import Refusal
from bot.domain.rules.reviewing import REVIEW_SPAN, active_reviews
from bot.domain.shown.buttons import is_home, is_identified, may_offer_end, may_offer_revoke, rules_now, why_no_buttons
from bot.domain.shown.card_places import home_problem
from bot.domain.shown.connecting import console_url
from bot.domain.shown.decided import decision_line, decision_lines, hidden_lines, was_given_back
from bot.domain.shown.usage import ending_line, usage_line
from bot.domain.shown.views import (
    Banner,
    CardView,
    DecidedElsewhere,
    DecisionLine,
    EscalationLine,
    LevelLine,
    Mention,
    NoButtons,
    NodeFacts,
    NodeLine,
)
from bot.domain.spans import bounds

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


def last_change(record: Record, now: datetime) -> datetime:
    """Return when the card of this row last changed by itself, without a write: it has been the same since then.

    At the end of the access, and at the end of each review. A moment before all others if it has not changed.
    """
    request = record.request
    moments = [request.access_until, ended_at(request)] if request else []
    for review in record.reviews:
        moments += bounds(review.until, span=REVIEW_SPAN)
    return max((each for each in moments if each and each <= now), default=_EARLIEST)


def card_view(
    record: Record,
    channel: Channel,
    configuration: Configuration,
    now: datetime,
    *,
    abilities: Abilities = ALL_ABILITIES,
) -> CardView:
    """Return the card of a row in a channel; raise ValueError for a row without facts.

    `abilities` says what every process can do that may get a click on it.
    """
    request, now = record.request, last_change(record, now)  # so the same row and change make the same card
    if request is None:
        raise ValueError(record.key)
    no_buttons = why_no_buttons(record, channel, configuration)
    rules = rules_now(record, channel, configuration) or channel
    at_home = is_home(record, channel)
    pending = request.status is Status.PENDING
    decidable = pending and no_buttons is None
    no_approver = decidable and at_home and record.no_approver
    buttons = decidable and not no_approver
    lines = decision_lines(record)
    applying = _applying(record)
    queued = _queued(record) if pending and not applying else ()
    revoke = applying is None and may_offer_revoke(record, channel, configuration, now)
    ends = applying is None and may_offer_end(record, channel, configuration, now, abilities=abilities)
    level = request.waiting if buttons else request.last_level if revoke or ends else None
    return CardView(
        key=str(request.key),
        step=level.step if level else "",
        banner=_banner(record, request, now, applying=applying, queued=queued),
        ops_item_id=request.key.ops_item_id,
        account=request.key.account,
        region=request.key.region,
        node_id=request.node.id,
        node_name=request.node.name,
        requester=requester_name(record),
        requester_is_person=requester_is_person(record),
        requester_principal=request.requester,
        reason=request.reason,
        duration=request.duration,
        platform=_each([node.platform for node in request.targets]),
        host=_each([node.host for node in request.targets]),
        private_ip=_each([node.private_ip for node in request.targets]),
        tags=_shown_tags(request, channel),
        tags_unread=any(node.tags is None for node in request.targets),
        policy=request.policy,
        level=_level_line(request, record),
        steps=tuple(each.step for each in request.levels) if len(request.levels) > 1 else (),
        requested_at=request.requested_at,
        deadline=request.deadline,
        access_until=request.access_until if request.status is Status.APPROVED else None,
        decisions=lines,
        applying=applying,
        queued=queued,
        reviewers=reviewer_names(record, now) if buttons and applying is None else (),
        buttons=buttons and applying is None,
        revoke=revoke,
        end_sessions=ends,
        no_buttons=no_buttons if pending else None,
        no_approver=no_approver,
        no_second_approver=buttons and at_home and record.no_second_approver,
        escalation=_escalation_line(record, channel, configuration) if decidable else None,
        home=record.route.channel if pending and record.route and isinstance(no_buttons, DecidedElsewhere) else None,
        home_problem=home_problem(record) if pending and isinstance(no_buttons, DecidedElsewhere) else None,
        console_url=console_url(request.key),
        comment_required=tuple(sorted(rules.comment_required)),
        requester_unchecked=pending and configuration.identity.allow_unidentified and not is_identified(record),
        unmatched_address=_unmatched_address(record, no_buttons) if pending else "",
        conflicting_policies=conflicting_policies(record),
        decided_outside=request.status in DECIDED and not lines and not request.auto_approved,
        auto_approved=request.auto_approved,
        nodes=tuple(_facts(each, channel) for each in request.nodes),
        not_shown=hidden_lines(record),
        visits=record.visits if pending else None,
        same_role=_name_of_role(role_that_does_not_count(record)),
        same_role_denied=is_role_denied(record),
        account_name=configuration.account_name(request.key.account),
        region_name=configuration.region_names.get(request.key.region),
        causes=causes(request, channel, configuration.channels) if at_home else (),
        usage=usage_line(record, configuration, now),
        ending=ending_line(record),
    )


DECIDED = frozenset({Status.APPROVED, Status.REJECTED})
_BANNERS = {
    Status.PENDING: Banner.WAITING,
    Status.APPROVED: Banner.APPROVED,
    Status.REJECTED: Banner.REJECTED,
    Status.REVOKED: Banner.REVOKED,
    Status.TIMED_OUT: Banner.TIMED_OUT,
    Status.CANCELLED: Banner.CANCELLED,
    Status.FAILED: Banner.FAILED,
    Status.GONE: Banner.GONE,
    Status.UNKNOWN: Banner.UNKNOWN,
}


def banner(record: Record, request: AccessRequest, now: datetime) -> Banner:
    """Return the state of a row's request. An approved one is ENDED once its access window is over."""
    if access_is_over(request, now):
        return Banner.ENDED
    return Banner.GIVEN_BACK if was_given_back(record) else _BANNERS[request.status]


def _banner(
    record: Record,
    request: AccessRequest,
    now: datetime,
    *,
    applying: DecisionLine | None,
    queued: Sequence[DecisionLine],
) -> Banner:
    if request.status is not Status.PENDING or not (applying or queued):
        return banner(record, request, now)
    return Banner.APPLYING if applying else Banner.QUEUED


def access_is_over(request: AccessRequest, now: datetime) -> bool:
    """True once the access window of an approved request is over, so that no session can be started."""
    return request.status is Status.APPROVED and request.access_until is not None and request.access_until <= now


def requester_name(record: Record) -> str:
    """Return the requester's name, or the principal's while the requester is unknown; "" for a row without facts."""
    if record.requester and record.requester.name:
        return record.requester.name
    return Principal.parse(record.request.requester).shown_name if record.request else ""


def requester_is_person(record: Record) -> bool:
    """True if `requester_name` is the name of a person. The name of an AWS identity may be that of a machine."""
    requester = record.requester
    return bool(requester and (requester.person or requester.name not in {"", requester.principal.shown_name}))


def conflicting_policies(record: Record) -> tuple[str, ...]:
    """Return the conflicting policies of a failed request: those that AWS shows, else those that its event named."""
    if record.request is None or record.request.status is not Status.FAILED:
        return ()
    return record.request.conflicting_policies or record.conflicting_policies


def _unmatched_address(record: Record, no_buttons: NoButtons | None) -> str:
    """Return the requester's address if it matches no Teams user, else "".

    Return it only if it is why the card has no buttons, or if it identifies the requester.
    """
    shown = no_buttons is Refusal.UNMATCHED or is_identified(record)
    return record.requester.unmatched if record.requester and shown else ""


def _escalation_line(record: Record, channel: Channel, configuration: Configuration) -> EscalationLine | None:
    """Return which other channel may decide the waiting level too, and when; None if there is none."""
    level, home = record.waiting_level, configuration.home(record)
    if level is None or home is None or home.escalate_to is None:
        return None
    if second_channel(record, configuration, level.step) is None:
        return EscalationLine(home.escalate_to, after=home.escalate_after)
    since = next((each.at for each in record.escalations if each.step == level.step), None)
    here = channel.name != home.name
    return EscalationLine(home.name if here else home.escalate_to, since=since, here=here)


def _applying(record: Record) -> DecisionLine | None:
    """Return the announced decision in progress that would change the card's state; None if there is none.

    Votes that wait for their turn do not count.
    """
    status = record.request.status if record.request else Status.UNKNOWN
    announced = [each for each in record.live_decisions if each.announced and status is _changes(each.verdict)]
    sending = [each for each in announced if not _is_queued_vote(each)]
    return decision_line(sending[0]) if sending else None


def _queued(record: Record) -> tuple[DecisionLine, ...]:
    """Return the announced votes that wait for their turn. The buttons stay: a reject is sent before them."""
    return tuple(decision_line(each) for each in record.live_decisions if each.announced and _is_queued_vote(each))


def reviewer_names(record: Record, now: datetime) -> tuple[str, ...]:
    """Return the names of the people who are reviewing the waiting level now."""
    waiting = record.waiting_level
    if waiting is None:
        return ()
    active = active_reviews(record.reviews, record.decisions, step=waiting.step, now=now)
    return tuple(each.name for each in active)


def _is_queued_vote(decision: Decision) -> bool:
    return decision.queued and isinstance(decision.verdict, Verdict)


def _changes(action: Action) -> Status:
    return Status.APPROVED if action is Withdrawal.REVOKE else Status.PENDING


def _shown_tags(request: AccessRequest, channel: Channel) -> tuple[tuple[str, str], ...]:
    """Return the tags that the channel shows; of several nodes, each value once."""
    values = ((key, _each([node.tag(key) for node in request.targets])) for key in channel.show_tags)
    return tuple((key, value) for key, value in values if value is not None)


def _each(values: Sequence[str | None]) -> str | None:
    """Return the known values of several nodes as one text, each once; None if none is known."""
    known = dict.fromkeys(value for value in values if value is not None)
    return ", ".join(known) if known else None


def node_lines(request: AccessRequest) -> tuple[NodeLine, ...]:
    """Return a line for each node of a request for several; () for a single node."""
    return tuple(NodeLine(node.id, node.name) for node in request.nodes)


def _facts(node: Node, channel: Channel) -> NodeFacts:
    values = ((key, node.tag(key)) for key in channel.show_tags)
    return NodeFacts(
        node.id,
        node.name,
        platform=node.platform,
        host=node.host,
        private_ip=node.private_ip,
        tags=tuple((key, value) for key, value in values if value is not None),
        tags_unread=node.tags is None,
    )


def _level_line(request: AccessRequest, record: Record) -> LevelLine | None:
    if not request.levels:
        return None
    level = request.waiting or request.last_level or request.levels[0]
    number = request.levels.index(level) + 1
    line = LevelLine(number, len(request.levels), level.step, _approvals(level, record), level.required)
    if level is not request.waiting:
        return line
    return replace(line, waits_for=_waits_for(level, request.key.account), votes_unread=level.votes is None)


def _name_of_role(arn: str | None) -> str | None:
    return arn.rpartition("/")[2] if arn else None


def _waits_for(level: Level, account: str) -> tuple[str, ...]:
    """Return a level's approvers as the policy names them, but roles of the request's account by name.

    The card shows that account already.
    """
    return tuple(_approver_name(each.id, account) for each in level.approvers or ())


def _approver_name(approver: str, account: str) -> str:
    role = role_of_arn(approver)
    return approver if role and role[1] != account else approver.rpartition("/")[2]


def _approvals(level: Level, record: Record) -> int | None:
    """Return AWS's count of approvals. If it cannot be read, return the bot's own count, or None instead of 0."""
    if level.approvals is not None:
        return level.approvals
    return len(record.confirmed(level.step, Verdict.APPROVE)) or None


def with_mentions(
    view: CardView, asked: Sequence[Person], named: Sequence[Person] = (), *, rings: bool = False
) -> CardView:
    """Add mentions to a card that asks for a decision: `asked`, from `mention`, then `named`, from the reason.

    A person who is in both is mentioned only as one of `asked`. With `rings`, Teams notifies the people. Any other card
    is returned unchanged.
    """
    if not asks_for_decision(view):
        return view
    users = {each.user for each in asked}
    besides = [each for each in named if each.user not in users]
    return replace(view, mentions=mentions_of(asked), mentioned=mentions_of(besides), rings=rings)


def asks_for_decision(view: CardView) -> bool:
    """True for a waiting card that an approver can decide now. Any other card calls no one."""
    return view.banner is Banner.WAITING and view.buttons


def mentions_of(people: Sequence[Person]) -> tuple[Mention, ...]:
    """Return the mentions of these people."""
    return tuple(Mention(each.teams_id or each.object_id, each.shown_name) for each in people)
