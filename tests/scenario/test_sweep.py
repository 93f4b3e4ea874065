"""The sweep: what it lists, what it asks for, whose turn it is, and that no place hinders another one."""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.domain.request import RequestKey, Status, Verdict
from bot.domain.routing import Account
from bot.ports.aws import AwsUnavailable, ListedRequest
from bot.ports.store import StoreUnavailable, Watched
from bot.service.retention import MOST_ROUNDS, PERIOD, Retention
from bot.service.sources.place_sweep import LEASE
from bot.service.sources.sweep import SKIPPED_PAUSE, Sweep
from bot.store.sqlite.store import SqliteStore
from bot.telemetry import Telemetry
from tests.fakes.aws import ACCOUNT, REGION, FakeAws
from tests.fakes.store import MemoryStore
from tests.fakes.world import World, current_configuration, new_world

OTHER, ELSEWHERE = "444455556666", "us-east-2"
PLACES = {ACCOUNT: frozenset({REGION, ELSEWHERE}), OTHER: frozenset({REGION})}


class Sweeper:
    """One process's sweep over a world, with figures of its own."""

    def __init__(self, world: World, owner: str = "replica-1", period: float = 60.0) -> None:
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry(self.registry)
        self.sweep = Sweep(
            rows=world.rows,
            requests=world.aws,
            clock=world.clock,
            configuration=world.configuration,
            period=period,
            owner=owner,
            telemetry=self.telemetry,
        )

    def counted(self, outcome: str, account: str = ACCOUNT, region: str = REGION) -> float:
        """Return how many sweeps of a place ended so."""
        labels = {"account": account, "region": region, "outcome": outcome}
        return self.registry.get_sample_value("node_access_sweeps_total", labels) or 0.0

    def ok(self, account: str = ACCOUNT, region: str = REGION) -> float | None:
        """Return what /metrics says of a place's check."""
        return self.registry.get_sample_value("node_access_check_ok", {"check": f"sweep {account} {region}"})

    def open_requests(self) -> float | None:
        """Return how many requests wait, as /metrics says."""
        labels = {"account": ACCOUNT, "region": REGION}
        return self.registry.get_sample_value("node_access_open_requests", labels)


# --- what it asks for


async def test_requests_that_have_not_changed_cost_no_call(world: World) -> None:
    """120 pending ones and one whose access runs: a second sweep lists, and reads nothing."""
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
    assert world.aws.calls == [("sightings", None), ("revoked", None)]


async def test_revocations_are_listed_only_while_access_runs(world: World) -> None:
    """Before an approval and after its window nobody asks for them."""
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


async def test_a_revocation_shows_though_nothing_lists_changes(world: World) -> None:
    """AWS's list of changes is empty: the list of revoked requests shows it within one sweep."""
    world.aws.listed = False
    key = world.aws.add()
    await world.shown(key)
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
        looks = world.aws.count("observe")
        await world.sweep.sweep()
        await world.clock.advance(60)
    assert world.aws.count("observe") == looks


class Odd(FakeAws):
    """Lists that never agree with what a look brings."""

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Name another step than the one that waits."""
        return [replace(each, step="ManualApproval") for each in await super().list_requests(account, region, since)]


async def test_a_list_that_never_agrees_costs_two_looks(world: World) -> None:
    """Nobody has verified what AWS's lists show; a list that differs for ever must not use the quota up."""
    odd = Odd(world.clock)
    world.aws = odd
    world.build()
    await world.shown(odd.add())
    async with world.running():
        for _ in range(10):
            await world.clock.advance(60)
            await world.sweep.sweep()
        await world.clock.advance(60)
    assert odd.count("observe") == 3


async def test_a_list_that_says_something_new_is_looked_into_again(world: World) -> None:
    """Each time that a list changes, not only the first time."""
    odd = Odd(world.clock)
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


async def test_a_request_that_ended_is_not_looked_at_for_its_lagging_ops_item(world: World) -> None:
    """The execution rejected it and the OpsItem stays pending for ever: two further looks, not one a minute."""
    key = world.aws.add()
    await world.shown(key)
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


