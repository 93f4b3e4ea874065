"""Figure 8: binding the template of a card, and rendering the whole card. In this process.

No card is reused, because each has another reason. Its words, dates and names are the same, as on the cards of a request.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files

from bot.domain.shown.views import CardView
from bot.rendering import render
from bot.rendering.formatter import LIMITS, CardFormatter
from bot.rendering.gallery.cards import WAITING
from bot.rendering.i18n import Localizer
from bot.rendering.render import template_data
from bot.rendering.template import Template
from tests.bench.table import Values

BATCHES, IN_BATCH = 8, 50  # the fastest batch counts; the first fills the caches of words, dates and names
LOCALE, TIMEZONE = "ja", "Asia/Tokyo"


def measure() -> Values:
    """Return microseconds of CPU for binding a waiting card in Japanese, and for rendering it."""
    template = Template.parse(json.loads((files("cards") / "request.json").read_text("utf-8")))
    data = template_data(WAITING, CardFormatter(Localizer(LOCALE, TIMEZONE), LIMITS[0], None))
    views = [replace(WAITING, reason=f"{WAITING.reason} {number}") for number in range(BATCHES * IN_BATCH)]

    def whole(view: CardView) -> None:
        render(view, locale=LOCALE, timezone=TIMEZONE)  # each view is new, so that no card is reused

    return {"bind_us": _fastest(lambda _: template.bind(data), views), "render_us": _fastest(whole, views)}


def _fastest(work: Callable[[CardView], object], views: Sequence[CardView]) -> float:
    fastest = float("inf")
    for first in range(0, len(views), IN_BATCH):
        began = time.process_time()
        for view in views[first : first + IN_BATCH]:
            work(view)
        fastest = min(fastest, time.process_time() - began)
    return 1e6 * fastest / IN_BATCH
