"""Tests for bot.text: text from outside has no active markup or invisible characters, and fits into a card."""

import re
import sys
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from bot.text.escape import Prose, cut, escape, one_line, prose, sanitize, strip_markup, wrappable


def test_escape_separates_the_braces_of_a_text_function() -> None:
    """A TextRun shows `{{DATE(…)}}` as a date. The braces are separated, so that nothing is evaluated."""
    assert escape("{{{DATE(x)}}") == "{\u200b{\u200b{DATE(x)}}"


@pytest.mark.parametrize(
    "text", ["決済 API の 5xx *至急* [x](https://example.com) <at>all</at>", "👨‍👩‍👧 é\u0301 שלום", "a\n\tb"]
)
def test_escape_does_not_change_text_without_functions_and_misleading_characters(text: str) -> None:
    """Markdown, HTML, emoji, accents and right-to-left text stay as they were written."""
    assert escape(text) == text


@pytest.mark.parametrize("mark", ["\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\ud800", "\ufffe", "\ufdd0"])
def test_escape_replaces_misleading_characters_by_a_replacement_character(mark: str) -> None:
    """U+FFFD replaces control characters, broken characters, and characters that reverse the reading direction."""
    assert escape(f"a{mark}b") == "a\ufffdb"


@pytest.mark.parametrize("end", ["\r\n", "\r", "\u2028", "\u2029", "\x85"])
def test_escape_converts_every_line_end_to_a_newline(end: str) -> None:
    """Unicode has several characters that end a line."""
    assert escape(f"a{end}b") == "a\nb"


@given(st.text(st.characters()))
def test_escaped_text_is_safe_and_stable(text: str) -> None:
    """The result has nothing that clients evaluate, it can be encoded, and a second pass does not change it."""
    once = escape(text)
    once.encode()
    assert not re.search(r"\{\{|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", once)
    assert escape(once) == once


def test_strip_markup_replaces_markup_by_lookalikes() -> None:
    """Where a client parses Markdown, HTML or SSML, full-width characters replace the markup."""
    shown = strip_markup("<at>all</at>\n[x](https://example.com) **b**")
    assert not set(shown) & set("<>[]*\n")
    assert "://" not in shown
    assert unicodedata.normalize("NFKC", shown).startswith("<at>all</at> [x]")


def test_one_line_removes_line_ends() -> None:
    """A name with a line end cannot look like an additional line."""
    assert one_line(" web\r\n\u2028 prod\t01 ") == "web prod 01"
    assert one_line("abcdef", 4) == "abc…"


def test_cut_text_ends_in_an_ellipsis_and_keeps_characters_whole() -> None:
    """A shortened text ends in "…". The cut is never between a character and its accent, or inside an emoji."""
    assert cut("abcd", 4) == "abcd"
    assert cut("abcde", 4) == "abc…"
    assert cut("abe\u0301f", 4) == "ab…"
    assert cut("ab👍🏽x", 4) == "ab…"
    assert cut("ab👨\u200d👩\u200d👧x", 7) == "ab…"


@given(st.text(), st.integers(min_value=1, max_value=20))
def test_cut_never_exceeds_its_limit(text: str, limit: int) -> None:
    """The "…" counts towards the limit."""
    assert len(cut(text, limit)) <= limit


def test_prose_is_limited_in_lines_and_marked_as_shortened() -> None:
    """Many line ends cannot make a card endless, and the reader sees that the text was shortened."""
    assert prose("a\n\n \nb\r\nc", limit=20) == Prose(("a", "b", "c"))
    assert prose("\n".join("abcdef"), limit=99, most=3) == Prose(("a", "b", "…"), shortened=True)
    assert prose("abcdef", limit=4) == Prose(("abc…",), shortened=True)
    assert prose("wait …", limit=6) == Prose(("wait …",))
    assert prose("", limit=10) == Prose()


def test_wrappable_adds_positions_to_wrap_only_to_long_words_with_separators() -> None:
    """Some clients would hide the end of a long word, so it gets positions at which it can wrap."""
    shown = wrappable("arn:aws:iam::111122223333:role/NodeAccessApprover/mei.suzuki@example.com and more")
    assert shown.split("\u200b") == [
        "arn:aws:iam::",
        "111122223333:role/",
        "NodeAccessApprover/",
        "mei.suzuki@example.",
        "com and more",
    ]
    assert (
        wrappable("E-commerce-Manual-Approval-Policy-of-the-Platform-Team")
        == "E-commerce-Manual-Approval-Policy-of-the-Platform-Team"
    )
    assert "\u200b" not in wrappable("決済" * 100)


def test_prose_divides_a_long_address_into_lines() -> None:
    """In prose, a long word is divided by line ends, so that copied text contains nothing invisible."""
    address = "https://wiki.example.com/a/long/path/to/a/page/about/the/node"
    assert prose(f"see {address} now", limit=256).lines == (
        "see https://wiki.example.com/a/",
        "long/path/to/a/page/about/",
        "the/node now",
    )
    assert "".join(prose("x" * 256, limit=256).lines) == "x" * 256


