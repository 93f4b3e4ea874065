"""A row as a card shows it: state, facts, progress and who decided what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.card_places import home_problem
from bot.domain.decision import Decision, DecisionState, Outcome, can_be_decided, has_votable_approver, voted_by
from bot.domain.identity import Person, Principal
from bot.domain.record import Record
from bot.domain.request import AccessRequest, Level, LevelState, Status, Verdict
from bot.domain.routing import Channel
from bot.domain.views import Banner, CardView, DecisionLine, LevelLine, Mention, NoButtons, RequestLine


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the configuration the surfaces depend on."""

    channels: Mapping[str, Channel]
    allow_unplaced: bool = False


def card_view(record: Record, channel: Channel, rules: Rules, now: datetime) -> CardView:
    """Return the card of a row in a channel. The row must have facts."""
    request = record.request
    if request is None:
        raise ValueError(record.key)
    no_buttons = _no_buttons(record, channel, rules)
    pending = request.status is Status.PENDING
    buttons = pending and no_buttons is None
    lines = decision_lines(record)
    applying = _applying(record)
    return CardView(
        key=str(request.key),
        step=request.waiting.step if buttons and request.waiting else "",
        banner=Banner.APPLYING if applying and pending else banner(request, now),
        ops_item_id=request.key.ops_item_id,
        account=request.key.account,
        region=request.key.region,
        node_id=request.node.id,
        node_name=request.node.name,
        requester=requester_name(record),
        requester_principal=request.requester,
        reason=request.reason,
        duration=request.duration,
        platform=request.node.platform,
        private_ip=request.node.private_ip,
        tags=_shown_tags(request, channel),
        tags_unread=request.node.tags is None,
        policy=request.policy,
        level=_level_line(request, record),
        requested_at=request.requested_at,
        lapses_at=request.lapses_at,
        access_until=request.access_until if request.status is Status.APPROVED else None,
        decisions=lines,
        applying=applying if pending else None,
        buttons=buttons and applying is None,
        no_buttons=no_buttons if pending else None,
        home=record.route.channel if pending and record.route and no_buttons in _AWAY else None,
        home_problem=home_problem(record) if pending and no_buttons in _AWAY else None,
        console_url=console_url(request),
        comment_required=tuple(sorted(channel.comment_required)),
        requester_unchecked=pending and rules.allow_unplaced and not _placed(record),
        conflicting_policies=conflicting_policies(record),
        decided_outside=request.status in DECIDED and not lines,
    )


_AWAY = frozenset({NoButtons.ELSEWHERE, NoButtons.UNREACHABLE})
_SETTLED_BY = {Status.APPROVED: Verdict.APPROVE, Status.REJECTED: Verdict.REJECT}
DECIDED = frozenset(_SETTLED_BY)
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


def banner(request: AccessRequest, now: datetime) -> Banner:
    """Return the state in one word; an approval whose window is over has ended."""
    if access_is_over(request, now):
        return Banner.ENDED
    return _BANNERS[request.status]


def access_is_over(request: AccessRequest, now: datetime) -> bool:
    """True once the window is over in which an approval lets sessions be started."""
    return request.status is Status.APPROVED and request.access_until is not None and request.access_until <= now


def console_url(request: AccessRequest) -> str:
    """Return the page of the AWS console from which a person finds the request.

    The address of a single request's page is documented nowhere; Systems Manager's start page leads there.
    """
    region = request.key.region
    return f"https://{region}.console.aws.amazon.com/systems-manager/home?region={region}"


def requester_name(record: Record) -> str:
    """Return the requester's best known name."""
    if record.requester and record.requester.name:
        return record.requester.name
    return Principal.parse(record.request.requester).shown_name if record.request else ""


def conflicting_policies(record: Record) -> tuple[str, ...]:
    """Return the policies in each other's way; what an event said of them counts only once AWS says "failed"."""
    if record.request is None or record.request.status is not Status.FAILED:
        return ()
    return record.request.conflicting_policies or record.conflicting_policies


def _placed(record: Record) -> bool:
    return bool(record.requester and record.requester.placed)


def _no_buttons(record: Record, channel: Channel, rules: Rules) -> NoButtons | None:
    request, route = record.request, record.route
    if request is None or request.replica_of:
        return NoButtons.REPLICA
    if route is None or not route.settled:
        return NoButtons.NOT_ROUTED
    if route.channel != channel.name:
        return NoButtons.UNREACHABLE if home_problem(record) else NoButtons.ELSEWHERE
    level = request.waiting
    if level is None or not can_be_decided(request):
        return NoButtons.UNREADABLE
    if not channel.approvers_at(level.step):
        return NoButtons.NOBODY
    if not _placed(record) and not rules.allow_unplaced:
        return NoButtons.UNPLACED
    return None if has_votable_approver(level) else NoButtons.CONSOLE_ONLY


def _applying(record: Record) -> DecisionLine | None:
    announced = [each for each in record.live_decisions if each.announced]
    return _line(announced[0]) if announced else None


def _shown_tags(request: AccessRequest, channel: Channel) -> tuple[tuple[str, str], ...]:
    tags = dict(request.node.tags or ())
    return tuple((key, tags[key]) for key in channel.show_tags if key in tags)


