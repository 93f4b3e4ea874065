"""Makes text from outside (reasons, tags, names, comments) safe to show.

Start with `escape.py`; `invisible.py` removes characters that readers cannot see. It must not know where a text is
shown. The lowest layer: it imports nothing else of the program.
"""
