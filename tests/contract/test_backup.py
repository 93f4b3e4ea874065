"""The command `node-access-bot backup`: a private, complete, checked copy of the SQLite store, made while it is used."""

import asyncio
import os
import random
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.store.sqlite.store import SqliteStore
from tests.contract import test_sqlite
from tests.contract.test_store import counted
from tests.fakes.aws import key_of

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
KEY = key_of(1)
ROOT = Path(__file__).parents[2]

limited_files = test_sqlite.limited_files


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the store, which the setting names. It does not exist."""
    path = tmp_path / "node-access.db"
    monkeypatch.setenv("NODE_ACCESS_STORE", f"sqlite:{path}")
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A file in an empty folder that does not exist."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "copy.db"


@pytest.fixture
def without_umask() -> Iterator[None]:
    """Let new files have every permission that their creator asks for."""
    former = os.umask(0)
    yield
    os.umask(former)


def backup(copy: Path) -> Result:
    return CliRunner().invoke(main, ["backup", str(copy)], catch_exceptions=False)


def refusal(copy: Path) -> str:
    """Return what the command says when it makes no copy. Nothing may be left of it."""
    before = sorted(copy.parent.iterdir()) if copy.parent.is_dir() else []
    result = backup(copy)
    assert result.exit_code == 1
    assert (sorted(copy.parent.iterdir()) if copy.parent.is_dir() else []) == before
    return result.stderr


def fill(path: Path, rows: int = 1) -> None:
    """Create a store with some rows, and close it."""

    async def filled() -> None:
        async with SqliteStore(path) as store:
            for number in range(1, rows + 1):
                await store.apply(key_of(number), counted, now=NOW)

    asyncio.run(filled())


def modes_in(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


async def test_backup_has_every_write_that_another_process_committed_before(path: Path, copy: Path) -> None:
    """A process writes without a pause. The copy has each write that it has acknowledged, and works as a store."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", test_sqlite.WRITER, str(path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert writer.stdout is not None
    acknowledged = [int(await writer.stdout.readline()) for _ in range(20)]
    result = await asyncio.to_thread(backup, copy)
    later = int(await writer.stdout.readline())
    writer.kill()
    await writer.communicate()
    assert (result.exit_code, result.stdout) == (0, f"{copy} is a complete copy of {path}\n")
    async with SqliteStore(copy) as restored:
        row = await restored.load(KEY)
        assert row is not None
        assert row.version == row.reconcile_failures >= max(acknowledged)
        assert (await restored.apply(KEY, counted, now=NOW)).version == row.version + 1
    assert later > max(acknowledged)


async def test_backup_has_writes_that_are_only_in_the_write_ahead_log(path: Path, copy: Path) -> None:
    """The bot is open, so its last writes are in the log beside the file. They are in the copy, too."""
    async with SqliteStore(path) as store:
        written = await store.apply(KEY, counted, now=NOW)
        assert path.with_name(f"{path.name}-wal").stat().st_size
        assert backup(copy).exit_code == 0
    async with SqliteStore(copy) as restored:
        assert await restored.load(KEY) == written


@pytest.mark.usefixtures("without_umask")
def test_backup_is_one_private_file(path: Path, copy: Path) -> None:
    """Reasons and names are private. Nothing else is left in the folder."""
    fill(path)
    assert backup(copy).exit_code == 0
    assert modes_in(copy.parent) == {copy.name: 0o600}


def test_backup_flushes_the_copy_and_its_folder_to_the_disk(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy survives a power cut right after the command has ended."""
    synced, fsync = set[int](), os.fsync

    def recorded(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    fill(path)
    monkeypatch.setattr(os, "fsync", recorded)
    assert backup(copy).exit_code == 0
    assert synced == {copy.stat().st_ino, copy.parent.stat().st_ino}


def test_backup_does_not_change_the_store(path: Path, copy: Path) -> None:
    """The bot is stopped. The file stays as it is, byte for byte."""
    fill(path)
    before = path.read_bytes()
    assert backup(copy).exit_code == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("link", [False, True], ids=["a file", "a link to a file that does not exist"])
def test_backup_does_not_replace_an_existing_file_or_link(path: Path, copy: Path, *, link: bool) -> None:
    """A former backup is kept. Nothing is written through a link."""
    fill(path)
    if link:
        copy.symlink_to("elsewhere.db")
    else:
        copy.write_text("former")
    assert "exists: name a file that does not exist" in refusal(copy)
    assert copy.is_symlink() if link else copy.read_text() == "former"


def test_backup_does_not_replace_an_unfinished_copy(path: Path, copy: Path) -> None:
    """Another backup to the same file may be running, or was killed. The error names its file."""
    fill(path)
    partial = copy.with_name("copy.db.partial")
    partial.write_text("half")
    assert f"{partial} exists: remove it, unless another backup is running" in refusal(copy)
    assert partial.read_text() == "half"


def test_backup_of_a_missing_store_creates_no_store(path: Path, copy: Path) -> None:
    """A copy of nothing would look like a backup."""
    assert f"there is no store at {path}; check NODE_ACCESS_STORE" in refusal(copy)
    assert not path.exists()


def test_backup_refuses_the_database_of_another_program(path: Path, copy: Path) -> None:
    """The setting names another database by mistake."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    assert "is not the bot's database: check NODE_ACCESS_STORE" in refusal(copy)


def test_backup_refuses_a_file_that_is_not_a_database(path: Path, copy: Path) -> None:
    """The file has other contents."""
    path.write_text("no database, and long enough to be read as one " * 40)
    assert "cannot be copied: the file is damaged (SQLITE_NOTADB" in refusal(copy)


def test_backup_of_a_damaged_store_fails_and_leaves_no_copy(path: Path, copy: Path) -> None:
    """Noise in the pages of the rows is copied like any other page. The check of the copy finds it."""
    fill(path, rows=200)
    content = bytearray(path.read_bytes())
    content[8192:] = random.Random(1).randbytes(len(content) - 8192)
    path.write_bytes(content)
    assert "damaged" in refusal(copy)


def test_backup_to_a_full_disk_fails_and_leaves_no_copy(
    path: Path, copy: Path, limited_files: Callable[[int], None]
) -> None:
    """Half a copy would look like a backup. The error has SQLite's code."""
    fill(path, rows=50)
    limited_files(path.stat().st_size // 2)
    assert "SQLITE_" in refusal(copy)


def test_backup_names_a_folder_that_does_not_exist(path: Path, copy: Path) -> None:
    """The command creates no folders."""
    fill(path)
    assert f"{copy.parent / 'none' / 'copy.db'} cannot be created: No such file" in refusal(
        copy.parent / "none" / "copy.db"
    )


def test_backup_of_a_dynamodb_store_refers_to_point_in_time_recovery(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DynamoDB store is no file."""
    monkeypatch.setenv("NODE_ACCESS_STORE", "dynamodb:node-access")
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    result = backup(copy)
    assert (result.exit_code, "point-in-time recovery" in result.stderr) == (2, True)
    assert not copy.exists()
