"""The sweep: its lists and reads, the process that sweeps, and independent failures of places and rows."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.concurrency.turns import AT_ONCE
from bot.domain.record import Record
from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Account
from bot.ports.aws import AwsUnavailable, ListedRequest
from bot.ports.store import MOST_IN_PAGE, Change, Place, StoreUnavailable, Watched
from bot.service.sources.place_sweep import SWEEP_LEASE, SweepServices
from bot.service.sources.sweep import SKIPPED_PAUSE, Sweep
from bot.store.sqlite.store import SqliteStore
from bot.telemetry import Telemetry
from tests.fakes.aws import ACCOUNT, REGION, FakeAws
from tests.fakes.clock import turns_during
from tests.fakes.store import MemoryStore, all_watched
from tests.fakes.world import APPROVALS, World, current_configuration, new_world

OTHER, ELSEWHERE = "444455556666", "us-east-2"
PLACES = {ACCOUNT: frozenset({REGION, ELSEWHERE}), OTHER: frozenset({REGION})}


class Sweeper:
    """The sweep of one process over a world, with its own metrics."""

    def __init__(self, world: World, owner: str = "replica-1", period: float = 60.0) -> None:
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry(self.registry)
        self.sweep = Sweep(
            SweepServices(
                rows=world.rows,
                requests=world.aws,
                clock=world.clock,
                configuration=world.configuration,
                telemetry=self.telemetry,
                outcomes=world.outcomes,
                session_watch=world.session_watch,
                owner=owner,
                period=period,
            )
        )

    def counted(self, outcome: str, account: str = ACCOUNT, region: str = REGION) -> float:
        """Return how many sweeps of a place had this outcome."""
        labels = {"account": account, "region": region, "outcome": outcome}
        return self.registry.get_sample_value("node_access_sweeps_total", labels) or 0.0

    def ok(self, account: str = ACCOUNT, region: str = REGION) -> float | None:
        """Return the place's health check as /metrics shows it: 1, 0, or None before the first sweep."""
        return self.registry.get_sample_value("node_access_check_ok", {"check": f"sweep {account} {region}"})

    def open_requests(self) -> float | None:
        """Return the number of open requests as /metrics shows it."""
        labels = {"account": ACCOUNT, "region": REGION}
        return self.registry.get_sample_value("node_access_open_requests", labels)


# --- which requests it reconciles


async def test_second_sweep_reads_no_unchanged_request(world: World) -> None:
    """There are 120 pending requests and an approved one. The second sweep makes its two list calls only."""
    for number in range(1, 121):
        await world.shown(world.aws.add(number))
    approved = world.aws.add(121)
    await world.shown(approved)
    world.aws.decide(approved, Verdict.APPROVE)
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(60)
        world.aws.calls.clear()
        await world.sweep.sweep()
        await world.clock.advance(30)
    assert (await world.row(approved)).watched
    assert world.aws.calls == [("list_requests", None), ("revoked", None)]


async def test_revocations_are_listed_only_during_an_access_window(world: World) -> None:
    """Before an approval, and after the access window, the sweep does not list revoked requests."""
    key = world.aws.add(duration=timedelta(hours=1))
    await world.shown(key)
    async with world.running():
        await world.sweep.sweep()
        assert world.aws.count("revoked") == 0
        world.aws.decide(key, Verdict.APPROVE)
        await world.rows.requeue(key)
        await world.clock.advance(1)
        await world.sweep.sweep()
        assert world.aws.count("revoked") == 1
        await world.clock.advance(3700)
        await world.sweep.sweep()
    assert world.aws.count("revoked") == 1


async def test_revocation_is_found_although_the_list_of_changes_is_empty(world: World) -> None:
    """The list of revoked requests has the revocation, so one sweep finds it and later sweeps read nothing more."""
    world.aws.listed = False
    key = await world.posted()
    world.aws.decide(key, Verdict.APPROVE)
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(60)
        world.aws.end(key, Status.REVOKED)
        await world.sweep.sweep()
        await world.clock.advance(1)
        row = await world.row(key)
        assert row.request is not None
        assert row.request.status is Status.REVOKED
        reads = world.aws.count("observe")
        await world.sweep.sweep()
        await world.clock.advance(60)
    assert world.aws.count("observe") == reads