def _level_line(request: AccessRequest, record: Record) -> LevelLine | None:
    if not request.levels:
        return None
    level = request.waiting or last_touched(request.levels)
    number = request.levels.index(level) + 1
    line = LevelLine(number, len(request.levels), level.step, _approvals(level, record), level.required)
    if level is not request.waiting:
        return line
    return replace(line, approved_by=_approved_by(level, record), waits_for=_waits_for(level))


def _approved_by(level: Level, record: Record) -> tuple[str, ...]:
    lines = (each for each in decision_lines(record) if each.step == level.step and each.verdict is Verdict.APPROVE)
    return tuple(each.who for each in lines if each.who)


def _waits_for(level: Level) -> tuple[str, ...]:
    """Name a level's approvers as the policy does; roles without the path that the account row tells."""
    return tuple(each.id.rpartition("/")[2] for each in level.approvers or ())


def last_touched(levels: Sequence[Level]) -> Level:
    """Return the latest level that was started, else the first."""
    return next((level for level in reversed(levels) if level.state is not LevelState.NOT_STARTED), levels[0])


def _approvals(level: Level, record: Record) -> int | None:
    """AWS's count, or ours where AWS's votes cannot be read."""
    if level.approvals is not None:
        return level.approvals
    return len(record.confirmed(level.step, Verdict.APPROVE)) or None


def decision_lines(record: Record) -> tuple[DecisionLine, ...]:
    """Return who decided what, oldest first: our people by name, others as AWS names them."""
    ours = taken(record)
    lines = [*map(_line, ours), *(line for level in _levels(record) for line in _outside_lines(level, ours))]
    order = {level.step: number for number, level in enumerate(_levels(record))}
    return tuple(sorted(lines, key=lambda line: (order.get(line.step, 0), line.at.timestamp() if line.at else 0.0)))


def taken(record: Record) -> list[Decision]:
    """Return our people's decisions that AWS took: those it accepted, and those that it shows without an answer."""
    accepted = [each for each in record.decisions if each.state is DecisionState.CONFIRMED]
    return [*accepted, *(each for each in record.decisions if _shown_unanswered(record, each, accepted))]


_MAY_HAVE_ARRIVED = frozenset({DecisionState.SENT, DecisionState.UNKNOWN})


def _shown_unanswered(record: Record, decision: Decision, accepted: Sequence[Decision]) -> bool:
    """True for one whose answer is still on its way, or never came, and whose vote AWS shows all the same."""
    if decision.state not in _MAY_HAVE_ARRIVED and decision.outcome is not Outcome.NO_ANSWER:
        return False
    here = [
        each for each in accepted if (each.step, each.person.object_id) == (decision.step, decision.person.object_id)
    ]
    level = record.request.level(decision.step) if record.request else None
    return not here and any(voted_by(vote, decision) for vote in (level.votes if level else None) or ())


def deciding_line(record: Record) -> DecisionLine | None:
    """Return the decision that settled the request, if it is known: the last one of that verdict at the last step."""
    request = record.request
    verdict = _SETTLED_BY.get(request.status) if request else None
    if request is None or verdict is None:
        return None
    step = last_touched(request.levels).step if request.levels else None
    lines = [line for line in decision_lines(record) if line.verdict is verdict and step in {None, line.step}]
    return lines[-1] if lines else None


def _levels(record: Record) -> tuple[Level, ...]:
    return record.request.levels if record.request else ()


def _line(decision: Decision) -> DecisionLine:
    at = decision.settled_at or decision.clicked_at
    return DecisionLine(decision.verdict, decision.person.shown_name, at, decision.comment or None, step=decision.step)


def _outside_lines(level: Level, ours: Sequence[Decision]) -> Iterator[DecisionLine]:
    here = [each for each in ours if each.step == level.step]
    for vote in level.votes or ():
        if not any(voted_by(vote, each) for each in here):
            who = Principal.parse(vote.by).shown_name
            yield DecisionLine(vote.verdict, who, vote.at, vote.comment, in_teams=False, step=level.step)


def request_line(record: Record, now: datetime, *, own: bool) -> RequestLine:
    """Return one line of a list of requests. The row must have facts."""
    request = record.request
    if request is None:
        raise ValueError(record.key)
    return RequestLine(
        ops_item_id=record.key.ops_item_id,
        node=request.node.name or request.node.id,
        requester=requester_name(record),
        banner=banner(request, now),
        requested_at=request.requested_at,
        lapses_at=request.lapses_at,
        own=own,
    )


def with_mentions(
    view: CardView, asked: Sequence[Person], named: Sequence[Person] = (), *, rings: bool = False
) -> CardView:
    """Name people on a waiting card: those whom the channel's entry asks, and those whom the reason names besides."""
    if view.banner is not Banner.WAITING:
        return view
    ids = {each.object_id.casefold() for each in asked}
    besides = [each for each in named if each.object_id.casefold() not in ids]
    return replace(view, mentions=_mentions(asked), mentioned=_mentions(besides), rings=rings)


def _mentions(people: Sequence[Person]) -> tuple[Mention, ...]:
    return tuple(Mention(each.teams_id or each.object_id, each.shown_name) for each in people)
