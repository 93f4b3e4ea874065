"""The store on one SQLite file, for one machine; several processes on it are correct too.

Start with `store.py`; `thread.py` owns the connection, `schema.py` the tables and their migrations. It must not know
what a change of a row means.
"""