class Disagreeing(FakeAws):
    """AWS whose lists never agree with a read of the request."""

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Return a step that is not the waiting step."""
        return [replace(each, step="ManualApproval") for each in await super().list_requests(account, region, since)]


async def test_list_entry_that_never_agrees_with_its_request_causes_two_reads(world: World) -> None:
    """A list entry that differs permanently causes two reads after the first one, not a read at each sweep."""
    odd = Disagreeing(world.clock)
    world.aws = odd
    world.build()
    await world.shown(odd.add())
    async with world.running():
        for _ in range(10):
            await world.clock.advance(60)
            await world.sweep.sweep()
        await world.clock.advance(60)
    assert odd.count("observe") == 3


async def test_list_entry_that_never_agrees_with_its_request_causes_two_reads_for_each_change(world: World) -> None:
    """The request changes three times."""
    odd = Disagreeing(world.clock)
    world.aws = odd
    world.build()
    key = odd.add()
    await world.shown(key)
    async with world.running():
        for _ in range(3):
            await world.clock.advance(60)
            odd.requests[key] = replace(odd.requests[key], modified_at=world.clock.now())
            await world.sweep.sweep()
            await world.clock.advance(60)
            await world.sweep.sweep()
        await world.clock.advance(60)
    assert odd.count("observe") == 7


async def test_ended_request_with_a_pending_ops_item_causes_two_reads(world: World) -> None:
    """The execution rejected the request, but its OpsItem stays pending. The bot reads it twice, not every minute."""
    key = await world.posted()
    world.aws.end(key, Status.REJECTED)
    await world.shown(key)
    lagging = ListedRequest(key, Status.PENDING, None)

    class Lagging(FakeAws):
        async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
            return [lagging]

    lags = Lagging(world.clock)
    lags.requests = world.aws.requests
    world.aws = lags
    world.build()
    async with world.running():
        for _ in range(10):
            await world.clock.advance(60)
            await world.sweep.sweep()
        await world.clock.advance(60)
    assert lags.count("observe") == 2


async def test_request_that_could_not_be_read_is_made_due_by_the_next_sweep(world: World) -> None:
    """Its list entry has not changed, but its last reconcile failed: the sweep does not wait for the retry time."""
    key = await world.posted()
    world.aws.before["observe"].append(AwsUnavailable("InternalServerError"))
    await world.shown(key)
    assert (await world.row(key)).reconcile_failures == 1
    await world.sweep.sweep()
    assert await world.store.due(world.clock.now(), 10) == [key]


async def test_request_that_was_read_incompletely_is_not_made_due_by_the_next_sweep(world: World) -> None:
    """It has its own retry time, because the missing part may never be readable: each sweep would cause 13 reads."""
    key = world.aws.add()
    world.aws.requests[key] = replace(world.aws.requests[key], complete=False)
    row = await world.shown(key)
    assert row.reconcile_failures == 1
    await world.sweep.sweep()
    assert (await world.row(key)).requeue_at == row.requeue_at
    assert await world.store.due(world.clock.now(), 10) == []


async def test_request_whose_retries_have_ended_is_read_again_when_a_sweep_lists_the_request(world: World) -> None:
    """The request was never readable, so it has no retry time. After the sweep, its card is posted."""
    world.aws.before["observe"].extend(AwsUnavailable("AccessDenied") for _ in range(13))
    key = world.aws.add()
    async with world.running():
        await world.rows.requeue(key)
        await world.clock.advance(1000)
        row = await world.row(key)
        assert (row.request, row.requeue_at, row.reconcile_failures) == (None, None, 13)
        await world.sweep.sweep()
        await world.clock.advance(1)
    assert len(world.chat.of("post")) == 1


async def test_replica_that_aws_does_not_mark_in_its_list_is_read_only_once(world: World) -> None:
    """A list without operational data does not mark replicas. The row does, so later changes are ignored."""
    key = world.aws.add()
    source = RequestKey(OTHER, REGION, key.ops_item_id)
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(), replica_of=source)
    await world.shown(key)
    world.aws.requests[key] = replace(world.aws.requests[key], modified_at=world.clock.now() + timedelta(seconds=9))
    await world.sweep.sweep()
    assert await world.store.due(world.clock.now(), 10) == []
    assert world.aws.count("observe") == 1


# --- replicas and other accounts


async def test_known_replica_is_neither_counted_nor_read_again(world: World) -> None:
    """The replica's OpsItem is pending too, but the request is decided in the source account."""
    world.aws.listed = False
    key = world.aws.add()
    source = RequestKey(OTHER, REGION, key.ops_item_id)
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(), replica_of=source)
    await world.shown(key)
    sweeper = Sweeper(world)
    hidden = world.aws.requests.pop(key)
    async with world.running():
        for _ in range(10):
            await world.clock.advance(600)
            await sweeper.sweep.sweep()
        await world.clock.advance(60)
    world.aws.requests[key] = hidden
    assert sweeper.open_requests() == 0
    assert world.aws.count("observe") == 1
    assert not (await world.row(key)).watched


