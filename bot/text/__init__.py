"""Makes text from outside (reasons, tags, names, comments) harmless to show.

Start with `escape.py`; `invisible.py` removes characters that readers cannot see. The lowest layer: it must not know
where a text is shown, and it imports nothing of the program.
"""
