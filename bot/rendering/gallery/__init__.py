"""Sample views by name: the cards that `node-access-bot render` prints, `make gallery` draws and the tests render.

There is a sample of every class of view, and of every state, note and notice. If you add a view or a code, add a sample
here; tests/unit/rendering/test_gallery.py lists the missing ones. The samples are in English; `samples` returns those
for a locale. Start with `cards.py`. The gallery must not know words or templates, or code that reads AWS or Teams.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bot.rendering.gallery.cards import CARDS
from bot.rendering.gallery.japanese import in_japanese
from bot.rendering.gallery.messages import MESSAGES
from bot.rendering.gallery.notices import NOTICES
from bot.rendering.gallery.sample import Sample

SAMPLES: Final[Mapping[str, Sample]] = MappingProxyType({**CARDS, **NOTICES, **MESSAGES})


def samples(locale: str) -> Mapping[str, Sample]:
    """Return the samples by name, for readers of this locale: in Japanese for `ja`, else in English."""
    if locale != "ja":
        return SAMPLES
    return {name: in_japanese(sample) for name, sample in SAMPLES.items()}


def sample_timezone(locale: str) -> str:
    """Return the time zone of the samples for a locale."""
    return "Asia/Tokyo" if locale == "ja" else "UTC"


__all__ = ["SAMPLES", "Sample", "sample_timezone", "samples"]