async def test_what_could_not_be_read_is_made_due_by_the_next_sweep(world: World) -> None:
    """Listed as it was known, and its last look failed as a whole: the sweep does not wait for its turn to come."""
    key = world.aws.add()
    await world.shown(key)
    world.aws.before["observe"].append(AwsUnavailable("InternalServerError"))
    await world.shown(key)
    assert (await world.row(key)).reconcile_failures == 1
    await world.sweep.sweep()
    assert await world.store.due(world.clock.now(), 10) == [key]


async def test_what_is_listed_and_was_let_go_is_tried_again(world: World) -> None:
    """It never was readable for as long as looks go on by themselves; while AWS lists it, each sweep tries again."""
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


async def test_a_copy_that_a_list_does_not_call_one_is_not_looked_at_again(world: World) -> None:
    """A list without operational data cannot tell copies apart; once looked at, its changes matter to nobody here."""
    key = world.aws.add()
    source = RequestKey(OTHER, REGION, key.ops_item_id)
    world.aws.requests[key] = replace(world.aws.requests[key], levels=(), replica_of=source)
    await world.shown(key)
    world.aws.requests[key] = replace(world.aws.requests[key], modified_at=world.clock.now() + timedelta(seconds=9))
    await world.sweep.sweep()
    assert await world.store.due(world.clock.now(), 10) == []


# --- what is not ours


async def test_a_replica_is_never_counted_nor_looked_at_again(world: World) -> None:
    """Once known as a copy it waits for nobody here, though it is as pending as its source."""
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
    """The delegated administrator account: whatever is pending is a copy from somewhere else."""

    sources: Sequence[RequestKey] = ()

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """List copies."""
        copies = [
            ListedRequest(RequestKey(account, region, each.ops_item_id), replica_of=each) for each in self.sources
        ]
        return [*copies, ListedRequest(RequestKey("999988887777", region, "oi-0123456789ab"), Status.PENDING)]


async def test_copies_and_foreign_rows_leave_no_row(world: World) -> None:
    """Nothing is stored or looked at; whose account is not configured is told, once each."""
    aws = Replicas(world.clock)
    aws.sources = [RequestKey(ACCOUNT, REGION, "oi-00000000000a"), RequestKey(OTHER, REGION, "oi-00000000000b")]
    world.aws = aws
    world.build()
    with capture_logs() as logs:
        for _ in range(2):
            await world.sweep.sweep()
    told = [(each["account"], each["region"]) for each in logs if each["event"] == "account_not_configured"]
    assert told == [(OTHER, REGION), ("999988887777", REGION)]
    assert list((await world.store.watched()).rows) == []
    assert await world.store.due(world.clock.now(), 10) == []


# --- several places


class Several(FakeAws):
    """An AWS of which some places fail or hang."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.broken: dict[tuple[str, str], Exception | asyncio.Event] = {}
        self.at_once = self.most_at_once = 0

    async def list_requests(self, account: str, region: str, since: datetime) -> Sequence[ListedRequest]:
        """Fail or hang as the test says."""
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


def several(world: World, places: dict[str, frozenset[str]]) -> Several:
    """Give a world several places."""
    aws, accounts = Several(world), tuple(Account(name, tuple(regions)) for name, regions in places.items())
    world.aws, world.configuration = aws, current_configuration()
    world.configuration.value = replace(world.configuration.value, accounts=accounts)
    world.build()
    return aws


@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "hangs"])
async def test_a_place_that_fails_hinders_no_other(world: World, code: str) -> None:
    """Denied, throttled or hanging: the others are swept in their period, all the same."""
    aws = several(world, PLACES)
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


class Choosy(MemoryStore):
    """A store that takes some rows no more: they are too large, or of a newer version."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[RequestKey] = set()

    async def apply(self, key, change, *, now):  # type: ignore[no-untyped-def]  # as the port has it
        if key in self.refused:
            raise StoreUnavailable(f"request {key} does not fit")
        return await super().apply(key, change, now=now)


