"""Turns views into adaptive cards: the template of a view, filled in the language and time zone of a channel.

Start with `render.py`: `presentation` returns how each view is shown. `cards.py`, `request_lists.py` and `messages.py`
make the data for the templates in `cards/`, `template.py` binds a template to its data, `i18n.py` has words and dates.
This package must not know AWS, Teams or stored rows.
"""

from bot.rendering.render import render, summary

__all__ = ["render", "summary"]
