"""The client secret where somebody else keeps it: read again as it gets old, and when Entra refuses it.

Owns when it is read, so that a rotation needs no restart. Knows nothing of the vault but that it may not answer.
"""

from collections.abc import Callable, Mapping

import structlog
from pydantic import SecretStr

from bot.ports.aws import AwsUnavailable, SecretSource
from bot.teams.wire.errors import LONGEST_CODE, ConnectorUnavailable

FRESH = 300.0  # seconds; an older one is read again before it is sent: at every renewal of the token, once an hour

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RotatingSecret:
    """A proof by the client secret that a source tells."""

    def __init__(self, source: SecretSource, *, now: Callable[[], float]) -> None:
        """Take the source, and the time in seconds; nothing is read yet."""
        self._source, self._now = source, now
        self._known: SecretStr | None = None
        self._read_at = float("-inf")
        self._problem = ""

    async def form(self) -> Mapping[str, str]:
        """Return the field; an old secret serves on while it cannot be read again. Raises ConnectorUnavailable."""
        if not 0 <= self._now() - self._read_at < FRESH:
            await self._read()
        if self._known is None:
            raise ConnectorUnavailable(self._problem)
        return {"client_secret": self._known.get_secret_value()}

    async def renewed(self) -> bool:
        """Read it again; tell whether it is another one."""
        refused = self._known
        await self._read()
        return self._known != refused

    async def _read(self) -> None:
        try:
            found = await self._source.read()
        except AwsUnavailable as problem:
            self._problem = problem.code[:LONGEST_CODE]
            log.warning("app_secret_unavailable", code=self._problem)
            return
        if self._known not in {None, found}:
            log.info("app_secret_changed")
        self._known, self._read_at = found, self._now()