class Replicas(FakeAws):
    """The delegated administrator account, where every pending OpsItem is a replica from another account."""

    sources: Sequence[RequestKey] = ()

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List replicas, and one request of an account that is not configured."""
        copies = [
            ListedRequest(RequestKey(account, region, each.ops_item_id), replica_of=each) for each in self.sources
        ]
        return [*copies, ListedRequest(RequestKey("999988887777", region, "oi-0123456789ab"), Status.PENDING)]


async def test_replicas_and_requests_of_unconfigured_accounts_get_no_row(world: World) -> None:
    """No row is stored or due; each unconfigured account and Region is logged once."""
    aws = Replicas(world.clock)
    aws.sources = [RequestKey(ACCOUNT, REGION, "oi-00000000000a"), RequestKey(OTHER, REGION, "oi-00000000000b")]
    world.aws = aws
    world.build()
    with capture_logs() as logs:
        for _ in range(2):
            await world.sweep.sweep()
    logged = [(each["account"], each["region"]) for each in logs if each["event"] == "account_not_configured"]
    assert logged == [(OTHER, REGION), ("999988887777", REGION)]
    assert list((await all_watched(world.store)).rows) == []
    assert await world.store.due(world.clock.now(), 10) == []


# --- several places


class SeveralPlaces(FakeAws):
    """AWS with several accounts and Regions (places), some of which fail or hang."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.broken: dict[tuple[str, str], Exception | asyncio.Event] = {}
        self.at_once = self.most_at_once = 0

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Fail or hang if `broken` has this place."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            match self.broken.get((account, region)):
                case asyncio.Event() as gate:
                    await gate.wait()
                case Exception() as error:
                    raise error
            return await super().list_requests(account, region, since)
        finally:
            self.at_once -= 1


def with_places(world: World, places: dict[str, frozenset[str]]) -> SeveralPlaces:
    """Give the world these places, account to Regions, and an AWS that has them; return that AWS."""
    aws, accounts = SeveralPlaces(world), tuple(Account(name, tuple(regions)) for name, regions in places.items())
    world.aws, world.configuration = aws, current_configuration()
    world.configuration.value = replace(world.configuration.value, accounts=accounts)
    world.build()
    return aws


