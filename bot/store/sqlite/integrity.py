"""Finds out whether the SQLite file is still the one that was opened, and whether its pages are sound.

`check_file` opens a separate connection, because the store's connection has pages in its cache and keeps a deleted file
open. This module must not know what the tables hold.

https://www.sqlite.org/pragma.html#pragma_quick_check, https://www.sqlite.org/howtocorrupt.html
"""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from bot.ports.store import StoreDamaged, StoreUnavailable

CHECK_SECONDS = 5.0  # for one check; of a file too large for this, a part is checked
STEPS_BETWEEN_LOOKS: Final = 10_000  # steps of SQLite between two looks at the clock: some milliseconds
ADVICE: Final = "stop the bot, restore a copy, and start it again"
_PRIMARY: Final = 0xFF  # the part of an extended error code that names the kind of error
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_CUT_OFF: Final = sqlite3.SQLITE_IOERR_SHORT_READ  # a file ends before a page that must be there
_OWNER: Final = "SELECT application_id FROM pragma_application_id"
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"

Files = Mapping[Path, tuple[int, int]]
"""The device and inode of the files that SQLite has open."""


def unavailable(error: sqlite3.Error) -> StoreUnavailable:
    """Return the error of the store's port for an error of SQLite."""
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    if _code(error) in _DAMAGE or getattr(error, "sqlite_errorcode", 0) == _CUT_OFF:
        return StoreDamaged(f"the file is damaged ({name}: {error}): {ADVICE}")
    return StoreUnavailable(f"{name}: {error}")


def open_files(path: Path) -> Files:
    """Return the database and its write-ahead log. Call it right after they were opened. Raises OSError."""
    log = path.with_name(f"{path.name}-wal")
    return {each: _identity(each) for each in (path, log) if each.exists()}


def check_file(path: Path, files: Files, *, owner: int, tables: frozenset[str]) -> None:
    """Check that the files are those that were opened, and check the database's pages, application id and tables.

    `owner` is the expected application id. Raises StoreDamaged, StoreUnavailable.
    """
    for each, identity in files.items():
        _check_identity(each, identity)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            check_pages(connection)
            if connection.execute(_OWNER).fetchone() != (owner,):
                raise StoreDamaged(f"{path} is not the bot's database any longer: {ADVICE}")
            if lost := tables - {name for (name,) in connection.execute(_TABLES)}:
                raise StoreDamaged(f"{path} has no {' and no '.join(sorted(lost))} any longer: {ADVICE}")
    except sqlite3.Error as error:
        raise unavailable(error) from error


def check_writing(connection: sqlite3.Connection) -> None:
    """Write a page of the database as it is, in the caller's transaction. Raises sqlite3.Error.

    A full disk or a read-only file is noticed only by a write.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


def check_pages(connection: sqlite3.Connection) -> None:
    """Check the pages of the database, as many as CHECK_SECONDS allows. Raises StoreDamaged, sqlite3.Error."""
    until = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_INTERRUPT:
            raise
    else:
        if found != "ok":
            raise StoreDamaged(f"the file is damaged ({' '.join(found.split())[:200]}): {ADVICE}")
    finally:
        connection.set_progress_handler(None, 0)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _check_identity(path: Path, identity: tuple[int, int]) -> None:
    try:
        now = _identity(path)
    except OSError as error:
        raise StoreDamaged(f"{path} was deleted or moved while it was in use ({error.strerror}): {ADVICE}") from error
    if now != identity:
        raise StoreDamaged(f"{path} was replaced while it was in use: restart the bot, which then uses the new file")
