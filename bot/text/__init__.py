"""Makes text from outside (reasons, tags, names, comments) safe to show, and compares the names of people.

Start with `escape.py`; `invisible.py` removes characters that readers cannot see. `names.py` has the two rules by which
names are equal. This package must not know where a text is shown. It is the lowest layer, and imports no other package
of the program.
"""
