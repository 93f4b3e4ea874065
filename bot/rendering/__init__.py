"""Turns views into adaptive cards: the template of a view, filled with the words of a locale and the times of a zone.

Start with `render.py`: `presentation` says how each view is shown. `cards.py` and `messages.py` fill the templates of
`cards/`, `template.py` binds them, `i18n.py` has words and dates. It must not know AWS, Teams or stored rows.
"""

from bot.rendering.render import render, summary

__all__ = ["render", "summary"]