@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "hangs"])
async def test_failing_account_or_region_does_not_delay_the_sweeps_of_other_accounts_and_regions(
    world: World, code: str
) -> None:
    """While AWS denies, throttles or does not answer calls for one account and Region, the others are swept on time."""
    aws = with_places(world, PLACES)
    gate = asyncio.Event()
    aws.broken[ACCOUNT, ELSEWHERE] = gate if code == "hangs" else AwsUnavailable(code)
    sweeper = Sweeper(world)
    running = asyncio.create_task(sweeper.sweep.run())
    key = aws.add()
    async with world.running():
        await world.clock.advance(150)
    assert [sweeper.counted("done", *each) for each in ((ACCOUNT, REGION), (OTHER, REGION))] == [3, 3]
    assert sweeper.counted("done", ACCOUNT, ELSEWHERE) == 0
    assert sweeper.counted("failed", ACCOUNT, ELSEWHERE) == (0 if code == "hangs" else 3)
    assert (sweeper.ok(), sweeper.ok(ACCOUNT, ELSEWHERE)) == (1, None if code == "hangs" else 0)
    assert len(world.chat.of("post")) == 1
    assert (await world.row(key)).request is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class PartlyBroken(MemoryStore):
    """A store that refuses to write the rows in `refused`, for example because they are too large."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[RequestKey] = set()

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        if key in self.refused:
            raise StoreUnavailable(f"request {key} does not fit")
        return await super().apply(key, change, now=now)


async def test_row_that_cannot_be_written_does_not_stop_the_sweep_of_later_requests(world: World) -> None:
    """The requests that are listed after the row become due, and the sweep is reported as failed."""
    store = world.store = PartlyBroken()
    world.build()
    store.refused.add(world.aws.add(1))
    good, sweeper = world.aws.add(2), Sweeper(world)
    await sweeper.sweep.sweep()
    assert [row.key for row in (await all_watched(store)).rows] == [good]
    assert (sweeper.counted("failed"), sweeper.ok()) == (1, 0.0)
    assert await store.watermark(ACCOUNT, REGION) is None


async def test_unreadable_row_does_not_stop_the_sweep_of_other_requests_and_accounts(world: World) -> None:
    """A newer version wrote the row: the sweep of its place is reported as failed, and all other rows are swept."""
    store = world.store = MemoryStore()
    aws = with_places(world, {ACCOUNT: frozenset({REGION}), OTHER: frozenset({REGION})})
    sweeper = Sweeper(world)
    odd = aws.add(1)
    await sweeper.sweep.sweep()
    store.unreadable.add(odd)
    good = aws.add(2)
    await sweeper.sweep.sweep()
    assert (sweeper.counted("failed"), sweeper.counted("done", OTHER)) == (1, 2)
    assert await store.load(good) is not None
    assert await all_watched(store) == Watched((await world.row(good),), (odd,))


async def test_at_most_eight_pairs_of_account_and_region_are_swept_at_the_same_time(world: World) -> None:
    """All forty pairs are swept, more than one at a time."""
    accounts = {f"{number:012d}": frozenset({REGION, ELSEWHERE}) for number in range(1, 21)}
    aws = with_places(world, accounts)
    sweeper = Sweeper(world)
    await sweeper.sweep.sweep()
    assert sum(sweeper.counted("done", account, region) for account in accounts for region in (REGION, ELSEWHERE)) == 40
    assert 1 < aws.most_at_once <= 8


async def test_next_sweep_starts_a_period_after_a_slow_sweep_has_ended(world: World) -> None:
    """While a sweep hangs for five periods, no other sweep of the same account and Region starts."""
    aws = with_places(world, {ACCOUNT: frozenset({REGION})})
    gate = aws.broken[ACCOUNT, REGION] = asyncio.Event()
    sweeper = Sweeper(world)
    running = asyncio.create_task(sweeper.sweep.run())
    await world.clock.advance(300)
    assert aws.most_at_once == aws.at_once == 1
    gate.set()
    await world.clock.advance(59)
    assert sweeper.counted("done") == 1
    await world.clock.advance(2)
    assert sweeper.counted("done") == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# --- which process sweeps


async def test_three_processes_together_sweep_about_as_often_as_one(world: World) -> None:
    """Each process sweeps at its start. After that, the others skip a sweep that one has made; all report healthy."""
    sweepers = [Sweeper(world, f"replica-{number}") for number in range(3)]
    with capture_logs() as logs:
        running = [asyncio.create_task(each.sweep.run()) for each in sweepers]
        await world.clock.advance(601)
    done = sum(each.counted("done") for each in sweepers)
    assert done == world.aws.count("list_requests")
    assert 10 <= done <= 14  # one at each start, and one when no process has swept for 54 of 60 seconds
    assert [each.ok() for each in sweepers] == [1, 1, 1]
    assert sum(each.counted("skipped") for each in sweepers) > 100
    assert [each["event"] for each in logs].count("sweep_skipped") >= 2
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_process_sweeps_at_its_start_and_after_a_period_without_a_sweep(world: World) -> None:
    """At its start, it sweeps even if another process swept a moment ago.

    Later it waits until a period without a sweep has passed.
    """
    first, second = Sweeper(world, "first"), Sweeper(world, "second")
    await first.sweep.sweep()  # the process dies afterwards
    running = asyncio.create_task(second.sweep.run())
    await world.clock.advance(1)
    assert second.counted("done") == 1
    await first.sweep.sweep()
    await world.clock.advance(50)
    assert second.counted("done") == 1
    await world.clock.advance(60 + SKIPPED_PAUSE)
    assert second.counted("done") == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_long_sweep_renews_its_lease(world: World) -> None:
    """Other processes skip the place during a long sweep; after a crash they take over within seconds."""
    aws = with_places(world, {ACCOUNT: frozenset({REGION})})
    gate = aws.broken[ACCOUNT, REGION] = asyncio.Event()
    first, second = Sweeper(world, "first"), Sweeper(world, "second")
    long = asyncio.create_task(first.sweep.sweep())
    await world.clock.advance(10 * SWEEP_LEASE.total_seconds())
    await second.sweep.sweep()
    assert second.counted("skipped") == 1
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)
    await world.clock.advance(SWEEP_LEASE.total_seconds())
    gate.set()
    await second.sweep.sweep()
    assert second.counted("done") == 1


async def test_process_whose_list_call_fails_releases_the_lease_of_the_sweep(world: World) -> None:
    """The fault may be in that process's own network, so another process tries immediately."""
    world.aws.before["list_requests"].append(AwsUnavailable("ConnectTimeoutError"))
    first, second = Sweeper(world, "first"), Sweeper(world, "second")
    await first.sweep.sweep()
    await second.sweep.sweep()
    assert (first.counted("failed"), second.counted("done")) == (1, 1)


