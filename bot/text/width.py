"""Measures how much room a text takes on a narrow screen, and begins a long one. It must not know cards."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Final

from bot.text.escape import cut

_WIDE: Final = frozenset("WF")  # East Asian wide and full-width characters
_NONE: Final = frozenset({"Mn", "Me", "Cf"})  # accents, and invisible characters such as marks for wrapping
LINE: Final = 36  # letters on a line of 256 px in Teams' usual size; Chinese and Japanese characters count two


def width(text: str) -> int:
    """Return the room of a text in letters, by the East Asian width of each character (Unicode Annex 11)."""
    shown = (each for each in text if unicodedata.category(each) not in _NONE)
    return sum(2 if unicodedata.east_asian_width(each) in _WIDE else 1 for each in shown)


def beginning(lines: Sequence[str], rows: int, *, most: int) -> str | None:
    """Return the first `rows` rows of LINE of a text, ending in "…"; None if the text takes at most `most` rows."""
    if sum(max(1, math.ceil(width(line) / LINE)) for line in lines) <= most:
        return None
    text, room = " ".join(lines), rows * LINE - 8
    fitting = next((end for end in range(len(text), 0, -1) if width(text[:end]) <= room), 1)
    return cut(text, min(fitting, len(text) - 1))
