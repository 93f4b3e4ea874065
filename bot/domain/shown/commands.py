"""The commands that people write to the bot, with their names in each language.

The help card, the app package and `service/commands.py` use this table, so that none of them lacks a command.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class BotCommand(StrEnum):
    """A command by its English name. Lists show the commands in this order."""

    PENDING = "pending"
    STATUS = "status"
    SETUP = "setup"
    HELP = "help"


COMMAND_NAMES: Final[Mapping[str, Mapping[BotCommand, str]]] = {
    "en": {command: command.value for command in BotCommand},
    "ja": {
        BotCommand.PENDING: "承認待ち",
        BotCommand.STATUS: "状態",
        BotCommand.SETUP: "設定",
        BotCommand.HELP: "ヘルプ",
    },
}
"""The names by locale. Every name is understood in every locale."""
ARGUMENTS: Final[Mapping[BotCommand, str]] = {BotCommand.STATUS: "oi-…"}
"""What a person writes after the name of a command."""
_ONLY_IN_CHANNELS: Final = frozenset({BotCommand.SETUP})


def commands_of(*, personal: bool) -> tuple[BotCommand, ...]:
    """Return the commands that can be used in a personal chat if `personal`, and in a channel otherwise."""
    return tuple(command for command in BotCommand if not (personal and command in _ONLY_IN_CHANNELS))


def command_line(command: BotCommand, *, locale: str) -> str:
    """Return the command as a person writes it, for example "status oi-…". Raises KeyError for an unknown locale."""
    return " ".join(filter(None, (COMMAND_NAMES[locale][command], ARGUMENTS.get(command))))
