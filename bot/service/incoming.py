"""A message that a person wrote to the bot, and which command it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import regex

from bot.domain.identity import Person
from bot.domain.shown.replies.commands import BotCommand
from bot.rendering.command_names import COMMAND_NAMES
from bot.text.names import caseless

_COMMANDS: Final[Mapping[tuple[str, ...], BotCommand]] = {
    tuple(caseless(name).split()): command for names in COMMAND_NAMES.values() for command, name in names.items()
}
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")
# In a folded text. Keyboards and Word write other dashes for the hyphen, a Japanese keyboard the mark of a long vowel.
_ID = regex.compile(r"(?<![0-9a-z])oi[\p{Pd}\u2212\u30fc]([0-9a-f]{12})(?![0-9a-z])")
_DAYS = regex.compile(r"(?:^|\s)([0-9]{1,4})\s*(?:d|days?|日間?)?$")
_AROUND: Final = " \t:;,、。.!?「」『』()\"'`“”*"  # marks around an argument, in a folded text


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message to the bot, without mentions. `text` is a command and its argument, as a person types them."""

    text: str
    person: Person
    conversation: str
    personal: bool
    locale: str | None = None  # locale of the person's client, if the bot supports it
    timezone: str | None = None  # time zone of the person's client, if it is known

    @property
    def first_word(self) -> str:
        """The first word, as the person wrote it; empty in an empty message."""
        return next(iter(self.text.split(maxsplit=1)), "")

    @property
    def rest(self) -> str:
        """The text after the first word."""
        return "".join(self.text.split(maxsplit=1)[1:])

    @property
    def request_id(self) -> str | None:
        """The first id of a request in the text, or None."""
        found = _ID.search(caseless(self.text))
        return f"oi-{found[1]}" if found else None

    def command(self) -> BotCommand | None:
        """Return the command whose name the text begins with, or None. A text without words asks for help.

        Punctuation around the name does not count. For a text that begins with a request's id, return STATUS.
        """
        text = caseless(self.text)
        word = _WORD.search(text)
        if word is None:
            return BotCommand.HELP
        if _ID.match(text, word.start()):
            return BotCommand.STATUS
        return _named(text)[0]

    def search(self) -> tuple[str, int | None]:
        """Return what follows the name of the command: a node or a person, and a number of days; "" and None without.

        The text is folded as for comparisons.
        """
        argument = _named(caseless(self.text))[1].strip(_AROUND)
        days = _DAYS.search(argument)
        term = argument[: days.start()].strip(_AROUND) if days else argument
        return term, int(days[1]) if days else None


def _named(text: str) -> tuple[BotCommand | None, str]:
    """Return the command whose name a folded text begins with, and the text after it; None and "" for any other text.

    Japanese has no blanks, so a Japanese name may be followed by anything. What follows it without a blank is an
    argument only if it is no Japanese word.
    """
    words = list(_WORD.finditer(text))
    for name, command in _COMMANDS.items():
        if tuple(word[0] for word in words[: len(name)]) == name:
            return command, text[words[len(name) - 1].end() :]
    for (first, *_), command in _COMMANDS.items():
        if words and not first.isascii() and words[0][0].startswith(first):
            after = text[words[0].start() + len(first) :]
            return command, after if after[:1].isascii() else text[words[0].end() :]
    return None, ""
