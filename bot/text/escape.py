"""Makes text from outside (reasons, tags, names, comments) safe to show in cards, messages and terminals.

It knows how Teams clients interpret text. It must not know which text is shown where.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import regex

from bot.text.invisible import OVERRIDES, UNSHOWABLE, strip_invisible

# Clients clip a word that is wider than its column instead of wrapping it, so the rest is invisible. The narrowest card
# is 320 pixels wide, as on a phone; make gallery measures it. Words in capitals need the most space.
VALUE_WIDTH: Final = 20  # characters that fit the value column of such a card
LINE_WIDTH: Final = 36  # characters of small monospaced text that fit the whole width of such a card: a UUID
_PROSE_WIDTH = 28  # characters that fit a box in such a card
_BREAK = "\u200b"  # zero width space: invisible, and no client joins the text on both sides of it

# A TextRun renders neither Markdown nor HTML. It evaluates only {{DATE(…)}} and {{TIME(…)}}.
# https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features
_LIVE = regex.compile(
    r"(?V1)\r\n?|[\u2028\u2029\x85]"  # line ends that clients disagree about
    r"|\{(?=\{)"
    rf"|[\p{{Cc}}--[\t\n]]|{OVERRIDES}"
    r"|[\p{Cs}\p{Noncharacter_Code_Point}]"  # surrogates and noncharacters: clients cannot decode them
)
_LINE_ENDS = frozenset("\r\u2028\u2029\x85")
_ACTING = regex.compile(r"(?V1)[[\p{C}\p{Zl}\p{Zp}]--\n]")

# Markup of Markdown, HTML, SSML and <at>. Full-width characters look like it, but have no meaning to clients. An
# underscore inside a word is not markup. The last two alternatives are in addresses, which clients turn into links.
_MARKUP = regex.compile(r"[<>&\[\]*`~\\#|]|(?<![^\W_])_|_(?![^\W_])|(?<=:)(?=//)|(?<=www)(?=\.)", regex.IGNORECASE)


def escape(text: str) -> str:
    """Return the text without anything that clients evaluate or cannot show, for a TextRun or an input field."""
    if "{{" not in text and (text.isprintable() or _without_marks(text).isprintable()):
        return text  # nearly all texts: every other character that _LIVE matches is not printable
    return _LIVE.sub(_harmless, text)


def _without_marks(text: str) -> str:
    """Return the text without the marks that keep or divide lines of a card. They are not printable, but harmless."""
    return text.replace(_BREAK, "").replace("\N{NO-BREAK SPACE}", "").replace("\N{WORD JOINER}", "")


def sanitize(text: str) -> str:
    """Return the text without anything that clients evaluate, that readers cannot see, or that covers other lines."""
    return escape(strip_invisible(text))


def plain_text(text: str) -> str:
    """Return the text for terminals and log viewers, which interpret control characters and direction overrides."""
    return sanitize(text).replace(_BREAK, "")


def escape_json(document: str) -> str:
    """Return an equivalent JSON document that is safe to print in a terminal.

    JSON escapes only the control characters below U+0020. Terminals also interpret U+009B and direction overrides.
    """
    if document.isascii() and "\x7f" not in document:
        return document
    return _ACTING.sub(lambda found: json.dumps(found[0])[1:-1], document)


def _harmless(found: regex.Match[str]) -> str:
    mark = found[0]
    if mark == "{":
        return mark + _BREAK
    return "\n" if mark[0] in _LINE_ENDS else UNSHOWABLE


def strip_markup(text: str) -> str:
    """Return one line that clients show unchanged although they interpret Markdown, HTML or SSML.

    Fallback texts and mentions need this. Full-width characters replace the markup.
    """
    return _MARKUP.sub(_twin, one_line(text))


def _twin(found: regex.Match[str]) -> str:
    return chr(ord(found[0]) + 0xFEE0) if found[0] else _BREAK


def one_line(text: str, limit: int | None = None) -> str:
    """Return the text without line ends or repeated blanks, cut to `limit` characters."""
    line = " ".join(sanitize(text).split())
    return line if limit is None else cut(line, limit)


@dataclass(frozen=True, slots=True)
class Prose:
    """A text of several lines for a card, and whether it was shortened."""

    lines: tuple[str, ...] = ()
    shortened: bool = False


def prose(text: str, *, limit: int, most: int = 12) -> Prose:
    """Return the text's lines: at most `limit` characters and `most` lines in total, without blank lines.

    A word that is too long for one line continues in the next. (A browser's address bar joins a divided address again.)
    """
    whole = sanitize(text).strip()
    wrapped = _divided(cut(whole, limit), _PROSE_WIDTH, "\n")
    kept = tuple(line.strip() for line in wrapped.split("\n") if line.strip())
    if len(kept) > most:
        return Prose((*kept[: most - 1], "…"), shortened=True)
    return Prose(kept, shortened=len(whole) > limit)


def wrappable(line: str, width: int = VALUE_WIDTH) -> str:
    """Insert invisible marks (U+200B) into words that are longer than a column, so that clients can wrap them.

    Marks stay in a text that is copied, so ids need a column that is wide enough for them.
    """
    return _divided(line, width, _BREAK)


def unwrapped(text: str) -> str:
    """Remove the marks of `wrappable` from a text that was copied from a card."""
    return text.replace(_BREAK, "")


# Clients break a line between Han, kana, Hangul and emoji, at blanks, and after a single hyphen before a letter.
_WRAPPED = r"\p{lb=ID}\p{lb=CJ}\p{lb=EB}\p{lb=EM}\p{ea=F}[\p{ea=W}--\p{Cn}]"  # properties lb: line break, ea: width
_UNWRAPPED = rf"(?V1)(?:[^\s\-\u200b{_WRAPPED}]|-(?=[\-\p{{Nd}}]))"
_WHOLE = regex.compile(r"\X")  # a character with its accents, or an emoji with all its parts


@cache
def _long_words(width: int) -> re.Pattern[str]:
    return re.compile(rf"[\S\x1c-\x1f]{{{width + 1},}}")  # four controls are space to `re`, but not to `regex`


@cache
def _unwrapped_parts(width: int) -> regex.Pattern[str]:
    return regex.compile(f"{_UNWRAPPED}{{{width + 1},}}")


def _divided(text: str, width: int, mark: str) -> str:
    """Put the mark into each part of a text that clients do not wrap and that is longer than the width."""
    if len(text) <= width:
        return text
    parts = _unwrapped_parts(width)

    def divided(part: regex.Match[str]) -> str:
        return mark.join(_pieces(part[0], width))

    # most words are short; `re` skips them ten times faster than `regex`
    return _long_words(width).sub(lambda word: parts.sub(divided, word[0]), text)


def _pieces(word: str, width: int) -> Iterator[str]:
    while len(word) > width:
        at = _place_to_divide(word, width)
        yield word[:at]
        word = word[at:]
    yield word


def _place_to_divide(word: str, width: int) -> int:
    """Return where to divide a word: after punctuation, unless the piece would be short.

    Not before an accent or inside an emoji, unless the whole piece is one character.
    """
    places = range(width, width * 2 // 3 - 1, -1)
    after_mark = next((place for place in places if word[place - 1] in "/.:@_=&,;-"), width)
    return _whole(word, after_mark) or after_mark


def cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters including the "…", without dividing an accented character or an emoji."""
    return text if len(text) <= limit else text[: _whole(text, limit - 1)].rstrip() + "…"


def _whole(text: str, limit: int) -> int:
    """Return the last position up to `limit` that does not separate a character from its accents or divide an emoji."""
    if text[: limit + 1].isascii() and "\r" not in text:
        return min(limit, len(text))  # most texts: of ASCII, only CR and LF belong together
    end = 0
    for found in _WHOLE.finditer(text):
        if found.end() > limit:
            break
        end = found.end()
    return end
