"""Makes Teams show what is true in AWS: finds due rows, observes AWS, delivers the difference.

Start with `loop.py`, then `reconciler.py`, `deliveries.py`, `delivery.py` and `outbox.py`. This package is the only
writer of cards, notes and direct messages. It must not know SDKs, or why a row is due.
"""