class LeasesToAll(MemoryStore):
    """A defective store that leases a sweep to every process."""

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Grant the lease."""
        return True


async def test_every_process_lists_requests_if_the_store_leases_a_sweep_to_every_process(world: World) -> None:
    """Control of the tests above: with a defective store, three processes call AWS's lists three times."""
    world.store = LeasesToAll()
    world.build()
    sweepers = [Sweeper(world, f"replica-{number}") for number in range(3)]
    for each in sweepers:
        await each.sweep.sweep()
    assert world.aws.count("list_requests") == 3


async def test_unreadable_row_of_an_ended_request_does_not_stop_the_sweep_of_new_requests(tmp_path: Path) -> None:
    """A newer version wrote the row of an ended request that AWS still lists: new requests are found.

    The sweep does not fail, because this version has nothing to do for that row.
    """
    file = tmp_path / "node-access.db"
    async with SqliteStore(file) as store:
        world = new_world(store=store)
        ended = world.aws.add(1)
        await world.shown(ended)
        world.aws.decide(ended, Verdict.REJECT)
        await world.shown(ended)
        assert not (await world.row(ended)).watched
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE requests SET record = '{}'")
        new = world.aws.add(2)
        for _ in range(3):
            await world.sweep.sweep()
            await world.clock.advance(60)
        assert await store.load(new) is not None
        assert world.telemetry.health.problems() == {}


@pytest.mark.parametrize("owner", ["replica-1", "replica-2"])
async def test_sweep_with_a_clock_ahead_does_not_stop_later_sweeps(world: World, owner: str) -> None:
    """One sweep, by this process or another one, ran with its clock a day ahead; later sweeps run on time."""
    ahead = new_world(store=world.store, owner=owner)
    ahead.clock.set_to(ahead.clock.now() + timedelta(days=1))
    await ahead.sweep.sweep()
    running = asyncio.create_task(world.sweep.run())
    await world.clock.advance(70)
    waiting, decided = world.aws.add(1), world.aws.add(2)  # no events
    world.aws.decide(decided, Verdict.APPROVE)
    await world.clock.advance(600)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await world.store.load(waiting) is not None
    assert await world.store.load(decided) is not None  # found by the list of changes alone


async def test_event_loop_runs_other_tasks_during_a_sweep_of_many_rows(world: World) -> None:
    """Nothing has changed in AWS, so no row is written. Other tasks run at least once per page of rows that are read.

    The first sweep reads all rows, and the second one none.
    """
    await world.posted_many(2000)
    before = {key: (await world.row(key)).version for key in world.aws.requests}
    assert await turns_during(world.sweep.sweep()) >= 2000 / MOST_IN_PAGE
    assert await turns_during(world.sweep.sweep()) >= 2000 / AT_ONCE
    assert {key: (await world.row(key)).version for key in world.aws.requests} == before


# --- what a sweep between two full ones leaves out


