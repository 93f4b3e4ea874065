"""The names of the commands in each language, from the words `command.<name>` of cards/locales/*.json."""

from collections.abc import Mapping
from typing import Final

from bot.domain.shown.replies.commands import BotCommand
from bot.rendering.i18n import LOCALES, Localizer


def _names(locale: str) -> Mapping[BotCommand, str]:
    say = Localizer(locale, "UTC")
    return {command: say.text(f"command.{command.name.lower()}") for command in BotCommand}


COMMAND_NAMES: Final[Mapping[str, Mapping[BotCommand, str]]] = {locale: _names(locale) for locale in LOCALES}
"""The names by locale. Every name is understood in every locale."""


def command_line(command: BotCommand, *, locale: str) -> str:
    """Return the command as a person writes it, with its argument: "status oi-…". Raises KeyError for no locale."""
    say, argument = Localizer(locale, "UTC"), f"command_argument.{command.name.lower()}"
    return " ".join([COMMAND_NAMES[locale][command], *([say.text(argument)] if say.has(argument) else [])])
