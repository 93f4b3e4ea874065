"""Which buttons a card has, and why it has none. Whether a person may use one is checked at the click.

The rules are in bot.domain.rules.permission; this module asks them without a person.
"""

from datetime import datetime

from bot.domain.abilities import Abilities
from bot.domain.configuration import Configuration
from bot.domain.escalation import rules_in
from bot.domain.record import Record
from bot.domain.request import Level, Status
from bot.domain.routing import Channel
from bot.domain.rules.permission import (
    Refusal,
    can_be_decided,
    can_be_revoked,
    had_access,
    has_votable_approver,
    lists_only_the_requester,
    may_list_role,
    why_unidentified,
)
from bot.domain.shown.card_places import home_problem
from bot.domain.shown.views import DecidedElsewhere, NoButtons


def why_no_buttons(record: Record, channel: Channel, configuration: Configuration) -> NoButtons | None:
    """Return why a waiting card has no Approve and Reject in this channel; None if it has them."""
    request = record.request
    if request is None or request.replica_of:
        return Refusal.REPLICA
    if not request.targets:
        return Refusal.NODES_UNREAD
    rules = rules_now(record, channel, configuration)
    if rules is None:
        return _elsewhere(record, channel)
    if not rules.decide:
        return Refusal.PAUSED
    if request.waiting is None or not can_be_decided(request):
        return Refusal.UNREADABLE
    return _nobody(record, request.waiting, rules, configuration)


def rules_now(record: Record, channel: Channel, configuration: Configuration) -> Channel | None:
    """Return the channel with the rules that apply to the current level; None if another channel decides it."""
    level = (record.request.waiting or record.request.last_level) if record.request else None
    return rules_in(record, configuration, channel.name, level.step if level else "")


def is_undecidable(record: Record, channel: Channel, configuration: Configuration) -> bool:
    """True if a waiting request has no approver in its channel, or AWS would refuse every approver's decision."""
    if record.request is None or record.request.status is not Status.PENDING:
        return False
    why = why_no_buttons(record, channel, configuration)
    return why in _NOT_DECIDABLE or (why is None and is_home(record, channel) and record.no_approver)


# Reasons that stay until an administrator changes the configuration. Not a pause, and not a policy whose approvers
# decide in the console: both are intended.
_NOT_DECIDABLE = frozenset({Refusal.NOBODY, Refusal.OWN_REQUEST, Refusal.OTHER_ROLE})


def is_home(record: Record, channel: Channel) -> bool:
    """True if the request is certainly routed to this channel."""
    return record.route is not None and record.route.settled and record.route.channel == channel.name


def may_offer_revoke(record: Record, channel: Channel, configuration: Configuration, now: datetime) -> bool:
    """True while the card in this channel has a button that revokes the access."""
    request = record.request
    if request is None or request.replica_of or request.last_level is None or not can_be_revoked(request, now):
        return False
    rules = rules_now(record, channel, configuration)
    return rules is not None and rules.decide and not _nobody(record, request.last_level, rules, configuration)


def may_offer_end(
    record: Record, channel: Channel, configuration: Configuration, now: datetime, *, abilities: Abilities
) -> bool:
    """True while the card in this channel has a button that ends open sessions: beside Revoke, or alone.

    It is alone once access has ended, if a session of the requester is open as of the last read.
    """
    request = record.request
    if request is None or request.last_level is None or not can_end_sessions(record, configuration, abilities):
        return False
    if can_be_revoked(request, now):
        return may_offer_revoke(record, channel, configuration, now)
    rules = rules_now(record, channel, configuration)
    decides = rules is not None and rules.decide and not _nobody(record, request.last_level, rules, configuration)
    return decides and has_open_session(record)


def can_end_sessions(record: Record, configuration: Configuration, abilities: Abilities) -> bool:
    """True if sessions of this access can be ended from Teams, and nobody is doing it now."""
    request = record.request
    if request is None or not had_access(request) or not abilities.end_sessions:
        return False
    return configuration.end_sessions_role(request.key) is not None and record.ending is None


def has_open_session(record: Record) -> bool:
    """True if a session of the requester was open when sessions were last read."""
    return record.usage is not None and any(each.open and each.is_theirs for each in record.usage.sessions)


def _elsewhere(record: Record, channel: Channel) -> NoButtons:
    """Return why the request is not decided in this channel."""
    if record.route is None or not record.route.settled or record.route.channel == channel.name:
        return Refusal.NOT_ROUTED
    return DecidedElsewhere.UNREACHABLE if home_problem(record) else DecidedElsewhere.ELSEWHERE


def _nobody(record: Record, level: Level, channel: Channel, configuration: Configuration) -> NoButtons | None:
    """Return why no one in the channel may decide at a level; None if approvers may."""
    if not channel.approvers_at(level.step):
        return Refusal.NOBODY
    if not is_identified(record) and not configuration.identity.allow_unidentified:
        return why_unidentified(record.requester)
    if record.requester and lists_only_the_requester(channel.approvers_at(level.step), record.requester):
        return Refusal.OWN_REQUEST
    if not has_votable_approver(level):
        return Refusal.CONSOLE_ONLY
    return None if may_list_role(level, channel.role_at(level.step, record.key.account)) else Refusal.OTHER_ROLE


def is_identified(record: Record) -> bool:
    """True if the requester is identified."""
    return bool(record.requester and record.requester.identified)
