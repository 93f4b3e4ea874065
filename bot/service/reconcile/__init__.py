"""Makes Teams show the state in AWS: finds due rows, reads AWS, and delivers the difference to Teams.

Start with `loop.py`, then `reconciler.py`, `deliveries.py`, `delivery.py`, `failed_delivery.py` and `outbox.py`;
`due_time.py` says when a row is due next. This package is the only writer of cards, notes and direct messages. It must
not know SDKs, or why a row is due.
"""
