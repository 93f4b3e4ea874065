"""Creates, opens and migrates the SQLite file. It must not know how rows are encoded.

https://www.sqlite.org/pragma.html#pragma_user_version, https://www.sqlite.org/wal.html
"""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from bot.ports.store import StoreDamaged, StoreUnavailable
from bot.store.sqlite.integrity import check_pages, unavailable

IN_MEMORY = ":memory:"  # SQLite's name of a database without a file
APPLICATION_ID = 0x4E414231  # "NAB1": distinguishes the bot's file from other SQLite databases
WAL_ATTEMPTS = 50  # switching to WAL does not wait for locks, and two processes may create the file at once
WAL_PAUSE = 0.02  # seconds between two attempts

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE requests (
            key TEXT PRIMARY KEY,
            ops_item_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            unended INTEGER NOT NULL,
            next_look_at INTEGER,
            record TEXT NOT NULL
        )
        """,
        "CREATE INDEX requests_due ON requests (next_look_at, key) WHERE next_look_at IS NOT NULL",
        "CREATE INDEX requests_unended ON requests (created_at, key) WHERE unended",
        "CREATE INDEX requests_ops_item ON requests (ops_item_id)",
        "CREATE TABLE personal_chats (object_id TEXT PRIMARY KEY, chat TEXT NOT NULL)",
        "CREATE TABLE service_urls (conversation TEXT PRIMARY KEY, service_url TEXT NOT NULL)",
        """
        CREATE TABLE watermarks (
            account TEXT NOT NULL, region TEXT NOT NULL, moment INTEGER NOT NULL, PRIMARY KEY (account, region)
        )
        """,
        "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, entry TEXT NOT NULL)",
        "CREATE INDEX audit_at ON audit (at, id)",
    ),
    (
        "ALTER TABLE requests RENAME COLUMN unended TO watched",
        "ALTER TABLE requests ADD COLUMN expires_at INTEGER",
        "UPDATE requests SET watched = watched OR next_look_at IS NOT NULL",
        # 400 days; a request that has ended was open for at most a month
        "UPDATE requests SET expires_at = created_at + 34560000000000 WHERE NOT watched",
        "DROP INDEX requests_unended",
        "CREATE INDEX requests_watched ON requests (created_at, key) WHERE watched",
        "CREATE INDEX requests_expired ON requests (expires_at) WHERE expires_at IS NOT NULL",
        """
        CREATE TABLE sweep_leases (
            account TEXT NOT NULL, region TEXT NOT NULL, owner TEXT NOT NULL, until INTEGER NOT NULL,
            PRIMARY KEY (account, region)
        )
        """,
    ),
    (
        """
        CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
        """,
        # 400 days (bot.store.rows.AUDIT_KEPT) before the newest entry, so that a wrong clock deletes nothing
        """
        CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
        WHEN OLD.at > (SELECT max(at) FROM audit) - 34560000000000
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
        """,
    ),
)
"""The statements from each version to the next; the position is the version to start from. Only append to it.

