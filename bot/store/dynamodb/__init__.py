"""The store in one DynamoDB table, for several processes on several machines.

Start with `store.py`; `items.py` defines keys and items, `commits.py` writes, `reading.py` reads.
It must not know what a change of a row means.
"""
