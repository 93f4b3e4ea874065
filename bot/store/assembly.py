"""Returns the store that a setting names, or an empty one in memory. Opens nothing."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bot.ports.store import Store
from bot.store.sqlite.store import SqliteStore


def store_at(where: str, *, region: str | None) -> AbstractAsyncContextManager[Store]:
    """Return the store of `sqlite:<path>` or `dynamodb:<table>`. Use `async with` to open and close it.

    Raises ValueError for a table without a Region. Opening raises StoreUnavailable.
    """
    kind, _, name = where.partition(":")
    if kind == "sqlite":
        return SqliteStore(Path(name))
    from bot.store.dynamodb.store import DynamoStore  # boto3 is slow to import, and SQLite does not need it

    if region is None:
        raise ValueError("a DynamoDB table needs a Region")
    return DynamoStore(name, region=region)


def empty_store() -> AbstractAsyncContextManager[Store]:
    """Return an empty store in memory, for a process that has no store and must write no file."""
    return SqliteStore(None)
