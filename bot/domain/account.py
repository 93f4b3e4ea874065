"""Which AWS accounts are watched; the shape of [[accounts]] in node-access.toml."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account, its Regions, and the ARN of the role in which it is read; None: the bot's own credentials."""

    id: str
    regions: tuple[str, ...]
    reader_role: str | None = None
