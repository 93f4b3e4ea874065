"""All kinds of store that the contract suite tests. To add one, add an entry to KINDS."""

import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from bot.ports.store import Store
from bot.store.dynamodb.store import DynamoStore
from bot.store.dynamodb.table import definition
from bot.store.sqlite.store import SqliteStore
from tests.fakes.dynamodb import REGION, DynamoEnvironment, FakeDynamo, session, shared
from tests.fakes.store import MemoryStore, Tables


class Shelf(Protocol):
    """One set of data. Each `open` returns another store on this data, as another process would open it."""

    async def open(self) -> Store: ...

    async def close(self) -> None: ...


class SqliteShelf:
    """Stores in one file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "node-access.db"
        self._stack = AsyncExitStack()

    async def open(self) -> Store:
        return await self._stack.enter_async_context(SqliteStore(self.path))

    async def close(self) -> None:
        await self._stack.aclose()


_NUMBERS = itertools.count(1)


class DynamoShelf:
    """Stores in one table, by default of a server that all tests share. `close` fails if one has scanned a table."""

    call_seconds = seconds = patience = 30.0  # a machine that is busy with other tests is no slow DynamoDB

    def __init__(self, _folder: Path, server: FakeDynamo | None = None) -> None:
        self.server = server or shared()
        self.table = f"node-access-{next(_NUMBERS)}"
        self._aimed = DynamoEnvironment(self.server)
        self._stack = AsyncExitStack()
        client = self.server.client()
        client.create_table(TableName=self.table, **definition())
        client.close()
        self._seen = len(self.server.calls)

    def closed(self) -> DynamoStore:
        """Return a store that is not open."""
        return DynamoStore(
            self.table,
            region=REGION,
            call_seconds=self.call_seconds,
            seconds=self.seconds,
            patience=self.patience,
            session=session(),
        )

    async def open(self) -> DynamoStore:
        return await self._stack.enter_async_context(self.closed())

    async def close(self) -> None:
        await self._stack.aclose()
        self._aimed.undo()
        called = set(self.server.operations(self._seen))
        del self.server.calls[self._seen :]  # thousands of examples on one server would fill the memory
        client = self.server.client()
        client.delete_table(TableName=self.table)
        client.close()
        assert not {"Scan", "ExecuteStatement"} & called


class MemoryShelf:
    """Stores in memory that share their tables."""

    def __init__(self, _folder: Path) -> None:
        self._tables = Tables()

    async def open(self) -> Store:
        return MemoryStore(self._tables)

    async def close(self) -> None:
        pass


KINDS: dict[str, Callable[[Path], Shelf]] = {"memory": MemoryShelf, "sqlite": SqliteShelf, "dynamodb": DynamoShelf}
