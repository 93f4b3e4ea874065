"""The port to the place where node-access.toml is kept."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object in Amazon S3."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of node-access.toml. `version` names them, if the place keeps versions."""

    raw: bytes
    version: str | None = None


class SourceUnreadable(Exception):
    """node-access.toml cannot be read. `code` is the cause; `advice` is one line with the place and what to do."""

    def __init__(self, code: str, advice: str) -> None:
        super().__init__(advice)
        self.code, self.advice = code, advice


class ConfigurationSource(Protocol):
    """The place where node-access.toml is kept. It remembers what it has returned."""

    @property
    def name(self) -> str:
        """The name of the file or object in log lines and problems: one printable line."""

    @property
    def period(self) -> float:
        """The seconds between two reads."""

    async def read(self) -> Content | None:
        """Return the content to check now; None while it is the one that the last call returned.

        Raises SourceUnreadable. A later call that can read returns the content, even if it is an earlier one.
        """
