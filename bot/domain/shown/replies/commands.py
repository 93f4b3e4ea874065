"""The commands that people write to the bot. `bot/rendering/command_names.py` has their names in each language.

The help card, the app package and `service/commands.py` use this table, so that none of them lacks a command.
"""

from enum import StrEnum
from typing import Final


class BotCommand(StrEnum):
    """A command by its English name. Lists show the commands in this order."""

    PENDING = "pending"
    STATUS = "status"
    MY_REQUESTS = "my requests"
    HISTORY = "history"
    SETUP = "setup"
    HELP = "help"


_ONLY_IN_CHANNELS: Final = frozenset({BotCommand.SETUP})


def commands_of(*, personal: bool) -> tuple[BotCommand, ...]:
    """Return the commands that can be used in a personal chat if `personal`, and in a channel otherwise."""
    return tuple(command for command in BotCommand if not (personal and command in _ONLY_IN_CHANNELS))