@pytest.mark.parametrize("filler", ["x", "-", "—", "𝐀", "x\u00a0", "→", "ﷺ"])
def test_prose_has_no_word_that_is_too_long_for_a_card(filler: str) -> None:
    """Clients clip what they cannot wrap, for example mathematical letters, dashes and non-breaking spaces."""
    for line in prose(filler * 200, limit=256).lines:
        assert all(len(word) <= 28 for word in line.split())


def test_wrappable_divides_ids_with_hyphens_before_digits() -> None:
    """Clients do not wrap a line there."""
    assert wrappable("4f2c8a1e-0f7d-4a53-9a3e-5d0a7b6c1e22").split("\u200b") == [
        "4f2c8a1e-0f7d-4a53-",
        "9a3e-5d0a7b6c1e22",
    ]
    assert "\u200b" not in wrappable("E-commerce-Manual-Approval-Policy")


@given(st.text(alphabet="ab/é\u0301あ -", max_size=200))
def test_wrappable_keeps_every_character(text: str) -> None:
    """Only wrapping marks are added, and no word stays too long."""
    shown = wrappable(text)
    assert shown.replace("\u200b", "") == text
    assert all(len(word) <= 20 for word in re.findall("[ab/é\u0301]+", shown))


@pytest.mark.parametrize(
    "text",
    [
        "👨‍👩‍👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 1️⃣ ✈️ 👍🏽 ©️",
        "葛\U000e0100城 辻\ufe00 か\u3099",
        "می\u200cخواهم क्\u200dष שָׁ֖לוֹם é\u0301 Việt ệ ภาษาไทย",
    ],
)
def test_sanitize_keeps_characters_that_scripts_and_emoji_need(text: str) -> None:
    """Joiners and selectors that change the drawn character stay, and as many accents as any script needs."""
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200bl\u200di\u200cc\ufeffe\u2060", "alice"),  # invisible characters, joiners between Latin letters
        ("web\xad-\u200eprod\u061c", "web-prod"),  # soft hyphen, marks of direction
        (
            "ok" + "".join(chr(0xE0000 + ord(letter)) for letter in "rm -rf"),
            "ok\ufffd",
        ),  # words hidden in tag characters
        (
            "🏴" + "".join(chr(0xE0000 + ord(letter)) for letter in "secret") + "\U000e007f",
            "🏴\ufffd",
        ),  # tag characters that form no flag
        ("a\ufe0f\ufe01b\U000e0130\U000e0131", "ab"),  # data hidden in selectors
        ("☎\ufe0f\ufe01\ufe02", "☎\ufe0f"),
        ("葛\U000e0100\u200d\u200d城", "葛\U000e0100城"),
        ("z\u0335\u0336\u0337\u0338\u0321\u0322\u0327 x", "z\u0335\u0336\u0337\u0338 x"),  # far too many accents
        ("क" + "\u0301\u200d" * 9, "क" + "\u0301" * 4),  # far too many accents with joiners in between
        ("\u0338\u0489root \u0338x", "root x"),  # accents without a letter of their own
        ("a\u3164\u2800b", "a  b"),  # letters that look like a blank
    ],
)
def test_sanitize_removes_or_replaces_invisible_characters(text: str, shown: str) -> None:
    """The result has no hidden words, no invisible differences, and no accents that cover other lines."""
    assert sanitize(text) == shown


@given(st.text(st.characters()))
def test_sanitized_text_is_stable(text: str) -> None:
    """A second pass does not change the text, and it has nothing that clients evaluate."""
    once = sanitize(text)
    assert sanitize(once) == once
    assert escape(once) == once


def test_sanitize_leaves_no_ignorable_character_between_letters() -> None:
    """Every character that Unicode calls ignorable is removed or replaced by a blank or a visible mark."""
    ignorable = [each for each in map(chr, range(sys.maxunicode + 1)) if _IGNORABLE.fullmatch(each)]
    assert len(ignorable) > 4_000
    assert {sanitize(f"a{each}b") for each in ignorable} == {"ab", "a b", "a\ufffdb"}


_IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("filler", ["\u200c", "\u200d", "\u0301", "\ufe0f", "\u0301\u200d", "\U000e0041"])
@pytest.mark.parametrize("start", ["क", "😀", "x", " "])
def test_sanitize_handles_long_invisible_text_within_the_time_limit(start: str, filler: str) -> None:
    """With a quadratic search, 50,000 invisible characters would exceed the time limit of the test."""
    assert len(sanitize(start + filler * 50_000)) < 100_000


def test_strip_markup_breaks_emphasis_by_underscores_and_addresses() -> None:
    """Emphasis by underscores and addresses that would become links are broken. Underscores inside names stay."""
    assert (
        strip_markup("_root_ of web_prod_01 on www.example.com") == "＿root＿ of web_prod_01 on www\u200b.example.com"
    )
