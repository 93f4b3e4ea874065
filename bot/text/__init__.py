"""Makes text from outside (reasons, tags, names, comments) safe to show.

Start with `escape.py`; `invisible.py` removes characters that readers cannot see. This package must not know where a
text is shown. It is the lowest layer, and imports no other package of the program.
"""
