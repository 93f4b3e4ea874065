"""Adaptive Card templates (`*.json`) and the words that go into them (`locales/`).

Start with `request.json`, the card that approvers see. `bot/rendering/render.py` says which view fills which template.
"""
