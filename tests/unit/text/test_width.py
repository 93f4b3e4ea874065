"""Tests for the room that a text takes on a narrow screen."""

import pytest

from bot.text.width import LINE, beginning, width


@pytest.mark.parametrize(
    ("text", "letters"), [("abc", 3), ("決済", 4), ("ｱ", 1), ("Ａ", 2), ("e\u0301", 1), ("a\u200bb", 2), ("", 0)]
)
def test_width_counts_wide_characters_twice_and_invisible_ones_not_at_all(text: str, letters: int) -> None:
    """Half-width kana count once, full-width letters twice."""
    assert width(text) == letters


@pytest.mark.parametrize("lines", [["x" * 3 * LINE], ["決" * LINE], ["a", "b", "c"], ["x" * (LINE + 1), "b"]])
def test_text_of_three_rows_is_not_shortened(lines: list[str]) -> None:
    """A line that does not fit takes several rows."""
    assert beginning(lines, 3, most=3) is None


@pytest.mark.parametrize("lines", [["x" * (3 * LINE + 1)], ["決" * 2 * LINE], ["a", "b", "c", "d"], ["e\u0301" * 200]])
def test_beginning_of_a_longer_text_fits_and_ends_in_an_ellipsis(lines: list[str]) -> None:
    """It is the text up to the ellipsis."""
    start = beginning(lines, 3, most=3)
    assert start is not None
    assert start.endswith("…")
    assert " ".join(lines).startswith(start.removesuffix("…"))
    assert width(start) <= 3 * LINE


def test_beginning_of_a_text_ends_at_the_end_of_a_word() -> None:
    """The number of letters before the ellipsis does not matter."""
    for first in range(1, 9):
        assert str(beginning(["x" * first + " entirely" * 40], 3, most=3)).endswith(" entirely…")
