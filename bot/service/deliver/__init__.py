"""Delivers the difference between what Teams shows and what it must show, under the lease of the row.

Start with `deliveries.py`, then `delivery.py`, `failed_delivery.py` and `outbox.py`; `retry_policy.py` says when a
failed delivery is repeated. This package is the only writer of cards, notes and direct messages. It must not read AWS.
"""
