"""Which store a setting means: what `bot.app` and `bot.cli` ask this room for. Opens nothing."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bot.ports.store import Store
from bot.store.sqlite.store import SqliteStore


def store_at(where: str, *, region: str | None) -> AbstractAsyncContextManager[Store]:
    """Return the store of `sqlite:<path>` or `dynamodb:<table>`, opened by `async with` and closed after it.

    Only a table has a Region. Opening raises StoreUnavailable.
    """
    kind, _, name = where.partition(":")
    if kind == "sqlite":
        return SqliteStore(Path(name))
    from bot.store.dynamodb.store import DynamoStore  # boto3 takes long to import, and `show` mostly does without

    if region is None:
        raise ValueError("a table is in a Region")
    return DynamoStore(name, region=region)
