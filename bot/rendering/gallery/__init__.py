"""Sample views by name: the cards that `node-access-bot render` prints and the tests render.

There is a sample of every class of view, and of every state, note and notice. If you add a view or a code, add a sample
here; tests/unit/rendering/test_gallery.py lists the missing ones.
Start with `cards.py`. The gallery must not know words or templates, or code that reads AWS or Teams.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bot.rendering.gallery.cards import CARDS
from bot.rendering.gallery.messages import MESSAGES
from bot.rendering.gallery.notices import NOTICES
from bot.rendering.gallery.sample import Sample

SAMPLES: Final[Mapping[str, Sample]] = MappingProxyType({**CARDS, **NOTICES, **MESSAGES})

__all__ = ["SAMPLES", "Sample"]