All times are microseconds since 1970 in UTC.
"""

ADDITIONS = (
    """
    CREATE TABLE IF NOT EXISTS replicas (
        owner TEXT PRIMARY KEY, knows TEXT NOT NULL, seen_at INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS history (
        subject TEXT NOT NULL, at INTEGER NOT NULL, key TEXT NOT NULL, granted INTEGER NOT NULL,
        PRIMARY KEY (subject, at, key)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS history_key ON history (key)",
    # an earlier version that runs beside this one deletes rows, too
    """
    CREATE TRIGGER IF NOT EXISTS history_ends AFTER DELETE ON requests
    BEGIN DELETE FROM history WHERE key = OLD.key; END
    """,
    "CREATE TABLE IF NOT EXISTS history_began (at INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS team_groups (conversation TEXT PRIMARY KEY, group_id TEXT NOT NULL)",
    """
    CREATE TABLE IF NOT EXISTS digest_posts (
        name TEXT PRIMARY KEY, version INTEGER NOT NULL, due_at INTEGER NOT NULL, post TEXT NOT NULL
    )
    """,
)
"""Tables and indexes that earlier versions do not need and do not see. They are added at each start, without a new
schema version, so that an earlier version can still open the file. Each statement may run again.
"""

TABLES = frozenset(
    {
        "requests",
        "personal_chats",
        "service_urls",
        "team_groups",
        "digest_posts",
        "sweep_leases",
        "watermarks",
        "replicas",
        "audit",
        "history",
        "history_began",
    }
)  # of the newest version

_WAL = "PRAGMA journal_mode = WAL"
# One statement: while another process creates the file, it shows the file before or after, never in between.
_HEADER = """
    SELECT (SELECT application_id FROM pragma_application_id),
           (SELECT user_version FROM pragma_user_version),
           (SELECT count(*) FROM sqlite_master)
"""


class SchemaRefused(StoreUnavailable):
    """The file has a newer version or is not the bot's; it was not changed."""


def connect(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open the file with this version's schema; a new file gets mode 0600.

    `busy_seconds` limits the wait for another process's lock.

    Raises StoreUnavailable; SchemaRefused for a file that this version must not change; StoreDamaged.
    """
    try:
        _create(path)
        connection = _opened(str(path.absolute()), busy_seconds=busy_seconds)  # never SQLite's own name :memory:
    except OSError as error:
        raise StoreUnavailable(_advice(path, error)) from error
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error}") from error
    return _prepared(connection, path)


def connect_in_memory() -> sqlite3.Connection:
    """Open an empty database without a file, with this version's schema. Its data ends with the connection."""
    return _prepared(_opened(IN_MEMORY, busy_seconds=0), Path(IN_MEMORY))


def _opened(name: str, *, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=busy_seconds, isolation_level=None)
    connection.text_factory = _as_text
    return connection


def _advice(path: Path, error: OSError) -> str:
    if path.is_dir():
        return f"{path} is a directory: name a file in it in NODE_ACCESS_STORE"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}: create it, or change NODE_ACCESS_STORE"
    return f"{path} cannot be opened ({error.strerror}): check the permissions of its folder, and NODE_ACCESS_STORE"


def _as_text(raw: bytes) -> str:
    """Return a stored text. If it is not UTF-8, only its row is unreadable; without this, the whole query fails."""
    return raw.decode(errors="surrogateescape")


def _create(path: Path) -> None:
    """Create the file, readable only for its owner. SQLite gives its companion files the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepared(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        _version(connection, path, newest=len(MIGRATIONS))  # checked before the file is changed
        check_pages(connection)
        switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")  # acknowledged writes survive a power cut
        migrate(connection, path, MIGRATIONS)
    except (sqlite3.Error, StoreDamaged) as error:
        connection.close()
        problem = unavailable(error) if isinstance(error, sqlite3.Error) else error
        raise type(problem)(f"{path} cannot be opened: {problem}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, path: Path, *, newest: int) -> int:
    """Return the schema version of the file, 0 if it is empty.

    Raises SchemaRefused for a version above `newest`, and for a file of another program.
    """
    owner, version, tables = connection.execute(_HEADER).fetchone()
    if owner == APPLICATION_ID and version > newest:
        raise SchemaRefused(
            f"{path} was written by a newer version of the bot (schema {version}, this one knows {newest}): "
            "install that version again, or restore the copy of the file that was made before the upgrade"
        )
    if owner != APPLICATION_ID and (version or tables):
        raise SchemaRefused(f"{path} is another program's database: name a file of the bot's own, or one to be made")
    return int(version)


def switch_to_wal(connection: sqlite3.Connection, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Switch to the write-ahead log; retry while another process does so. Raises sqlite3.OperationalError.

    `pause` sleeps for some seconds.
    """
    for _ in range(WAL_ATTEMPTS - 1):
        with suppress(sqlite3.OperationalError):
            connection.execute(_WAL)
            return
        pause(WAL_PAUSE)
    connection.execute(_WAL)


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Run the missing migrations and ADDITIONS, all or none. Waits for another process that does the same.

    Raises SchemaRefused, sqlite3.Error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in (*migrations[_version(connection, path, newest=len(migrations)) :], ADDITIONS):
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
