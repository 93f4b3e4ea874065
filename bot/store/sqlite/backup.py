"""Copies the SQLite file while the bot writes. It must not know what the tables hold.

The copy is made under the name `<file>.partial`, checked, and only then linked to its own name. So a file with that
name is always complete, and an existing file is never replaced, not even in a race.

https://www.sqlite.org/backup.html
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from bot.store.sqlite.integrity import unavailable
from bot.store.sqlite.schema import APPLICATION_ID

WHOLE: Final = -1  # pages in a step: all in one, so that a write of another process does not start the copy again
_OWNER: Final = "PRAGMA application_id"


class BackupFailed(Exception):
    """There is no copy; the text says why."""


def back_up(path: Path, copy: Path) -> None:
    """Copy the store at `path` to the file `copy`, which only its owner may read, and which must not exist.

    The copy has every write that was committed before the call, is checked completely, and is on disk at the return.
    Raises BackupFailed.
    """
    if copy.exists() or copy.is_symlink():
        raise BackupFailed(f"{copy} exists: name a file that does not exist")
    partial = copy.with_name(f"{copy.name}.partial")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise BackupFailed(f"{partial} exists: remove it, unless another backup is running") from None
    except OSError as error:
        raise BackupFailed(f"{copy} cannot be created: {error.strerror}") from error
    try:
        _copy(path, partial)
        _check(partial)
        _sync(partial)
        os.link(partial, copy)
        _sync(copy.parent)
    except FileExistsError:
        raise BackupFailed(f"{copy} exists: name a file that does not exist") from None
    except OSError as error:
        raise BackupFailed(f"{copy} cannot be written: {error.strerror}") from error
    finally:
        for each in (partial, partial.with_name(f"{partial.name}-journal")):
            each.unlink(missing_ok=True)


def _copy(path: Path, partial: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source,
            closing(sqlite3.connect(partial, isolation_level=None)) as target,
        ):
            source.execute("BEGIN")  # every page comes from one moment
            if source.execute(_OWNER).fetchone() != (APPLICATION_ID,):
                raise BackupFailed(f"{path} is not the bot's database: check NODE_ACCESS_STORE")
            source.backup(target, pages=WHOLE)
            target.execute("PRAGMA journal_mode = DELETE")  # the copy is one file; the bot switches it back
    except sqlite3.Error as error:
        raise BackupFailed(f"{path} cannot be copied: {unavailable(error)}") from error


def _check(partial: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{partial.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupFailed(f"the copy cannot be checked, so it was removed: {unavailable(error)}") from error
    if found != "ok":
        text = " ".join(found.split())[:200]
        raise BackupFailed(f"the store is damaged, and so was its copy, which was removed: {text}")


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
