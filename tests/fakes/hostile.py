"""Hostile text for reasons, tags and names, and views with such text in every place for text from outside."""

import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")

SNIPPETS = (
    # Markdown
    "**bold**", "*it*", "__b__", "_i_", "~~s~~", "`code`", "# Approved", "## h", "> quote", "- item", "1. one", "---",
    "[x](https://evil.example.com)", "![i](https://evil.example.com/i.png)", "[x]: https://evil.example.com",
    "[x][1]", "<https://evil.example.com>", "|a|b|\n|-|-|\n|c|d|", "```\ncode\n```", "\\*esc\\*", "&amp;", "&#60;at&#62;",
    "https://evil.example.com/?a=b&c=d", "www.evil.example.com", "mailto:a@example.com", "tel:117", ":smile:",
    # HTML, mentions
    "<b>b</b>", "<img src=x onerror=\"window.live=1\">", "<script>window.live=1</script>", "<svg onload=window.live=1>",
    "<a href='javascript:window.live=1'>x</a>", "<iframe src=https://evil.example.com></iframe>", "<!--", "-->", "</p>",
    "<at>everyone</at>", "</at><at>all</at>", "<at id=\"0\">x</at>", "@everyone", "@channel", "＠全員", "<speak>", "]]>",
    # templates, text functions, formats
    "${reason}", "${$root.key}", "$${x}", "\\${x}", "{{DATE(2026-11-30T05:19:00Z, SHORT)}}",
    "{{TIME(2026-11-30T05:19:00Z)}}", "{{{DATE(2026-11-30T05:19:00Z)}}}", "{", "{{", "}}", "{who}", "{0}", "%s", "%(x)s",
    "\"},{\"type\":\"Image\",\"url\":\"x\"", "\\u003cat\\u003e", "null", "'", "\"", "\\", "\\n", "$(id)", "`id`", "; rm -rf /",
    # lines, blanks
    "\n", "\r\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\t", " ", "\xa0", "\u3000", "\u2003", "\u200a",
    # direction, control, invisible
    "\u202e", "\u202d", "\u202a", "\u202c", "\u2066", "\u2067", "\u2069", "\u200e", "\u200f", "\u061c", "\x00", "\x07",
    "\x08", "\x1b[31m", "\x1b]8;;https://evil.example.com\x07x\x1b]8;;\x07", "\x7f", "\x9b", "\u200b", "\u200c", "\u200d",
    "\u2060", "\ufeff", "\xad", "\u034f", "\u180e", "\u3164", "\u2800", "\U000e0061\U000e0062", "\U000e007f", "\ufe0f",
    "\U000e0100", "\U000e01ef", "\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\ufdd0", "\U0010ffff",
    # halves of characters, accents, scripts, emoji
    "\ud83d", "\ude00", "\udc80", "e\u0301", "z" + "\u0335\u0336\u0337\u0338\u0321\u0322\u0327\u0328\u0489" * 3,
    "\u0301", "\u20dd", "क्\u200dष", "می\u200cخواهم", "שָׁלוֹם", "العربية", "ภาษาไทย", "Việt Nam", "ﷺ", "葛\U000e0100城",
    "👨\u200d👩\u200d👧", "👍🏽", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🇯🇵", "1️⃣", "😀",
    # words
    "決済 API の 5xx", "web-prod-01", "Alex", "調査します", "x" * 90, "あ" * 60, "𝐀" * 50, "—" * 50, "a/b" * 30, "…",
)  # fmt: skip


def texts(seed: int, count: int, *, longest: int = 120) -> Iterator[str]:
    """Yield hostile texts of at most `longest` characters: snippets mixed with any Unicode characters. Seeded."""
    dice = random.Random(seed)
    for _ in range(count):
        parts = [_anything(dice) if dice.random() < 0.3 else dice.choice(SNIPPETS) for _ in range(dice.randint(1, 9))]
        yield "".join(parts)[:longest]


def _anything(dice: random.Random) -> str:
    return "".join(
        chr(dice.randrange(dice.choice((0x250, 0x3000, 0x10000, 0x110000)))) for _ in range(dice.randint(1, 6))
    )


# Texts of a view that do not come from outside. All its other texts are replaced.
FIXED = frozenset({
    "CardView.key", "CardView.step", "DirectView.key",  # ids in the data of buttons, which are not shown
    "CardView.console_url", "DirectView.commands", "DirectView.powershell",  # made from ids only
    "CardView.region_name", "DirectView.region_name",  # from data files of botocore
    "CardView.link", "NoteView.link", "RequestLine.link",  # made from ids, which are quoted
    # made from a Region, settings and the quoted id of a session
    "UsageLine.sessions_url", "EndingLine.sessions_url", "SessionLink.url",
    "CardView.home_problem",  # a code of the product
    "SetupView.toml",  # made from a conversation's id
    "Mention.id",  # an id from the roster
})  # fmt: skip


def filled(value: T, text: str) -> T:
    """Return a view with this text in every place for text from outside. Empty places stay empty."""
    return value if value is None else _filled(value, text)


def _filled(value: Any, text: str) -> Any:
    match value:
        case str() if not isinstance(value, Enum):
            return text if value else value
        case tuple():
            return tuple(_filled(each, text) for each in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            changes = {name: _filled(getattr(value, name), text) for name in _places(type(value))}
            return replace(value, **changes)
        case _:
            return value


@cache
def _places(kind: type) -> tuple[str, ...]:
    hints = get_type_hints(kind)
    return tuple(
        each.name
        for each in fields(kind)
        if f"{kind.__name__}.{each.name}" not in FIXED and hints[each.name] is not bool
    )