async def test_a_row_that_cannot_be_written_keeps_no_other_from_being_found(world: World) -> None:
    """The requests listed after it are looked at all the same; the sweep says that it failed."""
    store = world.store = Choosy()
    world.build()
    store.refused.add(world.aws.add(1))
    good, sweeper = world.aws.add(2), Sweeper(world)
    await sweeper.sweep.sweep()
    assert [row.key for row in (await store.watched()).rows] == [good]
    assert (sweeper.counted("failed"), sweeper.ok()) == (1, 0.0)
    assert await store.watermark(ACCOUNT, REGION) is None


async def test_a_row_that_cannot_be_read_hinders_no_other_place(world: World) -> None:
    """What a newer version wrote stops neither the other requests nor the other accounts; its own sweep says so."""
    store = world.store = MemoryStore()
    aws = several(world, {ACCOUNT: frozenset({REGION}), OTHER: frozenset({REGION})})
    sweeper = Sweeper(world)
    odd = aws.add(1)
    await sweeper.sweep.sweep()
    store.unreadable.add(odd)
    good = aws.add(2)
    await sweeper.sweep.sweep()
    assert (sweeper.counted("failed"), sweeper.counted("done", OTHER)) == (1, 2)
    assert await store.watched() == Watched((await world.row(good),), (odd,))


async def test_sweeps_side_by_side_have_a_bound(world: World) -> None:
    """Forty places are not swept all at once, and all of them are swept."""
    accounts = {f"{number:012d}": frozenset({REGION, ELSEWHERE}) for number in range(1, 21)}
    aws = several(world, accounts)
    sweeper = Sweeper(world)
    await sweeper.sweep.sweep()
    assert sum(sweeper.counted("done", account, region) for account in accounts for region in (REGION, ELSEWHERE)) == 40
    assert 1 < aws.most_at_once <= 8


async def test_sweeps_that_take_longer_than_their_period_do_not_pile_up(world: World) -> None:
    """The next one begins a period after the last one ended."""
    aws = several(world, {ACCOUNT: frozenset({REGION})})
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


# --- whose turn it is


async def test_of_several_processes_one_sweeps_at_a_time(world: World) -> None:
    """Three processes list no more often than one would, but for their starts; all of them are as healthy."""
    sweepers = [Sweeper(world, f"replica-{number}") for number in range(3)]
    with capture_logs() as logs:
        running = [asyncio.create_task(each.sweep.run()) for each in sweepers]
        await world.clock.advance(601)
    done = sum(each.counted("done") for each in sweepers)
    assert done == world.aws.count("sightings")
    assert 10 <= done <= 14  # a start each at most, and one whenever nobody has swept for 54 of 60 seconds
    assert [each.ok() for each in sweepers] == [1, 1, 1]
    assert sum(each.counted("skipped") for each in sweepers) > 100
    assert [each["event"] for each in logs].count("sweep_skipped") >= 2
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_sweeper_that_died_is_replaced(world: World) -> None:
    """Whoever starts sweeps at once, whoever swept before it; whoever runs sweeps when nobody has for a period."""
    first, second = Sweeper(world, "first"), Sweeper(world, "second")
    await first.sweep.sweep()  # and is never heard of again
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


async def test_a_long_sweep_keeps_its_turn(world: World) -> None:
    """While it lists, its turn is renewed; of a process that died meanwhile it ends within seconds."""
    aws = several(world, {ACCOUNT: frozenset({REGION})})
    gate = aws.broken[ACCOUNT, REGION] = asyncio.Event()
    first, second = Sweeper(world, "first"), Sweeper(world, "second")
    long = asyncio.create_task(first.sweep.sweep())
    await world.clock.advance(10 * LEASE.total_seconds())
    await second.sweep.sweep()
    assert second.counted("skipped") == 1
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)
    await world.clock.advance(LEASE.total_seconds())
    gate.set()
    await second.sweep.sweep()
    assert second.counted("done") == 1


