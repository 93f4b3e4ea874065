"""Guarantees of the SQLite store beyond the contract: durability, its file, its schema, its errors, its speed."""

import asyncio
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.domain.audit import AuditEntry
from bot.domain.record import KEPT_UNREAD, Record
from bot.ports.store import RowUnreadable, StoreDamaged, StoreUnavailable, Watched
from bot.store.sqlite import integrity, schema
from bot.store.sqlite.store import SqliteStore
from tests.contract.test_store import counted
from tests.contract.test_store_trail import claimed, trail_of
from tests.fakes.aws import key_of
from tests.fakes.clock import settled
from tests.fakes.store import all_watched

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
OTHER = key_of(2)
KEY = key_of(1)
ROOT = Path(__file__).parents[2]
VERSIONS = {number: Path(__file__).with_name(f"store_version_{number}.sql").read_text() for number in (1, 2, 3)}
VERSION_1 = VERSIONS[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist."""
    return tmp_path / "node-access.db"


@pytest.fixture
def shared_path(path: Path) -> Path:
    """A file that an admin created, readable to its group."""
    path.touch()
    path.chmod(0o640)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """A store in the file at `path`."""
    async with SqliteStore(path) as store:
        yield store


@pytest.fixture
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the store's file without the store, as with the sqlite3 command."""
    connect = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    with closing(connect) as connection:
        yield connection


def mode_of(path: Path | str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


# --- the file


def test_constructing_a_store_creates_no_file(path: Path) -> None:
    """The file is created only when the store is opened."""
    SqliteStore(path)
    assert not path.exists()


async def test_file_named_like_the_memory_of_sqlite_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path never means SQLite's database in memory, whose rows would be lost with the process."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        async with SqliteStore(Path(":memory:")) as store:
            await store.apply(KEY, counted, now=NOW)
            await store.check()
            row = await store.load(KEY)
    assert row is not None
    assert row.reconcile_failures == 2


async def test_store_in_memory_has_no_file_and_is_empty_each_time_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doctor uses it while the bot's own store cannot be opened."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        async with SqliteStore(None) as store:
            assert store.created
            await store.apply(KEY, counted, now=NOW)
            await store.check()
            row = await store.load(KEY)
            assert row is not None
            assert row.reconcile_failures == 1
    assert files_in(tmp_path) == []


async def test_database_file_is_readable_only_for_its_owner(store: SqliteStore, path: Path) -> None:
    """Reasons and names are private, so the file and its companion files have mode 0600."""
    await store.apply(KEY, counted, now=NOW)
    assert [mode_of(f"{path}{companion}") for companion in ("", "-wal", "-shm")] == [0o600] * 3


async def test_database_file_keeps_the_mode_that_an_admin_set(shared_path: Path) -> None:
    """An admin may, for example, let a backup group read the file."""
    async with SqliteStore(shared_path):
        assert mode_of(shared_path) == 0o640


async def test_sqlite_connection_uses_a_write_ahead_log_and_full_synchronization(path: Path) -> None:
    """With `synchronous` FULL (2), SQLite flushes the write-ahead log at each commit."""
    with closing(schema.connect(path, busy_seconds=0)) as connection:
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]


async def test_frequent_queries_of_the_sqlite_store_use_indexes(
    store: SqliteStore, by_hand: sqlite3.Connection
) -> None:
    """Queries that run every second, or with every sweep, do not read the whole table."""
    for where in ("next_look_at <= 1", "next_look_at IS NOT NULL", "watched", "expires_at <= 1", "ops_item_id = 'x'"):
        plan = by_hand.execute(f"EXPLAIN QUERY PLAN SELECT key FROM requests WHERE {where}").fetchone()[3]
        assert re.search("USING (COVERING )?INDEX", plan), (where, plan)


WRITER = """
import asyncio, sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from bot.store.sqlite.store import SqliteStore
from tests.fakes.aws import key_of
from tests.fakes.clock import settled

async def main():
    async with SqliteStore(Path(sys.argv[1]), busy_seconds=60) as store:  # SQLite lets waiting processes starve
        while True:
            changes = [store.apply(key_of(1), lambda row: replace(row, reconcile_failures=row.reconcile_failures + 1),
                                   now=datetime.now(UTC)) for _ in range(5)]
            for row in await asyncio.gather(*changes):
                print(row.version, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 7, 40])
async def test_acknowledged_writes_to_sqlite_are_stored_after_a_kill(path: Path, lines: int) -> None:
    """After kill -9 every acknowledged write is stored, and the next process continues from it."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert writer.stdout is not None
    acknowledged = [int(await writer.stdout.readline()) for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    await writer.communicate()
    async with SqliteStore(path) as store:
        row = await store.load(KEY)
        assert row is not None
        assert row.version == row.reconcile_failures >= max(acknowledged)
        assert (await store.apply(KEY, counted, now=NOW)).version == row.version + 1


DECIDING = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from bot.store.sqlite.store import SqliteStore
from tests.contract.test_store_trail import KEY, NOW, claimed
from tests.fakes.store import all_watched

class Dying(sqlite3.Connection):
    def execute(self, sql, *values):
        answer = super().execute(sql, *values)
        if sql == "COMMIT" and armed:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

async def main():
    global armed
    async with SqliteStore(Path(sys.argv[1])) as store:
        await store.apply(KEY, claimed("a"), now=NOW)
        armed = True
        await store.apply(KEY, claimed("b"), now=NOW)

armed, connect = False, sqlite3.connect
sqlite3.connect = lambda *args, **how: connect(*args, factory=Dying, **how)
asyncio.run(main())
"""


async def test_kill_right_after_a_commit_keeps_the_step_in_row_and_audit_trail(path: Path) -> None:
    """A process dies between a commit and its acknowledgement. The step is in the row and in the audit trail."""
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", DECIDING, str(path), cwd=ROOT)
    assert await writer.wait() == -signal.SIGKILL
    async with SqliteStore(path) as store:
        row = await store.load(KEY)
        assert row is not None
        assert [each.id for each in row.decisions] == ["a", "b"]
        assert await trail_of(store) == [("a", "claimed"), ("b", "claimed")]


async def test_row_is_not_stored_without_its_audit_entry(store: SqliteStore, by_hand: sqlite3.Connection) -> None:
    """If the entry cannot be written, the decision is not in the row either, and its writer gets the error."""
    await store.apply(KEY, counted, now=NOW)
    by_hand.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'disk is full'); END")
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await store.apply(KEY, claimed("a"), now=NOW)
    assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)


async def test_three_concurrent_processes_never_write_the_same_version(path: Path) -> None:
    """Three processes that write as fast as they can never make the same version twice."""
    async with SqliteStore(path):
        writers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
            )
            for _ in range(3)
        ]
        outputs = [writer.stdout for writer in writers if writer.stdout]
        versions = [int(await output.readline()) for output in outputs for _ in range(30)]
    for writer in writers:
        writer.kill()
        await writer.communicate()
    assert len(set(versions)) == 90


# --- the schema


async def test_six_stores_may_create_the_sqlite_file_at_the_same_time(path: Path) -> None:
    """Six stores open a new file at the same time, and each of them writes to it."""
    stores = [SqliteStore(path) for _ in range(6)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(store) for store in stores))
        await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for store in stores))
        assert (await stores[0].load(KEY)) == Record(KEY, NOW, version=6, reconcile_failures=6)


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A new file that another process has locked completely, as it does while it switches to WAL."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_store_waits_for_a_sqlite_file_that_another_process_is_creating(
    locked: sqlite3.Connection, by_hand: sqlite3.Connection
) -> None:
    """SQLite does not wait for a lock when it switches to WAL, so the store tries until the lock is released."""
    pauses: list[float] = []

    def unlock_at_the_third(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            locked.close()

    schema.switch_to_wal(by_hand, pause=unlock_at_the_third)
    assert pauses == [schema.WAL_PAUSE] * 3
    assert by_hand.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_sqlite_file_that_stays_locked_during_its_creation_raises_an_error(
    locked: sqlite3.Connection, by_hand: sqlite3.Connection
) -> None:
    """The store tries to switch to WAL only a limited number of times."""
    pauses: list[float] = []
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        schema.switch_to_wal(by_hand, pause=pauses.append)
    assert len(pauses) == schema.WAL_ATTEMPTS - 1


async def test_sqlite_file_with_a_newer_schema_is_refused(path: Path) -> None:
    """The error says that the newer version must be installed again. The file is not changed."""
    async with SqliteStore(path) as store:
        await store.apply(KEY, counted, now=NOW)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = content_of(path)
    with pytest.raises(schema.SchemaRefused, match=r"newer version of the bot.*schema 99.*install that version again"):
        async with SqliteStore(path):
            pass
    assert content_of(path) == before


async def test_migration_is_refused_if_a_newer_version_has_migrated_the_file(
    path: Path, by_hand: sqlite3.Connection
) -> None:
    """No transaction is left open."""
    schema.migrate(by_hand, path, (*schema.MIGRATIONS, ADD_COLOUR))
    with pytest.raises(schema.SchemaRefused):
        schema.migrate(by_hand, path, schema.MIGRATIONS)
    assert not by_hand.in_transaction


async def test_sqlite_database_of_another_program_is_refused(path: Path) -> None:
    """A mistyped path must not put the bot's tables into another program's file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (id INTEGER)")
    with pytest.raises(schema.SchemaRefused, match="another program's"):
        async with SqliteStore(path):
            pass


def test_every_sqlite_schema_version_has_a_sample_file() -> None:
    """A new schema version needs a sample file, and the newest sample has the schema of a new file."""
    assert max(VERSIONS) == len(schema.MIGRATIONS)
    with closing(sqlite3.connect(":memory:")) as sample, closing(sqlite3.connect(":memory:")) as new:
        sample.executescript(VERSIONS[max(VERSIONS)])
        sample.executescript(";".join(schema.ADDITIONS))
        schema.migrate(new, Path(":memory:"), schema.MIGRATIONS)
        tables = [
            each.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 2").fetchall() for each in (sample, new)
        ]
    assert tables[0] == tables[1]


async def test_earlier_version_of_the_bot_opens_a_file_with_a_table_of_a_newer_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table or index that a newer version added does not keep an earlier version from starting, and is not lost."""
    monkeypatch.setattr(schema, "ADDITIONS", (*schema.ADDITIONS, "CREATE TABLE IF NOT EXISTS later (a TEXT)"))
    async with SqliteStore(path):
        pass
    monkeypatch.undo()
    async with SqliteStore(path) as store:
        await store.apply(KEY, counted, now=NOW)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (1,)


@pytest.mark.parametrize("version", VERSIONS)
async def test_sqlite_file_of_every_schema_version_is_read(path: Path, version: int) -> None:
    """Rows, people, watermarks and audit entries of every version stay readable."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSIONS[version])
    async with SqliteStore(path) as store:
        (row,) = (await all_watched(store)).rows
        assert (row.version, row.request and row.request.node.name) == (3, "web-prod-01")
        assert await store.next_due() == NOW
        assert len(await store.find(KEY.ops_item_id)) == len(await store.personal_chats()) == 1
        assert await store.service_url("19:approvers@thread.tacv2") == "https://smba.trafficmanager.net/jp/"
        assert await store.watermark(KEY.account, KEY.region) == NOW
        assert [entry.event for entry in await store.audit(NOW)] == ["clicked"]
        assert (await store.apply(KEY, counted, now=NOW)).version == 4


async def test_sweep_leases_and_expiry_times_of_schema_version_2_are_kept(path: Path) -> None:
    """A file of schema version 2 keeps its sweep leases and the times when its rows expire."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSIONS[2])
    async with SqliteStore(path) as store:
        end = NOW + timedelta(seconds=90)
        assert not await store.lease_sweep(KEY.account, KEY.region, "replica-2", now=NOW, until=end)
        assert await store.lease_sweep(KEY.account, KEY.region, "replica-2", now=end, until=end)
        assert await store.forget_expired(NOW + timedelta(days=364)) == 0
        assert await store.forget_expired(NOW + timedelta(days=365)) == 1
        assert await store.load(OTHER) is None


async def test_rows_of_schema_version_1_get_a_watched_flag_and_an_expiry_time(
    path: Path, by_hand: sqlite3.Connection
) -> None:
    """Rows that are open or due stay watched; ended rows expire 400 days after their creation."""
    by_hand.executescript(VERSION_1)
    copy = "INSERT INTO requests SELECT ?, ops_item_id, version, created_at, ?, ?, record FROM requests LIMIT 1"
    for name, unended, look in [("unended", 1, None), ("approved", 0, 1), ("ended", 0, None)]:
        by_hand.execute(copy, (name, unended, look))
    async with SqliteStore(path):
        rows = dict(by_hand.execute("SELECT key, (watched, expires_at) IS (1, NULL) FROM requests"))
        assert rows == {str(KEY): 1, "unended": 1, "approved": 1, "ended": 0}
        expiry = by_hand.execute("SELECT expires_at - created_at FROM requests WHERE NOT watched").fetchall()
        assert expiry == [(timedelta(days=400) // timedelta(microseconds=1),)]


async def test_unread_row_is_deleted_when_it_expires_and_a_watched_row_is_kept(path: Path) -> None:
    """A row whose request was never read expires. It is not deleted a microsecond earlier."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    async with SqliteStore(path) as store:
        await store.apply(OTHER, counted, now=NOW)
        ended = NOW + KEPT_UNREAD
        assert await store.forget_expired(ended - timedelta(microseconds=1)) == 0
        assert await store.forget_expired(ended) == 1
        assert await store.load(OTHER) is None
        assert await store.load(KEY) is not None


ADD_COLOUR = ("ALTER TABLE requests ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'",)


async def test_migration_of_a_sqlite_file_keeps_its_rows(path: Path, by_hand: sqlite3.Connection) -> None:
    """The file is migrated once. A second migration changes nothing."""
    async with SqliteStore(path) as store:
        await store.apply(KEY, counted, now=NOW)
    for _ in range(2):
        schema.migrate(by_hand, path, (*schema.MIGRATIONS, ADD_COLOUR))
    assert by_hand.execute("SELECT key, colour FROM requests").fetchall() == [(str(KEY), "green")]
    assert by_hand.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS) + 1,)


