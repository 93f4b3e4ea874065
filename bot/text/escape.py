"""The one place where text from outside (reasons, tags, names, comments) is made harmless to show.

It knows what clients do with text; it must not know which text is shown where.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from bot.text.invisible import UNSHOWABLE, strip_invisible

_BREAK = "\u200b"  # zero width space: invisible, and no client reads across it

# A TextRun renders neither Markdown nor HTML; the one live thing in it is {{DATE(…)}} and {{TIME(…)}}.
# https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features
_LIVE = re.compile(
    r"\r\n?|[\u2028\u2029\x85]"  # line ends that clients disagree about
    r"|\{(?=\{)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"  # control characters
    r"|[\u202a-\u202e\u2066-\u2069]"  # overrides that make text read in another order than it is written
    r"|[\ud800-\udfff\ufffe\uffff]"  # halves of characters, which no client can decode
)
_LINE_ENDS = frozenset("\r\u2028\u2029\x85")

# Where a client reads Markdown, HTML, SSML or <at>: the full-width twin looks alike and means nothing. An underscore
# within a word means nothing anyway. Addresses become links by themselves.
_MARKUP = re.compile(r"[<>&\[\]*`~\\#|]|(?<![^\W_])_|_(?![^\W_])|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)


def escape(text: str) -> str:
    """Return the text as a TextRun or an input can show it, with nothing left that a client would act upon."""
    if text.isprintable() and "{{" not in text:
        return text  # nearly always: everything else in _LIVE is not printable
    return _LIVE.sub(_harmless, text)


def sanitize(text: str) -> str:
    """Return text from outside as people see it: nothing live, nothing invisible, no flood of accents."""
    return escape(strip_invisible(text))


def plain_text(text: str) -> str:
    """Return the text for other programs: terminals and log viewers act upon control characters and overrides."""
    return sanitize(text).replace(_BREAK, "")


def escape_json(document: str) -> str:
    """Return a JSON document that means the same and in which a terminal finds nothing to act upon.

    JSON itself escapes the control characters below U+0020 alone: not CSI in one character (U+009B), no overrides.
    """
    if document.isascii() and "\x7f" not in document:
        return document
    return "".join(json.dumps(each)[1:-1] if _acts(each) else each for each in document)


def _acts(character: str) -> bool:
    category = unicodedata.category(character)
    return category in {"Zl", "Zp"} or (category[0] == "C" and character != "\n")


def _harmless(found: re.Match[str]) -> str:
    mark = found[0]
    if mark == "{":
        return mark + _BREAK
    return "\n" if mark[0] in _LINE_ENDS else UNSHOWABLE


def strip_markup(text: str) -> str:
    """Return one line that stays literal even where Markdown, HTML or SSML is read (fallback text, mentions)."""
    return _MARKUP.sub(_twin, one_line(text))


def _twin(found: re.Match[str]) -> str:
    return chr(ord(found[0]) + 0xFEE0) if found[0] else _BREAK


def one_line(text: str, limit: int | None = None) -> str:
    """Return the text without line ends or doubled blanks, cut to `limit` characters."""
    line = " ".join(sanitize(text).split())
    return line if limit is None else cut(line, limit)


@dataclass(frozen=True, slots=True)
class Prose:
    """A longer text as it is shown: its lines, and whether that is not all of it."""

    lines: tuple[str, ...] = ()
    shortened: bool = False


def prose(text: str, *, limit: int, most: int = 12) -> Prose:
    """Return the text's lines, at most `limit` characters and `most` lines in all; blank lines are left out.

    Words that clients would not wrap go on in the next line. (A browser's address bar takes such an address as one.)
    """
    whole = sanitize(text).strip()
    wrapped = _divided(cut(whole, limit), _PROSE_WIDTH, "\n")
    kept = tuple(line.strip() for line in wrapped.split("\n") if line.strip())
    if len(kept) > most:
        return Prose((*kept[: most - 1], "…"), shortened=True)
    return Prose(kept, shortened=len(whole) > limit)


def wrappable(line: str) -> str:
    """Let long words of a line be wrapped wherever that is needed, by invisible marks."""
    return _divided(line, _NAME_WIDTH, _BREAK)


# Teams' desktop client clips a word that is wider than its column instead of wrapping it: nobody would see the rest.
_PROSE_WIDTH = 44  # characters that fit the narrowest card of a desktop
_NAME_WIDTH = 34  # characters that fit the value column of such a card
# What clients do not wrap: all but blanks, Han, kana, Hangul and emoji; after a single hyphen they do.
_UNWRAPPED = (
    r"(?:[^\s\-\u200b\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U0001f000-\U0001faff"
    r"\U00020000-\U0003ffff]|-(?=-))"
)


def _divided(text: str, width: int, mark: str) -> str:
    return re.sub(f"{_UNWRAPPED}{{{width + 1},}}", lambda word: mark.join(_pieces(word[0], width)), text)


def _pieces(word: str, width: int) -> Iterator[str]:
    while len(word) > width:
        at = _place_to_divide(word, width)
        yield word[:at]
        word = word[at:]
    yield word


def _place_to_divide(word: str, width: int) -> int:
    """Return after how many characters: after punctuation, unless the piece would be short; never before an accent."""
    after_mark = max((place for place in range(width // 2, width + 1) if word[place - 1] in "/.:@_=&,;"), default=width)
    while after_mark > 1 and _joins(word[after_mark]):
        after_mark -= 1
    return after_mark


def cut(text: str, limit: int) -> str:
    """Shorten to `limit` characters, the visible … included; never between a character and its combining marks."""
    if len(text) <= limit:
        return text
    end = limit - 1
    while end > 0 and _joins(text[end]):
        end -= 1
    return text[:end].rstrip() + "…"


def _joins(character: str) -> bool:
    """True for what belongs to the character before it: accents, variation selectors, joiners, skin tones."""
    joined = unicodedata.category(character) in {"Mn", "Me", "Mc", "Cf"}
    return joined or 0x1F3FB <= ord(character) <= 0x1F3FF
