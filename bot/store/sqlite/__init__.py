"""The store in one SQLite file, for one machine, with one or several processes.

Start with `store.py`; `thread.py` owns the connection, `schema.py` the tables and their migrations, `integrity.py` the
check of the file, `backup.py` the copy. It must not know what a change of a row means.
"""
