"""Every kind of store that the contract suite runs against. A further kind joins by one entry of KINDS."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from bot.ports import Store
from bot.store.sqlite import SqliteStore
from tests.fakes.store import MemoryStore, Tables


class Shelf(Protocol):
    """One set of data. Each `open` gives a further store on it, as a further process would have it."""

    async def open(self) -> Store: ...

    async def close(self) -> None: ...


class SqliteShelf:
    """Stores on one file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "node-access.db"
        self._stack = AsyncExitStack()

    async def open(self) -> Store:
        return await self._stack.enter_async_context(SqliteStore(self.path))

    async def close(self) -> None:
        await self._stack.aclose()


class MemoryShelf:
    """Stores on the same tables."""

    def __init__(self, _folder: Path) -> None:
        self._tables = Tables()

    async def open(self) -> Store:
        return MemoryStore(self._tables)

    async def close(self) -> None:
        pass


KINDS: dict[str, Callable[[Path], Shelf]] = {"memory": MemoryShelf, "sqlite": SqliteShelf}
