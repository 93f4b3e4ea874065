"""The gallery of sample views, from which `node-access-bot render` prints cards."""

from typing import get_args

from bot.domain.shown.reply_views import View
from bot.rendering.samples import SAMPLES


def test_every_kind_of_view_has_a_sample() -> None:
    """A designer can print a card of every class of view."""
    assert {type(sample.view) for sample in SAMPLES.values()} == set(get_args(View))
