"""When a row must be reconciled next, and whether its facts are recent enough to be reused. Pure."""

from datetime import datetime, timedelta

from bot.concurrency.backoff import backoff
from bot.domain.access.endings import EndingStage
from bot.domain.access.sessions import WATCHED_AFTER_END, ended_at, is_watched
from bot.domain.configuration import Configuration
from bot.domain.decision import Decision, DecisionState
from bot.domain.effects import votes_due_at
from bot.domain.record import Record
from bot.domain.request import Status
from bot.domain.rules.claims import awaits_effect, under_way
from bot.domain.shown.direct import LOOKUP_SPAN, may_still_be_identified
from bot.domain.shown.surfaces import next_change

FIRST_PAUSE = timedelta(seconds=1)  # pause before the second attempt to read a request
LONGEST_PAUSE = timedelta(minutes=1)  # longest pause between attempts to read a request
INCOMPLETE_PAUSE = timedelta(minutes=10)  # pause between attempts if only a part of a request is unreadable
LAST_ATTEMPT = 12  # retries of an OpsItem that was never readable; the last is about seven minutes after the first read
UNIDENTIFIED_PAUSE = timedelta(minutes=5)  # rosters are read again after it: a requester or approver may have joined
# The pauses while Teams does not return all rosters, for LOOKUP_SPAN: the message must be sent within a minute of the
# recovery, and the directory may return the last result for another 10 seconds.
LOOKUP_PAUSES = timedelta(seconds=5), timedelta(seconds=45)
FACTS_KEPT = timedelta(minutes=5)  # how long a postponed delivery is repeated without reading AWS again
UNKNOWN_PAUSE = timedelta(seconds=2)  # pause between checks of a decision that AWS never answered


def due_at(record: Record, configuration: Configuration, now: datetime, *, shown_at: datetime) -> datetime | None:
    """Return when the row must be reconciled next; None if only an event, a click or a sweep makes it due.

    Teams shows what was to be shown at `shown_at`. If that has changed by itself since, the result is in the past.
    None also for a row whose account or Region was removed from the configuration. Its clicks find no request.
    """
    if not configuration.covers(record.key):
        return None
    moments = [_retry_at(record, now), next_change(record, configuration, shown_at), *_decision_checks(record, now)]
    moments += [_sessions_until(record, now), _ending_at(record, now)]
    if may_still_be_identified(record, now):
        moments.append(now + _lookup_pause(record, now))
    if (record.no_approver or record.no_second_approver) and record.waiting_level:
        moments.append(now + UNIDENTIFIED_PAUSE)
    return min((moment for moment in moments if moment), default=None)


def is_recent(record: Record, configuration: Configuration, now: datetime) -> bool:
    """True if a row that is due only for a postponed delivery has facts that need not be read again.

    An event, a click or a change in a sweep makes the row due for more than the delivery. A decision that is under
    way needs a read, and so does a moment since the last read at which the desired surfaces changed by themselves.
    """
    observed_at, request = record.observed_at, record.request
    if record.deliver_at is None or request is None or observed_at is None:
        return False
    if record.reconcile_failures or request.status is Status.UNKNOWN:
        return False
    ending = _ending_at(record, now)
    if any(under_way(each, request, now) for each in record.decisions) or (ending and ending <= now):
        return False
    change = next_change(record, configuration, observed_at)
    return observed_at <= now < observed_at + FACTS_KEPT and (change is None or now < change)


def _retry_at(record: Record, now: datetime) -> datetime | None:
    """Return when to read AWS again after failed reads; None if no read has failed, or there is no further retry.

    Requests that were never readable, or have ended, get LAST_ATTEMPT retries.
    """
    pending = record.request is not None and not record.request.status.ended
    if not record.reconcile_failures or (not pending and record.reconcile_failures > LAST_ATTEMPT):
        return None
    longest = LONGEST_PAUSE if record.request is None or record.request.complete else INCOMPLETE_PAUSE
    return now + backoff(record.reconcile_failures - 1, first=FIRST_PAUSE, longest=longest)


def _sessions_until(record: Record, now: datetime) -> datetime | None:
    """Return until when the row stays watched, so that its sessions are read; None if they are not, or not any more."""
    end = ended_at(record.request) if record.request else None
    watched = end is not None and record.usage is not None and is_watched(record.usage, end, now)
    return end + WATCHED_AFTER_END if end and watched else None


def _ending_at(record: Record, now: datetime) -> datetime | None:
    """Return when the next step of an ending of sessions is due; None without one, and while it waits."""
    ending = record.ending
    if ending is None:
        return None
    if ending.stage is EndingStage.WAITS:
        revocation = record.decision(ending.revocation)
        waits = revocation and revocation.state in {DecisionState.CLAIMED, DecisionState.SENT}
        return None if waits else now  # the decision has times of its own
    return now if ending.is_due(now) else ending.next_at


def _lookup_pause(record: Record, now: datetime) -> timedelta:
    """Return the pause before the requester is looked up again: short while Teams does not return everybody."""
    age = now - record.created_at
    if record.requester is None or not record.requester.may_be_found or age > LOOKUP_SPAN:
        return UNIDENTIFIED_PAUSE
    shortest, longest = LOOKUP_PAUSES
    return min(max(age, shortest), longest)


def _decision_checks(record: Record, now: datetime) -> list[datetime | None]:
    """Return the times to check live decisions, and decisions that AWS accepted but does not show yet.

    An element that is None does not count.
    """
    unknown = DecisionState.UNKNOWN
    checks: list[datetime | None] = [
        now + UNKNOWN_PAUSE if each.state is unknown else max(each.held_until, now) for each in record.live_decisions
    ]
    hidden = [each for each in record.decisions if record.request and awaits_effect(each, record.request, now)]
    last = votes_due_at(record, now) if not record.reconcile_failures else None  # failed reads have their own pauses
    return [*checks, *(now + _effect_pause(each, now) for each in hidden), last]


def _effect_pause(decision: Decision, now: datetime) -> timedelta:
    """Return the time until the next check: as long as the effect has been missing so far, and at least a second.

    So the waits double: 1, 1, 2, 4 … seconds.
    """
    return max(now - (decision.settled_at or now), timedelta(seconds=1))
