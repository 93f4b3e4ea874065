"""Compares AWS's lists of one account and Region (a place) with the rows, and makes the rows that differ due.

A row that is open but is no longer in AWS's list of pending requests must be reconciled, too.
Only one process sweeps a place at a time.

The first sweep of a process, and about every tenth one, is full: it reads all watched rows, and the list of current
steps, which rarely shows more than the others. The sweeps between read only rows that have changed since the last one.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from bot.concurrency.background import alongside
from bot.concurrency.turns import in_turns
from bot.domain.request import RequestKey, Status
from bot.ports.aws import AwsUnavailable, ListedRequest, Requests
from bot.ports.clock import Clock
from bot.ports.store import Place, RowUnreadable, StoreUnavailable
from bot.service.checks.advice import READING_CODES, aws_advice
from bot.service.checks.outcomes import Outcomes, Work
from bot.service.current_configuration import CurrentConfiguration
from bot.service.rows import Rows
from bot.service.sources.listed import Listed, RowFacts, facts_of, merged
from bot.service.sources.session_watch import SessionWatch
from bot.service.sources.stored import Stored, StoredRows
from bot.telemetry import Telemetry
from bot.text.escape import one_line

OVERLAP = timedelta(minutes=5)  # AWS's lists may lag behind its clock; a request that is listed twice costs nothing
FIRST_SPAN = timedelta(days=14)  # longest access window: access that was approved earlier has ended
LONGEST_LIFE = timedelta(days=44)  # longest life of a request: 30 days pending, 14 days of access
SWEEP_LEASE = timedelta(seconds=10)  # if a process dies during a sweep, another one sweeps after this time
LEASE_RENEWED_EVERY = 3.0  # seconds between renewals, during a long sweep
OVER = datetime(1970, 1, 1, tzinfo=UTC)  # a lease's end that is past on every clock, also on one that was set back
FULL_EVERY = 10  # periods; in each such span, the first sweep by any process is full
RECENT = 0.9  # share of the period; a sweep that began less than this time ago makes another one unnecessary
ANNOUNCED_WITHIN = timedelta(seconds=20)  # EventBridge usually delivers within a second
MOST_NAMED, LONGEST = 3, 300  # requesters in one problem, and characters of their names
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SweepServices:
    """The services that every sweep of this process uses."""

    rows: Rows
    requests: Requests
    clock: Clock
    configuration: CurrentConfiguration
    telemetry: Telemetry
    outcomes: Outcomes
    session_watch: SessionWatch  # gets the access that runs
    owner: str  # identifies this process
    period: float  # seconds between two sweeps of an account and Region


class PlaceSweep:
    """The sweep of one account and Region.

    `reported` has the accounts and Regions that are not configured and were logged. All sweeps of the process share it.
    """

    def __init__(self, place: Place, services: SweepServices, *, reported: set[Place]) -> None:
        self._place, (self._account, self._region) = place, place
        self._rows, self._requests, self._clock = services.rows, services.requests, services.clock
        self._configuration, self._telemetry = services.configuration, services.telemetry
        self._owner, self._period, self._reported = services.owner, services.period, reported
        self._session_watch = services.session_watch
        self._outcomes, self._subject = services.outcomes, f"{self._account} {self._region}"
        self._started_at = services.clock.now()
        self._check = f"sweep {self._account} {self._region}"  # the name of this check in /readyz
        self._listed = Listed()
        self._stored = StoredRows(
            place, store=services.rows.store, clock=services.clock, configuration=services.configuration
        )
        self._has_swept = False
        self._is_skipping = False
        self._hidden_until = OVER  # requests that were approved automatically before this are not shown

    async def sweep(self, *, if_due: bool) -> bool:
        """Sweep, and log a failure. Return False only if the sweep was skipped; True also after a failure.

        It is skipped while another process sweeps this place and, with `if_due`, after a recent sweep.
        """
        try:
            ours = await self._sweep_in_turn(if_due=if_due)
        except AwsUnavailable as problem:
            await self._failed(problem.code, aws_advice(problem.code, READING_CODES))
        except StoreUnavailable as problem:
            self._telemetry.store_errors.inc()
            await self._failed(str(problem))
        else:
            self._telemetry.health.succeeded(self._check)
            return ours
        return True

    async def release(self) -> None:
        """Let another process sweep this place now."""
        with suppress(StoreUnavailable):  # the lease expires anyway
            await self._rows.store.lease_sweep(*self._place, self._owner, now=self._clock.now(), until=OVER)

    async def _failed(self, code: str, advice: str = "") -> None:
        """Report a failure and let another process try."""
        self._count("failed")
        self._telemetry.health.failed(self._check, code, advice, may_pass=True)
        log.warning("sweep_failed", account=self._account, region=self._region, code=code)
        await self.release()

    # --- which process sweeps

    async def _sweep_in_turn(self, *, if_due: bool) -> bool:
        if (if_due and await self._is_recent()) or not await self._lease():
            self._skip()
            return False
        self._is_skipping = False
        async with alongside(self._keep_lease()):
            await self._compare()
        await self.release()
        return True

    async def _is_recent(self) -> bool:
        last = await self._rows.store.watermark(*self._place)
        return is_recent(last, now=self._clock.now(), period=self._period)

    def _skip(self) -> None:
        self._count("skipped")
        if not self._is_skipping:  # logged once, not every few seconds
            self._is_skipping = True
            log.info("sweep_skipped", account=self._account, region=self._region)

    async def _lease(self) -> bool:
        now = self._clock.now()
        return await self._rows.store.lease_sweep(*self._place, self._owner, now=now, until=now + SWEEP_LEASE)

    async def _keep_lease(self) -> None:
        while True:
            await self._clock.sleep(LEASE_RENEWED_EVERY)
            # if all attempts fail, the lease is lost and another process sweeps as well
            with suppress(StoreUnavailable):
                await self._lease()

    # --- one sweep

    async def _compare(self) -> None:
        began = self._clock.now()
        last = await self._rows.store.watermark(*self._place)
        full = self._is_full(last, began)
        watermark = min(last or began - FIRST_SPAN, began)
        own = await self._own(await self._lists(watermark - OVERLAP, with_steps=full))
        stored = await self._stored.read(full=full)
        since = self._auto_approved_since(last, began)
        sightings = [each for each in own if each.key in stored.watched or _is_wanted(each, since)]
        readable = [each for each in sightings if each.key not in stored.unreadable]
        due = await self._due(readable, stored, with_steps=full)
        self._has_swept = True
        self._session_watch.swept(self._place, stored.running)
        self._report_requesters(stored.unidentified.values())
        await self._requeue(due, stored.unreadable)
        await self._rows.store.advance_watermark(*self._place, began)
        self._done(began, full=full, listed=len(sightings), due=len(due))

    def _is_full(self, last: datetime | None, began: datetime) -> bool:
        """True for the first sweep of this process, and for the first one by any process in a span of FULL_EVERY.

        `last` is when the last sweep by any process began.
        """
        span = FULL_EVERY * self._period
        return not self._has_swept or last is None or last.timestamp() // span != began.timestamp() // span

    async def _lists(self, since: datetime, *, with_steps: bool) -> Sequence[ListedRequest]:
        listed = self._requests.list_requests(*self._place, since)
        if not with_steps:
            return await listed
        return await merged(*await asyncio.gather(listed, self._requests.steps(*self._place)))

    def _auto_approved_since(self, last: datetime | None, began: datetime) -> datetime | None:
        """Return the moment after which new auto-approved requests are shown; None if no channel shows them.

        It is shortly before the last sweep of any process, which began at `last`, so that a restart misses none.
        Requests that an earlier sweep hid, or that are older than the first sweep, stay hidden.
        """
        shows = any(channel.show_auto_approved for channel in self._configuration.value.channels)
        if last is None or not shows:
            self._hidden_until = began
        return max(last - OVERLAP if last else began, self._hidden_until) if shows else None

    async def _requeue(self, due: Iterable[RequestKey], unreadable: Iterable[RequestKey]) -> None:
        """Make rows due. Rows that cannot be read or written do not stop the rest, but the sweep then fails."""
        problems = [
            StoreUnavailable(f"request {key} is stored in a shape that is not known here") for key in unreadable
        ]
        for key in due:
            try:
                await self._rows.requeue(key)
            except StoreUnavailable as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    async def _due(self, sightings: list[ListedRequest], stored: Stored, *, with_steps: bool) -> list[RequestKey]:
        """Return the requests whose rows differ from the lists or from the current node-access.toml."""
        watched = stored.watched
        self._telemetry.open_requests.labels(account=self._account, region=self._region).set(
            sum(row.open for row in watched.values())
        )
        listed = [*sightings, *await self._revoked(watched)]
        answered_at = self._clock.now()
        rows = {**watched, **await self._unwatched(sightings, watched)}
        self._report_unannounced([each for each in sightings if each.key in rows and rows[each.key] is None])
        known = [each for each in listed if each.key in rows]
        news = await self._listed.news(known, rows, with_steps=with_steps, now=answered_at)
        return sorted(news | stored.outdated, key=str)

    async def _unwatched(
        self, sightings: Iterable[ListedRequest], watched: Mapping[RequestKey, RowFacts]
    ) -> dict[RequestKey, RowFacts | None]:
        """Load the rows of listed requests that are not watched, or None where there is no row.

        Leaves out unreadable rows.
        """
        rows: dict[RequestKey, RowFacts | None] = {}
        async for each in in_turns(sightings):
            if each.key not in watched:
                with suppress(RowUnreadable):  # a newer version wrote it; this process can do nothing about it
                    row = await self._rows.load(each.key)
                    rows[each.key] = facts_of(row) if row else None
        return rows

    async def _revoked(self, watched: Mapping[RequestKey, RowFacts]) -> list[ListedRequest]:
        """List the watched requests that AWS shows as revoked. Makes no call if no row is approved."""
        running = [row for row in watched.values() if row.status is Status.APPROVED]
        if not running:
            return []
        earliest = self._clock.now() - LONGEST_LIFE
        since = min(row.requested_at or earliest for row in running) - OVERLAP
        found = await self._requests.revoked(*self._place, max(since, earliest))
        return [each for each in found if each.key in watched]

    async def _own(self, sightings: Iterable[ListedRequest]) -> list[ListedRequest]:
        """Return the requests that were made in this account and Region.

        Copies of requests of other accounts are left out: they are decided where they were made. Accounts among these
        that are not configured are logged.
        """
        own = []
        async for each in in_turns(sightings):
            if each.replica_of is None and _place_of(each.key) == self._place:
                own.append(each)
            else:
                self._report_foreign(each.replica_of or each.key)
        return own

    def _report_foreign(self, source: RequestKey) -> None:
        """Log once for each unconfigured account and Region that its requests are listed but get no card."""
        if self._configuration.value.covers(source) or _place_of(source) in self._reported:
            return
        self._reported.add(_place_of(source))
        log.warning("account_not_configured", account=source.account, region=source.region, request=str(source))

    # --- reporting

    def _report_requesters(self, unidentified: Collection[str]) -> None:
        """Report to the checks the requesters whose requests no one can decide, or that there are none."""
        if unidentified:
            names = sorted(set(unidentified))
            shown = one_line(", ".join(names[:MOST_NAMED]), LONGEST)
            detail = f"{shown} and others" if len(names) > MOST_NAMED else shown
            self._outcomes.failed(Work.REQUESTER, self._subject, code="unidentified", detail=detail)
        else:
            self._outcomes.succeeded(Work.REQUESTER, self._subject)

    def _report_unannounced(self, new: Iterable[ListedRequest]) -> None:
        """Report to the checks the requests that no event has announced to any process.

        Requests from before the start of this process, or from the last ANNOUNCED_WITHIN, do not count, nor do those
        that wait for no decision: AWS sends no events for automatically approved ones.
        """
        now = self._clock.now()
        for each in (request for request in new if request.status is Status.PENDING):
            if each.modified_at and self._started_at < each.modified_at < now - ANNOUNCED_WITHIN:
                self._outcomes.failed(Work.EVENT, self._subject, code="no_event")

    def _done(self, began: datetime, **counts: int) -> None:
        now = self._clock.now()
        seconds = (now - began).total_seconds()
        self._count("done")
        self._telemetry.swept(self._account, self._region, seconds=seconds, at=now)
        log.info("sweep_done", account=self._account, region=self._region, seconds=seconds, **counts)

    def _count(self, outcome: str) -> None:
        self._telemetry.sweeps.labels(account=self._account, region=self._region, outcome=outcome).inc()


def is_recent(last: datetime | None, *, now: datetime, period: float) -> bool:
    """True while the last complete sweep, by any process, is too recent for another one.

    `last` is the time at which it began; `period`, the seconds between two sweeps.

    A sweep that lies far in the future does not count: the clock that recorded it was ahead.
    """
    return last is not None and abs(now - last) < timedelta(seconds=period * RECENT)


def _is_wanted(sighting: ListedRequest, since: datetime | None) -> bool:
    """False for a request that an auto-approval policy approved, unless it was made after `since`."""
    if not sighting.auto_approved:
        return True
    return since is not None and sighting.requested_at is not None and sighting.requested_at > since


def _place_of(key: RequestKey) -> Place:
    return key.account, key.region
