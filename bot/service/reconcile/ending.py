"""Ends the sessions of an ending, one step in each reconciliation of its row. Start with `SessionEndings.proceed`.

A step reads all open sessions and all access, completely, and asks AWS to end at most one session: one that an earlier
step planned, and that this read attributes in the same way. Permission is checked before the read and with the write
that says "asked". A session is stored as asked before the call, so a restart goes on; repeating the call is safe.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import structlog

from bot.domain.access.endings import (
    EndedSession,
    Ending,
    EndingStage,
    EndState,
    Found,
    Stopped,
    after_read,
    after_revocation,
    found_in,
    next_planned,
    put_off,
    scheduled,
    stopped,
    with_state,
)
from bot.domain.access.sessions import MARGIN, Access, Others, with_ended
from bot.domain.record import Record
from bot.domain.rules.permission import Refusal
from bot.ports.aws import AwsThrottled, AwsUnavailable, EndingRoleRefused, EndRefused, Sessions, SessionsDenied
from bot.ports.clock import Clock
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration
from bot.service.decisions.permission_check import PASSING, Actor, PermissionCheck
from bot.service.decisions.signal_content import session_in
from bot.service.decisions.state_check import is_fresh
from bot.service.rows import Rows
from bot.telemetry import Telemetry

ACCESS_UNLISTED: Final = "AccessUnlisted"  # AWS's list of all access lacks the request itself, so it is not complete
_WAITS: Final = PASSING | {Refusal.UNREADABLE}  # AWS and Teams are read again soon
_SETTLED: Final = frozenset({EndState.ENDED, EndState.UNCONFIRMED, EndState.DENIED, EndState.FAILED})
log = structlog.get_logger(__name__)


class SessionEndings:
    """Makes the steps of endings, under the lease of their rows."""

    def __init__(
        self,
        *,
        rows: Rows,
        sessions: Sessions,
        permission: PermissionCheck,
        clock: Clock,
        configuration: CurrentConfiguration,
        telemetry: Telemetry,
        outcomes: Outcomes,
    ) -> None:
        self._rows, self._sessions, self._permission = rows, sessions, permission
        self._clock, self._configuration, self._telemetry = clock, configuration, telemetry
        self._outcomes = outcomes

    async def proceed(self, record: Record) -> Record:
        """Make the next step of the row's ending if it is due, and return the row. Raises StoreUnavailable.

        Call it after a read of the request.
        """
        if record.ending and record.with_settled_ending(self._clock.now()) is not record:
            record = await self._after_revocation(record, record.ending)
        ending, now = record.ending, self._clock.now()
        if ending is None or not ending.is_due(now):
            return record
        actor = await self._permission.actor_of(record, ending)
        if refusal := self._permission.refusal_of_ending(record, ending, actor, now):
            return await self._refused(record, ending, refusal)
        access = record.access
        if access is None:
            return await self._put_off(record, ending, Refusal.UNREADABLE)
        return await self._look(record, ending, access, actor)

    # --- without a call

    async def _after_revocation(self, record: Record, ending: Ending) -> Record:
        def after(row: Record, current: Ending) -> Ending:
            return after_revocation(current, row.decision(current.revocation), self._clock.now())

        return await self._change(record, ending, after)

    async def _refused(self, record: Record, ending: Ending, refusal: Refusal) -> Record:
        if refusal in _WAITS:
            return await self._put_off(record, ending, refusal)
        return await self._stop(record, ending, _why(refusal))

    async def _put_off(self, record: Record, ending: Ending, code: str) -> Record:
        log.warning("session_ending_delayed", code=code)
        now = self._clock.now()
        return await self._change(record, ending, lambda _, current: put_off(current, now))

    async def _stop(self, record: Record, ending: Ending, why: Stopped) -> Record:
        return await self._change(record, ending, lambda _, current: stopped(current, why))

    # --- read

    async def _look(self, record: Record, ending: Ending, access: Access, actor: Actor | None) -> Record:
        try:
            if next_planned(ending):
                await self._prepare(record, ending)
                actor = await self._permission.actor_of(record, ending)
            read_at = self._clock.now()
            found = await self._read(record, ending, access)
        except EndingRoleRefused:
            return await self._stop(record, ending, Stopped.NO_ROLE)
        except SessionsDenied:
            return await self._stop(record, ending, Stopped.UNREADABLE)
        except AwsUnavailable as problem:
            return await self._put_off(record, ending, problem.code)
        return await self._step(record, ending, access, actor, found=found, read_at=read_at)

    async def _prepare(self, record: Record, ending: Ending) -> None:
        """Do what the call may have to wait for before everything is read. Raises EndingRoleRefused, AwsUnavailable."""
        configuration = self._configuration.value
        if role := configuration.end_sessions_role(record.key):
            await self._sessions.prepare_end(record.key, session_in(configuration, role, ending.person))

    async def _read(self, record: Record, ending: Ending, access: Access) -> Found:
        """Read all open sessions, then all access: access with which one of them was started is in the list.

        Raises AwsUnavailable.
        """
        place, own = (record.key.account, record.key.region), str(record.key)
        active = await self._sessions.active(*place)
        # a session that is in neither list, such as one on a node that is offline, may still be open
        ended = await self._sessions.ended(*place, access.begins - 2 * MARGIN) if ending.missing_from(active) else ()
        listed = await self._sessions.granted(*place, access.others_since)
        if not is_complete(listed, own):
            raise AwsUnavailable(ACCESS_UNLISTED)
        others = Others(tuple(each for each in listed if each.request != own), complete=True)
        return found_in((*active, *ended), access, others, clicked_at=ending.clicked_at, now=self._clock.now())

    # --- end

    async def _step(
        self, record: Record, ending: Ending, access: Access, actor: Actor | None, *, found: Found, read_at: datetime
    ) -> Record:
        """Store what the read shows, and end the next session that an earlier read planned, if there is one."""
        asked: EndedSession | None = None
        revision = self._configuration.revision

        def plan(row: Record, current: Ending) -> Ending:
            nonlocal asked
            now, asked = self._clock.now(), None
            if not is_fresh(read_at, now):  # AWS or the store is slow: what was read may no longer be true
                return put_off(current, now)
            seen = after_read(current, found, now)
            if current.in_round and not self._permission.refusal_of_ending(row, current, actor, now):
                asked = next_planned(seen)
            return with_state(seen, asked.id, EndState.ASKED, at=now) if asked else scheduled(seen, access, now)

        record = await self._change(record, ending, plan)
        if asked is None:
            return record
        is_current = is_fresh(read_at, self._clock.now()) and self._configuration.revision == revision
        state, detail = await self._end(record, ending, asked.id) if is_current else (EndState.FOUND, "")

        def settle(_: Record, current: Ending) -> Ending:
            now = self._clock.now()
            settled = with_state(current, asked.id, state or EndState.DENIED, detail=detail, at=now)
            if state is EndState.FOUND:
                return put_off(settled, now)
            return scheduled(settled, access, now, called=True) if state else stopped(settled, Stopped.NO_ROLE)

        return await self._change(record, ending, settle)

    async def _end(self, record: Record, ending: Ending, session_id: str) -> tuple[EndState | None, str]:
        """Ask AWS to end a session. Return its state and AWS's error code; None if the role cannot be assumed.

        A call without an answer may have had its effect: the next reads show it. The checks learn whether AWS lets the
        role end sessions.
        """
        configuration = self._configuration.value
        role = configuration.end_sessions_role(record.key)
        if role is None:
            return None, ""
        try:
            await self._sessions.end(record.key, session_id, session_in(configuration, role, ending.person))
        except EndingRoleRefused as refused:
            return None, refused.code
        except EndRefused as refused:
            if refused.denied:
                self._outcomes.failed(Work.SIGNAL, role, code=refused.code)
            return EndState.DENIED if refused.denied else EndState.FAILED, refused.code
        except AwsThrottled as problem:
            return EndState.FAILED, problem.code
        except AwsUnavailable as problem:
            return EndState.ASKED, problem.code
        self._outcomes.succeeded(Work.SIGNAL, role)
        return EndState.ASKED, ""

    # --- row

    async def _change(self, record: Record, ending: Ending, change: Callable[[Record, Ending], Ending]) -> Record:
        """Store a change of the ending, unless it is over, and report what has changed."""
        before = ending

        def changed(row: Record) -> Record:
            nonlocal before
            current = next((each for each in row.endings if each.id == ending.id), None)
            if current is None or current.stage is EndingStage.OVER:
                return row
            before, after = current, change(row, current)
            ended = {each.id for each in after.sessions if each.state is EndState.ENDED}
            usage = with_ended(row.usage, ended, self._clock.now())
            return row.with_ending(after).with_usage(usage)

        stored = await self._rows.apply(record.key, changed)
        self._report(before, next((each for each in stored.endings if each.id == ending.id), before))
        return stored

    def _report(self, before: Ending, after: Ending) -> None:
        former = {each.id: each.state for each in before.sessions}
        for each in after.sessions:
            if each.state in _SETTLED and former.get(each.id) is not each.state:
                self._telemetry.session_ends.labels(result=each.state).inc()
                write = log.warning if each.state is EndState.DENIED else log.info
                write("session_end_settled", session=each.id, result=each.state, code=each.detail)
        if after.stopped and not before.stopped:
            log.warning("session_ending_stopped", why=after.stopped)


def is_complete(listed: Iterable[Access], own: str) -> bool:
    """False if a list of all access lacks the request itself: then it may lack others, too."""
    return any(each.request == own for each in listed)


def _why(refusal: Refusal) -> Stopped:
    return Stopped.NO_ROLE if refusal is Refusal.NO_END_ROLE else Stopped.NOT_PERMITTED