class ReadRows(MemoryStore):
    """A store that notes which watched rows were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    async def watched(self, place: Place | None = None, **named: Any) -> AsyncIterator[Watched]:
        """Yield the watched rows."""
        async for page in super().watched(place, **named):
            self.read += [row.key.ops_item_id for row in page.rows]
            yield page

    async def read_in(self, sweep: Awaitable[None]) -> list[str]:
        """Return the rows that a sweep reads."""
        self.read.clear()
        await sweep
        return self.read


@asynccontextmanager
async def swept() -> AsyncIterator[tuple[World, ReadRows, list[RequestKey]]]:
    """Run a world with three cards after its first sweep."""
    world = new_world(store=ReadRows())
    keys = await world.posted_many(3)
    async with world.running():
        await world.sweep.sweep()
        await world.clock.advance(60)
        yield world, world.store, keys  # type: ignore[misc]  # the store from above


async def test_steps_are_listed_in_the_first_and_every_tenth_sweep() -> None:
    """In 21 sweeps, the pending requests are listed 21 times, and the current steps three times."""
    world = new_world()
    await world.posted()
    async with world.running():
        for _ in range(21):
            await world.sweep.sweep()
            await world.clock.advance(60)
    assert Counter(name for name, _ in world.aws.calls if name in {"list_requests", "steps"}) == {
        "list_requests": 21,
        "steps": 3,
    }


async def test_three_processes_together_list_the_steps_at_their_starts_and_every_tenth_sweep() -> None:
    """They sweep in turn, 30 times."""
    world = new_world()
    sweepers = [Sweeper(world, owner=f"replica-{number}") for number in range(3)]
    for number in range(30):
        await sweepers[number % 3].sweep.sweep()
        await world.clock.advance(60)
    assert world.aws.count("steps") == 3 + 2


class Unmodified(FakeAws):
    """AWS whose other lists do not show that a level was decided."""

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Return no time of change."""
        listed = await super().list_requests(account, region, since)
        return [replace(each, modified_at=None) for each in listed]


async def test_next_level_that_only_the_list_of_steps_shows_is_found_by_the_tenth_sweep() -> None:
    """The sweeps between read nothing, and neither do those after it."""
    world = new_world()
    aws = Unmodified(world.clock)
    aws.steps_listed = True
    world.aws = aws
    world.build()
    key = aws.add(levels=2)
    await world.shown(key)
    async with world.running():
        await world.sweep.sweep()
        aws.decide(key, Verdict.APPROVE)
        reads = []
        for _ in range(12):
            await world.clock.advance(60)
            await world.sweep.sweep()
            reads.append(aws.count("observe"))
        row = await world.row(key)
    assert row.request is not None
    assert row.request.waiting is not None
    assert row.request.waiting.step == "Level2"
    assert reads[8] == 1
    assert reads[-1] == 2


async def test_sweep_reads_only_rows_that_were_written_since_the_last_one() -> None:
    """A row that is written is read once more. About every tenth sweep reads all open rows."""
    async with swept() as (world, store, keys):
        assert await store.read_in(world.sweep.sweep()) == []
        await world.rows.apply(keys[1], lambda row: replace(row, votes_read_from=7))
        assert await store.read_in(world.sweep.sweep()) == [keys[1].ops_item_id]
        assert await store.read_in(world.sweep.sweep()) == []
        await world.clock.advance(600)
        assert len(await store.read_in(world.sweep.sweep())) == 3


async def test_sweep_reads_all_rows_after_the_file_has_changed_or_the_clock_was_set_back() -> None:
    """In both cases, a row that was right at the last sweep may be outdated."""
    async with swept() as (world, store, _):
        world.configuration.replace(replace(world.configuration.value))
        assert len(await store.read_in(world.sweep.sweep())) == 3
        assert await store.read_in(world.sweep.sweep()) == []
        world.clock.set_to(world.clock.now() - timedelta(seconds=30))
        assert len(await store.read_in(world.sweep.sweep())) == 3


async def test_outdated_row_that_cannot_be_written_is_made_due_by_the_next_sweep() -> None:
    """The row needs a change by the file, and the store is unavailable at the first attempt."""
    async with swept() as (world, store, keys):
        world.configuration.replace(
            replace(world.configuration.value, channels=(replace(APPROVALS, name="renamed", fallback=True),))
        )
        refused = dict.fromkeys(keys)
        apply = store.apply

        async def failing(key: RequestKey, change: Change, *, now: datetime) -> Record:
            if key in refused:
                raise StoreUnavailable("not now")
            return await apply(key, change, now=now)

        store.apply = failing  # type: ignore[method-assign]  # fails once for each row
        await world.sweep.sweep()
        refused.clear()
        await world.sweep.sweep()
        assert set(await store.due(world.clock.now(), 10)) == set(keys)