async def test_failed_migration_leaves_the_sqlite_file_unchanged(path: Path, by_hand: sqlite3.Connection) -> None:
    """A migration is one transaction. After a failure the previous version can still open the file."""
    async with SqliteStore(path) as store:
        await store.apply(KEY, counted, now=NOW)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(by_hand, path, (*schema.MIGRATIONS, (*ADD_COLOUR, "NONSENSE")))
    async with SqliteStore(path) as store:
        assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)


# --- errors


async def test_call_to_a_store_that_is_not_open_raises_an_error(path: Path) -> None:
    """A read before opening and a write after closing both fail."""
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.load(KEY)
    async with store:
        pass
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.apply(KEY, counted, now=NOW)


async def test_closing_the_store_completes_pending_writes(path: Path) -> None:
    """Writes that were requested before the store closes are answered."""
    async with SqliteStore(path) as store:
        writes = [asyncio.ensure_future(store.apply(KEY, counted, now=NOW)) for _ in range(250)]
        await asyncio.sleep(0)
    assert sorted([(await write).version for write in writes]) == list(range(1, 251))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_bytes(b"this is no database, and longer than its header " * 9), "not a database"),
        (lambda path: path.symlink_to(path.parent / "missing" / "file"), "No such file"),
    ],
)
async def test_error_for_a_database_file_that_cannot_be_opened_names_it(path: Path, make: object, problem: str) -> None:
    """The error names the file and the problem."""
    assert callable(make)
    make(path)
    with pytest.raises(StoreUnavailable, match=problem) as caught:
        async with SqliteStore(path):
            pass
    assert str(path) in str(caught.value)


