"""Which store a setting means: what `bot.app` and `bot.cli` ask this room for. Opens nothing."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bot.ports import Store
from bot.store.sqlite import SqliteStore


class OwnStore(Store, Protocol):
    """A store that is opened by `async with` and closed after it; opening raises StoreUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def store_at(where: str, *, region: str | None) -> OwnStore:
    """Return the store of `sqlite:<path>` or `dynamodb:<table>`; only the latter has a Region."""
    kind, _, name = where.partition(":")
    if kind == "sqlite":
        return SqliteStore(Path(name))
    from bot.store.dynamodb import DynamoStore  # boto3 takes long to import, and `show` needs it for this only

    if region is None:
        raise ValueError("a table is in a Region")
    return DynamoStore(name, region=region)
