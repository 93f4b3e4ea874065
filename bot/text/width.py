"""Measures how much room a text takes on a narrow screen, and begins a long one. It must not know cards."""

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from bot.text.escape import cut

_WIDE: Final = frozenset("WF")  # East Asian wide and full-width characters
_NONE: Final = frozenset({"Mn", "Me", "Cf"})  # accents, and invisible characters such as marks for wrapping
LINE: Final = 36  # letters on a line of 256 px in Teams' usual size; Chinese and Japanese characters count two


def width(text: str) -> int:
    """Return the room of a text in letters, by the East Asian width of each character (Unicode Annex 11)."""
    return len(text) if text.isascii() else sum(map(_room, text))


def _room(character: str) -> int:
    if unicodedata.category(character) in _NONE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def beginning(lines: Sequence[str], rows: int, *, most: int) -> str | None:
    """Return the first `rows` rows of LINE of a text, ending in "…"; None if the text takes at most `most` rows.

    The text is cut at the end of a word if one ends in the last of these rows.
    """
    if sum(max(1, math.ceil(width(line) / LINE)) for line in lines) <= most:
        return None
    text, room = " ".join(lines), rows * LINE - 8
    taken = list(accumulate(map(_room, text)))
    fitting = min(max(bisect_right(taken, room), 1), len(text) - 1)
    blank = text.rfind(" ", 0, fitting)
    at_word = blank > 0 and taken[blank] > room - LINE
    return cut(text, blank + 1 if at_word else fitting)
