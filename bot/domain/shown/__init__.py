"""Computes what Teams must show for a row, as facts without texts of a language. Pure.

Start with `surfaces.py`, which computes the desired surfaces; `views.py` defines the views, `card.py` fills the card,
and `buttons.py` says which buttons it has. The other modules of `bot.domain` must not import this package. It must not
know texts, locales or templates.
"""
