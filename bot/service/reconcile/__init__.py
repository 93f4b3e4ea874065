"""Makes Teams show the state in AWS: finds due rows, reads AWS, and lets `bot.service.deliver` deliver the difference.

Start with `loop.py`, then `reconciler.py`; `due_time.py` says when a row is due next, and `recovering.py` continues
what a crashed process left. This package must not know SDKs, or why a row is due.
"""
