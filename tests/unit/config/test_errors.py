"""bot.config.errors: the hint names what was probably meant, or nothing."""

import pytest

from bot.config.errors import hint

KNOWN = ["NODE_ACCESS_PORT", "NODE_ACCESS_QUEUE_URL", "NODE_ACCESS_LOG_FORMAT"]


@pytest.mark.parametrize("name", ["NODE_ACCESS_XYZZY", "NODE_ACCESS_COLOUR", "NODE_ACCESS_"])
def test_a_common_beginning_is_no_likeness(name: str) -> None:
    """Settings share their first twelve characters; nothing else in common is no reason for a hint."""
    assert hint(name, KNOWN) == ""


def test_a_slip_is_recognised() -> None:
    """The whole name is told, with what all share."""
    assert hint("NODE_ACCESS_PROT", KNOWN) == "; did you mean NODE_ACCESS_PORT?"
