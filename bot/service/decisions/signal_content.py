"""Builds the signal of a decision from the current configuration. Pure.

Start with `signal_of`. `bot.service.decisions.signal_attempt` sends it.
"""

from bot.domain.configuration import Configuration
from bot.domain.decision import Decision, Outcome
from bot.domain.identity import PERSON_TAG, Person
from bot.domain.record import Record
from bot.domain.request import Withdrawal
from bot.domain.shown.card_places import deciding_channel, is_place_of
from bot.ports.aws import RoleSession, Signal
from bot.text.escape import one_line, plain_text

AWS_COMMENT_LIMIT = 512  # characters; SendAutomationSignal's payload


def removed_since(configuration: Configuration, record: Record, decision: Decision) -> Outcome | None:
    """Return why a decision can no longer be sent, after its channel or its role was removed; None if it can.

    The bot's own credentials never replace a role.
    """
    role = role_of(configuration, record, decision)
    match decision.action:
        case Withdrawal.CANCEL:
            return None if role else Outcome.NO_CANCEL_ROLE
        case Withdrawal.GIVE_BACK:
            return None if role else Outcome.NOT_PERMITTED
        case _:
            return _channel_removed_since(configuration, record, decision, role=role)


def _channel_removed_since(
    configuration: Configuration, record: Record, decision: Decision, *, role: str | None
) -> Outcome | None:
    channel = deciding_channel(record, configuration, decision)
    permitted = channel is not None and is_place_of(record, channel, decision.conversation)
    return None if permitted and (role or not decision.in_role) else Outcome.NOT_ROUTED


def role_of(configuration: Configuration, record: Record, decision: Decision) -> str | None:
    """Return the ARN of the role that sends a decision.

    None means the bot's own credentials; the requester's decisions are not sent without a role.
    """
    match decision.action:
        case Withdrawal.CANCEL:
            return configuration.cancel_role(record.key)
        case Withdrawal.GIVE_BACK:
            return configuration.give_back_role(record.key)
        case _:
            channel = deciding_channel(record, configuration, decision)
            return channel.role_at(decision.step, record.key.account) if channel else None


def signal_of(configuration: Configuration, record: Record, decision: Decision, execution_id: str) -> Signal:
    """Return the signal of a decision."""
    return Signal(
        key=record.key,
        execution_id=execution_id,
        action=decision.action,
        comment=payload_comment(decision.comment, decision.person.shown_name),
        session=_session(configuration, record, decision),
    )


def _session(configuration: Configuration, record: Record, decision: Decision) -> RoleSession | None:
    role = role_of(configuration, record, decision)
    return session_in(configuration, role, decision.person) if role else None


def session_in(configuration: Configuration, role: str, person: Person) -> RoleSession:
    """Return the session of a role in which a person acts: CloudTrail shows their name."""
    rules = configuration.identity
    return RoleSession(
        role,
        person.session_name,
        source_identity=person.session_name if rules.source_identity else None,
        external_id=rules.external_id,
        tags=((PERSON_TAG, person.object_id),) if rules.session_tags else (),
    )


def payload_comment(comment: str, person: str) -> str:
    """Return the comment that AWS records: the person's words and name, at most AWS_COMMENT_LIMIT characters."""
    author = f"({one_line(person)} via Microsoft Teams)"
    words = plain_text(comment).strip()[: max(0, AWS_COMMENT_LIMIT - len(author) - 1)]
    return f"{words} {author}" if words else author[:AWS_COMMENT_LIMIT]
