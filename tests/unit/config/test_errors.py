"""Tests for bot.config.errors: hints for misspelled names."""

import pytest

from bot.config.errors import hint

KNOWN = ["NODE_ACCESS_PORT", "NODE_ACCESS_QUEUE_URL", "NODE_ACCESS_LOG_FORMAT"]


@pytest.mark.parametrize("name", ["NODE_ACCESS_XYZZY", "NODE_ACCESS_COLOUR", "NODE_ACCESS_"])
def test_setting_that_shares_only_the_prefix_with_known_ones_gets_no_hint(name: str) -> None:
    """All settings start with the same twelve characters, so this prefix alone does not count as similar."""
    assert hint(name, KNOWN) == ""


def test_misspelled_setting_gets_a_hint_with_the_known_name() -> None:
    """The hint has the whole name with its prefix."""
    assert hint("NODE_ACCESS_PROT", KNOWN) == "; did you mean NODE_ACCESS_PORT?"