async def test_a_process_that_cannot_list_lets_others_try(world: World) -> None:
    """Its own network may be what is broken."""
    world.aws.before["sightings"].append(AwsUnavailable("ConnectTimeoutError"))
    first, second = Sweeper(world, "first"), Sweeper(world, "second")
    await first.sweep.sweep()
    await second.sweep.sweep()
    assert (first.counted("failed"), second.counted("done")) == (1, 1)


class Heedless(MemoryStore):
    """A defective store that gives the turn to everybody: shows that the tests here can tell."""

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Say yes."""
        return True


async def test_without_the_lease_everybody_would_list(world: World) -> None:
    """The control of the tests above."""
    world.store = Heedless()
    world.build()
    sweepers = [Sweeper(world, f"replica-{number}") for number in range(3)]
    for each in sweepers:
        await each.sweep.sweep()
    assert world.aws.count("sightings") == 3


# --- what is forgotten


class Forgetful(MemoryStore):
    """A store with old rows, which it drops a hundred at a time; and it may be away."""

    def __init__(self, old: int) -> None:
        super().__init__()
        self.old, self.asked = old, 0

    async def forget_expired(self, now: datetime) -> int:
        """Drop some."""
        self.asked += 1
        if self.broken:
            raise StoreUnavailable("away")
        dropped = min(self.old, 100)
        self.old -= dropped
        return dropped


async def test_old_rows_are_forgotten_daily(world: World) -> None:
    """At the start and then once a day, until none is left."""
    store, telemetry = Forgetful(old=1050), Telemetry(CollectorRegistry())
    running = asyncio.create_task(Retention(store=store, clock=world.clock, telemetry=telemetry).run())
    await world.clock.advance(1)
    assert (store.old, store.asked) == (0, 12)
    await world.clock.advance(PERIOD)
    assert store.asked == 13
    running.cancel()


async def test_a_store_that_is_away_does_not_end_the_forgetting(world: World) -> None:
    """It is told, and asked again the next day."""
    registry = CollectorRegistry()
    store = Forgetful(old=10)
    store.broken = True
    retention = Retention(store=store, clock=world.clock, telemetry=Telemetry(registry))
    with capture_logs() as logs:
        running = asyncio.create_task(retention.run())
        await world.clock.advance(1)
    assert [each["event"] for each in logs] == ["rows_not_forgotten"]
    assert registry.get_sample_value("node_access_store_errors_total") == 1
    store.broken = False
    await world.clock.advance(PERIOD)
    assert store.old == 0
    running.cancel()


async def test_forgetting_has_an_end(world: World) -> None:
    """A store that never says that it is done does not keep the process busy."""
    store = Forgetful(old=10**9)
    forgotten = await Retention(store=store, clock=world.clock, telemetry=Telemetry(CollectorRegistry())).forget()
    assert (store.asked, forgotten) == (MOST_ROUNDS, 100 * MOST_ROUNDS)


async def test_an_ended_row_that_cannot_be_read_hinders_no_other_request(tmp_path: Path) -> None:
    """A newer version wrote the row of a request that has ended, and AWS still lists it: new requests are found."""
    file = tmp_path / "node-access.db"
    async with SqliteStore(file) as store:
        world = new_world(store=store)
        ended = world.aws.add(1)
        await world.shown(ended)
        world.aws.decide(ended, Verdict.REJECT)
        await world.shown(ended)
        assert not (await world.row(ended)).watched
        with sqlite3.connect(file) as connection:
            connection.execute("""UPDATE requests SET record = replace(record, '"rejected"', '"denied"')""")
        new = world.aws.add(2)
        for _ in range(3):
            await world.sweep.sweep()
            await world.clock.advance(60)
        assert await store.load(new) is not None


@pytest.mark.parametrize("owner", ["replica-1", "replica-2"])
async def test_a_clock_that_was_ahead_for_a_while_stops_no_sweep(world: World, owner: str) -> None:
    """One sweep was made while a clock was a day ahead, by this process or another one; then it was set right."""
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
    assert await world.store.load(decided) is not None  # told by the list of changes alone
