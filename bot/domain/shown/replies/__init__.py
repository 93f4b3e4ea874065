"""The views of answers to commands, and of the weekly digest. Pure.

Start with `reply_views.py`; `commands.py` lists the commands. It must not know texts, locales or templates.
"""
