"""Escalation: a second channel that may decide a level which has waited too long in the channel of the request.

A right needs both: the row, which stores when a level was escalated, and node-access.toml, which still says so.
`rules_in` is the one place that says whether a channel decides, and which rules apply there. When a level is escalated
is in `bot.domain.shown.turns`, because that depends on the messages that called its people.
"""

from dataclasses import replace
from datetime import datetime

from bot.domain.configuration import Configuration
from bot.domain.record import Escalation, Record
from bot.domain.routing import Channel, LevelRule, same_conversation


def rules_in(record: Record, configuration: Configuration, channel: str, step: str) -> Channel | None:
    """Return the channel with the rules that apply to this step there; None if the channel does not decide the step."""
    home = configuration.home(record)
    if home is None or record.route is None or not record.route.settled:
        return None
    second = second_channel(record, configuration, step)
    if channel == home.name:
        return replace(home, decide=second.decide) if second else home
    return second if second and second.name == channel else None


def second_channel(record: Record, configuration: Configuration, step: str) -> Channel | None:
    """Return the channel that this step was escalated to, with the rules that apply there; None if there is none.

    Its own rules apply, or those of the request's channel where they are stricter: a pause, a required comment, one
    level per person, and a step that only the request's channel has a rule for.
    """
    home, target = configuration.home(record), _target(record, configuration)
    if home is None or target is None or not _is_escalated(record, target, step):
        return None
    rule = target.rule_at(step) or LevelRule(step, () if home.rule_at(step) else target.approvers)
    one_level = home.one_level_at(step) or target.one_level_at(step)
    return replace(
        target,
        decide=home.decide and target.decide,
        comment_required=home.comment_required | target.comment_required,
        levels=(replace(rule, one_level_per_person=one_level),),
    )


def next_channel(record: Record, configuration: Configuration) -> Channel | None:
    """Return the channel that the waiting level can still be escalated to; None if there is none, or it already was."""
    target, level = _target(record, configuration), record.waiting_level
    if target is None or level is None or _is_escalated(record, target, level.step):
        return None
    return target


def with_escalation(record: Record, configuration: Configuration, now: datetime) -> Record:
    """Store that the waiting level is escalated now. Call it only while someone could decide the level."""
    target, level = next_channel(record, configuration), record.waiting_level
    if target is None or level is None or not target.decide:
        return record
    kept = tuple(each for each in record.escalations if each.step != level.step)
    escalation = Escalation(level.step, target.name, target.conversation, now)
    return replace(record, escalations=(*kept, escalation))


def _target(record: Record, configuration: Configuration) -> Channel | None:
    home = configuration.home(record)
    if home is None or not home.escalate_to or record.route is None or not record.route.settled:
        return None
    return configuration.channel(home.escalate_to) if home.escalate_to != home.name else None


def _is_escalated(record: Record, target: Channel, step: str) -> bool:
    return any(
        (each.step, each.channel) == (step, target.name) and same_conversation(each.conversation, target.conversation)
        for each in record.escalations
    )