async def test_write_to_sqlite_fails_while_another_process_holds_the_lock(
    path: Path, by_hand: sqlite3.Connection
) -> None:
    """Reads succeed meanwhile. Once the lock is released, writes succeed too."""
    async with SqliteStore(path, busy_seconds=0.02) as store:
        await store.apply(KEY, counted, now=NOW)
        by_hand.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await store.apply(KEY, counted, now=NOW)
        assert await store.load(KEY) == Record(KEY, NOW, version=1, reconcile_failures=1)
        by_hand.execute("ROLLBACK")
        assert (await store.apply(KEY, counted, now=NOW)).version == 2


async def test_write_is_acknowledged_only_if_the_transaction_that_it_shares_is_stored(
    store: SqliteStore, by_hand: sqlite3.Connection
) -> None:
    """A failed write undoes its transaction, and the writes that share it fail too."""
    by_hand.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ROLLBACK, 'disk is full'); END")
    by_hand.execute(
        "CREATE TRIGGER two BEFORE INSERT ON requests WHEN new.ops_item_id = 'oi-000000000002' "
        "BEGIN SELECT raise(ABORT, 'disk is full'); END"
    )
    answers = await asyncio.gather(
        *(store.apply(key_of(number), counted, now=NOW) for number in (1, 2, 3)), return_exceptions=True
    )
    failed = [isinstance(answer, StoreUnavailable) for answer in answers]
    stored = [await store.load(key_of(number)) is not None for number in (1, 2, 3)]
    assert failed[1]
    assert stored == [not each for each in failed]
    assert (await store.apply(key_of(1), counted, now=NOW)).reconcile_failures in {1, 2}


