"""Removes characters that readers cannot see, and accents that cover other lines.

Invisible characters hide words from readers and make two names look alike. Characters that a script or an emoji
needs stay. Most classes are Unicode properties, so a new version of the library `regex` covers new characters.
This module must not know markup, clients or cards.
"""

from typing import Final

import regex

UNSHOWABLE: Final = "\ufffd"  # a visible mark in place of removed characters
# characters that display text in another order than the stored one
OVERRIDES: Final = r"[\p{Bidi_Control}--[\u061c\u200e\u200f]]"

_MOST_MARKS: Final = 4  # accents on one character: Hebrew's letter with point, vowel, accent and stress has the most
_MARK: Final = r"[\p{Mn}\p{Me}]"
_VOID: Final = r"\u2800\U00013441\U00013442\U0001d159"  # visible characters by their properties, but drawn blank
_BLANK_LETTER: Final = rf"[[\p{{Default_Ignorable_Code_Point}}&&\p{{L}}]{_VOID}]"  # Hangul's fillers, and _VOID

# A text without any of these characters is returned unchanged.
_SUSPECT: Final = regex.compile(
    rf"(?V1)[{_MARK}\p{{Default_Ignorable_Code_Point}}\p{{Cf}}[\p{{Zs}}--[ \u3000]]{_VOID}]"
)

# The three flags that are written with tag characters. In any other place, tag characters only hide text.
# https://unicode.org/reports/tr51/#Emoji_Tag_Sequences
_FLAGS: Final = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_INVISIBLE: Final = regex.compile(
    rf"(?V1)(?P<flag>{_FLAGS})"
    # tag characters, and the reserved characters of the same block
    r"|(?P<hidden>[[\U000e0000-\U000e0fff]--\p{Variation_Selector}]+)"
    rf"|(?P<blank>[\p{{Zs}}--[ \u3000]]|{_BLANK_LETTER})"  # unusual spaces, and letters that are drawn blank
    # Prepended_Concatenation_Mark: visible signs over numbers. The other exceptions are handled below and in escape.py.
    r"|(?P<format>[[\p{Default_Ignorable_Code_Point}\p{Cf}]"
    rf"--[\p{{Variation_Selector}}\p{{Join_Control}}\p{{Prepended_Concatenation_Mark}}{OVERRIDES}]])"
)
_FLOOD: Final = regex.compile(
    rf"(?V1)(?<!\S)[{_MARK}\p{{Join_Control}}]+"  # accents without a character below them
    rf"|{_MARK}(?<=(?:{_MARK}\p{{Join_Control}}*){{{_MOST_MARKS}}}{_MARK})"  # more accents than any script piles up
)

# Letters whose shape depends on a joiner beside them: cursive scripts (Arabic) and those with conjuncts (Devanagari).
_SHAPING: Final = (
    r"[[\p{Joining_Type=D}\p{Joining_Type=R}\p{Joining_Type=L}\P{Indic_Syllabic_Category=Other}]"
    r"--[\p{Common}\p{Join_Control}]]"
)
# Characters for which a variation selector chooses a variant. After any other character it only hides data.
# https://www.unicode.org/Public/UCD/latest/ucd/StandardizedVariants.txt
_VARIABLE: Final = (
    r"[\p{Emoji}\p{Extended_Pictographic}\p{Ideographic}\p{East_Asian_Width=F}\u2018\u2019\u201c\u201d\u3001\u3002"
    rf"{_SHAPING}]"
)
_NEEDLESS: Final = regex.compile(
    rf"(?V1)(?<!{_SHAPING}{_MARK}{{0,{_MOST_MARKS}}})\u200c|\u200c(?!{_SHAPING})"
    rf"|(?<!{_SHAPING}{_MARK}{{0,{_MOST_MARKS}}}|\p{{Extended_Pictographic}}\p{{Emoji_Modifier}}?\ufe0f?)\u200d"
    rf"|\u200d(?!{_SHAPING}|\p{{Extended_Pictographic}})"
    rf"|(?<!{_VARIABLE})\p{{Variation_Selector}}"
)
_VISIBLE: Final = regex.compile(rf"(?V1)[[\p{{L}}\p{{N}}\p{{P}}\p{{S}}]--{_BLANK_LETTER}]")


def is_visible(text: str) -> bool:
    """Return whether a reader sees at least one character of the text."""
    return _VISIBLE.search(text) is not None


def strip_invisible(text: str) -> str:
    """Return the text without characters that a reader cannot see, and without accents that cover other lines.

    Unusual spaces become ordinary ones. Words in tag characters leave a visible mark.
    """
    if text.isascii() or not _SUSPECT.search(text):
        return text  # nearly all texts
    return _NEEDLESS.sub("", _FLOOD.sub("", _INVISIBLE.sub(_replacement, text)))


def _replacement(found: regex.Match[str]) -> str:
    match found.lastgroup:
        case "flag":
            return found[0]
        case "hidden":
            return UNSHOWABLE
        case "blank":
            return " "
        case _:
            return ""
