"""Named checks of the installation: what is wrong at Microsoft and in AWS, in words that say what to do.

Start with `check.py`; `microsoft.py` and `aws.py` have the checks, `advice.py` the words. `loop.py` makes the checks in
the running process; a command can make the same checks once. This package must not know SDKs, rows or cards.
"""