async def test_read_of_a_missing_table_raises_an_error(store: SqliteStore, by_hand: sqlite3.Connection) -> None:
    """The table does not count as empty."""
    by_hand.execute("DROP TABLE requests")
    with pytest.raises(StoreUnavailable, match="no such table"):
        await store.due(NOW, 1)


async def test_unreadable_row_is_reported_and_kept(store: SqliteStore, by_hand: sqlite3.Connection) -> None:
    """The error and the list name the row; other rows are returned, and the row stays stored."""
    for number in (1, 2):
        await store.apply(key_of(number), lambda row: replace(row, requeue_at=NOW), now=NOW)
    by_hand.execute("UPDATE requests SET record = '{}' WHERE key = ?", (str(KEY),))
    for asking in (store.load(KEY), store.apply(KEY, counted, now=NOW), store.find(KEY.ops_item_id)):
        with pytest.raises(RowUnreadable, match=str(KEY)):
            await asking
    assert await store.load(key_of(2)) is not None
    assert await all_watched(store) == Watched((await store.apply(key_of(2), lambda row: row, now=NOW),), (KEY,))
    assert list(await store.due(NOW, 2)) == [KEY, key_of(2)]
    assert by_hand.execute("SELECT record FROM requests WHERE key = ?", (str(KEY),)).fetchone() == ("{}",)


