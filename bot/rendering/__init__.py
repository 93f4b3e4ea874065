"""Views made into adaptive cards: words of a locale and moments of a time zone, bound to a template of cards/."""

from bot.rendering.render import render, summary

__all__ = ["render", "summary"]
