"""Which AWS accounts are watched; the shape of [[accounts]] in node-access.toml."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account and its Regions.

    `reader_role`: the ARN of the role in which it is read; None: the bot's own credentials. `cancel_role`: that of the
    role in which its requests are cancelled for their requesters; None: nobody can from Teams.
    """

    id: str
    regions: tuple[str, ...]
    reader_role: str | None = None
    cancel_role: str | None = None
