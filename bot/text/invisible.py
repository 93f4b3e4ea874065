"""Takes out of a text what nobody sees, and what writes over its neighbours; scripts and emoji keep what they need.

Invisible characters hide words from readers and make two names look alike; piled-up accents cover other lines. It must
not know markup, clients or cards.
"""

import re
import unicodedata
from typing import Final

UNSHOWABLE: Final = "\ufffd"
_MOST_MARKS: Final = 4  # on one character: Hebrew's letter with point, vowel, accent and stress has the most

# Nothing in these needs a closer look: Latin, Greek, Cyrillic, punctuation, kana, Han, Hangul, full-width forms.
_ORDINARY: Final = re.compile(
    "[\x00-\x7f\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u2010-\u2027\u2030-\u205e\u3000-\u3029\u3030-\u3098\u309b-\u3130"
    "\u3190-\ua4ff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff9f]*"
)
# The three flags that are spelt with tags; any other use of these characters only hides text.
# https://unicode.org/reports/tr51/#Emoji_Tag_Sequences
_FLAGS: Final = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_UNSEEN: Final = re.compile(
    f"(?P<flag>{_FLAGS})"
    "|(?P<hidden>[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]+)"  # tags, and what is reserved beside them
    "|(?P<blank>[\xa0\u1680\u2000-\u200a\u202f\u205f\u115f\u1160\u2800\u3164\uffa0])"  # like a blank, but unwrapped
    "|(?P<format>[\xad\u034f\u061c\u17b4\u17b5\u180e\u200b\u200e\u200f\u2060-\u2065\u206a-\u206f\ufeff\ufff0-\ufffb"
    "\U000110bd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a])"
)
# Between letters of these scripts, and between emoji, a joiner changes what is seen.
_JOINED: Final = (
    "\u0600-\u18af\u1a20-\u1aaf\u1b00-\u1bff\ua800-\uabff\U00010a00-\U00010a5f\U00010d00-\U00010d3f"
    "\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
_EMOJI: Final = (
    "\xa9\xae\u203c\u2049\u20e3\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\ufe0f\U0001f000-\U0001faff"
)
_NEEDLESS_JOINER: Final = re.compile(
    f"(?<![{_JOINED}{_EMOJI}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}{_EMOJI}])"
    # a variation selector chooses among pictures of symbols, digits and Han, and of no other letter
    f"|(?<![0-9#*{_JOINED}{_EMOJI}\u2010-\u205e\u3400-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff])"
    "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
    "|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_JOINERS: Final = frozenset("\u200c\u200d")


def strip_invisible(text: str) -> str:
    """Return the text with nothing in it that a reader cannot see; hidden words leave a visible mark."""
    if _ORDINARY.fullmatch(text):
        return text  # nearly always
    return _NEEDLESS_JOINER.sub("", _without_floods(_UNSEEN.sub(_visible, text)))


def _visible(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "flag":
            return found[0]
        case "hidden":
            return UNSHOWABLE
        case "blank":
            return " "
        case _:
            return ""


def _without_floods(text: str) -> str:
    """Leave out accents that have no character to stand on, and those beyond what any script piles up."""
    kept: list[str] = []
    marks = _MOST_MARKS  # nothing to stand on yet
    for character in text:
        if unicodedata.category(character) in {"Mn", "Me"}:
            if marks >= _MOST_MARKS:
                continue
            marks += 1
        elif character not in _JOINERS:  # a joiner does not begin a new character
            marks = _MOST_MARKS if character.isspace() else 0
        kept.append(character)
    return "".join(kept)
