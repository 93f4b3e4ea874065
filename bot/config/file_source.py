"""node-access.toml as a file: how it is read, and when a change of it is complete."""

import asyncio
from pathlib import Path

from bot.config.errors import shown
from bot.ports.configuration import Content, SourceUnreadable

PERIOD = 3.0  # seconds between two reads


class FileSource:
    """The source that reads a file. Content, or the cause why there is none, counts after two equal reads in a row.

    An editor may still be writing, and half a file can be a valid file with half of the approvers. No other source
    needs this: an object in S3 is replaced as a whole.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name, self.period = path, shown(path.name), PERIOD
        self._seen: bytes | str | None = None
        self._returned: bytes | str | None = None

    async def read(self) -> Content | None:
        """Return the content once it is complete and new. Raises SourceUnreadable once it is surely unreadable."""
        try:
            found: bytes | SourceUnreadable = await asyncio.to_thread(content_of, self._path)
        except SourceUnreadable as unreadable:
            found = unreadable
        return self._settled(found)

    def _settled(self, found: bytes | SourceUnreadable) -> Content | None:
        mark = found if isinstance(found, bytes) else found.advice
        settled, self._seen = mark == self._seen, mark
        if not settled:
            return None
        if isinstance(found, SourceUnreadable):
            self._returned = None
            raise found
        new, self._returned = found != self._returned, found
        return Content(found) if new else None


def content_of(path: Path) -> bytes:
    """Read a file. Raises SourceUnreadable."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        advice = f"{shown(str(path))}: there is no such file; write one, or set NODE_ACCESS_CONFIG"
        raise SourceUnreadable(type(error).__name__, advice) from None
    except (OSError, ValueError) as error:  # ValueError: not a valid path
        name = type(error).__name__
        raise SourceUnreadable(name, f"{shown(str(path))}: cannot be read ({name})") from None