async def test_write_to_sqlite_is_refused_if_the_row_changed_since_it_was_read(store: SqliteStore) -> None:
    """If the row changes between read and write, the write is refused."""
    await store.apply(KEY, counted, now=NOW)
    connection = store._thread._connection
    assert connection is not None

    def overtaken(row: Record) -> Record:
        connection.execute("UPDATE requests SET version = 5")
        return counted(row)

    with pytest.raises(StoreUnavailable, match="without the lock"):
        await store.apply(KEY, overtaken, now=NOW)


async def test_write_that_has_not_begun_is_skipped_if_its_caller_is_cancelled(store: SqliteStore) -> None:
    """A write whose caller was cancelled before it began is not made."""
    ran: list[int] = []

    began, gate = threading.Event(), threading.Event()

    def slow(row: Record) -> Record:
        began.set()
        gate.wait(10)  # in the store's thread: later calls wait
        return row

    def noted(row: Record) -> Record:
        ran.append(1)
        return row

    first = asyncio.ensure_future(store.apply(KEY, slow, now=NOW))
    await asyncio.to_thread(began.wait, 10)
    second = asyncio.ensure_future(store.apply(KEY, noted, now=NOW))
    await asyncio.sleep(0)
    second.cancel()
    await settled()
    gate.set()
    await first
    await store.load(KEY)
    assert not ran


# --- speed


async def test_concurrent_writes_of_a_row_share_commits(store: SqliteStore) -> None:
    """200 simultaneous writes of one row need at most 20 commits."""
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await store._thread.read(lambda connection: connection.set_trace_callback(count))
    await asyncio.gather(*(store.apply(KEY, counted, now=NOW) for _ in range(200)))
    assert commits <= 20
    assert (await store.load(KEY)) == Record(KEY, NOW, version=200, reconcile_failures=200)


# --- the audit trail is only ever added to


async def test_sqlite_refuses_to_change_or_delete_audit_entries(
    store: SqliteStore, by_hand: sqlite3.Connection
) -> None:
    """The refusal comes from SQLite itself, even if a person runs the statement."""
    await store.append_audit(AuditEntry(datetime.now(UTC), "clicked"))
    for statement in ("UPDATE audit SET entry = '{}'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            by_hand.execute(statement)
    assert len(await store.audit(NOW)) == 1


async def test_audit_entries_are_deleted_after_400_days(store: SqliteStore) -> None:
    """The deletion of expired rows also deletes older entries; newer ones stay."""
    now = datetime.now(UTC)
    for days in (500, 401, 399, 0):
        await store.append_audit(AuditEntry(now - timedelta(days=days), f"{days}"))
    assert await store.forget_expired(now) == 2
    assert [each.event for each in await store.audit(now - timedelta(days=1000))] == ["399", "0"]


# --- a missing, replaced or damaged file

NOISE = random.Random(5).randbytes(4096)
Breaking = Callable[[Path], object]


async def filled(path: Path) -> None:
    """Write a file of many pages, and close it."""
    async with SqliteStore(path) as store:
        for number in range(20):
            await store.apply(key_of(number), claimed(*(f"{number}-{each}" for each in range(20))), now=NOW)
            await store.remember_service_url(f"19:{number}@thread.tacv2", "https://smba.example.com/" + "x" * 500)


def spoil(path: Path, page: int, sound: bytes | None = None) -> None:
    """Overwrite a page of the file with noise. If `sound` is given, write it into the file first."""
    if sound is not None:
        path.write_bytes(sound)
    with path.open("r+b") as file:
        file.seek((page - 1) * len(NOISE))
        file.write(NOISE)


def run_by_hand(path: Path, statement: str) -> None:
    """Run a statement as with the sqlite3 command."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.fixture
def limited_files() -> Iterator[Callable[[int], None]]:
    """Return a function that limits the size of every file that this process writes, as a full disk does."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


async def test_check_of_the_store_reports_a_full_disk_and_writes_succeed_once_there_is_space(
    path: Path, limited_files: Callable[[int], None]
) -> None:
    """While the disk is full, writes and the check fail with SQLite's code, and reads succeed."""
    async with SqliteStore(path) as store:
        await store.apply(KEY, counted, now=NOW)
        limited_files(path.with_name(f"{path.name}-wal").stat().st_size)
        entry = AuditEntry(NOW, "x")
        for call in (store.check, partial(store.apply, KEY, counted, now=NOW), partial(store.append_audit, entry)):
            with pytest.raises(StoreUnavailable, match=r"SQLITE_(FULL|IOERR)"):
                await call()
        assert (await store.load(KEY)) == Record(KEY, NOW, version=1, reconcile_failures=1)
        limited_files(resource.RLIM_INFINITY)
        await store.check()
        assert (await store.apply(KEY, counted, now=NOW)).version == 2


async def test_check_of_the_store_reports_a_read_only_database(store: SqliteStore) -> None:
    """SQLite treats the file as read-only. Reads succeed."""
    await store.apply(KEY, counted, now=NOW)
    await store._thread.read(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable, match="SQLITE_READONLY"):
        await store.check()
    assert await store.load(KEY) is not None


async def test_check_of_the_store_does_not_change_the_content_of_the_file(
    store: SqliteStore, by_hand: sqlite3.Connection
) -> None:
    """The schema number, here that of a newer version, also stays."""
    await store.apply(KEY, counted, now=NOW)
    by_hand.execute("PRAGMA user_version = 99")
    before = list(by_hand.iterdump())
    await store.check()
    assert list(by_hand.iterdump()) == before
    assert by_hand.execute("PRAGMA user_version").fetchone() == (99,)


@pytest.mark.parametrize(
    ("happen", "problem"),
    [
        (lambda path: path.unlink(), "was deleted or moved"),
        (lambda path: path.with_name(f"{path.name}-wal").unlink(), "-wal was deleted or moved"),
        (lambda path: path.parent.rename(path.parent.with_name("elsewhere")), "was deleted or moved"),
        (lambda path: shutil.copy(path, f"{path}.copy") and Path(f"{path}.copy").replace(path), "was replaced"),
        (lambda path: os.truncate(path, 0), "any longer|damaged"),
        (lambda path: spoil(path, 3), "damaged"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "damaged"),
        (lambda path: os.truncate(path.with_name(f"{path.name}-wal"), 0), "damaged"),
        (lambda path: path.unlink() or path.mkdir(), "was replaced"),
        (lambda path: run_by_hand(path, "DROP TABLE personal_chats"), "has no personal_chats any longer"),
        (lambda path: run_by_hand(path, "PRAGMA application_id = 7"), "not the bot's database"),
    ],
    ids=[
        "deleted",
        "log deleted",
        "folder moved",
        "replaced",
        "emptied",
        "noise",
        "half of it",
        "log emptied",
        "replaced by a folder",
        "table dropped",
        "made another program's",
    ],
)
async def test_check_of_the_store_reports_a_file_that_is_lost_or_damaged_while_open(
    tmp_path: Path, happen: Breaking, problem: str
) -> None:
    """The check names the problem. Later reads and writes fail, because a new write would be lost."""
    path = tmp_path / "data" / "node-access.db"
    path.parent.mkdir()
    await filled(path)
    async with SqliteStore(path) as store:
        await store.check()
        happen(path)
        with pytest.raises(StoreDamaged, match=problem):
            await store.check()
        for call in (store.load(KEY), store.apply(KEY, counted, now=NOW), store.append_audit(AuditEntry(NOW, "x"))):
            with pytest.raises(StoreDamaged, match=problem):
                await call


async def test_store_works_again_after_its_file_was_moved_back(path: Path, tmp_path: Path) -> None:
    """After the file is moved away and back, and a check succeeds, writes succeed."""
    async with SqliteStore(path) as store:
        os.rename(path, tmp_path / "away")  # noqa: PTH104  (the linter allows no method of Path here)
        with pytest.raises(StoreDamaged):
            await store.check()
        os.rename(tmp_path / "away", path)  # noqa: PTH104
        await store.check()
        assert (await store.apply(KEY, counted, now=NOW)).version == 1


async def test_database_file_with_random_bytes_in_any_page_is_not_opened(path: Path) -> None:
    """The error says what to do, and the file is not changed."""
    await filled(path)
    sound = content_of(path)
    for page in range(1, len(sound) // len(NOISE) + 1):
        spoil(path, page, sound)
        spoilt = content_of(path)
        with pytest.raises(StoreDamaged, match=r"cannot be opened: the file is damaged.*restore a copy"):
            async with SqliteStore(path):
                pass
        assert content_of(path) == spoilt


async def test_damage_that_a_call_found_is_reported_by_the_next_check(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both fail with the advice to restore a copy, even if the check has no time to find the damaged page itself."""
    await filled(path)
    monkeypatch.setattr(integrity, "CHECK_SECONDS", -1.0)
    monkeypatch.setattr(integrity, "STEPS_BETWEEN_LOOKS", 1)
    async with SqliteStore(path) as store:
        for page in range(2, len(content_of(path)) // len(NOISE) + 1):
            spoil(path, page)
        await store.check()
        with pytest.raises(StoreDamaged, match="restore a copy"):
            await store.load(KEY)
        with pytest.raises(StoreDamaged, match="restore a copy"):
            await store.check()


async def test_row_with_damaged_text_is_unreadable_and_other_rows_are_still_listed(
    store: SqliteStore, by_hand: sqlite3.Connection
) -> None:
    """Invalid bytes inside a text leave the pages sound, so the check succeeds."""
    for number in (1, 2):
        await store.apply(key_of(number), lambda row: replace(row, requeue_at=NOW), now=NOW)
    by_hand.execute("UPDATE requests SET record = CAST(x'7bff7d' AS TEXT) WHERE key = ?", (str(KEY),))
    found = await all_watched(store)
    assert ([row.key for row in found.rows], found.unreadable) == ([key_of(2)], (KEY,))
    with pytest.raises(RowUnreadable):
        await store.load(KEY)
    await store.check()


async def test_created_is_true_only_for_the_first_store_that_opens_the_file(path: Path) -> None:
    """The second store that opens the file has False."""
    for expected in (True, False):
        async with SqliteStore(path) as store:
            assert store.created is expected
